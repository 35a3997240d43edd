"""FILE: bigrams counted by collections.Counter."""

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

from costs import Costs

costs = Costs()
text = Path(sys.argv[1]).read_text()
pairs = Counter(pairwise(text))
costs.lap("count")
costs.tell(distinct=len(pairs))
