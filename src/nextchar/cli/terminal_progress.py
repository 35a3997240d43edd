"""Shows work in progress on stderr, and the result of a run. Nothing is shown of work that takes less than a second."""

import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from nextchar.cli.printing import dropped_if_unread, note, print_json, print_lines, short
from nextchar.cli.tables import losses, report
from nextchar.config.train_settings import TrainSettings
from nextchar.training.progress import Progress, Result

DELAY = 1.0  # seconds before anything is shown


@contextmanager
def phase(what: str) -> Iterator[None]:
    """Shows a spinner beside `what`, as in "counting"."""
    if not sys.stderr.isatty():
        yield
        return
    status = Console(stderr=True).status(what)
    timer = threading.Timer(DELAY, status.start)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()


@contextmanager
def steps(first: int, last: int) -> Iterator[Callable[[int], None]]:
    """Shows a bar over the optimizer steps from `first` to `last`; gives advance(step)."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    columns = TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeRemainingColumn()
    bar, began = Bar(*columns, console=Console(stderr=True), transient=True), time.monotonic()
    task = bar.add_task("training", total=last, completed=first)

    def advance(step: int) -> None:
        bar.update(task, completed=step)
        if time.monotonic() - began > DELAY and not bar.live.is_started:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()


class TerminalProgress(Progress):
    """Shows the progress of a run; its result is a table, or JSON."""

    phase, steps = staticmethod(phase), staticmethod(steps)

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings

    def result(self, result: Result) -> None:
        for text in result.notes:
            note(text)
        with dropped_if_unread():
            if self.settings.json_:
                values = {"run": str(result.folder), "metrics": result.metrics}
                print_json(values | {"samples": result.samples, "seconds": result.seconds})
            else:
                self._print(result)

    def _print(self, result: Result) -> None:
        seconds = sum(result.seconds.values())
        losses(result.metrics, f"{self.settings.model.name} on {result.report.source}, {seconds:.2f} s")
        report(result.report, self.settings.data.is_text)
        print_lines(result.samples)
        print(f"\nrun folder   {short(result.folder)}")
        print(f"curves       tensorboard --logdir {shlex.quote(short(result.folder.parent))}")
