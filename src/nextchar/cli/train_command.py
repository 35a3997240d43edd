"""train: one run. A sweep (-m) is in sweep_command.py."""

import os
import shlex

from nextchar.api import settings_of
from nextchar.cli.parse import Called
from nextchar.cli.printing import note, short
from nextchar.cli.terminal_progress import TerminalProgress
from nextchar.config.train_settings import TrainCommand
from nextchar.config.trainer_settings import Ddp
from nextchar.errors import BadInput, Interrupted
from nextchar.training.train import train


def run(called: Called[TrainCommand]) -> None:
    command = called.command
    settings = settings_of(command)
    if is_one_of_many_processes() and not isinstance(settings.trainer, Ddp):
        raise BadInput("torchrun or srun started several processes, which only trainer=ddp uses")
    try:
        train(settings, command.path("hydra.run.dir"), TerminalProgress(settings))
    except Interrupted as interrupted:
        if interrupted.folder is not None:
            note(f"to resume this run: {called.called_as} resume={shlex.quote(short(interrupted.folder))}")
        raise


def is_one_of_many_processes() -> bool:
    """Whether torchrun or srun has started this process among others."""
    by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE") != "1"
    return by_torchrun or int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
