"""Trains a model: python scripts/train.py model=nn optim.lr=15; a sweep of four: -m smoothing.k=0.01,0.1,1,10"""

import os
import shlex
import sys

from nextchar.cli import terminal
from nextchar.cli.parse import parse, run_script
from nextchar.config.compose import Command
from nextchar.config.fields import validated
from nextchar.config.train_settings import TrainCommand, TrainSettings
from nextchar.config.trainer_settings import Ddp
from nextchar.errors import BadInput, Interrupted
from nextchar.runs.folder import unfinished_settings
from nextchar.sweeps.folder import Job, SweepFolder
from nextchar.sweeps.launch import run
from nextchar.sweeps.plan import plan
from nextchar.training import train as training
from nextchar.training.progress import Result


def main() -> None:
    command = parse("train", TrainCommand, sys.argv[1:], __doc__, job=True)
    if command.multirun:
        many(command)
    else:
        one(command)


# --- one run --------------------------------------------------------------------------------------------------------


def one(command: Command[TrainCommand]) -> None:
    if strange := [key for key in command.typed if key.startswith(("sweep", "hydra.sweep."))]:
        raise BadInput(f"{strange[0]} belongs to a sweep; say -m")
    settings = command.settings().run() if command.typed.get("resume") is None else resumed(command)
    if one_of_many_processes() and not isinstance(settings.trainer, Ddp):
        raise BadInput("torchrun or srun has started several processes, and only trainer=ddp has a use for them")
    try:
        training.train(settings, command.path("hydra.run.dir"), TerminalProgress(settings))
    except Interrupted as stopped:
        if stopped.folder is not None:
            again = shlex.quote(terminal.short(stopped.folder))
            terminal.note(f"to go on with this run: python scripts/train.py resume={again}")
        raise


def resumed(command: Command[TrainCommand]) -> TrainSettings:
    """The settings that an interrupted run began with; only its budget may be another."""
    typed = command.typed
    if strange := [key for key in typed if key not in ("resume", "json", "trainer.max_steps")]:
        raise BadInput(
            f"{strange[0]}: a resumed run keeps its settings; beside resume=DIR only trainer.max_steps may change"
        )
    path = command.path("resume")
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


def many(command: Command[TrainCommand]) -> None:
    """Plans a sweep, checks all of its jobs, and runs them."""
    if one_of_many_processes():
        raise BadInput("torchrun and srun would run the whole sweep in each process; start it without them")
    sweep, settings = plan(command)
    if settings.dry_run:
        terminal.planned(sweep)
        return
    is_written = run(sweep, command, TerminalSweep(command))
    if sweep.missing:
        terminal.say(f"error: {sweep.missing:,} of {sweep.total:,} jobs did not finish")
    if sweep.missing or not is_written:
        raise SystemExit(1)


class TerminalSweep:
    """Shows a sweep on the terminal: its jobs on stderr, its table and what to type next on stdout."""

    note = staticmethod(terminal.note)

    def __init__(self, command: Command[TrainCommand]) -> None:
        self.command, self.keys = command, list[str]()

    def job_ended(self, sweep: SweepFolder, job: Job) -> None:
        self.keys = self.keys or sweep.swept_keys()  # once, because it reads all jobs
        terminal.job_ended(sweep, job, self.keys)

    def sweep_ended(self, sweep: SweepFolder) -> None:
        with terminal.even_if_nobody_reads():
            if self.command.typed.get("json"):
                terminal.print_json([job.plain() for job in sweep.ranked()])
            else:
                self._print(sweep)

    def _print(self, sweep: SweepFolder) -> None:
        terminal.sweep(sweep)
        print()
        if best := sweep.best():
            print(f"best         {shlex.join(best.overrides)}")
        if running := [str(job.number) for job in sweep.jobs if job.status == "running"]:
            print(f"still runs   {', '.join(running)}: whoever launched them must end them")
        if sweep.missing:
            again = [f"sweep.resume={terminal.short(sweep.path)}", *self.command.for_launcher]
            print(f"to go on     python scripts/train.py -m {shlex.join(again)}")
        print(f"sweep folder {terminal.short(sweep.path)}")
        print(f"curves       tensorboard --logdir {shlex.quote(terminal.short(sweep.path))}")


if __name__ == "__main__":
    run_script(main)
