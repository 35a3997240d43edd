"""The charts: their size, the highlighted best, and that no value or label breaks them."""

import io
import math

import numpy as np
import pytest
from PIL import Image, ImageColor

from nextchar.plots import charts
from nextchar.plots.charts import Entry, Panel, Point, dot_chart, line_chart, loss_chart, order_panels, symbol_map


@pytest.mark.parametrize("rows", [1, 2, 40, 1000])
def test_a_dot_chart_of_any_length(rows: int) -> None:
    """Labels of any characters; of very many entries the best 40."""
    labels = ["a $x^2$ \\frac", "中文 \u202e\x1b[31m", "x" * 500, ""]
    bars = [Entry(labels[i % 4], 2 + i / 100, (1.9 + i / 100, 2.1 + i / 100)) for i in range(rows)]
    picture = Image.open(io.BytesIO(dot_chart([*bars, Entry("inf", math.inf)], "Test 中 $", "nats")))
    assert picture.width == 1800
    assert picture.height == round(200 * (charts.ABOVE + charts.BELOW + charts.ROW * min(rows + 1, 40)))
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (pixels == ImageColor.getrgb(charts.BAR)).all(1).any(), "the best has a dot in colour"


def test_a_dot_chart_at_its_limits() -> None:
    with pytest.raises(ValueError, match="needs an entry"):
        dot_chart([], "", "")
    for values in ([math.inf], [0.0], [2.0, 2.0], [0.0, 1e9]):
        assert dot_chart([Entry("a", value, (value, value)) for value in values], "", "")[:4] == b"\x89PNG"


def test_a_line_chart() -> None:
    """The best is highlighted; many, equal and negative values can be drawn."""
    line = [Point(10.0**i, 2 + i * i / 10, (1.9 + i * i / 10, 2.1 + i * i / 10)) for i in range(-3, 4)]
    png = line_chart({"": line}, "loss $ over 中", "k", "nats")
    pixels = np.array(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3)
    assert (pixels == ImageColor.getrgb(charts.BAR)).all(1).sum() > 1000
    for lines in (
        {"a": line, "b": [Point(p.x, p.value) for p in line], "c": []},
        {"": [Point(1, 2)]},
        {"": [Point(-5 + i / 100, 2.0) for i in range(1000)]},
        {"a": [Point(1, math.inf), Point(1, 2), Point(1, 3)]},
    ):
        assert line_chart(lines, "", "", "")[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="finite"):
        line_chart({"a": [Point(1, math.inf)]}, "", "", "")


def rows_of(picture, colour):
    """The rows of a picture in which at least 100 pixels have this colour."""
    return np.flatnonzero((picture == ImageColor.getrgb(colour)).all(2).sum(1) >= 100)


def test_a_loss_chart() -> None:
    """A curve of one loss is a horizontal line; the optimum lies in the middle between two of them."""
    curves = {"val/loss": [(0, 3.0), (50, 3.0), (100, 3.0)], "train/loss": [(0, 2.0), (100, 2.0), (150, math.inf)]}
    train, val, counted = (
        rows_of(loss_chart(curves, "$title$", "aside", optimum=2.5), colour) for colour in charts.LINES[:3]
    )
    assert val.mean() < counted.mean() < train.mean()
    assert counted.mean() == pytest.approx((val.mean() + train.mean()) / 2, abs=2)
    without = loss_chart(curves, "title")
    assert without.shape == (1080, 1920, 3)
    assert not len(rows_of(without, charts.LINES[2]))
    assert loss_chart({}, "title").shape == loss_chart({"train/loss": [(0, 2.0)]}, "").shape


@pytest.mark.parametrize("points", [[[0.0, 1.0], [3.0, 0.0]], [[5.0, 40.0], [6.0, -9.0]]])
def test_a_symbol_map(points: list[list[float]]) -> None:
    """The first symbol lies to the left of the second and above it, at equal distances from the middle of the axes."""
    picture = symbol_map(np.array(points), ["#", "#"], "$title$", "aside")
    rows, columns = np.nonzero((picture == ImageColor.getrgb(charts.BAR)).all(2))
    left, right = columns < 960, columns >= 960
    assert left.sum() == pytest.approx(right.sum(), rel=0.1)
    assert rows[left].mean() < rows[right].mean() - 100
    middle = 1080 * (1 - 0.06 - 0.79 / 2), 1920 / 2
    assert (rows.mean(), columns.mean()) == pytest.approx(
        middle, abs=8
    )  # a glyph is not quite in the middle of its box
    across, down = ((each[right].mean() - each[left].mean()) for each in (columns, rows))
    (x1, y1), (x2, y2) = points
    assert across / down == pytest.approx((x2 - x1) / (y1 - y2), abs=0.1)  # one scale for both axes
    one = symbol_map(np.array([[0.0, 1.0], [0.0, 1.0]]), ["#", "#"], "", "")
    assert (one == ImageColor.getrgb(charts.BAR)).all(2).sum() > 50


@pytest.mark.parametrize("n", [3, 12, 64])
def test_order_panels_at_their_limits(n):
    lines = {"none of it": [math.inf] * n, "$x_1$ 中": [1.0, math.inf, 3.0, *[2.0] * (n - 3)], "0": [0.0] * n}
    many = {f"line {i}": [float(i)] * n for i in range(12)}
    panels = [Panel("a", lines), Panel("b", lines, "percent"), Panel("c", lines, "log"), Panel("d", many)]
    picture = order_panels(panels, "$title$", "aside")
    assert picture.shape == (1080, 1920, 3)
    assert (picture[[0, -1]] == 255).all()
    assert np.array_equal(picture, order_panels(panels, "$title$", "aside"))
    assert len(set(charts._colours(12))) == 12
