"""The contract: ids in, log-probabilities of the next character out. All that comes after learning knows only this."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from nextchar.vocabulary import BOUNDARY, Ids, Vocabulary

Floats = npt.NDArray[np.float64]
Tensors = dict[str, npt.NDArray[Any]]

SCORED_AT_ONCE = 1 << 16  # contexts; bounds the (contexts, V) table that `score` holds


class LanguageModel(ABC):
    """A distribution over the next character given the last `context` ids."""

    vocabulary: Vocabulary
    context: int

    @abstractmethod
    def log_probs(self, contexts: Ids) -> Floats:
        """(N, context) int64, short ones padded on the left with the boundary 0 -> (N, V) float64, in nats."""

    @abstractmethod
    def tensors(self) -> Tensors:
        """What weights.safetensors holds of it, by name."""

    def score(self, stream: Ids) -> Floats:
        """(N + 1,) ids of which the first is context only -> (N,) float64: the log-probability of each later one."""
        scores = np.empty(len(stream) - 1)
        contexts = windows(stream, self.context)
        for start in range(0, len(scores), SCORED_AT_ONCE):
            part = slice(start, start + SCORED_AT_ONCE)
            distinct, which = np.unique(contexts[part], axis=0, return_inverse=True)
            scores[part] = self.log_probs(distinct)[which.ravel(), stream[1:][part]]
        return scores


def windows(stream: Ids, context: int) -> Ids:
    """(N + 1,) ids -> (N, context): what comes before each predicted id, back to the start of its document."""
    last = np.arange(len(stream) - 1)
    start = np.maximum.accumulate(np.where(stream[:-1] == BOUNDARY, last, 0))
    columns = []
    for lag in range(context - 1, -1, -1):
        index = last - lag
        columns.append(np.where(index >= start, stream[np.maximum(index, 0)], BOUNDARY))
    return np.stack(columns, axis=1)
