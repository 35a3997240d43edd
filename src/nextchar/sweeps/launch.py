"""Runs the jobs of a planned sweep, in this process or by a launcher of Hydra, and writes the sweep's table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.experimental.callback import Callback
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from nextchar.config.compose import Command, config_loader, parse_overrides
from nextchar.config.diagnose import LAUNCHER
from nextchar.config.quoting import quote
from nextchar.config.recorded import recorded_settings, refuse_unsafe_words
from nextchar.config.train_settings import TrainCommand
from nextchar.errors import BadInput, Stop
from nextchar.messages import shown
from nextchar.runs.atomic import write_atomically
from nextchar.runs.folder import new_folder
from nextchar.runs.record import PROJECT
from nextchar.sweeps import job as one_job
from nextchar.sweeps.monitor import Monitor, SweepProgress
from nextchar.sweeps.plan import Composer, as_typed, cautions
from nextchar.sweeps.search import Study
from nextchar.sweeps.sweep_folder import Job, SweepFolder
from nextchar.sweeps.table import csv_table, picture

QUIET = ("hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.output_subdir=null", "hydra.job.name=train")


def run(sweep: SweepFolder, command: Command[TrainCommand], progress: SweepProgress) -> bool:
    """Runs the jobs of a sweep that are not done; returns whether the files of its table could be written.

    Raises BadInput if the folder cannot be used; Interrupted, after the table is reported and written.
    """
    path = command.path("hydra.sweep.dir")
    if sweep.is_new:
        sweep.create(path or new_folder(PROJECT / "outputs", "sweep"))
    elif path:
        raise BadInput("hydra.sweep.dir: a resumed sweep stays in its folder")
    with sweep.locked(), Stop() as stop:
        sweep.save()
        for text in cautions(command, sweep):
            progress.note(text)
        try:
            _run_jobs(sweep, command, progress)
        except (OSError, BadInput) as error:
            progress.note(f"the sweep cannot continue: {error}")
        finally:
            stop.hold()  # from here on the table is written, however many signals come
            sweep.refresh()
            progress.sweep_ended(sweep)
            is_written = False
            try:
                sweep.save()
                write_atomically(sweep.path / "sweep.csv", csv_table(sweep).encode())
                if png := picture(sweep):
                    write_atomically(sweep.path / "sweep.png", png)
                is_written = True
            except OSError as error:
                progress.note(f"the table cannot be written: {error}")
    return is_written


def _run_jobs(sweep: SweepFolder, command: Command[TrainCommand], progress: SweepProgress) -> None:
    config = _launcher_config(command, sweep.path)
    if sweep.search is not None:
        at_once = config.hydra.launcher.get("n_jobs") if config else None
        for batch in trials(sweep, command.typed, at_once):
            if not _run_batch(sweep, batch, config, progress):
                break
        return
    for job in sweep.jobs:
        if job.status == "running":
            progress.note(f"job {job.number} is still running elsewhere and is left alone")
    _run_batch(sweep, [job for job in sweep.unfinished() if job.status != "running"], config, progress)


def _run_batch(sweep: SweepFolder, jobs: Sequence[Job], config: DictConfig | None, progress: SweepProgress) -> bool:
    """Runs jobs; returns False if the launcher can start none.

    A worker that dies (killed, out of memory) can take its neighbours and all waiting jobs along. All jobs without a
    new run.json are launched again, and those that still have none a last time, one by one, so that only the job
    that kills its worker stays without a result.
    """
    if config is None:
        for job in jobs:
            if error := one_job.run(sweep.path / job.folder):
                progress.note(error)
            else:
                progress.job_ended(sweep, job.read_status(sweep.path))
        return True
    monitor = Monitor(sweep, jobs, progress)
    for one_by_one in (False, False, True):
        pending, failed = monitor.pending(), False
        for batch in [[job] for job in pending] if one_by_one else [pending]:
            before = monitor.state()
            try:
                with monitor.reporting():
                    errors = _launch(config, batch)
            except Exception as error:
                failed, errors = True, []
                monitor.wait_for_running()
                if monitor.state() == before:
                    reason = " ".join(str(error).split()) or type(error).__name__
                    progress.note(f"the launcher gave up: {shown(reason, 300)}")
                    return False
            for text in errors:
                progress.note(text)
        if not failed or not monitor.pending():
            return True
    for job in monitor.pending():
        progress.job_ended(sweep, job.read_status(sweep.path))
    return True


def _launcher_config(command: Command[TrainCommand], folder: Path) -> DictConfig | None:
    """Composes Hydra's own part of a configuration, with the launcher that was typed; None for hydra/launcher=basic.

    Hydra's basic launcher runs jobs in this process, one after the other, and so do we without it: it composes and
    copies a configuration for each job, which takes longer than counting a bigram.
    """
    if command.typed.get(LAUNCHER) in (None, "basic"):
        return None
    own = quote(TrainCommand, [f"hydra.sweep.dir={folder}"], multirun=False)
    return config_loader().load_configuration(None, [*command.for_launcher, *QUIET, *own], RunMode.MULTIRUN)


def _launch(config: DictConfig, jobs: Sequence[Job]) -> list[str]:
    """Runs jobs by Hydra's launcher, which hands `_task` to other processes; returns the errors of `job.run`.

    Raises whatever the launcher raises, as when a worker dies.
    """
    context = HydraContext(config_loader=config_loader(), callbacks=Callback())  # type: ignore[arg-type]  # has its methods
    launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=_task, config=config)
    returned = launcher.launch([[f"hydra.sweep.subdir='{job.folder}'"] for job in jobs], initial_job_idx=0)
    return [error for each in returned if (error := each.return_value)]


def _task(config: DictConfig) -> str:
    """Runs a job in the process that the launcher has chosen; its settings are in sweep.json, not in `config`."""
    return one_job.run(Path(HydraConfig.get().runtime.output_dir))


def trials(sweep: SweepFolder, typed: Mapping[str, Any], launched_at_once: int | None) -> Iterator[list[Job]]:
    """Chooses the jobs of a search in batches to be launched: first those that an earlier attempt left unfinished.

    The study hears the results of a batch before it chooses the next.
    """
    assert sweep.search is not None
    search, study = sweep.search, Study(sweep.path, sweep.search)
    composer = Composer()
    at_once = search.settings.at_once or max(1, launched_at_once or 1)

    def add(words: list[str]) -> Job:
        refuse_unsafe_words(words, str(sweep.path))  # a resumed study may be a stranger's too
        overrides = parse_overrides([*search.fixed, *words])
        shown = [as_typed(override) for override in overrides]
        settings = recorded_settings(composer.settings(overrides).plain(), typed, str(sweep.path))
        return sweep.add(shown, settings, shown[len(search.fixed) :], search.settings.n_trials)

    for words in study.asked()[len(sweep.jobs) :]:  # chosen just before the process was killed
        add(words)
    for job in sweep.jobs:  # ended just before the process was killed
        study.tell(job, sweep.wanted_metric)
    waiting = sweep.unfinished()
    while waiting or len(sweep.jobs) < search.settings.n_trials:
        batch, waiting = waiting[:at_once], waiting[at_once:]
        while not waiting and len(batch) < at_once and len(sweep.jobs) < search.settings.n_trials:
            batch.append(add(study.ask()))
        sweep.save()
        yield batch
        sweep.refresh()
        for job in batch:
            study.tell(sweep.jobs[job.number], sweep.wanted_metric)
