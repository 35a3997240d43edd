"""A text, read, split and encoded."""

from dataclasses import dataclass

import numpy as np

from nextchar.config.data_settings import Data
from nextchar.data import corpus as text
from nextchar.data import encoded as splits
from nextchar.data.encoded import Split
from nextchar.data.report import DataReport
from nextchar.data.splits import deal
from nextchar.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class Dataset:
    """A text, read, dealt out and in ids."""

    report: DataReport
    vocabulary: Vocabulary
    splits: dict[str, Split]


def load(data: Data, vocabulary: Vocabulary | None = None) -> Dataset:
    """Reads and deals out the text that the settings name, in the ids of its own vocabulary or the given one.

    Raises BadInput.
    """
    corpus = text.read(data)
    vocabulary, parts = splits.encode(deal(corpus, data), data, vocabulary)
    report = DataReport(
        source=corpus.source,
        sha256=corpus.sha256,
        bytes=corpus.size,
        lines=corpus.lines,
        kept=corpus.documents,
        skipped=corpus.skipped,
        characters=corpus.characters,
        vocabulary=len(vocabulary) - 1,
        duplicates=corpus.duplicates,
        documents={name: part.documents for name, part in parts.items()},
        predicted={name: part.predicted for name, part in parts.items()},
        in_train={name: _in_train(part, parts["train"]) for name, part in parts.items() if name != "train"},
        left_out={name: part.skipped for name, part in parts.items() if part.skipped},
        test_sha256=parts["test"].sha256,
        notes=corpus.notes,
    )
    corpus.let_go()
    return Dataset(report, vocabulary, parts)


def _in_train(part: Split, train: Split) -> int:
    """How many documents of a part stand in train too."""
    if part is train:
        return part.documents
    return 0 if part.in_train is None else int(np.count_nonzero(part.in_train))
