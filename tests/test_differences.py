"""The paired difference: its interval holds what it says."""

import math

import numpy as np
import pytest

from nextchar.differences import difference, over_seeds, per_character, student_t
from nextchar.metrics import Loss

TRIALS = 1000

# --- Student's t ----------------------------------------------------------------------------------------------------


def test_student_t_in_closed_form():
    """One degree of freedom is Cauchy's, two have a formula, very many are normal."""
    assert student_t(1) == pytest.approx(math.tan(0.95 * math.pi / 2), rel=1e-10)
    assert student_t(2) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), rel=1e-10)
    assert student_t(math.inf) == student_t(1e9) == pytest.approx(1.959963985, abs=3e-6)


@pytest.mark.parametrize(
    ("df", "published"),
    [(3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228), (29, 2.045), (60, 2.000), (120, 1.980)],
)
def test_student_t_against_the_printed_table(df, published):
    assert round(student_t(df), 3) == published


def test_student_t_between_whole_degrees():
    """By the density's integral, summed finely."""
    for df in (1.5, 2.7, 7.3):
        ends = student_t(df)
        x = np.linspace(0, ends, 200_001)
        log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
        density = np.exp(log_scale - (df + 1) / 2 * np.log1p(x**2 / df))
        assert 2 * np.trapezoid(density, x) == pytest.approx(0.95, abs=1e-9)


# --- coverage -------------------------------------------------------------------------------------------------------

TRUTH = 0.03  # nats per character


def pairs(random, documents, lengths, tails):
    """Losses of two models on the same documents: what is hard for one is hard for the other; b is better by TRUTH."""
    if lengths == "names":
        chars = random.integers(2, 15, documents)
    else:
        chars = np.ceil(random.lognormal(4, 1, documents)).astype(np.int64)
    common = chars * (2 + 0.5 * random.normal(size=documents))
    noise = random.standard_t(3, documents) if tails == "heavy" else random.normal(size=documents)
    own = 0.3 * noise * np.sqrt(chars) + 0.02 * random.normal(size=documents) * chars
    return Loss(common + TRUTH * chars + own, chars), Loss(common, chars)


@pytest.mark.parametrize("tails", ["normal", "heavy"])
@pytest.mark.parametrize("lengths", ["names", "unequal"])
@pytest.mark.parametrize(("documents", "trials"), [(10, 4000), (30, 4000), (100, TRIALS), (1000, TRIALS)])
def test_the_interval_covers_the_known_difference(documents, trials, lengths, tails):
    """In 93-97% of the trials; `unequal` lengths are lognormal, the longest is a hundred times the shortest."""
    random = np.random.default_rng(documents)
    estimates = []
    while len(estimates) < trials:  # of ten documents one may hold nearly all characters: no interval
        estimate = difference(*([loss] for loss in pairs(random, documents, lengths, tails)))
        estimates += [estimate] * (estimate is not None)
    covered = sum(abs(estimate.value - TRUTH) <= estimate.half for estimate in estimates)
    assert 0.93 <= covered / trials <= 0.97


@pytest.mark.parametrize("seeds", [(2, 2), (3, 5), (5, 1)])
def test_the_interval_covers_with_the_luck_of_seeds(seeds):
    """Every seed of a model is off by its own luck; of a model without luck one seed is enough."""
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(TRIALS):
        a, b = pairs(random, 200, "names", "normal")
        luck = (random.normal(0, 0.02, seeds[0]), random.normal(0, 0.02 * (seeds[1] > 1), seeds[1]))
        groups = [
            [Loss(loss.nll + shift * loss.chars, loss.chars) for shift in shifts]
            for loss, shifts in zip((a, b), luck, strict=True)
        ]
        estimate = difference(*groups)
        covered += abs(estimate.value - TRUTH) <= estimate.half
    assert 0.93 <= covered / TRIALS <= 0.98  # of two seeds each the interval is wide rather than narrow


def test_paired_is_far_narrower_than_unpaired():
    a, b = pairs(np.random.default_rng(0), 1000, "names", "normal")
    unpaired = math.hypot(*(per_character(loss.nll, loss.chars).half for loss in (a, b)))
    assert difference([a], [b]).half < unpaired / 3


def test_the_interval_of_one_loss_is_that_of_the_bootstrap():
    """The closed form against the one that a run resamples."""
    loss, _ = pairs(np.random.default_rng(0), 2000, "unequal", "normal")
    closed = per_character(loss.nll, loss.chars)
    low, high = loss.interval
    assert closed.value == pytest.approx(loss.value)
    assert (high - low) / 2 == pytest.approx(closed.half, rel=0.1)


# --- what has no interval, and edges --------------------------------------------------------------------------------


def test_no_interval():
    """Of fewer than ten documents, where one is nearly all there is, or of an infinite loss."""
    ones = np.ones(9, dtype=int)
    assert difference([Loss(np.ones(9), ones)], [Loss(np.zeros(9), ones)]) is None
    chars = np.array([10_000, *[1] * 20])
    assert difference([Loss(chars * 2.0, chars)], [Loss(chars * 1.0, chars)]) is None
    chars, infinite = np.ones(20, dtype=int), np.append(np.ones(19), np.inf)
    assert difference([Loss(infinite, chars)], [Loss(np.ones(20), chars)]) is None
    assert difference([Loss(infinite, chars)], [Loss(infinite, chars)]) is None
    assert over_seeds([1.0]) is None
    assert over_seeds([1.0, math.inf]) is None


def test_equal_losses_differ_by_exactly_nothing():
    loss = Loss(np.arange(20.0), np.ones(20, dtype=int))
    estimate = difference([loss, loss], [loss])
    assert (estimate.value, estimate.half) == (0, 0)


def test_other_documents_are_refused():
    a, b = Loss(np.ones(20), np.ones(20, dtype=int)), Loss(np.ones(20), np.full(20, 2))
    with pytest.raises(ValueError, match="different documents"):
        difference([a], [b])


def test_seeds_by_hand():
    """Three values: the mean, and t of two degrees of freedom times the standard error."""
    estimate = over_seeds([2.0, 2.1, 2.3])
    assert estimate.value == pytest.approx(6.4 / 3)
    assert estimate.half == pytest.approx(4.302653 * np.std([2.0, 2.1, 2.3], ddof=1) / math.sqrt(3), rel=1e-6)
