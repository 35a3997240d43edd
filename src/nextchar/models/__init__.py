"""The models: distributions over the next character, given the characters before it.

Imports data/, config/ and what lies below. ngram/ never imports torch, nets/ never imports ngram/. Where to start:

base     the contract, `LanguageModel`: contexts in ids -> log-probabilities as numpy arrays
ngram/   counted n-grams with 11 smoothing methods, back-off models, ARPA files; numpy alone
nets/    nets trained by gradient descent, one architecture a file; torch
"""
