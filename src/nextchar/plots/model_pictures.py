"""The pictures of a model: bigram counts, probabilities, the breakdown of a document, and metrics by n-gram order."""

from collections.abc import Iterator
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from nextchar.data.encoded import Split
from nextchar.data.vocabulary import Ids
from nextchar.evaluation.by_order import OrderReport
from nextchar.evaluation.explain import explain
from nextchar.models.base import Floats, LanguageModel, contexts_before
from nextchar.models.ngram.counts import CountTable
from nextchar.models.ngram.model import CountModel

if TYPE_CHECKING:  # Pillow and matplotlib take time to import
    from nextchar.plots.drawing import Picture

TIMES = ("once", "twice", "three times", "four times")
MOST_EMBEDDED = 200  # symbols whose embeddings are drawn
BREAKDOWN_CHARS = 40  # of the document whose breakdown is drawn
MOST_SYMBOLS = 1024  # the most frequent ones; the matrices choose among these
OCCURRENCES = 200  # of a character in train, over which a row of probabilities is averaged
CELLS_AT_ONCE = 1 << 22  # (contexts, V) probabilities in memory


def pictures(model: LanguageModel, pairs: CountTable, train: Split, document: str) -> Iterator[tuple[str, "Picture"]]:
    """Draws counts, probabilities and breakdown, each with its name. pairs: the bigrams of train."""
    from nextchar.plots.breakdown import breakdown
    from nextchar.plots.matrices import count_matrix, probability_matrix

    frequency = _frequency(pairs, len(model.vocabulary))
    ids = np.sort(np.argsort(-frequency, kind="stable")[:MOST_SYMBOLS])
    symbols = [model.vocabulary.symbols[i] for i in ids]
    yield "counts", count_matrix(pairs.matrix(ids), symbols)
    probs, rows = next_probabilities(model, ids, train)
    yield "probabilities", probability_matrix(probs, symbols, frequency[ids], rows)
    steps = explain(model, document[:BREAKDOWN_CHARS], "test", ends=len(document) <= BREAKDOWN_CHARS)
    yield "breakdown", breakdown(document[:BREAKDOWN_CHARS], steps)


def _frequency(pairs: CountTable, vocab_size: int) -> Ids:
    """Returns how often each id occurs in train before another one, (V,)."""
    frequency = np.zeros(vocab_size, dtype=np.int64)
    frequency[pairs.contexts.keys] = pairs.contexts.totals
    return frequency


def picture_of_embeddings(vectors: Floats, symbols: list[str], pairs: CountTable) -> "Picture":
    """Draws the embeddings (V, n_embd) of the most frequent symbols in the plane in which they differ most."""
    from nextchar.plots.charts import symbol_map

    ids = np.argsort(-_frequency(pairs, len(symbols)), kind="stable")[:MOST_EMBEDDED]
    points, share = principal_plane(vectors[ids])
    of_all = "" if len(ids) == len(symbols) else f" of the {len(ids):,} most frequent symbols"
    aside = f"first two principal components{of_all}, {100 * share:.0f}% of the variance"
    return symbol_map(points, [symbols[i] for i in ids], "Embeddings of the characters", aside)


def principal_plane(vectors: Floats) -> tuple[Floats, float]:
    """(N, D) -> their first two principal components (N, 2), and the share of the variance that these have."""
    centred = vectors - vectors.mean(axis=0)
    scores, values, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    points = np.zeros((len(vectors), 2))
    points[:, : len(values)] = (scores * values)[:, :2]
    points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1, 1)  # the SVD leaves the signs open
    total = float((values**2).sum())
    return points, float((values[:2] ** 2).sum()) / total if total > 0 else 1.0


def next_probabilities(model: LanguageModel, ids: Ids, train: Split) -> tuple[Floats, str]:
    """Probabilities (S, S) of each of S ids after each, and a description of the rows.

    After one id a model with a longer context gives many distributions. Their mean is taken over occurrences of the id
    spread through the first block of train; it is 0 where the id does not occur there.
    """
    v, rows = len(model.vocabulary), "rows: previous character"
    if model.context == 1:
        contexts, row_of = ids[:, None], np.arange(len(ids))
    else:
        block, most = next(train.blocks(1)).ids, max(1, min(OCCURRENCES, CELLS_AT_ONCE // (len(ids) * v)))
        places = np.argsort(block[:-1], kind="stable")  # the occurrences of one id are neighbours
        first, last = (np.searchsorted(block[places], ids, side=side) for side in ("left", "right"))
        n = np.minimum(last - first, most)
        row_of = np.repeat(np.arange(len(ids)), n)
        # Stratified sampling: the occurrences are cut into n stretches, with one random pick in each. Equal steps
        # could fall in with a rhythm of the text.
        stretch = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.random.default_rng(0).random(n.sum())
        picks = first[row_of] + (stretch * np.repeat((last - first) / np.maximum(n, 1), n)).astype(np.int64)
        contexts = contexts_before(block, model.context, places[picks])
        rows += f", mean over up to {most:,} of its occurrences in train"
    sums, pieces = np.zeros((len(ids), len(ids))), max(1, -(-len(contexts) * v // CELLS_AT_ONCE))
    for some, of_some in zip(np.array_split(contexts, pieces), np.array_split(row_of, pieces), strict=True):
        np.add.at(sums, of_some, np.exp(model.log_probs(some))[:, ids])
    probs = sums / np.maximum(np.bincount(row_of, minlength=len(ids)), 1)[:, None]
    if model.context == 1 and len(ids) > 1 and (probs == probs[0]).all():
        rows = "all rows are equal: this model ignores the previous character"
    return probs, rows


def picture_of_orders(report: OrderReport, model: LanguageModel) -> "Picture":
    """Draws loss, coverage, counts of counts and smoothing parameters over the orders of an n-gram model."""
    from nextchar.plots.charts import Panel, order_panels

    train = report.metrics["train"]
    losses = {name: each.loss.tolist() for name, each in report.metrics.items() if name == "train" or each is not train}
    held_out = "test" if "test" in losses else "train"  # with data.split=all they are the same
    seen = report.metrics[held_out]
    coverage = {"context seen in training": seen.contexts_seen, "n-gram seen in training": seen.ngrams_seen}
    panels = [
        Panel("Loss under each order alone, nats per character", losses),
        Panel(f"Coverage: share of {held_out} characters", {k: v.tolist() for k, v in coverage.items()}, "percent"),
    ]
    if report.counts_of_counts:
        times = dict(zip(TIMES, zip(*report.counts_of_counts, strict=True), strict=True))
        panels.append(Panel("Number of n-grams that occur once to four times", times, "log"))
    if parameters := report.used_parameters():
        kind, names = _without_common_words(list(parameters))
        lines = dict(zip(names, parameters.values(), strict=True))
        panels.append(Panel(f"Smoothing: {kind}" if kind else "Smoothing parameters", lines))
    aside = ""
    if isinstance(model, CountModel) and model.smoothing.continuations:
        aside = "below the highest order, the count of an n-gram is the number of distinct characters that precede it"
    return order_panels(panels, "Loss and coverage by n-gram order", aside)


def _without_common_words(names: list[str]) -> tuple[str, list[str]]:
    """["seen 1 times", "seen 2 times"] -> "seen n times", ["1", "2"]; unchanged names have no words in common."""
    words = [name.split(" ") for name in names]
    before, after = _common(words), _common([each[::-1] for each in words])[::-1]
    if len(names) == 1 or not (before or after):
        return "", names
    return " ".join([*before, "n", *after]), [" ".join(each[len(before) : len(each) - len(after)]) for each in words]


def _common(words: list[list[str]]) -> list[str]:
    return [each[0] for each in takewhile(lambda each: len(set(each)) == 1, zip(*words, strict=False))]
