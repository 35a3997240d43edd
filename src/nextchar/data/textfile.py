"""A file -> its text in blocks, in flat memory: unzipped, decoded strictly, line ends settled, normalised.

A file can be walked through any number of times. Where the blocks are cut says nothing: put together they are the text.
"""

import codecs
import gzip
import os
import re
import stat
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn

from nextchar.errors import BadInput

BLOCK = 1 << 20  # bytes
GZIP_MAGIC = b"\x1f\x8b"
SHOWN = 1 << 16  # bytes at the start of a text, by which UTF-16 is known
# Encodings that Python decodes only as a whole; nobody keeps gigabytes in them.
WHOLE = {"idna", "punycode", "undefined", "utf-7", "unicode-escape", "raw-unicode-escape"}

_FORMS: dict[str, Literal["NFC", "NFKC"]] = {"nfc": "NFC", "nfkc": "NFKC"}
_TAKEN_APART: dict[str, Literal["NFD", "NFKD"]] = {"NFC": "NFD", "NFKC": "NFKD"}
_HANGUL_FOLLOWERS = (range(0x1161, 0x1176), range(0x11A8, 0x11C3))  # The Unicode Standard, section 3.12
_MARKS = {
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),  # before utf-16, whose mark the first one begins with
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
_HALF = re.compile("[\ud800-\udfff]")


@dataclass
class Findings:
    """What was seen on a walk through a file's text, as it stands there."""

    mark: bool = False  # a byte order mark at the start
    newlines: int = 0
    returns: int = 0  # newlines with a CR before them
    alone: int = 0  # CR elsewhere
    composed: bool = True  # the text is NFC; not looked at where it is to be normalised


@dataclass(frozen=True)
class File:
    """A file of text, to be walked through from its start any number of times. Cheap to send elsewhere.

    `name` is what refusals call it. `stamp`: its size and time of change; where given, a file with others is refused.
    """

    path: Path
    name: str
    encoding: str
    normalize: str
    crlf: bool = True  # CRLF becomes LF
    stamp: tuple[int, int] | None = None

    def stamped(self) -> "File":
        """The file as it is now. Raises BadInput for what is no readable regular file."""
        with _Bytes(self) as raw:
            return replace(self, stamp=raw.stamp)

    def raw(self) -> Iterator[bytes]:
        """The bytes as they lie on disk."""
        with _Bytes(self) as raw:
            while block := raw.read(BLOCK):
                yield block

    def blocks(self, found: Findings | None = None, digest: Callable[[bytes], None] | None = None) -> Iterator[str]:
        """The text, in blocks that are not empty; `digest` is shown the bytes on disk.

        Raises BadInput for what is not text in this encoding, for a damaged .gz, for a file that changed meanwhile.
        """
        wanted, found = found is not None, found or Findings()
        settled = _line_ends_settled(self._decoded(found, digest), self.crlf, found)
        if wanted:
            settled = _newlines_counted(settled, found)
        if self.normalize != "none":
            apart = _apart(settled, _FORMS[self.normalize])
            return (normalized(block, self.normalize) for block in apart)
        return _looked_at(_apart(settled, "NFC"), found) if wanted else settled

    def _content(self, digest: Callable[[bytes], None] | None = None) -> Iterator[bytes]:
        """The bytes of the text: those on disk, unzipped."""
        with _Bytes(self, digest) as raw:
            if not raw.is_zipped:
                while block := raw.read(BLOCK):
                    yield block
                return
            try:
                with gzip.GzipFile(fileobj=raw) as unzipped:  # type: ignore[call-overload]
                    while block := unzipped.read(BLOCK):
                        yield block
            except (EOFError, OSError, zlib.error) as error:
                raise BadInput(
                    f"{self.name}: the .gz file is damaged or cut off ({error}); unpack it by hand to see"
                ) from None

    def _decoded(self, found: Findings, digest: Callable[[bytes], None] | None) -> Iterator[str]:
        content, encoding = self._content(digest), codecs.lookup(self.encoding).name
        start = b""
        for block in content:
            start += block
            if len(start) >= SHOWN:
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
            if encoding != "utf-8" and (half := _HALF.search(text)):
                what = f"half a character (a lone surrogate, U+{ord(half[0]):04X}), which is no text"
                self._refuse(f"{self.name}: holds {what}", content)
            if text and not begun:
                begun, found.mark = True, text.startswith("\ufeff")
                text = text[found.mark :]
            if text:
                yield text

    def _place(self, at: int) -> tuple[int, int, int]:
        """Where byte `at` of the unzipped text stands: line and byte of the line, both from 1 on; and the byte."""
        line, column = 1, 1
        for block in self._content():
            before = block[:at]
            line += before.count(b"\n")
            column = len(before) - before.rfind(b"\n") if b"\n" in before else column + len(before)
            at -= len(before)
            if len(before) < len(block):
                return line, column, block[len(before)]
        _has_changed(self.name)

    def _refuse(self, why: str, rest: Iterable[bytes]) -> NoReturn:
        """Raises BadInput; a .gz that is damaged further on says that instead, which may be the reason."""
        for _ in rest:
            pass
        raise BadInput(why) from None


def normalized(text: str, how: str) -> str:
    """The text in the Unicode form that data.normalize names; a prompt must be put in the form of the model's text."""
    return text if how == "none" or text.isascii() else unicodedata.normalize(_FORMS[how], text)


# --- bytes ----------------------------------------------------------------------------------------------------------


class _Bytes:
    """An open file that has not changed since it was looked at, and does not while it is read. Raises BadInput."""

    def __init__(self, file: File, digest: Callable[[bytes], None] | None = None) -> None:
        self._named, self._digest, self._file = file.name, digest, _opened(file)
        self.stamp = self._stamp()
        if file.stamp not in (None, self.stamp):
            self._file.close()
            _has_changed(file.name)

    def __enter__(self) -> "_Bytes":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    @property
    def is_zipped(self) -> bool:
        return os.pread(self._file.fileno(), len(GZIP_MAGIC), 0) == GZIP_MAGIC

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""
        try:
            block = self._file.read(size)
        except OSError as error:
            raise BadInput(f"{self._named} cannot be read: {error.strerror}") from None
        if not block and self._stamp() != self.stamp:
            _has_changed(self._named)
        if self._digest is not None:
            self._digest(block)
        return block

    def _stamp(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns


def _has_changed(named: str) -> NoReturn:
    raise BadInput(f"{named} changed while it was read; start again when nothing writes to it any more")


def _opened(file: File) -> BinaryIO:
    """Raises BadInput for what is not a readable regular file: a FIFO would hang for ever."""
    try:
        mode = os.stat(file.path).st_mode
        if stat.S_ISDIR(mode):
            raise BadInput(f"{file.name} is a folder; name a file in it")
        if not stat.S_ISREG(mode):
            raise BadInput(f"{file.name} is not a regular file (a pipe or a device); save the text to a file")
        return open(file.path, "rb", buffering=0)
    except BadInput:
        raise
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{file.name} cannot be read: {reason}") from None


# --- characters -----------------------------------------------------------------------------------------------------


def _wide_encoding(start: bytes) -> str:
    """The encoding of two or four bytes a character that the bytes show, by a mark or by where the zeros are; or ''."""
    for encoding, marks in _MARKS.items():
        if start.startswith(marks):
            return encoding
    start = start[:SHOWN]
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if max(even, odd) > 0.4 * len(start) and min(even, odd) < 0.1 * max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    return ""


def _decoder(encoding: str, start: bytes) -> Callable[[bytes, bool], str]:
    """(block, whether it is the last) -> text, like bytes.decode on all of them at once."""
    name = codecs.lookup(encoding).name
    if name in WHOLE:
        return lambda content, last: "" if last and start else content.decode(encoding)
    if name in ("utf-16", "utf-32"):  # without a mark bytes.decode takes this machine's order; in blocks Python refuses
        encoding = name if start.startswith(_MARKS[name]) else f"{name}-{'le' if sys.byteorder == 'little' else 'be'}"
    return codecs.getincrementaldecoder(encoding)("strict").decode


def _line_ends_settled(blocks: Iterable[str], crlf: bool, found: Findings) -> Iterator[str]:
    """CRLF becomes LF, or stays; what was there is counted."""
    carried = ""  # a CR of which the next block tells whether it ends a line
    for block in blocks:
        text = carried + block if carried else block
        carried = text[-1] if text.endswith("\r") else ""
        text = text[:-1] if carried else text
        if "\r" in text:
            returns = text.count("\r\n")
            found.returns += returns
            found.alone += text.count("\r") - returns
            text = text.replace("\r\n", "\n") if crlf else text
        if text:
            yield text
    if carried:
        found.alone += 1
        yield carried


def _newlines_counted(blocks: Iterable[str], found: Findings) -> Iterator[str]:
    """By a stage of its own, as it takes as long as decoding, and only a first walk wants to know."""
    for block in blocks:
        found.newlines += block.count("\n")
        yield block


def _looked_at(blocks: Iterable[str], found: Findings) -> Iterator[str]:
    for block in blocks:
        found.composed = found.composed and (block.isascii() or unicodedata.is_normalized("NFC", block))
        yield block


def _apart(blocks: Iterable[str], form: Literal["NFC", "NFKC"]) -> Iterator[str]:
    """The same text, cut only before characters that have nothing to do with what precedes: each block by itself,
    normalised, is its part of the whole text's normal form (Unicode Standard Annex 15, section 9).
    """
    begun: list[str] = []
    for block in blocks:
        cut = next((at for at in range(len(block) - 1, -1, -1) if _begins_anew(block[at], form)), None)
        if cut is None:
            begun.append(block)
            continue
        if cut or begun:
            yield "".join([*begun, block[:cut]])
        begun = [block[cut:]]
    if begun:
        yield "".join(begun)


def _begins_anew(character: str, form: Literal["NFC", "NFKC"]) -> bool:
    if character.isascii():
        return True
    first = unicodedata.normalize(_TAKEN_APART[form], character)[0]
    return unicodedata.combining(first) == 0 and first not in _followers()


@cache
def _followers() -> frozenset[str]:
    """The characters that may become one with the character before them."""
    last = 0x20000  # beyond, nothing is composed of two
    pairs = (unicodedata.decomposition(chr(code)).split() for code in range(last))
    seconds = {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and not pair[0].startswith("<")}
    return frozenset(seconds | {chr(code) for codes in _HANGUL_FOLLOWERS for code in codes})
