"""The paired test: the difference of two losses on the same documents, with a confidence interval.

Documents differ in difficulty, and a document that is hard for one model is hard for the other. That common part
cancels in the difference of the two sums of a document, so the interval of the difference is far narrower than that of
either loss. An interval covers the sampling of test documents only: an event rarer than one in D documents has
probably not occurred among D of them, and models that differ only there look alike.
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
FEWEST_DOCUMENTS = 100  # of fewer, rare events have too often not occurred at all
FEWEST_EFFECTIVE = 10.0  # documents that carry the variance; a variance that rests on fewer is itself unknown
NEARLY_NORMAL = 1e6  # degrees of freedom
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)  # Gauss-Legendre quadrature on [-1, 1]


@dataclass(frozen=True)
class Estimate:
    """A number and the independent sources of its error, each as (variance, degrees of freedom)."""

    value: float
    sources: tuple[tuple[float, float], ...]
    confidence: float = CONFIDENCE

    @property
    def half_width(self) -> float:
        """Half the width of the interval: the half widths of the sources, squared and added.

        It covers at least `confidence` whatever the variances (Banerjee, Sankhya 22, 1960), where the interval of
        Welch and Satterthwaite falls short if the larger source has one or two degrees of freedom.
        """
        return math.sqrt(sum(student_t(df, self.confidence) ** 2 * variance for variance, df in self.sources))


def per_character(sums: Floats, chars: Ids, confidence: float = CONFIDENCE) -> Estimate | None:
    """Sum of all `sums` over sum of all `chars`, with its error over another draw of documents.

    sums: (D,) of a loss, or of the difference of two, by document; chars: (D,). None for fewer than 100 documents, for
    fewer than 10 that carry the variance, or for an infinite sum.
    """
    if len(chars) < FEWEST_DOCUMENTS or not np.isfinite(sums).all():
        return None
    # Ratio estimator (Cochran, Sampling Techniques, 1977, ch. 6): R = sum s_i / sum c_i, residuals r_i = s_i - R c_i.
    # A document pulls R towards itself, which shrinks its residual; 1 - share makes up for it (HC2; MacKinnon and
    # White, 1985).
    ratio, share = float(sums.sum() / chars.sum()), chars / chars.sum()
    squares = ((sums - ratio * chars) / chars.sum()) ** 2 / (1 - share)
    variance = float(squares.sum())
    # Effective number of documents, (sum r^2)^2 / sum r^4: Kish (1965), with the squared residuals as weights.
    effective = variance**2 / float(squares @ squares) if variance else len(chars)
    return Estimate(ratio, ((variance, effective - 1),), confidence) if effective >= FEWEST_EFFECTIVE else None


def over_seeds(values: Sequence[float]) -> Estimate | None:
    """The mean over seeds with its standard error; None for one seed or an infinite value."""
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    return Estimate(float(np.mean(values)), ((float(np.var(values, ddof=1)) / len(values), len(values) - 1),))


def paired_difference(
    a: Sequence[Loss], b: Sequence[Loss], confidence: float = CONFIDENCE, both_seeded: bool = True
) -> Estimate | None:
    """Loss of model a minus loss of model b, nats per character; a and b hold one Loss a seed, on the same documents.

    Two sources of error: the documents, by the means over seeds, and the seeds, where their variance is known.
    `both_seeded`: the loss of either model depends on a seed, as that of nets does and that of counting does not; the
    variance of a model with one seed is then taken to be that of the other. None where `per_character` gives none.
    Raises ValueError where the documents have other lengths.
    """
    chars = a[0].chars
    if not all(np.array_equal(chars, loss.chars) for loss in (*a, *b)):
        raise ValueError("the losses are of different documents")
    with np.errstate(invalid="ignore"):  # inf - inf
        documents = per_character(mean_over_seeds(a) - mean_over_seeds(b), chars, confidence)
    if documents is None:
        return None
    return Estimate(documents.value, documents.sources + _seed_variance(a, b, both_seeded), confidence)


def mean_over_seeds(seeds: Sequence[Loss]) -> Floats:
    """(D,) sums by document, the mean over seeds."""
    return seeds[0].nll if len(seeds) == 1 else np.mean([loss.nll for loss in seeds], axis=0)


def _seed_variance(a: Sequence[Loss], b: Sequence[Loss], both_seeded: bool) -> tuple[tuple[float, float], ...]:
    """Variance of the difference over seeds with the degrees of freedom of Welch and Satterthwaite; () if unknown."""
    estimates = [over_seeds([loss.value for loss in seeds]) for seeds in (a, b)]
    sources = [source for each in estimates if each for source in each.sources if source[0] > 0]
    if not sources:
        return ()
    variance = sum(variance for variance, _ in sources)
    df = variance**2 / sum(variance**2 / df for variance, df in sources)
    if both_seeded and min(len(a), len(b)) == 1:
        # The mean of n seeds has variance s^2 / n, a single seed s^2: together s^2 / n * (1 + n).
        variance *= 1 + max(len(a), len(b))
    return ((variance, df),)


def simultaneous_confidence(models: int) -> float:
    """The confidence of each pair of models with which the intervals of all pairs hold at once in 95% of cases.

    Sidak (Journal of the American Statistical Association 62, 1967): 0.95^(1 / pairs). All pairs count, not only those
    with the best, because the best is chosen on the same documents: any pair might have been the one in question.
    (Hsu's comparisons with the best, Annals of Statistics 9, 1981, tell which models may be the best, but not that the
    others are worse: of a hundred equal models they would call some worse far too often.)
    """
    return float(CONFIDENCE ** (1 / max(1, models * (models - 1) // 2)))


@cache
def student_t(df: float, confidence: float = CONFIDENCE) -> float:
    """The t that bounds the central 95%, or `confidence`, of Student's distribution; `df` at least 1, also fractional.

    Accurate to 10 digits, and to 3 where a thousand models are compared at once.
    """
    # Own code, because scipy gives the same to 3e-13 but costs 0.5 s at import and 100 MB on disk. With t = sqrt(df)
    # tan(a) the density of the angle a is proportional to cos(a)^(df - 1). It falls from a = 0 on, so that Newton's
    # steps from 0 approach the quantile from below and cannot overshoot.
    df = min(max(df, 1.0), NEARLY_NORMAL)
    total = math.exp(math.lgamma(df / 2) - math.lgamma((df + 1) / 2)) * math.sqrt(math.pi)  # from -pi/2 to pi/2
    angle, step = 0.0, 1.0
    while step > 1e-12 * angle:
        central = angle * float(_WEIGHTS @ np.cos(angle * (_NODES + 1) / 2) ** (df - 1)) / total
        step = (confidence - central) * total / (2 * math.cos(angle) ** (df - 1))
        angle += step
    return math.sqrt(df) * math.tan(angle)
