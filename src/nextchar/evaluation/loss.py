"""The loss of a model on one split: sums over documents, divided once, with a bootstrap interval."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nextchar.data.encoded import Split
from nextchar.data.vocabulary import BOUNDARY, Ids
from nextchar.models.base import Floats, LanguageModel

TEXT_BLOCK = 1000  # characters; a running text has no documents, so blocks of this size are resampled instead
GROUPS = 1000
RESAMPLES = 1000
FEWEST_RESAMPLED = 10  # documents; resampling fewer gives no usable interval


@dataclass(frozen=True)
class Loss:
    """Sums over the D documents of a split."""

    nll: Floats  # (D,), in nats
    chars: Ids  # (D,), document ends included
    impossible: int = 0  # characters with probability 0

    @property
    def value(self) -> float:
        """Nats per character: one sum divided by another, not a mean of the documents' means."""
        return float(self.nll.sum() / self.chars.sum())

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95% percentile bootstrap interval of `value` over documents (Efron and Tibshirani 1993, ch. 13).

        None for fewer than 10 documents or an infinite loss.
        """
        if len(self.chars) < FEWEST_RESAMPLED or not np.isfinite(self.nll).all():
            return None
        random = np.random.default_rng(0)
        # Resampling D documents 1,000 times costs 1,000 D. Summing them first into 1,000 random groups, and resampling
        # the groups, gives the same spread at a cost that does not grow with D.
        n = min(GROUPS, len(self.chars))
        group = random.permutation(len(self.chars))
        group %= n
        nll, chars = np.bincount(group, self.nll), np.bincount(group, self.chars)  # (n,)
        drawn = random.integers(0, n, size=(RESAMPLES, n))
        means = np.sort(nll[drawn].sum(1) / chars[drawn].sum(1))  # (RESAMPLES,)
        tail = RESAMPLES // 40  # 2.5%
        return float(means[tail - 1]), float(means[-tail])

    def metrics(self, split: str) -> dict[str, float]:
        """The metrics of the split of this name, as run.json and TensorBoard name them."""
        values = in_all_units(split, self.value)
        if self.interval:
            values |= {f"{split}/loss_low": self.interval[0], f"{split}/loss_high": self.interval[1]}
        return values


def loss_on(model: LanguageModel, split: Split, is_text: bool) -> Loss:
    """Scores every character of a split in one pass and sums by document, or by block of 1,000 in a running text."""
    units = -(-split.predicted // TEXT_BLOCK) if is_text else split.documents
    nll, chars = np.zeros(units), np.zeros(units, dtype=np.int64)
    scored = ended = impossible = 0
    for ids, n_context in split.blocks(model.context):
        scores = model.score(ids)[n_context - 1 :]  # of ids[n_context:]
        if is_text:
            unit = np.arange(scored, scored + len(scores)) // TEXT_BLOCK
        else:  # a document begins where the id before a score is a boundary; one may begin in the block before
            unit = ended - 1 + np.cumsum(ids[n_context - 1 : -1] == BOUNDARY)
        first, scored, ended = int(unit[0]), scored + len(scores), int(unit[-1]) + 1
        nll[first:ended] += np.bincount(unit - first, -scores)  # adds up the parts of a document that blocks cut
        chars[first:ended] += np.bincount(unit - first)
        impossible += int(np.isneginf(scores).sum())
    return Loss(nll, chars, impossible)


def in_all_units(split: str, loss: float) -> dict[str, float]:
    """A loss in nats per character, in bits per character, and as perplexity exp(loss)."""
    with np.errstate(over="ignore"):  # the perplexity of a run that diverged is infinite
        perplexity = float(np.exp(loss))
    return {f"{split}/loss": loss, f"{split}/bits_per_char": loss / math.log(2), f"{split}/perplexity": perplexity}
