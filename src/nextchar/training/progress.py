"""The result of a run, and how a run reports while it goes on: the library prints nothing."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from nextchar.data.load import DataReport


@dataclass(frozen=True)
class Result:
    """The result of a run: its folder, its metrics by name, samples, notes, and seconds by phase."""

    folder: Path
    metrics: dict[str, float]
    samples: list[str]
    report: DataReport
    notes: list[str]
    seconds: dict[str, float]


class Progress:
    """Receives the progress of a run and shows nothing; subclasses show it, or judge it."""

    def phase(self, what: str) -> AbstractContextManager[None]:
        """Is entered for as long as the run is busy with `what`, as in "counting"."""
        return nullcontext()

    def steps(self, first: int, last: int) -> AbstractContextManager[Callable[[int], None]]:
        """Is entered for the optimizer steps from `first` to `last`; gives advance(step)."""
        return nullcontext(lambda step: None)

    def validated(self, step: int, loss: float) -> None:
        """Receives the loss on val at every log point of a net. May raise Pruned to end the run."""

    def result(self, result: Result) -> None:
        """Receives the result, before the run folder is complete and its pictures are drawn."""


SILENT = Progress()
