"""Hydra's side of a sweep: hands the jobs of a planned sweep to whatever launcher was chosen.

The folder hydra.sweep.dir holds the plan (nextchar.sweeps.folder). This package is found by Hydra through its place
in the namespace `hydra_plugins`, which must hold no `__init__.py`.
"""

import contextlib
import copy
import os
import select
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from nextchar.cli import terminal
from nextchar.errors import BadInput
from nextchar.messages import shown
from nextchar.runs.folder import RECORD, is_running
from nextchar.sweeps.folder import PROCESS, Job, SweepFolder, columns, looked_at
from nextchar.sweeps.job import run as run_job
from nextchar.sweeps.plan import trials
from nextchar.training import tensorboard as board

# Seconds between two looks. Which of two processes died first is seen only if both were seen alive
POLL = {"this process": 0.05, "others": 0.005}
LOOK_AHEAD = 16  # jobs that may be the next to begin; launchers keep their order
PATIENCE = 1.0  # seconds between two looks at jobs that go on after their launcher has given up

ConfigStore.instance().store(
    group="hydra/sweeper",
    name="nextchar",
    node={"_target_": "hydra_plugins.nextchar_sweeper.NextcharSweeper"},
    provider="nextchar",
)


class Planned:
    """Stands for Hydra's config loader, of which launchers ask one thing: the configuration of a job.

    Ours is in the plan, checked already; all that the job must be told is its folder. Composing it anew would cost as
    much as counting does.
    """

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        config = copy.deepcopy(master_config)
        with open_dict(config):
            config.hydra.sweep.subdir = sweep_overrides[0]
        return config


class NextcharSweeper(Sweeper):
    """Launches what has not finished of the sweep in hydra.sweep.dir."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.folder = Path(config.hydra.sweep.dir)
        self.at_once = OmegaConf.select(config, "hydra.launcher.n_jobs")
        context = HydraContext(config_loader=Planned(), callbacks=hydra_context.callbacks)  # type: ignore[arg-type]
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=task_function, config=config
        )
        self.here = isinstance(self.launcher, BasicLauncher)

    def sweep(self, arguments: list[str]) -> Any:
        try:
            self._sweep(SweepFolder.read(self.folder))
        except (OSError, BadInput) as error:  # the table is made all the same
            terminal.note(f"the sweep cannot go on: {error}")

    def _sweep(self, sweep: SweepFolder) -> None:
        if sweep.search is not None:
            for batch in trials(sweep, self.at_once):
                if not self._run(sweep, batch):
                    return
            return
        in_front = board.in_front(columns([job.settings.plain() for job in sweep.jobs]))
        for job in sweep.jobs:  # those of a resumed sweep
            board.show_at_first(sweep.path / job.folder, in_front)
        for job in sweep.jobs:
            if job.status == "running":
                terminal.note(f"job {job.number} still runs elsewhere, and is left alone")
        self._run(sweep, [job for job in sweep.unfinished() if job.status != "running"])

    def _run(self, sweep: SweepFolder, jobs: Sequence[Job]) -> bool:
        """Launches jobs; what a worker that died took along is launched again. Returns whether all were launched."""
        waiting = list(jobs)
        while waiting:
            with Vigil(sweep, waiting, elsewhere=not self.here) as vigil:
                try:
                    self._launch([job.folder for job in waiting])
                    return True
                except Exception as error:
                    why = " ".join(str(error).split()) or type(error).__name__
                    vigil.wait_for_survivors()
            rest = [job for job in waiting if not vigil.ended(job) and job not in vigil.lost()]
            if len(rest) == len(waiting):
                terminal.note(f"the launcher gave up: {shown(why, 300)}")
                return False
            waiting = rest
        return True

    def _launch(self, folders: list[str]) -> None:
        assert self.launcher is not None
        if self.here:  # what Hydra's own launcher does with each job's configuration would cost half of counting
            for folder in folders:
                run_job(self.folder / folder)
        else:
            self.launcher.launch([[folder] for folder in folders], initial_job_idx=0)


class Vigil(threading.Thread):
    """Watches jobs from the launching process: says how each ended, and sees which process was the first to die."""

    def __init__(self, sweep: SweepFolder, jobs: Sequence[Job], elsewhere: bool) -> None:
        super().__init__(daemon=True)
        self.sweep, self.jobs, self.elsewhere = sweep, jobs, elsewhere
        self.before = {job.folder: _stamp(self._record(job)) for job in jobs}  # of a resumed sweep
        self.pending = list(jobs)
        self.varied = sweep.varied()
        self.total = sweep.planned_number()
        self.alive: dict[int, Job] = {}  # by a handle of the process
        self.first_dead: list[Job] = []
        self.over = threading.Event()
        for job in jobs:
            with contextlib.suppress(OSError):
                self._process(job).unlink()

    def __enter__(self) -> "Vigil":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()
        self._say_what_ended()
        for job in self.first_dead:
            self._say(job)
        for handle in self.alive:
            os.close(handle)

    def run(self) -> None:
        while not self.over.is_set():
            if self.elsewhere:
                self._see_who_began()
                self._see_who_died(POLL["others"])
            else:
                self.over.wait(POLL["this process"])
            self._say_what_ended()

    def ended(self, job: Job) -> bool:
        """Whether a job has written how it ended."""
        return _stamp(self._record(job)) not in (None, self.before[job.folder])

    def lost(self) -> list[Job]:
        """Jobs that will not be launched again: whose process died first, or, where that could not be seen, at all."""
        return self.first_dead or [job for job in self.jobs if self._process(job).exists()]

    def wait_for_survivors(self) -> None:
        """Some launchers give up while other jobs go on (submitit)."""
        time.sleep(PATIENCE)
        while any(is_running(self._record(job).parent) for job in self.jobs if self._process(job).exists()):
            time.sleep(PATIENCE)

    def _see_who_began(self) -> None:
        watched = {job.folder for job in self.alive.values()}
        for job in [job for job in self.pending if job.folder not in watched][:LOOK_AHEAD]:
            if (process := _number(self._process(job))) is not None:
                with contextlib.suppress(OSError, AttributeError):  # on another machine, or a system without
                    self.alive[os.pidfd_open(process)] = job

    def _see_who_died(self, seconds: float) -> None:
        poll = select.poll()
        for handle in self.alive:
            poll.register(handle, select.POLLIN)
        died = [self.alive[handle] for handle, _ in poll.poll(seconds * 1000)]
        if not self.first_dead:
            self.first_dead = [job for job in died if not self.ended(job)]

    def _say_what_ended(self) -> None:
        for job in [job for job in self.pending if self.ended(job)]:
            self.pending.remove(job)
            for handle in [handle for handle, other in self.alive.items() if other is job]:
                os.close(handle)
                del self.alive[handle]
            self._say(job)

    def _say(self, job: Job) -> None:
        terminal.job_ended(self.sweep, looked_at(job, self.sweep.path), self.total, self.varied)

    def _record(self, job: Job) -> Path:
        return self.sweep.path / job.folder / RECORD

    def _process(self, job: Job) -> Path:
        return self.sweep.path / job.folder / PROCESS


def _stamp(path: Path) -> int | None:
    """When a file was written, None where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
