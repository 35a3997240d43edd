"""train / val / test: which documents a model learns from, is tuned on, and is judged by."""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nextchar.errors import BadInput
from nextchar.knobs import shown
from nextchar.random_numbers import randperm
from nextchar.settings import Data
from nextchar.vocabulary import Stream, Vocabulary, named

NAMES = ("train", "val", "test")


@dataclass(frozen=True)
class Part:
    """One part of a split: its documents and their ids.

    `stream` (N + 1,): the first id is context only, each later one is to be predicted.
    """

    documents: list[str]
    stream: Stream
    skipped: int = 0  # characters left out because train does not have them


def deal(documents: list[str], data: Data) -> dict[str, list[str]]:
    """Documents -> those of each part; `val` may be absent. Raises BadInput where a part would be empty."""
    if data.dedup == "before_split":
        documents = list(dict.fromkeys(documents))
    parts = _PARTS[data.split](documents, data)
    sizes = {name: sum(map(len, parts.get(name, []))) for name in NAMES}
    if any(not sizes[name] for name in NAMES if name in parts):
        unit = "character" if data.is_text else "line"
        dealt = "/".join(str(sizes[name] if data.is_text else len(parts.get(name, []))) for name in NAMES)
        total = len(documents[0]) if data.is_text else len(documents)
        raise BadInput(
            f"data.split={data.split}: {total:,} {unit}{'s give' if total > 1 else ' gives'} {dealt} train/val/test; "
            "set data.split=all to train and test on everything, or bring more text"
        )
    return parts


def encode(
    parts: dict[str, list[str]], data: Data, given: Vocabulary | None = None
) -> tuple[Vocabulary, dict[str, Part]]:
    """The documents of each part -> the vocabulary (that of train, or the given one of a model), the parts in ids.

    Raises BadInput where a part holds a character that the vocabulary lacks, unless data.unk=skip leaves it out.
    """
    vocabulary = given or Vocabulary.of(parts["train"])
    whose = "train" if given is None else "the model"
    known = set(vocabulary.characters)
    encoded: dict[str, Part] = {}
    for name, documents in parts.items():
        if name != "train" and documents is parts.get("train"):  # split=all: the same documents again
            encoded[name] = encoded["train"]
            continue
        strangers = set("".join(documents)) - known
        skipped = 0
        if strangers and data.unk == "error":
            raise BadInput(_unseen(name, documents, strangers, whose))
        if strangers:
            dropped = str.maketrans(dict.fromkeys(strangers))
            before = sum(map(len, documents))
            documents = [document.translate(dropped) for document in documents]
            skipped = before - sum(map(len, documents))
            if skipped == before:
                raise BadInput(
                    f"{name}: {whose} has seen none of its {before:,} characters; nothing is left to measure"
                )
        encoded[name] = Part(documents, vocabulary.stream(documents), skipped)
    return vocabulary, _without_boundaries_at_cuts(encoded) if data.is_text and data.split != "all" else encoded


def overlap(part: Sequence[str], train: Sequence[str]) -> int:
    """How many documents of a part stand in train too."""
    seen = set(train)
    return sum(1 for document in part if document in seen)


# --- the ways to deal -----------------------------------------------------------------------------------------------


def _all(documents: list[str], data: Data) -> dict[str, list[str]]:
    return dict.fromkeys(NAMES, documents)


def _hash(documents: list[str], data: Data) -> dict[str, list[str]]:
    """By content, so that equal documents fall together and a document's part does not depend on its neighbours.

    The CRC-32 of a document, as a fraction of its range, is below .8, .9 or above (as in Géron, Hands-On Machine
    Learning, ch. 2).
    """
    codes = np.fromiter((zlib.crc32(d.encode("utf-8", "surrogatepass")) for d in documents), np.int64, len(documents))
    kind = np.searchsorted([0.8, 0.9], codes / 2**32, side="right")
    return {name: [documents[i] for i in np.flatnonzero(kind == k)] for k, name in enumerate(NAMES)}


def _lecture(documents: list[str], data: Data) -> dict[str, list[str]]:
    """nn-zero-to-hero, part 2: random.seed(42), shuffle, 80/10/10."""
    shuffled = list(documents)
    random.Random(42).shuffle(shuffled)
    return _in_order(shuffled)


def _makemore(documents: list[str], data: Data) -> dict[str, list[str]]:
    """makemore.py: torch.manual_seed(3407), randperm; the last 1,000 (at most a tenth) are test, the others train."""
    shuffled = [documents[i] for i in randperm(len(documents), seed=3407)]
    n_test = min(1000, len(documents) // 10)
    train, test = shuffled[: len(documents) - n_test], shuffled[len(documents) - n_test :]
    if data.val is None:
        return {"train": train, "test": test}
    if data.val >= len(train):
        raise BadInput(f"data.val={data.val:,}: train has {len(train):,} documents, which val cannot all take")
    return {"train": train[: -data.val], "val": train[-data.val :], "test": test}


def _contiguous(documents: list[str], data: Data) -> dict[str, list[str]]:
    if not data.is_text:
        return _in_order(documents)
    (text,) = documents
    return {name: [text[a:b]] for name, (a, b) in _eighty_ten_ten(len(text)).items()}


_PARTS = {"all": _all, "hash": _hash, "lecture": _lecture, "makemore": _makemore, "contiguous": _contiguous}


def _in_order(documents: list[str]) -> dict[str, list[str]]:
    return {name: documents[a:b] for name, (a, b) in _eighty_ten_ten(len(documents)).items()}


def _eighty_ten_ten(n: int) -> dict[str, tuple[int, int]]:
    n1, n2 = int(0.8 * n), int(0.9 * n)
    return {"train": (0, n1), "val": (n1, n2), "test": (n2, n)}


# --- ids ------------------------------------------------------------------------------------------------------------


def _without_boundaries_at_cuts(parts: dict[str, Part]) -> dict[str, Part]:
    """A running text begins and ends once: where it was cut, the character before the cut is the context."""
    train, val, test = (parts[name] for name in NAMES)
    val_stream = np.concatenate([train.stream[-2:-1], val.stream[1:-1]])
    test_stream = np.concatenate([val_stream[-1:], test.stream[1:]])
    return {
        "train": Part(train.documents, train.stream[:-1]),
        "val": Part(val.documents, val_stream, val.skipped),
        "test": Part(test.documents, test_stream, test.skipped),
    }


def _unseen(name: str, documents: list[str], strangers: set[str], whose: str) -> str:
    holders = [document for document in documents if not strangers.isdisjoint(document)]
    where = (
        f"{len(holders):,} of its {len(documents):,} documents hold characters"
        if len(documents) > 1
        else "it holds characters"
    )
    first = f" (as in '{shown(holders[0])}')" if len(documents) > 1 else ""
    return (
        f"{name}: {where} that {whose} has never seen: {named(strangers)}{first}. "
        "data.unk=skip leaves them out and counts them"
    )
