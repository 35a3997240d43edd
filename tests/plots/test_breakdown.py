"""The breakdown of a document: bars as long as the probabilities, frames around the orders that answered."""

from typing import Any

import numpy as np
import pytest
from PIL import ImageColor

from nextchar.evaluation.explain import Step
from nextchar.plots.breakdown import breakdown
from nextchar.plots.drawing import BAR, FRAME


def bar(picture: np.ndarray) -> int:
    """Pixels of the bar in a breakdown of one step."""
    return int((picture[160] == ImageColor.getrgb(BAR)).all(axis=1).sum())


def test_bar_is_as_long_as_the_probability(step: Any) -> None:
    lengths = [bar(breakdown("a", [step(probability=p)])) for p in (0.0, 0.25, 0.5, 1.0)]
    assert lengths == [1, 101, 201, 401]


def test_breakdown_at_its_limits(step: Any, is_picture: Any) -> None:
    assert is_picture(breakdown("", []))
    assert is_picture(breakdown("a", [step(probability=0.0)]))
    assert is_picture(breakdown("a", [step(probability=1e-300)]))
    assert is_picture(breakdown("a" * 500, [step()] * 500))
    shown, all_of_them = breakdown("a", [step()] * 100), breakdown("a", [step()] * 101)
    assert all_of_them.shape[0] == shown.shape[0] + 40  # the line "and 1 more"


def with_orders(step_: Step, order: int, n: int) -> Step:
    return step_._replace(order=order, by_order=tuple(k / (k + 7) for k in range(1, n + 1)))


def framed(picture: np.ndarray) -> list[tuple[int, int]]:
    """Left and right edge of the frame in each row of a breakdown; (0, 0) without a frame."""
    found = []
    for row in range(166, picture.shape[0] - 12, 40):
        columns = np.flatnonzero((picture[row] == ImageColor.getrgb(FRAME)).all(axis=1))
        found.append((int(columns[0]), int(columns[-1])) if len(columns) else (0, 0))
    return found


def test_the_order_that_answered_is_framed(step: Any) -> None:
    frames = framed(breakdown("abc", [with_orders(step(), order, 6) for order in (1, 2, 6)]))
    lefts = [left for left, _ in frames]
    assert np.diff(lefts).tolist() == [52, 4 * 52]
    assert all(right - left == 49 for left, right in frames)
    assert framed(breakdown("a", [with_orders(step(), 0, 6)])) == [(0, 0)]  # no order has seen it


@pytest.mark.parametrize("n", [2, 6, 12, 20, 64])
def test_breakdown_of_many_orders(n: int, step: Any, is_picture: Any) -> None:
    steps = [with_orders(step(char, context="abcdefghijklmnop"), min(i, n), n) for i, char in enumerate("emma.")]
    assert is_picture(breakdown("emma" * 30, steps))
    assert is_picture(breakdown("a", [with_orders(step("⏎", 0.0, context="  \n"), n, n)]))
    assert not framed(breakdown("emma", [step()]))[0][0]


def test_a_breakdown_of_odd_symbols(odd_symbols: list[str], step: Any, is_picture: Any) -> None:
    text = "".join(odd_symbols)
    assert is_picture(breakdown(text, [step(char, best=odd_symbols, context=text) for char in odd_symbols]))
