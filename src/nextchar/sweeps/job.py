"""One job of a sweep, in whatever process a launcher runs it."""

import os
from pathlib import Path

from nextchar.cli import terminal
from nextchar.config.train_settings import TrainSettings
from nextchar.runs.folder import RECORD, SETTINGS
from nextchar.sweeps.folder import PROCESS, Job, Search, planned_job
from nextchar.sweeps.search import reporter
from nextchar.training import train as training
from nextchar.training.tensorboard import in_front


def run(folder: Path) -> None:
    """Runs the job that its sweep has planned for this folder, or goes on with it where it was begun.

    Whatever goes wrong stands in the folder's run.json and train.log and does not stop other jobs; only a request to
    stop (Interrupted) does.
    """
    process = folder / PROCESS
    try:
        job, search, columns = planned_job(folder)
        folder.mkdir(exist_ok=True)
        process.write_text(str(os.getpid()))
        (folder / RECORD).unlink(missing_ok=True)  # of an attempt that failed
        try:
            _train(folder, job, search, columns)
        except Exception as error:
            if not (folder / RECORD).exists():
                training.record_failure(*_placed(job.settings, folder), error)
        finally:
            process.unlink(missing_ok=True)
    except Exception as error:  # not even the failure can be written down, as on a full disk
        terminal.note(f"{folder.name}: {error}")


def _train(folder: Path, job: Job, search: Search | None, columns: list[str]) -> None:
    settings, at = _placed(job.settings, folder)
    report = reporter(folder.parent, job, search.settings.prune) if search else lambda step, loss: None
    training.train(settings, at, report=report, in_front=in_front(columns))


def _placed(settings: TrainSettings, folder: Path) -> tuple[TrainSettings, Path | None]:
    """The settings of a run in this folder and nowhere else, and the folder where it has yet to begin."""
    begun = (folder / SETTINGS).exists()
    return settings.model_copy(update={"resume": str(folder) if begun else None}), None if begun else folder
