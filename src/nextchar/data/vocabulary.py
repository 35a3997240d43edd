"""Characters <-> ids. Id 0 is the boundary, which begins and ends a document and is not a character."""

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


ENCODED_AT_ONCE = 1 << 20  # characters; bounds the memory that encoding takes beside text and ids


Ids = npt.NDArray[np.int64]


Stream = npt.NDArray[np.integer[Any]]  # ids, in as few bytes as they need


class Vocabulary:
    """The distinct characters (Unicode code points) of a text in code point order; character i has id i + 1.

    Raises BadInput for a character that stands twice.
    """

    def __init__(self, characters: str) -> None:
        self.characters = characters
        if len(set(characters)) != len(characters):
            raise BadInput("the vocabulary holds a character twice")

    @classmethod
    def of(cls, texts: Iterable[str], end: str = "") -> "Vocabulary":
        """The vocabulary of texts in which the character `end`, if there is one, only ends documents."""
        narrow, wide = b"", np.zeros(sys.maxunicode + 1, dtype=bool)
        for text in texts:
            try:  # what was seen before is deleted, which mostly leaves nothing
                narrow += bytes(set(text.encode("latin-1").translate(None, narrow)))
            except UnicodeEncodeError:
                wide[_code_points(text)] = True
        wide[list(narrow)] = True
        wide[list(map(ord, end))] = False
        codes: bytes = np.flatnonzero(wide).astype("<u4").tobytes()
        return cls(codes.decode("utf-32-le", "surrogatepass"))

    def __reduce__(self) -> tuple[type["Vocabulary"], tuple[str]]:
        return Vocabulary, (self.characters,)  # its tables are made where it arrives

    @cached_property
    def _known(self) -> set[str]:
        return set(self.characters)

    def __len__(self) -> int:
        """V: the characters and the boundary."""
        return len(self.characters) + 1

    @cached_property
    def _codes(self) -> npt.NDArray[np.uint32]:
        return _code_points(self.characters)

    @cached_property
    def _code_of_id(self) -> npt.NDArray[np.uint32]:
        return np.concatenate([np.zeros(1, dtype="<u4"), self._codes])

    @cached_property
    def _id_of_code(self) -> Ids:
        """(largest code point + 2,) ids; the last place stands for all code points beyond."""
        table = np.full(int(self._codes.max(initial=0)) + 2, UNKNOWN, dtype=np.int64)
        table[self._codes] = np.arange(1, len(self))
        return table

    def encode(self, text: str) -> Ids:
        """Text of N characters -> (N,) int64 ids, UNKNOWN (-1) where a character is not in the vocabulary."""
        table = self._id_of_code
        return table[np.minimum(_code_points(text), len(table) - 1)]

    def decode(self, ids: Sequence[int] | Stream, end: str = "") -> str:
        """(N,) ids -> text; the boundary decodes to `end`, or to nothing."""
        ids = ids if isinstance(ids, np.ndarray) else np.asarray(ids, dtype=np.int64)
        codes = self._code_of_id[ids if end else ids[ids != BOUNDARY]]
        if end:
            codes[ids == BOUNDARY] = ord(end)
        encoded: bytes = codes.tobytes()
        return encoded.decode("utf-32-le", "surrogatepass")

    def known(self, text: str, what: str) -> Ids:
        """Like `encode`, but raises BadInput, naming `what` and the characters, where the vocabulary lacks one."""
        ids = self.encode(text)
        if (ids == UNKNOWN).any():
            missing = set(text) - set(self.characters)
            verb = "is" if len(missing) == 1 else "are"
            raise BadInput(
                f"{what}: {named(missing)} {verb} not in the model's vocabulary of {len(self) - 1:,} characters"
            )
        return ids

    @property
    def symbols(self) -> list[str]:
        """(V,) strings for tables and pictures: the boundary is '.', or '∎' where '.' is a character of the text."""
        return ["∎" if "." in self.characters else ".", *self.characters]

    def stream(self, documents: Sequence[str]) -> Stream:
        """Documents of N characters in all -> (N + D + 1,) ids: each between two boundaries, neighbours sharing one.

        The first id is context only; each later one is a character, or an end of document, to be predicted. The ids
        are as narrow as V allows. All characters must be in the vocabulary.
        """
        end = next(c for c in map(chr, range(10, 0x110000)) if c not in self._known)
        encoder, joined = Encoder(self, end), end.join(documents)
        stream = np.zeros(len(joined) + 2, dtype=encoder.dtype)
        for start in range(0, len(joined), ENCODED_AT_ONCE):
            ids = encoder(joined[start : start + ENCODED_AT_ONCE])
            stream[start + 1 : start + 1 + len(ids)] = ids
        assert not (stream == encoder.stranger).any(), "a character is not in the vocabulary"
        return stream


class Encoder:
    """Blocks of text -> ids as narrow as V allows; the character `end`, if there is one, becomes the boundary.

    `stranger`, a number that is no id, stands for what the vocabulary lacks.
    """

    def __init__(self, vocabulary: Vocabulary, end: str = "") -> None:
        self.dtype = np.min_scalar_type(len(vocabulary))
        self.stranger = int(np.iinfo(self.dtype).max)
        known = vocabulary._id_of_code[:-1]
        # (largest code point + 2,) at least 257: the last place stands for all code points beyond
        self._table = np.full(max(len(known), 256) + 1, self.stranger, dtype=self.dtype)
        self._table[: len(known)] = np.where(known == UNKNOWN, self.stranger, known)
        if end:
            self._table[ord(end)] = BOUNDARY

    def __call__(self, text: str) -> Stream:
        """Text of N characters -> (N,) ids."""
        try:
            narrow = text.encode("latin-1")
        except UnicodeEncodeError:
            return self._table.take(_code_points(text), mode="clip")
        if self.dtype == np.uint8:
            return np.frombuffer(narrow.translate(self._table[:256].tobytes()), dtype=np.uint8)
        return self._table[np.frombuffer(narrow, dtype=np.uint8)]


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
