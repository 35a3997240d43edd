"""Charts of results: runs or settings by their loss. Each is a PNG file, drawn with matplotlib and without its pyplot.

Two pixels stand for one, so that the charts are sharp on a screen of today and in print.
"""

import io
import math
from collections.abc import Mapping, Sequence
from itertools import cycle, groupby, islice
from statistics import fmean
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from nextchar.plots.matrices import BAR, FAINT, INK, MUTED, TRACK, Colour, Picture, visible

if TYPE_CHECKING:  # drawing takes time to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

MOST_ROWS = 40
MOST_DOTS = 60  # of a line
DENSITY = 200  # pixels an inch
WIDTH, ROW, TALL = 9.0, 0.3, 4.6  # inches
ABOVE, BELOW = 0.66, 0.62  # inches for the headline, and for the axis
LONGEST = 64  # characters of a label
SLIDE, SLIDE_DENSITY = (12.8, 7.2), 150  # inches, and pixels an inch: 1920 x 1080
LINES: tuple[Colour, ...] = (BAR, (196, 98, 16), (58, 130, 88), (156, 60, 140), (128, 104, 20), (184, 50, 48))


class Row(NamedTuple):
    """A line of a leaderboard: an infinite value has no dot, an interval of None no bar. `note`: beside the number."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""


def leaderboard(rows: Sequence[Row], title: str, x_label: str, aside: str = "") -> bytes:
    """Values as dots on a common scale, each with its interval and its number, the lowest on top and in colour.

    Of more than 40 rows the best 40 are drawn, and said to be; `aside` is said beside it. Returns a PNG file. Raises
    ValueError without rows.
    """
    if not rows:
        raise ValueError("a leaderboard needs a row")
    ranked = sorted(rows, key=lambda row: row.value)[:MOST_ROWS]
    figure, axes = _page(ABOVE + ROW * len(ranked) + BELOW)
    kept = [f"the best {len(ranked)} of {len(rows):,}"] if len(ranked) < len(rows) else []
    labels = [_write(axes, (0, i), row.label, "right") for i, row in enumerate(ranked)]
    numbers = [_write(axes, (1, i), f"{row.value:.4f}   {row.note}".rstrip(), "left") for i, row in enumerate(ranked)]
    for text in (labels[0], numbers[0]):
        text.set_fontweight("bold")
    left, right = _place(figure, axes, labels, numbers)
    _headline(figure, title, "; ".join([*kept, *([aside] if aside else [])]))
    finite = [row for row in ranked if math.isfinite(row.value)]
    for i, row in enumerate(finite):  # what is infinite stands last
        colour = _hex(BAR if i == 0 else MUTED)
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [i, i], color=colour, linewidth=1.6, alpha=0.55, solid_capstyle="round")
        axes.plot([row.value], [i], "o", color=colour, markersize=5.5, markeredgecolor="white", markeredgewidth=0.6)
    if finite:
        axes.axvline(finite[0].value, color=_hex(BAR), linewidth=0.8, alpha=0.35, zorder=0)
        _scale(axes, finite, x_label)
    else:
        axes.set_xticks([])
    for text, at in [*((text, left) for text in labels), *((text, right) for text in numbers)]:
        text.set_x(at)
    axes.set_ylim(len(ranked) - 0.4, -0.6)
    return _png(figure)


class Point(NamedTuple):
    """A value at a place on the x axis, with its interval where it has one."""

    x: float
    value: float
    low: float | None = None
    high: float | None = None


def against(lines: Mapping[str, Sequence[Point]], title: str, x_label: str, y_label: str, aside: str = "") -> bytes:
    """Values over what they depend on: a line each, through the means where several stand at one place.

    The name of a line stands at its end, the lowest point of all is marked; the intervals of a single line are a band.
    An x axis whose values span more than a factor of 30 is logarithmic. Infinite values are left out. Returns a PNG
    file. Raises ValueError where there is no finite value.
    """
    finite = {name: sorted(p for p in points if math.isfinite(p.value)) for name, points in lines.items()}
    points = [point for line in finite.values() for point in line]
    if not points:
        raise ValueError("a chart needs a finite value")
    alone, best = len(finite) == 1, min(points, key=lambda point: point.value)
    figure, axes = _page(TALL)
    _headline(figure, title, f"best {best.value:.4f} at {best.x:g}" + (f"; {aside}" if aside else ""))
    axes.set_position((0.09, BELOW / TALL, 0.87 if alone else 0.68, 1 - (ABOVE + BELOW) / TALL))
    _plain_scale(axes, [point.x for point in points])
    for line, colour in zip(finite.values(), cycle(LINES), strict=False):
        _line(axes, line, _hex(colour), intervals=alone)
    axes.plot([best.x], [best.value], "o", color=_hex(BAR), markersize=7, markeredgecolor="white", zorder=4)
    _scale(axes, points if alone else [Point(p.x, p.value) for p in points], y_label, "y")
    axes.tick_params(axis="y", length=0, labelsize=8.5, labelcolor=_hex(MUTED))
    axes.grid(axis="x", visible=False)
    axes.grid(axis="y", color=_hex(TRACK), linewidth=0.9)
    axes.set_xlabel(_visible(x_label), fontsize=8.5, color=_hex(FAINT), labelpad=8, loc="right", parse_math=False)
    if not alone:
        _names(axes, finite, list(islice(cycle(LINES), len(finite))))
    return _png(figure)


class Panel(NamedTuple):
    """A chart among several: lines by name, a value an order each; in percent, where the values are shares."""

    title: str
    lines: Mapping[str, Sequence[float]]
    scale: Literal["plain", "percent", "log"] = "plain"


def over_orders(panels: Sequence[Panel], title: str, aside: str = "") -> Picture:
    """Up to four charts over the orders of an n-gram model, on a page of 16:9. What is infinite is left out.

    Returns (1080, 1920, 3) uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SLIDE, dpi=SLIDE_DENSITY)
    canvas = FigureCanvasAgg(figure)
    width, height = SLIDE
    for text, down, size, weight, colour in ((title, 0.46, 17, "bold", INK), (aside, 0.8, 10, "normal", MUTED)):
        at = 0.4 / width, 1 - down / height
        figure.text(
            *at, _visible(text), va="center", fontsize=size, fontweight=weight, color=_hex(colour), parse_math=False
        )
    for i, panel in enumerate(panels):
        left, bottom = 0.06 + 0.49 * (i % 2), 0.515 - 0.44 * (i // 2)
        axes = figure.add_axes((left, bottom, 0.32, 0.29))
        _panel(axes, panel)
    canvas.draw()  # type: ignore[no-untyped-call]
    picture: Picture = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    return picture


def _panel(axes: "Axes", panel: Panel) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    lines = {
        name: [Point(k, value) for k, value in enumerate(values, 1) if _can_be_drawn(value, panel.scale)]
        for name, values in panel.lines.items()
    }
    axes.set_title(panel.title, loc="left", fontsize=11.5, fontweight="bold", color=_hex(INK), pad=10)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9.5, labelcolor=_hex(MUTED))
    axes.grid(axis="y", color=_hex(TRACK), linewidth=0.9)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.set_xlim(0.8, max(map(len, panel.lines.values())) + 0.2)
    axes.set_xlabel("order", fontsize=9.5, color=_hex(FAINT), loc="right")
    if panel.scale == "log":
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}" if y < 1e6 else f"{y / 1e6:,.0f} M"))
    elif panel.scale == "percent":
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
    colours = _colours(len(lines))
    for points, colour in zip(lines.values(), colours, strict=True):
        if points:
            _line(axes, points, _hex(colour), intervals=False)
    axes.get_ylim()  # settles the scale, on which depends where the names stand
    _names(axes, lines, colours)


def _colours(n: int) -> Sequence[Colour]:
    """Of n lines: distinct ones, or, of more than there are, those from light to dark."""
    if n <= len(LINES):
        return LINES[:n]
    light, dark = np.array([[158, 202, 225], [8, 48, 107]])
    return [tuple((light + (dark - light) * i / (n - 1)).astype(int).tolist()) for i in range(n)]


def _can_be_drawn(value: float, scale: str) -> bool:
    return math.isfinite(value) and (scale != "log" or value > 0)


def _line(axes: "Axes", points: Sequence[Point], colour: str, intervals: bool) -> None:
    ends = [(p.x, p.low, p.high) for p in points if p.low is not None and p.high is not None]
    if intervals and ends:
        at, lows, highs = zip(*ends, strict=True)
        axes.fill_between(at, lows, highs, color=colour, alpha=0.12, linewidth=0)
    means = [(x, fmean(p.value for p in same)) for x, same in groupby(points, lambda point: point.x)]
    axes.plot(*zip(*means, strict=True), color=colour, linewidth=1.6)
    if len(points) <= MOST_DOTS:
        xs, values = [p.x for p in points], [p.value for p in points]
        axes.plot(xs, values, "o", color=colour, markersize=4.5, markeredgecolor="white", markeredgewidth=0.5)


def _names(axes: "Axes", lines: Mapping[str, Sequence[Point]], of_lines: Sequence[Colour]) -> None:
    """The names of lines at the right edge, level with their last points, or a little off so that all can be read."""
    ends = {name: axes.transData.transform(points[-1][:2])[1] for name, points in lines.items() if points}
    colours = dict(zip(lines, of_lines, strict=True))
    apart = 0.17 * axes.figure.dpi
    y = -math.inf
    for name, wanted in sorted(ends.items(), key=lambda end: end[1]):
        y = max(wanted, y + apart)
        at = (1.012, axes.transAxes.inverted().transform((0, y))[1])
        text = axes.text(
            *at, _cut(_visible(name)), transform=axes.transAxes, va="center", fontsize=8.5, parse_math=False
        )
        text.set_color(_hex(colours[name]))


def _plain_scale(axes: "Axes", xs: Sequence[float]) -> None:
    """An x axis with numbers as one types them."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    if min(xs) > 0 and max(xs) / min(xs) > 30:
        axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


# --- small change ---------------------------------------------------------------------------------------------------


def _page(height: float) -> "tuple[Figure, Axes]":
    """An empty page with axes that have nothing but a grid."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DENSITY)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, BELOW / height, 1, 1 - (ABOVE + BELOW) / height))
    axes.spines[:].set_visible(False)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0, labelsize=8.5, labelcolor=_hex(MUTED), pad=6)
    axes.grid(axis="x", color=_hex(TRACK), linewidth=0.9)
    axes.set_axisbelow(True)
    return figure, axes


def _write(axes: "Axes", at: tuple[float, float], text: str, align: str) -> "Text":
    """Text beside the axes, in line with a row; x is a share of their width."""
    return axes.text(
        *at,
        _cut(_visible(text)),
        transform=axes.get_yaxis_transform(),
        ha=align,
        va="center_baseline",
        fontsize=9,
        color=_hex(INK),
        parse_math=False,
    )


def _place(figure: "Figure", axes: "Axes", labels: "list[Text]", numbers: "list[Text]") -> tuple[float, float]:
    """Makes room beside the axes for the texts. Returns their x, in shares of the axes' width."""
    whole, gap = WIDTH * DENSITY, 0.16 * DENSITY
    left, right = (max(text.get_window_extent().width for text in texts) for texts in (labels, numbers))
    left, right = min(left, 0.6 * whole) + 2 * gap, right + 2 * gap
    box = axes.get_position()
    axes.set_position((left / whole, box.y0, (whole - left - right) / whole, box.height))
    inside = gap / (whole - left - right)
    return -inside, 1 + inside


def _headline(figure: "Figure", title: str, kept: str) -> None:
    height = figure.get_size_inches()[1]
    at = {"x": 0.16 / WIDTH, "y": 1 - 0.32 / height, "va": "center", "parse_math": False}
    figure.text(s=_visible(title), ha="left", fontsize=12, fontweight="bold", color=_hex(INK), **at)
    if kept:
        figure.text(s=kept, ha="right", fontsize=8.5, color=_hex(MUTED), **(at | {"x": 1 - 0.16 / WIDTH}))


def _scale(axes: "Axes", rows: Sequence[Row | Point], label: str, along: Literal["x", "y"] = "x") -> None:
    """The range of all values and intervals along an axis."""
    from matplotlib.ticker import MaxNLocator

    ends = [end for row in rows for end in (row.value, row.low, row.high) if end is not None and math.isfinite(end)]
    low, high = min(ends), max(ends)
    margin = 0.04 * (high - low) or 1e-3 * max(1.0, abs(high))
    set_limits, axis = (axes.set_xlim, axes.xaxis) if along == "x" else (axes.set_ylim, axes.yaxis)
    set_limits(low - margin, high + margin)
    axis.set_major_locator(MaxNLocator(6))
    axes.ticklabel_format(axis=along, useOffset=False, style="plain")
    if along == "x":
        axes.set_xlabel(label, fontsize=8.5, color=_hex(FAINT), labelpad=8, loc="right")
    else:
        axes.set_ylabel(label, fontsize=8.5, color=_hex(FAINT), labelpad=8, loc="top")


def _visible(text: str) -> str:
    return " ".join(visible(part) for part in text.split(" "))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor="white", metadata={"Software": None})
    return file.getvalue()
