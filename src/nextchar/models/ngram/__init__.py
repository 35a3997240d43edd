"""N-gram models: count, smooth, prune. Imports numpy, never torch.

From counts to a model, in the order to read:

keys              n-grams as sortable numbers
counts            counting a text, tables of all orders, continuation counts
smoothing         the statistics that a method sees, the recursion of all methods; add-k, Witten-Bell
jelinek_mercer    weights fitted by expectation-maximization
kneser_ney        discounting: absolute, Kneser-Ney, modified Kneser-Ney, Dirichlet, Pitman-Yor, KenLM's discounts
katz              backing off: Katz, stupid back-off
simplex           the search that tunes parameters on val
estimation        from settings and counts to a method with its parameters
model             `CountModel`: tables and a method as a `LanguageModel`
fit               from the splits of a text to a model; start here to see how the parts fit together

Beside them:

backoff           back-off tables, `BackoffModel`, entropy pruning
arpa_writer, arpa_reader   back-off tables as files of KenLM and SRILM
dask_counts       counting on a Dask cluster

A smoothing method is its settings (config/smoothing_settings.py), a class (see `Smoothing`) and its YAML.
"""
