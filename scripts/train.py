"""Trains a model: python scripts/train.py model=nn optim.lr=15; a sweep of four: -m smoothing.k=0.01,0.1,1,10"""

import os
import shlex
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nextchar.cli import terminal
from nextchar.cli.parse import parse, run_script
from nextchar.config import compose
from nextchar.config.fields import validated
from nextchar.config.groups import CONF
from nextchar.config.quoting import quote
from nextchar.config.train_settings import TrainCommand, TrainSettings
from nextchar.config.trainer_settings import Ddp
from nextchar.errors import BadInput, Interrupted, Stop
from nextchar.runs.atomic import write_atomically
from nextchar.runs.folder import claim, unfinished_settings
from nextchar.runs.record import PROJECT
from nextchar.sweeps import plan as multirun
from nextchar.sweeps.folder import SweepFolder, line_to_paste
from nextchar.sweeps.job import run as run_job
from nextchar.training import train as training
from nextchar.training.progress import Result

Command = compose.Command[TrainCommand]


def main() -> None:
    command = parse("train", TrainCommand, sys.argv[1:], __doc__, job=True)
    if command.multirun:
        many(command)
    else:
        one(command)


# --- one run --------------------------------------------------------------------------------------------------------


def one(command: Command) -> None:
    if strange := [key for key in command.typed if key.startswith(("sweep", "hydra.sweep."))]:
        raise BadInput(f"{strange[0]} belongs to a sweep; say -m")
    settings = command.settings().run() if command.typed.get("resume") is None else resumed(command)
    if one_of_many_processes() and not isinstance(settings.trainer, Ddp):
        raise BadInput("torchrun or srun has started several processes, and only trainer=ddp has a use for them")
    try:
        training.train(settings, folder(command, "hydra.run.dir"), TerminalProgress(settings))
    except Interrupted as stopped:
        if stopped.folder is not None:
            again = shlex.quote(terminal.short(stopped.folder))
            terminal.note(f"to go on with this run: python scripts/train.py resume={again}")
        raise


def resumed(command: Command) -> TrainSettings:
    """The settings that an interrupted run began with; only its budget may be another."""
    typed = command.typed
    if strange := [key for key in typed if key not in ("resume", "json", "trainer.max_steps")]:
        raise BadInput(
            f"{strange[0]}: a resumed run keeps its settings; beside resume=DIR only trainer.max_steps may change"
        )
    path = folder(command, "resume")
    if path is None:
        raise BadInput("resume=: must be a path")
    values = unfinished_settings(path) | {"resume": str(path)}
    if "trainer.max_steps" in typed:
        if not isinstance(values.get("trainer"), dict):
            raise BadInput("trainer.max_steps: a counted run has no steps")
        values["trainer"] |= {"max_steps": typed["trainer.max_steps"]}
    if "json" in typed:
        values["json"] = typed["json"]
    return validated(TrainSettings, values)


def folder(command: Command, key: str) -> Path | None:
    """The folder that was typed for a key, None where none was."""
    typed = command.typed.get(key)
    return Path(os.path.abspath(Path(typed).expanduser())) if typed else None


def one_of_many_processes() -> bool:
    """Whether torchrun or srun has started this process among others."""
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE") != "1"
    return by_torchrun or int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1


class TerminalProgress:
    """Shows a run on the terminal: its phases and steps on stderr, its result as a table or as JSON."""

    phase, steps, note = staticmethod(terminal.busy), staticmethod(terminal.steps), staticmethod(terminal.note)

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings

    def result(self, result: Result) -> None:
        with terminal.even_if_nobody_reads():
            self._print(result)

    def _print(self, result: Result) -> None:
        for text in result.notes:
            terminal.note(text)
        if self.settings.json_:
            terminal.print_json(
                {
                    "run": str(result.folder),
                    "metrics": result.metrics,
                    "samples": result.samples,
                    "seconds": result.seconds,
                }
            )
            return
        took = sum(result.seconds.values())
        terminal.losses(result.metrics, f"{self.settings.model.name} on {result.report.source}, {took:.2f} s")
        terminal.report(result.report, self.settings.data.is_text)
        terminal.samples(result.samples)
        print(f"\nrun folder   {terminal.short(result.folder)}")
        print(f"curves       tensorboard --logdir {shlex.quote(terminal.short(result.folder.parent))}")


# --- a sweep --------------------------------------------------------------------------------------------------------


def many(command: Command) -> None:
    """Plans a sweep, and hands the plan to Hydra once every job in it is known to be sound."""
    if one_of_many_processes():
        raise BadInput("torchrun and srun would run the whole sweep in each process; start it without them")
    for key, meant in (("resume", "sweep.resume=DIR"), ("hydra.run.dir", "hydra.sweep.dir=DIR")):
        if command.typed.get(key) is not None:
            raise BadInput(f"{key} is for one run; for a sweep there is {meant}")
    sweep, settings = multirun.plan(command)
    if settings.dry_run:
        terminal.planned(sweep)
        return
    at = folder(command, "hydra.sweep.dir")
    if sweep.is_new:
        sweep.place(at or claim(PROJECT / "outputs", "sweep"))
    elif at is not None:
        raise BadInput("hydra.sweep.dir: a resumed sweep stays in its folder")
    with sweep.locked(), Stop() as stop:
        sweep.save()
        for text in multirun.cautions(command, sweep):
            terminal.note(text)
        try:
            launch(command, sweep)
        finally:
            stop.hold()  # from here on the table gets made, however often one asks to stop
            sweep = SweepFolder.read(sweep.path)  # a search has chosen its jobs meanwhile
            is_written = conclude(command, sweep, stop.asked is not None)
    if missing := sweep.planned_number() - sweep.finished_number():
        terminal.say(f"error: {missing:,} of {sweep.planned_number():,} jobs did not finish")
    if missing or not is_written:
        raise SystemExit(1)


def launch(command: Command, sweep: SweepFolder) -> None:
    """Hydra composes its own part, and calls our sweeper, which finds the plan in the folder."""
    own = quote(TrainCommand, [f"hydra.sweep.dir={sweep.path}"], multirun=False)
    sys.argv[1:] = ["-m", "hydra/sweeper=nextchar", *command.for_launcher, *own]
    job()


def conclude(command: Command, sweep: SweepFolder, stopped: bool) -> bool:
    """What became of the jobs: the table, and the files that hold the same. Returns whether these could be written."""
    from nextchar.sweeps import table as sweep_report

    if stopped:
        sweep.blame_the_stop()
    with terminal.even_if_nobody_reads():
        if command.typed.get("json"):
            terminal.print_json([job.plain() for job in sweep.ranked()])
        else:
            tell(command, sweep)
    try:
        sweep.save()
        write_atomically(sweep.path / "sweep.csv", sweep_report.table(sweep).encode())
        if png := sweep_report.picture(sweep):
            write_atomically(sweep.path / "sweep.png", png)
    except OSError as error:
        terminal.note(f"the table cannot be written: {error}")
        return False
    return True


def tell(command: Command, sweep: SweepFolder) -> None:
    """The table on the terminal, and what to type next."""
    terminal.sweep(sweep)
    print()
    if best := sweep.best():
        print(f"best         {line_to_paste(best)}")
    if running := [str(job.number) for job in sweep.jobs if job.status == "running"]:
        print(f"still runs   {', '.join(running)}: whoever launched them must end them")
    if sweep.finished_number() < sweep.planned_number():
        again = [f"sweep.resume={terminal.short(sweep.path)}", *command.for_launcher]
        print(f"to go on     python scripts/train.py -m {shlex.join(again)}")
    print(f"sweep folder {terminal.short(sweep.path)}")
    print(f"curves       tensorboard --logdir {shlex.quote(terminal.short(sweep.path))}")


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def job(config: DictConfig) -> None:
    """One job of a sweep, in whatever process the launcher runs it."""
    run_job(Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    run_script(main)
