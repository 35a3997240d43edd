"""The flags of a command, and the exit code of each way it can end."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from nextchar.cli.help import help_text
from nextchar.config.fields import Tree
from nextchar.errors import BadInput, Diverged, Interrupted
from nextchar.messages import one_line

if TYPE_CHECKING:
    from nextchar.config.compose import Command


class _Flags(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see --help")


FLAGS = _Flags(add_help=False)
FLAGS.add_argument("overrides", nargs="*")
FLAGS.add_argument("--help", "-h", action="store_true")
FLAGS.add_argument("--multirun", "-m", action="store_true")
# Hydra answers these
FLAGS.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
FLAGS.add_argument("--info", "-i", nargs="?", const="all")
FLAGS.add_argument("--package", "-p")
FLAGS.add_argument("--resolve", action="store_true")
FLAGS.add_argument("--hydra-help", action="store_true")
FLAGS.add_argument("--shell-completion", "-sc", action="store_true")


def parse(
    name: str, tree: type[Tree], argv: Sequence[str], about: str | None = None, job: bool = False, operands: str = ""
) -> "Command[Tree]":
    """Reads argv; answers --help itself, with `about` on top. Raises BadInput for words that no setting takes.

    `job`: the command can be swept (-m) and asked for its configuration (--cfg). `operands`: how --help calls the
    words that the command has taken out of argv.
    """
    args, unknown = FLAGS.parse_known_intermixed_args(argv)
    if args.help:
        print(help_text(name, tree, about or tree.__doc__ or "", job, operands))
        raise SystemExit(0)
    from nextchar.config.compose import command_of, hydra_answers  # Hydra's import takes longer than all of --help

    if args.shell_completion:
        hydra_answers(name, argv)
        raise SystemExit(0)
    flags = [word for word in argv if word not in args.overrides]
    for_hydra = flags if args.cfg or args.info or args.hydra_help else []
    if unknown or (flags and not (job and (for_hydra or args.multirun))):
        flag = (unknown or flags)[0]
        where = "; the configuration is read from conf/ only" if flag.startswith(("--config", "-c")) else ""
        raise BadInput(f"{flag}: scripts/{name}.py does not take this flag{where}; see --help")
    parsed = command_of(name, tree, args.overrides, args.multirun)
    if for_hydra:
        parsed.refuse_uncomposable()
        hydra_answers(name, [*for_hydra, *parsed.overrides])
        raise SystemExit(0)
    return parsed


def run_script(main: Callable[[], None]) -> NoReturn:
    """Runs a script's main; turns its bad ends into one line on stderr and an exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell (>&-)
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(encoding="utf-8", errors="backslashreplace")
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _raise_interrupted)
    try:
        main()
        sys.stdout.flush()
    except (BadInput, Diverged, Interrupted) as error:
        with contextlib.suppress(OSError):
            print(f"error: {one_line(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to print has nowhere to go
        if not isinstance(error, BrokenPipeError):  # of a pipe the reader (head, less) has just seen enough
            print(f"error: {one_line(str(error))}", file=sys.stderr)
            sys.exit(1)
    sys.exit(0)


def _raise_interrupted(signum: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(signum)
