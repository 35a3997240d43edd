"""Pictures of models and of results, as (H, W, 3) arrays or PNG files; nothing here writes a file or prints.

Imports evaluation/ and what lies below, Pillow and matplotlib. Where to start reading:

model_pictures  the pictures in a run folder: which there are, and the numbers that they show
matrices        bigram counts and next-character probabilities as heat maps
breakdown       one document, a row for each prediction
charts          models by their loss, loss over a setting, metrics over the orders of an n-gram model
drawing         colours, fonts, characters made visible, PNG
"""
