"""Surveys a data set: finds its files, reads them once, and keeps what splits, vocabulary and notes depend on."""

import glob
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, compress
from pathlib import Path

import numpy as np

from nextchar.config.data_settings import Data
from nextchar.data.splits import NAMES, Numbers, SplitIndices, by_hash
from nextchar.data.textfile import Findings, TextFile, whole_lines
from nextchar.data.vocabulary import Characters, Ids, Vocabulary
from nextchar.errors import BadInput
from nextchar.messages import nearest, shown

EMBEDDED = Path(__file__).parent / "assets" / "ssa-names-2018.txt"
LONGEST_PATH = 4096
NUL_SHARE = 0.05  # of a text's characters; text in UTF-16 has 0.4 or more
HELD_AT_MOST = 1 << 26  # bytes on disk, and characters: a corpus of no more stays in memory until it is encoded


@dataclass
class Corpus:
    """The documents of one or several files (a running text is one document), and what a survey found in them.

    `hashes` (documents,): 64 bits of each line, by which equal lines are known. They differ from process to process;
    that two different lines of a thousand million share theirs has a probability of 0.03. `split_indices`
    (documents,): the split of each line by its CRC-32, if data.split=hash. `first`: for each character the number of
    the first document that contains it, or its first place in a running text; if data.split=hash only from train.
    """

    files: list[TextFile]
    is_text: bool
    source: str
    sha256: str  # of the files on disk, one after the other
    bytes: int  # likewise
    lines: int
    notes: list[str]
    hashes: Ids
    split_indices: SplitIndices
    first: dict[str, int]

    @property
    def documents(self) -> int:
        return 1 if self.is_text else sum(file.documents for file in self.files)

    @property
    def characters(self) -> int:
        return sum(file.characters for file in self.files)

    @property
    def skipped(self) -> int:
        """Empty lines."""
        return 0 if self.is_text else self.lines - self.documents

    @property
    def duplicates(self) -> int:
        ordered = np.sort(self.hashes)
        return int(np.count_nonzero(ordered[1:] == ordered[:-1]))

    @property
    def is_held(self) -> bool:
        return all(file.held is not None for file in self.files)

    def texts(self) -> Iterator[str]:
        """Yields the documents, of lines."""
        for file in self.files:
            for lines in file.lines():
                yield from lines

    def vocabulary(self, train: Numbers) -> Vocabulary:
        """Returns the vocabulary of train, the documents (or characters) with these ascending numbers.

        It consists of the characters that occur first up to the last number: a document in between that is not in
        train equals an earlier one (data.dedup), or has added nothing to `first` (data.split=hash).
        """
        last = train[-1]
        return Vocabulary("".join(sorted(character for character, place in self.first.items() if place <= last)))

    def release(self) -> None:
        """Frees the text if it is held; from now on it is read from disk."""
        for file in self.files:
            file.held = None


def survey(data: Data, download: bool = True, expected: str | None = None) -> Corpus:
    """Reads the data set that the settings name, once. Raises BadInput.

    `download`: whether a data set may be fetched. `expected`: the sha256 of the files; of others nothing is shown. (A
    run's record may come from somebody else, and name any file of this machine.)
    """
    own = Path(data.path) if data.path is not None else None
    where, notes = own or (EMBEDDED if data.name == "names" else _downloaded(data, download)), list[str]()
    paths = _files(where, data, notes)
    files = [TextFile(path, _named(path, data), data.encoding, data.normalize) for path in paths]
    changed = BadInput(
        f"{_named(where, data)} has changed since the run was trained on it; to measure it as it is, say data.path=FILE"
    )
    size = sum(file.signature[0] for file in files)
    digest, surveys, room = hashlib.sha256(), list[_Survey](), HELD_AT_MOST if size <= HELD_AT_MOST else 0
    try:
        for file in files:
            surveys.append(_survey_file(file, data, room, digest.update))
            room = max(0, room - surveys[-1].characters)
    except BadInput:
        if expected not in (None, _sha256(files)):
            raise changed from None
        raise
    if expected not in (None, digest.hexdigest()):
        raise changed
    filled = [each for each in surveys if each.characters]
    may_lack = filled[-1:] if data.is_text else filled  # the newline of their last line
    lines = sum(each.newlines for each in surveys) + sum(not each.is_ended for each in may_lack)
    if not any(each.file.documents or each.first.keys() - {"\n"} for each in surveys):
        raise BadInput(f"{_named(where, data)}: no text: 0 non-empty lines in {lines:,} lines")
    first, start = dict[str, int](), 0
    for each in surveys:
        for character, place in each.first.items():
            first.setdefault(character, start + place)
        start += each.file.characters if data.is_text else each.file.documents
    corpus = Corpus(
        files=[each.file for each in filled],
        is_text=data.is_text,
        source=str(own or where.name),  # a path of this machine is not reported
        sha256=digest.hexdigest(),
        bytes=size,
        lines=lines,
        notes=notes + _notes(surveys, data.normalize),
        hashes=np.concatenate([np.empty(0, np.int64), *chain(*(each.hashes for each in surveys))]),
        split_indices=np.concatenate([np.empty(0, np.uint8), *chain(*(each.split_indices for each in surveys))]),
        first=first,
    )
    if not corpus.is_held:
        corpus.release()
    return corpus


# --- finding the files ----------------------------------------------------------------------------------------------


def _files(where: Path, data: Data, notes: list[str]) -> list[Path]:
    """Returns the file itself, or those of a folder or a pattern, sorted by name. Raises BadInput if there is none."""
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
        raise BadInput(f"{_named(where, data)} names only folders; to read the files in them, end it in /*")
    if not files:
        raise BadInput(f"{_named(where, data)}: no such file.{_near(where)}")
    if others := len(found) - len(files):
        notes.append(f"{others:,} folders or hidden files beside the {len(files):,} files were not read")
    return files


def _downloaded(data: Data, download: bool) -> Path:
    """Returns the file in the user's cache folder; downloads it on first use and checks its sha256."""
    import pooch

    if not data.url or not data.sha256:
        raise BadInput(f"data={data.name} needs data.url and data.sha256")
    folder, name = Path(pooch.os_cache("nextchar")), f"{data.name}-{data.sha256[:12]}.txt"
    kind = "text" if data.is_text else "lines"
    if not download:  # pooch would fetch a file whose digest differs
        if not (folder / name).exists() or pooch.file_hash(str(folder / name)) != data.sha256:
            raise BadInput(
                f"the run's text is not in the cache; say data={data.name} to download it, or data.path=FILE"
            )
        return folder / name
    try:
        pooch.get_logger().setLevel("ERROR")
        return Path(pooch.retrieve(data.url, f"sha256:{data.sha256}", fname=name, path=folder))
    except Exception as error:  # requests and urllib3 have dozens of ways to say that there is no network
        reason = "the file there has another sha256" if "hash" in str(error) else type(error).__name__
        raise BadInput(
            f"data={data.name}: {shown(data.url)} could not be downloaded ({reason}); "
            f"with a copy of the file at hand: data={kind} data.path=FILE"
        ) from None


def _sha256(files: Iterable[TextFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        for block in file.raw():
            digest.update(block)
    return digest.hexdigest()


def _named(path: Path, data: Data) -> str:
    return f"data.path={shown(path, LONGEST_PATH)}" if data.path is not None else f"data={data.name}"


def _near(path: Path) -> str:
    """Suggests a file beside the missing one with a similar name, or says that the folder is missing."""
    if not path.parent.is_dir():
        return f" There is no folder {shown(path.parent, LONGEST_PATH)}"
    try:
        return nearest(path.name, [entry.name for entry in os.scandir(path.parent)])
    except OSError:
        return ""


# --- reading a file -------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Survey(Findings):
    """Facts about one file; `hashes`, `split_indices` and `first` as in Corpus, numbered within the file."""

    file: TextFile
    characters: int = 0  # newlines too
    is_ended: bool = True  # the last line has its newline
    nuls: int = 0
    marks: int = 0  # byte order marks inside the text
    trailing: int = 0  # lines that end in a space or tab
    blank: int = 0  # lines of nothing but white space
    hashes: list[Ids] = field(default_factory=list)
    split_indices: list[SplitIndices] = field(default_factory=list)
    first: dict[str, int] = field(default_factory=dict)


def _survey_file(file: TextFile, data: Data, room: int, digest: Callable[[bytes], None] | None) -> _Survey:
    """Reads a file; its text is held if it has at most `room` characters. Raises BadInput.

    CRLF is taken for the end of a line. If only some line ends are CRLF, each CR is a character instead; only a whole
    file shows that, so it is read again.
    """
    file, seen, held = replace(file), Characters(), list[str]()
    found = _Survey(file=file)
    blocks = file.blocks(found, digest)
    for block in blocks if data.is_text else whole_lines(blocks):
        if data.is_text:
            found.first |= {character: found.characters + at for character, at in seen.new_in(block).items()}
            file.characters += len(block)
        else:
            _survey_lines(block, found, seen, data.split == "hash")
        found.characters += len(block)
        found.is_ended = block.endswith("\n")
        found.nuls += block.count("\0")
        found.marks += block.count("\ufeff")
        if found.characters <= room:
            held.append(block)
        else:
            held.clear()
    if found.newlines == 0 and found.lone_cr:
        raise BadInput(f"{file.name}: the lines end in a lone CR (old Macintosh); convert them to LF: tr '\\r' '\\n'")
    if file.crlf and found.is_mixed:
        return _survey_file(replace(file, crlf=False, characters=0, documents=0), data, room, None)
    if found.characters <= room:
        file.held = held
    return found


def _survey_lines(block: str, found: _Survey, seen: Characters, is_hashed: bool) -> None:
    lines = list(filter(None, block.split("\n")))
    in_train: Sequence[str] = lines  # perhaps; known at this point only for data.split=hash
    if is_hashed:
        indices = by_hash(lines)
        found.split_indices.append(indices)
        in_train = list(compress(lines, (indices == NAMES.index("train")).tolist()))
    if new := seen.new_in("".join(in_train)):
        ends = np.cumsum([len(line) for line in in_train])
        documents = found.file.documents + np.searchsorted(ends, list(new.values()), side="right")
        found.first |= dict(zip(new, documents.tolist(), strict=True))
    found.hashes.append(np.fromiter(map(hash, lines), np.int64, len(lines)))
    found.file.documents += len(lines)
    found.file.characters += len(block) - block.count("\n")
    if " \n" in block or "\t\n" in block or block[-1] in " \t":
        odd = [line for line in lines if line[-1] in " \t"]
        blank = sum(map(str.isspace, odd))
        found.blank += blank
        found.trailing += len(odd) - blank


def _notes(surveys: list[_Survey], normalize: str) -> list[str]:
    """Returns a note for each unusual feature of the text, saying whether it was changed."""
    notes = list[str]()
    if marks := sum(each.has_mark for each in surveys):
        of = "the file" if len(surveys) == 1 else f"{marks:,} of {len(surveys):,} files"
        notes.append(f"removed the byte order mark at the start of {of}")
    if crlf := sum(each.crlf for each in surveys if each.file.crlf):
        notes.append(f"{crlf:,} lines ended in CRLF; the CR was removed")
    if mixed := [each for each in surveys if each.lone_cr or 0 < each.crlf < each.newlines]:
        crlf, newlines, alone = (sum(getattr(each, name) for each in mixed) for name in ("crlf", "newlines", "lone_cr"))
        notes.append(f"{crlf:,} of {newlines:,} lines end in CRLF and {alone:,} CR stand elsewhere; all were kept")
    if normalize == "none" and not all(each.is_nfc for each in surveys):
        notes.append("some characters are written in more than one way (not NFC); data.normalize=nfc makes them one")
    if marks := sum(each.marks for each in surveys):
        notes.append(f"{marks:,} byte order marks inside the text were kept as characters")
    if nuls := sum(each.nuls for each in surveys):
        binary = nuls > NUL_SHARE * sum(each.characters for each in surveys)
        notes.append(f"{nuls:,} NUL characters were kept{' (is this a binary file, or UTF-16?)' * binary}")
    if trailing := sum(each.trailing for each in surveys):
        notes.append(f"{trailing:,} lines end in a space or tab, which was kept: 'emma ' is not 'emma'")
    if blank := sum(each.blank for each in surveys):
        notes.append(f"{blank:,} lines contain only white space and were kept")
    return notes
