"""Bytes -> documents. Strict decoding; bad input is refused by line and byte; what was odd is said in the report."""

import codecs
import gzip
import hashlib
import os
import re
import stat
import unicodedata
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nextchar.errors import BadInput
from nextchar.knobs import nearest, shown
from nextchar.settings import Data

EMBEDDED = Path(__file__).parent / "assets" / "ssa-names-2018.txt"
GZIP_MAGIC = b"\x1f\x8b"
LONGEST_PATH = 4096
NUL_SHARE = 0.05  # of a text's bytes; text in UTF-16 has 0.4 or more


@dataclass(frozen=True)
class Corpus:
    """The documents of a file (one for a running text), and what was seen on the way."""

    documents: list[str]
    source: str
    sha256: str  # of the file as it lies on disk
    size: int  # bytes, likewise
    lines: int
    skipped: int  # empty lines
    notes: list[str] = field(default_factory=list)

    @property
    def characters(self) -> int:
        return sum(map(len, self.documents))

    @property
    def duplicates(self) -> int:
        return len(self.documents) - len(set(self.documents))


def read(data: Data, download: bool = True, expected: str | None = None) -> Corpus:
    """Reads the data set that the settings name. Raises BadInput.

    What a stranger's record names is read with care: without `download` nothing is fetched, and of a file whose sha256
    is not the `expected` one nothing is looked at, or shown.
    """
    path = _locate(data, download)
    raw = read_bytes(path, data)
    digest, size, name = hashlib.sha256(raw).hexdigest(), len(raw), _named(path, data)
    if expected is not None and digest != expected:
        raise BadInput(
            f"{name} has changed since the run was trained on it; to measure it as it is, say data.path=FILE"
        )
    notes: list[str] = []
    text = _decoded(_unzipped(raw, name), data.encoding, name, notes)
    del raw  # a large file should not be in memory more often than it must
    text = _one_kind_of_line_end(text, name, notes)
    if data.normalize == "none" and not unicodedata.is_normalized("NFC", text):
        notes.append("some characters are written in more than one way (not NFC); data.normalize=nfc makes them one")
    text = normalized(text, data.normalize)
    _notice_odd_characters(text, notes)
    lines = text.count("\n") + (not text.endswith("\n"))  # the last one may lack its newline
    documents = [text] if data.is_text else [line for line in text.split("\n") if line]
    if not text.strip("\n"):
        raise BadInput(f"{name}: no text: 0 non-empty lines in {lines if text else 0:,} lines")
    if not data.is_text:
        _notice_odd_ends(documents, notes)
    skipped = 0 if data.is_text else lines - len(documents)
    return Corpus(documents, _source(path, data), digest, size, lines, skipped, notes)


def read_bytes(path: Path, data: Data) -> bytes:
    """The file's bytes. Raises BadInput for what is not a readable regular file: a FIFO would hang for ever."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise BadInput(f"{_named(path, data)} is a folder; name a file in it")
        if not stat.S_ISREG(mode):
            raise BadInput(f"{_named(path, data)} is not a regular file (a pipe or a device); save the text to a file")
        return path.read_bytes()
    except BadInput:
        raise
    except FileNotFoundError:
        raise BadInput(f"{_named(path, data)}: no such file.{_near(path)}") from None
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{_named(path, data)} cannot be read: {reason}") from None


def normalized(text: str, how: str) -> str:
    """The text in the Unicode form that data.normalize names; a prompt must be put in the form of the model's text."""
    return text if how == "none" or text.isascii() else unicodedata.normalize(_FORMS[how], text)


_FORMS: dict[str, Literal["NFC", "NFKC"]] = {"nfc": "NFC", "nfkc": "NFKC"}


def _locate(data: Data, download: bool) -> Path:
    if data.name == "names":
        return EMBEDDED
    if data.path is not None:
        return Path(data.path)
    return _downloaded(data, download)


def _downloaded(data: Data, download: bool) -> Path:
    """The data set's file in the user's cache folder, downloaded on first use and checked against its digest."""
    import pooch

    if not data.url or not data.sha256:
        raise BadInput(f"data={data.name} needs data.url and data.sha256")
    folder, name = Path(pooch.os_cache("nextchar")), f"{data.name}-{data.sha256[:12]}.txt"
    kind = "text" if data.is_text else "lines"
    if not download and not (folder / name).exists():  # somebody else's record must not choose what is fetched
        raise BadInput(f"the run's text is not in the cache; say data={data.name} to download it, or data.path=FILE")
    try:
        pooch.get_logger().setLevel("ERROR")
        return Path(pooch.retrieve(data.url, f"sha256:{data.sha256}", fname=name, path=folder))
    except Exception as error:  # requests and urllib3 have dozens of ways to say that there is no network
        reason = "the file there has another sha256" if "hash" in str(error) else type(error).__name__
        raise BadInput(
            f"data={data.name}: {shown(data.url)} could not be downloaded ({reason}); "
            f"with a copy of the file at hand: data={kind} data.path=FILE"
        ) from None


def _unzipped(raw: bytes, name: str) -> bytes:
    if not raw.startswith(GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise BadInput(f"{name}: the .gz file is damaged or cut off ({error}); unpack it by hand to see") from None


def _decoded(content: bytes, encoding: str, name: str, notes: list[str]) -> str:
    if codecs.lookup(encoding).name == "utf-8" and (better := _wide_encoding(content)):
        raise BadInput(f"{name} looks like {better.upper()}; set data.encoding={better}")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise BadInput(
            f"{name}: line {line:,}, byte {column:,}: not valid {encoding} (0x{content[error.start]:02x}). "
            "Save the file as UTF-8, or name its encoding, as in data.encoding=latin-1"
        ) from None
    except (UnicodeError, ValueError) as error:
        raise BadInput(f"{name}: not valid {encoding}: {error}") from None
    if half := re.search("[\ud800-\udfff]", text):
        raise BadInput(f"{name}: holds half a character (a lone surrogate, U+{ord(half[0]):04X}), which is no text")
    if text.startswith("\ufeff"):
        notes.append("dropped the byte order mark at the start of the file")
        text = text[1:]
    return text


def _wide_encoding(content: bytes) -> str:
    """The encoding of two or four bytes a character that the bytes show, by a mark or by where the zeros are; or ''."""
    marks = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}
    marks |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    for mark, encoding in marks.items():
        if content.startswith(mark):
            return encoding
    start = content[: 1 << 16]
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if max(even, odd) > 0.4 * len(start) and min(even, odd) < 0.1 * max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    return ""


def _one_kind_of_line_end(text: str, name: str, notes: list[str]) -> str:
    """CRLF throughout becomes LF; a mixture is kept as it is, and said."""
    returns, newlines = text.count("\r\n"), text.count("\n")
    alone = text.count("\r") - returns
    if newlines == 0 and alone:
        raise BadInput(f"{name}: the lines end in a lone CR (old Macintosh); convert them to LF: tr '\\r' '\\n'")
    if returns and returns == newlines and not alone:
        notes.append(f"{returns:,} lines ended in CRLF; the CR was taken off")
        return text.replace("\r\n", "\n")
    if returns or alone:
        notes.append(f"{returns:,} of {newlines:,} lines end in CRLF and {alone:,} CR stand elsewhere; all were kept")
    return text


def _notice_odd_characters(text: str, notes: list[str]) -> None:
    if "\ufeff" in text:
        notes.append(f"{text.count(chr(0xFEFF)):,} byte order marks inside the text were kept as characters")
    if nuls := text.count("\0"):
        binary = " (is this a binary file, or UTF-16?)" if nuls > NUL_SHARE * len(text) else ""
        notes.append(f"{nuls:,} NUL characters were kept{binary}")


def _notice_odd_ends(documents: list[str], notes: list[str]) -> None:
    ends = Counter("blank" if line.isspace() else "trailing" for line in documents if line[-1] in " \t")
    if ends["trailing"]:
        notes.append(f"{ends['trailing']:,} lines end in a space or tab, which was kept: 'emma ' is not 'emma'")
    if ends["blank"]:
        notes.append(f"{ends['blank']:,} lines hold nothing but white space and were kept")


def _source(path: Path, data: Data) -> str:
    """How the report names the file: an own file by its path, others by their name (the path is the machine's)."""
    return str(path) if data.path is not None else path.name


def _named(path: Path, data: Data) -> str:
    return f"data.path={shown(path, LONGEST_PATH)}" if data.path is not None else f"data={data.name}"


def _near(path: Path) -> str:
    """A name beside the missing one that is much like it, or the first folder that is missing."""
    if not path.parent.is_dir():
        return f" There is no folder {shown(path.parent, LONGEST_PATH)}"
    try:
        return nearest(path.name, [entry.name for entry in os.scandir(path.parent)])
    except OSError:
        return ""
