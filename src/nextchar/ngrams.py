"""The counted language model: tables of n-grams, a smoothing method, and what the one finds in the other."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nextchar.counts import Table, run_starts
from nextchar.errors import BadInput
from nextchar.foreign import TensorSpec
from nextchar.language_model import ByOrder, Floats, LanguageModel, Tensors
from nextchar.packing import Keys, Packing
from nextchar.smoothing import Evidence, Smoothing
from nextchar.vocabulary import BOUNDARY, Ids, Stream, Vocabulary

CELLS_AT_ONCE = 1 << 20  # windows whose evidence is held at once when whole rows are asked for


def evidence(tables: Sequence[Table], keys: Keys) -> list[Evidence]:
    """What the tables of orders 1 to n show of distinct windows of order n, ascending, and of their lower orders."""
    found: list[Evidence] = []
    for table in reversed(tables):
        packing, k = table.packing, table.order
        below, lower = _distinct(packing.shorter(keys, k))
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
    counts = _looked_up(table.keys, table.counts, keys)
    return Evidence(counts, totals, types, mates, packing.is_cut(keys, k), mates)


def _looked_up(keys: Keys, values: Ids, wanted: Keys) -> Ids:
    """The values of the wanted keys, 0 for those that are not among the sorted `keys`."""
    if not len(keys):
        return np.zeros((len(wanted), *values.shape[1:]), dtype=np.int64)
    place = np.searchsorted(keys, wanted)
    np.minimum(place, len(keys) - 1, out=place)
    found = values[place]
    found[keys[place] != wanted] = 0
    return found


def _distinct(keys: Keys) -> tuple[Keys, Ids]:
    """The distinct keys, ascending, and for each key which of them it is."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
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

    def log_probs(self, contexts: Ids) -> Floats:
        v = len(self.vocabulary)
        distinct, which = _distinct(self._context_keys(contexts))
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
        keys, which = _distinct(np.concatenate(windows) if windows else np.zeros(0, self.packing.dtype(self.order)))
        return self.score_windows(keys)[which]

    def score_windows(self, keys: Keys) -> Floats:
        """The log-probabilities of distinct windows, ascending: (U,) keys of the model's order -> (U,)."""
        if not self.smoothing.rows:
            return self._log(self.smoothing.probabilities(evidence(self.tables, keys), len(self.vocabulary))[-1])
        scores: Floats = self._from_rows(keys)[-1]
        return scores

    def by_order(self, contexts: Ids, ids: Ids) -> ByOrder:
        keys, which = _distinct(self.packing.followed(self._context_keys(contexts), self.order, ids))
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
            below, which = _distinct(self.packing.shorter(contexts, k - 1)) if k > 1 else (contexts, np.zeros(n, int))
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

    # --- as tensors -------------------------------------------------------------------------------------------------

    def tensors(self) -> Tensors:
        """What weights.safetensors holds: for each order k the windows that occur, sorted, and their counts.

        `keys_k` (R,) as in packing.py (byte strings as (R, bytes) uint8), `counts_k` (R,) int64, and the smoothing
        method's `parameters` (order, P) float64.
        """
        tensors: Tensors = {"parameters": self.smoothing.parameters}
        for table in self.tables:
            keys = table.keys
            if self.packing.is_wide(table.order):
                keys = keys.view(np.uint8).reshape(len(keys), keys.dtype.itemsize)
            tensors |= {f"keys_{table.order}": keys, f"counts_{table.order}": table.counts}
        return tensors

    @staticmethod
    def spec(order: int, vocab_size: int) -> dict[str, TensorSpec]:
        """Names, dtypes and shapes of `tensors`."""
        packing = Packing(vocab_size)
        spec: dict[str, TensorSpec] = {"parameters": ("float64", (order, None))}
        for k in range(1, order + 1):
            wide = packing.is_wide(k)
            keys: TensorSpec = (
                ("uint8", (None, packing.dtype(k).itemsize)) if wide else (packing.dtype(k).name, (None,))
            )
            spec |= {f"keys_{k}": keys, f"counts_{k}": ("int64", (None,))}
        return spec

    @classmethod
    def from_tensors(
        cls, tensors: Tensors, vocabulary: Vocabulary, order: int, smoothing: type[Smoothing], where: str
    ) -> "CountModel":
        """The inverse of `tensors`. Raises BadInput, naming `where`, for counts that no text can have."""
        packing, tables = Packing(len(vocabulary)), []
        for k in range(1, order + 1):
            keys, counts = tensors[f"keys_{k}"], tensors[f"counts_{k}"]
            if packing.is_wide(k):
                keys = np.ascontiguousarray(keys).view(packing.dtype(k)).ravel()
            if len(keys) != len(counts) or (len(counts) and counts.min() < 1) or counts.astype(float).sum() >= 2**63:
                raise BadInput(f"{where}: counts_{k} are not the positive counts of keys_{k}")
            if (keys[1:] <= keys[:-1]).any() or (len(keys) and packing.newest(keys, k).max() >= len(vocabulary)):
                raise BadInput(f"{where}: keys_{k} are out of order or range")
            tables.append(Table(keys, counts, packing, k))
        return cls(vocabulary, tables, smoothing(tensors["parameters"]))
