"""A sweep's folder: the jobs that were planned, what became of each, and the tables that say so."""

import json
import math
import os
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

from nextchar.config.fields import Settings, flat, validated
from nextchar.config.sweep_settings import Optuna
from nextchar.config.train_settings import TrainSettings
from nextchar.errors import BadInput
from nextchar.messages import one_line, shown
from nextchar.runs.atomic import json_bytes, write_atomically
from nextchar.runs.folder import RECORD, SETTINGS, SWEEP, is_running, lock
from nextchar.runs.reading import check_folder, load_json
from nextchar.runs.record import Metric

Status = Literal["finished", "pruned", "diverged", "interrupted", "failed", "killed", "running", "not run"]
WELL: tuple[Status, ...] = ("finished", "pruned")  # a job that ended so is not run again
NAME_BYTES = 150  # of a job's folder; a file name may have 255
PROCESS = ".process"  # in a job's folder: the process that runs it, as long as it does


class Range(Settings):
    """What a search may choose a setting from: a range of numbers, or values as they are typed."""

    low: int | float | None
    high: int | float | None
    log: bool
    step: int | float | None
    choices: list[str] | None

    @property
    def ends(self) -> list[str]:
        return self.choices or [str(self.low), str(self.high)]


class Search(Settings):
    """How a search goes: its sampler, what all trials share, and what they vary."""

    settings: Optuna
    fixed: list[str]
    ranges: dict[str, Range]


class Job(Settings):
    """A job, and what became of it. `number` and `folder` stay what they are when a sweep is resumed."""

    number: int
    folder: str
    overrides: list[str]
    settings: TrainSettings
    status: Status
    reason: str
    seconds: float
    metrics: dict[str, Metric]

    def loss(self, name: str) -> float:
        """A metric of a job that finished, infinity where it has none."""
        return float(self.metrics.get(name, math.inf)) if self.status == "finished" else math.inf


class SweepRecord(Settings):
    """sweep.json."""

    schema_version: Literal[1]
    metric: str
    search: Search | None
    jobs: list[Job]


class SweepFolder:
    """A sweep, and the folder where it takes place; one that is only planned has none yet."""

    def __init__(self, path: Path | None, metric: str, search: Search | None, jobs: list[Job]) -> None:
        self._path, self.wanted_metric, self.search, self.jobs = path, metric, search, jobs

    @property
    def path(self) -> Path:
        assert self._path is not None
        return self._path

    @property
    def is_new(self) -> bool:
        """Whether it has no folder yet."""
        return self._path is None

    def place(self, path: Path) -> None:
        """Takes a folder, which is made. Raises BadInput where that cannot be."""
        if any((path / name).exists() for name in (SWEEP, SETTINGS, *(job.folder for job in self.jobs))):
            raise BadInput(f"hydra.sweep.dir={path} already holds a run or a sweep; name another folder, or none")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"hydra.sweep.dir={path} cannot be made: {error.strerror}") from None
        self._path = path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """As long as it is being run, nobody else can. Raises BadInput where somebody else does."""
        try:
            handle = lock(self.path)
        except BlockingIOError:
            raise BadInput(f"{self.path}: this sweep is still running") from None
        try:
            yield
        finally:
            os.close(handle)

    @classmethod
    def open(cls, path: Path) -> "SweepFolder":
        """A sweep that is to be gone on with, as it stands. Raises BadInput."""
        check_folder(path, "sweep.resume")
        if not (path / SWEEP).exists():
            raise BadInput(f"sweep.resume={path} holds no {SWEEP}; it is not the folder of a sweep")
        if is_running(path):  # looking at a job that is about to begin would be in its way
            raise BadInput(f"sweep.resume={path}: this sweep is still running")
        return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> "SweepFolder":
        """The sweep that was planned in a folder, its jobs as they stand now; none of them may be about to begin."""
        try:
            record = validated(SweepRecord, load_json(path / SWEEP))
        except BadInput as error:
            raise BadInput(f"{path / SWEEP}: {str(error).removeprefix(f'{path / SWEEP}: ')}") from None
        for number, job in enumerate(record.jobs):
            place = re.fullmatch(r"0*(\d+)(_[^/\0]*)?", job.folder)
            if job.number != number or not place or int(place[1]) != number or (path / job.folder).is_symlink():
                raise BadInput(f"{path / SWEEP}: {shown(job.folder)} is no folder of job {number}")
        sweep = cls(path, record.metric, record.search, record.jobs)
        sweep.look()
        return sweep

    def plan(self, planned: Sequence[tuple[Sequence[str], TrainSettings]]) -> None:
        """Gives jobs that are new a number and a folder; the same settings are the same job."""
        known = {_identity(job.settings) for job in self.jobs}
        differing = _differing([words for words, _ in planned])
        new = []
        for words, settings in planned:
            if _identity(settings) not in known:
                known.add(_identity(settings))
                new.append((words, settings))
        total = len(self.jobs) + len(new)
        for words, settings in new:
            self.append(words, settings, differing, total)

    def append(
        self, words: Sequence[str], settings: TrainSettings, differing: Collection[str], total: int | None = None
    ) -> Job:
        """One more job, its folder named by what differs; `total`: how many there will be, of a grid."""
        number = len(self.jobs)
        last = (total or (self.search.settings.n_trials if self.search else 1)) - 1
        job = Job(
            number=number,
            folder=_folder_name(f"{number:0{len(str(last))}}", [word for word in words if word in differing]),
            overrides=list(words),
            settings=settings,
            status="not run",
            reason="",
            seconds=0.0,
            metrics={},
        )
        self.jobs.append(job)
        return job

    def look(self) -> None:
        """Sees what has become of the jobs."""
        self.jobs = [looked_at(job, self.path) for job in self.jobs]

    def blame_the_stop(self) -> None:
        """Says of the jobs that ended without a word that they were told to."""
        for number, job in enumerate(self.jobs):
            if job.status == "killed" and (self.path / job.folder / PROCESS).exists():
                self.jobs[number] = job.model_copy(update={"reason": "stopped with the sweep"})

    def save(self) -> None:
        record = SweepRecord(schema_version=1, metric=self.wanted_metric, search=self.search, jobs=self.jobs)
        write_atomically(self.path / SWEEP, json_bytes(record.plain()))

    def planned_number(self) -> int:
        """Of jobs, those counted that a search has yet to choose."""
        return max(len(self.jobs), self.search.settings.n_trials if self.search else 0)

    def finished_number(self) -> int:
        """Of jobs that ended well."""
        return len(self.jobs) - len(self.unfinished())

    def unfinished(self) -> list[Job]:
        return [job for job in self.jobs if job.status not in WELL]

    @property
    def metric(self) -> str:
        """What the jobs are ranked by: the metric that was asked for, or, where no job has it, the loss on train."""
        measured = [job.metrics for job in self.jobs if job.metrics]
        nobody_has_it = measured and not any(self.wanted_metric in metrics for metrics in measured)
        return "train/loss" if nobody_has_it else self.wanted_metric

    def ranked(self) -> list[Job]:
        """The finished jobs by their loss, then the others by their numbers."""
        metric = self.metric
        return sorted(self.jobs, key=lambda job: (job.status != "finished", job.loss(metric), job.number))

    def best(self) -> Job | None:
        first = self.ranked()[0] if self.jobs else None
        return first if first and math.isfinite(first.loss(self.metric)) else None

    def shared(self) -> list[str]:
        """The overrides that all jobs have."""
        differing = _differing([job.overrides for job in self.jobs])
        return [word for word in self.jobs[0].overrides if word not in differing] if self.jobs else []

    def varied(self) -> list[str]:
        """The keys whose values differ between the jobs, in the order in which they were typed."""
        if self.search is not None:
            return list(self.search.ranges)
        differing = _differing([job.overrides for job in self.jobs])
        return list(dict.fromkeys(_key(word) for job in self.jobs for word in job.overrides if word in differing))


def columns(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings that differ between jobs and have a value in each, the seed last: what TensorBoard shows first."""
    leaves = [flat(each) for each in settings]
    common = {key for key in leaves[0] if all(each.get(key) is not None for each in leaves)}
    differing = [key for key in leaves[0] if key in common and len({str(each[key]) for each in leaves}) > 1]
    return sorted(differing, key=lambda key: key == "seed")


def value_of(job: Job, key: str) -> str:
    """What was typed for a key in a job, '' where nothing was."""
    return next((word.partition("=")[2] for word in reversed(job.overrides) if _key(word) == key), "")


def line_to_paste(job: Job) -> str:
    """The words that make a job's run once more, as a shell takes them."""
    return shlex.join(job.overrides)


def looked_at(job: Job, sweep: Path) -> Job:
    """A job as its folder shows it: run.json is written last, settings.json first, and while it runs it is locked."""
    folder = sweep / job.folder
    blank = job.plain() | {"status": "not run", "reason": "", "seconds": 0.0, "metrics": {}}
    if (folder / RECORD).exists():
        try:
            record = load_json(folder / RECORD)
            end = {"status": record["status"], "reason": one_line(record["reason"]), "metrics": record["metrics"]}
            return validated(Job, blank | end | {"seconds": round(float(sum(record["seconds"].values())), 4)})
        except (BadInput, KeyError, AttributeError, TypeError):
            return validated(Job, blank | {"status": "failed", "reason": f"{RECORD} cannot be read"})
    if (folder / SETTINGS).exists() and is_running(folder):
        return validated(Job, blank | {"status": "running"})
    if (folder / SETTINGS).exists() or (folder / PROCESS).exists():
        reason = "the process ended without a word, as when it is killed"
        return validated(Job, blank | {"status": "killed", "reason": reason})
    return validated(Job, blank)


def _identity(settings: TrainSettings) -> str:
    """What two runs have in common that are the same run: all that may change a result."""
    return json.dumps({key: value for key, value in settings.plain().items() if key not in ("resume", "json")})


def _differing(jobs: Sequence[Sequence[str]]) -> set[str]:
    everywhere = set(jobs[0]).intersection(*jobs[1:]) if jobs else set()
    return {word for job in jobs for word in job} - everywhere


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+")


def _folder_name(number: str, words: list[str]) -> str:
    """The number, with zeros in front so that TensorBoard too sorts by it, and what differs.

    What a file name cannot hold is left out, and so are the digits by which a search chooses.
    """
    words = [re.sub(r"-?\d+\.\d{6,}(e[+-]?\d+)?", lambda match: f"{float(match[0]):.4g}", word) for word in words]
    text = re.sub(r"[^\w.=,+-]+", "-", ",".join(words)).encode("utf-8", "ignore")[:NAME_BYTES].decode("utf-8", "ignore")
    return f"{number}_{text}" if text else number


def planned_job(folder: Path) -> tuple[Job, Search | None, list[str]]:
    """From within a job: what is planned for its folder, the search that it belongs to, and the settings that differ.

    Nothing else of the sweep is looked at: other jobs may be about to begin.
    """
    path = folder.parent / SWEEP
    jobs, search, differing = _plan(path, path.stat().st_mtime_ns)
    job = validated(Job, jobs[folder.name])
    if search is None:
        return job, None, differing
    own = flat(job.settings.plain())
    return job, search, [key for varied in search.ranges for key in (varied, f"{varied}.name") if key in own]


@cache
def _plan(path: Path, written: int) -> tuple[dict[str, Any], Search | None, list[str]]:
    """The plan as plain values, once for all the jobs that a process runs; `written`: when, for it may grow."""
    record = load_json(path)
    search = validated(Search, record["search"]) if record["search"] else None
    differing = columns([job["settings"] for job in record["jobs"]]) if search is None else []
    return {job["folder"]: job for job in record["jobs"]}, search, differing
