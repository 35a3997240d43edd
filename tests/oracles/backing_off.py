"""Back-off tables made from dictionaries: interpolated Witten-Bell smoothing."""

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from nextchar.data.vocabulary import Vocabulary
from nextchar.models.ngram.backoff import BackoffModel, BackoffTable
from nextchar.models.ngram.keys import Packing

NGram = tuple[int, ...]


def witten_bell(documents: Sequence[str], order: int) -> BackoffModel:
    """p(w | h) = (c(h w) + t(h) p(w | h')) / (c(h) + t(h)), t(h) the distinct symbols after h; below order 1, 1 / V."""
    vocabulary = Vocabulary.of(documents)
    v, rows, weights = len(vocabulary), {}, {}
    counts: list[Counter[NGram]] = [Counter() for _ in range(order + 1)]
    for document in documents:
        ids = [0, *vocabulary.encode(document).tolist(), 0]
        for i in range(1, len(ids)):
            for k in range(1, min(order, i + 1) + 1):
                counts[k][tuple(ids[i - k + 1 : i + 1])] += 1
    for k in range(1, order + 1):
        totals, types = Counter(), Counter()
        for gram, n in counts[k].items():
            totals[gram[:-1]] += n
            types[gram[:-1]] += 1
        for h, n in totals.items():
            weights[h] = types[h] / (n + types[h])
        symbols = [(i,) for i in range(v)] if k == 1 else counts[k]
        for gram in symbols:
            lower = rows[gram[1:]] if k > 1 else 1 / v
            n, t = totals[gram[:-1]], types[gram[:-1]]
            rows[gram] = (counts[k][gram] + t * lower) / (n + t)
    del weights[()]
    return model_of(vocabulary, rows, weights, order)


def model_of(vocabulary: Vocabulary, rows: dict[NGram, float], weights: dict[NGram, float], order: int) -> BackoffModel:
    """The model with these probabilities and back-off weights of n-grams of ids."""
    by_order: dict[int, list[tuple[NGram, float]]] = defaultdict(list)
    of_contexts: dict[int, list[tuple[NGram, float]]] = defaultdict(list)
    for gram, p in sorted(rows.items()):
        by_order[len(gram)].append((gram, math.log(p)))
    for gram, weight in sorted(weights.items()):
        of_contexts[len(gram) + 1].append((gram, math.log(weight)))
    packing, tables = Packing(len(vocabulary)), []
    for k in range(1, order + 1):
        keys = packing.pack(np.array([gram for gram, _ in by_order[k]], dtype=np.int64).reshape(-1, k))
        contexts = keys[:0]
        if k > 1:
            contexts = packing.pack(np.array([h for h, _ in of_contexts[k]], dtype=np.int64).reshape(-1, k - 1))
        log_probs, log_backoffs = (np.array([x for _, x in side[k]]) for side in (by_order, of_contexts))
        tables.append(BackoffTable(packing, k, keys, log_probs, contexts, log_backoffs))
    return BackoffModel(vocabulary, tables)


def by_hand(model: BackoffModel, history: NGram, symbol: int) -> float:
    """log P(symbol | history) by the recursion of back-off, one n-gram at a time."""
    rows, weights = dictionaries(model)
    h = history[-(model.order - 1) :] if model.order > 1 else ()
    if 0 in h:  # the context starts at the boundary
        h = h[len(h) - 1 - h[::-1].index(0) :]
    log_weight = 0.0
    while (*h, symbol) not in rows:
        if not h:
            return -math.inf
        log_weight += weights.get(h, 0.0)
        h = h[1:]
    return log_weight + rows[(*h, symbol)]


@functools.cache
def dictionaries(model: BackoffModel) -> tuple[dict[NGram, float], dict[NGram, float]]:
    """Log-probabilities and log-weights of a model by n-gram of ids."""
    rows: dict[NGram, float] = {}
    weights: dict[NGram, float] = {}
    for table in model.tables:
        grams = map(tuple, table.packing.unpack(table.keys, table.order).tolist())
        rows |= dict(zip(grams, table.log_probs.tolist(), strict=True))
        if table.order > 1:
            contexts = map(tuple, table.packing.unpack(table.contexts, table.order - 1).tolist())
            weights |= dict(zip(contexts, table.log_backoffs.tolist(), strict=True))
    return rows, weights
