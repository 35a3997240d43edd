"""Fixtures of the tests of sweeps: a sweep planned, run and resumed, and its table read."""

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nextchar.config.compose import command_of
from nextchar.config.train_settings import TrainCommand
from nextchar.sweeps import plan as multirun
from nextchar.sweeps.sweep_folder import SweepFolder

Process = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def sweep(run_script: Callable[..., Process]) -> Callable[..., Process]:
    """Runs train.py -m with a sweep folder: sweep(folder, "seed=1,2")."""

    def run(folder: Path, *words: object, timeout: float = 120) -> Process:
        return run_script("train", "-m", *map(str, words), f"hydra.sweep.dir={folder}", timeout=timeout)

    return run


@pytest.fixture(scope="session")
def resume(run_script: Callable[..., Process]) -> Callable[..., Process]:
    """Resumes the sweep of a folder: resume(folder)."""
    return lambda folder, *words: run_script("train", "-m", f"sweep.resume={folder}", *map(str, words))


@pytest.fixture(scope="session")
def plan() -> Callable[..., SweepFolder]:
    """The sweep that these words ask for, before its folder exists."""
    return lambda *words: multirun.plan(command_of("train", TrainCommand, list(map(str, words)), multirun=True))[0]


@pytest.fixture(scope="session")
def table() -> Callable[[Path], list[dict[str, str]]]:
    """The rows of a sweep folder's sweep.csv."""

    def read(folder: Path) -> list[dict[str, str]]:
        with (folder / "sweep.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def states(table: Callable[[Path], list[dict[str, str]]]) -> Callable[[Path], dict[int, str]]:
    """The status of each job by its number, from sweep.csv."""
    return lambda folder: {int(row["job"]): row["status"] for row in table(folder)}
