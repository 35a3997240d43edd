"""Smoothing: from counts to probabilities, order by order. One small class a method, one recursion for all.

The recursion begins with the uniform distribution, 1 / V, and goes up: P_k is made of what the table of order k shows
of a window and its context (`Evidence`), and of P_(k-1) of the window without its oldest symbol.

    c      how often the window occurs          C      how often its context does
    T      types: how many different symbols follow the context; n1, n2, n3+ of them once, twice, three times or more
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from nextchar.data.vocabulary import BOUNDARY, Ids
from nextchar.models.base import Floats
from nextchar.models.ngram.counts import Table

BUCKETS = 10  # of contexts, by the binary logarithm of how often they occur
MANY = 1e12  # pseudo-counts
MOST_DISCOUNTED = 5  # counts above are trusted (Katz 1987)


@dataclass(frozen=True)
class Evidence:
    """What the table of order k shows of U windows; zeros where it knows nothing."""

    counts: Ids  # (U,): c
    totals: Ids  # (U,): C
    types: Ids  # (U, 3): n1, n2, n3+
    pruned: Ids  # (U,): the part of C that belongs to windows which were taken out of the table
    lower: Ids  # (U,): which of the windows of the order below is this one without its oldest symbol
    cut: npt.NDArray[np.bool_]  # (U,): the document begins later than the window: it is one of the order below
    mates: Ids | None = None  # (U,): which context, where the windows are all that V symbols make of each


class Smoothing(ABC):
    """A method, with its `parameters`: (orders, P) float64, a row an order; what they are the method says."""

    names: ClassVar[tuple[str, ...]]  # of the parameters
    highest: ClassVar[tuple[float, ...]]  # that each of them can be; none is below 0
    continuation: ClassVar[bool] = False  # made for the tables of Kneser and Ney
    rows: ClassVar[bool] = False  # sees all V windows of a context at once

    def __init__(self, parameters: Floats) -> None:
        self.parameters = parameters

    def named_parameters(self) -> dict[str, list[float]]:
        """For run.json: by name, one value an order."""
        return dict(zip(self.names, self.parameters.T.tolist(), strict=True))

    @abstractmethod
    def step(self, k: int, seen: Evidence, below: Floats, uniform: float) -> Floats:
        """P_k of U windows, from P_(k-1) of the same without their oldest symbol."""

    def probabilities(self, evidence: Sequence[Evidence], vocab_size: int) -> list[Floats]:
        """The recursion: P_1, P_2, ... of the windows that the evidence of each order is about."""
        uniform = 1 / vocab_size
        p, found = np.array([uniform]), []
        for k, seen in enumerate(evidence, 1):
            p = self.step(k, seen, p[seen.lower], uniform)
            found.append(p)
        return found


class AddK(Smoothing):
    """P = (c + k) / (C + k V): k pseudo-counts for every window; a context without counts is uniform. No recursion.

    k = 1 is Laplace's rule, k = 0 maximum likelihood (Jurafsky & Martin, Speech and Language Processing, 3rd ed.,
    eq. 3.24 ff.). Parameters: k.
    """

    names = ("k",)
    highest = (MANY,)

    def step(self, k: int, seen: Evidence, below: Floats, uniform: float) -> Floats:
        pseudo = self.parameters[k - 1, 0]
        mass = seen.totals + pseudo / uniform
        p = np.where(mass > 0, (seen.counts + pseudo) / np.where(mass > 0, mass, 1), uniform)
        return np.where(seen.cut, below, p)


class Interpolated(Smoothing):
    """What a method keeps for the counts, and the mass that it gives to the order below.

    P_k = (kept + given P_(k-1)) / (kept of all symbols + given); a context without counts has P_(k-1). What windows
    would have kept that were pruned is given too.
    """

    @abstractmethod
    def shares(self, k: int, seen: Evidence) -> tuple[Floats, Floats, Floats]:
        """kept (U,), given (U,), and what both are shares of (U,), above 0."""

    def step(self, k: int, seen: Evidence, below: Floats, uniform: float) -> Floats:
        kept, given, whole = self.shares(k, seen)
        return np.where(seen.totals > 0, (kept + given * below) / whole, below)


class JelinekMercer(Interpolated):
    """P_k = l c / C + (1 - l) P_(k-1) (Jelinek & Mercer 1980; Chen & Goodman 1998, eq. 12).

    Parameters: l by bucket, floor(log2 C) from 0 to 9 (Bahl, Jelinek & Mercer 1983); equal ones where there is one an
    order.
    """

    names = tuple(f"weight of contexts seen {2**b} times or more" for b in range(BUCKETS))
    highest = (1.0,) * BUCKETS

    def shares(self, k: int, seen: Evidence) -> tuple[Floats, Floats, Floats]:
        weight = self.parameters[k - 1][buckets(seen.totals)]
        whole = np.maximum(seen.totals, 1).astype(np.float64)
        return weight * seen.counts, (1 - weight) * whole + weight * seen.pruned, whole


class WittenBell(Interpolated):
    """P_k = (c + T P_(k-1)) / (C + T): a new symbol is as likely as new ones were (Witten & Bell 1991, method C)."""

    names = ()
    highest = ()

    def shares(self, k: int, seen: Evidence) -> tuple[Floats, Floats, Floats]:
        types = seen.types.sum(1)
        return seen.counts.astype(np.float64), types + 1.0 * seen.pruned, np.maximum(seen.totals + types, 1.0)


class Discounting(Interpolated):
    """P_k = (c - D(c) + (sum of D + s) P_(k-1)) / (C + s): a discount D by count 1, 2, 3 or more, and a strength s.

    One D and s = 0: absolute discounting (Ney, Essen & Kneser 1994); three of them: modified (Chen & Goodman 1998, sec.
    3); no D: Dirichlet smoothing (MacKay & Peto 1995); one D and s: the Pitman-Yor process (Teh 2006, eq. 7, each
    symbol at one table). Parameters: D1, D2, D3+, s.
    """

    names = ("D1", "D2", "D3+", "strength")
    highest = (1.0, 2.0, 3.0, MANY)

    def shares(self, k: int, seen: Evidence) -> tuple[Floats, Floats, Floats]:
        *discounts, strength = self.parameters[k - 1]
        off = np.array([0.0, *discounts])[np.minimum(seen.counts, 3)]
        given = sum(d * n for d, n in zip(discounts, seen.types.T, strict=True)) + strength + seen.pruned
        return seen.counts - off, given, np.where(seen.totals > 0, seen.totals + strength, 1.0)


class KneserNey(Discounting):
    """Discounting of tables whose lower orders count contexts, not occurrences (Kneser & Ney 1995)."""

    continuation = True


class LikeKenLM(KneserNey):
    """Modified Kneser-Ney with an unknown symbol among the unigrams, as KenLM's lmplz counts it (Heafield 2013)."""

    def probabilities(self, evidence: Sequence[Evidence], vocab_size: int) -> list[Floats]:
        return super().probabilities(evidence, vocab_size + 1)


class Katz(Smoothing):
    """P_k = d(c) c / C of what was seen; what is left goes to the unseen in proportion to P_(k-1) (Katz 1987).

    Parameters: d(1) to d(5), by Good and Turing; counts above 5 are kept. A context that would keep everything leaves
    0.5 / (C + 0.5), so that nothing has probability 0; one that all symbols follow has nobody to leave anything to.
    """

    names = tuple(f"d{r}" for r in range(1, MOST_DISCOUNTED + 1))
    highest = (1.0,) * MOST_DISCOUNTED
    rows = True

    def step(self, k: int, seen: Evidence, below: Floats, uniform: float) -> Floats:
        assert seen.mates is not None
        ratios = np.append(self.parameters[k - 1], 1.0)
        known, mates = seen.counts > 0, seen.mates
        kept = ratios[np.minimum(seen.counts, MOST_DISCOUNTED + 1) - 1] * seen.counts / np.maximum(seen.totals, 1)
        greedy = np.bincount(mates, kept)[mates] > 1 - 1e-12
        kept = np.where(greedy, seen.counts / (seen.totals + 0.5), kept)
        left, unseen = 1 - np.bincount(mates, kept)[mates], np.bincount(mates, below * ~known)[mates]
        open_ended = np.where(known, kept, left * below / np.where(unseen > 0, unseen, 1))
        complete = np.bincount(mates, known)[mates] == np.bincount(mates)[mates]
        p = np.where(complete, kept / np.where(complete, 1 - left, 1), open_ended)
        return np.where(seen.totals > 0, p, below)


class StupidBackoff(Smoothing):
    """S_k = c / C of what was seen, else a S_(k-1) (Brants et al. 2007, eq. 5): scores, which do not sum to 1.

    Parameters: a.
    """

    names = ("a",)
    highest = (1.0,)

    def step(self, k: int, seen: Evidence, below: Floats, uniform: float) -> Floats:
        relative = seen.counts / np.maximum(seen.totals, 1)
        return np.where(seen.counts > 0, relative, np.where(seen.cut, below, self.parameters[k - 1, 0] * below))


def buckets(totals: Ids) -> Ids:
    """Which bucket a context is in, by how often it occurs: floor(log2 C), at most 9."""
    logarithms: Ids = np.frexp(np.maximum(totals, 1))[1].astype(np.int64) - 1
    return np.minimum(logarithms, BUCKETS - 1)


# --- discounts, estimated from counts of counts ---------------------------------------------------------------------


def one_discount(table: Table) -> Floats:
    """D = n1 / (n1 + 2 n2) (Ney, Essen & Kneser 1994), 0.5 where no n-gram occurs once: three equal ones."""
    n1, n2, *_ = table.counts_of_counts
    return np.full(3, n1 / (n1 + 2 * n2) if n1 else 0.5)


def three_discounts(table: Table) -> Floats:
    """D_i = i - (i + 1) Y n_(i+1) / n_i, with Y = n1 / (n1 + 2 n2) (Chen & Goodman 1998, eq. 26), or Y.

    Y where no n-gram has the count i, as in the lowest orders of characters, or where D_i would not be above 0, which
    would leave what was never seen without a chance.
    """
    n, y = table.counts_of_counts, float(one_discount(table)[0])
    found = [i - (i + 1) * y * n[i] / n[i - 1] if n[i - 1] else y for i in (1, 2, 3)]
    return np.array([d if d > 0 else y for d in found])


def kenlm_discounts(table: Table, slip: tuple[int, int] | None) -> Floats:
    """D_i = i - (i + 1) Y n_(i+1) / n_i, or 0.5, 1, 1.5 for all where one is not defined, or outside of 0 to i.

    As lmplz --discount_fallback estimates them; `slip`: see `kenlm_slips`.
    """
    n = [*table.counts_of_counts, 0]
    if slip is not None:
        right, taken = (min(count, 5) - 1 for count in slip)
        n[right] -= 1
        n[taken] += 1
    if not all(n[:3]):
        return np.array([0.5, 1.0, 1.5])
    y = n[0] / (n[0] + 2 * n[1])
    discounts = np.array([i - (i + 1) * y * n[i] / n[i - 1] for i in (1, 2, 3)])
    return discounts if ((discounts >= 0) & (discounts <= [1, 2, 3])).all() else np.array([0.5, 1.0, 1.5])


def kenlm_slips(raw: Sequence[Table], adjusted: Sequence[Table], age: Ids) -> list[tuple[int, int] | None]:
    """For each order the (adjusted, raw) count of the one n-gram that lmplz counts wrongly among the counts of counts.

    Of each order but the highest it is the last one, sorted from its newest symbol backwards, that enters them with its
    raw count (AdjustCounts::Run in lm/builder/adjust_counts.cc). `age` (V,): the ids by first appearance, the end of a
    document before all.
    """
    slips: list[tuple[int, int] | None] = [None] * len(raw)
    last = raw[0].keys[[np.argmax(age[raw[0].packing.newest(raw[0].keys, 1)])]]
    for k, (table, changed) in enumerate(zip(raw[:-1], adjusted, strict=False), 1):
        (at,) = np.flatnonzero(table.keys == last)
        slips[k - 1] = (int(changed.counts[at]), int(table.counts[at]))
        longer = raw[k].keys[raw[k].packing.shorter(raw[k].keys, k + 1) == last]
        if not len(longer):  # it begins a document
            break
        oldest = raw[k].packing.unpack(longer, k + 1)[:, 0]
        last = longer[[np.argmax(np.where(oldest == BOUNDARY, -1, age[oldest]))]]
    return slips


def good_turing(table: Table) -> Floats:
    """d(r) = (r* / r - a) / (1 - a), r* = (r + 1) n_(r+1) / n_r, a = 6 n_6 / n_1 (Katz 1987), for r = 1 to 5.

    1, no discount, where the ratio would not be one between 0 and 1; of an order that lacks one of n_1 to n_6, always.
    """
    n = np.array([int((table.counts == r).sum()) for r in range(1, MOST_DISCOUNTED + 2)])
    a = 6 * n[-1] / n[0] if n.all() else 1.0
    if a == 1:
        return np.ones(MOST_DISCOUNTED)
    r = np.arange(1, MOST_DISCOUNTED + 1)
    ratios = ((r + 1) * n[1:] / n[:-1] / r - a) / (1 - a)
    return np.where((ratios > 0) & (ratios < 1), ratios, 1.0)
