"""How sure a difference is: two models on the same documents, with several seeds or with one, of two models or of many.

The documents are what varies between a good and a bad day of a test set, and both models see the same ones: what is
hard for one is hard for the other, and drops out of the difference of their sums. Its interval is therefore far
narrower than that of either loss. What no document of the test shows is in no interval: models that differ only on what
is rarer than one in D documents look alike on D of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from nextchar.data.vocabulary import Ids
from nextchar.evaluation.loss import Loss
from nextchar.models.base import Floats

CONFIDENCE = 0.95
FEWEST = 100  # documents; of fewer, what is rare has too often not been seen at all
FEWEST_CARRIERS = 10.0  # documents that carry the variance; what rests on fewer may have any variance
NEARLY_NORMAL = 1e6  # degrees of freedom
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)  # of an integral from -1 to 1


@dataclass(frozen=True)
class Estimate:
    """A number, and the independent parts of its error: of each the variance and its degrees of freedom."""

    value: float
    parts: tuple[tuple[float, float], ...]
    confidence: float = CONFIDENCE

    @property
    def half(self) -> float:
        """Half the width of the interval: the half widths of the parts, added as squares.

        It holds at least what it says whatever the parts' sizes (Banerjee, Sankhya 22, 1960), where the interval of
        Welch and Satterthwaite falls short once the larger part rests on one or two degrees of freedom.
        """
        return math.sqrt(sum(student_t(df, self.confidence) ** 2 * variance for variance, df in self.parts))


def per_character(sums: Floats, chars: Ids, confidence: float = CONFIDENCE) -> Estimate | None:
    """The sum of all over the number of all characters, as it would be on another draw of documents.

    sums: (D,) of a loss, or of the difference of two, by document; chars: (D,). The ratio estimator of Cochran
    (Sampling Techniques, 1977, ch. 6); a residual r is divided by what its own document pulled it towards 0 (HC2;
    MacKinnon and White, 1985). The degrees of freedom are one less than the documents that carry the variance,
    (sum r^2)^2 / sum r^4: as Kish (1965) counts unequal weights, with squared residuals for weights. None for fewer
    than 100 documents, where fewer than 10 carry the variance, or where a sum is infinite.
    """
    if len(chars) < FEWEST or not np.isfinite(sums).all():
        return None
    ratio, share = float(sums.sum() / chars.sum()), chars / chars.sum()
    squares = ((sums - ratio * chars) / chars.sum()) ** 2 / (1 - share)
    variance = float(squares.sum())
    carriers = variance**2 / float(squares @ squares) if variance else len(chars)
    return Estimate(ratio, ((variance, carriers - 1),), confidence) if carriers >= FEWEST_CARRIERS else None


def over_seeds(values: Sequence[float]) -> Estimate | None:
    """The mean of what several seeds gave; None for one seed, or where one is infinite."""
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    return Estimate(float(np.mean(values)), ((float(np.var(values, ddof=1)) / len(values), len(values) - 1),))


def difference(
    a: Sequence[Loss], b: Sequence[Loss], confidence: float = CONFIDENCE, both_vary: bool = True
) -> Estimate | None:
    """Loss of a less loss of b, nats per character; each a model's losses, a seed each, on the same documents.

    The documents' part is that of the means over seeds; the luck of the seeds is a part by itself where it is known.
    `both_vary`: both models have such a luck, as nets do and counting does not; then one with a single seed is taken to
    have the luck of the other one's. None where `per_character` is. Raises ValueError where the documents have other
    lengths.
    """
    chars = a[0].chars
    if not all(np.array_equal(chars, loss.chars) for loss in (*a, *b)):
        raise ValueError("the losses are of different documents")
    with np.errstate(invalid="ignore"):  # inf - inf
        documents = per_character(_mean(a) - _mean(b), chars, confidence)
    if documents is None:
        return None
    return Estimate(documents.value, documents.parts + _luck(a, b, both_vary), confidence)


def _luck(a: Sequence[Loss], b: Sequence[Loss], both_vary: bool) -> tuple[tuple[float, float], ...]:
    """What the seeds add: the variance, with degrees of freedom of Welch and Satterthwaite; nothing of one each."""
    parts = [part for group in (a, b) for part in _parts(group) if part[0] > 0]
    if not parts:
        return ()
    variance = sum(variance for variance, _ in parts)
    df = variance**2 / sum(variance**2 / df for variance, df in parts)
    if both_vary and min(len(a), len(b)) == 1:  # of n seeds the mean has a variance of s^2 / n, of one it is s^2
        variance *= 1 + max(len(a), len(b))
    return ((variance, df),)


def _parts(losses: Sequence[Loss]) -> tuple[tuple[float, float], ...]:
    estimate = over_seeds([loss.value for loss in losses])
    return estimate.parts if estimate else ()


def of_all_pairs(models: int) -> float:
    """The confidence that each pair of so many models needs, that with 95% all their intervals hold at once.

    Sidak (Journal of the American Statistical Association 62, 1967), over all pairs and not only those with the best:
    which one is the best is read off the same documents, so that any pair might have been the one looked at. (Counting
    only the comparisons with the best, as Hsu does in the Annals of Statistics 9, 1981, tells which models may be the
    best, but not that the others are worse: of a hundred equal ones it would call some worse far too often.)
    """
    return float(CONFIDENCE ** (1 / max(1, models * (models - 1) // 2)))


def _mean(losses: Sequence[Loss]) -> Floats:
    return losses[0].nll if len(losses) == 1 else np.mean([loss.nll for loss in losses], axis=0)


@cache
def student_t(df: float, confidence: float = CONFIDENCE) -> float:
    """Where Student's t with `df` degrees of freedom (at least 1, not only whole ones) ends its middle 95%, or another.

    With t = sqrt(df) tan(a), the density of the angle a is proportional to cos(a)^(df - 1), which falls from a = 0 on:
    Newton's steps from there approach the quantile from below. Known to 10 digits, and to 3 where
    a thousand models are compared at once.
    """
    df = min(max(df, 1.0), NEARLY_NORMAL)
    whole = math.exp(math.lgamma(df / 2) - math.lgamma((df + 1) / 2)) * math.sqrt(math.pi)  # from -pi/2 to pi/2
    angle, step = 0.0, 1.0
    while step > 1e-12 * angle:
        middle = angle * float(_WEIGHTS @ np.cos(angle * (_NODES + 1) / 2) ** (df - 1)) / whole
        step = (confidence - middle) * whole / (2 * math.cos(angle) ** (df - 1))
        angle += step
    return math.sqrt(df) * math.tan(angle)
