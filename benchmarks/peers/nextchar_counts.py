"""FILE ORDER [HELD_OUT]: ours: a text read and counted on one core; with HELD_OUT also estimated and scored."""

import sys
from pathlib import Path

from costs import Costs

from nextchar.config.compose import run_settings
from nextchar.data.load import load
from nextchar.models.ngram.counts import TrainCounts, count_ngrams, tables_by_order
from nextchar.models.ngram.estimation import estimate
from nextchar.models.ngram.keys import Packing
from nextchar.models.ngram.model import CountModel

path, order, held_out = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
words = ["data=text", f"data.path={path}", "data.split=all", "smoothing=modified_kneser_ney", f"model.order={order}"]
settings = run_settings(words)
costs = Costs()
text = load(settings.data)
costs.lap("read")
train, packing = text.splits["train"], Packing(len(text.vocabulary))
ngrams = count_ngrams(train.blocks(order - 1), packing, order, threads=1)
costs.lap("count")
distinct, scored = len(ngrams), 0
if held_out:
    counts = TrainCounts(tables_by_order(ngrams))
    smoothing = estimate(settings.smoothing, counts, None)
    model = CountModel(text.vocabulary, smoothing.tables(counts), smoothing)
    for table in model.tables:
        _ = table.contexts  # made when first asked for
    costs.lap("estimate")
    known = "".join(c for c in Path(held_out[0]).read_text() if c in text.vocabulary.characters)
    stream = text.vocabulary.stream([known])
    costs.lap("encode")
    scored = len(model.score(stream))
    costs.lap("score")
costs.tell(characters=train.predicted, distinct=distinct, scored=scored)
