"""The loss, as sums divided once, with an interval."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nextchar.data.encoded import Split
from nextchar.data.vocabulary import BOUNDARY, Ids
from nextchar.models.base import Floats, LanguageModel

BLOCK = 1000  # characters of a running text that count as one document when resampling
GROUPS = 1000
RESAMPLES = 1000
FEWEST = 10  # units; resampling fewer says nothing


@dataclass(frozen=True)
class Loss:
    """Sums over the documents of a text: `nll` (D,) float64 nats, `chars` (D,) int64, document ends counted.

    `impossible`: how many characters had probability 0.
    """

    nll: Floats
    chars: Ids
    impossible: int = 0

    @property
    def value(self) -> float:
        """Nats per character: the sum of all over the number of all."""
        return float(self.nll.sum() / self.chars.sum())

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95% bootstrap interval of `value`: what it would be on another draw of documents.

        Percentiles over resampled documents (Efron and Tibshirani 1993, ch. 13). Many documents are first dealt at
        random into 1,000 groups, which are then resampled: the same spread at a price that does not grow.
        None for fewer than 10 documents, or where the loss is infinite.
        """
        if len(self.chars) < FEWEST or not np.isfinite(self.nll).all():
            return None
        random = np.random.default_rng(0)
        n = min(GROUPS, len(self.chars))
        group = random.permutation(len(self.chars))
        group %= n
        nll, chars = np.bincount(group, self.nll), np.bincount(group, self.chars)
        drawn = random.integers(0, n, size=(RESAMPLES, n))
        means = np.sort(nll[drawn].sum(1) / chars[drawn].sum(1))
        tail = RESAMPLES // 40  # 2.5%
        return float(means[tail - 1]), float(means[-tail])


def loss(model: LanguageModel, part: Split, is_text: bool) -> Loss:
    """The loss on a part, read once; a running text is cut into blocks of 1,000 characters for want of documents."""
    nll: list[Floats] = [np.zeros(0)]  # of the units, those begun in one piece together
    chars: list[Ids] = [np.zeros(0, dtype=np.int64)]
    scored, units, impossible = 0, 0, 0
    for ids, n_context in part.blocks(model.context):
        scores = model.score(ids)[n_context - 1 :]
        if is_text:
            unit = np.arange(scored, scored + len(scores)) // BLOCK
        else:
            unit = np.cumsum(ids[n_context - 1 : -1] == BOUNDARY) + units - 1
        here = unit - unit[0]
        sums, sizes = np.bincount(here, -scores).astype(np.float64), np.bincount(here)
        if unit[0] < units:  # begun in the piece before
            nll[-1][-1] += sums[0]
            chars[-1][-1] += sizes[0]
        begun = int(unit[0] < units)
        if len(sums) > begun:
            nll.append(sums[begun:])
            chars.append(sizes[begun:])
        scored, units = scored + len(scores), int(unit[-1]) + 1
        impossible += int(np.isneginf(scores).sum())
    return Loss(np.concatenate(nll), np.concatenate(chars), impossible)


def in_all_units(part: str, loss: float) -> dict[str, float]:
    """A loss in nats per character, in bits per character, and as perplexity: among how many it is like guessing."""
    with np.errstate(over="ignore"):  # what diverges has an infinite perplexity
        perplexity = float(np.exp(loss))
    return {f"{part}/loss": loss, f"{part}/bits_per_char": loss / math.log(2), f"{part}/perplexity": perplexity}


def named(part: str, measured: Loss) -> dict[str, float]:
    """The metrics of one part, as run.json and TensorBoard name them."""
    values = in_all_units(part, measured.value)
    if interval := measured.interval:
        values |= {f"{part}/loss_low": interval[0], f"{part}/loss_high": interval[1]}
    return values
