"""Back-off models: a probability for each listed n-gram, and for the others the order below times a weight.

    log p_k(w | h) = log p(h w)                          if h w, of k symbols, has a row
                   = log bow(h) + log p_(k-1)(w | h')    otherwise; h' is h without its oldest symbol

(Katz 1987). A context without a weight has weight 1. This is the form of ARPA files, and interpolated models have it
too: the row's probability is the interpolated one, and the weight is the share that h gives to the order below.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nextchar.data.vocabulary import Ids, Stream, Vocabulary
from nextchar.errors import BadInput
from nextchar.messages import shown
from nextchar.models.base import Floats, LanguageModel, OrderPredictions, Tensors, TensorSpec
from nextchar.models.ngram.keys import Bools, Keys, Packing, find, look_up

LEAST = 1e-99  # stands for probability 0 where a logarithm is needed, as in ARPA files
MOST_SUM = 1.001  # of the probabilities after a context; ARPA files are rounded to a few digits
HIGHEST_ORDER = 64  # of files: the number that a file gives must not decide how much work is done


@dataclass(frozen=True)
class BackoffTable:
    """The R n-grams of one order and the G contexts of order - 1 ids, both sorted (keys.py); natural logarithms.

    Order 1 has no contexts, and without a row there a symbol has probability 0.
    """

    packing: Packing
    order: int
    keys: Keys  # (R,)
    log_probs: Floats  # (R,), at most 0
    contexts: Keys  # (G,)
    log_backoffs: Floats  # (G,): the weights used if an n-gram has no row

    def __len__(self) -> int:
        return len(self.keys)


class BackoffModel(LanguageModel):
    """Back-off tables of the orders 1, 2, ..."""

    def __init__(self, vocabulary: Vocabulary, tables: Sequence[BackoffTable]) -> None:
        self.vocabulary, self.tables = vocabulary, list(tables)
        self.packing, self.order = Packing(len(vocabulary)), len(self.tables)
        self.context = max(1, self.order - 1)

    def backoff_tables(self) -> list[BackoffTable]:
        return self.tables

    def log_probs(self, contexts: Ids) -> Floats:
        """From order 1 upwards: multiplies all V symbols by the weight, then overwrites those that have a row."""
        unigrams = np.full(len(self.vocabulary), -np.inf)
        unigrams[self.packing.newest(self.tables[0].keys, 1)] = self.tables[0].log_probs
        found = np.tile(unigrams, (len(contexts), 1))
        for table in self.tables[1:]:
            seen = self.packing.pack(contexts[:, contexts.shape[1] - (table.order - 1) :])
            found += look_up(table.contexts, table.log_backoffs, seen, 0)[:, None]  # (N, V) + (N, 1)
            index, rows = _rows_of(table, seen)
            found[index, self.packing.newest(table.keys[rows], table.order)] = table.log_probs[rows]
        return found

    def score(self, stream: Stream) -> Floats:
        keys, index = self.packing.distinct_ngrams(stream, self.order)  # each is looked up once
        return self.score_ngrams(keys)[index]

    def score_ngrams(self, keys: Keys) -> Floats:
        """(U,) distinct, sorted n-grams of the highest order -> (U,) log-probabilities of their newest symbols."""
        return score_ngrams(self.tables, keys)

    def by_order(self, contexts: Ids, ids: Ids) -> OrderPredictions:
        """The prediction of an order is that of the model without the orders above."""
        ngrams = self.packing.pack(np.column_stack([contexts[:, contexts.shape[1] - (self.order - 1) :], ids]))
        log_probs, lengths = np.empty((self.order, len(ids))), np.zeros((3, len(ids)), dtype=np.int64)
        for table in reversed(self.tables):
            k, packing = table.order, self.packing
            distinct, index = packing.distinct(ngrams, k)
            log_probs[k - 1] = score_ngrams(self.tables[:k], distinct)[index]
            _, has_row = find(table.keys, ngrams)
            _, has_context = find(np.unique(packing.context(table.keys, k)), packing.context(ngrams, k))
            is_full = ~packing.is_padded(ngrams, k)
            np.maximum(lengths, k * (np.stack([has_row, has_context | (k == 1), is_full]) & is_full), out=lengths)
            ngrams = packing.shorter(ngrams, k)
        return OrderPredictions(log_probs, *lengths)  # (order, N), and (N,) each

    # --- as tensors -------------------------------------------------------------------------------------------------

    @staticmethod
    def spec(vocab_size: int) -> dict[str, TensorSpec]:
        """Returns the names, dtypes and shapes of `tensors`."""
        ids = np.min_scalar_type(vocab_size - 1).name
        return {
            "sizes": ("int64", (None, 2)),
            "ids": (ids, (None,)),
            "log_probs": ("float64", (None,)),
            "context_ids": (ids, (None,)),
            "log_backoffs": ("float64", (None,)),
        }

    def tensors(self) -> Tensors:
        """Returns the content of weights.safetensors: all rows and all contexts, one order after another.

        `sizes` (order, 2): the numbers of rows and contexts of each order. `ids`: k ids for each row of order k;
        `context_ids`: k - 1 for each of its contexts.
        """
        narrowest = np.min_scalar_type(len(self.vocabulary) - 1)
        rows = [self.packing.unpack(table.keys, table.order).ravel() for table in self.tables]
        contexts = [self.packing.unpack(table.contexts, table.order - 1).ravel() for table in self.tables[1:]]
        return {
            "sizes": np.array([(len(table), len(table.contexts)) for table in self.tables], dtype=np.int64),
            "ids": np.concatenate(rows).astype(narrowest),
            "log_probs": np.concatenate([table.log_probs for table in self.tables]),
            "context_ids": np.concatenate([*contexts, np.zeros(0, dtype=np.int64)]).astype(narrowest),
            "log_backoffs": np.concatenate([table.log_backoffs for table in self.tables]),
        }

    @classmethod
    def from_tensors(cls, tensors: Tensors, vocabulary: Vocabulary, where: str) -> "BackoffModel":
        """The inverse of `tensors`. Raises BadInput, naming `where`, unless they are sorted tables of probabilities."""
        packing, sizes = Packing(len(vocabulary)), tensors["sizes"]
        orders, most = np.arange(1, len(sizes) + 1), len(tensors["log_probs"]) + len(tensors["log_backoffs"])
        if not 1 <= len(sizes) <= HIGHEST_ORDER or sizes.min() < 0 or sizes.max() > most or sizes[0, 1]:
            raise BadInput(f"{where}: the sizes are no sizes of tables")
        rows, contexts = sizes.T  # (order,) each
        lengths = {
            "ids": rows * orders,
            "log_probs": rows,
            "context_ids": contexts * (orders - 1),
            "log_backoffs": contexts,
        }
        if any(len(tensors[name]) != of_orders.sum() for name, of_orders in lengths.items()):
            raise BadInput(f"{where}: the tables are not of the sizes that it gives")
        if max(tensors["ids"].max(initial=0), tensors["context_ids"].max(initial=0)) >= len(vocabulary):
            raise BadInput(f"{where}: ids beyond the vocabulary")
        if (tensors["log_probs"] > 0).any():
            raise BadInput(f"{where}: probabilities above 1")
        by_order = [np.split(tensors[name], np.cumsum(of_orders)[:-1]) for name, of_orders in lengths.items()]
        tables = []
        for k, (ids, log_probs, context_ids, log_backoffs) in enumerate(zip(*by_order, strict=True), 1):
            keys = packing.pack(ids.reshape(-1, k))
            of_contexts = packing.pack(context_ids.reshape(-1, k - 1)) if k > 1 else keys[:0]
            if (keys[1:] <= keys[:-1]).any() or (of_contexts[1:] <= of_contexts[:-1]).any():
                raise BadInput(f"{where}: the rows of order {k} are not in order")
            tables.append(BackoffTable(packing, k, keys, log_probs, of_contexts, log_backoffs))
        check_sums(tables, vocabulary, where)
        return cls(vocabulary, tables)


def score_ngrams(tables: Sequence[BackoffTable], keys: Keys) -> Floats:
    """(U,) distinct, sorted n-grams of the highest order -> (U,) log-probabilities of their newest symbols."""
    table = tables[-1]
    if table.order == 1:
        return look_up(table.keys, table.log_probs, keys, -np.inf)
    place, has_row = find(table.keys, keys)
    found = np.empty(len(keys))
    found[has_row] = table.log_probs[place[has_row]]
    if len(missing := keys[~has_row]):  # log bow(h) + log p_(k-1)(w | h')
        weights = look_up(table.contexts, table.log_backoffs, table.packing.context(missing, table.order), 0)
        found[~has_row] = weights + score_shorter(tables[:-1], missing)
    return found


def score_shorter(below: Sequence[BackoffTable], longer: Keys) -> Floats:
    """(N,) n-grams h w, one symbol longer than the tables' highest order -> (N,) log p(w | h')."""
    packing, k = below[-1].packing, len(below)
    shorter, index = packing.distinct(packing.shorter(longer, k + 1), k)
    return score_ngrams(below, shorter)[index]


def check_sums(tables: Sequence[BackoffTable], vocabulary: Vocabulary, where: str) -> None:
    """Raises BadInput, naming `where`, if the probabilities after some context sum to more than 1.

    Such a model has too low a loss. A sum below 1 is allowed: it has too high a loss, as without the share of <unk>.
    """
    sums: list[tuple[Keys, Floats]] = []  # by order: the contexts that have a row or a weight, and their sums
    for k, table in enumerate(tables, 1):
        packing, of_rows = table.packing, table.packing.context(table.keys, k)
        contexts = np.union1d(of_rows, table.contexts)
        index = np.searchsorted(contexts, of_rows)
        total = np.bincount(index, np.exp(table.log_probs), len(contexts)).astype(np.float64)
        if k > 1:  # bow(h) times the sum of the order below without the symbols that have a row
            lower = np.bincount(index, np.exp(score_shorter(tables[: k - 1], table.keys)), len(contexts))
            with np.errstate(over="ignore", invalid="ignore"):
                weights = np.exp(look_up(table.contexts, table.log_backoffs, contexts, 0))
                total += weights * (_sums_below(sums, packing, contexts) - lower)
        for at in np.flatnonzero(~(total <= MOST_SUM))[:1]:  # nan too
            after = vocabulary.decode(packing.unpack(contexts[at : at + 1], k - 1)[0])
            raise BadInput(f"{where}: the probabilities after '{shown(after)}' sum to {total[at]:.4g}, not to 1")
        sums.append((contexts, total))


def _sums_below(sums: Sequence[tuple[Keys, Floats]], packing: Packing, contexts: Keys) -> Floats:
    """(G,) contexts of len(sums) ids -> (G,) the sums of p(v | h') over all symbols v, one order below."""
    if not sums:
        return np.zeros(len(contexts))
    known, values = sums[-1]
    shorter = packing.shorter(contexts, len(sums))
    found, (place, is_known) = _sums_below(sums[:-1], packing, shorter), find(known, shorter)
    found[is_known] = values[place[is_known]]
    return found


def _rows_of(table: BackoffTable, contexts: Keys) -> tuple[Ids, Ids]:
    """Returns all rows of these contexts: for each the index of its context here, and its place in the table."""
    first = np.zeros(len(contexts), dtype=np.int64)
    last = first + table.packing.vocab_size - 1
    start = np.searchsorted(table.keys, table.packing.extended(contexts, table.order, first))
    end = np.searchsorted(table.keys, table.packing.extended(contexts, table.order, last), side="right")
    sizes = end - start
    index = np.repeat(np.arange(len(contexts)), sizes)
    return index, np.arange(len(index)) + np.repeat(start - (np.cumsum(sizes) - sizes), sizes)


# --- entropy pruning ------------------------------------------------------------------------------------------------


def prune_by_entropy(tables: Sequence[BackoffTable], threshold: float) -> list[BackoffTable]:
    """Removes the rows that change the distribution least (Stolcke 1998, Entropy-based Pruning of Backoff Models).

    Without the row h w the model moves by the relative entropy (Kullback and Leibler)

        D = -p(h) { p(w | h) [log p(w | h') + log a'(h) - log p(w | h)]
                    + [log a'(h) - log a(h)] (1 - sum over rows of p(v | h)) }           (his equations 4 and 5)

    where a(h) = (1 - sum over rows of p(v | h)) / (1 - sum over rows of p(v | h')) is the back-off weight of h, a'(h)
    the weight without the row, and p(h) the probability of the context in the model. A row is removed if exp(D) - 1,
    the relative change of the perplexity, is below the threshold. All D are those of the whole model, so that the order
    of removal does not matter. Rows of order 1 stay, and rows that are the context of a longer row that stays. The
    weights are then computed again, from the lowest order up, so that each context sums to 1 if it did before.
    """
    kept: list[Bools] = []  # from the highest order down
    needed: Keys | None = None  # the contexts of the rows that stay, one order above
    for k in range(len(tables), 1, -1):
        table = tables[k - 1]
        stays = np.expm1(_relative_entropies(tables[:k])) >= threshold
        if needed is not None:
            stays |= np.isin(table.keys, needed)
        needed = np.unique(table.packing.context(table.keys[stays], k))
        kept.append(stays)
    pruned = [tables[0]]
    for table, stays in zip(tables[1:], reversed(kept), strict=True):
        pruned.append(_with_weights(pruned, table, table.keys[stays], table.log_probs[stays]))
    return pruned


def _relative_entropies(tables: Sequence[BackoffTable]) -> Floats:
    """Returns (R,) the relative entropy D that the removal of each row of the highest order costs."""
    table = tables[-1]
    log_p, log_lower = table.log_probs, score_shorter(tables[:-1], table.keys)
    p, lower = np.exp(log_p), np.exp(log_lower)
    contexts, index = np.unique(table.packing.context(table.keys, table.order), return_inverse=True)
    left = np.maximum(1 - np.bincount(index, p), 0)[index]
    left_below = np.maximum(1 - np.bincount(index, lower), 0)[index]
    log_context = _log_probs_of_contexts(tables[:-1], contexts)[index]
    with np.errstate(divide="ignore", invalid="ignore"):
        before, after = np.log(left / left_below), np.log((left + p) / (left_below + lower))  # (R,) log a(h), log a'(h)
        of_others = np.where(left > 0, (after - before) * left, 0)
    entropies: Floats = -np.exp(log_context) * (p * (log_lower + after - log_p) + of_others)
    return entropies


def _log_probs_of_contexts(tables: Sequence[BackoffTable], contexts: Keys) -> Floats:
    """(G,) sorted contexts, as long as the highest order -> (G,) log p(h), by the chain rule.

    The boundary that opens a document is as probable as the one that ends a document.
    """
    found = score_ngrams(tables, contexts)
    if len(tables) > 1:  # p(h) = p(newest symbol of h | the others) p(the others)
        shorter, index = np.unique(tables[-1].packing.context(contexts, len(tables)), return_inverse=True)
        found = found + _log_probs_of_contexts(tables[:-1], shorter)[index]
    return found


def _with_weights(below: Sequence[BackoffTable], table: BackoffTable, rows: Keys, log_probs: Floats) -> BackoffTable:
    """Returns a table of these rows, with the weights with which each context sums to 1 over the orders below."""
    contexts, index, n_rows = np.unique(
        table.packing.context(rows, table.order), return_inverse=True, return_counts=True
    )
    left = np.maximum(1 - np.bincount(index, np.exp(log_probs), len(contexts)), LEAST)  # (G,)
    left_below = 1 - np.bincount(index, np.exp(score_shorter(below, rows)), len(contexts))
    is_used = (n_rows < table.packing.vocab_size) & (left_below > 0)  # otherwise all possible symbols have a row
    weights = np.where(is_used, left, 1) / np.where(is_used, left_below, 1)  # a(h), see prune_by_entropy
    return BackoffTable(table.packing, table.order, rows, log_probs, contexts, np.log(weights))
