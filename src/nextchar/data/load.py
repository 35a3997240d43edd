"""The road of a text: survey, assign, encode."""

from dataclasses import dataclass

import numpy as np

from nextchar.config.data_settings import Data
from nextchar.config.fields import Settings
from nextchar.data.corpus import Corpus, survey
from nextchar.data.encoded import Split, encode
from nextchar.data.splits import NAMES, Numbers, assign
from nextchar.data.vocabulary import Ids, Vocabulary


class DataReport(Settings):
    """Facts about a text and its splits, as run.json stores them."""

    source: str
    sha256: str
    bytes: int
    lines: int
    kept: int  # documents
    skipped: int  # empty lines
    characters: int
    vocabulary: int
    duplicates: int
    documents: dict[str, int]  # by split
    predicted: dict[str, int]  # characters and document ends, by split
    in_train: dict[str, int]  # documents of val and test that are in train too
    left_out: dict[str, int]  # characters unseen in train, by split (data.unk=skip)
    test_sha256: str  # of the test split: two losses can be compared only if it is equal
    notes: list[str]


@dataclass(frozen=True)
class Dataset:
    """A text, split and encoded. With data.split=all the three splits are one."""

    report: DataReport
    vocabulary: Vocabulary
    splits: dict[str, Split]


def load(
    data: Data, vocabulary: Vocabulary | None = None, download: bool = True, expected: str | None = None
) -> Dataset:
    """Reads, splits and encodes the text that the settings name, in a vocabulary of its own or the given one.

    `download`, `expected`: see survey. Raises BadInput.
    """
    corpus, numbers = _split(data, download, expected)
    vocabulary, splits = encode(corpus, numbers, data, vocabulary)
    if data.split == "all":
        splits = dict.fromkeys(NAMES, splits["all"])
    report = DataReport(
        source=corpus.source,
        sha256=corpus.sha256,
        bytes=corpus.bytes,
        lines=corpus.lines,
        kept=corpus.documents,
        skipped=corpus.skipped,
        characters=corpus.characters,
        vocabulary=len(vocabulary) - 1,
        duplicates=corpus.duplicates,
        documents={name: split.documents for name, split in splits.items()},
        predicted={name: split.predicted for name, split in splits.items()},
        in_train={name: _in_train(split, splits["train"]) for name, split in splits.items() if name != "train"},
        left_out={name: split.skipped for name, split in splits.items() if split.skipped},
        test_sha256=splits["test"].sha256,
        notes=corpus.notes,
    )
    corpus.release()
    return Dataset(report, vocabulary, splits)


def training_hashes(data: Data, expected: str) -> Ids:
    """Returns 64 bits of each document in train (see Corpus); `expected`: see survey. Raises BadInput."""
    corpus, numbers = _split(data, False, expected)
    return corpus.hashes[next(iter(numbers.values()))]


def _split(data: Data, download: bool, expected: str | None) -> tuple[Corpus, dict[str, Numbers]]:
    corpus = survey(data, download, expected)
    total = corpus.characters if data.is_text else corpus.documents
    return corpus, assign(data, total, corpus.hashes, corpus.split_indices)


def _in_train(split: Split, train: Split) -> int:
    """Returns how many documents of a split are in train too."""
    if split is train:
        return split.documents
    return 0 if split.in_train is None else int(np.count_nonzero(split.in_train))
