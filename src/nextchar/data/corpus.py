"""Files -> a corpus: which ones are read, what a first walk through them finds, and what is odd in them and said."""

import glob
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from nextchar.config.data_settings import Data
from nextchar.data.textfile import File, Findings
from nextchar.data.vocabulary import Ids
from nextchar.errors import BadInput
from nextchar.messages import nearest, shown

EMBEDDED = Path(__file__).parent / "assets" / "ssa-names-2018.txt"
LONGEST_PATH = 4096
NUL_SHARE = 0.05  # of a text's bytes; text in UTF-16 has 0.4 or more
KEPT = 1 << 26  # bytes on disk, and characters: a corpus of no more is kept between the walks
NO_HASHES: Ids = np.empty(0, dtype=np.int64)


@dataclass
class Source:
    """One file of a corpus, walked through once. Where the text is `kept`, later walks read nothing."""

    file: File
    characters: int = 0  # those of documents: of lines without the newlines
    documents: int = 0
    kept: list[str] | None = None

    def blocks(self) -> Iterator[str]:
        """The text, cut anywhere."""
        return self.file.blocks() if self.kept is None else iter(self.kept)

    def lines(self) -> Iterator[list[str]]:
        """The lines that are not empty, many at a time."""
        return _lines(self.blocks())

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"kept": None}


@dataclass
class Corpus:
    """The documents of one or several files (one for a running text), and what was seen on a first walk through them.

    `hashes` (documents,): 64 bits of each line, by which equal ones are known; that two others share theirs happens
    among a thousand million with a chance of three in a hundred. They differ from process to process.
    """

    sources: list[Source]
    is_text: bool
    source: str
    sha256: str  # of the files as they lie on disk, one after the other
    size: int  # bytes, likewise
    lines: int
    notes: list[str] = field(default_factory=list)
    hashes: Ids = field(default_factory=lambda: NO_HASHES)

    @property
    def documents(self) -> int:
        return 1 if self.is_text else sum(source.documents for source in self.sources)

    @property
    def characters(self) -> int:
        return sum(source.characters for source in self.sources)

    @property
    def starts(self) -> list[int]:
        """The number of each file's first document."""
        return list(accumulate((source.documents for source in self.sources[:-1]), initial=0))

    @property
    def skipped(self) -> int:
        """Empty lines."""
        return 0 if self.is_text else self.lines - self.documents

    @property
    def duplicates(self) -> int:
        ordered = np.sort(self.hashes)
        return int(np.count_nonzero(ordered[1:] == ordered[:-1]))

    def texts(self) -> Iterator[str]:
        """The documents."""
        if self.is_text:
            yield "".join(block for source in self.sources for block in source.blocks())
            return
        for source in self.sources:
            for lines in source.lines():
                yield from lines

    def let_go(self) -> None:
        """The text is not kept any longer; who walks through it again reads it again."""
        for source in self.sources:
            source.kept = None


def read(data: Data, download: bool = True, expected: str | None = None) -> Corpus:
    """A first walk through the data set that the settings name. Raises BadInput.

    What a stranger's record names is read with care: without `download` nothing is fetched, and of files whose sha256
    is not the `expected` one nothing is looked at, or shown.
    """
    where, notes = _locate(data, download), list[str]()
    files = [
        File(path, _named(path, data), data.encoding, data.normalize).stamped() for path in _files(where, data, notes)
    ]
    if expected is not None and _digest(files) != expected:
        raise BadInput(
            f"{_named(where, data)} has changed since the run was trained on it; "
            "to measure it as it is, say data.path=FILE"
        )
    sizes = [file.stamp[0] for file in files if file.stamp]
    digest, walks = hashlib.sha256(), list[_Walk]()
    room = KEPT if sum(sizes) <= KEPT else 0
    for file in files:
        walks.append(_Walk.through(file, data, room, digest.update))
        room = max(0, room - walks[-1].characters) if walks[-1].source.kept is not None else 0
    if not all(walk.source.kept is not None for walk in walks):
        for walk in walks:
            walk.source.kept = None
    lines = sum(walk.found.newlines for walk in walks) + _unended(walks, data.is_text)
    if not any(walk.has_text for walk in walks):
        raise BadInput(f"{_named(where, data)}: no text: 0 non-empty lines in {lines:,} lines")
    notes += _notes(walks, data.normalize)
    hashes = np.concatenate([NO_HASHES, *(h for walk in walks for h in walk.hashes)])
    sources = [walk.source for walk in walks if walk.characters]
    return Corpus(sources, data.is_text, _source(where, data), digest.hexdigest(), sum(sizes), lines, notes, hashes)


# --- which files ----------------------------------------------------------------------------------------------------


def _locate(data: Data, download: bool) -> Path:
    if data.name == "names":
        return EMBEDDED
    if data.path is not None:
        return Path(data.path)
    return _downloaded(data, download)


def _files(where: Path, data: Data, notes: list[str]) -> list[Path]:
    """The file itself, or those of a folder or a pattern, sorted by name. Raises BadInput where there is none."""
    is_folder = False
    try:
        is_folder = stat.S_ISDIR(os.stat(where).st_mode)
        if not is_folder:
            return [where]
        found = [where / name for name in os.listdir(where)]
    except FileNotFoundError:
        found = list(map(Path, glob.glob(str(where))))
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{_named(where, data)} cannot be read: {reason}") from None
    files = sorted(path for path in found if path.is_file() and not (is_folder and path.name.startswith(".")))
    if is_folder and not files:
        raise BadInput(f"{_named(where, data)} is a folder without files; name a file, or a folder of files")
    if found and not files:
        raise BadInput(f"{_named(where, data)} names no file, but folders; to read what is in them, end it in /*")
    if not files:
        raise BadInput(f"{_named(where, data)}: no such file.{_near(where)}")
    if others := len(found) - len(files):
        notes.append(f"{others:,} folders or hidden files beside the {len(files):,} files were not read")
    return files


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


def _digest(files: Iterable[File]) -> str:
    digest = hashlib.sha256()
    for file in files:
        for block in file.raw():
            digest.update(block)
    return digest.hexdigest()


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


# --- the first walk -------------------------------------------------------------------------------------------------


@dataclass
class _Walk:
    """What a walk through one file has found."""

    source: Source
    found: Findings
    characters: int = 0  # newlines too
    ended: bool = True  # the last line has its newline
    has_text: bool = False
    nuls: int = 0
    marks: int = 0  # byte order marks inside the text
    odd_ends: Counter[str] = field(default_factory=Counter)
    hashes: list[Ids] = field(default_factory=list)

    @classmethod
    def through(cls, file: File, data: Data, room: int, digest: Callable[[bytes], None] | None) -> "_Walk":
        """Walks. The text is kept if it has at most `room` characters. Raises BadInput.

        CRLF is taken for a line's end. That it stands at every line is known only at the end; where it does not, the
        CR were characters, and a second walk keeps them.
        """
        walk = cls(Source(file, kept=[]), Findings())
        blocks = walk._blocks(room, digest)
        if data.is_text:
            for _ in blocks:
                pass
            walk.source.characters = walk.characters
        else:
            for lines in _lines(blocks):
                walk._see(lines)
        found = walk.found
        if found.newlines == 0 and found.alone:
            raise BadInput(
                f"{file.name}: the lines end in a lone CR (old Macintosh); convert them to LF: tr '\\r' '\\n'"
            )
        if file.crlf and found.returns and (found.returns < found.newlines or found.alone):
            return cls.through(replace(file, crlf=False), data, room, None)
        return walk

    def _blocks(self, room: int, digest: Callable[[bytes], None] | None) -> Iterator[str]:
        for block in self.source.file.blocks(self.found, digest):
            self.characters += len(block)
            self.ended = block.endswith("\n")
            self.has_text = self.has_text or bool(block.strip("\n"))
            self.nuls += block.count("\0")
            self.marks += block.count("\ufeff")
            if self.characters > room:
                self.source.kept = None
            if self.source.kept is not None:
                self.source.kept.append(block)
            yield block

    def _see(self, lines: list[str]) -> None:
        self.source.documents += len(lines)
        self.source.characters += sum(map(len, lines))
        self.hashes.append(np.fromiter(map(hash, lines), np.int64, len(lines)))
        self.odd_ends.update("blank" if line.isspace() else "trailing" for line in lines if line[-1] in " \t")


def _lines(blocks: Iterable[str]) -> Iterator[list[str]]:
    """The lines of a text that are not empty, many at a time, wherever its blocks are cut."""
    begun: list[str] = []
    for block in blocks:
        lines = block.split("\n")
        if len(lines) > 1:
            lines[0] = "".join([*begun, lines[0]])
            begun = []
        begun.append(lines.pop())
        yield list(filter(None, lines))
    if last := "".join(begun):
        yield [last]


def _unended(walks: list[_Walk], is_text: bool) -> int:
    """How many lines lack their newline: the last of a running text, or of each file, may."""
    filled = [walk for walk in walks if walk.characters]
    return sum(not walk.ended for walk in (filled[-1:] if is_text else filled))


def _notes(walks: list[_Walk], normalize: str) -> list[str]:
    """What is odd in a text and was left so, or was not."""
    notes, found = list[str](), [walk.found for walk in walks]
    if marks := sum(each.mark for each in found):
        of = "the file" if len(walks) == 1 else f"{marks:,} of {len(walks):,} files"
        notes.append(f"dropped the byte order mark at the start of {of}")
    if taken := sum(walk.found.returns for walk in walks if walk.source.file.crlf):
        notes.append(f"{taken:,} lines ended in CRLF; the CR was taken off")
    mixed = [each for each in found if each.alone or 0 < each.returns < each.newlines]
    if mixed:
        returns, newlines, alone = (
            sum(getattr(each, what) for each in mixed) for what in ("returns", "newlines", "alone")
        )
        notes.append(f"{returns:,} of {newlines:,} lines end in CRLF and {alone:,} CR stand elsewhere; all were kept")
    if normalize == "none" and not all(each.composed for each in found):
        notes.append("some characters are written in more than one way (not NFC); data.normalize=nfc makes them one")
    if marks := sum(walk.marks for walk in walks):
        notes.append(f"{marks:,} byte order marks inside the text were kept as characters")
    if nuls := sum(walk.nuls for walk in walks):
        binary = " (is this a binary file, or UTF-16?)" if nuls > NUL_SHARE * sum(w.characters for w in walks) else ""
        notes.append(f"{nuls:,} NUL characters were kept{binary}")
    ends = sum((walk.odd_ends for walk in walks), Counter[str]())
    if ends["trailing"]:
        notes.append(f"{ends['trailing']:,} lines end in a space or tab, which was kept: 'emma ' is not 'emma'")
    if ends["blank"]:
        notes.append(f"{ends['blank']:,} lines hold nothing but white space and were kept")
    return notes
