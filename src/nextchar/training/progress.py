"""How a run reports while it goes on. The library prints nothing; the command line passes an implementation."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nextchar.data.report import DataReport


@dataclass(frozen=True)
class Result:
    """The result of a run: its folder, its metrics by name, samples, notes, and seconds by phase."""

    folder: Path
    metrics: dict[str, float]
    samples: list[str]
    report: DataReport
    notes: list[str]
    seconds: dict[str, float]


class Progress(Protocol):
    """Receives the progress of a run."""

    def phase(self, what: str) -> AbstractContextManager[None]:
        """Is entered for as long as the run is busy with `what`, as in "counting"."""

    def steps(self, first: int, last: int) -> AbstractContextManager[Callable[[int], None]]:
        """Is entered for the optimizer steps from `first` to `last`; gives advance(step)."""

    def note(self, text: str) -> None:
        """Receives a remark for the user."""

    def result(self, result: Result) -> None:
        """Receives the result, before the run folder is complete and its pictures are drawn."""


class Silent:
    """Reports nothing."""

    def phase(self, what: str) -> AbstractContextManager[None]:
        return nullcontext()

    def steps(self, first: int, last: int) -> AbstractContextManager[Callable[[int], None]]:
        return nullcontext(lambda step: None)

    def note(self, text: str) -> None:
        return None

    def result(self, result: Result) -> None:
        return None


SILENT = Silent()
