"""Colours, text and PNG files of all pictures.

Pictures with hundreds of texts are drawn with Pillow in the font that matplotlib ships: 1,458 texts take a tenth of the
time of matplotlib's text objects, and the same input gives the same bytes.
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

Picture = npt.NDArray[np.uint8]  # (H, W, 3)
Colour = str | tuple[int, ...]  # "#2171b5", or, for Pillow alone, (33, 113, 181)

INK, MUTED, FAINT, TRACK = "#172030", "#586373", "#7d8796", "#eaeef3"
BAR, FRAME, WHITE = "#2171b5", "#e67814", "#ffffff"

# Red, green and blue of ColorBrewer's Blues, from which matplotlib's map of that name interpolates too.
_BLUES = (
    (247, 222, 198, 158, 107, 66, 33, 8, 8),
    (251, 235, 219, 202, 174, 146, 113, 81, 48),
    (255, 247, 239, 225, 214, 198, 181, 156, 107),
)
_SYMBOLS = {" ": "␣", "\n": "⏎", "\t": "⇥"}


class Canvas:
    """A white page to draw on with Pillow."""

    def __init__(self, width: int, height: int) -> None:
        self.page = Image.new("RGB", (width, height), WHITE)
        self.draw = ImageDraw.Draw(self.page)

    def write(
        self,
        at: tuple[int, int],
        text: str,
        size: int,
        colour: Colour = INK,
        anchor: str = "mm",
        width: int = 1920,
        bold: bool = False,
    ) -> None:
        """Writes text at most `width` pixels wide, in a smaller font if needed. anchor: "lm" = left middle (Pillow)."""
        length = width_of(text, size, bold)
        if length > width:
            size = max(6, math.floor(size * width / length))
        self.draw.text(at, text, colour, _font(size, bold), anchor)

    @property
    def picture(self) -> Picture:
        return np.array(self.page)


def width_of(text: str, size: int, bold: bool = False) -> float:
    """In pixels."""
    return _font(size, bold).getlength(text)


def widest(texts: Sequence[str], size: int) -> int:
    """The width of the longest text in whole pixels; 0 without texts."""
    return max((round(width_of(text, size)) for text in texts), default=0)


def visible(symbol: str) -> str:
    """The symbol as it can be drawn: a space as ␣, control characters escaped, one that the font lacks as U+4E2D."""
    return "".join(map(_visible, symbol))


def _visible(char: str) -> str:
    if char in _SYMBOLS:
        return _SYMBOLS[char]
    if not char.isprintable():
        return char.encode("unicode_escape").decode("ascii")
    if ord(char) not in _characters():
        return f"U+{ord(char):04X}"
    # A combining mark sits on a dotted circle; without it, it would land on its neighbour.
    return "◌" + char if unicodedata.category(char).startswith("M") else char


def cut(text: str, length: int) -> str:
    """The first `length` characters of a longer text, or the last -length ones, with an ellipsis for the others."""
    if len(text) <= abs(length):
        return text
    return text[:length] + "…" if length > 0 else "…" + text[length:]


def blues(values: npt.NDArray[np.floating[Any]]) -> Picture:
    """Values in 0..1 -> colours from white to dark blue, in a new last axis of 3."""
    at = np.linspace(0, 1, len(_BLUES[0]))
    return np.stack([np.interp(values, at, channel) for channel in _BLUES], axis=-1).round().astype(np.uint8)


def ink_on(background: Picture) -> Colour:
    """White or dark, whichever contrasts more; at a luminance of 128 both do equally."""
    return WHITE if background @ np.array((0.299, 0.587, 0.114)) < 128 else INK


def png(picture: Picture) -> bytes:
    """(H, W, 3) uint8 -> the content of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    return file.getvalue()


@functools.cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    # The basic layout draws characters in the given order; shaping would swap the two of an Arabic pair.
    return ImageFont.truetype(_font_path(bold), size, layout_engine=ImageFont.Layout.BASIC)


@functools.cache
def _characters() -> frozenset[int]:
    """The code points that the font can draw."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(_font_path()).get_charmap())


def _font_path(bold: bool = False) -> str:
    import matplotlib

    return os.path.join(matplotlib.get_data_path(), "fonts", "ttf", f"DejaVuSans{'-Bold' * bold}.ttf")
