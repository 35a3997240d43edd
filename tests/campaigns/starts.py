"""A hundred runs that start at once have a hundred folders; of a hundred that want one folder, one has it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from nextchar.config.compose import run_settings
from nextchar.errors import BadInput, Stop
from nextchar.runs.folder import RunFolder, new_folder
from nextchar.runs.record import SETTINGS, RunFacts

RUNS = 100


def attempts(folder: Path, seed: int) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        parent, one = folder / f"outputs{number}", folder / f"one{number}"
        codes = at_once(lambda i, parent=parent: create(new_folder(parent, "nn"), i))
        seeds = {(path / SETTINGS).read_text() for path in parent.iterdir()}
        yield "" if codes == [0] * RUNS and len(seeds) == RUNS else f"{len(seeds)} folders, {codes}"
        codes = at_once(lambda i, one=one: create(one, i))
        yield "" if sorted(codes) == [0] + [2] * (RUNS - 1) else f"one folder: {codes}"


def create(folder: Path, seed: int) -> None:
    RunFolder.create(folder, run_settings([f"seed={seed}"]), RunFacts(), Stop())


def at_once(work: Callable[[int], object]) -> list[int]:
    """Runs work(0), work(1), ... in processes that start at the same moment. Returns 2 for each that was refused."""
    reads, writes = os.pipe()
    pids = []
    for number in range(RUNS):
        if (pid := os.fork()) == 0:
            os.close(writes)
            os.read(reads, 1)  # returns in all processes when the pipe has no writer left
            code = 1
            try:
                work(number)
                code = 0
            except BadInput:
                code = 2
            finally:
                os._exit(code)
        pids.append(pid)
    os.close(writes)
    os.close(reads)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
