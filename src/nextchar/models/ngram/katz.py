"""Backing off: the order below is used only for symbols unseen after a context."""

from collections.abc import Sequence

import numpy as np

from nextchar.config import smoothing_settings as config
from nextchar.models.base import Floats
from nextchar.models.ngram.counts import CountTable
from nextchar.models.ngram.smoothing import NgramStatistics, Smoothing

MOST_DISCOUNTED = 5  # larger counts are reliable, and keep all (Katz 1987)


class Katz(Smoothing):
    """P_k = d(c) c / C if c > 0; the unseen symbols share the rest in proportion to P_(k-1) (Katz 1987).

    If nothing is left for unseen symbols, c / (C + 0.5) leaves them 0.5 / (C + 0.5), so that none has probability 0. A
    context that all V symbols follow has no unseen symbols; its probabilities are scaled to sum to 1.
    Parameters: the ratios d(1) to d(5) of Good and Turing.
    """

    chosen_by = (config.Katz,)
    names = tuple(f"d{r}" for r in range(1, MOST_DISCOUNTED + 1))
    highest = (1.0,) * MOST_DISCOUNTED
    whole_rows = True  # what is left after a context depends on all of its symbols

    @classmethod
    def estimate_order(cls, settings: config.Katz, table: CountTable) -> Sequence[float]:
        """d(r) = (r* / r - a) / (1 - a), r* = (r + 1) n_(r+1) / n_r, a = 6 n_6 / n_1, for r = 1 to 5 (Katz 1987).

        d(r) = 1, no discount, if the formula gives no number between 0 and 1, and for all r if one of n_1 to n_6 is 0.
        """
        n = np.array([int((table.counts == r).sum()) for r in range(1, MOST_DISCOUNTED + 2)])
        a = 6 * n[-1] / n[0] if n.all() else 1.0
        if a == 1:
            return [1.0] * MOST_DISCOUNTED
        r = np.arange(1, MOST_DISCOUNTED + 1)
        ratios = ((r + 1) * n[1:] / n[:-1] / r - a) / (1 - a)
        return [d if 0 < d < 1 else 1.0 for d in ratios.tolist()]

    def step(self, k: int, seen: NgramStatistics, below: Floats, uniform: float) -> Floats:
        ratios = np.append(self.parameters[k - 1], 1.0)
        known, context = seen.counts > 0, seen.context_index
        kept = ratios[np.minimum(seen.counts, MOST_DISCOUNTED + 1) - 1] * seen.counts / np.maximum(seen.totals, 1)
        keeps_all = np.bincount(context, kept)[context] > 1 - 1e-12  # summed over a context, and given to its V rows
        kept = np.where(keeps_all, seen.counts / (seen.totals + 0.5), kept)
        left, unseen = 1 - np.bincount(context, kept)[context], np.bincount(context, below * ~known)[context]
        p = np.where(known, kept, left * below / np.where(unseen > 0, unseen, 1))  # a(h) P_(k-1), a = left / unseen
        complete = np.bincount(context, known)[context] == np.bincount(context)[context]
        p = np.where(complete, kept / np.where(complete, 1 - left, 1), p)
        return np.where(seen.totals > 0, p, below)


class StupidBackoff(Smoothing):
    """S_k = c / C if c > 0, else a S_(k-1) (Brants et al. 2007, eq. 5): scores, which do not sum to 1.

    Parameter: a.
    """

    chosen_by = (config.StupidBackoff,)
    names = ("a",)
    highest = (1.0,)
    sums_to_one = False

    @classmethod
    def estimate_order(cls, settings: config.StupidBackoff, table: CountTable) -> Sequence[float]:
        return [settings.alpha]

    def step(self, k: int, seen: NgramStatistics, below: Floats, uniform: float) -> Floats:
        relative = seen.counts / np.maximum(seen.totals, 1)
        backed_off = np.where(seen.is_padded, below, self.parameters[k - 1, 0] * below)
        return np.where(seen.counts > 0, relative, backed_off)
