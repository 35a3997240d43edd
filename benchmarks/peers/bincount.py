"""FILE: bigrams counted by np.bincount, the whole text in one array."""

import sys

import numpy as np
from costs import Costs

costs = Costs()
raw = np.fromfile(sys.argv[1], dtype=np.uint8)
characters = np.flatnonzero(np.bincount(raw, minlength=256))
id_of, V = np.zeros(256, dtype=np.int64), len(characters)
id_of[characters] = np.arange(V)
ids = id_of[raw]
N = np.bincount(ids[:-1] * V + ids[1:], minlength=V * V).reshape(V, V)
costs.lap("count")
costs.tell(distinct=int((N > 0).sum()))
