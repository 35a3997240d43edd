"""Bigram counts and next-character probabilities as (V, V) heat maps; rows are the previous character."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from nextchar.plots.drawing import (
    FAINT,
    INK,
    MUTED,
    WHITE,
    Picture,
    Style,
    blues,
    ink_on,
    visible,
    visible_words,
    widest,
    width_of,
    write,
)

WIDTH = 1920  # pixels that the cells may fill
MARGIN = 24
MOST_SYMBOLS = 60  # rows
MOST_WIDE_SYMBOLS = 32  # rows where many labels are as long as "U+4E2D"


def count_matrix(
    counts: npt.NDArray[np.integer[Any]], symbols: Sequence[str], title: str = "Bigram counts", limit: int | None = None
) -> Picture:
    """The picture of the lecture: each cell shows a pair of characters and how often it occurs.

    counts: (V, V). At most `limit` characters are shown, the most frequent. Raises ValueError for another shape.
    """
    _check_square(counts, symbols)
    chosen = _most_frequent(counts.sum(axis=0) + counts.sum(axis=1), symbols, limit)
    part, labels = counts[np.ix_(chosen, chosen)], [visible(symbols[i]) for i in chosen]
    subtitle = f"{int(counts.sum()):,} pairs{_selection(chosen, symbols)}"
    grid = _Grid(blues(part / max(1, part.max())), title, subtitle)
    for row, before in enumerate(labels):
        for column, after in enumerate(labels):
            grid.write_pair(row, column, before, after, int(part[row, column]))
    return np.array(grid.page)


def probability_matrix(
    probs: npt.NDArray[np.floating[Any]],
    symbols: Sequence[str],
    title: str = "Probability of the next character",
    frequency: npt.NDArray[Any] | None = None,
    limit: int | None = None,
    rows: str = "rows: previous character",
) -> Picture:
    """A heat map of p(next | previous) with labelled axes, a colour bar, and percentages from 1 % up.

    probs: (V, V); `rows` says in words what a row is. At most `limit` characters are shown: those of the highest
    `frequency` (V,), or, without it, of the highest mean probability. Raises ValueError for another shape.
    """
    _check_square(probs, symbols)
    chosen = _most_frequent(np.nansum(probs, axis=0) if frequency is None else frequency, symbols, limit)
    part, labels = np.nan_to_num(probs[np.ix_(chosen, chosen)]), [visible(symbols[i]) for i in chosen]
    subtitle = f"{rows}; columns: next character; numbers: percent, from 1 up"
    subtitle += _selection(chosen, symbols, "probable" if frequency is None else "frequent")
    # Square roots, because one certain pair (q, u) would leave all others white on a linear scale.
    colours = blues(np.sqrt(part / max(part.max(), 1e-9)))
    grid = _Grid(colours, title, subtitle, (10 + widest(labels, 20), 32, 110))
    grid.write_axes(labels)
    for row, column in zip(*np.nonzero(part >= 0.01), strict=True):
        grid.write_percent(row, column, 100 * float(part[row, column]))
    grid.draw_colour_bar(float(part.max()))
    return np.array(grid.page)


class _Grid:
    """A page with a headline and (n, n) coloured cells; `room` (left, top, right) around these is for labels."""

    def __init__(self, colours: Picture, title: str, subtitle: str, room: tuple[int, int, int] = (0, 0, 0)) -> None:
        left, above, right = room
        self.colours = colours
        self.cell = min(160, max(28, (WIDTH - left - right) // len(colours)))
        self.side = self.cell * len(colours)
        title, width = visible_words(title), self.side + left + right
        headline = max(width_of(title, 32, bold=True), width_of(subtitle, 20))
        inner = max(width, min(round(headline), WIDTH // 2))
        self.left, self.top = MARGIN + left + (inner - width) // 2, 112 + above
        self.page = Image.new("RGB", (inner + 2 * MARGIN, self.top + self.side + MARGIN), WHITE)
        pixels = colours.repeat(self.cell, axis=0).repeat(self.cell, axis=1)
        pixels[:: self.cell] = pixels[:, :: self.cell] = 255  # white lines between the cells
        self.page.paste(Image.fromarray(pixels), (self.left, self.top))
        self.draw = ImageDraw.Draw(self.page)
        write(self.draw, (MARGIN, 42), title, Style(32, INK, bold=True), "lm", inner)
        write(self.draw, (MARGIN, 82), subtitle, Style(20, MUTED), "lm", inner)

    def write_pair(self, row: int, column: int, before: str, after: str, count: int) -> None:
        """Writes "em" and its count into a cell; characters too wide to stand side by side go below one another."""
        cell, colour = self.cell, ink_on(self.colours[row, column]) if count else FAINT
        size, small = max(10, cell * 34 // 100), max(9, min(28, cell // 4))
        high, low = (36, 72) if cell >= 48 else (31, 75)  # percent of the height of a cell
        lines = [(before + after, high, size), (_short(count, cell), low, small)]
        if width_of(before + after, size) > cell - 4:
            lines = [(before, 22, small), (after, 50, small), (_short(count, cell), 80, small)]
        for text, percent, points in lines:
            at = self.left + column * cell + cell // 2, self.top + row * cell + cell * percent // 100
            write(self.draw, at, text, Style(points, colour), width=cell - (8 if cell >= 48 else 2))

    def write_percent(self, row: int, column: int, percent: float) -> None:
        text = f"{percent:.1f}" if self.cell >= 44 else f"{percent:.0f}"
        at = self.left + column * self.cell + self.cell // 2, self.top + row * self.cell + self.cell // 2
        style = Style(max(11, min(22, self.cell // 3)), ink_on(self.colours[row, column]))
        write(self.draw, at, text, style, width=self.cell - 4)

    def write_axes(self, labels: Sequence[str]) -> None:
        style = Style(min(20, self.cell - 8), INK)
        for i, label in enumerate(labels):
            middle = i * self.cell + self.cell // 2
            write(self.draw, (self.left - 8, self.top + middle), label, style, "rm")
            write(self.draw, (self.left + middle, self.top - 16), label, style, width=self.cell - 6)

    def draw_colour_bar(self, highest: float) -> None:
        """The colours of the probabilities from 0 to `highest`, with ticks at least 24 pixels apart."""
        left, last = self.left + self.side + 24, math.inf
        ramp = blues(np.linspace(1, 0, self.side))[:, None].repeat(22, axis=1)
        self.page.paste(Image.fromarray(ramp), (left, self.top))
        for percent in (100, 75, 50, 35, 20, 10, 5, 2, 1, 0):
            up = self.side * math.sqrt(percent / 100 / max(highest, 1e-9))
            if percent == 0 or 24 <= up <= min(self.side + 1, last - 24):
                y, last = self.top + self.side - round(up), up
                self.draw.line((left + 22, y, left + 28, y), MUTED)
                write(self.draw, (left + 33, y), f"{percent} %", Style(16, MUTED), "lm")


def _check_square(matrix: npt.NDArray[Any], symbols: Sequence[str]) -> None:
    if not symbols or matrix.shape != (len(symbols), len(symbols)):
        raise ValueError(f"{len(symbols)} symbols need a square matrix of that size, got shape {matrix.shape}")


def _most_frequent(frequency: npt.NDArray[Any], symbols: Sequence[str], limit: int | None) -> npt.NDArray[np.intp]:
    """The indices to show, in the order of `symbols`; the boundary, 0, is always among them."""
    order = 1 + np.argsort(-frequency[1:].astype(np.float64), kind="stable")
    if limit is None:
        wide = sum(len(visible(symbols[i])) > 2 for i in order[:MOST_WIDE_SYMBOLS])
        limit = MOST_WIDE_SYMBOLS if wide > 10 else MOST_SYMBOLS
    return np.sort(np.append(order[: max(0, limit - 1)], 0))


def _selection(chosen: npt.NDArray[np.intp], symbols: Sequence[str], kind: str = "frequent") -> str:
    return f"; the {len(chosen)} most {kind} of {len(symbols):,} characters" if len(chosen) < len(symbols) else ""


def _short(count: int, cell: int) -> str:
    if cell >= 60 or count < 100_000:
        return str(count)
    return f"{count // 1000}k" if count < 10**6 else f"{count / 10**6:.1f}M"
