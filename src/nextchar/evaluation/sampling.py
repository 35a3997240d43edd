"""Text out of any model: one uniform number a character, turned into an id by the inverse cumulative distribution."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from nextchar.data.vocabulary import BOUNDARY, Ids
from nextchar.errors import BadInput
from nextchar.models.base import Floats, LanguageModel, every_context, number
from nextchar.models.ngram.keys import Keys, Packing
from nextchar.rng import TorchStream, document_uniform

SIDE_BY_SIDE = 1 << 14  # documents
FEWEST_SIDE_BY_SIDE = 64  # at first, where nobody knows how many will be asked for
FEW_CELLS = 1 << 15  # up to here the distributions of all contexts are computed at once
KEPT_CELLS = 1 << 22  # of the distributions of contexts that may be asked for again
PATIENCE = 10_000  # documents that are known, one after the other: the model has nothing else to say


@dataclass(frozen=True)
class Shape:
    """How a distribution is bent before a character is drawn from it."""

    temperature: float = 1
    top_k: int | None = None
    top_p: float | None = None

    def probabilities(self, log_probs: Floats) -> Floats:
        """(N, V) log-probabilities -> (N, V) float64 that sum to 1.

        temperature: p^(1/t), 0 puts all on the likeliest; top_k (Fan et al. 2018): the k likeliest; top_p (nucleus,
        Holtzman et al. 2020): the fewest likeliest ones that together hold p. Of equal ones the lower id comes first.
        """
        if self.temperature == 0:
            certain: Floats = np.eye(log_probs.shape[1])[log_probs.argmax(1)]
            return certain
        scaled = log_probs / self.temperature
        probs: Floats = np.exp(scaled - scaled.max(1, keepdims=True))
        probs /= probs.sum(1, keepdims=True)
        if self.top_k is None and self.top_p is None:
            return probs
        order = np.argsort(-probs, axis=1, kind="stable")
        ranked = np.take_along_axis(probs, order, axis=1)
        if self.top_k is not None:
            ranked[:, self.top_k :] = 0
            ranked /= ranked.sum(1, keepdims=True)
        if self.top_p is not None:
            before = np.cumsum(ranked, axis=1) - ranked
            ranked[before >= self.top_p] = 0
        np.put_along_axis(probs, order, ranked / ranked.sum(1, keepdims=True), axis=1)
        return probs


class _Cumulative:
    """The cumulative distributions of contexts: of all where these are few, else of those that were asked for, kept."""

    def __init__(self, model: LanguageModel, shape: Shape) -> None:
        self.model, self.shape, self.size = model, shape, len(model.vocabulary)
        self._packing = Packing(self.size)
        self._all: Floats | None = None
        if self.size ** (model.context + 1) <= FEW_CELLS:
            self._all = self._compute(every_context(self.size, model.context))
        self._forget()

    def of(self, contexts: Ids) -> Floats:
        """(N, context) -> (N, V)."""
        if self._all is not None:
            rows: Floats = self._all[number(contexts, self.size)]
            return rows
        keys, which = np.unique(self._packing.pack(contexts), return_inverse=True)
        if (len(self._keys) + len(keys)) * self.size > KEPT_CELLS:
            self._forget()
        if len(keys) * self.size > KEPT_CELLS:
            return self._compute(contexts)
        places = self._places(keys)[which]
        return self._rows[places]

    def one(self, context: tuple[int, ...]) -> Floats:
        """(V,) of one context."""
        if context not in self._ones:
            if len(self._ones) * self.size > KEPT_CELLS:
                self._ones.clear()
            asked = np.array([context])
            self._ones[context] = self._compute(asked)[0] if self._all is None else self.of(asked)[0]
        return self._ones[context]

    def _forget(self) -> None:
        """`_keys` (M,), ascending, those of the contexts kept, and which of `_rows` (>= M, V) each has."""
        self._keys = np.zeros(0, dtype=self._packing.dtype(self.model.context))
        self._row_of = np.zeros(0, dtype=np.int64)
        self._rows = np.empty((0, self.size))
        self._ones: dict[tuple[int, ...], Floats] = {}

    def _places(self, keys: Keys) -> Ids:
        """Distinct keys, ascending -> which rows they have; those that are new get one."""
        at = np.searchsorted(self._keys, keys)
        is_new = np.ones(len(keys), dtype=bool)
        inside = at < len(self._keys)
        is_new[inside] = self._keys[at[inside]] != keys[inside]
        if is_new.any():
            new, kept = keys[is_new], len(self._keys)
            if kept + len(new) > len(self._rows):
                larger = np.empty((max(2 * len(self._rows), kept + len(new)), self.size))
                larger[:kept] = self._rows[:kept]
                self._rows = larger
            self._rows[kept : kept + len(new)] = self._compute(self._packing.unpack(new, self.model.context))
            self._row_of = np.insert(self._row_of, at[is_new], np.arange(kept, kept + len(new)))
            self._keys = np.insert(self._keys, at[is_new], new)
            at = np.searchsorted(self._keys, keys)
        return self._row_of[at]

    def _compute(self, contexts: Ids) -> Floats:
        cumulative: Floats = np.cumsum(self.shape.probabilities(self.model.log_probs(contexts)), axis=1)
        # rounding may leave the last sum below 1: whatever u, no id of probability 0 and none beyond V is drawn
        cumulative[cumulative >= cumulative[:, -1:]] = 1
        return cumulative


def documents(
    model: LanguageModel, n: int, seed: int, prefix: str = "", shape: Shape = Shape(), max_chars: int = 1000
) -> list[str]:
    """n documents from one random stream that runs through them in order: the first 5 of 1,000 are those of n=5.

    Raises BadInput where the vocabulary lacks a character of the prefix.
    """
    return list(islice(stream_of_documents(model, seed, prefix, shape, max_chars), n))


def stream_of_documents(
    model: LanguageModel, seed: int, prefix: str = "", shape: Shape = Shape(), max_chars: int = 1000
) -> Iterator[str]:
    """Documents without end; see `documents`."""
    start = model.vocabulary.known(prefix, f"prefix={prefix}").tolist()
    cumulative = _Cumulative(model, shape)
    uniforms = _one_by_one(TorchStream(seed))
    while True:
        ids = [BOUNDARY] * model.context + start
        while len(ids) < model.context + max(max_chars, len(start)):
            context = tuple(ids[-model.context :])
            ids.append(int(np.searchsorted(cumulative.one(context), next(uniforms), side="right")))
            if ids[-1] == BOUNDARY:
                break
        yield model.vocabulary.decode(ids)


def batched(
    model: LanguageModel, n: int, seed: int, prefix: str = "", shape: Shape = Shape(), max_chars: int = 1000
) -> list[str]:
    """n documents drawn side by side, each with a random stream of its own: the same however many are drawn at once.

    Raises BadInput where the vocabulary lacks a character of the prefix.
    """
    return list(stream_of_batches(model, n, seed, prefix, shape, max_chars))


def stream_of_batches(
    model: LanguageModel, n: int | None, seed: int, prefix: str = "", shape: Shape = Shape(), max_chars: int = 1000
) -> Iterator[str]:
    """The documents of `batched`, one after the other; without end where n is None."""
    start = model.vocabulary.known(prefix, f"prefix={prefix}")
    cumulative = _Cumulative(model, shape)
    first = 0
    while n is None or first < n:
        size = min(SIDE_BY_SIDE, n - first if n is not None else max(first, FEWEST_SIDE_BY_SIDE))
        yield from _side_by_side(model, cumulative, np.arange(first, first + size), seed, start, max_chars)
        first += size


def _side_by_side(
    model: LanguageModel, cumulative: _Cumulative, numbers: Ids, seed: int, start: Ids, max_chars: int
) -> list[str]:
    """The documents of these numbers, one column of ids a step until all have ended."""
    contexts = np.zeros((len(numbers), model.context), dtype=np.int64)
    tail = start[-model.context :]
    contexts[:, model.context - len(tail) :] = tail
    alive = np.arange(len(numbers))
    columns = [np.full(len(numbers), id_) for id_ in start]
    for step in range(max(max_chars - len(start), 0)):
        uniform = document_uniform(seed, numbers[alive], step)
        ids = (cumulative.of(contexts) <= uniform[:, None]).sum(1)
        column = np.zeros(len(numbers), dtype=np.int64)
        column[alive] = ids
        columns.append(column)
        going_on = ids != BOUNDARY
        alive = alive[going_on]
        contexts = np.concatenate([contexts[going_on, 1:], ids[going_on, None]], axis=1)
        if not len(alive):
            break
    table = np.stack(columns, axis=1) if columns else np.zeros((len(numbers), 0), dtype=np.int64)
    text, ends = model.vocabulary.decode(table.ravel()), np.cumsum((table != BOUNDARY).sum(1)).tolist()
    return [text[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]


class Known:
    """The documents of a training set by the `hash` of each: of D, a new one is taken for one in D of 2^64 cases.

    `met`: how many documents were left out of what was drawn.
    """

    def __init__(self, hashes: Ids) -> None:
        self._hashes, self.met = np.unique(hashes), 0

    def __contains__(self, text: str) -> bool:
        wanted = hash(text)
        place = int(self._hashes.searchsorted(wanted))
        return place < len(self._hashes) and int(self._hashes[place]) == wanted

    def left_out_of(self, texts: Iterable[str]) -> Iterator[str]:
        """The texts that are not known, in their order. Raises BadInput where nothing new comes for long."""
        in_a_row = 0
        for text in texts:
            if text not in self:
                in_a_row = 0
                yield text
                continue
            self.met, in_a_row = self.met + 1, in_a_row + 1
            if in_a_row == PATIENCE:
                raise BadInput(
                    f"novel=true: {PATIENCE:,} documents in a row stand in the training set; "
                    "a higher temperature, or a model of a lower order, says new ones"
                )


def _one_by_one(stream: TorchStream) -> Iterator[float]:
    while True:
        yield from stream.uniform(256).tolist()
