"""What was read of a text and how it was split."""

from nextchar.config.fields import Settings


class DataReport(Settings):
    """What was read, and how it was dealt out."""

    source: str
    sha256: str
    bytes: int
    lines: int
    kept: int
    skipped: int
    characters: int
    vocabulary: int
    duplicates: int
    documents: dict[str, int]  # by part
    predicted: dict[str, int]  # characters and document ends, by part
    in_train: dict[str, int]  # documents of val and test that stand in train too
    left_out: dict[str, int]  # characters that train lacks, data.unk=skip
    test_sha256: str  # of the test part: two losses compare only where it is equal
    notes: list[str]
