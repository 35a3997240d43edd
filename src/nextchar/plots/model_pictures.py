"""The pictures of a model: counts, probabilities, a document's breakdown, the orders."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from nextchar.data.encoded import Split
from nextchar.data.vocabulary import Ids
from nextchar.evaluation import by_order as orders
from nextchar.evaluation.explain import explain
from nextchar.models.base import Floats, LanguageModel, contexts_before
from nextchar.models.ngram.counts import CountTable
from nextchar.models.ngram.model import CountModel

if TYPE_CHECKING:  # drawing takes time to import
    from nextchar.plots.matrices import Picture


WORDS = ("once", "twice", "three times", "four times")


WORD_CHARS = 40  # of the document whose breakdown is drawn


FEW_SYMBOLS = 1024  # the most frequent ones, of which the pictures are handed the matrix


PLACES = 200  # in train where a character stands


CELLS_AT_ONCE = 1 << 22  # of the rows of probabilities that they are cut from


def pictures(model: LanguageModel, pairs: CountTable, train: Split, document: str) -> Iterator[tuple[str, "Picture"]]:
    """The counts and the probabilities of pairs, and how the model reads a document, each with its name."""
    from nextchar.plots import matrices as figures

    frequency = np.zeros(len(model.vocabulary), dtype=np.int64)
    frequency[pairs.contexts.keys] = pairs.contexts.totals
    shown = np.sort(np.argsort(-frequency, kind="stable")[:FEW_SYMBOLS])
    symbols = [model.vocabulary.symbols[i] for i in shown]
    yield "counts", figures.count_matrix(pairs.matrix(shown), symbols)
    probs, rows = _after(model, shown, train)
    yield "probabilities", figures.probability_matrix(probs, symbols, frequency=frequency[shown], rows=rows)
    steps = explain(model, document[:WORD_CHARS], "test", ends=len(document) <= WORD_CHARS)
    yield "breakdown", figures.breakdown(document[:WORD_CHARS], steps)


def _after(model: LanguageModel, shown: Ids, train: Split) -> tuple[Floats, str]:
    """(S, S): how probable the shown ids are after each of them, and of what those rows are.

    A model that sees more than one character is asked after places of train that end in the id, spread over the first
    piece of it; the row is their mean, empty where that holds none.
    """
    v, rows = len(model.vocabulary), "rows: previous character"
    if model.context == 1:
        contexts, of_row = shown[:, None], np.arange(len(shown))
    else:
        ids, most = next(train.blocks(1)).ids, max(1, min(PLACES, CELLS_AT_ONCE // (len(shown) * v)))
        ends = np.argsort(ids[:-1], kind="stable")  # the places of one id side by side
        first, last = (np.searchsorted(ids[ends], shown, side=side) for side in ("left", "right"))
        n = np.minimum(last - first, most)
        of_row = np.repeat(np.arange(len(shown)), n)
        # of many places one in each of equal stretches, at random: a text may have a rhythm
        stretch = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.random.default_rng(0).random(n.sum())
        at = first[of_row] + (stretch * np.repeat((last - first) / np.maximum(n, 1), n)).astype(np.int64)
        contexts = contexts_before(ids, model.context, ends[at])
        rows += f", the mean over {most:,} of its places in train, or all"
    sums, blocks = np.zeros((len(shown), len(shown))), max(1, -(-len(contexts) * v // CELLS_AT_ONCE))
    for block, of_block in zip(np.array_split(contexts, blocks), np.array_split(of_row, blocks), strict=True):
        np.add.at(sums, of_block, np.exp(model.log_probs(block))[:, shown])
    probs = sums / np.maximum(np.bincount(of_row, minlength=len(shown)), 1)[:, None]
    if model.context == 1 and len(shown) > 1 and (probs == probs[0]).all():
        rows = "all rows alike, for this model does not see the previous character"
    return probs, rows


def picture_of_orders(report: orders.OrderReport, model: LanguageModel) -> "Picture":
    """The loss by order, how much of test was seen in training, how rare n-grams are, what smoothing made of it."""
    from nextchar.plots.charts import Panel, over_orders

    worths = report.metrics
    distinct = {name: worth for name, worth in worths.items() if name == "train" or worth is not worths["train"]}
    held_out = "test" if "test" in distinct else "train"
    seen = worths[held_out]
    values = report.used_parameters()
    words = zip(*(name.split(" ")[:-1] for name in values), strict=False)
    common = "".join(f"{word} " for word, *others in words if all(word == other for other in others))
    panels = [
        Panel("Loss of each order alone, nats per character", {name: w.loss.tolist() for name, w in distinct.items()}),
        Panel(
            f"Share of the characters of {held_out}",
            {
                "context seen in training": seen.contexts_seen.tolist(),
                "seen after its context": seen.ngrams_seen.tolist(),
            },
            "percent",
        ),
    ]
    if report.counts_of_counts:
        occurring = dict(zip(WORDS, zip(*report.counts_of_counts, strict=True), strict=True))
        panels.append(Panel("How many n-grams occur", occurring, "log"))
    if values:
        rest = {name.removeprefix(common): row for name, row in values.items()}
        panels.append(Panel(f"Smoothing: {common.rstrip()}".rstrip(": "), rest))
    aside = ""
    if isinstance(model, CountModel) and model.smoothing.continuations:
        aside = "below the highest order it counts in how many contexts an n-gram occurs, not how often"
    return over_orders(panels, "What each order knows", aside)
