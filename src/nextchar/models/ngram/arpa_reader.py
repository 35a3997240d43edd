"""ARPA files read, those of other programs too: strictly, in blocks, with array operations on their bytes.

The rows of an order pass three stages: `tokenise` finds the fields of each line, `parse` makes numbers of them, and the
checks of `_Reader` refuse what is no sound model, with the number of the line. (A loop over the lines takes four times
as long.) arpa_writer.py says how characters are written.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from nextchar.data.textfile import TextFile
from nextchar.data.vocabulary import BOUNDARY, Ids, Vocabulary
from nextchar.errors import BadInput
from nextchar.messages import shown
from nextchar.models.base import Floats
from nextchar.models.ngram.arpa_writer import END, START, UNKNOWN, character
from nextchar.models.ngram.backoff import HIGHEST_ORDER, BackoffTable
from nextchar.models.ngram.keys import Bools, Keys, Packing, find

LONGEST_LINE = 1 << 23  # bytes
LONGEST_TOKEN = 8  # bytes; the longest token of a character is \u10ffff
LONGEST_NUMBER = 32  # bytes


def read(path: Path, digest: Callable[[bytes], None] | None = None) -> tuple[Vocabulary, list[BackoffTable]]:
    """Reads an ARPA file, plain or .gz, of any program: its characters, and the tables of all orders.

    `<unk>` and its n-grams are left out, since they say nothing about any one character. `digest` gets the bytes of the
    file. Raises BadInput, with the path and the line, unless the file is a sound model of characters.
    """
    return _Reader(path, TextFile(path, str(path), "utf-8", "none").content(digest)).read()


class Lines(NamedTuple):
    """N successive lines of a file."""

    content: bytes
    starts: Ids  # (N + 1,): where each line begins, and where the last one ends
    number: int  # of the first line


def _pieces(path: Path, blocks: Iterable[bytes]) -> Iterator[Lines]:
    """Cuts a file at its heads, the lines that begin with a backslash, and the lines between them into blocks."""
    number, rest = 1, b""
    for block in chain(blocks, [b"\n"]):  # the last line may lack its newline
        end = block.rfind(b"\n") + 1
        block, rest = rest + block[:end], block[end:] if end else rest + block
        if len(rest) > LONGEST_LINE:
            raise BadInput(f"{path}: a line of more than {LONGEST_LINE:,} bytes; this is no ARPA file")
        if not end:
            continue
        codes = np.frombuffer(block, dtype=np.uint8)
        starts = np.concatenate([[0], np.flatnonzero(codes == ord("\n")) + 1])
        heads = np.flatnonzero(codes[starts[:-1]] == ord("\\"))
        cuts = np.unique(np.concatenate([[0], heads, heads + 1, [len(starts) - 1]]))
        for first, last in pairwise(cuts.tolist()):
            content = block[starts[first] : starts[last]]
            yield Lines(content, starts[first : last + 1] - starts[first], number + first)
        number += len(starts) - 1


# --- from lines to numbers ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fields:
    """The F fields of N lines, blank lines left out. Field i is content[begins[i] : ends[i]]."""

    content: bytes  # followed by LONGEST_NUMBER zero bytes, so that numbers near the end can be read at full width
    begins: Ids  # (F,)
    ends: Ids  # (F,)
    first: Ids  # (N,): the first field of each line
    count: Ids  # (N,): how many fields it has
    lines: Ids  # (N,): its number

    def text(self, field: int, n: int = 1) -> str:
        """Returns n successive fields as text for a message."""
        return _text(self.content[self.begins[field] : self.ends[field + n - 1]])


class Rows(NamedTuple):
    """N rows of order k. A number that is not finite is nan, a missing weight 0."""

    tokens: npt.NDArray[np.uint64]  # (N, k): the bytes of each token as a number; 0 for more than LONGEST_TOKEN
    log_probs: Floats  # (N,), natural logarithms
    weights: Floats  # (N,), natural logarithms


_IS_SPACE = np.isin(np.arange(256), list(b" \t\r\n"))
_IN_NUMBERS = np.isin(np.arange(256), list(b"\0+-.0123456789eE"))  # shorter numbers are padded with zero bytes
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(LONGEST_TOKEN + 1)], dtype=np.uint64)


def tokenise(lines: Lines) -> Fields:
    """Finds the fields between white space."""
    is_space = _IS_SPACE[np.frombuffer(lines.content, dtype=np.uint8)]
    edges = np.flatnonzero(is_space[1:] != is_space[:-1]) + 1  # where white space ends or begins
    if not is_space[0]:
        edges = np.concatenate([[0], edges])
    begins, ends = edges[0::2], edges[1::2]  # the last newline ends the last field
    count = np.diff(np.searchsorted(begins, lines.starts))
    (kept,) = np.nonzero(count)
    count = count[kept]
    first = np.cumsum(count) - count
    return Fields(lines.content + bytes(LONGEST_NUMBER), begins, ends, first, count, lines.number + kept)


def parse(fields: Fields, k: int) -> Rows:
    """Makes rows of lines of 1 + k fields, or 2 + k with a weight."""
    at = fields.first[:, None] + np.arange(1, k + 1)  # (N, k)
    begins, sizes = fields.begins[at], fields.ends[at] - fields.begins[at]
    # the 8 bytes from each place of the content as one number, of which a mask keeps those of the token
    numbers = np.ndarray(len(fields.content) - 7, dtype="<u8", buffer=fields.content, strides=(1,))
    tokens = numbers[begins] & _MASKS[np.minimum(sizes, LONGEST_TOKEN)]
    has_weight = fields.count == k + 2
    weights = np.zeros(len(at))
    weights[has_weight] = _parse_numbers(fields, fields.first[has_weight] + k + 1)
    return Rows(np.where(sizes > LONGEST_TOKEN, 0, tokens), _parse_numbers(fields, fields.first), weights)


def _parse_numbers(fields: Fields, at: Ids) -> Floats:
    """Returns the natural logarithms of the fields, which are decimal ones; nan if no finite number."""
    begins, sizes = fields.begins[at], fields.ends[at] - fields.begins[at]
    width = min(int(sizes.max(initial=1)), LONGEST_NUMBER)
    places = len(fields.content) - width + 1
    texts = np.ndarray(places, dtype=f"S{width}", buffer=fields.content, strides=(1,))[begins]
    letters = texts.view(np.uint8).reshape(len(texts), width)  # the same memory
    letters[np.arange(width) >= sizes[:, None]] = 0
    is_sound = _IN_NUMBERS[letters].all(1) & (sizes <= LONGEST_NUMBER)
    if not is_sound.all():
        texts[~is_sound] = b"?"
    try:
        values = texts.astype(np.float64)
    except ValueError:  # at least one is no number
        values = np.array([float(text) if _NUMBER.fullmatch(text) else np.nan for text in texts.tolist()])
    values[~np.isfinite(values)] = np.nan
    logs: Floats = values * np.log(10)
    return logs


# --- checks ---------------------------------------------------------------------------------------------------------


class _Reader:
    """Reads a file section by section. The ids of <s> and <unk> are the two beyond the vocabulary."""

    vocabulary: Vocabulary
    packing: Packing
    tokens: npt.NDArray[np.uint64]  # of the unigrams, sorted
    ids: Ids  # of these tokens

    def __init__(self, path: Path, blocks: Iterable[bytes]) -> None:
        self.path, self.pieces = path, _pieces(path, blocks)
        self.head: bytes | None = b""  # the last head that was read; None at the end of the file
        self.head_line = 0
        self.sizes: list[int] = []  # of the orders, as the section \data\ gives them

    def read(self) -> tuple[Vocabulary, list[BackoffTable]]:
        for number, line in self._not_blank():
            if not line.startswith(b"#"):
                self._refuse(f"'{_text(line)}' before \\data\\; this is no ARPA file", number)
        if self.head is None:
            raise BadInput(f"{self.path}: no \\data\\ in it; this is no ARPA file")
        self._expect(b"\\data\\")
        for number, line in self._not_blank():
            self._read_size(number, line)
        self._expect(b"\\1-grams:")
        if not self.sizes:
            self._refuse("no 'ngram 1=...' after \\data\\")
        table, weights = self._read_unigrams()
        tables = [table]
        for k in range(2, len(self.sizes) + 1):
            table, weights = self._read_ngrams(k, weights)
            tables.append(table)
        for number, line in self._not_blank():
            self._refuse(f"'{_text(line)}' after \\end\\", number)
        if self.head is not None:
            self._refuse(f"'{_text(self.head)}' where nothing should stand")
        return self.vocabulary, tables

    def _section(self) -> Iterator[Lines]:
        """Yields the lines up to the next head, in blocks."""
        for piece in self.pieces:
            if piece.content.startswith(b"\\"):
                self.head, self.head_line = piece.content.rstrip(), piece.number
                return
            yield piece
        self.head = None

    def _not_blank(self) -> Iterator[tuple[int, bytes]]:
        """Yields the lines up to the next head, with their numbers."""
        for lines in self._section():
            for number, line in enumerate(lines.content.split(b"\n")[:-1], lines.number):
                if line.strip():
                    yield number, line.strip()

    def _read_size(self, number: int, line: bytes) -> None:
        k, size = len(self.sizes) + 1, re.fullmatch(rb"ngram\s+(\d{1,9})\s*=\s*(\d{1,18})", line)
        if size is None:
            self._refuse(f"'{_text(line)}' where 'ngram {k}=...' should stand", number)
        if int(size[1]) != k:
            self._refuse(f"the count of order {int(size[1])} where that of {k} should stand", number)
        if k > HIGHEST_ORDER:
            self._refuse(f"more orders than the {HIGHEST_ORDER} that are read here", number)
        self.sizes.append(int(size[2]))

    def _rows(self, k: int) -> Iterator[tuple[Fields, Rows]]:
        """Yields the rows up to the next head, in blocks of 0 or more, checked by themselves."""
        size, seen, is_highest = self.sizes[k - 1], 0, k == len(self.sizes)
        shape = f"a number, {'a token' if k == 1 else f'{k} tokens'}{'' if is_highest else ', and maybe a weight'}"
        for lines in chain([Lines(b"\n", np.array([0, 1]), 0)], self._section()):
            fields = tokenise(lines)
            for row in np.flatnonzero((fields.count != k + 1) & (fields.count != k + 2))[:1]:
                said = fields.text(fields.first[row], fields.count[row])
                self._refuse(f"'{said}' is no row of order {k}: {shape}", fields.lines[row])
            if (at := lines.content.find(b"\0")) >= 0:
                row = np.searchsorted(fields.begins[fields.first], at, side="right") - 1
                self._refuse("a NUL byte; this is no text", fields.lines[row])
            rows = parse(fields, k)
            self._refuse_if(np.isnan(rows.log_probs), fields, 0, "'{}' is no finite number, and no log-probability")
            self._refuse_if(rows.log_probs > 0, fields, 0, "a log-probability above 0: the probability is above 1")
            self._refuse_if(np.isnan(rows.weights), fields, k + 1, "'{}' is no finite number, and no weight")
            if is_highest:
                why = f"a weight on a row of order {k}, the highest that \\data\\ gives"
                self._refuse_if(rows.weights != 0, fields, 0, why)
            number = seen + np.arange(len(rows.weights))
            self._refuse_if(number >= size, fields, 0, f"more rows of order {k} than the {size:,} that \\data\\ gives")
            seen += len(number)
            yield fields, rows
        self._expect(b"\\end\\" if is_highest else b"\\%d-grams:" % (k + 1))
        if seen != size:
            self._refuse(f"{seen:,} rows of order {k}, and \\data\\ gives {size:,}")

    def _read_unigrams(self) -> tuple[BackoffTable, tuple[Keys, Floats]]:
        """Reads the vocabulary too. Returns the table and the weights that rows of order 1 give their symbols."""
        names: dict[str, int] = {}  # the token of each, as a number
        parts: list[Rows] = []
        for fields, rows in self._rows(1):
            parts.append(rows)
            self._refuse_if(rows.tokens[:, 0] == 0, fields, 1, NOT_A_CHARACTER)
            for row, token in enumerate(rows.tokens[:, 0].tolist()):
                said = int(token).to_bytes(LONGEST_TOKEN, "little").rstrip(b"\0")
                name = said.decode() if said in (START, END, *UNKNOWN) else character(said)
                if name is None:
                    self._refuse(NOT_A_CHARACTER.format(_text(said)), fields.lines[row])
                if name in names:
                    self._refuse(f"'{_text(name.encode())}' stands among the unigrams twice", fields.lines[row])
                names[name] = token
        self.vocabulary = Vocabulary("".join(sorted(name for name in names if len(name) == 1)))
        v = len(self.vocabulary)
        if v == 1:
            self._refuse("no characters among the unigrams")
        self.packing = Packing(v)
        id_of = {char: i for i, char in enumerate(self.vocabulary.characters, 1)}
        id_of |= {"</s>": BOUNDARY, "<s>": v, "<unk>": v + 1, "<UNK>": v + 1}
        ids = np.array([id_of[name] for name in names])
        tokens = np.array(list(names.values()), dtype=np.uint64)
        by_token = np.argsort(tokens)
        self.tokens, self.ids = tokens[by_token], ids[by_token]

        log_probs, weights = (np.concatenate([rows[i] for rows in parts]) for i in (1, 2))
        predicted = np.argsort(ids)[: np.count_nonzero(ids < v)]
        keys = self.packing.pack(ids[predicted][:, None])
        contexts = np.where(ids == v, BOUNDARY, ids)
        given = np.flatnonzero((weights != 0) & (ids != BOUNDARY) & (ids <= v))
        given = given[np.argsort(contexts[given])]
        table = BackoffTable(self.packing, 1, keys, log_probs[predicted], keys[:0], log_probs[:0])
        return table, (self.packing.pack(contexts[given][:, None]), weights[given])

    def _read_ngrams(self, k: int, weights_below: tuple[Keys, Floats]) -> tuple[BackoffTable, tuple[Keys, Floats]]:
        """Returns the table, to which the rows of the order below gave the weights, and the weights for the next."""
        start, unknown, parts = len(self.vocabulary), len(self.vocabulary) + 1, []
        for fields, rows in self._rows(k):
            place, is_known = find(self.tokens, rows.tokens)
            for row, column in np.argwhere(~is_known)[:1]:
                said = fields.text(fields.first[row] + 1 + column)
                self._refuse(f"'{said}' is not among the unigrams", fields.lines[row])
            ids = self.ids[place]
            misplaced = (ids[:, 1:] == start).any(1) | (ids[:, :-1] == BOUNDARY).any(1)
            self._refuse_if(misplaced, fields, 0, "<s> begins an n-gram, and </s> ends it; neither stands elsewhere")
            ids[ids == start] = BOUNDARY
            kept = (ids != unknown).all(1)
            parts.append((self.packing.pack(ids[kept]), rows.log_probs[kept], rows.weights[kept], fields.lines[kept]))
        keys, log_probs, weights, lines = (np.concatenate(column) for column in zip(*parts, strict=True))
        if not (keys[1:] > keys[:-1]).all():
            order = np.argsort(keys, kind="stable")
            keys, log_probs, weights, lines = keys[order], log_probs[order], weights[order], lines[order]
            for row in np.flatnonzero(keys[1:] == keys[:-1])[:1]:
                self._refuse(f"an n-gram that line {lines[row]:,} has already", lines[row + 1])
        given = (weights != 0) & (self.packing.newest(keys, k) != BOUNDARY)
        return BackoffTable(self.packing, k, keys, log_probs, *weights_below), (keys[given], weights[given])

    # --- refusals ---------------------------------------------------------------------------------------------------

    def _expect(self, head: bytes) -> None:
        """Refuses a file whose next section does not begin with this head."""
        if self.head is None:
            raise BadInput(f"{self.path}: ends without \\end\\; the file is cut off")
        if self.head != head:
            self._refuse(f"'{_text(self.head)}' where {_text(head)} should stand")

    def _refuse_if(self, bad: Bools, fields: Fields, column: int, why: str) -> None:
        """Refuses the first bad row; {} in `why` is its field in a column."""
        for row in np.flatnonzero(bad)[:1]:
            self._refuse(why.format(fields.text(fields.first[row] + column)), fields.lines[row])

    def _refuse(self, why: str, line: int | None = None) -> NoReturn:
        """`line`: its number; None for that of the last head."""
        raise BadInput(f"{self.path}: line {line or self.head_line:,}: {why}")


NOT_A_CHARACTER = "'{}' is more than one character; this is a model of words, not of characters"


def _text(said: bytes) -> str:
    """Returns bytes of the file as text for a message."""
    return shown(" ".join(said.decode("utf-8", "backslashreplace").split()), 40)
