"""Fixtures of the tests of training: two runs compared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def same(runs: Any) -> Callable[[Path, Path], bool]:
    """Asserts that a resumed run equals a whole one in weights, losses, metrics and samples.

    Their times and how often they saved checkpoints may differ.
    """

    def check(resumed: Path, whole: Path) -> bool:
        assert runs.weights(resumed) == runs.weights(whole)
        for tag in ("train/loss", "val/loss"):
            assert runs.curve(resumed, tag) == runs.curve(whole, tag)
        ours, theirs = runs.without_times(resumed), runs.without_times(whole)
        for each in (ours, theirs):
            del each["settings"]["trainer"]["checkpoint_seconds"]
        assert ours == theirs
        assert not list(resumed.rglob(".*"))
        return True

    return check
