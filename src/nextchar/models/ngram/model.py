"""The counted language model: tables of n-grams, a smoothing method, and what the one finds in the other."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nextchar.config.model_settings import Count
from nextchar.data.vocabulary import BOUNDARY, Ids, Stream, Vocabulary
from nextchar.errors import BadInput
from nextchar.models.base import ByOrder, Floats, LanguageModel, Tensors, TensorSpec
from nextchar.models.ngram.backoff import LEAST, BackoffTable, log_probs_of
from nextchar.models.ngram.counts import Table, run_starts
from nextchar.models.ngram.keys import Keys, Packing
from nextchar.models.ngram.smoothing import AddK, Evidence, Smoothing, StupidBackoff

CELLS_AT_ONCE = 1 << 20  # windows whose evidence is held at once when whole rows are asked for


def evidence(tables: Sequence[Table], keys: Keys) -> list[Evidence]:
    """What the tables of orders 1 to n show of distinct windows of order n, ascending, and of their lower orders."""
    found: list[Evidence] = []
    for table in reversed(tables):
        packing, k = table.packing, table.order
        below, lower = _distinct(packing.shorter(keys, k), packing, k - 1)
        found.append(replace(_seen(table, keys), lower=lower))
        keys = below
    return found[::-1]


def _seen(table: Table, keys: Keys) -> Evidence:
    packing, k, known = table.packing, table.order, table.contexts
    contexts = packing.context(keys, k)
    starts = run_starts(contexts)
    mates = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(keys)))
    totals = _looked_up(known.keys, known.totals, contexts[starts])[mates]
    types = _looked_up(known.keys, known.types, contexts[starts])[mates]
    pruned = np.zeros(1, dtype=np.int64)
    if table.pruned is not None:
        pruned = _looked_up(known.keys, table.pruned, contexts[starts])[mates]
    counts = _looked_up(table.keys, table.counts, keys)
    return Evidence(counts, totals, types, pruned, mates, packing.is_cut(keys, k), mates)


def _looked_up(keys: Keys, values: Ids, wanted: Keys) -> Ids:
    """The values of the wanted keys, 0 for those that are not among the sorted `keys`."""
    if not len(keys):
        return np.zeros((len(wanted), *values.shape[1:]), dtype=np.int64)
    place = np.searchsorted(keys, wanted)
    np.minimum(place, len(keys) - 1, out=place)
    found = values[place]
    found[keys[place] != wanted] = 0
    return found


def _distinct(keys: Keys, packing: Packing, k: int) -> tuple[Keys, Ids]:
    """The distinct keys of k symbols, ascending, and for each key which of them it is."""
    ordered, order = packing.ordered(keys, k)
    starts = run_starts(ordered)
    which = np.empty(len(keys), dtype=np.int64)
    which[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(keys)))
    return ordered[starts], which


class CountModel(LanguageModel):
    """n-grams counted and smoothed."""

    def __init__(self, vocabulary: Vocabulary, tables: Sequence[Table], smoothing: Smoothing) -> None:
        self.vocabulary, self.tables, self.smoothing = vocabulary, list(tables), smoothing
        self.order = len(tables)
        self.packing = tables[0].packing
        self.context = max(1, self.order - 1)
        self.sums_to_one = not isinstance(smoothing, StupidBackoff)

    def log_probs(self, contexts: Ids) -> Floats:
        v = len(self.vocabulary)
        distinct, which = _distinct(self._context_keys(contexts), self.packing, self.order - 1)
        at_once = max(1, CELLS_AT_ONCE // v)
        table = np.empty((len(distinct), v))
        for start in range(0, len(distinct), at_once):
            part = slice(start, start + at_once)
            probabilities = self.smoothing.probabilities(self._evidence_of_rows(distinct[part]), v)[-1]
            table[part] = self._log(probabilities).reshape(-1, v)
        return table[which]

    def score(self, stream: Stream) -> Floats:
        """Looks up each distinct window once, where the contract's own way would fill a row of V for each context."""
        windows = list(self.packing.windows(stream, 1, self.order))
        keys = np.concatenate(windows) if windows else np.zeros(0, self.packing.dtype(self.order))
        keys, which = _distinct(keys, self.packing, self.order)
        return self.score_windows(keys)[which]

    def score_windows(self, keys: Keys) -> Floats:
        """The log-probabilities of distinct windows, ascending: (U,) keys of the model's order -> (U,)."""
        if not self.smoothing.rows:
            return self._log(self.smoothing.probabilities(evidence(self.tables, keys), len(self.vocabulary))[-1])
        scores: Floats = self._from_rows(keys)[-1]
        return scores

    def by_order(self, contexts: Ids, ids: Ids) -> ByOrder:
        windows = self.packing.followed(self._context_keys(contexts), self.order, ids)
        keys, which = _distinct(windows, self.packing, self.order)
        shown, rows = evidence(self.tables, keys), self.smoothing.rows
        log_probs = self._from_rows(keys) if rows else np.empty((self.order, len(keys)))
        p = [] if rows else self.smoothing.probabilities(shown, len(self.vocabulary))
        seen, known, length = np.zeros((3, len(keys)), dtype=np.int64)
        at = np.arange(len(keys))  # the window of order k without its oldest symbols
        for k, of_order in zip(range(self.order, 0, -1), reversed(shown), strict=True):
            if not rows:
                log_probs[k - 1] = self._log(p[k - 1])[at]
            for longest, here in (seen, of_order.counts > 0), (known, of_order.totals > 0), (length, ~of_order.cut):
                np.maximum(longest, k * here[at], out=longest)
            at = of_order.lower[at]
        found = ByOrder(log_probs, seen, known, length)
        if (which[1:] > which[:-1]).all():  # they came as they are
            return found
        return ByOrder(log_probs[:, which], seen[which], known[which], length[which])

    def _from_rows(self, keys: Keys) -> Floats:
        """Distinct windows, ascending -> (order, U) log-probabilities, by way of whole rows of V."""
        contexts = self.packing.context(keys, self.order)
        starts = run_starts(contexts)
        rows = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(keys)))
        newest = self.packing.newest(keys, self.order)
        scores = np.empty((self.order, len(keys)))
        at_once = max(1, CELLS_AT_ONCE // len(self.vocabulary))
        for first in range(0, len(starts), at_once):
            part = slice(*np.searchsorted(rows, [first, first + at_once]))
            tables = self._by_order(contexts[starts[first : first + at_once]])
            scores[:, part] = [table[rows[part] - first, newest[part]] for table in tables]
        return scores

    def _by_order(self, contexts: Keys) -> list[Floats]:
        """Distinct contexts, ascending -> for each order their (N, V) log-probabilities."""
        v = len(self.vocabulary)
        seen = self._evidence_of_rows(contexts)
        which = np.arange(len(contexts) * v)
        found = []
        for of_order, p in zip(seen[::-1], self.smoothing.probabilities(seen, v)[::-1], strict=True):
            found.append(self._log(p[which]).reshape(len(contexts), v))
            which = of_order.lower[which]
        return found[::-1]

    def _evidence_of_rows(self, contexts: Keys) -> list[Evidence]:
        """Distinct contexts, ascending -> the `evidence` of all that V symbols make of them, context by context."""
        found, ids = list[Evidence](), np.arange(len(self.vocabulary))
        for table in reversed(self.tables):
            k, n = table.order, len(contexts)
            keys = self.packing.followed(np.repeat(contexts, len(ids)), k, np.tile(ids, n))
            below, which = contexts, np.zeros(n, dtype=np.int64)
            if k > 1:
                below, which = _distinct(self.packing.shorter(contexts, k - 1), self.packing, k - 2)
            lower = (which[:, None] * len(ids) + ids * (k > 1)).ravel()
            found.append(replace(_seen(table, keys), lower=lower))
            contexts = below
        return found[::-1]

    def _context_keys(self, contexts: Ids) -> Keys:
        """(N, context) ids -> (N,) keys of order - 1 symbols; nothing but boundaries stands before a boundary."""
        contexts = contexts[:, contexts.shape[1] - (self.order - 1) :]
        ended = np.logical_or.accumulate((contexts == BOUNDARY)[:, ::-1], axis=1)[:, ::-1]
        return self.packing.pack(np.where(ended, BOUNDARY, contexts))

    @staticmethod
    def _log(probabilities: Floats) -> Floats:
        with np.errstate(divide="ignore"):  # what has probability 0 has log-probability -inf
            return np.log(probabilities)

    # --- as back-off tables ------------------------------------------------------------------------------------------

    def backoff_tables(self) -> list[BackoffTable]:
        """The same model in another form, which ARPA files have: rows for what occurs, and weights for what does not.

        Of what is interpolated, or backs off, a row is P_k of the n-gram, and a context's weight what a symbol that was
        not seen there has of its P_(k-1). add_k knows no orders below: its weights, k V / (C + k V), stand over the
        uniform distribution as the unigrams, and of the lower orders it has only the rows that begin a document.
        Raises BadInput for stupid_backoff, of which files of probabilities can hold nothing.
        """
        smoothing, v = self.smoothing, len(self.vocabulary)
        if isinstance(smoothing, StupidBackoff):
            raise BadInput("smoothing=stupid_backoff has scores, not probabilities; there is no back-off model of them")
        every = self.packing.pack(np.arange(v)[:, None])
        is_flat = isinstance(smoothing, AddK) and self.order > 1
        p = smoothing.probabilities(evidence(self.tables[:1], every), v)[0] if not is_flat else np.full(v, 1 / v)
        found = [BackoffTable(self.packing, 1, every, self._log(p), every[:0], np.zeros(0))]
        for table in self.tables[1:]:
            if is_flat and table.order < self.order:
                table = _opening(table)
            found.append(_backing_off(table, smoothing, found, 1 / v if is_flat else None))
        return found

    # --- as tensors -------------------------------------------------------------------------------------------------

    def tensors(self) -> Tensors:
        """What weights.safetensors holds: for each order k the windows that occur, sorted, and their counts.

        `keys_k` (R,) as in packing.py (byte strings as (R, bytes) uint8); `counts_k` (R,), unsigned, in as few bytes as
        they need; `pruned_k` (G,) int64 of an order of which n-grams were pruned; and the smoothing method's
        `parameters` (order, P) float64.
        """
        tensors: Tensors = {"parameters": self.smoothing.parameters}
        for table in self.tables:
            keys = table.keys
            if self.packing.is_wide(table.order):
                keys = keys.view(np.uint8).reshape(len(keys), keys.dtype.itemsize)
            narrow = np.min_scalar_type(table.counts.max(initial=0))
            tensors |= {f"keys_{table.order}": keys, f"counts_{table.order}": table.counts.astype(narrow)}
            if table.pruned is not None:
                tensors[f"pruned_{table.order}"] = table.pruned
        return tensors

    @staticmethod
    def spec(settings: Count, vocab_size: int) -> dict[str, TensorSpec]:
        """Names, dtypes and shapes of `tensors`."""
        packing = Packing(vocab_size)
        spec: dict[str, TensorSpec] = {"parameters": ("float64", (settings.order, None))}
        for k in range(1, settings.order + 1):
            kind = packing.dtype(k)
            keys: TensorSpec = ("uint8", (None, kind.itemsize)) if packing.is_wide(k) else (kind.name, (None,))
            spec |= {f"keys_{k}": keys, f"counts_{k}": ("uint", (None,))}
            if settings.threshold(k):
                spec[f"pruned_{k}"] = ("int64", (None,))
        return spec

    @classmethod
    def from_tensors(
        cls, tensors: Tensors, vocabulary: Vocabulary, settings: Count, smoothing: type[Smoothing], where: str
    ) -> "CountModel":
        """The inverse of `tensors`. Raises BadInput, naming `where`, for counts that no text can have."""
        packing, tables = Packing(len(vocabulary)), []
        for k in range(1, settings.order + 1):
            keys, counts = tensors[f"keys_{k}"], tensors[f"counts_{k}"].astype(np.int64)
            pruned = tensors.get(f"pruned_{k}")
            if packing.is_wide(k):
                keys = np.ascontiguousarray(keys).view(packing.dtype(k)).ravel()
            if len(keys) != len(counts) or not _are_counts(counts, least=1):
                raise BadInput(f"{where}: counts_{k} are not the positive counts of keys_{k}")
            if (keys[1:] <= keys[:-1]).any() or (len(keys) and packing.newest(keys, k).max() >= len(vocabulary)):
                raise BadInput(f"{where}: keys_{k} are out of order or range")
            table = Table(keys, counts, packing, k)
            if pruned is not None and not (len(pruned) == len(table.contexts.keys) and _are_counts(pruned, least=0)):
                raise BadInput(f"{where}: pruned_{k} are not the sums that its contexts have lost")
            tables.append(replace(table, pruned=pruned))
        if not len(tables[0]):
            raise BadInput(f"{where}: keys_1 holds nothing")
        parameters = tensors["parameters"]
        if (
            parameters.shape[1] != len(smoothing.names)
            or not ((parameters >= 0) & (parameters <= smoothing.highest)).all()
        ):
            raise BadInput(f"{where}: parameters are not those of the smoothing method")
        return cls(vocabulary, tables, smoothing(parameters))


def _are_counts(counts: Ids, least: int) -> bool:
    """Whether all are at least so high, and their sum is an int64."""
    return not len(counts) or bool(counts.min() >= least and counts.sum(dtype=np.float64) < 2**63)


# --- back-off tables ------------------------------------------------------------------------------------------------


def _opening(table: Table) -> Table:
    """The n-grams that begin with a boundary, which come first."""
    first = np.zeros((1, table.order), dtype=np.int64)
    first[0, 0] = BOUNDARY + 1
    end = np.searchsorted(table.keys, table.packing.pack(first))[0]
    return Table(table.keys[:end], table.counts[:end], table.packing, table.order)


def _backing_off(
    table: Table, smoothing: Smoothing, below: Sequence[BackoffTable], alone: float | None
) -> BackoffTable:
    """A table's rows with their P_k, and its contexts' weights: P_k / P_(k-1) of all that was not seen there, as one.

    `alone`: P_(k-1) of whatever was not seen; None for what the rows leave over.
    """
    contexts = table.contexts
    n = len(contexts.keys)
    mates = np.repeat(np.arange(n), np.diff(contexts.starts, append=len(table)))
    shorter, which = _distinct(table.packing.shorter(table.keys, table.order), table.packing, table.order - 1)
    lower = np.exp(log_probs_of(below, shorter))[which]
    unseen = np.maximum(1 - np.bincount(mates, lower, n), LEAST) if alone is None else np.full(n, alone)
    opened = np.flatnonzero(np.bincount(mates, minlength=n) < table.packing.vocab_size)  # not all symbols follow
    of = np.concatenate([mates, opened])
    counts = np.concatenate([table.counts, np.zeros(len(opened), dtype=np.int64)])
    lost = np.zeros(n, dtype=np.int64) if table.pruned is None else table.pruned
    uncut = np.zeros(len(of), dtype=bool)
    seen = Evidence(counts, contexts.totals[of], contexts.types[of], lost[of], of, uncut, of)
    p = smoothing.step(table.order, seen, np.concatenate([lower, unseen[opened]]), 1 / table.packing.vocab_size)
    weights = np.zeros(n)  # 1 where it is never used
    with np.errstate(divide="ignore"):
        log_probs, weights[opened] = np.log(np.minimum(p[: len(table)], 1)), np.log(p[len(table) :] / unseen[opened])
    return BackoffTable(table.packing, table.order, table.keys, log_probs, contexts.keys, weights)
