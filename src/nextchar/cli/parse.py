"""Reads a command's argv: flags, key=value words, and operands. Answers --help; Hydra answers its own flags."""

import argparse
import os
import re
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NoReturn

from nextchar.cli.commands import Entry
from nextchar.cli.help import help_text
from nextchar.config.fields import Settings, Tree, every_setting
from nextchar.errors import BadInput
from nextchar.messages import nearest, shown

if TYPE_CHECKING:
    from nextchar.config.compose import Command


@dataclass(frozen=True)
class Called(Generic[Tree]):
    """A command as it was called."""

    called_as: str  # python scripts/train.py, or nextchar train
    command: "Command[Tree]"
    operands: list[str]

    @property
    def settings(self) -> Tree:
        return self.command.settings


class _Flags(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see --help")


FLAGS = _Flags(add_help=False)
FLAGS.add_argument("words", nargs="*")
FLAGS.add_argument("--help", "-h", action="store_true")
FLAGS.add_argument("--multirun", "-m", action="store_true")
# Hydra answers these
FLAGS.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
FLAGS.add_argument("--info", "-i", nargs="?", const="all")
FLAGS.add_argument("--package", "-p")
FLAGS.add_argument("--resolve", action="store_true")
FLAGS.add_argument("--hydra-help", action="store_true")
FLAGS.add_argument("--shell-completion", "-sc", action="store_true")


def parse(name: str, tree: type[Tree], argv: Sequence[str], called_as: str, entry: Entry) -> Called[Tree]:
    """Reads argv, and checks its settings unless it asks for a sweep or resumes a run. Raises BadInput."""
    args, unknown = FLAGS.parse_known_intermixed_args(argv)
    can_sweep = "sweep" in tree.model_fields
    if args.help:
        print(help_text(called_as, tree, entry.about, can_sweep, entry.operands))
        raise SystemExit(0)
    from nextchar.config.compose import command_of, hydra_answers  # Hydra's import takes longer than all of --help

    if args.shell_completion:
        _complete(name, args.words)
        raise SystemExit(0)
    flags = [word for word in argv if word not in args.words]
    for_hydra = flags if args.cfg or args.info or args.hydra_help else []
    if unknown or (flags and not (can_sweep and (for_hydra or args.multirun))):
        flag = (unknown or flags)[0]
        where = "; the configuration is read from conf/ only" if flag.startswith(("--config", "-c")) else ""
        raise BadInput(f"{flag}: {called_as} does not take this flag{where}; see --help")
    operands = _operands(tree, args.words) if entry.operands else []
    command = command_of(name, tree, [word for word in args.words if word not in operands], args.multirun)
    if for_hydra:
        command.read(command.overrides, check=False)
        hydra_answers(name, [*for_hydra, *command.overrides])
        raise SystemExit(0)
    if not (args.multirun or command.typed.get("resume")):
        _ = command.settings  # refused here, before the libraries of the command are imported
    return Called(called_as, command, operands)


def _operands(tree: type[Settings], words: Sequence[str]) -> list[str]:
    """The words that are paths: a folder may be called 3_smoothing.k=0.1, but not json=true. Raises BadInput."""
    keys = list(every_setting(tree))
    operands = [word for word in words if not ("=" in word and word.partition("=")[0] in keys)]
    for word in operands:
        if not word or ("=" in word and not os.path.lexists(os.path.expanduser(word))):
            raise BadInput(f"'{shown(word)}': no such folder, nor a setting.{nearest(word.partition('=')[0], keys)}")
    return operands


def _complete(name: str, words: Sequence[str]) -> None:
    """Lets Hydra complete a command line in a shell. Raises BadInput for another request."""
    from nextchar.config.compose import hydra_answers

    request = " ".join(words)
    if not re.fullmatch("(install|uninstall|query)=(bash|zsh|fish)", request):
        raise BadInput(f"-sc {shown(request)}: must be install=bash, uninstall=bash or query=bash; or zsh, or fish")
    os.environ.setdefault("COMP_LINE", "")
    # Hydra fails at some half-typed lines, as at optim=null; then it offers nothing
    with open(os.devnull, "w") as null, redirect_stderr(null), suppress(SystemExit):
        hydra_answers(name, ["-sc", request])
