"""Reports each job of a sweep when its run.json appears, while other processes run the jobs."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nextchar.runs.record import RECORD
from nextchar.sweeps.sweep_folder import Job, SweepFolder

POLL_SECONDS = 0.2


class SweepProgress:
    """Receives the progress of a sweep and shows nothing; the command line has a subclass that does."""

    def note(self, text: str) -> None:
        """Receives a remark for the user."""

    def job_ended(self, sweep: SweepFolder, job: Job) -> None:
        """Receives each job that has ended, maybe from another thread."""

    def sweep_ended(self, sweep: SweepFolder) -> None:
        """Receives the sweep with the status of all jobs, also if it was stopped, before its files are written."""


class Monitor:
    """Knows from their folders which of some jobs have ended since it was made."""

    def __init__(self, sweep: SweepFolder, jobs: Sequence[Job], progress: SweepProgress) -> None:
        self._sweep, self._progress = sweep, progress
        self._folders = {job.number: sweep.path / job.folder for job in jobs}
        self._earlier = {job.number: self._recorded(job) for job in jobs}  # run.json of a failed attempt
        self._pending = list(jobs)

    def pending(self) -> list[Job]:
        """The jobs that have not ended; last those that began last, among which is the one that broke a worker."""
        return sorted(self._pending, key=lambda job: _changed(self._folders[job.number]))

    def state(self) -> list[int]:
        """Differs after a job has begun or ended."""
        return [_changed(self._folders[job.number]) for job in self._pending]

    def report(self) -> None:
        """Reports the jobs that have ended."""
        for job in [job for job in self._pending if self._recorded(job) not in (0, self._earlier[job.number])]:
            self._pending.remove(job)
            self._progress.job_ended(self._sweep, job.read_status(self._sweep.path))

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Reports jobs as they end, from a thread."""
        over = threading.Event()

        def poll() -> None:
            while not over.wait(POLL_SECONDS):
                self.report()

        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.report()

    def wait_for_running(self) -> None:
        """Waits for jobs that are still running although their launcher gave up, as submitit does at a dead job."""
        time.sleep(POLL_SECONDS)
        while any(job.read_status(self._sweep.path).status == "running" for job in self._pending):
            time.sleep(POLL_SECONDS)
            self.report()

    def _recorded(self, job: Job) -> int:
        return _changed(self._folders[job.number] / RECORD)


def _changed(path: Path) -> int:
    """The time of the last change to a file or folder, 0 if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
