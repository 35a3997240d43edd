"""train: one run. A sweep (-m) is in sweep_command.py."""

import os
import shlex

from nextchar.cli.parse import Called
from nextchar.cli.printing import note, short
from nextchar.cli.terminal_progress import TerminalProgress
from nextchar.config.compose import Command
from nextchar.config.fields import validated
from nextchar.config.train_settings import TrainCommand, TrainSettings
from nextchar.config.trainer_settings import Ddp
from nextchar.errors import BadInput, Interrupted
from nextchar.runs.folder import unfinished_settings
from nextchar.training.train import train


def run(called: Called[TrainCommand]) -> None:
    command = called.command
    if of_sweep := [key for key in command.typed if key.startswith(("sweep", "hydra.sweep."))]:
        raise BadInput(f"{of_sweep[0]}: is a setting of a sweep; add -m to sweep")
    settings = _resumed(command) if command.typed.get("resume") is not None else called.settings.run()
    if is_one_of_many_processes() and not isinstance(settings.trainer, Ddp):
        raise BadInput("torchrun or srun started several processes, which only trainer=ddp uses")
    try:
        train(settings, command.path("hydra.run.dir"), TerminalProgress(settings))
    except Interrupted as interrupted:
        if interrupted.folder is not None:
            note(f"to resume this run: {called.called_as} resume={shlex.quote(short(interrupted.folder))}")
        raise


def _resumed(command: Command[TrainCommand]) -> TrainSettings:
    """The settings that the interrupted run began with; only trainer.max_steps and json may be changed."""
    typed = command.typed
    if others := [key for key in typed if key not in ("resume", "json", "trainer.max_steps")]:
        raise BadInput(f"{others[0]}: a resumed run keeps its settings; only trainer.max_steps can be changed")
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


def is_one_of_many_processes() -> bool:
    """Whether torchrun or srun has started this process among others."""
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE") != "1"
    return by_torchrun or int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
