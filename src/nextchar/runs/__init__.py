"""Runs: the folder that a run leaves, and a finished run opened again.

    settings.json first -> weights, losses, samples, figures, train.log -> run.json last

A finished run may come from a stranger. Opening it reads run.json and weights.safetensors, runs no code, and checks
names, sizes, digests, shapes and ranges before it takes memory.

May import evaluation and all that stands below it.

Start with `run.Run` (a finished run: metrics, samples, scores) and `folder.RunFolder` (a run that is going on); then
module by module:

- run.py: a finished run and all that can be done with it
- reading.py: reads run.json, weights, losses and samples from an untrusted source, checked against each other
- record.py: run.json, field by field, and the facts that a run collects for it
- folder.py: makes, locks, resumes and completes the folder of a run; train.log
- atomic.py: files that appear whole or not at all
"""
