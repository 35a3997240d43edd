"""Runs one job of a sweep, in the process that a launcher has given it."""

import os
from pathlib import Path

from nextchar.config.train_settings import TrainSettings
from nextchar.runs.record import RECORD, SETTINGS
from nextchar.sweeps.search import TrialProgress
from nextchar.sweeps.sweep_folder import DONE, read_job
from nextchar.training import train as training
from nextchar.training.progress import SILENT


def run(folder: Path) -> str:
    """Runs the job that sweep.json plans for this folder; resumes it if an earlier attempt was interrupted.

    An error goes to the folder's run.json and train.log and stops no other job; only Interrupted is raised. Returns
    '', or the error if not even run.json could be written, as on a full disk.
    """
    try:
        job, search, differing = read_job(folder)
        if job.read_status(folder.parent).status in DONE:  # a launcher may have started the job twice
            return ""
        folder.mkdir(exist_ok=True)
        os.utime(folder)  # monitor.py sees that the job has begun, even if it dies before it writes a file
        (folder / RECORD).unlink(missing_ok=True)  # of an attempt that failed
        try:
            progress = TrialProgress(folder.parent, job, search.settings.prune) if search else SILENT
            training.train(*_settings_and_folder(job.settings, folder), progress, differing)
        except Exception as error:
            if not (folder / RECORD).exists():
                training.record_failure(*_settings_and_folder(job.settings, folder), error)
    except Exception as error:
        return f"{folder.name}: {error}"
    return ""


def _settings_and_folder(settings: TrainSettings, folder: Path) -> tuple[TrainSettings, Path | None]:
    """The settings of a run that resumes in this folder, or, for a new run, the settings and the folder to use."""
    begun = (folder / SETTINGS).exists()
    return settings.model_copy(update={"resume": str(folder) if begun else None}), None if begun else folder
