"""One job of a sweep, in whatever process a launcher runs it."""

import os
from pathlib import Path

from nextchar import training
from nextchar.board import in_front
from nextchar.run import RECORD, SETTINGS
from nextchar.search import reporter
from nextchar.sweep import PROCESS, planned_job


def run(folder: Path) -> None:
    """Runs the job that its sweep has planned for this folder, or goes on with it where it was begun.

    Whatever goes wrong stands in the folder's run.json and train.log and does not stop other jobs; only a request to
    stop (Interrupted) does.
    """
    job, search, columns = planned_job(folder)
    folder.mkdir(exist_ok=True)
    process = folder / PROCESS
    process.write_text(str(os.getpid()))
    begun = (folder / SETTINGS).exists()
    (folder / RECORD).unlink(missing_ok=True)  # of an attempt that failed
    settings = job.settings.model_copy(update={"resume": str(folder)}) if begun else job.settings
    at = None if begun else folder
    try:
        report = reporter(folder.parent, job, search.settings.prune) if search else lambda step, loss: None
        training.train(settings, lambda result: None, at, report, in_front(columns))
    except Exception as error:
        if not (folder / RECORD).exists():
            training.record_failure(settings, error, None if (folder / SETTINGS).exists() else folder)
    finally:
        process.unlink(missing_ok=True)
