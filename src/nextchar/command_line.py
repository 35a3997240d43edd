"""argv -> settings: quoting, composing and refusing, before anything is made or imported that costs time.

With scripts/train.py the only place that sees Hydra. Hydra composes `conf/` and the command line into plain values;
`settings.py` checks them. The YAML files are read from the clone, so the package is installed with `pip install -e .`.
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Generic, NoReturn

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from nextchar.errors import BadInput, Diverged, Interrupted
from nextchar.knobs import Tree, knobs, nearest, one_of, read, shown, unknown_key

CONF = Path(__file__).resolve().parents[2] / "conf"

# A sweep's folders are named by what differs; what a file name cannot hold is left out.
OmegaConf.register_new_resolver("label", lambda text: re.sub(r"[^\w.=,+-]+", "-", text)[:100], replace=True)

# Hydra's own keys that hold a path
HYDRA_PATHS = ("hydra.run.dir", "hydra.sweep.dir")


@dataclass(frozen=True)
class Command(Generic[Tree]):
    """What was typed, taken apart and not yet composed."""

    name: str
    tree: type[Tree]
    overrides: list[str]
    multirun: bool
    for_hydra: bool  # --cfg, --info, completion: Hydra answers

    def settings(self) -> Tree:
        """The checked settings of a single run. Raises BadInput."""
        return self._settings(self.overrides)

    def jobs(self) -> list[Tree]:
        """The checked settings of every job of a multirun. Raises BadInput for the first that is wrong."""
        try:
            (batch,) = BasicSweeper.split_arguments(_parse(self.overrides), max_batch_size=None)
        except (HydraException, ValueError) as error:
            raise BadInput(_first_line(error)) from None
        return [self._settings(list(job)) for job in batch]

    def value(self, key: str) -> str:
        """The last text typed for a key, '' where none was."""
        given = [override.value() for override in _parse(self.overrides) if override.key_or_group == key]
        return str(given[-1]) if given else ""

    def typed(self) -> list[str]:
        """The keys and groups that were typed."""
        return [override.key_or_group for override in _parse(self.overrides)]

    def _settings(self, overrides: list[str]) -> Tree:
        try:
            return read(self.tree, plain_values(_compose(self.name, overrides)))
        except Exception as error:  # Hydra lets bare errors through too, as for `optim=null`
            why = next((line for override in _parse(overrides) if (line := self._wrong(override, overrides))), "")
            raise BadInput(why or _first_line(error)) from None

    def _wrong(self, override: Override, overrides: list[str]) -> str:
        """What is wrong with an override's key or option, where that is why the whole could not be composed."""
        key, value = override.key_or_group, override.value()
        group = key.partition(".")[0]
        if key.startswith("hydra") or override.is_delete():
            return ""
        if override.is_sweep_override():
            return f"{override.input_line}: several values make a sweep; say -m first, or quote the value"
        if key in _groups() and value not in _options(key):
            return f"{key}={shown(value)}: must be {one_of(_options(key))}.{nearest(str(value), _options(key))}"
        variants = [knob for knob in knobs(self.tree) if knob.key == key]
        if not variants and key not in _groups():
            return unknown_key(self.tree, key, value)
        composed = self._composed_of_groups(overrides)
        if group not in composed and group in _groups():
            return f"{key}={shown(value)}: model={composed['model']['name']} does not take {group}"
        options = [knob.option for knob in variants if knob.option]
        if options and composed[group]["name"] not in options:
            owners = one_of(f"{group}={option}" for option in options)
            return f"{key}={shown(value)}: {group}={composed[group]['name']} has no {key}, {owners} has"
        return ""

    def _composed_of_groups(self, overrides: list[str]) -> dict[str, Any]:
        """The values of the groups that were chosen, no matter what else was typed."""
        chosen = [override for override in _parse(overrides) if override.key_or_group in _groups()]
        try:
            return plain_values(_compose(self.name, [str(override.input_line) for override in chosen]))
        except Exception:  # a group that the model does not bring
            brought = [override for override in chosen if override.key_or_group in ("model", "data", "experiment")]
            return plain_values(_compose(self.name, [str(override.input_line) for override in brought]))


def parse(name: str, tree: type[Tree], argv: Sequence[str]) -> Command[Tree]:
    """Takes argv apart; answers --help itself. Raises BadInput where argv is not flags and key=value."""
    parser = get_args_parser()
    parser.error = _argparse_error  # type: ignore[method-assign]
    args = parser.parse_intermixed_args(argv)
    if args.help:
        print(help_text(name, tree))
        raise SystemExit(0)
    overrides = quote(tree, args.overrides, args.multirun)
    _parse(overrides)
    for_hydra = bool(args.cfg or args.info or args.shell_completion or args.hydra_help)
    return Command(name, tree, overrides, args.multirun, for_hydra)


def plain_values(config: DictConfig) -> dict[str, Any]:
    """Hydra's composed config as plain values, its own node left out."""
    values = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in _without_missing(values).items() if key != "hydra"}


def quote(tree: type[Tree], overrides: Sequence[str], multirun: bool) -> list[str]:
    """Quotes what is free text, which Hydra's grammar would trip over ('a b (1)') or convert ('null', '1e3').

    In a multirun a comma separates values, as everywhere in Hydra. What is in quotes already is left as it is.
    """
    free = {knob.key: type(None) in knob.members for knob in knobs(tree) if knob.is_free_text}
    free |= dict.fromkeys(HYDRA_PATHS, False)
    quoted = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if override.startswith("~"):  # Hydra's deletion
            quoted.append(override)
            continue
        if not equals:
            raise BadInput(f"'{shown(override)}' is not key=value (no spaces around the '=').{_meant_help(override)}")
        name = key.lstrip("+")
        if name in free and not (value == "null" and free[name]):
            values = value.split(",") if multirun else [value]
            value = ",".join(_quoted(name, part) for part in values)
        quoted.append(f"{key}={value}")
    return quoted


def run_script(main: Callable[[], None]) -> NoReturn:
    """Runs a script's main; turns its bad ends into one line on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _raise_interrupted)
    try:
        main()
        sys.stdout.flush()
    except (BadInput, Diverged) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Interrupted as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def help_text(name: str, tree: type[Tree]) -> str:
    """Usage, groups with their options, and every knob with what it takes."""
    groups = [group for group in _groups() if any(knob.key.startswith(f"{group}.") for knob in knobs(tree))]
    lines = [f"usage: python scripts/{name}.py [-m] [group=option] [key=value]", "", tree.__doc__ or "", ""]
    lines += ["groups:"] + [f"  {group}={'|'.join(_options(group))}" for group in groups] + [""] if groups else []
    rows: dict[str, tuple[str, list[str]]] = {}
    for knob in knobs(tree):
        text = f"{knob.help}  [{knob.allowed}]" if knob.help else f"[{knob.allowed}]"
        rows.setdefault(knob.key, (text, []))[1].append(knob.option)
    lines += ["settings:"]
    for key, (text, options) in rows.items():
        only = f"({one_of(options)}) " if any(options) else ""
        lines.append(f"  {key:28} {only}{text}")
    lines += ["", "Hydra's own flags (sweeps with -m, --cfg job, tab completion): --hydra-help"]
    return "\n".join(lines)


# --- Hydra ----------------------------------------------------------------------------------------------------------


def _compose(name: str, overrides: Sequence[str]) -> DictConfig:
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        return compose(name, overrides=list(overrides))


def _parse(overrides: Sequence[str]) -> list[Override]:
    parser = OverridesParser.create()
    parsed = []
    for override in overrides:
        try:
            parsed.append(parser.parse_override(override))
        except HydraException:
            raise BadInput(f"{shown(override)}: Hydra's grammar cannot read this value; put it in quotes") from None
    return parsed


def _groups() -> list[str]:
    return ["model", "data", "smoothing", "optim", "trainer", "experiment"]


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def _without_missing(values: dict[Any, Any]) -> dict[Any, Any]:
    """Drops what is `???`, so that the settings call it missing."""
    return {
        key: _without_missing(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value != "???"
    }


# --- small change ---------------------------------------------------------------------------------------------------


def _quoted(key: str, text: str) -> str:
    if any("\ud800" <= c <= "\udfff" for c in text) and not key.endswith(("path", "dir", "run", "resume", "out")):
        raise BadInput(f"{key}: the text is not valid UTF-8")
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text
    # Inside quotes Hydra takes \' for ' and a backslash before it for itself when doubled; OmegaConf does so for ${
    text = re.sub(r"(\\*)'", r"\1\1\\'", text)
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", text) + "'"


def _meant_help(word: str) -> str:
    return " For help: --help" if word in ("help", "h", "?") else ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _argparse_error(message: str) -> NoReturn:
    raise BadInput(f"{message}; see --help")


def _raise_interrupted(signum: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(signum)
