"""FILE ORDER HELD_OUT: NLTK's interpolated Kneser-Ney, fitted and then asked for each n-gram."""

import sys
from pathlib import Path

from costs import Costs
from nltk.lm import KneserNeyInterpolated
from nltk.lm.preprocessing import padded_everygram_pipeline
from nltk.util import ngrams

order = int(sys.argv[2])
text, held_out = (Path(path).read_text() for path in (sys.argv[1], sys.argv[3]))
costs = Costs()
model = KneserNeyInterpolated(order)
model.fit(*padded_everygram_pipeline(order, [list(text)]))
costs.lap("count")
for *context, char in ngrams(held_out, order):
    model.score(char, context)
costs.lap("score")
costs.tell(characters=len(text), scored=len(held_out) - order + 1)
