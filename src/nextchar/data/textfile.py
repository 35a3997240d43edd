"""Reads a text file block by block: bytes, unzipped, decoded strictly, line ends settled, normalised.

A file can be read any number of times. The blocks, joined, are the text; where they are cut has no meaning. Memory
is flat, but for a text that is to be normalised and has no ASCII character, not even a space or a newline: such a
gigabyte is read whole, and takes two to four bytes a character three times over.
"""

import codecs
import gzip
import io
import os
import re
import stat
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NoReturn

from nextchar.errors import BadInput

BLOCK_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
SNIFFED_BYTES = 1 << 16  # at the start of a file, by which UTF-16 is recognised
# Python decodes these encodings only as a whole; nobody keeps gigabytes in them.
WHOLE = {"idna", "punycode", "undefined", "utf-7", "unicode-escape", "raw-unicode-escape"}

_FORMS: dict[str, Literal["NFC", "NFKC"]] = {"nfc": "NFC", "nfkc": "NFKC"}
_MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),  # before utf-16, whose mark the first one begins with
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass
class Findings:
    """Facts about the text of a file as it is stored; the survey writes its notes from them."""

    has_mark: bool = False  # a byte order mark at the start
    newlines: int = 0
    crlf: int = 0  # newlines with a CR before them
    lone_cr: int = 0  # CR elsewhere
    is_nfc: bool = True  # not checked if the text is normalised anyway

    @property
    def is_mixed(self) -> bool:
        """Whether only some line ends have a CR. Once true while a file is read, it stays true."""
        return self.crlf > 0 and (self.crlf < self.newlines or self.lone_cr > 0)


@dataclass
class TextFile:
    """A file of text, with the counts of a survey. Cheap to pickle: a held text is not included.

    `name`: as error messages call it. `signature`: size and time of change; a file with another one is refused. Raises
    BadInput for anything but a regular file: opening a FIFO would wait for ever.
    """

    path: Path
    name: str
    encoding: str
    normalize: str
    crlf: bool = True  # CRLF is read as LF
    signature: tuple[int, ...] = ()
    characters: int = 0  # of its documents: of lines without the newlines
    documents: int = 0
    held: list[str] | None = None  # the text, if it is in memory

    def __post_init__(self) -> None:
        if self.signature:
            return
        try:
            status = os.stat(self.path)
        except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise BadInput(f"{self.name} cannot be read: {reason}") from None
        if stat.S_ISDIR(status.st_mode):
            raise BadInput(f"{self.name} is a folder; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(f"{self.name} is not a regular file (a pipe or a device); save the text to a file")
        self.signature = _signature(status)

    def raw(self) -> Iterator[bytes]:
        """Yields the bytes on disk."""
        with _Bytes(self) as raw:
            while block := raw.read(BLOCK_BYTES):
                yield block

    def blocks(self, found: Findings | None = None, digest: Callable[[bytes], None] | None = None) -> Iterator[str]:
        """Yields the text in blocks that are not empty. Fills in `found`; `digest` gets the bytes on disk.

        Raises BadInput for bytes that are not text in this encoding, a damaged .gz, or a file that changes meanwhile.
        """
        if self.held is not None:
            return iter(self.held)
        blocks = _settle_line_ends(self._decoded(found, digest), self.crlf, found)
        if self.normalize != "none":
            return (normalized(block, self.normalize) for block in _cut(blocks, _before_last_ascii))
        return blocks if found is None else _check_nfc(_cut(blocks, _before_last_ascii), found)

    def lines(self) -> Iterator[list[str]]:
        """Yields the lines that are not empty, many at a time."""
        return (list(filter(None, block.split("\n"))) for block in whole_lines(self.blocks()))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"held": None}

    def content(self, digest: Callable[[bytes], None] | None = None) -> Iterator[bytes]:
        """Yields the bytes of the text: those on disk, unzipped."""
        with _Bytes(self, digest) as raw:
            is_zipped = os.pread(raw.fileno(), len(GZIP_MAGIC), 0) == GZIP_MAGIC
            content = gzip.GzipFile(fileobj=raw) if is_zipped else raw
            try:
                while block := content.read(BLOCK_BYTES):
                    yield block
            except (EOFError, OSError, zlib.error) as error:
                raise BadInput(
                    f"{self.name}: the .gz file is damaged or cut off ({error}); unpack it by hand to see"
                ) from None

    def _decoded(self, found: Findings | None, digest: Callable[[bytes], None] | None) -> Iterator[str]:
        """Yields the text as it is stored, without the byte order mark."""
        content, encoding = self.content(digest), codecs.lookup(self.encoding).name
        start = b""
        for block in content:
            start += block
            if len(start) >= SNIFFED_BYTES:
                break
        if encoding == "utf-8" and (better := _wide_encoding(start)):
            self._refuse(f"{self.name} looks like {better.upper()}; set data.encoding={better}", content)
        if encoding in WHOLE:
            start = b"".join([start, *content])
        decode, fed, begun = _decoder(self.encoding, start), 0, False
        for block in chain([start], content, [b""]):
            fed += len(block)
            try:
                text = decode(block, not block)
            except UnicodeDecodeError as error:
                before = 0 if encoding in WHOLE else fed - len(error.object)
                line, column, byte = self._place(before + error.start)
                self._refuse(
                    f"{self.name}: line {line:,}, byte {column:,}: not valid {self.encoding} (0x{byte:02x}). "
                    "Save the file as UTF-8, or name its encoding, as in data.encoding=latin-1",
                    content,
                )
            except (UnicodeError, ValueError) as error:
                self._refuse(f"{self.name}: not valid {self.encoding}: {error}", content)
            if encoding != "utf-8" and (half := _SURROGATE.search(text)):
                lone = f"a lone surrogate, U+{ord(half[0]):04X}"
                self._refuse(f"{self.name} contains half a character ({lone}), which is not text", content)
            if text and not begun:
                begun, has_mark = True, text.startswith("\ufeff")
                text = text[has_mark:]
                if found is not None:
                    found.has_mark = has_mark
            if text:
                yield text

    def _place(self, at: int) -> tuple[int, int, int]:
        """Finds byte `at` of the unzipped text: its line, its place in the line (both from 1), and the byte."""
        line, column = 1, 1
        for block in self.content():
            before = block[:at]
            line += before.count(b"\n")
            column = len(before) - before.rfind(b"\n") if b"\n" in before else column + len(before)
            at -= len(before)
            if len(before) < len(block):
                return line, column, block[len(before)]
        _refuse_changed(self.name)

    def _refuse(self, why: str, rest: Iterable[bytes]) -> NoReturn:
        """Raises BadInput; reads the rest first, since a .gz that is damaged further on says so instead."""
        for _ in rest:
            pass
        raise BadInput(why) from None


def normalized(text: str, form: str) -> str:
    """Returns the text in the Unicode form of data.normalize; a prompt needs the form of the model's text."""
    return text if form == "none" or text.isascii() else unicodedata.normalize(_FORMS[form], text)


# --- bytes ----------------------------------------------------------------------------------------------------------


class _Bytes(io.FileIO):
    """A file open for reading. Raises BadInput if its signature is another one, or changes while it is read."""

    def __init__(self, file: TextFile, digest: Callable[[bytes], None] | None = None) -> None:
        try:
            super().__init__(file.path)
        except OSError as error:
            raise BadInput(f"{file.name} cannot be read: {error.strerror}") from None
        self._file, self._digest = file, digest
        self._refuse_changed()

    def read(self, size: int | None = -1, /) -> bytes:
        """Returns at most `size` bytes, none at the end."""
        try:
            block = super().read(size)
        except OSError as error:
            raise BadInput(f"{self._file.name} cannot be read: {error.strerror}") from None
        if not block:
            self._refuse_changed()
        if self._digest is not None:
            self._digest(block)
        return block

    def _refuse_changed(self) -> None:
        if _signature(os.fstat(self.fileno())) != self._file.signature:
            self.close()
            _refuse_changed(self._file.name)


def _signature(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _refuse_changed(name: str) -> NoReturn:
    raise BadInput(f"{name} changed while it was read; start again when nothing writes to it any more")


# --- characters -----------------------------------------------------------------------------------------------------


def _wide_encoding(start: bytes) -> str:
    """Returns the encoding of two or four bytes a character that a mark or the places of zeros show, or ''."""
    for encoding, marks in _MARKS.items():
        if start.startswith(marks):
            return encoding
    start = start[:SNIFFED_BYTES]
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if max(even, odd) > 0.4 * len(start) and min(even, odd) < 0.1 * max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    return ""


def _decoder(encoding: str, start: bytes) -> Callable[[bytes, bool], str]:
    """Returns a function (block, whether it is the last) -> text, equal to bytes.decode on all blocks at once."""
    name = codecs.lookup(encoding).name
    if name in WHOLE:
        return lambda content, last: "" if last and start else content.decode(encoding)
    if name in ("utf-16", "utf-32"):  # without a mark bytes.decode takes this machine's order; in blocks Python refuses
        encoding = name if start.startswith(_MARKS[name]) else f"{name}-{'le' if sys.byteorder == 'little' else 'be'}"
    return codecs.getincrementaldecoder(encoding)("strict").decode


def _settle_line_ends(blocks: Iterable[str], crlf: bool, found: Findings | None) -> Iterator[str]:
    """Replaces CRLF by LF if `crlf`. Counts line ends only if asked: it takes as long as decoding."""
    carried = ""  # a CR; the next block shows whether it ends a line
    for block in chain(blocks, [""]):
        text = carried + block
        carried = "\r" if block and text.endswith("\r") else ""
        text = text[:-1] if carried else text
        if found is not None:
            found.newlines += text.count("\n")
        if "\r" in text:
            if found is not None:
                found.crlf += (ends := text.count("\r\n"))
                found.lone_cr += text.count("\r") - ends
            text = text.replace("\r\n", "\n") if crlf else text
        if text:
            yield text


def _cut(blocks: Iterable[str], last_place: Callable[[str], int]) -> Iterator[str]:
    """Yields the same text, cut only at the places that `last_place` finds in a block (0: there is none)."""
    begun: list[str] = []
    for block in blocks:
        if place := last_place(block):
            yield "".join([*begun, block[:place]])
            begun = []
        begun.append(block[place:])
    if last := "".join(begun):
        yield last


def whole_lines(blocks: Iterable[str]) -> Iterator[str]:
    """Yields the same text, each block but the last ending in a newline."""
    return _cut(blocks, lambda block: block.rfind("\n") + 1)


def _before_last_ascii(block: str) -> int:
    """Returns the place of the last ASCII character, where a text to be normalised may be cut.

    An ASCII character never combines with the one before it (Unicode Standard Annex 15, section 9), so each part can
    be normalised by itself.
    """
    return next((place for place in range(len(block) - 1, 0, -1) if block[place].isascii()), 0)


def _check_nfc(blocks: Iterable[str], found: Findings) -> Iterator[str]:
    for block in blocks:
        found.is_nfc = found.is_nfc and (block.isascii() or unicodedata.is_normalized("NFC", block))
        yield block
