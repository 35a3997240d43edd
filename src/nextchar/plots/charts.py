"""Charts of results: models by their loss, loss over a setting, and metrics over the orders of an n-gram model.

Drawn with matplotlib, without its pyplot, which holds global state. Two pixels stand for one, so that the charts are
sharp on a high-resolution screen and in print.
"""

import io
import math
from collections.abc import Mapping, Sequence
from itertools import cycle, groupby, islice
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from nextchar.plots.drawing import BAR, FAINT, INK, MUTED, TRACK, Colour, Picture, cut, visible

if TYPE_CHECKING:  # matplotlib takes 0.3 s to import
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

MOST_ROWS = 40  # of a dot chart
MOST_DOTS = 60  # of a line
DENSITY = 200  # pixels an inch
WIDTH, ROW, TALL = 9.0, 0.3, 4.6  # inches
ABOVE, BELOW = 0.66, 0.62  # inches for the headline, and for the axis
LONGEST_LABEL = 63  # characters
SLIDE, SLIDE_DENSITY = (12.8, 7.2), 150  # inches, and pixels an inch: 1920 x 1080
LINES: tuple[Colour, ...] = (BAR, (196, 98, 16), (58, 130, 88), (156, 60, 140), (128, 104, 20), (184, 50, 48))


class Entry(NamedTuple):
    """A row of a dot chart. An infinite value has no dot; `note` stands beside the number."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""


class Point(NamedTuple):
    """A value at a place on the x axis, with its interval where it has one."""

    x: float
    value: float
    low: float | None = None
    high: float | None = None


class Panel(NamedTuple):
    """A chart among several: lines by name, one value an order; "percent" for shares in 0..1."""

    title: str
    lines: Mapping[str, Sequence[float]]
    scale: Literal["plain", "percent", "log"] = "plain"


def dot_chart(entries: Sequence[Entry], title: str, x_label: str, aside: str = "") -> bytes:
    """Values as dots on a common scale, each with its interval and its number, the lowest on top and highlighted.

    Of more than 40 entries the best 40 are drawn; the headline says so, and `aside`. Returns a PNG file. Raises
    ValueError without entries.
    """
    if not entries:
        raise ValueError("a dot chart needs an entry")
    ranked = sorted(entries, key=lambda entry: entry.value)[:MOST_ROWS]
    figure, axes = _page(ABOVE + ROW * len(ranked) + BELOW)
    limit = f"the best {len(ranked)} of {len(entries):,}" if len(ranked) < len(entries) else ""
    labels = [_row_text(axes, (0, i), entry.label, "right") for i, entry in enumerate(ranked)]
    numbers = [_row_text(axes, (1, i), f"{e.value:.4f}   {e.note}".rstrip(), "left") for i, e in enumerate(ranked)]
    for text in (labels[0], numbers[0]):
        text.set_fontweight("bold")
    _make_room(figure, axes, labels, numbers)
    _headline(figure, title, "; ".join(filter(None, [limit, aside])))
    finite = [entry for entry in ranked if math.isfinite(entry.value)]
    for i, entry in enumerate(finite):  # infinite ones come last
        colour = _hex(BAR if i == 0 else MUTED)
        if entry.low is not None and entry.high is not None:
            axes.plot([entry.low, entry.high], [i, i], color=colour, lw=1.6, alpha=0.55, solid_capstyle="round")
        axes.plot([entry.value], [i], "o", color=colour, markersize=5.5, markeredgecolor="white", markeredgewidth=0.6)
    if finite:
        axes.axvline(finite[0].value, color=_hex(BAR), linewidth=0.8, alpha=0.35, zorder=0)
        _scale(axes, finite, x_label, "x")
    else:
        axes.set_xticks([])
    axes.set_ylim(len(ranked) - 0.4, -0.6)
    return _png(figure)


def line_chart(lines: Mapping[str, Sequence[Point]], title: str, x_label: str, y_label: str, aside: str = "") -> bytes:
    """Values over a setting: one line a name, through the means where several points share an x.

    Each name stands at the end of its line; the lowest point of all is highlighted. The intervals of a single line are
    a band. An x axis that spans more than a factor of 30 is logarithmic. Infinite values are ignored. Returns a PNG
    file. Raises ValueError without a finite value.
    """
    from matplotlib.ticker import FuncFormatter, NullLocator

    finite = {name: sorted(p for p in points if math.isfinite(p.value)) for name, points in lines.items()}
    points = [point for line in finite.values() for point in line]
    if not points:
        raise ValueError("a chart needs a finite value")
    alone, best = len(finite) == 1, min(points, key=lambda point: point.value)
    figure, axes = _page(TALL, grid="y")
    _headline(figure, title, f"best {best.value:.4f} at {best.x:g}" + (f"; {aside}" if aside else ""))
    axes.set_position((0.09, BELOW / TALL, 0.87 if alone else 0.68, 1 - (ABOVE + BELOW) / TALL))
    xs = [point.x for point in points]
    if min(xs) > 0 and max(xs) / min(xs) > 30:
        axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))  # as it is typed
    colours = list(islice(cycle(LINES), len(finite)))
    for line, colour in zip(finite.values(), colours, strict=True):
        _line(axes, line, colour, intervals=alone)
    axes.plot([best.x], [best.value], "o", color=_hex(BAR), markersize=7, markeredgecolor="white", zorder=4)
    _scale(axes, points if alone else [Point(p.x, p.value) for p in points], y_label, "y")
    axes.tick_params(axis="y", length=0, labelsize=8.5, labelcolor=_hex(MUTED))
    axes.set_xlabel(_visible(x_label), fontsize=8.5, color=_hex(FAINT), labelpad=8, loc="right", parse_math=False)
    if not alone:
        _names(axes, finite, colours)
    return _png(figure)


def order_panels(panels: Sequence[Panel], title: str, aside: str = "") -> Picture:
    """Up to four charts over the orders of an n-gram model on a page of 16:9. Infinite values are ignored.

    Returns (1080, 1920, 3) uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SLIDE, dpi=SLIDE_DENSITY)
    canvas, (width, height) = FigureCanvasAgg(figure), SLIDE
    _text(figure, (0.4 / width, 1 - 0.46 / height), title, 17, INK, va="center", fontweight="bold")
    _text(figure, (0.4 / width, 1 - 0.8 / height), aside, 10, MUTED, va="center")
    for i, panel in enumerate(panels):
        left, bottom = 0.06 + 0.49 * (i % 2), 0.515 - 0.44 * (i // 2)
        _panel(figure.add_axes((left, bottom, 0.32, 0.29)), panel)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib does not type it
    picture: Picture = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]  # nor this
    return picture


def _panel(axes: "Axes", panel: Panel) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    is_log = panel.scale == "log"
    lines = {
        name: [Point(k, v) for k, v in enumerate(values, 1) if math.isfinite(v) and (v > 0 or not is_log)]
        for name, values in panel.lines.items()
    }
    axes.set_title(panel.title, loc="left", fontsize=11.5, fontweight="bold", color=_hex(INK), pad=10)
    _bare(axes, "y")
    axes.tick_params(length=0, labelsize=9.5, labelcolor=_hex(MUTED))
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.set_xlim(0.8, max(map(len, panel.lines.values())) + 0.2)
    axes.set_xlabel("order", fontsize=9.5, color=_hex(FAINT), loc="right")
    if is_log:
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}" if y < 1e6 else f"{y / 1e6:,.0f} M"))
    elif panel.scale == "percent":
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
    colours = _colours(len(lines))
    for points, colour in zip(lines.values(), colours, strict=True):
        if points:
            _line(axes, points, colour, intervals=False)
    axes.get_ylim()  # fixes the scale, on which the places of the names depend
    _names(axes, lines, colours)


def _colours(n: int) -> Sequence[Colour]:
    """The colours of n lines: distinct ones, or, where these do not suffice, a gradient from light to dark."""
    if n <= len(LINES):
        return LINES[:n]
    light, dark = np.array([[158, 202, 225], [8, 48, 107]])
    return [tuple((light + (dark - light) * i / (n - 1)).astype(int).tolist()) for i in range(n)]


def _line(axes: "Axes", points: Sequence[Point], colour: Colour, intervals: bool) -> None:
    ends = [(p.x, p.low, p.high) for p in points if p.low is not None and p.high is not None]
    if intervals and ends:
        at, lows, highs = zip(*ends, strict=True)
        axes.fill_between(at, lows, highs, color=_hex(colour), alpha=0.12, linewidth=0)
    means = [(x, fmean(p.value for p in same)) for x, same in groupby(points, lambda point: point.x)]
    axes.plot(*zip(*means, strict=True), color=_hex(colour), linewidth=1.6)
    if len(points) <= MOST_DOTS:
        xs, values = [p.x for p in points], [p.value for p in points]
        axes.plot(xs, values, "o", color=_hex(colour), markersize=4.5, markeredgecolor="white", markeredgewidth=0.5)


def _names(axes: "Axes", lines: Mapping[str, Sequence[Point]], colours: Sequence[Colour]) -> None:
    """Writes the names of lines at the right edge, level with their last points but at least a line apart."""
    named = zip(lines.items(), colours, strict=True)
    ends = [(axes.transData.transform(points[-1][:2])[1], name, colour) for (name, points), colour in named if points]
    y, distance = -math.inf, 0.17 * axes.figure.dpi
    for wanted, name, colour in sorted(ends, key=lambda end: end[0]):
        y = max(wanted, y + distance)
        height = axes.transAxes.inverted().transform((0, y))[1]
        _text(axes, (1.012, height), _label(name), 8.5, colour, transform=axes.transAxes, va="center")


def _page(height: float, grid: Literal["x", "y"] = "x") -> "tuple[Figure, Axes]":
    """An empty page whose axes have no lines but a grid."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=DENSITY)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, BELOW / height, 1, 1 - (ABOVE + BELOW) / height))
    _bare(axes, grid)
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0, labelsize=8.5, labelcolor=_hex(MUTED), pad=6)
    return figure, axes


def _bare(axes: "Axes", grid: Literal["x", "y"]) -> None:
    axes.spines[:].set_visible(False)
    axes.grid(axis=grid, color=_hex(TRACK), linewidth=0.9)
    axes.set_axisbelow(True)


def _row_text(axes: "Axes", at: tuple[float, int], text: str, align: str) -> "Text":
    """Text in line with a row; x is a share of the width of the axes."""
    transform = axes.get_yaxis_transform()
    return _text(axes, at, _label(text), 9, INK, transform=transform, ha=align, va="center_baseline")


def _make_room(figure: "Figure", axes: "Axes", labels: "list[Text]", numbers: "list[Text]") -> None:
    """Narrows the axes so that labels fit on their left and numbers on their right, and moves these there."""
    whole, gap = WIDTH * DENSITY, 0.16 * DENSITY
    left, right = (max(text.get_window_extent().width for text in texts) for texts in (labels, numbers))
    left, right = min(left, 0.6 * whole) + 2 * gap, right + 2 * gap
    box = axes.get_position()
    axes.set_position((left / whole, box.y0, (whole - left - right) / whole, box.height))
    inside = gap / (whole - left - right)
    for texts, x in ((labels, -inside), (numbers, 1 + inside)):
        for text in texts:
            text.set_x(x)


def _headline(figure: "Figure", title: str, aside: str) -> None:
    y, left, right = 1 - 0.32 / figure.get_size_inches()[1], 0.16 / WIDTH, 1 - 0.16 / WIDTH
    _text(figure, (left, y), _visible(title), 12, INK, va="center", ha="left", fontweight="bold")
    _text(figure, (right, y), aside, 8.5, MUTED, va="center", ha="right")


def _scale(axes: "Axes", values: Sequence[Entry | Point], label: str, along: Literal["x", "y"]) -> None:
    """Sets an axis to the range of all values and intervals."""
    from matplotlib.ticker import MaxNLocator

    ends = [end for each in values for end in (each.value, each.low, each.high) if end is not None]
    ends = [end for end in ends if math.isfinite(end)]
    margin = 0.04 * (max(ends) - min(ends)) or 1e-3 * max(1.0, abs(max(ends)))
    limits = min(ends) - margin, max(ends) + margin
    font: dict[str, Any] = {"fontsize": 8.5, "color": _hex(FAINT), "labelpad": 8}
    if along == "x":
        axes.set_xlim(limits)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_xlabel(label, loc="right", **font)
    else:
        axes.set_ylim(limits)
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.set_ylabel(label, loc="top", **font)
    axes.ticklabel_format(axis=along, useOffset=False, style="plain")


def _text(
    place: "Axes | Figure", at: tuple[float, float], text: str, size: float, colour: Colour, **options: Any
) -> "Text":
    """Writes text that is no markup."""
    return place.text(*at, text, fontsize=size, color=_hex(colour), parse_math=False, **options)


def _label(text: str) -> str:
    return cut(_visible(text), LONGEST_LABEL)


def _visible(text: str) -> str:
    return " ".join(visible(word) for word in text.split(" "))


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _png(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor="white", metadata={"Software": None})
    return file.getvalue()
