"""Characters <-> ids. Id 0 is the boundary: it begins and ends a document and is not a character."""

import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nextchar.errors import BadInput
from nextchar.messages import named

BOUNDARY = 0
UNKNOWN = -1
SORTED_AT_ONCE = 1 << 14  # code points
END = "\n"  # stands after each of several documents; a document of a line contains none

Ids = npt.NDArray[np.int64]
Stream = npt.NDArray[np.integer[Any]]  # ids, in as few bytes as they need


class Vocabulary:
    """The distinct characters (Unicode code points) of a text in code point order; character i has id i + 1.

    Raises BadInput for a repeated character.
    """

    def __init__(self, characters: str) -> None:
        self.characters = characters
        if len(set(characters)) != len(characters):
            raise BadInput("the vocabulary contains a character twice")

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Vocabulary":
        """Returns the vocabulary of these texts."""
        seen = Characters()
        for text in texts:
            seen.new_in(text)
        return cls(seen.characters)

    def __reduce__(self) -> tuple[type["Vocabulary"], tuple[str]]:
        return Vocabulary, (self.characters,)  # without its tables

    def __len__(self) -> int:
        """V: the characters and the boundary."""
        return len(self.characters) + 1

    @cached_property
    def _code_of_id(self) -> npt.NDArray[np.uint32]:
        return _code_points("\0" + self.characters)

    @cached_property
    def _encoder(self) -> "Encoder":
        return Encoder(self)

    def encode(self, text: str) -> Ids:
        """Returns the (N,) int64 ids of a text; UNKNOWN (-1) for a character that is not in the vocabulary."""
        ids = self._encoder(text)
        return np.where(ids == self._encoder.unknown, UNKNOWN, ids.astype(np.int64))

    def decode(self, ids: Sequence[int] | Stream, end: str = "") -> str:
        """Returns the text of (N,) ids; the boundary becomes `end`, or nothing."""
        ids = ids if isinstance(ids, np.ndarray) else np.asarray(ids, dtype=np.int64)
        codes = self._code_of_id[ids if end else ids[ids != BOUNDARY]]
        if end:
            codes[ids == BOUNDARY] = ord(end)
        encoded: bytes = codes.tobytes()
        return encoded.decode("utf-32-le", "surrogatepass")

    def known(self, text: str, name: str) -> Ids:
        """Encodes; raises BadInput for unknown characters, naming them and the text."""
        ids = self.encode(text)
        if (ids == UNKNOWN).any():
            missing = set(text) - set(self.characters)
            verb = "is" if len(missing) == 1 else "are"
            raise BadInput(
                f"{name}: {named(missing)} {verb} not in the model's vocabulary of {len(self) - 1:,} characters"
            )
        return ids

    @property
    def symbols(self) -> list[str]:
        """Returns (V,) strings for tables and pictures; the boundary is '.', or '∎' if '.' is in the vocabulary."""
        return ["∎" if "." in self.characters else ".", *self.characters]

    def stream(self, documents: Sequence[str]) -> Stream:
        """Encodes documents of N characters in all: (N + D + 1,) ids, a boundary before, between and after them.

        The first id is only context; each later one is a character, or an end of document, to be predicted. The ids
        are as narrow as V allows. All characters must be in the vocabulary.
        """
        end = next(c for c in map(chr, range(10, 0x110000)) if c not in self.characters)
        encoder = Encoder(self, end)
        ids = encoder(end.join(documents))
        assert not (ids == encoder.unknown).any(), "a character is not in the vocabulary"
        return np.pad(ids, 1, constant_values=BOUNDARY)


class Encoder:
    """Encodes text block by block, in ids as narrow as V allows; the character `end`, if any, becomes the boundary.

    `unknown`, a number that is no id, is given to characters that are not in the vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary, end: str = "") -> None:
        self.dtype = np.min_scalar_type(len(vocabulary))
        self.unknown = int(np.iinfo(self.dtype).max)
        codes = _code_points(vocabulary.characters)
        # (largest code point + 2,) at least 257: the last place is for all code points beyond
        self._table = np.full(max(int(codes.max(initial=0)) + 1, 256) + 1, self.unknown, dtype=self.dtype)
        self._table[codes] = np.arange(1, len(vocabulary))
        if end:
            self._table[ord(end)] = BOUNDARY

    def __call__(self, text: str) -> Stream:
        """Returns the (N,) ids of a text of N characters."""
        try:
            narrow = text.encode("latin-1")
        except UnicodeEncodeError:
            return self._table.take(_code_points(text), mode="clip")
        if self.dtype == np.uint8:
            return np.frombuffer(narrow.translate(self._table[:256].tobytes()), dtype=np.uint8)
        return self._table[np.frombuffer(narrow, dtype=np.uint8)]


class Characters:
    """Collects the distinct characters of a text that is read block by block."""

    def __init__(self) -> None:
        self._latin = b""  # those below U+0100
        self._seen = np.zeros(sys.maxunicode + 1, dtype=bool)

    def new_in(self, text: str) -> dict[str, int]:
        """Returns the characters not seen before, each with its first place in the text."""
        try:
            rest = text.encode("latin-1").translate(None, self._latin)  # mostly nothing is left
            found = {code: text.index(chr(code)) for code in set(rest)}
            self._seen[list(found)] = True
        except UnicodeEncodeError:
            codes, found = _code_points(text), {}
            unseen = np.flatnonzero(~self._seen[codes])
            while len(unseen):  # a few at a time, since sorting all would cost more than the whole survey
                new, first = np.unique(codes[unseen[:SORTED_AT_ONCE]], return_index=True)
                found |= dict(zip(new.tolist(), unseen[first].tolist(), strict=True))
                self._seen[new] = True
                unseen = unseen[~self._seen[codes[unseen]]]
        self._latin += bytes(code for code in found if code < 0x100)
        return {chr(code): place for code, place in found.items()}

    @property
    def characters(self) -> str:
        """Returns all of them, in code point order."""
        codes: bytes = np.flatnonzero(self._seen).astype("<u4").tobytes()
        return codes.decode("utf-32-le", "surrogatepass")


def selected(text: str, mask: npt.NDArray[np.bool_]) -> str:
    """Returns the characters of a text that a mask (N,) selects."""
    codes: bytes = _code_points(text)[mask].tobytes()
    return codes.decode("utf-32-le", "surrogatepass")


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
