"""Smoothing: from counts to probabilities. One small class a method, and the model that uses them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nextchar.counts import PairCounts
from nextchar.errors import BadInput
from nextchar.foreign import TensorSpec
from nextchar.knobs import Knobs
from nextchar.language_model import Floats, LanguageModel, Tensors
from nextchar.settings import AddK
from nextchar.vocabulary import Ids, Stream, Vocabulary


@dataclass(frozen=True)
class Additive:
    """p(y | x) = (c(x, y) + k) / (c(x) + k V): k pseudo-counts for every pair.

    k = 1 is Laplace's rule, k = 0 maximum likelihood (Jurafsky & Martin, Speech and Language Processing, 3rd ed.,
    eq. 3.24). A context without any count is uniform, 1 / V, also for k = 0.
    """

    k: float

    def probabilities(self, counts: Ids, totals: Ids, vocab_size: int) -> Floats:
        """Counts (...,) and their contexts' totals (...,) -> (...,) float64."""
        mass = totals + self.k * vocab_size
        return np.where(mass > 0, (counts + self.k) / np.where(mass > 0, mass, 1), 1 / vocab_size)


def smoother(settings: Knobs) -> Additive:
    """The method that the settings name."""
    return Additive(settings.k if isinstance(settings, AddK) else 0)


class CountModel(LanguageModel):
    """The counted bigram."""

    context = 1
    spec: ClassVar[dict[str, TensorSpec]] = {"pairs": ("int64", (None, 2)), "counts": ("int64", (None,))}

    def __init__(self, vocabulary: Vocabulary, counts: PairCounts, smoothing: Additive) -> None:
        self.vocabulary, self.counts, self.smoothing = vocabulary, counts, smoothing

    def log_probs(self, contexts: Ids) -> Floats:
        xs = contexts[:, -1]
        totals = self.counts.row_totals[xs]
        return self._log(self.smoothing.probabilities(self.counts.rows(xs), totals[:, None], len(self.vocabulary)))

    def score(self, stream: Stream) -> Floats:
        """Looks up the pairs that occur, where the contract's own way would fill a row of V for each context."""
        xs, ys = stream[:-1].astype(np.int64), stream[1:].astype(np.int64)
        counts, totals = self.counts.look_up(xs, ys), self.counts.row_totals[xs]
        return self._log(self.smoothing.probabilities(counts, totals, len(self.vocabulary)))

    def tensors(self) -> Tensors:
        """What weights.safetensors holds: `pairs` (U, 2) int64 ids and `counts` (U,) int64."""
        pairs = np.stack(np.divmod(self.counts.pairs, len(self.vocabulary)), axis=1)
        return {"pairs": np.ascontiguousarray(pairs), "counts": self.counts.counts}

    @classmethod
    def from_tensors(cls, tensors: Tensors, vocabulary: Vocabulary, smoothing: Additive, where: str) -> "CountModel":
        """The inverse of `tensors`. Raises BadInput, naming `where`, for counts that no text can have."""
        v, ids, counts = len(vocabulary), tensors["pairs"], tensors["counts"]
        pairs = ids[:, 0] * v + ids[:, 1]
        sound = len(ids) == len(counts) > 0 and ids.min() >= 0 and ids.max() < v and counts.min() > 0
        if not sound or (np.diff(pairs) <= 0).any() or counts.astype(float).sum() >= 2**63:
            raise BadInput(f"{where}: pairs out of order or range, or counts that are not positive")
        return cls(vocabulary, PairCounts(v, pairs, counts), smoothing)

    @staticmethod
    def _log(probabilities: Floats) -> Floats:
        with np.errstate(divide="ignore"):  # what has probability 0 has log-probability -inf
            return np.log(probabilities)
