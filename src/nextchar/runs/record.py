"""run.json: the record of a run."""

import contextlib
import functools
import platform
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nextchar.config.fields import Settings
from nextchar.config.train_settings import TrainSettings
from nextchar.data.load import DataReport
from nextchar.errors import Diverged, Interrupted, Pruned

SETTINGS, RECORD, WEIGHTS = "settings.json", "run.json", "weights.safetensors"
LOSSES, SAMPLES = "test_losses.safetensors", "samples.txt"
SWEEP = "sweep.json"  # in the folder of a sweep
CURVE_POINTS = 200  # of a curve in run.json, at most
MOST_UNITS = 4 << 20  # documents whose losses are stored, 32 MiB; the losses of a larger test split are not stored
PROJECT = Path(__file__).resolve().parents[3]
LIBRARIES = ("nextchar", "numpy", "torch", "lightning", "hydra-core", "omegaconf", "tensorboardX", "safetensors")

Status = Literal["finished", "pruned", "diverged", "interrupted", "failed"]
ENDINGS: dict[type[BaseException], Status] = {Diverged: "diverged", Pruned: "pruned"}
ENDINGS |= {Interrupted: "interrupted", KeyboardInterrupt: "interrupted"}
Metric = float | Literal["inf"]  # JSON has no infinity
Points = list[tuple[int, float]]  # (step, value)


class FileRecord(Settings):
    size: int
    sha256: str


class Curve(Settings):
    """A loss by step."""

    steps: list[int]
    values: list[Metric]

    @classmethod
    def thinned(cls, points: Points) -> "Curve":
        """Keeps at most 200 points, evenly spread, including the first and the last."""
        kept = [points[i] for i in sorted({round(i) for i in np.linspace(0, len(points) - 1, CURVE_POINTS)})]
        return cls(steps=[step for step, _ in kept], values=[_as_metric(value) for _, value in kept])


class Record(Settings):
    """run.json."""

    schema_version: Literal[1]
    status: Status
    reason: str  # why it ended without a result; of a finished run, a remark on the end of its training
    settings: TrainSettings
    vocabulary: str
    metrics: dict[str, Metric]
    curves: dict[str, Curve]  # losses by name; a counted model has none
    data: DataReport | None
    model_file: FileRecord | None  # the file that the model was read from, if it was not trained here
    ngrams: list[int]  # of a counted model: the number of distinct n-grams of each order
    smoothing: dict[str, list[float]]  # of a counted model: the parameters by name, one an order
    seeds: dict[str, int]
    versions: dict[str, str]
    git: dict[str, str | bool] | None
    started: str
    seconds: dict[str, float]
    files: dict[str, FileRecord]


@dataclass
class RunFacts:
    """The facts of a run that run.json holds, collected as the run goes on."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    vocabulary: str = ""
    data: DataReport | None = None
    model_file: FileRecord | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    reason: str = ""  # how training ended, where that is worth a remark
    curves: dict[str, Points] = field(default_factory=dict)
    ngrams: list[int] = field(default_factory=list)
    smoothing: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.perf_counter)

    def lap(self, phase: str) -> None:
        """Ends a phase of the run: it took the seconds that no earlier phase has."""
        self.seconds[phase] = round(time.perf_counter() - self._began - sum(self.seconds.values()), 4)

    def record(self, status: Status, reason: str, settings: TrainSettings, files: dict[str, FileRecord]) -> Record:
        """Returns the content of run.json."""
        facts: dict[str, Any] = {name: fact for name, fact in vars(self).items() if name in Record.model_fields}
        facts["started"] = self.started.isoformat(timespec="seconds")
        facts["metrics"] = {name: _as_metric(value) for name, value in self.metrics.items()}
        facts["curves"] = {tag: Curve.thinned(points) for tag, points in self.curves.items()}
        facts["seeds"] = dict.fromkeys(("weights", "batches", "samples"), settings.seed)
        facts["reason"] = reason or self.reason
        facts |= versions_and_commit()
        return Record(schema_version=1, status=status, settings=settings, files=files, **facts)


def ending(error: BaseException | None) -> tuple[Status, str]:
    """Returns the status of a run that ended with this error, or with none, and the reason."""
    if error is None:
        return "finished", ""
    status: Status = next((ENDINGS[kind] for kind in ENDINGS if isinstance(error, kind)), "failed")
    return status, str(error) or type(error).__name__


def _as_metric(value: float) -> Metric:
    return value if np.isfinite(value) else "inf"


@functools.cache  # takes 0.05 seconds, which each job of a sweep would pay
def versions_and_commit() -> dict[str, Any]:
    """Returns the versions of the libraries, and the commit if the project is a git checkout."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[library] = version(library)
    return {"versions": versions, "git": _git()}


def _git() -> dict[str, str | bool] | None:
    def ask(*words: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(PROJECT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        folder, _, commit = ask("rev-parse", "--show-toplevel", "HEAD").rpartition("\n")
        if Path(folder).resolve() != PROJECT:
            return None
        return {"commit": commit, "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
