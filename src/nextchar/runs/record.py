"""The run folder: claimed by one run alone, written atomically, and opened without running any code from it."""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from nextchar.config.fields import Knobs, read, shown
from nextchar.config.settings import TrainSettings
from nextchar.errors import BadInput
from nextchar.evaluation.loss import BLOCK, Loss
from nextchar.runs.reading import TensorSpec, check_folder, load_json, load_tensors, load_text

SETTINGS, RECORD, WEIGHTS = "settings.json", "run.json", "weights.safetensors"
SWEEP = "sweep.json"  # in the folder of a sweep
LOSSES, SAMPLES = "test_losses.safetensors", "samples.txt"
CURVE_POINTS = 200  # at most, of a curve in run.json
MOST_UNITS = 4 << 20  # documents whose sums are kept, 32 MiB; of a larger test set a run keeps none
LARGEST_SAMPLES = 1 << 20  # bytes; ours take a tenth at most
PROJECT = Path(__file__).resolve().parents[3]
LIBRARIES = ("nextchar", "numpy", "torch", "lightning", "hydra-core", "omegaconf", "tensorboardX", "safetensors")

Status = Literal["finished", "pruned", "diverged", "interrupted", "failed"]
Metric = float | Literal["inf"]  # JSON has no infinity


class FileRecord(Knobs):
    size: int
    sha256: str


class Curve(Knobs):
    """A loss by step."""

    steps: list[int]
    values: list[Metric]


class DataReport(Knobs):
    """What was read, and how it was dealt out."""

    source: str
    sha256: str
    bytes: int
    lines: int
    kept: int
    skipped: int
    characters: int
    vocabulary: int
    duplicates: int
    documents: dict[str, int]  # by part
    predicted: dict[str, int]  # characters and document ends, by part
    in_train: dict[str, int]  # documents of val and test that stand in train too
    left_out: dict[str, int]  # characters that train lacks, data.unk=skip
    test_sha256: str  # of the test part: two losses compare only where it is equal
    notes: list[str]


class Record(Knobs):
    """run.json."""

    schema_version: Literal[1]
    status: Status
    reason: str
    settings: TrainSettings
    vocabulary: str
    metrics: dict[str, Metric]
    curves: dict[str, Curve]  # of the losses by their names, thinned out; what was counted has none
    data: DataReport | None
    model_file: FileRecord | None  # that the model was read from; what was trained here has none
    ngrams: list[int]  # of a counted model, by order from 1 up
    smoothing: dict[str, list[float]]  # the parameters that were used, by order; what is learned has none
    seeds: dict[str, int]
    versions: dict[str, str]
    git: dict[str, str | bool] | None
    started: str
    seconds: dict[str, float]
    files: dict[str, FileRecord]


class RunFolder:
    """A folder that belongs to one run; all its files appear whole or not at all.

    As long as the run lives it holds a lock on the folder, which the system takes off however the run ends.
    """

    def __init__(self, path: Path, reopened: bool = False) -> None:
        self.path, self.reopened = path, reopened
        self.files: dict[str, FileRecord] = {}
        self._lock = lock(path)

    @classmethod
    def create(cls, parent: Path, label: str, settings: TrainSettings, at: Path | None = None) -> "RunFolder":
        """A new folder under `parent`, or exactly `at`, holding settings.json. Raises BadInput where `at` is taken."""
        path = at or claim(parent, label)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if (path / RECORD).exists() or (path / SWEEP).exists():
                raise BlockingIOError
            folder = cls(path)
            with _temporary(path, json_bytes(settings.plain())) as temporary:
                os.link(temporary, path / SETTINGS)  # unlike a rename, fails where another run was faster
        except OSError as error:
            taken = isinstance(error, BlockingIOError) or (path / SETTINGS).exists()
            why = "already holds a run; name another folder, or none" if taken else f"cannot be made: {error.strerror}"
            raise BadInput(f"the run folder {path} {why}") from None
        return folder

    @classmethod
    def reopen(cls, path: Path) -> "RunFolder":
        """An unfinished run's folder, left as it is until `go_on`. Raises BadInput where the run still runs."""
        try:
            return cls(path, reopened=True)
        except BlockingIOError:
            raise BadInput(f"resume={path}: this run is still running") from None

    def go_on(self, settings: TrainSettings) -> None:
        """Takes the folder up again, maybe with another budget; what was half written is swept up. Raises BadInput."""
        unfinished_settings(self.path)  # once more: it may have finished before the lock was free
        for orphan in [*self.path.glob(".*.tmp"), *self.path.glob("*/.*.tmp")]:
            orphan.unlink(missing_ok=True)
        (self.path / RECORD).unlink(missing_ok=True)
        self.write(SETTINGS, json_bytes(settings.plain()), vouch=False)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def write(self, name: str, content: bytes, vouch: bool = True) -> None:
        """Writes a file atomically; with `vouch` its size and digest go into run.json."""
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        write_atomically(target, content)
        if vouch:
            self.files[name] = FileRecord(size=len(content), sha256=hashlib.sha256(content).hexdigest())

    def finish(self, record: Record) -> None:
        """Writes run.json, the last file of a run."""
        self.write(RECORD, json_bytes(record.plain()), vouch=False)


def lock(folder: Path) -> int:
    """A handle of the folder that locks it until it is closed. Raises BlockingIOError where another one does."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:  # some network file systems lock no folders
        pass
    return handle


def is_running(folder: Path) -> bool:
    """Whether a run holds the lock on its folder. (A run that begins at this very moment finds it taken.)"""
    try:
        os.close(lock(folder))
    except BlockingIOError:
        return True
    return False


def claim(parent: Path, label: str) -> Path:
    """Makes and returns a new folder, named by time and label; of those that ask at once each gets its own."""
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{label}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in range(1, 100_000):
            path = parent / (name if number == 1 else f"{name}_{number}")
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return path
    except OSError as error:
        raise BadInput(f"no run folder can be made in {parent}: {error.strerror}") from None
    raise BadInput(f"{parent} holds 100,000 folders called {name}")


def write_atomically(target: Path, content: bytes | Iterable[bytes]) -> None:
    """The file at `target` is the old one or the new one, whatever happens in between, a power cut included.

    What is too large to be in memory at once may come in parts.

    Raises OSError, naming the target, where it could not be written.
    """
    try:
        with _temporary(target.parent, content) as temporary:
            os.replace(temporary, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None


def json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode("ascii")


def infinite_as_text(metrics: Mapping[str, float]) -> dict[str, Metric]:
    return {key: value if np.isfinite(value) else "inf" for key, value in metrics.items()}


def open_record(path: Path) -> Record:
    """run.json of a finished run's folder, checked. Raises BadInput."""
    check_folder(path, "run")
    if not os.path.lexists(path / RECORD):
        if not os.path.lexists(path / SETTINGS):
            raise BadInput(f"run={path} is no run folder: it holds no {RECORD}")
        raise BadInput(
            f"run={path} holds no {RECORD}: the run has not ended, or was killed; resume={path} goes on with it"
        )
    try:
        record = read(Record, load_json(path / RECORD))
        _refuse_odd(record)
    except BadInput as error:
        where = "" if str(error).startswith(str(path)) else f"{path / RECORD}: "
        raise BadInput(f"{where}{_of_another_version(str(error))}") from None
    if record.status != "finished":
        why = f": {shown(record.reason, 200)}" if record.reason else ""
        raise BadInput(f"run={path}: the run ended as '{record.status}' and left no weights{why}")
    if WEIGHTS not in record.files:
        raise BadInput(f"run={path}: run.json vouches for no {WEIGHTS}")
    return record


def _of_another_version(refusal: str) -> str:
    """What is said of settings that this version lacks, or has in addition: nobody can set them in a finished run."""
    if not refusal.startswith("settings.") or not re.search(" is missing; set |: there is no setting ", refusal):
        return refusal
    return f"{re.split(' is missing; set |=', refusal)[0]}: the run was made by another version of nextchar"


def _refuse_odd(record: Record) -> None:
    """Raises BadInput for what no run of ours writes: references, files elsewhere, half characters."""
    settings = json.dumps(record.settings.plain(), ensure_ascii=False)
    if reference := re.search(r"\$\{[^}]*:[^}]*\}", settings):  # ${oc.env:HOME}; a path may well hold ${x}
        raise BadInput(f"settings are plain values, not references like {shown(reference[0])}")
    for name in record.files:
        if name.startswith("/") or ".." in name.split("/"):
            raise BadInput(f"files: {shown(name)} is not in the run folder")
    if any("\ud800" <= c <= "\udfff" for c in record.vocabulary):
        raise BadInput("the vocabulary holds half a character (a lone surrogate)")


def open_weights(path: Path, record: Record, expected: Mapping[str, TensorSpec]) -> dict[str, np.ndarray]:
    """The tensors of a finished run, as `expected`; None in a shape is any length. Raises BadInput."""
    vouched = record.files[WEIGHTS]
    return load_tensors(path / WEIGHTS, vouched.size, vouched.sha256, expected, most=vouched.size)


def losses_file(loss: Loss) -> bytes:
    """The sums of at most `MOST_UNITS` documents as they are kept: (D,) float32 nats and (D,) uint32 characters."""
    import safetensors.numpy

    return safetensors.numpy.save({"nll": loss.nll.astype(np.float32), "chars": loss.chars.astype(np.uint32)})


def open_losses(path: Path, record: Record) -> Loss | None:
    """The sums of a finished run's test part; None where its folder has no such file. Raises BadInput.

    They must add up to the loss that run.json gives; what is kept is rounded to float32. How many there are is
    run.json's word, for which no more memory is taken than a run of ours may need.
    """
    vouched = record.files.get(LOSSES)
    if record.data is None or vouched is None or not os.path.lexists(path / LOSSES):
        return None
    predicted = record.data.predicted.get("test", 0)
    units = -(-predicted // BLOCK) if record.settings.data.is_text else record.data.documents.get("test", 0)
    if not 0 < units <= MOST_UNITS:
        raise BadInput(
            f"{path / RECORD}: {units:,} documents of test with a sum each; there may be 1 to {MOST_UNITS:,}"
        )
    expected: dict[str, TensorSpec] = {"nll": ("float32", (units,)), "chars": ("uint32", (units,))}
    kept = load_tensors(path / LOSSES, vouched.size, vouched.sha256, expected, most=0, infinite=True)
    loss = Loss(kept["nll"].astype(np.float64), kept["chars"].astype(np.int64))
    if not loss.chars.all() or loss.chars.sum() != predicted:
        raise BadInput(f"{path / LOSSES}: the characters are not the {predicted:,} of run.json")
    if (loss.nll < -1e-3).any():  # a probability of 1, rounded, may be above it by a little
        raise BadInput(f"{path / LOSSES}: a sum is negative, as if a probability were above 1")
    if not np.isclose(loss.value, float(record.metrics.get("test/loss", "nan")), rtol=1e-6, atol=1e-12):
        raise BadInput(f"{path / LOSSES}: the sums do not add up to the test/loss of run.json")
    return loss


def open_samples(path: Path, record: Record) -> str:
    """samples.txt of a finished run. Raises BadInput."""
    vouched = record.files.get(SAMPLES)
    if vouched is None:
        raise BadInput(f"{path / RECORD} vouches for no {SAMPLES}")
    return load_text(path / SAMPLES, vouched.size, vouched.sha256, LARGEST_SAMPLES)


def unfinished_settings(path: Path) -> dict[str, Any]:
    """The plain settings of a run that can be resumed. Raises BadInput."""
    check_folder(path, "resume")
    if not (path / SETTINGS).exists():
        raise BadInput(f"resume={path} holds no {SETTINGS}; it is not a run folder")
    if (path / RECORD).exists() and load_json(path / RECORD).get("status") == "finished":
        raise BadInput(f"resume={path}: this run has finished; start a new one")
    return load_json(path / SETTINGS)


@functools.cache  # a twentieth of a second, for every job of a sweep
def circumstances() -> dict[str, Any]:
    """Under what a run was made: versions of the libraries, and the project's commit where it is a git checkout."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[library] = version(library)
    return {"versions": versions, "git": _git()}


def _git() -> dict[str, str | bool] | None:
    def ask(*words: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(PROJECT), *words]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        return answer.stdout.strip()

    try:
        if Path(ask("rev-parse", "--show-toplevel")).resolve() != PROJECT:
            return None
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


# --- small change ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _temporary(folder: Path, content: bytes | Iterable[bytes]) -> Iterator[str]:
    """A file of this content, on disk, in the same folder (a rename from elsewhere would be a copy)."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o666 & ~_umask())
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(handle)
        yield name
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
