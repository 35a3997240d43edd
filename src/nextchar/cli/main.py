"""The doors: `nextchar COMMAND`, `python -m nextchar COMMAND` and scripts/COMMAND.py all come here."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

from nextchar.cli.commands import COMMANDS, settings_class
from nextchar.errors import BadInput, Diverged, Interrupted, stop_signals
from nextchar.messages import nearest, one_line, one_of, shown


def main(name: str | None = None) -> NoReturn:
    """Runs the command of sys.argv and exits. A script gives the name of its command."""
    if name is not None:
        exit_after(lambda: run(name, sys.argv[1:], f"python {_short(sys.argv[0])}"))
    called_as = "python -m nextchar" if sys.argv[0].endswith("__main__.py") else "nextchar"
    exit_after(lambda: _dispatch(called_as, sys.argv[1:]))


def run(name: str, argv: Sequence[str], called_as: str) -> None:
    """Runs a command. Raises the exceptions that end it: BadInput, Diverged, Interrupted, OSError, SystemExit."""
    from nextchar.cli.parse import parse  # the list of commands needs no settings

    called = parse(name, settings_class(name), argv, called_as, COMMANDS[name])
    module = "sweep" if called.command.multirun else name
    import_module(f"nextchar.cli.{module}_command").run(called)


def exit_after(work: Callable[[], None]) -> NoReturn:
    """Runs `work` and exits; an exception that ends it becomes one line on stderr and an exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell (>&-)
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # it stays open until the process exits
        getattr(sys, name).reconfigure(encoding="utf-8", errors="backslashreplace")
    for signum in stop_signals():
        signal.signal(signum, _raise_interrupted)
    try:
        _refuse_a_folder_that_is_gone()
        work()
        sys.stdout.flush()
    except (BadInput, Diverged, Interrupted) as error:
        with contextlib.suppress(OSError):
            print(f"error: {one_line(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the output that is still buffered
        if not isinstance(error, BrokenPipeError):  # a reader such as head has closed the pipe, which is no failure
            print(f"error: {one_line(str(error))}", file=sys.stderr)
            sys.exit(1)
    sys.exit(0)


def _dispatch(called_as: str, argv: list[str]) -> None:
    match argv:
        case [] | ["-h" | "--help" | "help", *_]:
            print(_overview(called_as))
        case ["-sc" | "--shell-completion", *_]:
            _complete(argv)
        case [name, *rest] if name in COMMANDS:
            run(name, rest, f"{called_as} {name}")
        case [word, *_]:
            hint = nearest(word, list(COMMANDS)) or f" The commands are {one_of(COMMANDS).replace(' or ', ' and ')}."
            raise BadInput(f"{shown(word)}: there is no such command.{hint}")


def _overview(called_as: str) -> str:
    lines = [f"usage: {called_as} COMMAND [key=value ...]", ""]
    lines += [f"  {name:10} {entry.about.partition('. ')[0].rstrip('.')}." for name, entry in COMMANDS.items()]
    return "\n".join([*lines, "", f"{called_as} COMMAND --help lists its settings. scripts/COMMAND.py is the same."])


def _complete(argv: list[str]) -> None:
    """Completes the name of a command; what follows it is Hydra's to complete, which must not see the name."""
    program, *words = os.environ.get("COMP_LINE", "").split(" ")
    if "query=" in argv[-1] and len(words) < 2:
        print("\n".join(name for name in COMMANDS if name.startswith(words[0] if words else "")))
        return
    name = words[0] if words and words[0] in COMMANDS else "train"
    os.environ["COMP_LINE"] = " ".join([program, *words[1:]])
    run(name, argv, "nextchar")


def _refuse_a_folder_that_is_gone() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        raise BadInput("the current folder is gone; change to a folder that exists") from None


def _short(path: str) -> str:
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path


def _raise_interrupted(signum: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(signum)
