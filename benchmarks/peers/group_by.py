"""FILE ORDER: n-grams counted by polars, packed into integers as ours are, the whole text in one column."""

import sys

import numpy as np
import polars as pl
from costs import Costs

costs = Costs()
order = int(sys.argv[2])
raw = np.fromfile(sys.argv[1], dtype=np.uint8)
id_of = np.zeros(256, dtype=np.uint64)
characters = np.flatnonzero(np.bincount(raw, minlength=256))
id_of[characters] = np.arange(len(characters))
ids, bits = id_of[raw], int(len(characters) - 1).bit_length()
n = len(ids) - order + 1
keys = np.zeros(n, dtype=np.uint64)
for i in range(order):
    keys = keys << np.uint64(bits) | ids[i : i + n]
del ids
table = pl.DataFrame({"key": keys}).group_by("key").len()
costs.lap("count")
costs.tell(distinct=len(table))
