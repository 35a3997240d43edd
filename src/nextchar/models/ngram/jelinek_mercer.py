"""Jelinek-Mercer smoothing: interpolation whose weights are fitted on val by expectation-maximization (EM)."""

from collections.abc import Sequence

import numpy as np

from nextchar.config import smoothing_settings as config
from nextchar.data.vocabulary import Ids
from nextchar.models.base import Floats
from nextchar.models.ngram.counts import CountTable
from nextchar.models.ngram.smoothing import HeldOut, Interpolated, NgramStatistics

BUCKETS = 10
FEWEST_IN_BUCKET = 20  # characters of val; a bucket with fewer gets the weight of all together
EM_ROUNDS = 60
LARGEST_WEIGHT = 1 - 1e-9  # a weight of 1 would give unseen symbols probability 0


class JelinekMercer(Interpolated):
    """P_k = l c / C + (1 - l) P_(k-1) (Jelinek & Mercer 1980; Chen & Goodman 1998, eq. 12).

    Parameters: the weight l of each bucket of contexts (Bahl, Jelinek & Mercer 1983), or one for all buckets.
    """

    chosen_by = (config.JelinekMercer,)
    names = tuple(f"weight of contexts seen {2**b} times or more" for b in range(BUCKETS))
    highest = (1.0,) * BUCKETS

    @classmethod
    def estimate_order(cls, settings: config.JelinekMercer, table: CountTable) -> Sequence[float]:
        return [0.5] * BUCKETS  # until `fit`

    def shares(self, k: int, seen: NgramStatistics) -> tuple[Floats, Floats, Floats]:
        weight = self.parameters[k - 1][bucket_of(seen.totals)]
        whole = np.maximum(seen.totals, 1).astype(np.float64)
        return weight * seen.counts, (1 - weight) * whole + weight * seen.pruned, whole

    def fit(self, val: HeldOut) -> "JelinekMercer":
        """Fits the weights of one order after the other, the lowest first: P_(k-1) is then known."""
        p, rows = np.array([1 / val.vocab_size]), list[Floats]()
        for seen, n in zip(val.statistics, val.weights, strict=True):
            below, known = p[seen.shorter], seen.totals > 0
            ml = seen.counts / np.maximum(seen.totals, 1)  # (U,): maximum likelihood, c / C
            bucket = bucket_of(seen.totals[known])
            row = np.full(BUCKETS, _em(ml[known], below[known], n[known], np.zeros_like(bucket), 1)[0])
            if self.settings.weights == "bucket":
                enough = np.bincount(bucket, n[known], minlength=BUCKETS) >= FEWEST_IN_BUCKET
                row = np.where(enough, _em(ml[known], below[known], n[known], bucket, BUCKETS), row)
            rows.append(row)
            weight = row[bucket_of(seen.totals)]
            p = np.where(known, weight * ml + (1 - weight) * below, below)
        return JelinekMercer(self.settings, np.array(rows))


def bucket_of(totals: Ids) -> Ids:
    """Returns the bucket of contexts that occur so often: floor(log2 C), at most 9."""
    logarithms: Ids = np.frexp(np.maximum(totals, 1))[1].astype(np.int64) - 1
    return np.minimum(logarithms, BUCKETS - 1)


def _em(ml: Floats, below: Floats, n: Floats, bucket: Ids, buckets: int) -> Floats:
    """Returns the weight of each bucket under which `n` observations are most likely; 0.5 for an empty bucket.

    E step: the probability that each symbol came from `ml`, not from `below`. M step: its mean is the new weight.
    """
    weight = np.full(buckets, 0.5)
    size = np.bincount(bucket, n, minlength=buckets)
    for _ in range(EM_ROUNDS):
        from_ml = weight[bucket] * ml
        from_ml = from_ml / (from_ml + (1 - weight[bucket]) * below)
        mean = np.bincount(bucket, n * from_ml, minlength=buckets) / np.maximum(size, 1)
        weight = np.minimum(np.where(size > 0, mean, weight), LARGEST_WEIGHT)
    return weight
