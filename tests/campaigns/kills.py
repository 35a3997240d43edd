"""kill -9 at random moments, then the same again: it resumes, and ends with the result of a run that nobody killed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fuzz_folders import trained

from nextchar.cli import main
from nextchar.runs.record import RECORD, SETTINGS, WEIGHTS
from nextchar.runs.run import open_run

NET = ["model=nn", "trainer.max_steps=30", "trainer.log_every=3", "trainer.checkpoint_seconds=0", "optim=adam"]
COMMANDS = {"counted": ["model.order=3"], "net": NET}
CHAIN = 50
SHM = Path("/dev/shm")


def words(folder: Path, *more: str) -> list[str]:
    return ["data=lines", f"data.path={folder / 'names.txt'}", "figures=false", *more]


def killed(work: Callable[[], object], seconds: float) -> bool:
    """Runs `work` in a fork that is killed after some seconds. Returns whether it was."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def finish(run: Path, argv: list[str]) -> None:
    """Trains to the end, as a user would after a kill or a failure: resumes where there is something to resume."""
    if (run / RECORD).exists() and json.loads((run / RECORD).read_text())["status"] == "finished":
        return
    begin = [f"resume={run}"] if (run / SETTINGS).exists() else [*argv, f"hydra.run.dir={run}"]
    main.run("train", begin, "train")


def result(run: Path) -> tuple[bytes, dict[str, float]]:
    return (run / WEIGHTS).read_bytes(), open_run(run).metrics


def left_over(run: Path) -> list[str]:
    return [path.name for path in run.rglob("*.tmp")]


def judged(run: Path, wanted: object) -> str:
    if result(run) != wanted:
        return f"{run}: another result"
    return f"{run}: {left_over(run)}" if left_over(run) else ""


def in_forks(folder: Path, seed: int) -> Iterator[str]:
    dice = random.Random(seed)
    wanted, seconds = {}, {}
    for kind, more in COMMANDS.items():
        for name in ("first", "second"):  # the second knows all imports
            began = time.monotonic()
            wanted[kind] = result(trained(folder / kind / name, *more))
            seconds[kind] = time.monotonic() - began
        shutil.copy(folder / kind / "names.txt", folder)
    number = 0
    while True:
        number += 1
        kind, run = dice.choice(list(COMMANDS)), folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        argv = words(folder, *COMMANDS[kind])
        tempfile.tempdir = str(SHM) if number % 2 and SHM.is_dir() else None
        for _ in range(dice.randint(1, 3)):
            killed(lambda run=run, argv=argv: finish(run, argv), dice.uniform(0, seconds[kind]))
        try:
            finish(run, argv)
            yield judged(run, wanted[kind])
        except Exception as error:
            yield f"{kind}: {type(error).__name__}: {error}"


def of_commands(folder: Path, seed: int) -> Iterator[str]:
    """train, a sweep, export and compare as processes of their own."""
    dice, project = random.Random(seed), Path(__file__).parents[2]
    run = trained(folder / "run", "model.order=3")
    wanted = result(run)
    sweep, page, arpa = folder / "sweep", folder / "page", folder / "model.arpa"
    commands = {
        "train": lambda: [
            "train.py",
            *again(folder / "new", words(folder, "model.order=3"), "hydra.run.dir", "resume"),
        ],
        "sweep": lambda: [
            "train.py",
            "-m",
            *again(sweep, words(folder, "model.order=2,3"), "hydra.sweep.dir", "sweep.resume"),
        ],
        "export": lambda: ["export.py", f"run={run}", f"out={arpa}"],
        "compare": lambda: ["compare.py", str(run), f"out={page}"],
    }

    def process(command: list[str]) -> subprocess.Popen[bytes]:
        script = [sys.executable, str(project / "scripts" / command[0]), *command[1:]]
        return subprocess.Popen(script, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    while True:
        for path in (folder / "new", sweep, page):
            shutil.rmtree(path, ignore_errors=True)
        kind = dice.choice(list(commands))
        one = process(commands[kind]())
        time.sleep(dice.uniform(0.2, 2.5))
        one.kill()
        one.wait()
        code = process(commands[kind]()).wait()
        finished_before = code == 2 and kind in ("train", "sweep")
        left = [path.name for place in (folder, page, sweep) for path in place.glob(".*.tmp")]
        if (code and not finished_before) or left:
            yield f"{kind}: exit code {code}, {left}"
        elif kind == "train":
            yield judged(folder / "new", wanted)
        else:
            yield ""


def again(folder: Path, argv: list[str], at: str, resume: str) -> list[str]:
    """The words that begin, or go on."""
    begun = (folder / SETTINGS).exists() or (folder / "sweep.json").exists()
    return [f"{resume}={folder}"] if begun else [*argv, f"{at}={folder}"]


def in_chains(folder: Path, seed: int) -> Iterator[str]:
    dice = random.Random(seed)
    more = [word.replace("steps=30", "steps=200") for word in NET]
    trained(folder / "warm", *more)  # knows all imports
    began = time.monotonic()
    wanted = result(trained(folder / "sound", *more))
    seconds = time.monotonic() - began
    while True:
        run = folder / "chain"
        shutil.rmtree(run, ignore_errors=True)
        for _ in range(CHAIN):
            killed(lambda run=run: finish(run, words(folder, *more)), dice.uniform(0, seconds / 5))
        finish(run, words(folder, *more))
        yield judged(run, wanted)
