"""Charts of results: models by their loss, loss over a setting, and metrics over the orders of an n-gram model.

Drawn with matplotlib, without its pyplot, which holds global state. Two pixels stand for one, so that the charts are
sharp on a high-resolution screen and in print.
"""

import io
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import fmean
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator

from nextchar.plots.drawing import BAR, FAINT, INK, MUTED, TRACK, Colour, Picture, cut, visible

MOST_ROWS = 40  # of a dot chart
MOST_DOTS = 60  # of a line
DENSITY = 200  # pixels an inch
WIDTH, ROW, TALL = 9.0, 0.3, 4.6  # inches
ABOVE, BELOW = 0.66, 0.62  # inches for the headline, and for the axis
GAP = 0.16  # inches beside a text
LONGEST_LABEL = 63  # characters
SLIDE, SLIDE_DENSITY = (12.8, 7.2), 150  # inches, and pixels an inch: 1920 x 1080
LINES: tuple[Colour, ...] = (BAR, "#c46210", "#3a8258", "#9c3c8c", "#806814", "#b83230")


class Entry(NamedTuple):
    """A row of a dot chart. An infinite value has no dot; `note` stands beside the number."""

    label: str
    value: float
    interval: tuple[float, float] | None = None
    note: str = ""


class Point(NamedTuple):
    """A value at a place on the x axis, with its interval where it has one."""

    x: float
    value: float
    interval: tuple[float, float] | None = None


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
    labels, numbers = [], []
    for i, entry in enumerate(ranked):
        label, number = cut(_visible(entry.label), LONGEST_LABEL), f"{entry.value:.4f}   {entry.note}".rstrip()
        style: dict[str, Any] = {"textcoords": "offset points", "va": "center_baseline", "parse_math": False}
        style |= {"color": INK, "fontsize": 9, "fontweight": "bold" if i == 0 else "normal"}
        style |= {"xycoords": axes.get_yaxis_transform()}  # x is a share of the width of the axes, y a row
        labels.append(axes.annotate(label, (0, i), (-72 * GAP, 0), ha="right", **style))  # 72 points are an inch
        numbers.append(axes.annotate(number, (1, i), (72 * GAP, 0), ha="left", **style))
    _make_room(axes, labels, numbers)
    _headline(figure, title, "; ".join(filter(None, [limit, aside])))
    finite = [entry for entry in ranked if math.isfinite(entry.value)]
    for i, entry in enumerate(finite):  # infinite ones come last
        colour = BAR if i == 0 else MUTED
        if entry.interval:
            axes.plot(entry.interval, [i, i], color=colour, lw=1.6, alpha=0.55, solid_capstyle="round")
        axes.plot([entry.value], [i], "o", color=colour, ms=5.5, mec="white", mew=0.6)
    if finite:
        axes.axvline(finite[0].value, color=BAR, lw=0.8, alpha=0.35, zorder=0)
        _scale(axes, finite, x_label, "x")
    else:
        axes.set_xticks([])
    axes.set_ylim(len(ranked) - 0.4, -0.6)
    axes.set_yticks([])
    return _png(figure)


def line_chart(lines: Mapping[str, Sequence[Point]], title: str, x_label: str, y_label: str, aside: str = "") -> bytes:
    """Values over a setting: one line a name, through the means where several points share an x.

    Each name stands at the end of its line; the lowest point of all is highlighted. The intervals of a single line are
    a band. An x axis that spans more than a factor of 30 is logarithmic. Infinite values are ignored. Returns a PNG
    file. Raises ValueError without a finite value.
    """
    alone = len(lines) == 1
    finite = {
        name: sorted(p if alone else p._replace(interval=None) for p in points if math.isfinite(p.value))
        for name, points in lines.items()
    }
    points = [point for line in finite.values() for point in line]
    if not points:
        raise ValueError("a chart needs a finite value")
    best = min(points, key=lambda point: point.value)
    figure, axes = _page(TALL, grid="y")
    _headline(figure, title, f"best {best.value:.4f} at {best.x:g}" + (f"; {aside}" if aside else ""))
    axes.set_position((0.09, BELOW / TALL, 0.87 if alone else 0.68, 1 - (ABOVE + BELOW) / TALL))
    xs = [point.x for point in points]
    if min(xs) > 0 and max(xs) / min(xs) > 30:
        axes.set_xscale("log")
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")  # as it is typed
    _lines(axes, finite)
    axes.plot([best.x], [best.value], "o", color=BAR, ms=7, mec="white", zorder=4)
    _scale(axes, points, y_label, "y")
    axes.set_xlabel(_visible(x_label), fontsize=8.5, color=FAINT, labelpad=8, loc="right", parse_math=False)
    if not alone:
        _names(axes, finite)
    return _png(figure)


def loss_chart(
    curves: Mapping[str, Sequence[tuple[int, float]]], title: str, aside: str = "", optimum: float | None = None
) -> Picture:
    """Losses over the steps of training, (step, nats per character) of each curve, on a page of 16:9.

    `optimum`: of a bigram net, the loss of the counted bigram, a dashed line. Infinite values are ignored. Returns
    (1080, 1920, 3) uint8.
    """
    figure = _slide(title, aside)
    axes = _axes(figure, (0.06, 0.11, 0.78, 0.74), "y", 9.5)
    finite = {name: [Point(x, loss) for x, loss in curve if math.isfinite(loss)] for name, curve in curves.items()}
    lines = {name: line for name, line in sorted(finite.items()) if line}
    last = max((point.x for line in lines.values() for point in line), default=1)
    if optimum is not None:
        lines["counted bigram"] = [Point(last, optimum)]
        axes.axhline(optimum, color=_colours(len(lines))[-1], lw=1.2, ls=(0, (5, 3)))
    named = {f"{name}  {line[-1].value:.4f}": line for name, line in lines.items()}
    _lines(axes, named)
    axes.set_xlim(-0.01 * max(last, 1), 1.01 * max(last, 1))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.set_xlabel("optimizer steps", fontsize=9.5, color=FAINT, loc="right")
    axes.get_ylim()  # fixes the scale, on which the places of the names depend
    _names(axes, named)
    return _drawn(figure)


def symbol_map(points: npt.NDArray[np.float64], symbols: Sequence[str], title: str, aside: str) -> Picture:
    """Symbols at their places (N, 2), with one scale for both axes, on a page of 16:9: (1080, 1920, 3) uint8."""
    figure, shares = _slide(title, aside), np.array([0.9, 0.79])  # of the page, that the axes take
    axes = _axes(figure, (0.05, 0.06, *shares.tolist()), "both", 9.5)
    for (x, y), symbol in zip(points.tolist(), symbols, strict=True):
        _text(axes, (x, y), visible(symbol), 15, BAR, ha="center", va="center", fontweight="bold")
    low, high = points.min(axis=0), points.max(axis=0)
    inch = 1.1 * ((high - low) / (shares * SLIDE)).max() or 1.0  # the length of an inch, equal for both axes
    left, bottom = (low + high - inch * shares * SLIDE) / 2
    right, top = (low + high + inch * shares * SLIDE) / 2
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.tick_params(labelbottom=False, labelleft=False)  # the components have no unit
    return _drawn(figure)


def order_panels(panels: Sequence[Panel], title: str, aside: str = "") -> Picture:
    """Up to four charts over the orders of an n-gram model on a page of 16:9. Infinite values are ignored.

    Returns (1080, 1920, 3) uint8.
    """
    figure = _slide(title, aside)
    for i, panel in enumerate(panels):
        left, bottom = 0.06 + 0.49 * (i % 2), 0.515 - 0.44 * (i // 2)
        _panel(_axes(figure, (left, bottom, 0.32, 0.29), "y", 9.5), panel)
    return _drawn(figure)


def _panel(axes: Axes, panel: Panel) -> None:
    is_log = panel.scale == "log"
    lines = {
        name: [Point(k, v) for k, v in enumerate(values, 1) if math.isfinite(v) and (v > 0 or not is_log)]
        for name, values in panel.lines.items()
    }
    axes.set_title(panel.title, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=10)
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    axes.set_xlim(0.8, max(map(len, panel.lines.values())) + 0.2)
    axes.set_xlabel("order", fontsize=9.5, color=FAINT, loc="right")
    if is_log:
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}" if y < 1e6 else f"{y / 1e6:,.0f} M")
    elif panel.scale == "percent":
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f} %")
    _lines(axes, lines)
    axes.get_ylim()  # fixes the scale, on which the places of the names depend
    _names(axes, lines)


def _colours(n: int) -> Sequence[Colour]:
    """The colours of n lines: distinct ones, or, where these do not suffice, a gradient from light to dark."""
    gradient = np.linspace((158, 202, 225), (8, 48, 107), n).astype(int).tolist()
    return LINES[:n] if n <= len(LINES) else ["#{:02x}{:02x}{:02x}".format(*colour) for colour in gradient]


def _lines(axes: Axes, lines: Mapping[str, Sequence[Point]]) -> None:
    for points, colour in zip(lines.values(), _colours(len(lines)), strict=True):
        if ends := [(p.x, *p.interval) for p in points if p.interval]:
            xs, lows, highs = zip(*ends, strict=True)
            axes.fill_between(xs, lows, highs, color=colour, alpha=0.12, linewidth=0)
        means = {x: fmean(p.value for p in same) for x, same in groupby(points, lambda point: point.x)}
        axes.plot(list(means), list(means.values()), color=colour, lw=1.6)
        if len(points) <= MOST_DOTS:
            axes.plot([p.x for p in points], [p.value for p in points], "o", color=colour, ms=4.5, mec="white", mew=0.5)


def _names(axes: Axes, lines: Mapping[str, Sequence[Point]]) -> None:
    """Writes the names of lines at the right edge, level with their last points but at least a line apart."""
    named = zip(lines.items(), _colours(len(lines)), strict=True)
    ends = [(axes.transData.transform(points[-1][:2])[1], name, colour) for (name, points), colour in named if points]
    y, distance = -math.inf, 0.17 * axes.figure.dpi
    for wanted, name, colour in sorted(ends, key=lambda end: end[0]):
        y = max(wanted, y + distance)
        height = axes.transAxes.inverted().transform((0, y))[1]
        label = cut(_visible(name), LONGEST_LABEL)
        _text(axes, (1.012, height), label, 8.5, colour, transform=axes.transAxes, va="center")


def _slide(title: str, aside: str) -> Figure:
    """A page of 16:9 with a headline."""
    figure, (width, height) = Figure(figsize=SLIDE, dpi=SLIDE_DENSITY), SLIDE
    _text(figure, (0.4 / width, 1 - 0.46 / height), title, 17, INK, va="center", fontweight="bold")
    _text(figure, (0.4 / width, 1 - 0.8 / height), aside, 10, MUTED, va="center")
    return figure


def _drawn(figure: Figure) -> Picture:
    """The page as (H, W, 3) uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib does not type it
    picture: Picture = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]  # nor this
    return picture


def _page(height: float, grid: Literal["x", "y"] = "x") -> tuple[Figure, Axes]:
    """An empty page whose axes have no lines but a grid."""
    figure = Figure(figsize=(WIDTH, height), dpi=DENSITY)
    FigureCanvasAgg(figure)
    axes = _axes(figure, (0, BELOW / height, 1, 1 - (ABOVE + BELOW) / height), grid, 8.5)
    axes.tick_params("x", pad=6)
    return figure, axes


def _axes(
    figure: Figure, place: tuple[float, float, float, float], grid: Literal["x", "y", "both"], size: float
) -> Axes:
    axes = figure.add_axes(place)
    axes.spines[:].set_visible(False)
    axes.grid(axis=grid, color=TRACK, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=size, labelcolor=MUTED)
    return axes


def _make_room(axes: Axes, labels: list[Annotation], numbers: list[Annotation]) -> None:
    """Narrows the axes so that labels fit on their left and numbers on their right."""
    left, right = (max(text.get_window_extent().width for text in texts) / DENSITY for texts in (labels, numbers))
    left, right = min(left, 0.6 * WIDTH) + 2 * GAP, right + 2 * GAP
    box = axes.get_position()
    axes.set_position((left / WIDTH, box.y0, (WIDTH - left - right) / WIDTH, box.height))


def _headline(figure: Figure, title: str, aside: str) -> None:
    y, left, right = 1 - 0.32 / figure.get_size_inches()[1], GAP / WIDTH, 1 - GAP / WIDTH
    _text(figure, (left, y), _visible(title), 12, INK, va="center", ha="left", fontweight="bold")
    _text(figure, (right, y), aside, 8.5, MUTED, va="center", ha="right")


def _scale(axes: Axes, values: Sequence[Entry | Point], label: str, along: Literal["x", "y"]) -> None:
    """Sets an axis to the range of all values and intervals."""
    ends = [end for each in values for end in (each.value, *(each.interval or ())) if math.isfinite(end)]
    margin = 0.04 * (max(ends) - min(ends)) or 1e-3 * max(1.0, abs(max(ends)))
    axes.set(**{f"{along}lim": (min(ends) - margin, max(ends) + margin)})
    axis, loc = (axes.xaxis, "right") if along == "x" else (axes.yaxis, "top")
    axis.set_major_locator(MaxNLocator(6))
    getattr(axes, f"set_{along}label")(label, loc=loc, fontsize=8.5, color=FAINT, labelpad=8)
    axes.ticklabel_format(axis=along, useOffset=False, style="plain")


def _text(
    place: Axes | Figure, at: tuple[float, float], text: str, size: float, colour: Colour, **options: Any
) -> None:
    """Writes text that is no markup."""
    place.text(*at, text, fontsize=size, color=colour, parse_math=False, **options)


def _visible(text: str) -> str:
    return " ".join(visible(word) for word in text.split(" "))


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor="white", metadata={"Software": None})
    return file.getvalue()
