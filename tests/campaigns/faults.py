"""Every call of write, fsync, rename, link and open fails once, with each error, for each file that a command writes.

Exit code, message and run.json must agree; the same command, run again, must then end with the right result.
"""

import builtins
import errno
import io
import itertools
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fuzz_folders import trained
from kills import NET, finish, judged, left_over, result, words

from nextchar.cli import main
from nextchar.runs.record import RECORD, SETTINGS
from nextchar.runs.run import open_run

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
CALLS = ("open", "write", "short write", "fsync", "replace", "link")
NO_FAULT = 100  # the exit code of a child in which fewer than k calls were made


class Faults:
    """Counts the calls of one kind below a folder, and lets the k-th fail. Lives in a child process."""

    def __init__(self, folder: Path, call: str, k: int, error: int) -> None:
        self.folder, self.call, self.k, self.error, self.seen = str(folder), call, k, error, 0
        self.paths: dict[int, str] = {}

    def reached(self, path: object) -> bool:
        inside = str(path).startswith(self.folder)
        self.seen += inside
        return inside and self.seen == self.k

    def failing(self, function: Callable[..., Any], at: int = 0) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            path = os.readlink(f"/proc/self/fd/{args[at]}") if isinstance(args[at], int) else os.fspath(args[at])
            if self.reached(path):
                raise OSError(self.error, os.strerror(self.error), None if isinstance(args[at], int) else path)
            return function(*args, **kwargs)

        return call

    def install(self) -> None:
        match self.call:
            case "open":
                os.open = self.failing(os.open)
                builtins.open = io.open = self.failing(builtins.open)  # type: ignore[misc]
            case "write" | "short write":
                os.fdopen = self.writing(os.fdopen)
                builtins.open = io.open = self.writing(builtins.open)  # type: ignore[misc]
            case name:
                setattr(os, name, self.failing(getattr(os, name), at=1 if name != "fsync" else 0))

    def writing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """open() with a file below whose buffer the k-th write fails, or writes one byte."""

        def call(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if not set(mode) & set("wax+"):
                return function(file, mode, *args, **kwargs)
            faults, path = self, os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else os.fspath(file)

            class Raw(io.FileIO):
                def write(self, content: Any) -> int:
                    if not faults.reached(path):
                        return super().write(content)
                    if faults.call == "short write":
                        return super().write(bytes(content)[:1])
                    raise OSError(faults.error, os.strerror(faults.error))

            buffer = io.BufferedWriter(Raw(file, mode.replace("b", "").replace("t", "")))
            if "b" in mode:
                return buffer
            return io.TextIOWrapper(buffer, kwargs.get("encoding"), kwargs.get("errors"), write_through=True)

        return call


def ended(work: Callable[[], None], faults: Faults, output: Path) -> tuple[int, str]:
    """Runs a command in a fork with faults. Returns its exit code and what it said on stderr."""
    if (pid := os.fork()) == 0:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        code: Any = 99
        faults.install()
        try:
            main.exit_after(work)
        except SystemExit as end:
            code = end.code
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(NO_FAULT if faults.seen < faults.k and code == 0 else code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.read_text()


def attempts(folder: Path, seed: int) -> Iterator[str]:
    dice = random.Random(seed)
    here = folder / "here"  # the only folder in which calls fail
    wanted = {}
    for kind, more in {"counted": ["model.order=3"], "net": [word.replace("=30", "=6") for word in NET]}.items():
        trained(folder / kind / "warm", *more)
        wanted[kind] = more, result(trained(folder / kind / "sound", *more))
    shutil.copy(folder / "net" / "names.txt", folder)
    run = folder / "counted" / "sound"
    sweep_words = ["-m", *words(folder, "model.order=2,3"), f"hydra.sweep.dir={here / 'sweep'}"]
    commands: dict[str, Callable[[], None]] = {
        "export": lambda: main.run("export", [f"run={run}", f"out={here / 'model.arpa'}"], "export"),
        "compare": lambda: main.run("compare", [str(run), f"out={here / 'page'}"], "compare"),
        "sweep": lambda: main.run("train", sweep_words, "train"),
    }
    for kind, (more, _) in wanted.items():
        commands[kind] = lambda more=more: main.run(
            "train", [*words(folder, *more), f"hydra.run.dir={here / 'run'}"], "train"
        )
    for command in commands.values():  # all imports
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        ended(command, Faults(here, "fsync", 10**9, 0), folder / "said")
    cases = [(kind, call, error) for kind in commands for call in CALLS for error in ERRORS]
    dice.shuffle(cases)
    for kind, call, error in cases:
        for k in itertools.count(1):
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir()
            code, said = ended(commands[kind], Faults(here, call, k, error), folder / "said")
            if code == NO_FAULT:
                break
            bad = verdict(kind, code, said, here)
            if not bad and kind in wanted:
                more, result_ = wanted[kind]
                finish(here / "run", [*words(folder, *more)])
                bad = judged(here / "run", result_)
            yield f"{kind}: {call} {k} {errno.errorcode[error]}: exit code {code}: {bad}" if bad else ""


def verdict(kind: str, code: int, said: str, here: Path) -> str:
    """Whether exit code, message and run.json agree."""
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    if "Traceback" in said or "Exception ignored" in said:
        return said[-300:]
    if code not in (0, 1, 2) or (code and not errors and kind != "sweep") or len(errors) > 1:
        return f"said {errors or said[-200:]}"
    run = here / "run"
    status = json.loads((run / RECORD).read_text())["status"] if (run / RECORD).exists() else "none"
    if kind in ("counted", "net") and (status == "finished") != (code == 0):
        return f"run.json says {status}"
    if status == "finished":
        open_run(run)
    if code == 0 and left_over(here):
        return f"left {left_over(here)}"
    if kind == "sweep" and code == 0 and not (here / "sweep" / "sweep.csv").exists():
        return "a sweep without a table"
    return "" if status != "none" or kind not in ("counted", "net") or code or (run / SETTINGS).exists() else "no run"
