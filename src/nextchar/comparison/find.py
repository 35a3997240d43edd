"""Finds run folders and reads their test losses, without running any code from them."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nextchar.config.fields import validated
from nextchar.config.smoothing_settings import StupidBackoff
from nextchar.config.train_settings import TrainSettings
from nextchar.errors import BadInput
from nextchar.evaluation.loss import Loss
from nextchar.messages import one_line, shown
from nextchar.runs.reading import load_json, open_losses, open_record
from nextchar.runs.record import RECORD, SETTINGS, Record

DEPTH = 2  # levels below a named folder that are searched for runs: outputs/SWEEP/RUN
NO_LOSS = 1e9  # nats per character; no trained model comes near, so a larger number is a damaged record


class TestedRun(NamedTuple):
    """A finished run; `losses` is None where its folder has no losses of the single documents."""

    path: Path
    record: Record
    losses: Loss | None

    @property
    def seed(self) -> int:
        return self.record.settings.seed

    @property
    def loss(self) -> float:
        """On the test split, nats per character."""
        return float(self.record.metrics["test/loss"])


@dataclass(frozen=True)
class LeftOut:
    """A folder that is not ranked; `status` is the one in run.json, or 'not ended', or 'damaged'.

    `settings`: of a run that did not finish, where they can be read.
    """

    folder: str
    status: str
    reason: str
    settings: TrainSettings | None = None


def open_runs(folders: Sequence[Path]) -> tuple[list[TestedRun], list[LeftOut]]:
    """Opens the runs in these folders and up to two levels below. Raises BadInput where a folder does not exist."""
    runs, left_out = [], []
    for path in find(folders):
        try:
            runs.append(_open(path))
        except Exception as error:  # one odd run must not hide the others
            status, settings = _status(path)
            left_out.append(LeftOut(one_line(str(path)), status, _reason(error, path), settings))
    return runs, left_out


def find(folders: Sequence[Path]) -> list[Path]:
    """Returns the run folders among these and up to two levels below, each once. Raises BadInput.

    Links below are not followed. A folder that cannot be read is returned too, so that it is left out with a reason.
    """
    found: dict[str, Path] = {}

    def add(path: str) -> None:
        found.setdefault(os.path.realpath(path), Path(path))

    for folder in folders:
        if not os.path.isdir(folder):
            problem = "is a file" if os.path.exists(folder) else "no such folder"
            raise BadInput(f"{folder}: {problem}; name run folders, or folders that hold some")
        for path, subfolders, files in os.walk(folder, onerror=lambda error: add(error.filename)):
            is_run = not {RECORD, SETTINGS}.isdisjoint([*files, *subfolders])
            if is_run:
                add(path)
            if is_run or len(Path(path).relative_to(folder).parts) == DEPTH:
                subfolders.clear()  # os.walk goes no deeper
            subfolders.sort()
    return list(found.values())


def _open(path: Path) -> TestedRun:
    record = open_record(path)
    if isinstance(record.settings.smoothing, StupidBackoff):
        raise BadInput("smoothing=stupid_backoff gives scores that do not sum to 1; its loss is not comparable")
    if record.data is None:
        raise BadInput(f"{RECORD} holds no data report")
    loss = float(record.metrics.get("test/loss", "nan"))
    if not (0 <= loss < NO_LOSS or loss == math.inf):
        raise BadInput(f"{RECORD}: test/loss is {shown(record.metrics.get('test/loss'))}")
    low, high = (float(record.metrics.get(f"test/loss_{end}", loss)) for end in ("low", "high"))
    if not (0 <= low <= high < NO_LOSS or loss == math.inf):
        raise BadInput(f"{RECORD}: the interval of test/loss is {low} .. {high}")
    return TestedRun(path, record, open_losses(path, record))


def _status(path: Path) -> tuple[str, TrainSettings | None]:
    """The status of a folder that is left out, and its settings where the run did not finish and they can be read."""
    try:
        if not os.path.lexists(path / RECORD):
            return "not ended", validated(TrainSettings, load_json(path / SETTINGS))
        record = validated(Record, load_json(path / RECORD))
    except Exception:
        return ("damaged" if os.path.lexists(path / RECORD) else "not ended"), None
    if record.status != "finished":
        return record.status, record.settings
    return ("finished" if isinstance(record.settings.smoothing, StupidBackoff) else "damaged"), None


def _reason(error: Exception, path: Path) -> str:
    """The error on one line, without the name of the folder, which stands beside it."""
    if isinstance(error, MemoryError):
        return "takes more memory than there is"
    text = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
    text = text.replace(f"resume={path}", "resume=DIR").replace(f"run={path}", "").replace(f"{path}/", "")
    return one_line(text.lstrip(": "))
