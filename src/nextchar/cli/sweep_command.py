"""train -m: a sweep over several runs."""

import shlex

from nextchar.cli import tables
from nextchar.cli.parse import Called
from nextchar.cli.printing import dropped_if_unread, note, print_json, say, short
from nextchar.cli.train_command import is_one_of_many_processes
from nextchar.config.train_settings import TrainCommand
from nextchar.errors import BadInput
from nextchar.sweeps import launch
from nextchar.sweeps.monitor import SweepProgress
from nextchar.sweeps.plan import plan
from nextchar.sweeps.sweep_folder import Job, SweepFolder


def run(called: Called[TrainCommand]) -> None:
    """Plans a sweep, checks all of its jobs, and runs them. Exit code 1 if a job did not finish."""
    if is_one_of_many_processes():
        raise BadInput("torchrun and srun would run the whole sweep in each process; start it without them")
    sweep, settings = plan(called.command)
    if settings.dry_run:
        tables.planned(sweep)
        return
    is_written = launch.run(sweep, called.command, TerminalSweep(called))
    if sweep.missing:
        say(f"error: {sweep.missing:,} of {sweep.total:,} jobs did not finish")
    if sweep.missing or not is_written:
        raise SystemExit(1)


class TerminalSweep(SweepProgress):
    """Shows the progress of a sweep: each job on stderr, at the end its table and the words to type next."""

    def note(self, text: str) -> None:
        note(text)

    def __init__(self, called: Called[TrainCommand]) -> None:
        self.called, self.keys = called, list[str]()

    def job_ended(self, sweep: SweepFolder, job: Job) -> None:
        self.keys = self.keys or sweep.swept_keys()  # once, because it reads all jobs
        tables.job_ended(sweep, job, self.keys)

    def sweep_ended(self, sweep: SweepFolder) -> None:
        with dropped_if_unread():
            if self.called.command.typed.get("json"):
                print_json([job.plain() for job in sweep.ranked()])
            else:
                self._print(sweep)

    def _print(self, sweep: SweepFolder) -> None:
        tables.sweep(sweep)
        print()
        if best := sweep.best():
            print(f"best         {shlex.join(best.overrides)}")
        if running := [str(job.number) for job in sweep.jobs if job.status == "running"]:
            print(f"running      {', '.join(running)}: these jobs must be stopped where they were launched")
        if sweep.missing:
            words = [f"sweep.resume={short(sweep.path)}", *self.called.command.for_launcher]
            print(f"to resume    {self.called.called_as} -m {shlex.join(words)}")
        print(f"sweep folder {short(sweep.path)}")
        print(f"curves       tensorboard --logdir {shlex.quote(short(sweep.path))}")
