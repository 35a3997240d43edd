"""The report on a text: what was read, and how it was split."""

from nextchar.config.fields import Settings


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
