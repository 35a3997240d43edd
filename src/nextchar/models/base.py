"""The contract of all models: ids in, log-probabilities of the next character out.

Loss, sampling, explanation, pictures and comparison are written once, against `LanguageModel`.
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nextchar.data.vocabulary import BOUNDARY, Ids, Stream, Vocabulary

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Tensors = dict[str, npt.NDArray[Any]]
TensorSpec = tuple[str, tuple[int | None, ...]]  # dtype ("uint": any unsigned) and shape; None: any length

TABLE_CELLS = 1 << 22  # if there are no more, the distributions of all contexts are computed at once
SCORED_AT_ONCE = 1 << 16  # contexts; bounds the (contexts, V) array of `score`


class OrderPredictions(NamedTuple):
    """N predictions of an n-gram model, order by order; lengths in symbols, the predicted one counted."""

    log_probs: Floats  # (order, N): log P_1, ..., log P_order; the last is the model's
    longest_ngram: Ids  # (N,): length of the longest n-gram seen in training, the order that answered; 0 for none
    longest_context: Ids  # (N,): 1 + length of the longest context seen in training
    longest_possible: Ids  # (N,): less than the order near the start of a document


class State(ABC):
    """B documents that a model reads side by side, and what it keeps of them, so that it reads each id only once."""

    @abstractmethod
    def read(self, ids: Ids) -> Floats:
        """(B, T), the next T ids of each document -> (B, V), the log-probabilities of the one after them.

        First the boundary and what follows it, of any T; then one id at a time.
        """

    @abstractmethod
    def keep(self, rows: Mask) -> None:
        """Forgets all documents but those of the mask, (B,)."""


class LanguageModel(ABC):
    """A distribution over the next character given the last `context` ids."""

    vocabulary: Vocabulary
    context: int
    sums_to_one: bool = True  # False: scores, not probabilities

    @abstractmethod
    def log_probs(self, contexts: Ids) -> Floats:
        """(N, context) int64, short ones padded on the left with the boundary 0 -> (N, V) float64, in nats."""

    @abstractmethod
    def tensors(self) -> Tensors:
        """Returns the content of weights.safetensors, by name."""

    def by_order(self, contexts: Ids, ids: Ids) -> OrderPredictions | None:
        """(N, context) and the (N,) ids that follow -> the predictions of each order; None if there are no orders."""
        return None

    def new_state(self, rows: int) -> State | None:
        """Returns the state of so many documents before they are read; None if `log_probs` is as fast without one."""
        return None

    def score(self, stream: Stream) -> Floats:
        """(N + 1,) ids, of which the first is context only -> (N,) float64, the log-probability of each later id."""
        contexts, v = contexts_before(stream, self.context), len(self.vocabulary)  # (N, context)
        if v ** (self.context + 1) <= TABLE_CELLS:  # looking up is cheaper than finding the distinct contexts
            return self.log_probs(every_context(v, self.context))[context_numbers(contexts, v), stream[1:]]
        scores = np.empty(len(contexts))
        for start in range(0, len(scores), SCORED_AT_ONCE):
            part = slice(start, start + SCORED_AT_ONCE)
            distinct, index = np.unique(contexts[part], axis=0, return_inverse=True)
            scores[part] = self.log_probs(distinct)[index.ravel(), stream[1:][part]]  # one of the V of each context
        return scores


def every_context(vocab_size: int, context: int) -> Ids:
    """Returns all contexts, (V ** context, context), in the order of their `context_numbers`."""
    return np.indices([vocab_size] * context).reshape(context, -1).T


def context_numbers(contexts: Ids, vocab_size: int) -> Ids:
    """(N, context) -> (N,): the ids of a context as the digits of a number to the base V."""
    numbers: Ids = contexts @ vocab_size ** np.arange(contexts.shape[1] - 1, -1, -1, dtype=np.int64)
    return numbers


def contexts_before(stream: Stream, context: int, at: Ids | None = None) -> Ids:
    """(N + 1,) ids -> (N, context): the ids before each predicted id, padded beyond the start of its document.

    `at` (M,): only the contexts that end at these places of the stream, (M, context).
    """
    if context == 1:
        return (stream[:-1] if at is None else stream[at])[:, None].astype(np.int64)
    last = np.arange(len(stream) - 1)
    start = np.maximum.accumulate(np.where(stream[:-1] == BOUNDARY, last, 0))  # of the document of each place
    if at is not None:
        last, start = at, start[at]
    columns = []
    for lag in range(context - 1, -1, -1):
        index = last - lag
        columns.append(np.where(index >= start, stream[np.maximum(index, 0)], BOUNDARY))
    return np.stack(columns, axis=1).astype(np.int64)
