"""The parameters of a smoothing method: estimated from the tables, or fitted on val."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nextchar.config.model_settings import Count
from nextchar.config.smoothing_settings import (
    AbsoluteDiscount,
    AddK,
    Dirichlet,
    JelinekMercer,
    Katz,
    KneserNey,
    ModifiedKneserNey,
    PitmanYor,
    StupidBackoff,
    WittenBell,
    is_fitted,
)
from nextchar.config.smoothing_settings import Smoothing as Settings
from nextchar.data.vocabulary import Ids
from nextchar.errors import BadInput
from nextchar.models.base import Floats
from nextchar.models.ngram import counts, smoothing
from nextchar.models.ngram.counts import Counted, Table, continuation_tables
from nextchar.models.ngram.model import evidence
from nextchar.models.ngram.smoothing import BUCKETS, Evidence, Smoothing, buckets

FEWEST_IN_BUCKET = 20  # characters of val; a bucket with fewer has the weight that all together have
EM_ROUNDS = 60
SURE = 1 - 1e-9  # the most that the higher of two orders weighs
SIMPLEX_STEPS = 400
LEAST = 1e-3  # discount that is tried: none would leave what was never seen without a chance

METHODS: dict[str, type[Smoothing]] = {
    "none": smoothing.AddK,
    "l2": smoothing.AddK,  # of a net; what it is drawn beside is not smoothed
    "add_k": smoothing.AddK,
    "jelinek_mercer": smoothing.JelinekMercer,
    "witten_bell": smoothing.WittenBell,
    "absolute_discount": smoothing.Discounting,
    "kneser_ney": smoothing.KneserNey,
    "modified_kneser_ney": smoothing.KneserNey,
    "katz": smoothing.Katz,
    "stupid_backoff": smoothing.StupidBackoff,
    "dirichlet": smoothing.Discounting,
    "pitman_yor": smoothing.KneserNey,
}


def method(settings: Settings) -> type[Smoothing]:
    """The class of the method that the settings name."""
    if isinstance(settings, ModifiedKneserNey) and settings.base == "kenlm":
        return smoothing.LikeKenLM
    return METHODS[settings.name]


def pruned(tables: Sequence[Table], raw: Sequence[Table], model: Count) -> list[Table]:
    """The tables that a method looks things up in without the n-grams that occur as rarely as model.prune says."""
    thresholds = [model.threshold(table.order) for table in raw]
    return [
        counts.pruned(table, counted.counts > threshold) if threshold else table
        for table, counted, threshold in zip(tables, raw, thresholds, strict=True)
    ]


def fit(
    settings: Settings, raw: Sequence[Table], val: Counted | None, age: Ids | None = None
) -> tuple[list[Table], Smoothing]:
    """The tables that a method looks things up in, and the method with its parameters.

    `raw`: the counts by order. `val`: the distinct windows of val, of the highest order, on which is fitted what the
    settings ask to be. `age` (V,): the ids by first appearance, for who wants KenLM's figures to the last digit.
    Raises BadInput where there is no val to fit on.
    """
    kind = method(settings)
    tables = continuation_tables(raw) if kind.continuation else list(raw)
    parameters = _estimated(settings, tables)
    if isinstance(settings, ModifiedKneserNey) and settings.base == "kenlm":
        slips = [None] * len(raw) if age is None else smoothing.kenlm_slips(raw, tables, age)
        parameters[:, :3] = [smoothing.kenlm_discounts(*each) for each in zip(tables, slips, strict=True)]
    if not is_fitted(settings):
        return tables, kind(parameters)
    if val is None:
        raise BadInput(f"smoothing={settings.name} is fitted on val, and this split has none; set data.val=1000")
    seen = evidence(tables, val.keys)
    weights = _weights(seen, val)
    if isinstance(settings, JelinekMercer):
        return tables, kind(_by_em(seen, weights, 1 / tables[0].packing.vocab_size, settings.weights == "bucket"))
    return tables, kind(_tuned(settings, kind, parameters, seen, weights, tables[0].packing.vocab_size))


def _estimated(settings: Settings, tables: Sequence[Table]) -> Floats:
    """Parameters from the tables alone, a row an order."""

    def discounts(own: float | None, of: Callable[[Table], Floats], strength: float = 0.0) -> Floats:
        rows = [np.full(3, own) if own is not None else of(table) for table in tables]
        return np.column_stack([np.array(rows), np.full(len(rows), strength)])

    n = len(tables)
    match settings:
        case AddK():
            return np.full((n, 1), settings.k)
        case JelinekMercer():
            return np.full((n, BUCKETS), 0.5)
        case WittenBell():
            return np.zeros((n, 0))
        case AbsoluteDiscount() | KneserNey():
            return discounts(settings.discount, smoothing.one_discount)
        case ModifiedKneserNey():
            return discounts(None, smoothing.three_discounts)
        case Katz():
            return np.array([smoothing.good_turing(table) for table in tables])
        case StupidBackoff():
            return np.full((n, 1), settings.alpha)
        case Dirichlet():
            return discounts(0.0, smoothing.one_discount, settings.concentration)
        case PitmanYor():
            return discounts(settings.discount, smoothing.one_discount, settings.concentration)
        case _:  # none, and a net's l2
            return np.zeros((n, 1))


def _weights(seen: Sequence[Evidence], val: Counted) -> list[Floats]:
    """How many characters of val each window stands for, by order."""
    weights: list[Floats] = [val.counts.astype(np.float64)]
    for of_order in seen[:0:-1]:
        weights.append(np.bincount(of_order.lower, weights[-1]).astype(np.float64))
    return weights[::-1]


# --- expectation and maximisation -----------------------------------------------------------------------------------


def _by_em(seen: Sequence[Evidence], weights: Sequence[Floats], uniform: float, by_bucket: bool) -> Floats:
    """Jelinek-Mercer's weights, bottom up, with val as what is held out (Jelinek & Mercer 1980)."""
    p, rows = np.array([uniform]), list[Floats]()
    for of_order, n in zip(seen, weights, strict=True):
        below, known = p[of_order.lower], of_order.totals > 0
        ml = of_order.counts / np.maximum(of_order.totals, 1)
        together = _em(ml[known], below[known], n[known], np.zeros(int(known.sum()), dtype=np.int64), 1)
        row = np.full(BUCKETS, together[0], dtype=np.float64)
        if by_bucket:
            bucket = buckets(of_order.totals[known])
            enough = np.bincount(bucket, n[known], minlength=BUCKETS) >= FEWEST_IN_BUCKET
            row = np.where(enough, _em(ml[known], below[known], n[known], bucket, BUCKETS), row)
        rows.append(row.astype(np.float64))
        weight = row[buckets(of_order.totals)]
        p = np.where(known, weight * ml + (1 - weight) * below, below)
    return np.array(rows)


def _em(ml: Floats, below: Floats, n: Floats, group: Ids, groups: int) -> Floats:
    """The weight of `ml` against `below` in each group under which `n` observations are likely; 0.5 without any.

    Never above SURE: a weight of 1, which the rounds reach where val holds nothing new, would forbid what is new.
    """
    weight = np.full(groups, 0.5)
    whole = np.bincount(group, n, minlength=groups)
    for _ in range(EM_ROUNDS):
        share = weight[group] * ml
        share = share / (share + (1 - weight[group]) * below)
        weight = np.where(whole > 0, np.bincount(group, n * share, minlength=groups) / np.maximum(whole, 1), weight)
        weight = np.minimum(weight, SURE)
    return weight


# --- search ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Space:
    """Where to look for a row of parameters: from `start`, between `low` and `high`."""

    start: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    row: Callable[[Floats], Floats]


def _space(settings: Settings) -> Space:
    match settings:
        case AddK():
            return Space([-2.0], [-20.0], [20.0], np.exp)
        case KneserNey():
            return Space([0.7, 0.5], [LEAST, 0], [1, 1e4], lambda x: x[[0, 0, 0, 1]])
        case Dirichlet():
            return Space([1.0], [-10.0], [20.0], lambda x: np.array([0, 0, 0, np.exp(x[0])]))
        case PitmanYor():
            return Space([0.7, 0.5], [LEAST, 0], [1, 1e4], lambda x: x[[0, 0, 0, 1]])
        case _:
            return Space([0.7, 1.1, 1.4, 0.5], [LEAST, LEAST, LEAST, 0], [1, 2, 3, 1e4], lambda x: x)


def _tuned(
    settings: Settings,
    kind: type[Smoothing],
    start: Floats,
    seen: Sequence[Evidence],
    weights: Sequence[Floats],
    v: int,
) -> Floats:
    """Parameters under which val is likeliest; `start` where none are found under which it is likelier."""
    space, parameters = _space(settings), start.copy()

    def loss(parameters: Floats, order: int) -> float:
        p = kind(parameters).probabilities(seen[:order], v)[-1]
        with np.errstate(divide="ignore"):
            return -float(weights[order - 1] @ np.log(p))

    for order, rows in _steps(settings, len(seen)):
        if not any(of_order.totals.any() for of_order in seen[rows]):
            continue  # no document is so long

        def tried(x: Floats, order: int = order, rows: slice = rows) -> float:
            parameters[rows] = space.row(x)
            return loss(parameters, order)

        parameters[rows] = space.row(minimum(tried, space.start, space.low, space.high))
    return parameters if loss(parameters, len(seen)) < loss(start, len(seen)) else start


def _steps(settings: Settings, n: int) -> list[tuple[int, slice]]:
    """The rows that are looked for, one group after the other, and the order by whose P_k each is judged.

    Dirichlet's orders each predict as well as they can by themselves, bottom up. Those of Pitman and Yor that count
    contexts do not predict by themselves; what they do for the highest order decides.
    """
    match settings:
        case Dirichlet():
            return [(k, slice(k - 1, k)) for k in range(1, n + 1)]
        case PitmanYor():
            return [(n, slice(k - 1, k)) for k in range(n, 0, -1)]
        case _:
            return [(n, slice(n))]


def minimum(
    f: Callable[[Floats], float], start: Sequence[float], low: Sequence[float], high: Sequence[float]
) -> Floats:
    """Where f is least between `low` and `high`, (n,), by the simplex of Nelder and Mead (1965), kept within them."""
    corner = np.array(start, dtype=np.float64)
    points = [corner, *(corner + step for step in np.diag(np.maximum(0.2 * np.abs(corner), 0.1)))]
    simplex = sorted((f(x), tuple(x)) for x in points)
    for _ in range(SIMPLEX_STEPS):
        if simplex[-1][0] - simplex[0][0] <= 1e-9 * abs(simplex[0][0]):
            break
        worst, others = np.array(simplex[-1][1]), np.array([x for _, x in simplex[:-1]])
        middle = others.mean(0)

        def tried(t: float, middle: Floats = middle, worst: Floats = worst) -> tuple[float, tuple[float, ...]]:
            x = np.clip(middle + t * (middle - worst), low, high)
            return f(x), tuple(x)

        best = tried(1.0)
        if best < simplex[0]:
            best = min(best, tried(2.0))
        elif best >= simplex[-2]:
            best = min(best, tried(0.5), tried(-0.5))
        if best < simplex[-1]:
            simplex = sorted([*simplex[:-1], best])
        else:
            least = np.array(simplex[0][1])
            simplex = sorted((f(x), tuple(x)) for x in [least, *((others[1:] + least) / 2), (worst + least) / 2])
    return np.array(simplex[0][1])
