"""Discounting: a part of every count is taken off and given to the order below, up to modified Kneser-Ney.

    absolute discounting      one discount                                Ney, Essen & Kneser 1994
    Kneser-Ney                one discount, continuation counts           Kneser & Ney 1995
    modified Kneser-Ney       three discounts, continuation counts        Chen & Goodman 1998
    Dirichlet                 pseudo-counts in place of a discount        MacKay & Peto 1995
    Pitman-Yor                a discount and pseudo-counts                Teh 2006

Continuation counts: below the highest order an n-gram counts once for each distinct symbol before it, not each time it
occurs. In a text full of "San Francisco", "Francisco" is frequent, but it follows one word only, and after another
word it is unlikely.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nextchar.config import smoothing_settings as config
from nextchar.data.vocabulary import BOUNDARY, Ids
from nextchar.models.base import Floats
from nextchar.models.ngram.counts import CountTable, TrainCounts
from nextchar.models.ngram.smoothing import MOST_PSEUDO_COUNTS, Interpolated, NgramStatistics, SearchSpace

LEAST_DISCOUNT = 1e-3  # that a search tries; without a discount, unseen symbols would have probability 0


class Discounting(Interpolated):
    """P_k = (c - D(c) + (sum of D + s) P_(k-1)) / (C + s): discounts D1, D2, D3+ of the counts 1, 2, 3 or more.

    The sum of D over the symbols that follow a context is D1 n1 + D2 n2 + D3+ n3+ (Chen & Goodman 1998, sec. 3). The
    strength s is a number of pseudo-counts, spread over all symbols as P_(k-1) is.
    """

    names = ("D1", "D2", "D3+", "strength")
    highest = (1.0, 2.0, 3.0, MOST_PSEUDO_COUNTS)

    @classmethod
    def estimate_order(cls, settings: Any, table: CountTable) -> Sequence[float]:
        """One discount for all counts, unless a subclass knows better."""
        d = getattr(settings, "discount", 0.0)  # a method without that setting has no discount; None: estimated
        d = kneser_ney_discount(table) if d is None else d
        return [d, d, d, getattr(settings, "concentration", 0.0)]

    def shares(self, k: int, seen: NgramStatistics) -> tuple[Floats, Floats, Floats]:
        *discounts, strength = self.parameters[k - 1]
        off = np.array([0.0, *discounts])[np.minimum(seen.counts, 3)]  # (U,): D(c)
        given = sum(d * n for d, n in zip(discounts, seen.types.T, strict=True)) + strength + seen.pruned
        return seen.counts - off, given, np.where(seen.totals > 0, seen.totals + strength, 1.0)

    def search_space(self) -> SearchSpace:
        low, high = [LEAST_DISCOUNT] * 3 + [0], [1, 2, 3, 1e4]
        return SearchSpace([0.7, 1.1, 1.4, 0.5], low, high, row=lambda x: x)


ONE_DISCOUNT_AND_STRENGTH = SearchSpace([0.7, 0.5], [LEAST_DISCOUNT, 0], [1, 1e4], row=lambda x: x[[0, 0, 0, 1]])


class AbsoluteDiscounting(Discounting):
    """One discount for all counts (Ney, Essen & Kneser 1994)."""

    chosen_by = (config.AbsoluteDiscount,)


class KneserNey(Discounting):
    """One discount for all counts, and continuation counts below the highest order (Kneser & Ney 1995)."""

    chosen_by = (config.KneserNey,)
    continuations = True

    def search_space(self) -> SearchSpace:
        return ONE_DISCOUNT_AND_STRENGTH


class ModifiedKneserNey(Discounting):
    """Three discounts, and continuation counts below the highest order (Chen & Goodman 1998).

    `base=kenlm` counts as KenLM's lmplz does (Heafield 2013): with an unknown symbol among the unigrams.
    """

    chosen_by = (config.ModifiedKneserNey,)
    continuations = True

    @classmethod
    def estimate_order(cls, settings: config.ModifiedKneserNey, table: CountTable) -> Sequence[float]:
        """Y in place of D_i if n_i = 0, as in the lowest orders of characters, or if D_i is not above 0.

        Without a discount unseen symbols would have probability 0.
        """
        y = kneser_ney_discount(table)
        return [*(d if d > 0 else y for d in three_discounts(table.counts_of_counts)), 0.0]

    @classmethod
    def estimate(cls, settings: config.ModifiedKneserNey, counts: TrainCounts) -> Floats:
        if settings.base == "uniform":
            return super().estimate(settings, counts)
        pairs = zip(counts.continuations, kenlm_miscounts(counts), strict=True)
        return np.array([[*kenlm_discounts(table, *wrong), 0.0] for table, wrong in pairs])

    def probabilities(self, statistics: Sequence[NgramStatistics], vocab_size: int) -> list[Floats]:
        return super().probabilities(statistics, vocab_size + (self.settings.base == "kenlm"))


class Dirichlet(Discounting):
    """No discount but `strength` pseudo-counts, spread by the order below (MacKay & Peto 1995)."""

    chosen_by = (config.Dirichlet,)

    def search_space(self) -> SearchSpace:
        return SearchSpace([1.0], [-10.0], [20.0], row=lambda x: np.array([0, 0, 0, np.exp(x[0])]))

    def search_order(self, order: int) -> list[tuple[slice, int]]:
        """Each order predicts as well as it can by itself, the lowest first."""
        return [(slice(k - 1, k), k) for k in range(1, order + 1)]


class PitmanYor(Discounting):
    """The Pitman-Yor process (Teh 2006, eq. 7) if each symbol sits at one table: a discount and pseudo-counts."""

    chosen_by = (config.PitmanYor,)
    continuations = True

    def search_space(self) -> SearchSpace:
        return ONE_DISCOUNT_AND_STRENGTH

    def search_order(self, order: int) -> list[tuple[slice, int]]:
        """Orders of continuation counts do not predict by themselves: the loss of the highest order decides for all."""
        return [(slice(k - 1, k), order) for k in range(order, 0, -1)]


# --- discounts from counts of counts --------------------------------------------------------------------------------


def kneser_ney_discount(table: CountTable) -> float:
    """D = Y = n1 / (n1 + 2 n2) (Ney, Essen & Kneser 1994); 0.5 if n1 = 0."""
    n1, n2, *_ = table.counts_of_counts
    return n1 / (n1 + 2 * n2) if n1 else 0.5


def three_discounts(n: Sequence[int]) -> list[float]:
    """D_i = i - (i + 1) Y n_(i+1) / n_i for i = 1, 2, 3 (Chen & Goodman 1998, eq. 26); -1 if n_i = 0."""
    y, whole = (n[0], n[0] + 2 * n[1]) if n[0] else (1, 2)  # Y = y / whole, see kneser_ney_discount
    # One division of whole numbers: a D_i of 0 is 0, and not a rounding error above or below it
    return [(i * whole * n[i - 1] - (i + 1) * y * n[i]) / (whole * n[i - 1]) if n[i - 1] else -1.0 for i in (1, 2, 3)]


# --- as KenLM counts ------------------------------------------------------------------------------------------------


def kenlm_discounts(table: CountTable, taken_for: int, right: int) -> list[float]:
    """Returns the discounts of lmplz --discount_fallback: 0.5, 1, 1.5 if any D_i is undefined or not in 0 to i.

    `taken_for`, `right`: the count as which lmplz counts one n-gram, and its own; 0 if it makes no mistake.
    """
    n = [*table.counts_of_counts, 0]  # the last one for counts of 5 and more, which no discount depends on
    if right:
        n[min(right, 5) - 1] -= 1
        n[min(taken_for, 5) - 1] += 1
    discounts = three_discounts(n)
    return discounts if all(0 <= d <= i for i, d in enumerate(discounts, 1)) else [0.5, 1.0, 1.5]


def kenlm_miscounts(counts: TrainCounts) -> list[tuple[int, int]]:
    """Returns for each order the (occurrence, continuation) count of the n-gram that lmplz counts wrongly; or (0, 0).

    Of each order but the highest, lmplz enters the last n-gram, sorted from its newest symbol backwards, among the
    counts of counts with its occurrences (AdjustCounts::Run in lm/builder/adjust_counts.cc).
    """
    raw, miscounts = counts.occurrences, [(0, 0)] * len(counts.occurrences)
    if counts.appearance is None:
        return miscounts
    age = counts.appearance()  # lmplz numbers symbols as they appear
    last = raw[0].keys[[np.argmax(age[raw[0].packing.newest(raw[0].keys, 1)])]]
    for k, (table, changed) in enumerate(zip(raw[:-1], counts.continuations, strict=False), 1):
        (at,) = np.flatnonzero(table.keys == last)
        miscounts[k - 1] = (int(table.counts[at]), int(changed.counts[at]))
        longer = raw[k].keys[raw[k].packing.shorter(raw[k].keys, k + 1) == last]
        if not len(longer):  # it begins a document
            break
        oldest: Ids = raw[k].packing.unpack(longer, k + 1)[:, 0]
        last = longer[[np.argmax(np.where(oldest == BOUNDARY, -1, age[oldest]))]]
    return miscounts
