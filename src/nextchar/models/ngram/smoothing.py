"""Smoothing: from counts to probabilities, by one recursion over the orders.

    P_0(w)     = 1 / V
    P_k(w | h) = step(statistics of h w in the table of order k, P_(k-1)(w | h'))        k = 1, 2, ..., order

w is a symbol, h the k - 1 symbols before it, and h' is h without its oldest symbol. A method is its `step`:

    add-k; k = 0 is maximum likelihood                           uses no lower order     below
    Witten-Bell                                                  interpolates            below
    Jelinek-Mercer                                               interpolates            jelinek_mercer.py
    absolute discounting, Kneser-Ney, Dirichlet, Pitman-Yor      interpolate             kneser_ney.py
    Katz, stupid backoff                                         back off                katz.py

The formulas name the statistics (`NgramStatistics`) as the papers do:

    c      how often h w occurs                 C      how often h occurs as a context
    T      types: how many distinct symbols follow h; n1, n2, n3+ of them once, twice, three times or more
    V      the size of the vocabulary, boundary included
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from nextchar.config import smoothing_settings as config
from nextchar.data.vocabulary import Ids
from nextchar.models.base import Floats
from nextchar.models.ngram.counts import CountTable, TrainCounts
from nextchar.models.ngram.keys import Bools, Keys, look_up, run_starts
from nextchar.models.ngram.simplex import minimum

MOST_PSEUDO_COUNTS = 1e12

METHODS: dict[type[config.SmoothingSettings], type["Smoothing"]] = {}  # filled by the classes themselves


@dataclass(frozen=True)
class NgramStatistics:
    """Statistics of U n-grams h w of order k, each a symbol w after a context h; 0 where unseen."""

    counts: Ids  # (U,): c(h w)
    totals: Ids  # (U,): C = sum of c(h v) over all symbols v, pruned n-grams included
    types: Ids  # (U, 3): how many symbols follow h once, twice, three times or more
    pruned: Ids  # (U,), or (1,) 0: the part of C that belongs to pruned n-grams
    shorter: Ids  # (U,): the index of h' w, which lacks the oldest symbol, among the n-grams of order k - 1
    is_padded: Bools  # (U,): the document begins inside of h w, which makes it an n-gram of order k - 1
    context_index: Ids  # (U,): equal for n-grams of one context, ascending from 0


def statistics_by_order(tables: Sequence[CountTable], keys: Keys, whole_rows: bool = False) -> list[NgramStatistics]:
    """Returns the statistics of distinct, sorted n-grams of the highest order, and of their endings in all lower ones.

    `whole_rows`: the n-grams are those of all V symbols after each context, which saves sorting.
    """
    found: list[NgramStatistics] = []
    for table in reversed(tables):
        packing, k, v = table.packing, table.order, table.packing.vocab_size
        if whole_rows and k > 1:  # only the contexts need to be sorted
            contexts, row = packing.distinct(packing.shorter(packing.context(keys[::v], k), k - 1), k - 2)
            shorter, index = packing.all_extended(contexts, k - 1), (row[:, None] * v + np.arange(v)).ravel()
        else:
            shorter, index = packing.distinct(packing.shorter(keys, k), k - 1)
        found.append(_statistics(table, keys, index))
        keys = shorter
    return found[::-1]


def _statistics(table: CountTable, keys: Keys, shorter: Ids) -> NgramStatistics:
    packing, k, known = table.packing, table.order, table.contexts
    contexts = packing.context(keys, k)
    starts = run_starts(contexts)  # sorted n-grams of one context are neighbours: each is looked up once for all
    distinct, context_index = contexts[starts], np.repeat(np.arange(len(starts)), np.diff(starts, append=len(keys)))
    pruned = np.zeros(1, dtype=np.int64)
    if table.pruned is not None:
        pruned = look_up(known.keys, table.pruned, distinct, 0)[context_index]
    return NgramStatistics(
        counts=look_up(table.keys, table.counts, keys, 0),
        totals=look_up(known.keys, known.totals, distinct, 0)[context_index],
        types=look_up(known.keys, known.types, distinct, 0)[context_index],
        pruned=pruned,
        shorter=shorter,
        is_padded=packing.is_padded(keys, k),
        context_index=context_index,
    )


class HeldOut(NamedTuple):
    """A text to fit parameters on, usually val: its U distinct n-grams by order, as the tables of train see them."""

    statistics: Sequence[NgramStatistics]
    weights: Sequence[Floats]  # (U,) by order: how many characters of the text are the last of each n-gram
    vocab_size: int

    @classmethod
    def of(cls, text: CountTable, tables: Sequence[CountTable]) -> "HeldOut":
        statistics = statistics_by_order(tables, text.keys)
        weights: list[Floats] = [text.counts.astype(np.float64)]
        for of_order in statistics[:0:-1]:  # n-grams of the order below that differ in their oldest symbol only
            weights.append(np.bincount(of_order.shorter, weights[-1]).astype(np.float64))
        return cls(statistics, weights[::-1], text.packing.vocab_size)


class SearchSpace(NamedTuple):
    """A search begins at `start` and stays between `low` and `high`."""

    start: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    row: Callable[[Floats], Floats]  # makes the parameters of an order from a point


class Smoothing(ABC):
    """A smoothing method: its settings, and its `parameters`, (orders, P) float64, a row for each order.

    To add a method, write its settings class and a subclass with `chosen_by` and `step`; if it has parameters, also
    `names`, `highest` and `estimate_order`; if its settings have `tune`, `search_space`. The class registers itself.
    """

    chosen_by: ClassVar[tuple[type[config.SmoothingSettings], ...]] = ()  # settings classes that mean this method
    names: ClassVar[tuple[str, ...]] = ()  # of the P parameters, as in run.json
    highest: ClassVar[tuple[float, ...]] = ()  # largest value of each; the smallest is 0
    continuations: ClassVar[bool] = False  # lower orders count distinct contexts, not occurrences
    whole_rows: ClassVar[bool] = False  # `step` must see all V symbols after each context
    uses_lower_orders: ClassVar[bool] = True
    sums_to_one: ClassVar[bool] = True

    def __init__(self, settings: Any, parameters: Floats) -> None:
        self.settings, self.parameters = settings, parameters

    def __init_subclass__(cls) -> None:
        METHODS.update(dict.fromkeys(cls.__dict__.get("chosen_by", ()), cls))

    # --- the recursion ----------------------------------------------------------------------------------------------

    @abstractmethod
    def step(self, k: int, seen: NgramStatistics, below: Floats, uniform: float) -> Floats:
        """Returns P_k of U n-grams, (U,), from `below`, their P_(k-1). `uniform`: 1 / V."""

    def probabilities(self, statistics: Sequence[NgramStatistics], vocab_size: int) -> list[Floats]:
        """Returns P_1, P_2, ... of the n-grams of each order."""
        uniform = 1 / vocab_size
        p, found = np.array([uniform]), []
        for k, seen in enumerate(statistics, 1):
            p = self.step(k, seen, p[seen.shorter], uniform)  # (U_k,) from the (U_(k-1),) of the order below
            found.append(p)
        return found

    # --- parameters -------------------------------------------------------------------------------------------------

    @classmethod
    def estimate_order(cls, settings: Any, table: CountTable) -> Sequence[float]:
        """Returns the P parameters of one order: those that are set, the others in closed form from its counts."""
        return []

    @classmethod
    def estimate(cls, settings: Any, counts: TrainCounts) -> Floats:
        """Returns (orders, P) parameters."""
        return np.array([cls.estimate_order(settings, table) for table in cls.tables(counts)], dtype=np.float64)

    @classmethod
    def tables(cls, counts: TrainCounts) -> Sequence[CountTable]:
        """Returns the tables in which the method looks n-grams up."""
        return counts.continuations if cls.continuations else counts.occurrences

    def fit(self, val: HeldOut) -> "Smoothing":
        """Returns the method with the parameters of the least loss on val that a search finds; itself if none is less.

        Raises NotImplementedError for a method without a `search_space`.
        """
        space, order = self.search_space(), len(val.statistics)
        fitted = type(self)(self.settings, self.parameters.copy())
        for rows, judged in self.search_order(order):
            if not any(of_order.totals.any() for of_order in val.statistics[rows]):
                continue  # no document is that long

            def loss(point: Floats, rows: slice = rows, judged: int = judged) -> float:
                fitted.parameters[rows] = space.row(point)
                return fitted._loss(val, judged)

            fitted.parameters[rows] = space.row(minimum(loss, space.start, space.low, space.high))
        return fitted if fitted._loss(val, order) < self._loss(val, order) else self

    def search_space(self) -> SearchSpace:
        raise NotImplementedError(f"{type(self).__name__} has no parameters that could be tuned")

    def search_order(self, order: int) -> list[tuple[slice, int]]:
        """Returns the rows to search, one group after another, each with the k whose P_k gives the loss."""
        return [(slice(order), order)]

    def _loss(self, val: HeldOut, order: int) -> float:
        p = self.probabilities(val.statistics[:order], val.vocab_size)[-1]
        with np.errstate(divide="ignore"):
            return -float(val.weights[order - 1] @ np.log(p))

    def named_parameters(self) -> dict[str, list[float]]:
        """Returns the parameters by name, one value for each order, as in run.json."""
        return dict(zip(self.names, self.parameters.T.tolist(), strict=True))


class AddK(Smoothing):
    """P = (c + k) / (C + k V): k pseudo-counts for every symbol; uniform after an unseen context if k = 0.

    k = 1 is Laplace's rule (Jurafsky & Martin, Speech and Language Processing, 3rd ed., eq. 3.24 ff.). Without
    smoothing k = 0, maximum likelihood, so with l2 too: that is a penalty of the net that the bigram is compared with.
    """

    chosen_by: ClassVar[tuple[type[config.SmoothingSettings], ...]] = (config.AddK, config.NoSmoothing, config.L2)
    names = ("k",)
    highest = (MOST_PSEUDO_COUNTS,)
    uses_lower_orders = False

    @classmethod
    def estimate_order(cls, settings: Any, table: CountTable) -> Sequence[float]:
        return [settings.k if isinstance(settings, config.AddK) else 0.0]

    def search_space(self) -> SearchSpace:
        return SearchSpace([-2.0], [-20.0], [20.0], row=np.exp)  # a point is log k

    def step(self, k: int, seen: NgramStatistics, below: Floats, uniform: float) -> Floats:
        pseudo = self.parameters[k - 1, 0]
        mass = seen.totals + pseudo / uniform  # C + k V
        p = np.where(mass > 0, (seen.counts + pseudo) / np.where(mass > 0, mass, 1), uniform)
        return np.where(seen.is_padded, below, p)  # a document's first symbols have shorter contexts


class Interpolated(Smoothing):
    """P_k = (kept + given P_(k-1)) / whole, where whole = given + the sum of kept over all symbols.

    An unseen context has P_(k-1). The counts of pruned n-grams are part of what is given.
    """

    @abstractmethod
    def shares(self, k: int, seen: NgramStatistics) -> tuple[Floats, Floats, Floats]:
        """Returns kept, given and whole, (U,) each; whole above 0."""

    def step(self, k: int, seen: NgramStatistics, below: Floats, uniform: float) -> Floats:
        kept, given, whole = self.shares(k, seen)
        return np.where(seen.totals > 0, (kept + given * below) / whole, below)


class WittenBell(Interpolated):
    """P_k = (c + T P_(k-1)) / (C + T): a new symbol is as likely as new ones were (Witten & Bell 1991, method C)."""

    chosen_by = (config.WittenBell,)

    def shares(self, k: int, seen: NgramStatistics) -> tuple[Floats, Floats, Floats]:
        types = seen.types.sum(1)
        return seen.counts.astype(np.float64), types + 1.0 * seen.pruned, np.maximum(seen.totals + types, 1.0)
