"""Everything that is asked of a finished model, written once against the contract in models/base.py.

Imports models/, data/, config/ and what lies below, never a net: any `LanguageModel` will do. Where to start reading:

loss      the loss on one split: sums over documents, divided once, and a bootstrap interval
measure   the metrics of all splits of a run, with notes on what the losses do not count
sampling  documents drawn from a model: temperature, top-k, top-p; one by one, or thousands side by side
explain   a text position by position: context, next character, its probability and rank, the top predictions
by_order  the loss and the coverage of each order of an n-gram model
"""
