"""Pictures of a model: its bigram counts, its probabilities, and how it reads one word. Each is an (H, W, 3) array.

Drawn with Pillow in the font that matplotlib ships: a heat map with 1,458 texts takes a tenth of what matplotlib's
own text objects take, and the same input gives the same bytes.
"""

import functools
import io
import math
import os
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from nextchar.evaluation.explain import Step, in_percent, mean_nll, orders_to_show

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Pen = ImageDraw.ImageDraw

WIDTH = 1920  # pixels that a matrix may fill
MARGIN = 24
MOST = 60  # rows of a matrix
MOST_WIDE = 32  # rows where many labels are as long as "U+4E2D"
MOST_STEPS = 100  # rows of a breakdown
LADDER, RUNG = 624, (34, 52)  # pixels that the orders take in a breakdown, and one of them

INK: Colour = (23, 32, 48)
MUTED: Colour = (88, 99, 115)
FAINT: Colour = (125, 135, 150)
TRACK: Colour = (234, 238, 243)
BAR: Colour = (33, 113, 181)
FRAME: Colour = (230, 120, 20)
WHITE: Colour = (255, 255, 255)

# Red, green and blue of ColorBrewer's Blues, from which matplotlib's map of that name interpolates too.
_BLUES = (
    (247, 222, 198, 158, 107, 66, 33, 8, 8),
    (251, 235, 219, 202, 174, 146, 113, 81, 48),
    (255, 247, 239, 225, 214, 198, 181, 156, 107),
)
_SEEN_AS = {" ": "␣", "\n": "⏎", "\t": "⇥"}


def visible(symbol: str) -> str:
    """The symbol as it can be drawn: a space as ␣, a control character escaped, one the font lacks as U+4E2D."""
    return "".join(_visible(char) for char in symbol)


def count_matrix(
    counts: npt.NDArray[np.integer[Any]], symbols: Sequence[str], title: str = "Bigram counts", limit: int | None = None
) -> Picture:
    """The lecture's picture: every cell shows a pair of characters and, below it, how often the pair occurs.

    counts: (V, V), rows = previous character. At most `limit` characters are shown, the most frequent.
    Raises ValueError where counts is not (V, V).
    """
    _check_square(counts, symbols)
    chosen = _most_frequent(counts.sum(axis=0) + counts.sum(axis=1), symbols, limit)
    part, labels = counts[np.ix_(chosen, chosen)], [visible(symbols[i]) for i in chosen]
    subtitle = f"{int(counts.sum()):,} pairs{_of_how_many(chosen, symbols)}"
    cells = _blues(part / max(1, part.max()))
    page, draw, left, top, cell = _matrix_page(cells, title, subtitle)
    for row, before in enumerate(labels):
        for column, after in enumerate(labels):
            count = int(part[row, column])
            colour = _ink_on(cells[row, column]) if count else FAINT
            _pair(draw, left + column * cell, top + row * cell, cell, (before, after, _short(count, cell)), colour)
    return np.array(page)


def probability_matrix(
    probs: npt.NDArray[np.floating[Any]],
    symbols: Sequence[str],
    title: str = "Probability of the next character",
    frequency: npt.NDArray[Any] | None = None,
    limit: int | None = None,
    rows: str = "rows: previous character",
) -> Picture:
    """A heat map of p(next | previous) with labelled axes, a colour bar, and percents from 1 % up.

    probs: (V, V), rows = previous character. At most `limit` characters are shown: those of the highest `frequency`
    (V,), or, without it, those that are most probable on average. Raises ValueError where probs is not (V, V).
    """
    _check_square(probs, symbols)
    chosen = _most_frequent(np.nansum(probs, axis=0) if frequency is None else frequency, symbols, limit)
    part, labels = np.nan_to_num(probs[np.ix_(chosen, chosen)]), [visible(symbols[i]) for i in chosen]
    # Square roots, because one certain pair (q, u) would leave all the others white on a linear scale.
    cells = _blues(np.sqrt(part / max(part.max(), 1e-9)))
    subtitle = f"{rows}; columns: next; percent from 1 up"
    subtitle += _of_how_many(chosen, symbols, "probable" if frequency is None else "frequent")
    page, draw, left, top, cell = _matrix_page(cells, title, subtitle, (10 + _widest(labels, 20), 32, 110))
    size = max(11, min(22, cell // 3))
    for i, label in enumerate(labels):
        middle = i * cell + cell // 2
        _write(draw, left - 8, top + middle, label, min(20, cell - 8), INK, "rm")
        _write(draw, left + middle, top - 16, label, min(20, cell - 8), INK, width=cell - 6)
    for row, column in zip(*np.nonzero(part >= 0.01), strict=True):
        percent = 100 * float(part[row, column])
        text = f"{percent:.1f}" if cell >= 44 else f"{percent:.0f}"
        x, y = left + column * cell + cell // 2, top + row * cell + cell // 2
        _write(draw, x, y, text, size, _ink_on(cells[row, column]), width=cell - 4)
    _colour_bar(page, left + len(labels) * cell + 24, top, len(labels) * cell, float(part.max()))
    return np.array(page)


def breakdown(word: str, steps: Sequence[Step]) -> Picture:
    """How a model reads a word: a row a prediction, with its probability, log-probability, rank and the likelier ones.

    Of an n-gram model with what each order alone says, the one that answered framed. At most MOST_STEPS rows are drawn;
    the mean is over all steps.
    """
    labels = [
        f"{_cut(visible(step.context), -12)} → {_cut(visible(step.char), 10)}".lstrip() for step in steps[:MOST_STEPS]
    ]
    orders = orders_to_show(steps)
    shown = 3 if orders else 6
    bests = ["    ".join(f"{visible(c)} {100 * p:.1f} %" for c, p in step.best[:shown]) for step in steps[:MOST_STEPS]]
    bar = 2 * MARGIN + max(150, _widest(labels, 22))
    mean, rest = _mean_line(steps), len(steps) - len(labels)
    ladder, head = bar + 780, _LADDER_HEAD * (orders > 0)  # where the orders begin
    rung = min(max(LADDER // max(orders, 1), RUNG[0]), RUNG[1])
    right = ladder + orders * rung + 40 * (orders > 0)
    ends = right + _widest([*bests, _HEADS[-1]], 18), MARGIN + _widest([mean], 20), ladder + _widest([head], 16)
    width = max(ends) + MARGIN
    page = Image.new("RGB", (width, 150 + 40 * len(labels) + 40 * (rest > 0) + MARGIN // 2), WHITE)
    draw = ImageDraw.Draw(page)
    _write(draw, MARGIN, 40, _cut(visible(word), 100), 34, INK, "lm", width - 2 * MARGIN, bold=True)
    _write(draw, MARGIN, 82, mean, 20, MUTED, "lm")
    for x, text, anchor in ((MARGIN, "read → came", "lm"), (bar, "probability", "lm"), *_columns(bar, right, _HEADS)):
        _write(draw, x, 126, text, 16, MUTED, anchor)
    _write(draw, ladder, 98, head, 16, MUTED, "lm")
    for order in range(1, orders + 1):
        _write(draw, ladder + order * rung - rung // 2, 126, str(order), 16, MUTED)
    for i, (step, label, best) in enumerate(zip(steps, labels, bests, strict=False)):
        _step(draw, bar, right, 166 + 40 * i, step, (label, best))
        _rungs(draw, (ladder, 166 + 40 * i, rung), step, orders)
    if rest:
        _write(draw, MARGIN, 166 + 40 * len(labels), f"and {rest:,} more", 18, MUTED, "lm")
    return np.array(page)


def png(picture: Picture) -> bytes:
    """The picture as a PNG file. picture: (H, W, 3) uint8."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    return file.getvalue()


# Text


@functools.cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    # The basic layout draws characters in the order given: shaping would turn an Arabic pair around.
    return ImageFont.truetype(_font_path(bold), size, layout_engine=ImageFont.Layout.BASIC)


def _font_path(bold: bool = False) -> str:
    import matplotlib

    return os.path.join(matplotlib.get_data_path(), "fonts", "ttf", f"DejaVuSans{'-Bold' * bold}.ttf")


@functools.cache
def _drawable() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(_font_path()).get_charmap())


def _visible(char: str) -> str:
    if char in _SEEN_AS:
        return _SEEN_AS[char]
    if not char.isprintable():
        return char.encode("unicode_escape").decode("ascii")
    if ord(char) not in _drawable():
        return f"U+{ord(char):04X}"
    # A combining mark sits on a dotted circle, else it would land on its neighbour.
    return "◌" + char if unicodedata.category(char).startswith("M") else char


def _write(
    draw: Pen, x: int, y: int, text: str, size: int, ink: Colour, at: str = "mm", width: int = WIDTH, bold: bool = False
) -> None:
    """Draw text at most `width` pixels wide, in a smaller font where it has to be."""
    length = _font(size, bold).getlength(text)
    size = size if length <= width else max(6, math.floor(size * width / length))
    draw.text((x, y), text, ink, _font(size, bold), at)


def _widest(texts: Sequence[str], size: int) -> int:
    return max((round(_font(size).getlength(text)) for text in texts), default=0)


def _cut(text: str, length: int) -> str:
    """At most `length` characters of the text, or of its end where length is negative."""
    if len(text) <= abs(length):
        return text
    return text[:length] + "…" if length > 0 else "…" + text[length:]


def _short(count: int, cell: int) -> str:
    if cell >= 60 or count < 100_000:
        return str(count)
    return f"{count // 1000}k" if count < 10**6 else f"{count / 10**6:.1f}M"


# Matrices


def _check_square(matrix: npt.NDArray[Any], symbols: Sequence[str]) -> None:
    if not symbols or matrix.shape != (len(symbols), len(symbols)):
        raise ValueError(f"{len(symbols)} symbols need a square matrix of that size, got shape {matrix.shape}")


def _most_frequent(frequency: npt.NDArray[Any], symbols: Sequence[str], limit: int | None) -> npt.NDArray[np.intp]:
    """The indices to show, in the order of `symbols`; the boundary, 0, is always among them."""
    order = 1 + np.argsort(-frequency[1:].astype(np.float64), kind="stable")
    if limit is None:
        wide = sum(len(visible(symbols[i])) > 2 for i in order[:MOST_WIDE])
        limit = MOST_WIDE if wide > 10 else MOST
    return np.sort(np.append(order[: max(0, limit - 1)], 0))


def _of_how_many(chosen: npt.NDArray[np.intp], symbols: Sequence[str], kind: str = "frequent") -> str:
    return f"; the {len(chosen)} most {kind} of {len(symbols):,} characters" if len(chosen) < len(symbols) else ""


def _blues(values: npt.NDArray[np.floating[Any]]) -> Picture:
    """Colours of values in 0..1. Adds a last axis of 3."""
    at = np.linspace(0, 1, len(_BLUES[0]))
    return np.stack([np.interp(values, at, channel) for channel in _BLUES], axis=-1).round().astype(np.uint8)


def _ink_on(background: Picture) -> Colour:
    # 128 is where white and INK stand out equally.
    return WHITE if background @ np.array((0.299, 0.587, 0.114)) < 128 else INK


def _matrix_page(
    cells: Picture, title: str, subtitle: str, around: tuple[int, int, int] = (0, 0, 0)
) -> tuple[Image.Image, Pen, int, int, int]:
    """A page with a headline and the coloured cells, `around` (left, top, right) them room for labels.

    Returns the page, its pen, the cells' left and top edge and the size of a cell.
    """
    cell = min(160, max(28, (WIDTH - around[0] - around[2]) // len(cells)))
    side = cell * len(cells)
    title = " ".join(visible(part) for part in title.split(" "))
    needed = max(_font(32, True).getlength(title), _font(20).getlength(subtitle))
    inner = max(side + around[0] + around[2], min(round(needed), WIDTH // 2))
    left, top = MARGIN + around[0] + (inner - side - around[0] - around[2]) // 2, 112 + around[1]
    page = Image.new("RGB", (inner + 2 * MARGIN, top + side + MARGIN), WHITE)
    pixels = cells.repeat(cell, axis=0).repeat(cell, axis=1)
    pixels[::cell] = pixels[:, ::cell] = 255
    page.paste(Image.fromarray(pixels), (left, top))
    draw = ImageDraw.Draw(page)
    _write(draw, MARGIN, 42, title, 32, INK, "lm", inner, bold=True)
    _write(draw, MARGIN, 82, subtitle, 20, MUTED, "lm", inner)
    return page, draw, left, top, cell


def _pair(draw: Pen, left: int, top: int, cell: int, texts: tuple[str, str, str], colour: Colour) -> None:
    """Write "em" and its count into a cell; characters too wide to stand side by side go below one another."""
    before, after, count = texts
    size, small, x = max(10, cell * 34 // 100), max(9, min(28, cell // 4)), left + cell // 2
    high, low = (36, 72) if cell >= 48 else (31, 75)
    lines = [(before + after, high, size), (count, low, small)]
    if _font(size).getlength(before + after) > cell - 4:
        lines = [(before, 22, small), (after, 50, small), (count, 80, small)]
    for text, percent, points in lines:
        _write(draw, x, top + cell * percent // 100, text, points, colour, width=cell - (8 if cell >= 48 else 2))


def _colour_bar(page: Image.Image, left: int, top: int, height: int, highest: float) -> None:
    ramp = _blues(np.linspace(1, 0, height))[:, None].repeat(22, axis=1)
    page.paste(Image.fromarray(ramp), (left, top))
    draw, last = ImageDraw.Draw(page), math.inf
    for percent in (100, 75, 50, 35, 20, 10, 5, 2, 1, 0):
        up = height * math.sqrt(percent / 100 / max(highest, 1e-9))
        if percent == 0 or 24 <= up <= min(height + 1, last - 24):
            y, last = top + height - round(up), up
            draw.line((left + 22, y, left + 28, y), MUTED)
            _write(draw, left + 33, y, f"{percent} %", 16, MUTED, "lm")


# Breakdown

_HEADS = ("", "log p", "rank", "the model's best")
_LADDER_HEAD = "what each order alone says, percent; framed: the longest n-gram seen"


def _columns(bar: int, right: int, texts: Sequence[str]) -> list[tuple[int, str, str]]:
    """Where the texts to the right of a bar stand: probability, log-probability, rank, best."""
    return list(zip((bar + 530, bar + 650, bar + 730, right), texts, ("rm", "rm", "rm", "lm"), strict=True))


def _mean_line(steps: Sequence[Step]) -> str:
    if not steps:
        return "nothing to predict"
    nats = mean_nll(list(steps))
    return (
        f"mean negative log-likelihood {nats:.4f} nats = {nats / math.log(2):.4f} bits per character, "
        f"over {len(steps):,} prediction{'s' * (len(steps) > 1)}"
    )


def _rungs(draw: Pen, at: tuple[int, int, int], step: Step, orders: int) -> None:
    """A cell an order, as dark as the probability is high. at: left edge, middle, and the width of a cell."""
    left, y, width = at
    for order, probability in enumerate(step.by_order[:orders], 1):
        x = left + (order - 1) * width
        colour = _blues(np.sqrt(np.array(min(probability, 1.0))))
        draw.rectangle((x, y - 18, x + width - 3, y + 18), tuple(colour.tolist()))
        if order == step.order:
            draw.rectangle((x, y - 18, x + width - 3, y + 18), outline=FRAME, width=3)
        _write(draw, x + width // 2 - 1, y, in_percent(probability), 16, _ink_on(colour), width=width - 7)


def _step(draw: Pen, bar: int, right: int, y: int, step: Step, texts: tuple[str, str]) -> None:
    label, best = texts
    percent, log = 100 * step.probability, f"{step.log_prob:.3f}".replace("-inf", "-∞")
    _write(draw, MARGIN, y, label, 22, INK, "lm")
    draw.rectangle((bar, y - 11, bar + 400, y + 11), TRACK)
    draw.rectangle((bar, y - 11, bar + round(4 * max(0.0, min(percent, 100.0))), y + 11), BAR)
    shown = f"{percent:.2f} %" if percent >= 0.01 else f"{percent:.1g} %"
    for x, text, anchor in _columns(bar, right, (shown, log.replace("-", "\N{MINUS SIGN}"), f"{step.rank:,}", best)):
        _write(draw, x, y, text, 18 if text is best else 20, FAINT if text is best else INK, anchor)
