"""Nets trained by gradient descent, one architecture a file; torch only, never ngram/.

net      the base class `Net` (a net writes `logits` and says how many ids it reads), and any net as a `LanguageModel`
bigram   the bigram as a net of one layer
"""
