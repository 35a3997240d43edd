"""ARPA files read, those of other programs too: strictly, in blocks of rows, with array operations on their bytes.

How a character stands in such a file is said in arpa.py.
"""

import gzip
import os
import re
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt

from nextchar.data.textfile import GZIP_MAGIC
from nextchar.data.vocabulary import BOUNDARY, Ids, Vocabulary
from nextchar.errors import BadInput
from nextchar.messages import shown
from nextchar.models.base import Floats
from nextchar.models.ngram.arpa_writer import END, START, UNKNOWN, character
from nextchar.models.ngram.backoff import HIGHEST_ORDER, BackoffTable
from nextchar.models.ngram.keys import Keys, Packing

READ_AT_ONCE = 1 << 23  # bytes
LONGEST_TOKEN = 8  # bytes; of a character \u10ffff is the longest
LONGEST_NUMBER = 32


def read(path: Path) -> tuple[Vocabulary, list[BackoffTable]]:
    """An ARPA file, plain or .gz, of any program -> its characters, and tables of all its orders.

    `<unk>` and its n-grams are left out: they say nothing of any one character. Raises BadInput, naming file and line,
    for what is no sound model of characters.
    """
    reader = _Reader(path)
    try:
        with _opened(path) as file:
            for block in _blocks(file, path):
                reader.take(block)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"{path}: the .gz file is damaged or cut off ({error})") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    return reader.finished()


def _opened(path: Path) -> BinaryIO:
    """The file's content, unpacked. Raises BadInput for what is no file: a pipe would hang for ever."""
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise BadInput(f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}; name an ARPA file")
        with open(path, "rb") as file:
            is_packed = file.read(2) == GZIP_MAGIC
    except BadInput:
        raise
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{path} cannot be read: {reason}") from None
    return gzip.open(path) if is_packed else open(path, "rb")  # type: ignore[return-value]


def _blocks(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The file in blocks of whole lines."""
    rest = b""
    while block := file.read(READ_AT_ONCE):
        end = block.rfind(b"\n") + 1
        if not end and len(rest) > READ_AT_ONCE:
            raise BadInput(f"{path}: a line of more than {READ_AT_ONCE:,} bytes; this is no ARPA file")
        if end:
            yield rest + block[:end]
            rest = block[end:]
        else:
            rest += block
    if rest:
        yield rest + b"\n"


@dataclass(frozen=True)
class _Rows:
    """Rows of one order: natural logarithms, the weight nan where there is none, and the lines that they stand on."""

    tokens: npt.NDArray[np.uint64]  # (N, order), their bytes as a number
    log_probs: Floats
    weights: Floats
    lines: Ids


BEFORE, COUNTS, AFTER = -1, 0, HIGHEST_ORDER + 1  # where the reader is; in between, the order of the rows


class _Reader:
    """Takes a file block by block, and knows in which of its parts it is."""

    def __init__(self, path: Path) -> None:
        self.path, self.line, self.at = path, 1, BEFORE
        self.counts: list[int] = []
        self.parts: list[Any] = []  # of the order that is read: unigrams as _Rows, others packed
        self.seen = 0
        self.header = 0
        self.tables: list[BackoffTable] = []
        self.weights: tuple[Keys, Floats]  # of the contexts that the last order has given

    def take(self, block: bytes) -> None:
        """The heads of sections, which begin with a backslash, and what stands between them."""
        content = np.frombuffer(block, dtype=np.uint8)
        starts = np.concatenate([[0], np.flatnonzero(content == ord("\n")) + 1])
        heads = np.flatnonzero(content[starts[:-1]] == ord("\\"))
        first = 0
        for head in heads.tolist():
            self._between(block, starts, first, head)
            self._head(block[starts[head] : starts[head + 1]].rstrip())
            self.line += 1
            first = head + 1
        self._between(block, starts, first, len(starts) - 1)

    def finished(self) -> tuple[Vocabulary, list[BackoffTable]]:
        if self.at == BEFORE:
            raise BadInput(f"{self.path}: no \\data\\ in it; this is no ARPA file")
        if self.at != AFTER:
            raise BadInput(f"{self.path}: ends without \\end\\; the file is cut off")
        return self.vocabulary, self.tables

    def _refuse(self, why: str, line: int | None = None) -> NoReturn:
        raise BadInput(f"{self.path}: line {line or self.line:,}: {why}")

    def _between(self, block: bytes, starts: Ids, first: int, last: int) -> None:
        """The lines from `first` up to `last` of a block, none of them a head."""
        if first == last:
            return
        content = block[starts[first] : starts[last]]
        if 0 < self.at < AFTER:
            self._rows(content, starts[first : last + 1] - starts[first])
            self.line += last - first
            return
        for line in content.split(b"\n")[:-1]:
            if said := line.strip():
                self._said(said)
            self.line += 1

    def _said(self, line: bytes) -> None:
        if self.at == AFTER:
            self._refuse(f"'{_text(line)}' after \\end\\")
        if self.at == BEFORE:
            if not line.startswith(b"#"):
                self._refuse(f"'{_text(line)}' before \\data\\; this is no ARPA file")
            return
        count = re.fullmatch(rb"ngram\s+(\d{1,9})\s*=\s*(\d{1,18})", line)
        if count is None:
            self._refuse(f"'{_text(line)}' where 'ngram {len(self.counts) + 1}=...' should stand")
        if int(count[1]) != len(self.counts) + 1:
            self._refuse(f"the count of order {int(count[1])} where that of {len(self.counts) + 1} should stand")
        if len(self.counts) == HIGHEST_ORDER:
            self._refuse(f"more orders than the {HIGHEST_ORDER} that are read here")
        self.counts.append(int(count[2]))

    def _head(self, head: bytes) -> None:
        wanted = b"\\data\\"
        if self.at != BEFORE:
            is_last = self.at == len(self.counts) and self.at > 0
            wanted = b"\\end\\" if is_last else b"\\%d-grams:" % (self.at + 1)
        if self.at == AFTER or head != wanted:
            instead = "nothing" if self.at == AFTER else _text(wanted)
            self._refuse(f"'{_text(head)}' where {instead} should stand")
        if self.at == COUNTS and not self.counts:
            self._refuse("no 'ngram 1=...' after \\data\\")
        if self.at > 0:
            self._close()
        self.at = AFTER if head == b"\\end\\" else self.at + 1
        self.parts, self.seen, self.header = [], 0, self.line

    # --- rows -------------------------------------------------------------------------------------------------------

    def _rows(self, content: bytes, starts: Ids) -> None:
        """Lines of n-grams. `starts`: where each begins, and the end of the last."""
        k, is_highest = self.at, self.at == len(self.counts)
        padded = content + bytes(LONGEST_NUMBER)
        codes = np.frombuffer(padded, dtype=np.uint8)
        is_space = _IS_SPACE[codes[: len(content)]]
        edges = np.flatnonzero(is_space[1:] != is_space[:-1]) + 1
        if not is_space[0]:
            edges = np.concatenate([[0], edges])
        begins, ends = edges[0::2], edges[1::2]  # the last line's newline ends the last token
        fields = np.diff(np.searchsorted(begins, starts))
        numbers = self.line + np.arange(len(fields))
        has_weight = fields == k + 2
        if (odd := ~has_weight & (fields != k + 1) & (fields > 0)).any():
            row = int(np.flatnonzero(odd)[0])
            self._refuse(
                f"'{_text(content[starts[row] : starts[row + 1]])}' is no row of order {k}: a number, {_tokens(k)}"
                + ("" if is_highest else ", and maybe a weight"),
                int(numbers[row]),
            )
        if (nul := np.flatnonzero(codes[: len(content)] == 0)).size:
            self._refuse("a NUL byte; this is no text", int(numbers[np.searchsorted(starts, nul[0], "right") - 1]))
        kept = fields > 0
        has_weight, numbers, fields = has_weight[kept], numbers[kept], fields[kept]
        first = np.cumsum(fields) - fields
        log_probs = self._parsed(padded, begins[first], ends[first], numbers, "log-probability")
        if (above := np.flatnonzero(log_probs > 0)).size:
            self._refuse("a log-probability above 0: the probability is above 1", int(numbers[above[0]]))
        weights = np.full(len(first), np.nan)
        last = first[has_weight] + k + 1
        weights[has_weight] = self._parsed(padded, begins[last], ends[last], numbers[has_weight], "weight")
        if is_highest and (given := np.flatnonzero(np.nan_to_num(weights) != 0)).size:
            self._refuse(f"a weight on a row of order {k}, the highest that \\data\\ gives", int(numbers[given[0]]))
        at = first[:, None] + np.arange(1, k + 1)
        tokens, sizes = _gathered(padded, begins[at], ends[at])
        self.seen += len(first)
        if (excess := self.seen - self.counts[k - 1]) > 0:
            row = max(0, len(numbers) - excess)
            self._refuse(
                f"more rows of order {k} than the {self.counts[k - 1]:,} that \\data\\ gives", int(numbers[row])
            )
        if k == 1 and (long := np.flatnonzero(sizes[:, 0] > LONGEST_TOKEN)).size:
            place = first[long[0]] + 1
            self._refuse_word(content[begins[place] : ends[place]], int(numbers[long[0]]))
        rows = _Rows(np.where(sizes > LONGEST_TOKEN, 0, tokens), log_probs, weights, numbers)
        self.parts.append(rows if k == 1 else self._packed(rows, content, begins[at], ends[at]))

    def _parsed(self, content: bytes, begins: Ids, ends: Ids, lines: Ids, what: str) -> Floats:
        """The numbers that stand there, log10, as natural logarithms."""
        sizes = ends - begins
        widest = min(int(sizes.max(initial=1)), LONGEST_NUMBER)
        texts = np.ndarray(len(content) - widest + 1, dtype=f"S{widest}", buffer=content, strides=(1,))[begins]
        letters = texts.view(np.uint8).reshape(len(texts), widest)
        letters[np.arange(widest) >= sizes[:, None]] = 0
        sound = _IN_NUMBERS[letters].all(1) & (sizes <= LONGEST_NUMBER)
        if sound.all():
            try:
                values = texts.astype(np.float64)
                sound = np.isfinite(values)
            except ValueError:
                sound = np.array([_is_number(text) for text in texts.tolist()])
        if not sound.all():
            row = int(np.flatnonzero(~sound)[0])
            said = _text(content[begins[row] : ends[row]])
            self._refuse(f"'{said}' is no finite number, and no {what}", int(lines[row]))
        logs: Floats = values * np.log(10)
        return logs

    def _packed(self, rows: _Rows, content: bytes, begins: Ids, ends: Ids) -> tuple[Keys, Floats, Floats, Ids]:
        """Rows above the unigrams: keys of ids, log-probabilities, weights and lines; those of <unk> left out."""
        place = np.searchsorted(self.known, rows.tokens)
        place = np.minimum(place, len(self.known) - 1)
        is_known = self.known[place] == rows.tokens
        if not is_known.all():
            row, column = (int(i) for i in np.argwhere(~is_known)[0])
            said = _text(content[begins[row, column] : ends[row, column]])
            self._refuse(f"'{said}' is not among the unigrams", int(rows.lines[row]))
        ids = self.id_of_known[place]
        misplaced = (ids[:, 1:] == self.start).any(1) | (ids[:, :-1] == BOUNDARY).any(1)
        if misplaced.any():
            row = int(np.flatnonzero(misplaced)[0])
            self._refuse("<s> begins an n-gram, and </s> ends it; neither stands elsewhere", int(rows.lines[row]))
        ids[ids == self.start] = BOUNDARY
        kept = (ids != self.unknown).all(1)
        return self.packing.pack(ids[kept]), rows.log_probs[kept], rows.weights[kept], rows.lines[kept]

    # --- the end of an order ----------------------------------------------------------------------------------------

    def _close(self) -> None:
        k = self.at
        if self.seen != self.counts[k - 1]:
            self._refuse(f"{self.seen:,} rows of order {k}, and \\data\\ gives {self.counts[k - 1]:,}")
        if k == 1:
            self._name_unigrams()
            return
        kinds = [self.packing.dtype(k), np.dtype(float), np.dtype(float), np.dtype(np.int64)]
        keys, log_probs, weights, lines = (
            np.concatenate([np.zeros(0, dtype=kind), *(part[i] for part in self.parts)]) for i, kind in enumerate(kinds)
        )
        if not (keys[1:] > keys[:-1]).all():
            order = np.argsort(keys, kind="stable")
            keys, log_probs, weights, lines = keys[order], log_probs[order], weights[order], lines[order]
            if (same := np.flatnonzero(keys[1:] == keys[:-1])).size:
                self._refuse(f"an n-gram that line {lines[same[0]]:,} has already", int(lines[same[0] + 1]))
        self.tables.append(BackoffTable(self.packing, k, keys, log_probs, *self.weights))
        given = (np.nan_to_num(weights) != 0) & (self.packing.newest(keys, k) != BOUNDARY)
        self.weights = keys[given], weights[given]

    def _name_unigrams(self) -> None:
        """The vocabulary, and which token has which id."""
        tokens, log_probs, weights, lines = (
            np.concatenate([getattr(rows, name) for rows in self.parts] or [np.zeros(0)])
            for name in ("tokens", "log_probs", "weights", "lines")
        )
        of_token: dict[int, str] = {}
        for number, line in zip(tokens.ravel().tolist(), lines.tolist(), strict=True):
            said = int(number).to_bytes(8, "little").rstrip(b"\0")
            name = said.decode() if said in (START, END, *UNKNOWN) else character(said)
            if name is None:
                self._refuse_word(said, line)
            of_token[number] = name
        names = list(of_token.values())
        if len(set(names)) < len(tokens):
            seen: set[str] = set()
            for number, line in zip(tokens.ravel().tolist(), lines.tolist(), strict=True):
                if of_token[number] in seen:
                    self._refuse(f"'{_text(of_token[number].encode())}' stands among the unigrams twice", line)
                seen.add(of_token[number])
        self.vocabulary = Vocabulary("".join(sorted(name for name in names if len(name) == 1)))
        if len(self.vocabulary) == 1:
            self._refuse("no characters among the unigrams")
        self.packing = Packing(len(self.vocabulary))
        self.start, self.unknown = len(self.vocabulary), len(self.vocabulary) + 1
        id_of = {char: i for i, char in enumerate(self.vocabulary.characters, 1)}
        id_of |= {"<s>": self.start, "</s>": BOUNDARY, "<unk>": self.unknown, "<UNK>": self.unknown}
        ids = np.array([id_of[name] for name in names])
        by_token = np.argsort(tokens.ravel())
        self.known, self.id_of_known = tokens.ravel()[by_token], ids[by_token]
        rows = np.flatnonzero(ids < self.start)
        rows = rows[np.argsort(ids[rows])]
        keys = self.packing.pack(ids[rows][:, None])
        self.tables.append(BackoffTable(self.packing, 1, keys, log_probs[rows], keys[:0], log_probs[:0]))
        contexts = np.flatnonzero((np.nan_to_num(weights) != 0) & (ids != BOUNDARY) & (ids != self.unknown))
        of_contexts = np.where(ids == self.start, BOUNDARY, ids)
        contexts = contexts[np.argsort(of_contexts[contexts])]
        self.weights = self.packing.pack(of_contexts[contexts][:, None]), weights[contexts]

    def _refuse_word(self, said: bytes, line: int) -> NoReturn:
        self._refuse(f"'{_text(said)}' is more than one character; this is a model of words, not of characters", line)


_IS_SPACE = np.zeros(256, dtype=bool)
_IS_SPACE[list(b" \t\r\n")] = True
_IN_NUMBERS = np.zeros(256, dtype=bool)
_IN_NUMBERS[list(b"\0+-.0123456789eE")] = True
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], dtype=np.uint64)


def _gathered(content: bytes, begins: Ids, ends: Ids) -> tuple[npt.NDArray[np.uint64], Ids]:
    """The first 8 bytes of each token as a number, and how many bytes it has."""
    numbers = np.ndarray(len(content) - 7, dtype="<u8", buffer=content, strides=(1,))
    sizes = ends - begins
    return numbers[begins] & _MASKS[np.minimum(sizes, 8)], sizes


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(said: bytes) -> str:
    return shown(" ".join(said.decode("utf-8", "backslashreplace").split()), 40)


def _tokens(k: int) -> str:
    return "a token" if k == 1 else f"{k} tokens"
