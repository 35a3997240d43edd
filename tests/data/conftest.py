"""Fixtures of the tests of data: settings, and the text of a split."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nextchar.config.data_settings import Data
from nextchar.config.fields import validated
from nextchar.data.encoded import Split

PLAIN = {
    "name": "lines",
    "path": None,
    "url": None,
    "sha256": None,
    "encoding": "utf-8",
    "normalize": "none",
    "split": None,
    "val": None,
    "dedup": "none",
    "unk": "error",
    "batch_size": "all",
    "merge": True,
}


@pytest.fixture(scope="session")
def data() -> Callable[..., Data]:
    """Settings of group data: data(path, "text", split="all")."""

    def settings(path: Path | str | None, name: str = "lines", **changed: object) -> Data:
        return validated(Data, PLAIN | {"name": name, "path": None if path is None else str(path)} | changed)

    return settings


@pytest.fixture(scope="session")
def texts() -> Callable[[Split], list[str]]:
    """The documents of a split, decoded; a running text is one."""

    def decoded(split: Split) -> list[str]:
        if split.is_text:
            return [split.vocabulary.decode(split.stream[1:])]
        return split.vocabulary.decode(split.stream[1:], "\n").split("\n")[:-1]

    return decoded
