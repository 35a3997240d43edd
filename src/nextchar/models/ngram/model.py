"""The counted n-gram model: count tables and a smoothing method."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from nextchar.config.model_settings import Count
from nextchar.config.smoothing_settings import SmoothingSettings
from nextchar.data.vocabulary import BOUNDARY, Ids, Stream, Vocabulary
from nextchar.errors import BadInput
from nextchar.models.base import Floats, LanguageModel, OrderPredictions, Tensors, TensorSpec
from nextchar.models.ngram.backoff import LEAST, BackoffTable, score_shorter
from nextchar.models.ngram.counts import CountTable
from nextchar.models.ngram.estimation import method_of
from nextchar.models.ngram.keys import Keys, Packing
from nextchar.models.ngram.smoothing import NgramStatistics, Smoothing, statistics_by_order

CELLS_AT_ONCE = 1 << 20  # n-grams whose statistics are in memory at once when whole rows of V are computed


class CountModel(LanguageModel):
    """P_order of a smoothing method over the tables of the orders 1, 2, ..."""

    def __init__(self, vocabulary: Vocabulary, tables: Sequence[CountTable], smoothing: Smoothing) -> None:
        self.vocabulary, self.tables, self.smoothing = vocabulary, list(tables), smoothing
        self.order = len(tables)
        self.packing = tables[0].packing
        self.context = max(1, self.order - 1)
        self.sums_to_one = smoothing.sums_to_one

    def log_probs(self, contexts: Ids) -> Floats:
        v = len(self.vocabulary)
        distinct, index = self.packing.distinct(self._context_keys(contexts), self.order - 1)
        at_once = max(1, CELLS_AT_ONCE // v)
        table = np.empty((len(distinct), v))
        for start in range(0, len(distinct), at_once):
            part = slice(start, start + at_once)
            rows = self.packing.all_extended(distinct[part], self.order)
            _, _, log_p = next(self._orders(rows, whole_rows=True))
            table[part] = log_p.reshape(-1, v)
        return table[index]  # (N, V)

    def score(self, stream: Stream) -> Floats:
        """Looks up each distinct n-gram once, where the base class would compute a row of V for each context."""
        keys, index = self.packing.distinct_ngrams(stream, self.order)
        return self.score_ngrams(keys)[index]

    def score_ngrams(self, keys: Keys) -> Floats:
        """(U,) distinct, sorted n-grams of the highest order -> (U,) log-probabilities of their newest symbols."""
        scores = np.empty(len(keys))
        for part in self._parts(keys):
            _, _, scores[part] = next(self._orders(keys[part]))
        return scores

    def by_order(self, contexts: Ids, ids: Ids) -> OrderPredictions:
        ngrams = self.packing.extended(self._context_keys(contexts), self.order, ids)
        keys, index = self.packing.distinct(ngrams, self.order)
        log_probs = np.empty((self.order, len(keys)))
        lengths = np.zeros((3, len(keys)), dtype=np.int64)
        for part in self._parts(keys):
            for k, (seen, at, log_p) in zip(range(self.order, 0, -1), self._orders(keys[part]), strict=True):
                log_probs[k - 1, part] = log_p
                known = seen.counts > 0, seen.totals > 0, ~seen.is_padded  # the n-gram, its context, all that is there
                for longest, is_known in zip(lengths[:, part], known, strict=True):
                    np.maximum(longest, k * is_known[at], out=longest)
        if len(index) > len(keys) or (index[1:] < index[:-1]).any():  # else they came distinct and sorted
            # take() keeps a row contiguous, so that sums over it round the same; [:, index] would transpose the memory
            log_probs, lengths = log_probs.take(index, axis=1), lengths[:, index]
        return OrderPredictions(log_probs, *lengths)

    def _parts(self, keys: Keys) -> Iterator[slice]:
        """Cuts n-grams into parts that fit in memory if each becomes a row of V."""
        at_once = max(1, CELLS_AT_ONCE // len(self.vocabulary)) if self.smoothing.whole_rows else max(1, len(keys))
        for start in range(0, len(keys), at_once):
            yield slice(start, start + at_once)

    def _orders(self, keys: Keys, whole_rows: bool = False) -> Iterator[tuple[NgramStatistics, Ids, Floats]]:
        """Yields log P_k of U distinct, sorted n-grams, (U,), the highest order first.

        Beside it the statistics of order k, and (U,) the place there of each n-gram without its oldest symbols.
        """
        packing, at = self.packing, np.arange(len(keys))
        if self.smoothing.whole_rows and not whole_rows:
            contexts, row = packing.distinct(packing.context(keys, self.order), self.order - 1)  # (G,), (U,)
            at = row * packing.vocab_size + packing.newest(keys, self.order)
            keys, whole_rows = packing.all_extended(contexts, self.order), True
        statistics = statistics_by_order(self.tables, keys, whole_rows)
        probabilities = self.smoothing.probabilities(statistics, packing.vocab_size)
        for seen, p in zip(reversed(statistics), reversed(probabilities), strict=True):
            yield seen, at, _log(p[at])
            at = seen.shorter[at]

    def _context_keys(self, contexts: Ids) -> Keys:
        """(N, context) ids -> (N,) keys of order - 1 ids; all that stands before a boundary becomes boundaries."""
        contexts = contexts[:, contexts.shape[1] - (self.order - 1) :]
        is_before = np.logical_or.accumulate((contexts == BOUNDARY)[:, ::-1], axis=1)[:, ::-1]
        return self.packing.pack(np.where(is_before, BOUNDARY, contexts))

    # --- as back-off tables ------------------------------------------------------------------------------------------

    def backoff_tables(self) -> list[BackoffTable]:
        """Returns the same model in the form of ARPA files: a row for each n-gram that occurs, weights for the others.

        A row is P_k of its n-gram; the weight of a context is P_k / P_(k-1) of the symbols unseen after it. add_k uses
        no lower orders: its unigrams are uniform, the weights k V / (C + k V), and lower orders have only the rows that
        begin a document. Raises BadInput for scores that are no probabilities.
        """
        smoothing, v = self.smoothing, len(self.vocabulary)
        if not smoothing.sums_to_one:
            has = f"smoothing={smoothing.settings.name} has scores, not probabilities"
            raise BadInput(f"{has}; there is no back-off model of them")
        is_flat = self.order > 1 and not smoothing.uses_lower_orders
        every = self.packing.pack(np.arange(v)[:, None])
        unigrams = np.full(v, 1 / v)
        if not is_flat:
            unigrams = smoothing.probabilities(statistics_by_order(self.tables[:1], every), v)[0]
        found = [BackoffTable(self.packing, 1, every, _log(unigrams), every[:0], np.zeros(0))]
        for table in self.tables[1:]:
            if is_flat and table.order < self.order:
                opens = self.packing.unpack(table.keys, table.order)[:, 0] == BOUNDARY
                table = CountTable(table.keys[opens], table.counts[opens], self.packing, table.order)
            found.append(_backoff_table(table, smoothing, found, 1 / v if is_flat else None))
        return found

    # --- as tensors -------------------------------------------------------------------------------------------------

    def tensors(self) -> Tensors:
        """Returns the content of weights.safetensors: the sorted n-grams of each order k, and their counts.

        `keys_k` (R,) as in keys.py, byte strings as (R, bytes) uint8; `counts_k` (R,) of the narrowest unsigned dtype;
        `pruned_k` (G,) int64 if n-grams of this order were pruned; `parameters` (order, P) float64 of the smoothing.
        """
        tensors: Tensors = {"parameters": self.smoothing.parameters}
        for table in self.tables:
            keys = table.keys
            if self.packing.is_wide(table.order):
                keys = keys.view(np.uint8).reshape(len(keys), keys.dtype.itemsize)
            narrowest = np.min_scalar_type(table.counts.max(initial=0))
            tensors |= {f"keys_{table.order}": keys, f"counts_{table.order}": table.counts.astype(narrowest)}
            if table.pruned is not None:
                tensors[f"pruned_{table.order}"] = table.pruned
        return tensors

    @staticmethod
    def spec(settings: Count, vocab_size: int) -> dict[str, TensorSpec]:
        """Returns the names, dtypes and shapes of `tensors`."""
        packing = Packing(vocab_size)
        spec: dict[str, TensorSpec] = {"parameters": ("float64", (settings.order, None))}
        for k in range(1, settings.order + 1):
            dtype = packing.dtype(k)
            keys: TensorSpec = ("uint8", (None, dtype.itemsize)) if packing.is_wide(k) else (dtype.name, (None,))
            spec |= {f"keys_{k}": keys, f"counts_{k}": ("uint", (None,))}
            if settings.threshold(k):
                spec[f"pruned_{k}"] = ("int64", (None,))
        return spec

    @classmethod
    def from_tensors(
        cls, tensors: Tensors, vocabulary: Vocabulary, settings: Count, smoothing: SmoothingSettings, where: str
    ) -> "CountModel":
        """The inverse of `tensors`. Raises BadInput, naming `where`, for counts that no text can have."""
        packing, method, tables = Packing(len(vocabulary)), method_of(smoothing), []
        for k in range(1, settings.order + 1):
            keys, counts = tensors[f"keys_{k}"], tensors[f"counts_{k}"].astype(np.int64)
            pruned = tensors.get(f"pruned_{k}")
            if packing.is_wide(k):
                keys = np.ascontiguousarray(keys).view(packing.dtype(k)).ravel()
            if len(keys) != len(counts) or not _are_counts(counts, least=1):
                raise BadInput(f"{where}: counts_{k} are not the positive counts of keys_{k}")
            if (keys[1:] <= keys[:-1]).any() or (len(keys) and packing.newest(keys, k).max() >= len(vocabulary)):
                raise BadInput(f"{where}: keys_{k} are out of order or range")
            table = CountTable(keys, counts, packing, k)
            if pruned is not None and not (len(pruned) == len(table.contexts.keys) and _are_counts(pruned, least=0)):
                raise BadInput(f"{where}: pruned_{k} are not the sums that its contexts have lost")
            tables.append(replace(table, pruned=pruned))
        if not len(tables[0]):
            raise BadInput(f"{where}: keys_1 holds nothing")
        parameters = tensors["parameters"]
        if parameters.shape[1] != len(method.names) or not ((parameters >= 0) & (parameters <= method.highest)).all():
            raise BadInput(f"{where}: parameters are not those of the smoothing method")
        return cls(vocabulary, tables, method(smoothing, parameters))


def _log(probabilities: Floats) -> Floats:
    with np.errstate(divide="ignore"):  # probability 0 becomes -inf
        return np.log(probabilities)


def _are_counts(counts: Ids, least: int) -> bool:
    """Whether all are at least that high, and their sum fits in an int64."""
    return not len(counts) or bool(counts.min() >= least and counts.sum(dtype=np.float64) < 2**63)


def _backoff_table(
    table: CountTable, smoothing: Smoothing, below: Sequence[BackoffTable], uniform: float | None
) -> BackoffTable:
    """Returns the rows of a table with their P_k, and the weights of its contexts.

    One step of the smoothing gives both: it gets the R rows, and for each context with unseen symbols one more n-gram
    of count 0, which stands for all of them. Their P_(k-1) is 1 minus that of the rows, or `uniform` if given.
    """
    packing, order, contexts = table.packing, table.order, table.contexts
    n = len(contexts.keys)
    context_index = np.repeat(np.arange(n), np.diff(contexts.starts, append=len(table)))  # (R,)
    lower = np.exp(score_shorter(below, table.keys))  # (R,): P_(k-1) of the rows
    unseen = np.full(n, uniform) if uniform else np.maximum(1 - np.bincount(context_index, lower, n), LEAST)
    incomplete = np.flatnonzero(np.bincount(context_index, minlength=n) < packing.vocab_size)  # (I,)
    of = np.concatenate([context_index, incomplete])  # (R + I,): the rows, then an unseen symbol for each of these
    seen = NgramStatistics(
        counts=np.concatenate([table.counts, np.zeros(len(incomplete), dtype=np.int64)]),
        totals=contexts.totals[of],
        types=contexts.types[of],
        pruned=np.zeros(1, dtype=np.int64) if table.pruned is None else table.pruned[of],
        shorter=of,
        is_padded=np.zeros(len(of), dtype=bool),
        context_index=of,
    )
    p = smoothing.step(order, seen, np.concatenate([lower, unseen[incomplete]]), 1 / packing.vocab_size)
    log_weights = np.zeros(n)  # a weight of 1 where all symbols follow and none is used
    log_weights[incomplete] = _log(p[len(table) :] / unseen[incomplete])  # log bow(h) = log P_k - log P_(k-1)
    return BackoffTable(packing, order, table.keys, _log(np.minimum(p[: len(table)], 1)), contexts.keys, log_weights)
