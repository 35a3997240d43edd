"""The loss, as sums divided once, with an interval."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nextchar.language_model import Floats, LanguageModel
from nextchar.vocabulary import BOUNDARY, Ids, Stream

BLOCK = 1000  # characters of a running text that count as one document when resampling
SCORED_AT_ONCE = 1 << 20  # characters; bounds the memory that measuring takes beside the stream
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
        group = random.permutation(len(self.chars)) % n
        nll, chars = np.bincount(group, self.nll), np.bincount(group, self.chars)
        drawn = random.integers(0, n, size=(RESAMPLES, n))
        means = np.sort(nll[drawn].sum(1) / chars[drawn].sum(1))
        tail = RESAMPLES // 40  # 2.5%
        return float(means[tail - 1]), float(means[-tail])


def loss(model: LanguageModel, stream: Stream, is_text: bool) -> Loss:
    """The loss on a stream of ids; a running text is cut into blocks of 1,000 characters for want of documents."""
    n = len(stream) - 1
    units = -(-n // BLOCK) if is_text else np.count_nonzero(stream[:-1] == BOUNDARY)
    nll, chars, impossible, begun = np.zeros(units), np.zeros(units, dtype=np.int64), 0, 0
    for start in range(0, n, SCORED_AT_ONCE):
        end, back = min(start + SCORED_AT_ONCE, n), max(0, start - model.context + 1)  # what the first ones see
        scores = model.score(stream[back : end + 1])[start - back :]
        if is_text:
            unit = np.arange(start, end) // BLOCK
        else:
            unit = np.cumsum(stream[start:end] == BOUNDARY) + begun - 1
            begun = int(unit[-1]) + 1
        part = slice(unit[0], unit[-1] + 1)
        nll[part] += np.bincount(unit - unit[0], -scores)
        chars[part] += np.bincount(unit - unit[0])
        impossible += int(np.isneginf(scores).sum())
    return Loss(nll, chars, impossible)


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
