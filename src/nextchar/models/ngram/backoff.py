"""Back-off models: a probability for each n-gram that is listed, and for what is not, the order below times a weight.

    log p_k(w | h) = log p(h w)                       where h w, of k symbols, has a row
                   = log bow(h) + log p_{k-1}(w | h') otherwise; h' is h without its oldest symbol

(Katz 1987). A context without a weight has weight 1. Interpolated models are of this form too: the row's probability
is the interpolated one, and the weight the share that the context gives to the order below.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nextchar.data.vocabulary import Ids, Stream, Vocabulary
from nextchar.errors import BadInput
from nextchar.models.base import ByOrder, Floats, LanguageModel, Tensors, TensorSpec
from nextchar.models.ngram.keys import Keys, Packing

LEAST = 1e-99  # what files take for 0
HIGHEST_ORDER = 64  # of what is read; a file's word for it must not choose how much work is done


@dataclass(frozen=True)
class BackoffTable:
    """The n-grams of one order, in natural logarithms.

    `keys` (R,) sorted, of `order` symbols (see packing.py); `log_probs` (R,) float64, at most 0. `contexts` (G,)
    sorted, of order - 1 symbols; `log_backoffs` (G,) float64: the weights that are used where a window has no row.
    Of order 1 there are no contexts, and what has no row has probability 0.
    """

    packing: Packing
    order: int
    keys: Keys
    log_probs: Floats
    contexts: Keys
    log_backoffs: Floats

    def __len__(self) -> int:
        return len(self.keys)


class BackoffModel(LanguageModel):
    """Tables of the orders 1, 2, ..., all of the vocabulary's packing."""

    def __init__(self, vocabulary: Vocabulary, tables: Sequence[BackoffTable]) -> None:
        self.vocabulary, self.tables = vocabulary, list(tables)
        self.packing, self.order = Packing(len(vocabulary)), len(self.tables)
        self.context = max(1, self.order - 1)

    def backoff_tables(self) -> list[BackoffTable]:
        """The tables as they are."""
        return self.tables

    def log_probs(self, contexts: Ids) -> Floats:
        """Row by row from the order 1 up: all weighted down, and what the order lists written over it."""
        unigrams = np.full(len(self.vocabulary), -np.inf)
        unigrams[self.packing.newest(self.tables[0].keys, 1)] = self.tables[0].log_probs
        found = np.tile(unigrams, (len(contexts), 1))
        for table in self.tables[1:]:
            seen = self.packing.pack(contexts[:, contexts.shape[1] - (table.order - 1) :])
            found += look_up(table.contexts, table.log_backoffs, seen, 0)[:, None]
            which, rows = _rows_of(table, seen)
            found[which, self.packing.newest(table.keys[rows], table.order)] = table.log_probs[rows]
        return found

    def score(self, stream: Stream) -> Floats:
        """Looks up each distinct window once; equal windows have equal scores."""
        if len(stream) < 2:
            return np.zeros(0)
        windows = np.concatenate(list(self.packing.windows(stream, 1, self.order)))
        distinct, which = np.unique(windows, return_inverse=True)
        return self.score_windows(distinct)[which]

    def score_windows(self, windows: Keys) -> Floats:
        """The log-probabilities of distinct windows, ascending: (U,) keys of the model's order -> (U,)."""
        return log_probs_of(self.tables, windows)

    def by_order(self, contexts: Ids, ids: Ids) -> ByOrder:
        """What an order says alone is what the model says without the orders above."""
        windows = self.packing.pack(np.column_stack([contexts[:, contexts.shape[1] - (self.order - 1) :], ids]))
        log_probs = np.empty((self.order, len(ids)))
        seen, known, length = np.ones((3, len(ids)), dtype=np.int64)
        for table in reversed(self.tables):
            k, packing = table.order, self.packing
            distinct, which = np.unique(windows, return_inverse=True)
            log_probs[k - 1] = log_probs_of(self.tables[:k], distinct)[which]
            opened = ~packing.is_cut(windows, k)
            is_row = _find(table.keys, windows)[1]
            followed = np.unique(packing.context(table.keys, k))
            for longest, here in (
                (seen, is_row),
                (known, _find(followed, packing.context(windows, k))[1]),
                (length, True),
            ):
                np.maximum(longest, k * (here & opened), out=longest)
            windows = packing.shorter(windows, k)
        seen[(seen == 1) & ~is_row] = 0
        return ByOrder(log_probs, seen, known, length)

    # --- the weights of a run folder --------------------------------------------------------------------------------

    @staticmethod
    def spec(vocab_size: int) -> dict[str, TensorSpec]:
        """What weights.safetensors holds of a model of so many ids."""
        ids = np.min_scalar_type(vocab_size - 1).name
        return {
            "sizes": ("int64", (None, 2)),
            "ids": (ids, (None,)),
            "log_probs": ("float64", (None,)),
            "context_ids": (ids, (None,)),
            "log_backoffs": ("float64", (None,)),
        }

    def tensors(self) -> Tensors:
        """`sizes` (order, 2): rows and contexts of each order; then all rows and all contexts, one order after another.

        `ids` holds k ids for each row of order k, `context_ids` k - 1 for each of its contexts.
        """
        narrow = np.min_scalar_type(len(self.vocabulary) - 1)
        rows = [self.packing.unpack(table.keys, table.order).ravel() for table in self.tables]
        contexts = [self.packing.unpack(table.contexts, table.order - 1).ravel() for table in self.tables[1:]]
        return {
            "sizes": np.array([(len(table), len(table.contexts)) for table in self.tables], dtype=np.int64),
            "ids": np.concatenate(rows).astype(narrow),
            "log_probs": np.concatenate([table.log_probs for table in self.tables]),
            "context_ids": np.concatenate([*contexts, np.zeros(0, dtype=np.int64)]).astype(narrow),
            "log_backoffs": np.concatenate([table.log_backoffs for table in self.tables]),
        }

    @classmethod
    def from_tensors(cls, tensors: Tensors, vocabulary: Vocabulary, where: str) -> "BackoffModel":
        """The inverse of `tensors`. Raises BadInput, naming `where`, for what is no sorted table of probabilities."""
        packing, sizes = Packing(len(vocabulary)), tensors["sizes"]
        orders, most = np.arange(1, len(sizes) + 1), len(tensors["log_probs"]) + len(tensors["log_backoffs"])
        if not 1 <= len(sizes) <= HIGHEST_ORDER or sizes.min() < 0 or sizes.max() > most or sizes[0, 1]:
            raise BadInput(f"{where}: the sizes are no sizes of tables")
        rows, contexts = sizes.T
        wanted = (rows @ orders, rows.sum(), contexts @ (orders - 1), contexts.sum())
        if wanted != tuple(len(tensors[name]) for name in ("ids", "log_probs", "context_ids", "log_backoffs")):
            raise BadInput(f"{where}: the tables are not of the sizes that it gives")
        if max(tensors["ids"].max(initial=0), tensors["context_ids"].max(initial=0)) >= len(vocabulary):
            raise BadInput(f"{where}: ids beyond the vocabulary")
        if (tensors["log_probs"] > 0).any():
            raise BadInput(f"{where}: probabilities above 1")
        row_ids = np.split(tensors["ids"], np.cumsum(rows * orders)[:-1])
        context_ids = np.split(tensors["context_ids"], np.cumsum(contexts * (orders - 1))[:-1])
        log_probs = np.split(tensors["log_probs"], np.cumsum(rows)[:-1])
        log_backoffs = np.split(tensors["log_backoffs"], np.cumsum(contexts)[:-1])
        tables = []
        for k in range(1, len(sizes) + 1):
            keys = packing.pack(row_ids[k - 1].reshape(-1, k))
            of_contexts = packing.pack(context_ids[k - 1].reshape(-1, k - 1)) if k > 1 else keys[:0]
            if (keys[1:] <= keys[:-1]).any() or (of_contexts[1:] <= of_contexts[:-1]).any():
                raise BadInput(f"{where}: the rows of order {k} are not in order")
            tables.append(BackoffTable(packing, k, keys, log_probs[k - 1], of_contexts, log_backoffs[k - 1]))
        return cls(vocabulary, tables)


def log_probs_of(tables: Sequence[BackoffTable], windows: Keys) -> Floats:
    """(N,) sorted distinct windows of the highest order -> (N,) log-probabilities of their newest symbols."""
    table = tables[-1]
    if table.order == 1:
        return look_up(table.keys, table.log_probs, windows, -np.inf)
    place, is_row = _find(table.keys, windows)
    found = np.empty(len(windows))
    found[is_row] = table.log_probs[place[is_row]]
    if len(missing := windows[~is_row]):
        shorter, which = np.unique(table.packing.shorter(missing, table.order), return_inverse=True)
        weights = look_up(table.contexts, table.log_backoffs, table.packing.context(missing, table.order), 0)
        found[~is_row] = weights + log_probs_of(tables[:-1], shorter)[which]
    return found


def _find(keys: Keys, wanted: Keys) -> tuple[Ids, npt.NDArray[np.bool_]]:
    """Where the wanted keys stand among the sorted ones, and which stand there at all."""
    place = np.searchsorted(keys, wanted)
    if not len(keys):
        return place, np.zeros(len(wanted), dtype=bool)
    place = np.minimum(place, len(keys) - 1)
    return place, keys[place] == wanted


def look_up(keys: Keys, values: Floats, wanted: Keys, otherwise: float) -> Floats:
    """The value of each wanted key, where the sorted ones have it."""
    place, is_there = _find(keys, wanted)
    found = np.full(len(wanted), otherwise, dtype=np.float64)
    found[is_there] = values[place[is_there]]
    return found


def _rows_of(table: BackoffTable, contexts: Keys) -> tuple[Ids, Ids]:
    """All rows of all these contexts: for each the number of its context among these, and its place in the table."""
    first = np.zeros(len(contexts), dtype=np.int64)
    last = first + table.packing.vocab_size - 1
    start = np.searchsorted(table.keys, table.packing.followed(contexts, table.order, first))
    end = np.searchsorted(table.keys, table.packing.followed(contexts, table.order, last), side="right")
    sizes = end - start
    which = np.repeat(np.arange(len(contexts)), sizes)
    return which, np.arange(len(which)) + np.repeat(start - (np.cumsum(sizes) - sizes), sizes)


# --- pruning --------------------------------------------------------------------------------------------------------


def pruned(tables: Sequence[BackoffTable], threshold: float) -> list[BackoffTable]:
    """Without the rows that change the distribution least: entropy pruning (Stolcke 1998, Entropy-based Pruning).

    To take the row h w away moves the model, by relative entropy (Kullback and Leibler), by

        D = -p(h) { p(w | h) [log p(w | h') + log a'(h) - log p(w | h)]
                    + [log a'(h) - log a(h)] (1 - sum over rows of p(v | h)) }           (his equations 4 and 5)

    where a(h) = (1 - sum over rows of p(v | h)) / (1 - sum over rows of p(v | h')) is the back-off weight of h, a'(h)
    that without the row, and p(h) the probability of the context by the model itself. A row goes where exp(D) - 1, the
    relative change of the perplexity, is below the threshold; the sums are those of the model as it came, so that no
    order among rows matters. Never goes a row of order 1, nor one that is the context of a longer row that stays. The
    weights are then computed anew, from the lowest order up, so that every context sums to 1 if it did before.
    """
    kept: list[npt.NDArray[np.bool_]] = []
    needed: Keys | None = None  # the contexts of the rows that stay, an order above
    for k in range(len(tables), 1, -1):
        table = tables[k - 1]
        stays = np.expm1(_losses(tables[:k])) >= threshold
        if needed is not None:
            stays |= np.isin(table.keys, needed)
        needed = np.unique(table.packing.context(table.keys[stays], k))
        kept.append(stays)
    result = [tables[0]]
    for table, stays in zip(tables[1:], reversed(kept), strict=True):
        rows = table.keys[stays]
        result.append(_with_weights(result, table, rows, table.log_probs[stays]))
    return result


def _losses(tables: Sequence[BackoffTable]) -> Floats:
    """(R,): the relative entropy D that each row of the highest order is worth."""
    table = tables[-1]
    log_p, log_lower = table.log_probs, _of_shorter(tables[:-1], table)
    p, lower = np.exp(log_p), np.exp(log_lower)
    contexts, which = np.unique(table.packing.context(table.keys, table.order), return_inverse=True)
    left = np.maximum(1 - np.bincount(which, p), 0)[which]
    left_below = np.maximum(1 - np.bincount(which, lower), 0)[which]
    log_context = _log_prob_of_contexts(tables[:-1], contexts)[which]
    with np.errstate(divide="ignore", invalid="ignore"):
        before, after = np.log(left / left_below), np.log((left + p) / (left_below + lower))
        of_others = np.where(left > 0, (after - before) * left, 0)
    losses: Floats = -np.exp(log_context) * (p * (log_lower + after - log_p) + of_others)
    return losses


def _of_shorter(below: Sequence[BackoffTable], table: BackoffTable) -> Floats:
    """(R,): what the orders below say of each row of a table, log p(w | h')."""
    shorter, which = np.unique(table.packing.shorter(table.keys, table.order), return_inverse=True)
    return log_probs_of(below, shorter)[which]


def _log_prob_of_contexts(tables: Sequence[BackoffTable], contexts: Keys) -> Floats:
    """(G,) sorted contexts, as long as the highest order -> log p(h), by the chain rule from the oldest symbol on.

    The boundary that opens a document is as probable as the one that ended the document before.
    """
    found = log_probs_of(tables, contexts)
    if len(tables) > 1:
        shorter, which = np.unique(tables[-1].packing.context(contexts, len(tables)), return_inverse=True)
        found = found + _log_prob_of_contexts(tables[:-1], shorter)[which]
    return found


def _with_weights(below: Sequence[BackoffTable], table: BackoffTable, rows: Keys, log_probs: Floats) -> BackoffTable:
    """The rows as a table, with the weights that make each context sum to 1 over these orders below."""
    fresh = BackoffTable(table.packing, table.order, rows, log_probs, rows[:0], log_probs[:0])
    contexts, which, sizes = np.unique(
        table.packing.context(rows, table.order), return_inverse=True, return_counts=True
    )
    left = np.maximum(1 - np.bincount(which, np.exp(log_probs), len(contexts)), LEAST)
    left_below = 1 - np.bincount(which, np.exp(_of_shorter(below, fresh)), len(contexts))
    is_used = (sizes < table.packing.vocab_size) & (left_below > 0)  # else all that there is has a row
    weights = np.where(is_used, left, 1) / np.where(is_used, left_below, 1)
    return BackoffTable(table.packing, table.order, rows, log_probs, contexts, np.log(weights))
