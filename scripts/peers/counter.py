"""Bigrams with collections.Counter."""

import sys
from collections import Counter
from itertools import pairwise

from costs import Costs

costs = Costs()
text = open(sys.argv[1]).read()  # noqa: SIM115
pairs = Counter(pairwise(text))
costs.lap("count")
costs.tell(distinct=len(pairs))
