"""Which part of a corpus is train, val or test: the known recipes, to the letter."""

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from nextchar.config.data_settings import Data
from nextchar.data.corpus import NO_HASHES, Corpus, Source
from nextchar.data.vocabulary import Ids
from nextchar.errors import BadInput
from nextchar.rng import randperm

NAMES = ("train", "val", "test")
END = "\n"  # after each document of a share of lines; no line holds one
DROPPED = len(NAMES)
AT_ONCE = 1 << 14  # documents


@dataclass(frozen=True)
class Passage:
    """Characters `start` to `end` of one file of a running text. `is_last`: it ends the text."""

    source: Source
    start: int
    end: int
    is_last: bool
    documents: ClassVar[int] = 1

    def blocks(self) -> Iterator[str]:
        """Its text, cut anywhere."""
        at = 0
        for block in self.source.blocks():
            if at >= self.end:
                break
            if at + len(block) > self.start:
                yield block[max(0, self.start - at) : self.end - at]
            at += len(block)


@dataclass(frozen=True)
class Lines:
    """The documents of one file that fall to a part: those that `kinds`, (documents,) uint8, says are of its `kind`."""

    source: Source
    kinds: npt.NDArray[np.uint8]
    kind: int

    @property
    def documents(self) -> int:
        return int(np.count_nonzero(self.kinds == self.kind))

    def blocks(self) -> Iterator[str]:
        """The documents, each with END after it, many at a time."""
        at = 0
        for lines in self.source.lines():
            chosen = list(compress(lines, (self.kinds[at : at + len(lines)] == self.kind).tolist()))
            at += len(lines)
            if chosen:
                yield END.join(chosen) + END


@dataclass(frozen=True)
class Shuffled:
    """Documents in an order of their own, which are held for that."""

    texts: list[str]

    @property
    def documents(self) -> int:
        return len(self.texts)

    def blocks(self) -> Iterator[str]:
        """The documents, each with END after it, many at a time."""
        for start in range(0, len(self.texts), AT_ONCE):
            yield END.join(self.texts[start : start + AT_ONCE]) + END


Share = Passage | Lines | Shuffled  # of a part: what of one file falls to it


@dataclass(frozen=True)
class Dealt:
    """What falls to one part: shares of one file each, in order. `hashes`: of its documents, see Corpus."""

    shares: list[Share]
    hashes: Ids

    @property
    def documents(self) -> int:
        return sum(share.documents for share in self.shares)


def deal(corpus: Corpus, data: Data) -> dict[str, Dealt]:
    """What falls to each part; `val` may be absent. Raises BadInput where a part would be empty."""
    if corpus.is_text:
        n = corpus.characters
        cuts = dict.fromkeys(NAMES, (0, n)) if data.split == "all" else _eighty_ten_ten(n)
        _refuse_empty({name: end - start for name, (start, end) in cuts.items()}, n, data)
        each = {cut: _passages(corpus, *cut) for cut in cuts.values()}
        return {name: each[cut] for name, cut in cuts.items()}
    kept = _first_ones(corpus) if data.dedup == "before_split" else np.arange(corpus.documents)
    if data.split == "all":
        return dict.fromkeys(NAMES, _in_place(corpus, {"all": kept})["all"])
    parts = _PARTS[data.split](corpus, kept, data)
    _refuse_empty({name: len(numbers) for name, numbers in parts.items()}, len(kept), data)
    return (_shuffled if data.split in SHUFFLING else _in_place)(corpus, parts)


def _refuse_empty(sizes: dict[str, int], total: int, data: Data) -> None:
    if not all(sizes.values()):
        unit = "character" if data.is_text else "line"
        dealt = "/".join(str(sizes.get(name, 0)) for name in NAMES)
        raise BadInput(
            f"data.split={data.split}: {total:,} {unit}{'s give' if total > 1 else ' gives'} {dealt} train/val/test; "
            "set data.split=all to train and test on everything, or bring more text"
        )


def _first_ones(corpus: Corpus) -> Ids:
    """The numbers of the documents without those that equal an earlier one, ascending."""
    return np.sort(np.unique(corpus.hashes, return_index=True)[1])


# --- the ways to deal: the numbers of documents -> those of each part -----------------------------------------------


def _hash(corpus: Corpus, kept: Ids, data: Data) -> dict[str, Ids]:
    """By content, so that equal documents fall together and a document's part does not depend on its neighbours.

    The CRC-32 of a document, as a fraction of its range, is below .8, .9 or above (as in Géron, Hands-On Machine
    Learning, ch. 2).
    """
    kinds = np.empty(corpus.documents, dtype=np.uint8)
    at = 0
    for lines in (lines for source in corpus.sources for lines in source.lines()):
        codes = np.fromiter((zlib.crc32(d.encode("utf-8", "surrogatepass")) for d in lines), np.int64, len(lines))
        kinds[at : at + len(lines)] = np.searchsorted([0.8, 0.9], codes / 2**32, side="right")
        at += len(lines)
    return {name: kept[kinds[kept] == kind] for kind, name in enumerate(NAMES)}


def _lecture(corpus: Corpus, kept: Ids, data: Data) -> dict[str, Ids]:
    """nn-zero-to-hero, part 2: random.seed(42), shuffle, 80/10/10."""
    shuffled = kept.tolist()
    random.Random(42).shuffle(shuffled)
    return _in_order(np.array(shuffled, dtype=np.int64))


def _makemore(corpus: Corpus, kept: Ids, data: Data) -> dict[str, Ids]:
    """makemore.py: torch.manual_seed(3407), randperm; the last 1,000 (at most a tenth) are test, the others train."""
    shuffled = kept[randperm(len(kept), seed=3407)]
    n_test = min(1000, len(shuffled) // 10)
    train, test = shuffled[: len(shuffled) - n_test], shuffled[len(shuffled) - n_test :]
    if data.val is None:
        return {"train": train, "test": test}
    if data.val >= len(train):
        raise BadInput(f"data.val={data.val:,}: train has {len(train):,} documents, which val cannot all take")
    return {"train": train[: -data.val], "val": train[-data.val :], "test": test}


def _contiguous(corpus: Corpus, kept: Ids, data: Data) -> dict[str, Ids]:
    return _in_order(kept)


_PARTS = {"hash": _hash, "lecture": _lecture, "makemore": _makemore, "contiguous": _contiguous}
SHUFFLING = ("lecture", "makemore")


def _in_order(numbers: Ids) -> dict[str, Ids]:
    return {name: numbers[start:end] for name, (start, end) in _eighty_ten_ten(len(numbers)).items()}


def _eighty_ten_ten(n: int) -> dict[str, tuple[int, int]]:
    n1, n2 = int(0.8 * n), int(0.9 * n)
    return {"train": (0, n1), "val": (n1, n2), "test": (n2, n)}


# --- where a part's text is -----------------------------------------------------------------------------------------


def _passages(corpus: Corpus, start: int, end: int) -> Dealt:
    """The part of a running text from character `start` to `end`."""
    shares: list[Share] = []
    at = 0
    for source in corpus.sources:
        first, last = max(start - at, 0), min(end - at, source.characters)
        if first < last:
            shares.append(Passage(source, first, last, at + last == corpus.characters))
        at += source.characters
    return Dealt(shares, NO_HASHES)


def _in_place(corpus: Corpus, parts: dict[str, Ids]) -> dict[str, Dealt]:
    """The documents of each part, where they stand: a byte for each says to which part it belongs."""
    kinds = np.full(corpus.documents, DROPPED, dtype=np.uint8)
    for kind, numbers in enumerate(parts.values()):
        kinds[numbers] = kind
    return {
        name: Dealt(
            [
                Lines(source, kinds[start : start + source.documents], kind)
                for source, start in zip(corpus.sources, corpus.starts, strict=True)
            ],
            corpus.hashes[kinds == kind],
        )
        for kind, name in enumerate(parts)
    }


def _shuffled(corpus: Corpus, parts: dict[str, Ids]) -> dict[str, Dealt]:
    """The documents of each part in the order that they were dealt in; they are held for that."""
    texts = list(corpus.texts())
    return {
        name: Dealt([Shuffled([texts[i] for i in numbers.tolist()])], corpus.hashes[numbers])
        for name, numbers in parts.items()
    }
