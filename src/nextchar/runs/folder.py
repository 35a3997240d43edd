"""The folder of a run: belongs to one run, is locked while it runs, logs to train.log, is complete with run.json."""

import contextlib
import fcntl
import hashlib
import itertools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from nextchar.config.train_settings import TrainSettings
from nextchar.errors import BadInput, Interrupted, Stop
from nextchar.runs.atomic import json_bytes, remove_left_over, temporary_file, write_atomically
from nextchar.runs.reading import check_folder, load_json
from nextchar.runs.record import RECORD, SETTINGS, SWEEP, FileRecord, Record, RunFacts, ending

log = logging.getLogger("nextchar")  # the messages of a run go to its train.log


class RunFolder:
    """The folder of one run, as a context: inside it messages go to train.log; on leaving it writes run.json.

    run.json holds the run's `facts` and how it ended. All files but train.log and the event file are written
    atomically. The folder is locked as long as the process lives.
    """

    def __init__(self, path: Path, settings: TrainSettings, facts: RunFacts, stop: Stop) -> None:
        self.path, self.settings, self.facts, self.stop = path, settings, facts, stop
        self.files: dict[str, FileRecord] = {}
        self._lock = lock(path)
        self._log = logging_to(path / "train.log")

    @classmethod
    def create(cls, path: Path, settings: TrainSettings, facts: RunFacts, stop: Stop) -> "RunFolder":
        """Makes a folder with settings.json in it, or takes one that is there. Raises BadInput if it holds a run."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            if (path / RECORD).exists() or (path / SWEEP).exists():
                raise BlockingIOError
            folder = cls(path, settings, facts, stop)
            try:
                prefix = f".{SETTINGS}."
                remove_left_over(path, prefix)
                with temporary_file(path, json_bytes(settings.plain()), prefix) as temporary:
                    os.link(temporary, path / SETTINGS)  # unlike a rename, fails where another run was faster
            except OSError:
                os.close(folder._lock)
                raise
        except OSError as error:
            taken = isinstance(error, BlockingIOError) or (path / SETTINGS).exists()
            why = "already holds a run; name another folder, or none" if taken else f"cannot be made: {error.strerror}"
            raise BadInput(f"the run folder {path} {why}") from None
        return folder

    @classmethod
    def resume(
        cls, path: Path, settings: TrainSettings, check: Callable[[Path], None], facts: RunFacts, stop: Stop
    ) -> "RunFolder":
        """Opens the folder of an unfinished run to resume it with these settings; deletes half-written files.

        Raises BadInput, and changes nothing, if the run is still running, has finished, or `check` refuses the folder.
        """
        settings = settings.model_copy(update={"resume": None})
        try:
            folder = cls(path, settings, facts, stop)
        except BlockingIOError:
            raise BadInput(f"resume={path}: this run is still running") from None
        try:
            unfinished_settings(path)  # once more: it may have finished before the lock was free
            check(path)
            for leftover in [*path.glob(".*.tmp"), *path.glob("*/.*.tmp")]:
                leftover.unlink(missing_ok=True)
            (path / RECORD).unlink(missing_ok=True)
            folder.write(SETTINGS, json_bytes(settings.plain()), in_record=False)
        except BaseException:
            os.close(folder._lock)
            raise
        return folder

    def __enter__(self) -> "RunFolder":
        self.log_file = self._log.__enter__()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.stop.hold()  # from here on run.json is written, however many signals come
        ended = self.stop.asked or error
        if isinstance(ended, OSError) and ended.errno is not None and ended.filename is None:
            ended.filename = str(self.path)  # a full disk, met by the writer of the event file
        if isinstance(ended, Interrupted):
            ended.folder = self.path
        status, reason = ending(ended)
        if ended is not None:
            log.error("%s: %s", status, reason, exc_info=error or ended)
        try:
            self.finish(self.facts.record(status, reason, self.settings, self.files))
        except Exception as unwritten:  # this must not hide the error that ended the run
            log.exception("%s could not be written", RECORD)
            with contextlib.suppress(OSError):  # renamed but not on disk: the exit code says that the run failed
                (self.path / RECORD).unlink()
            ended = ended or unwritten
        finally:
            self._log.__exit__(None, None, None)
            os.close(self._lock)
        if ended is not None and ended is not error:
            raise ended

    def write(self, name: str, content: bytes, in_record: bool = True) -> None:
        """Writes a file atomically; `in_record`: its size and digest go into run.json."""
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        write_atomically(target, content)
        if in_record:
            self.files[name] = FileRecord(size=len(content), sha256=hashlib.sha256(content).hexdigest())

    def finish(self, record: Record) -> None:
        """Writes run.json, the last file of a run."""
        self.write(RECORD, json_bytes(record.plain()), in_record=False)


def lock(folder: Path) -> int:
    """Locks a folder until the returned handle is closed. Raises BlockingIOError if it is locked already."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:  # some network file systems cannot lock folders
        pass
    return handle


def is_running(folder: Path) -> bool:
    """Whether a run has locked its folder. Asking locks it for a moment, in which no run can start there."""
    try:
        os.close(lock(folder))
    except BlockingIOError:
        return True
    return False


def new_folder(parent: Path, label: str) -> Path:
    """Makes a folder named by time and label, a different one for each process that asks. Raises BadInput."""
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{label}"
    path, numbers = parent / name, itertools.count(2)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            with contextlib.suppress(FileExistsError):
                path.mkdir()
                return path
            path = parent / f"{name}_{next(numbers)}"
    except OSError as error:
        raise BadInput(f"no run folder can be made in {parent}: {error.strerror}") from None


def unfinished_settings(path: Path) -> dict[str, Any]:
    """Reads the plain settings of a run that can be resumed. Raises BadInput."""
    check_folder(path, "resume")
    if not (path / SETTINGS).exists():
        raise BadInput(f"resume={path} holds no {SETTINGS}; it is not a run folder")
    if (path / RECORD).exists() and load_json(path / RECORD).get("status") == "finished":
        raise BadInput(f"resume={path}: this run has finished; start a new one")
    return load_json(path / SETTINGS)


# --- train.log ------------------------------------------------------------------------------------------------------


class _LogFile(logging.FileHandler):
    """Keeps the error of a full disk, which the run reports once, where other handlers print a traceback a line."""

    failure: OSError | None = None

    def handleError(self, record: logging.LogRecord) -> None:
        if isinstance(error := sys.exception(), OSError):
            self.failure = error
        else:
            super().handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[_LogFile]:
    """Writes the log messages of nextchar, Lightning and Python's warnings to a file, and nowhere else."""
    handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = [logging.getLogger(name) for name in ("nextchar", "lightning.pytorch", "lightning.fabric", "py.warnings")]
    propagated = [logger.propagate for logger in loggers]
    logging.captureWarnings(True)
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    log.setLevel(logging.INFO)
    try:
        yield handler
    finally:
        for logger, before in zip(loggers, propagated, strict=True):
            logger.removeHandler(handler)
            logger.propagate = before
        logging.captureWarnings(False)
        handler.close()
