"""Runs in folders, maybe a stranger's: found, and read without running code, or left out with a reason."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from nextchar.config.fields import validated
from nextchar.config.smoothing_settings import StupidBackoff
from nextchar.config.train_settings import TrainSettings
from nextchar.errors import BadInput
from nextchar.evaluation.loss import Loss
from nextchar.messages import one_line, shown
from nextchar.runs.folder import RECORD, SETTINGS
from nextchar.runs.reading import load_json
from nextchar.runs.record import Record
from nextchar.runs.saved import open_losses, open_record

DEPTH = 2  # folders between a folder that is named and a run: outputs/SWEEP/RUN
NO_LOSS = 1e9  # nats per character; nothing that was trained comes near


class Run(NamedTuple):
    """A finished run; `losses` is None where its folder holds no sums of its documents."""

    path: Path
    record: Record
    losses: Loss | None

    @property
    def seed(self) -> int:
        return self.record.settings.seed

    @property
    def loss(self) -> float:
        """Of the test part, nats per character."""
        return float(self.record.metrics["test/loss"])


class LeftOut(NamedTuple):
    """A folder that is not ranked; `status` is run.json's, or 'not ended', or 'damaged'."""

    folder: str
    status: str
    reason: str


class Gathered(NamedTuple):
    """What was found: finished runs, what is left out, and of that the settings of runs that did not finish."""

    runs: list[Run]
    left_out: list[LeftOut]
    unfinished: list[TrainSettings]


def gather(folders: Sequence[Path]) -> Gathered:
    """The runs in these folders, in their subfolders or in those of these. Raises BadInput for what is no folder."""
    found = Gathered([], [], [])
    for path in find(folders):
        try:
            found.runs.append(_opened(path))
        except (BadInput, MemoryError) as error:
            status, settings = _ended(path)
            found.left_out.append(LeftOut(one_line(str(path)), status, _reason(error, path)))
            found.unfinished.extend([settings] if settings else [])
    return found


def find(folders: Sequence[Path]) -> list[Path]:
    """The run folders that are among these or up to two levels below; links below are not followed. Raises BadInput."""
    found: dict[str, Path] = {}
    for folder in folders:
        if not os.path.isdir(folder):
            what = "is a file" if os.path.exists(folder) else "no such folder"
            raise BadInput(f"{folder}: {what}; name run folders, or folders that hold some")
        for path in _runs_in(folder, DEPTH):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _runs_in(folder: Path, depth: int) -> Iterator[Path]:
    if os.path.lexists(folder / SETTINGS) or os.path.lexists(folder / RECORD):
        yield folder
    elif depth:
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError:
            yield folder  # to be left out, with what is wrong
            return
        for name in names:
            yield from _runs_in(folder / name, depth - 1)


def _opened(path: Path) -> Run:
    record = open_record(path)
    if isinstance(record.settings.smoothing, StupidBackoff):
        raise BadInput("smoothing=stupid_backoff gives scores that do not sum to 1; no loss of probabilities compares")
    if record.data is None:
        raise BadInput(f"{RECORD} holds no data report")
    loss = float(record.metrics.get("test/loss", "nan"))
    if not (0 <= loss < NO_LOSS or loss == math.inf):
        raise BadInput(f"{RECORD}: test/loss is {shown(record.metrics.get('test/loss'))}")
    ends = [float(record.metrics.get(f"test/loss_{end}", loss)) for end in ("low", "high")]
    if not (0 <= ends[0] <= ends[1] < NO_LOSS or loss == math.inf):
        raise BadInput(f"{RECORD}: the interval of test/loss is {ends[0]} .. {ends[1]}")
    return Run(path, record, open_losses(path, record))


def _ended(path: Path) -> tuple[str, TrainSettings | None]:
    """How a run ended that is left out, and its settings where it did not finish and they can be read."""
    try:
        if not os.path.lexists(path / RECORD):
            return "not ended", validated(TrainSettings, load_json(path / SETTINGS))
        record = validated(Record, load_json(path / RECORD))
    except (BadInput, MemoryError):
        return ("damaged" if os.path.lexists(path / RECORD) else "not ended"), None
    if record.status == "finished":
        return ("finished" if isinstance(record.settings.smoothing, StupidBackoff) else "damaged"), None
    return record.status, record.settings


def _reason(error: BadInput | MemoryError, path: Path) -> str:
    """An error about a run folder, on one line and without the folder's name."""
    if isinstance(error, MemoryError):
        return "takes more memory than there is"
    text = str(error).replace(f"resume={path}", "resume=DIR").replace(f"run={path}", "").replace(f"{path}/", "")
    return one_line(text.lstrip(": "))
