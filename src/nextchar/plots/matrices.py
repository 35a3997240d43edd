"""Bigram counts and next-character probabilities as (V, V) heat maps; rows are the previous character."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from nextchar.plots.drawing import FAINT, MUTED, Canvas, Picture, blues, ink_on, visible, widest, width_of

WIDTH = 1920  # pixels that the cells may fill
MARGIN = 24
MOST_SYMBOLS = 60  # rows
MOST_WIDE_SYMBOLS = 32  # rows where many labels are as long as "U+4E2D"


def count_matrix(counts: npt.NDArray[np.integer[Any]], symbols: Sequence[str]) -> Picture:
    """The picture of the lecture: each cell shows a pair of characters and how often it occurs.

    counts: (V, V). Of many characters the most frequent are shown. Raises ValueError for another shape.
    """
    part, labels, selection = _most_frequent(counts, symbols)
    subtitle = f"{int(counts.sum()):,} pairs{selection}"
    grid = _Grid(blues(part / max(1, part.max())), "Bigram counts", subtitle)
    for row, before in enumerate(labels):
        for column, after in enumerate(labels):
            grid.write_pair(row, column, before, after, int(part[row, column]))
    return grid.picture


def probability_matrix(
    probs: npt.NDArray[np.floating[Any]],
    symbols: Sequence[str],
    frequency: npt.NDArray[Any],
    rows: str = "rows: previous character",
) -> Picture:
    """A heat map of p(next | previous) with labelled axes, a colour bar, and percentages from 1 % up.

    probs: (V, V); `rows` says in words what a row is. Of many characters those of the highest `frequency`, (V,), are
    shown. Raises ValueError for another shape.
    """
    part, labels, selection = _most_frequent(np.nan_to_num(probs), symbols, frequency)
    subtitle = f"{rows}; columns: next character; numbers: percent, from 1 up{selection}"
    # Square roots, because one certain pair (q, u) would leave all others white on a linear scale.
    colours = blues(np.sqrt(part / max(part.max(), 1e-9)))
    grid = _Grid(colours, "Probability of the next character", subtitle, (10 + widest(labels, 20), 32, 110))
    grid.write_axes(labels)
    for row, column in np.argwhere(part >= 0.01).tolist():
        grid.write_percent(row, column, 100 * float(part[row, column]))
    grid.draw_colour_bar(float(part.max()))
    return grid.picture


class _Grid(Canvas):
    """A page with a headline and (n, n) coloured cells; `room` (left, top, right) around these is for labels."""

    def __init__(self, colours: Picture, title: str, subtitle: str, room: tuple[int, int, int] = (0, 0, 0)) -> None:
        left, above, right = room
        self.colours = colours
        self.cell = min(160, max(28, (WIDTH - left - right) // len(colours)))
        self.side = self.cell * len(colours)
        width, headline = self.side + left + right, max(width_of(title, 32, bold=True), width_of(subtitle, 20))
        inner = max(width, min(round(headline), WIDTH // 2))
        self.left, self.top = MARGIN + left + (inner - width) // 2, 112 + above
        super().__init__(inner + 2 * MARGIN, self.top + self.side + MARGIN)
        pixels = colours.repeat(self.cell, axis=0).repeat(self.cell, axis=1)
        pixels[:: self.cell] = pixels[:, :: self.cell] = 255  # white lines between the cells
        self.page.paste(Image.fromarray(pixels), (self.left, self.top))
        self.write((MARGIN, 42), title, 32, anchor="lm", width=inner, bold=True)
        self.write((MARGIN, 82), subtitle, 20, MUTED, "lm", inner)

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
            self.write(at, text, points, colour, width=cell - (8 if cell >= 48 else 2))

    def write_percent(self, row: int, column: int, percent: float) -> None:
        text = f"{percent:.1f}" if self.cell >= 44 else f"{percent:.0f}"
        at = self.left + column * self.cell + self.cell // 2, self.top + row * self.cell + self.cell // 2
        size = max(11, min(22, self.cell // 3))
        self.write(at, text, size, ink_on(self.colours[row, column]), width=self.cell - 4)

    def write_axes(self, labels: Sequence[str]) -> None:
        size = min(20, self.cell - 8)
        for i, label in enumerate(labels):
            middle = i * self.cell + self.cell // 2
            self.write((self.left - 8, self.top + middle), label, size, anchor="rm")
            self.write((self.left + middle, self.top - 16), label, size, width=self.cell - 6)

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
                self.write((left + 33, y), f"{percent} %", 16, MUTED, "lm")


def _most_frequent(
    matrix: npt.NDArray[Any], symbols: Sequence[str], frequency: npt.NDArray[Any] | None = None
) -> tuple[npt.NDArray[Any], list[str], str]:
    """The part of a matrix to show, its labels, and a note on the selection. Raises ValueError for another shape.

    `frequency` is by default that in a matrix of counts. Symbols keep their order; the boundary, 0, is always shown.
    """
    if not symbols or matrix.shape != (len(symbols), len(symbols)):
        raise ValueError(f"{len(symbols)} symbols need a square matrix of that size, got shape {matrix.shape}")
    if frequency is None:
        frequency = matrix.sum(axis=0) + matrix.sum(axis=1)
    order = 1 + np.argsort(-frequency[1:].astype(np.float64), kind="stable")
    wide = sum(len(visible(symbols[i])) > 2 for i in order[:MOST_WIDE_SYMBOLS])
    chosen = np.sort(np.append(order[: (MOST_WIDE_SYMBOLS if wide > 10 else MOST_SYMBOLS) - 1], 0))
    note = f"; the {len(chosen)} most frequent of {len(symbols):,} characters" if len(chosen) < len(symbols) else ""
    return matrix[np.ix_(chosen, chosen)], [visible(symbols[i]) for i in chosen], note


def _short(count: int, cell: int) -> str:
    if cell >= 60 or count < 100_000:
        return str(count)
    return f"{count // 1000}k" if count < 10**6 else f"{count / 10**6:.1f}M"
