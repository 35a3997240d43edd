"""Training: a run from its text to its record, by counting or by gradient descent.

May import runs, plots, evaluation and the wings below. torch and lightning are imported only to train a net; train.py,
strategies.py, outputs.py and progress.py work without. Read in this order:

- train.py               the run on one page: settings -> text -> fit -> model -> evaluation -> run folder
- strategies.py          the two ways to fit a model, and counting; gradient.py is the other
- lightning_module.py    the training step; objective.py: the loss with its penalty, and the optimizers
- batches.py             pairs, windows or sequences, as the net asks; data_module.py hands them to Lightning in chunks
- callbacks.py           curves, progress, validation, samples, divergence; checkpoints.py
- distributed.py         several processes for one net (trainer=ddp)
- outputs.py, tensorboard.py, progress.py   the files, the events, and reports while it runs
"""
