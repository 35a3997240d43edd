"""The folder of a sweep: sweep.json with its planned jobs, and the status of each job as its run folder shows it."""

import json
import math
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nextchar.config.fields import Settings, flat, validated
from nextchar.config.train_settings import Optuna, TrainSettings
from nextchar.errors import BadInput
from nextchar.messages import one_line, shown
from nextchar.runs.atomic import json_bytes, write_atomically
from nextchar.runs.folder import is_running, lock
from nextchar.runs.reading import check_folder, load_json
from nextchar.runs.record import RECORD, SETTINGS, SWEEP, Metric

Status = Literal["finished", "pruned", "diverged", "interrupted", "failed", "killed", "running", "not run"]
DONE: tuple[Status, ...] = ("finished", "pruned")  # all other jobs are run again when a sweep is resumed
NAME_BYTES = 150  # of the name of a job's folder; file systems allow 255


class Range(Settings):
    """The values that a search may choose for a setting: a range of numbers, or choices written as typed."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None
    choices: list[str] | None = None

    @property
    def ends(self) -> list[str]:
        return self.choices or [str(self.low), str(self.high)]


class Search(Settings):
    """A search: its sampler, the overrides that all trials share, and the range of each setting that they vary."""

    settings: Optuna
    fixed: list[str]
    ranges: dict[str, Range]


class Job(Settings):
    """A job and its status. Resuming a sweep changes neither its number nor its folder."""

    number: int
    folder: str
    overrides: list[str]
    settings: TrainSettings
    status: Status = "not run"
    reason: str = ""
    seconds: float = 0.0
    metrics: dict[str, Metric] = Field(default_factory=dict)

    def loss(self, metric: str) -> float:
        """A metric of a finished job; infinity if there is none."""
        return float(self.metrics.get(metric, math.inf)) if self.status == "finished" else math.inf

    def value(self, key: str) -> str:
        """The value that was typed for a key, '' if none was."""
        return next((word.partition("=")[2] for word in reversed(self.overrides) if _key(word) == key), "")

    def read_status(self, sweep: Path) -> "Job":
        """The job as its folder shows it: a run writes settings.json first and run.json last, and locks its folder."""
        folder, found = sweep / self.folder, dict[str, object]()
        if (folder / RECORD).exists():
            try:
                record = load_json(folder / RECORD)
                found = {"status": record["status"], "reason": one_line(record["reason"]), "metrics": record["metrics"]}
                found["seconds"] = round(float(sum(record["seconds"].values())), 4)
                return self._with(found)
            except (BadInput, KeyError, AttributeError, TypeError):
                found = {"status": "failed", "reason": f"{RECORD} cannot be read"}
        elif (folder / SETTINGS).exists() and is_running(folder):
            found = {"status": "running"}
        elif folder.is_dir():
            found = {"status": "killed", "reason": f"the process ended without writing {RECORD}, as when it is killed"}
        return self._with(found)

    def _with(self, found: dict[str, object]) -> "Job":
        planned = ("number", "folder", "overrides", "settings")
        return validated(Job, {key: value for key, value in self.plain().items() if key in planned} | found)


class SweepRecord(Settings):
    """sweep.json."""

    schema_version: Literal[1]
    metric: str
    search: Search | None
    jobs: list[Job]


class SweepFolder:
    """A sweep and its folder; a sweep that is only planned has no folder yet."""

    def __init__(self, path: Path | None, metric: str, search: Search | None, jobs: list[Job]) -> None:
        self.wanted_metric, self.search, self.jobs = metric, search, jobs
        self.is_new = path is None  # it has no folder yet
        if path is not None:
            self.path = path

    def create(self, path: Path) -> None:
        """Makes the folder of a new sweep. Raises BadInput if it cannot be made or is in use."""
        if any((path / name).exists() for name in (SWEEP, SETTINGS, *(job.folder for job in self.jobs))):
            raise BadInput(f"hydra.sweep.dir={path} already holds a run or a sweep; name another folder, or none")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"hydra.sweep.dir={path} cannot be made: {error.strerror}") from None
        self.path, self.is_new = path, False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from running this sweep. Raises BadInput if one already does."""
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
        """Reads a sweep that is to be resumed, with the status of its jobs. Raises BadInput."""
        check_folder(path, "sweep.resume")
        if not (path / SWEEP).exists():
            raise BadInput(f"sweep.resume={path} holds no {SWEEP}; it is not the folder of a sweep")
        if is_running(path):  # reading the status of a job takes its lock, which must not hit one that is starting
            raise BadInput(f"sweep.resume={path}: this sweep is still running")
        try:
            record = validated(SweepRecord, load_json(path / SWEEP))
        except BadInput as error:
            raise BadInput(f"{path / SWEEP}: {str(error).removeprefix(f'{path / SWEEP}: ')}") from None
        for number, job in enumerate(record.jobs):
            name = re.fullmatch(r"0*(\d+)(_[^/\0]*)?", job.folder)
            if job.number != number or not name or int(name[1]) != number or (path / job.folder).is_symlink():
                raise BadInput(f"{path / SWEEP}: {shown(job.folder)} is no folder of job {number}")
        sweep = cls(path, record.metric, record.search, record.jobs)
        sweep.refresh()
        return sweep

    def add_all(self, planned: Sequence[tuple[Sequence[str], TrainSettings]]) -> None:
        """Adds jobs, given by their overrides and settings. Jobs of equal settings are the same job."""
        known = {_identity(job.settings) for job in self.jobs}
        differing = _differing([words for words, _ in planned])
        new: dict[str, tuple[Sequence[str], TrainSettings]] = {}
        for words, settings in planned:
            if (identity := _identity(settings)) not in known:
                new.setdefault(identity, (words, settings))
        total = len(self.jobs) + len(new)
        for words, settings in new.values():
            self.add(words, settings, differing, total)

    def add(self, words: Sequence[str], settings: TrainSettings, differing: Collection[str], total: int) -> Job:
        """Adds a job. Its folder is named by its number, padded for `total` jobs, and its words in `differing`."""
        number = len(self.jobs)
        name = _folder_name(f"{number:0{len(str(total - 1))}}", [word for word in words if word in differing])
        job = Job(number=number, folder=name, overrides=list(words), settings=settings)
        self.jobs.append(job)
        return job

    def refresh(self) -> None:
        """Reads the status of all jobs; none may be starting at this moment (see `open`)."""
        self.jobs = [job.read_status(self.path) for job in self.jobs]

    def save(self) -> None:
        record = SweepRecord(schema_version=1, metric=self.wanted_metric, search=self.search, jobs=self.jobs)
        write_atomically(self.path / SWEEP, json_bytes(record.plain()))

    @property
    def total(self) -> int:
        """The number of jobs, including trials that a search has yet to choose."""
        return max(len(self.jobs), self.search.settings.n_trials if self.search else 0)

    @property
    def missing(self) -> int:
        """The number of jobs that are not done, including trials that a search has yet to choose."""
        return self.total - len(self.jobs) + len(self.unfinished())

    def unfinished(self) -> list[Job]:
        return [job for job in self.jobs if job.status not in DONE]

    @property
    def metric(self) -> str:
        """The metric that ranks the jobs: the one that was asked for, or train/loss if no job has it."""
        measured = [job.metrics for job in self.jobs if job.metrics]
        no_job_has_it = measured and not any(self.wanted_metric in metrics for metrics in measured)
        return "train/loss" if no_job_has_it else self.wanted_metric

    def ranked(self) -> list[Job]:
        """The finished jobs by their loss, then the others by number."""
        metric = self.metric
        return sorted(self.jobs, key=lambda job: (job.status != "finished", job.loss(metric), job.number))

    def best(self) -> Job | None:
        first = self.ranked()[0] if self.jobs else None
        return first if first and math.isfinite(first.loss(self.metric)) else None

    def shared(self) -> list[str]:
        """The overrides that all jobs have in common."""
        differing = _differing([job.overrides for job in self.jobs])
        return [word for word in self.jobs[0].overrides if word not in differing] if self.jobs else []

    def swept_keys(self) -> list[str]:
        """The keys whose values differ between jobs, in the order in which they were typed."""
        if self.search is not None:
            return list(self.search.ranges)
        differing = _differing([job.overrides for job in self.jobs])
        return list(dict.fromkeys(_key(word) for job in self.jobs for word in job.overrides if word in differing))


def read_job(folder: Path) -> tuple[Job, Search | None, list[str]]:
    """Reads from sweep.json the job of this folder, its search, and the settings that TensorBoard shows first.

    Reads no status of other jobs, which may be starting.
    """
    path = folder.parent / SWEEP
    jobs, search, first_columns = _read_plan(path, path.stat().st_mtime_ns)
    job = validated(Job, jobs[folder.name])
    if search is not None:
        own = flat(job.settings.plain())
        first_columns = [key for swept in search.ranges for key in (swept, f"{swept}.name") if key in own]
    return job, search, first_columns


@cache
def _read_plan(path: Path, written: int) -> tuple[dict[str, Any], Search | None, list[str]]:
    """Reads sweep.json once for all jobs of a process, and again when a search has added trials (`written`)."""
    record = load_json(path)
    jobs = {job["folder"]: job for job in record["jobs"]}
    if record["search"]:
        return jobs, validated(Search, record["search"]), []
    first, *others = [flat(job["settings"]) for job in record["jobs"]]
    common = [key for key in first if all(each.get(key) is not None for each in (first, *others))]
    differing = [key for key in common if any(str(each[key]) != str(first[key]) for each in others)]
    return jobs, None, sorted(differing, key=lambda key: key == "seed")  # the seed last


def _identity(settings: TrainSettings) -> str:
    """Equal for two runs with the same result: all settings but those that cannot change it."""
    return json.dumps({key: value for key, value in settings.plain().items() if key not in ("resume", "json")})


def _differing(jobs: Sequence[Sequence[str]]) -> set[str]:
    everywhere = set(jobs[0]).intersection(*jobs[1:]) if jobs else set()
    return {word for job in jobs for word in job} - everywhere


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+")


def _folder_name(number: str, words: list[str]) -> str:
    """The number, padded so that names sort by it in TensorBoard too, and the words.

    Leaves out characters that file names cannot hold, and shortens the long numbers that a search chooses.
    """
    words = [re.sub(r"-?\d+\.\d{6,}(e[+-]?\d+)?", lambda match: f"{float(match[0]):.4g}", word) for word in words]
    text = re.sub(r"[^\w.=,+-]+", "-", ",".join(words)).encode("utf-8", "ignore")[:NAME_BYTES].decode("utf-8", "ignore")
    return f"{number}_{text}" if text else number
