"""Text out of any model: one uniform number a character, turned into an id by the inverse cumulative distribution."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from nextchar.language_model import TABLE_CELLS, Floats, LanguageModel, every_context, number
from nextchar.random_numbers import TorchStream, document_uniform
from nextchar.vocabulary import BOUNDARY, Ids

SIDE_BY_SIDE = 1 << 14  # documents


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
    """The cumulative distributions of contexts, from a table of all where that is small."""

    def __init__(self, model: LanguageModel, shape: Shape) -> None:
        self.model, self.shape, self.size = model, shape, len(model.vocabulary)
        self._table: Floats | None = None
        if self.size ** (model.context + 1) <= TABLE_CELLS:
            self._table = self._compute(every_context(self.size, model.context))

    def of(self, contexts: Ids) -> Floats:
        """(N, context) -> (N, V)."""
        if self._table is not None:
            rows: Floats = self._table[number(contexts, self.size)]
            return rows
        return self._compute(contexts)

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
    memory: dict[tuple[int, ...], Floats] = {}
    uniforms = _one_by_one(TorchStream(seed))
    while True:
        ids = [BOUNDARY] * model.context + start
        while len(ids) < model.context + max(max_chars, len(start)):
            context = tuple(ids[-model.context :])
            if context not in memory:
                if len(memory) * cumulative.size > TABLE_CELLS:
                    memory.clear()
                memory[context] = cumulative.of(np.array([context]))[0]
            ids.append(int(np.searchsorted(memory[context], next(uniforms), side="right")))
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
    model: LanguageModel, n: int, seed: int, prefix: str = "", shape: Shape = Shape(), max_chars: int = 1000
) -> Iterator[str]:
    """The documents of `batched`, one after the other."""
    start = model.vocabulary.known(prefix, f"prefix={prefix}")
    cumulative = _Cumulative(model, shape)
    for first in range(0, n, SIDE_BY_SIDE):
        numbers = np.arange(first, min(first + SIDE_BY_SIDE, n))
        yield from _side_by_side(model, cumulative, numbers, seed, start, max_chars)


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


def _one_by_one(stream: TorchStream) -> Iterator[float]:
    while True:
        yield from stream.uniform(256).tolist()
