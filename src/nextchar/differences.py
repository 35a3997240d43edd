"""How sure a difference is: two models on the same documents, with several seeds or with one.

The documents are what varies between a good and a bad day of a test set, and both models see the same ones: what is
hard for one is hard for the other, and drops out of the difference of their sums. Its interval is therefore far
narrower than that of either loss.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from nextchar.language_model import Floats
from nextchar.metrics import FEWEST, Loss
from nextchar.vocabulary import Ids

CONFIDENCE = 0.95
FEWEST_EFFECTIVE = 2.0  # units; where one document holds nearly all characters, nothing is known of others
NEARLY_NORMAL = 1e6  # degrees of freedom
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)  # of an integral from -1 to 1


@dataclass(frozen=True)
class Estimate:
    """A number with the variance of its error, and on how many independent ones (degrees of freedom) that rests."""

    value: float
    variance: float
    df: float

    @property
    def half(self) -> float:
        """Half the width of the 95% interval."""
        return student_t(self.df) * math.sqrt(self.variance)


def per_character(sums: Floats, chars: Ids) -> Estimate | None:
    """The sum of all over the number of all characters, as it would be on another draw of documents.

    sums: (D,) of a loss, or of the difference of two, by document; chars: (D,). The ratio estimator of Cochran
    (Sampling Techniques, 1977, ch. 6), with two corrections for documents of very different lengths: a residual is
    divided by what its own document pulled it towards 0 (HC2; MacKinnon and White, 1985), and the degrees of freedom
    are those of the effective number of documents, (sum c)^2 / sum c^2 (Kish, 1965). None for fewer than 10
    documents, where one of them is nearly all, or where a sum is infinite.
    """
    share = chars / chars.sum()
    effective = 1 / float(share @ share)
    if len(chars) < FEWEST or effective < FEWEST_EFFECTIVE or not np.isfinite(sums).all():
        return None
    ratio = float(sums.sum() / chars.sum())
    residuals = (sums - ratio * chars) / chars.sum()
    return Estimate(ratio, float((residuals**2 / (1 - share)).sum()), effective - 1)


def over_seeds(values: Sequence[float]) -> Estimate | None:
    """The mean of what several seeds gave; None for one seed, or where one is infinite."""
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    return Estimate(float(np.mean(values)), float(np.var(values, ddof=1)) / len(values), len(values) - 1)


def difference(a: Sequence[Loss], b: Sequence[Loss]) -> Estimate | None:
    """Loss of a less loss of b, nats per character; each a model's losses, a seed each, on the same documents.

    The documents' variance is that of the means over seeds; where a model has several seeds, their variance is added,
    with the degrees of freedom of Welch and Satterthwaite. None where `per_character` is. Raises ValueError where the
    documents have other lengths.
    """
    chars = a[0].chars
    if not all(np.array_equal(chars, loss.chars) for loss in (*a, *b)):
        raise ValueError("the losses are of different documents")
    with np.errstate(invalid="ignore"):  # inf - inf
        sums = _mean(a) - _mean(b)
    documents = per_character(sums, chars)
    if documents is None:
        return None
    seeds = [over_seeds([loss.value for loss in losses]) for losses in (a, b)]
    parts = [part for part in (documents, *seeds) if part is not None and part.variance > 0]
    variance = sum(part.variance for part in parts)
    df = variance**2 / sum(part.variance**2 / part.df for part in parts) if parts else documents.df
    return Estimate(documents.value, variance, df)


def _mean(losses: Sequence[Loss]) -> Floats:
    return losses[0].nll if len(losses) == 1 else np.mean([loss.nll for loss in losses], axis=0)


@cache
def student_t(df: float) -> float:
    """Where Student's t with `df` degrees of freedom (at least 1, not only whole ones) ends its middle 95%.

    With t = sqrt(df) tan(a), the density of the angle a is proportional to cos(a)^(df - 1), which falls from a = 0 on:
    Newton's steps from there approach the quantile from below. Known to 10 digits.
    """
    df = min(max(df, 1.0), NEARLY_NORMAL)
    whole = math.exp(math.lgamma(df / 2) - math.lgamma((df + 1) / 2)) * math.sqrt(math.pi)  # from -pi/2 to pi/2
    angle, step = 0.0, 1.0
    while step > 1e-12 * angle:
        middle = angle * float(_WEIGHTS @ np.cos(angle * (_NODES + 1) / 2) ** (df - 1)) / whole
        step = (CONFIDENCE - middle) * whole / (2 * math.cos(angle) ** (df - 1))
        angle += step
    return math.sqrt(df) * math.tan(angle)
