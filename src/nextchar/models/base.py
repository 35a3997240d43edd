"""The contract: ids in, log-probabilities of the next character out. All that comes after learning knows only this."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nextchar.data.vocabulary import BOUNDARY, Ids, Stream, Vocabulary

Floats = npt.NDArray[np.float64]
Tensors = dict[str, npt.NDArray[Any]]
TensorSpec = tuple[str, tuple[int | None, ...]]  # dtype ("uint": any unsigned) and shape; None: any length

TABLE_CELLS = 1 << 22  # up to here the distributions of all contexts are computed at once
SCORED_AT_ONCE = 1 << 16  # contexts; bounds the (contexts, V) table that `score` holds


class ByOrder(NamedTuple):
    """What the orders of an n-gram model say of N predictions, and how long the n-grams are that it has seen."""

    log_probs: Floats  # (order, N): what each order alone would have said, order 1 first; the last is the model
    seen: Ids  # (N,): symbols of the longest n-gram that was seen: the order that answered; 0 for none
    known: Ids  # (N,): the same of the context that was seen, the symbol that follows counted
    length: Ids  # (N,): symbols of the longest n-gram that there could be; fewer than `order` near a document's start


class LanguageModel(ABC):
    """A distribution over the next character given the last `context` ids."""

    vocabulary: Vocabulary
    context: int
    sums_to_one: bool = True  # else what it gives are scores, not probabilities

    @abstractmethod
    def log_probs(self, contexts: Ids) -> Floats:
        """(N, context) int64, short ones padded on the left with the boundary 0 -> (N, V) float64, in nats."""

    @abstractmethod
    def tensors(self) -> Tensors:
        """What weights.safetensors holds of it, by name."""

    def by_order(self, contexts: Ids, ids: Ids) -> ByOrder | None:
        """(N, context) and the (N,) ids that follow -> what each order of an n-gram model says; others have none."""
        return None

    def score(self, stream: Stream) -> Floats:
        """(N + 1,) ids of which the first is context only -> (N,) float64: the log-probability of each later one."""
        contexts, v = windows(stream, self.context), len(self.vocabulary)
        if v ** (self.context + 1) <= TABLE_CELLS:
            return self.log_probs(every_context(v, self.context))[number(contexts, v), stream[1:]]
        scores = np.empty(len(contexts))
        for start in range(0, len(scores), SCORED_AT_ONCE):
            part = slice(start, start + SCORED_AT_ONCE)
            distinct, which = np.unique(contexts[part], axis=0, return_inverse=True)
            scores[part] = self.log_probs(distinct)[which.ravel(), stream[1:][part]]
        return scores


def every_context(vocab_size: int, context: int) -> Ids:
    """(V ** context, context): all contexts there are, in the order of their `number`."""
    return np.indices([vocab_size] * context).reshape(context, -1).T


def number(contexts: Ids, vocab_size: int) -> Ids:
    """(N, context) -> (N,): the contexts read as numbers to the base V."""
    numbers: Ids = contexts @ vocab_size ** np.arange(contexts.shape[1] - 1, -1, -1, dtype=np.int64)
    return numbers


def windows(stream: Stream, context: int, at: Ids | None = None) -> Ids:
    """(N + 1,) ids -> (N, context): what comes before each predicted id, back to the start of its document.

    `at` (M,): only what ends in these places.
    """
    if context == 1:
        return (stream[:-1] if at is None else stream[at])[:, None].astype(np.int64)
    last = np.arange(len(stream) - 1)
    start = np.maximum.accumulate(np.where(stream[:-1] == BOUNDARY, last, 0))
    if at is not None:
        last, start = at, start[at]
    columns = []
    for lag in range(context - 1, -1, -1):
        index = last - lag
        columns.append(np.where(index >= start, stream[np.maximum(index, 0)], BOUNDARY))
    return np.stack(columns, axis=1).astype(np.int64)
