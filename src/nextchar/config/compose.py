"""argv -> settings: quoting, composing and refusing, before anything is made or imported that costs time.

With scripts/train.py the only place that sees Hydra. Hydra composes `conf/` and the command line into plain values;
`settings.py` checks them. The YAML files are read from the clone, so the package is installed with `pip install -e .`.
"""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, product
from types import FrameType
from typing import Any, Generic, NoReturn

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nextchar.cli import completion
from nextchar.cli.help import CONF, groups_of, help_text, options_of
from nextchar.config.fields import Tree, knobs, unknown_key, validated
from nextchar.errors import BadInput, Diverged, Interrupted
from nextchar.messages import nearest, one_line, one_of, shown

# Hydra's own keys that hold a path
HYDRA_PATHS = ("hydra.run.dir", "hydra.sweep.dir")
OF_A_WHOLE_SWEEP = (*HYDRA_PATHS, "resume", "sweep.resume")  # a comma in these is a comma
LAUNCHER = "hydra/launcher"
MOST_COMPOSED = 4  # combinations of a sweep that TAB looks at, a tenth of a second each


@dataclass(frozen=True)
class Command(Generic[Tree]):
    """What was typed, taken apart and not yet composed."""

    name: str
    tree: type[Tree]
    overrides: list[str]
    multirun: bool
    for_hydra: list[str]  # --cfg, --info: flags that Hydra answers

    def settings(self) -> Tree:
        """The checked settings of what was typed. Raises BadInput."""
        return self.read(self.overrides)

    def composes(self) -> None:
        """Raises BadInput where the words fit no configuration; whether its values make sense is not asked."""
        try:
            self.compose(self.overrides)
        except Exception as error:
            raise self._refusal(error, self.overrides, {}) from None

    def value(self, key: str) -> Any:
        """The last value typed for a key, None where none was."""
        return self.typed().get(key)

    def typed(self) -> dict[str, Any]:
        """The keys and groups that were typed, with their last values."""
        return {override.key_or_group: resolved(override.value()) for override in parse_overrides(self.overrides)}

    def compose(self, words: Sequence[str]) -> dict[str, Any]:
        """What Hydra makes of these words, as plain values and not yet checked. Raises whatever it raises."""
        config = conf().load_configuration(self.name, list(words), RunMode.RUN, from_shell=False)
        with open_dict(config):
            del config["hydra"]
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
        assert isinstance(values, dict)
        return _without_missing(values)

    def read(self, words: Sequence[str]) -> Tree:
        """The checked settings of these words. Raises BadInput."""
        composed: dict[str, Any] = {}
        try:
            composed = self.compose(words)
            return validated(self.tree, composed)
        except Exception as error:  # Hydra lets bare errors through too, as for `optim=null`
            raise self._refusal(error, words, composed) from None

    def _refusal(self, error: Exception, overrides: Sequence[str], composed: dict[str, Any]) -> BadInput:
        """The line that says what is wrong; `composed` is empty where nothing could be."""
        groups = cache(lambda: composed or self.composed_of_groups(overrides))  # a tenth of a second
        why = next((line for override in parse_overrides(overrides) if (line := self._wrong(override, groups))), "")
        cause = f": {_first_line(error.__cause__)}" if error.__cause__ else ""
        return BadInput(why or f"{_first_line(error)}{cause}")

    def _wrong(self, override: Override, composed_groups: Callable[[], dict[str, Any]]) -> str:
        """What is wrong with an override's key or option, or ''."""
        key, value = override.key_or_group, override.value()
        group, _, leaf = key.partition(".")
        if key == LAUNCHER and value not in (launchers := _launchers()):
            return f"{key}={shown(value)}: must be {one_of(launchers)}; others come with hydra-NAME-launcher from PyPI"
        if key.startswith(f"{LAUNCHER.replace('/', '.')}.") and LAUNCHER not in self.typed():
            return f"{key}={shown(value)}: is a setting of another launcher; add {LAUNCHER}=joblib"
        if key.startswith("hydra"):
            return ""
        if override.is_delete():
            return f"{override.input_line}: nothing can be left out; choose another option, as in smoothing=none"
        if override.is_sweep_override():
            return f"{override.input_line}: several values make a sweep; say -m before them"
        groups = groups_of(self.tree)
        if key in groups and value not in options_of(key):
            return f"{key}={shown(value)}: must be {one_of(options_of(key))}.{nearest(str(value), options_of(key))}"
        if group in groups and leaf == "name":
            return f"{key}={shown(value)}: choose with {group}={shown(value)}, which brings the settings that it has"
        variants = [knob for knob in knobs(self.tree) if knob.key == key]
        if not variants and key not in groups:
            meant = nearest(key, [*groups, *(knob.key for knob in knobs(self.tree))]) if "." not in key else ""
            if any(meant == f" Did you mean {known}?" for known in groups):
                return f"{key}={shown(value)}: there is no group {key}.{meant}"
            return unknown_key(self.tree, key, value)
        options = [knob.option for knob in variants if knob.option]
        if group not in groups or not (options or group in ("smoothing", "optim", "trainer")):
            return ""
        composed = composed_groups()
        chosen = (composed.get(group) or {}).get("name")
        if chosen is None:
            return f"{key}={shown(value)}: model={composed['model']['name']} takes no {group}"
        if options and chosen not in options:
            owners = one_of(f"{group}={option}" for option in options)
            return f"{key}={shown(value)}: {group}={chosen} has no {leaf}; {owners} has"
        return ""

    def composed_of_groups(self, overrides: Sequence[str]) -> dict[str, Any]:
        """The values of the groups that were chosen, no matter what else was typed."""
        chosen = [override for override in parse_overrides(overrides) if override.key_or_group in groups_of(self.tree)]
        brought = [override for override in chosen if override.key_or_group in ("model", "data", "experiment")]
        for some in (chosen, brought):  # a model does not bring every group
            try:
                return self.compose([str(override.input_line) for override in some])
            except Exception:
                continue
        return self.compose([])


def _answer_bash(command: Command[Tree], words: Sequence[str], job: bool) -> None:
    """What `-sc install=bash` prints for a shell to evaluate, and what the shell asks at each TAB (query)."""
    what = " ".join(words)
    known = {"install=bash": completion.BASH, "uninstall=bash": completion.BASH_AWAY}
    if what in known:
        print(known[what])
    elif what == "query=bash":
        line = os.environ.get("COMP_LINE", "")
        with contextlib.suppress(BadInput):  # what is half typed may be wrong
            offered = completion.candidates(
                command.tree, line, job, lambda words: _composed(command, words), _launchers
            )
            print(*offered, sep="\n", end="\n" if offered else "")
    else:
        raise BadInput(f"-sc {shown(what)}: must be install=bash, uninstall=bash or query=bash")


def _composed(command: Command[Tree], words: Sequence[str]) -> list[dict[str, Any]]:
    """What the groups among these words come to: once for each combination that a sweep makes of them."""
    groups = groups_of(command.tree)
    chosen = [word.partition("=") for word in words if word.partition("=")[0] in groups]
    each = [[f"{group}={option}" for option in _swept(options)] for group, _, options in chosen]
    return [command.composed_of_groups(one) for one in islice(product(*each), MOST_COMPOSED)]


def parse(
    name: str, tree: type[Tree], argv: Sequence[str], about: str | None = None, job: bool = False, operands: str = ""
) -> Command[Tree]:
    """Takes argv apart; answers --help itself, with `about` on top. Raises BadInput where argv makes no sense.

    `job`: the script is a Hydra job, which can be swept (-m) and asked for its configuration (--cfg). `operands`: how
    --help calls the words that the script has taken out of argv.
    """
    parser = get_args_parser()
    parser.error = _argparse_error  # type: ignore[method-assign]
    args = parser.parse_intermixed_args(argv)
    if args.help:
        print(help_text(name, tree, about or tree.__doc__ or "", job, operands))
        raise SystemExit(0)
    if args.shell_completion:
        _answer_bash(Command(name, tree, [], False, []), args.overrides, job)
        raise SystemExit(0)
    flags = [word for word in argv if word not in args.overrides]
    for_hydra = flags if args.cfg or args.info or args.hydra_help else []
    if flags and not (job and (for_hydra or args.multirun)):
        raise BadInput(f"{flags[0]}: scripts/{name}.py does not take this flag; see --help")
    if args.experimental_rerun or args.config_path or args.config_dir or args.config_name:
        raise BadInput("the configuration is read from conf/ and from nowhere else; experiments go to conf/experiment/")
    overrides = quote(tree, args.overrides, args.multirun)
    for override in parse_overrides(overrides):
        key = override.key_or_group
        launchers = args.multirun and (key == LAUNCHER or key.startswith("hydra.launcher."))
        if key.startswith(("hydra.", "hydra/")) and not (key in HYDRA_PATHS or launchers):
            sweeps = " (and, in a sweep, hydra/launcher with what it takes)" if job else ""
            raise BadInput(f"{key}: of Hydra's settings only {one_of(HYDRA_PATHS)} can be set{sweeps}")
    return Command(name, tree, overrides, args.multirun, for_hydra)


@cache
def conf() -> ConfigLoader:
    """What composes the files of conf/; unlike `hydra.compose` it works within a sweep too, where Hydra is at work."""
    version.setbase("1.3")
    return ConfigLoaderImpl(create_config_search_path(str(CONF)))


def to_launcher(command: Command[Tree]) -> list[str]:
    """What was typed of the launcher."""
    return [word for word in command.overrides if word.startswith((f"{LAUNCHER}=", "hydra.launcher."))]


def quote(tree: type[Tree], overrides: Sequence[str], multirun: bool) -> list[str]:
    """Quotes what is free text, which Hydra's grammar would trip over ('a b (1)') or convert ('null', '1e3').

    In a multirun a comma separates values, as everywhere in Hydra. What is in quotes already is left as it is.
    """
    free = {knob.key: knob for knob in knobs(tree) if knob.is_free_text}
    quoted = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if override.startswith("~"):  # Hydra's deletion
            quoted.append(override)
            continue
        if not (key and equals):
            raise BadInput(f"'{shown(override)}' is not key=value (no spaces around the '=').{_meant_help(override)}")
        name = key.lstrip("+")
        knob = free.get(name)
        if any("\ud800" <= c <= "\udfff" for c in override):  # how Python takes in bytes that are not UTF-8
            remedy = "; rename the file or the folder" if name in HYDRA_PATHS or (knob and knob.is_path) else ""
            raise BadInput(f"{shown(name)}={shown(value)}: not valid UTF-8{remedy}")
        if name in HYDRA_PATHS or (knob and not (value == "null" and type(None) in knob.members)):
            values = _swept(value) if multirun and name not in OF_A_WHOLE_SWEEP else [value]
            value = ",".join(_quoted(part) for part in values)
        quoted.append(f"{key}={value}")
    return quoted


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


# --- Hydra ----------------------------------------------------------------------------------------------------------


def _launchers() -> list[str]:
    """What is installed to run the jobs of a sweep."""
    return sorted(conf().get_group_options(LAUNCHER))


def resolved(value: object) -> object:
    """A typed value as it would stand in the composed configuration: `\\${` is `${` again."""
    try:
        return OmegaConf.create({"value": value})["value"] if isinstance(value, str) else value
    except OmegaConfBaseException as error:
        raise BadInput(f"{shown(value)}: {_first_line(error)}") from None


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """What was typed, as Hydra takes it apart. Raises BadInput."""
    parser = OverridesParser.create()
    parsed = []
    for override in overrides:
        try:
            parsed.append(parser.parse_override(override))
        except HydraException:
            raise BadInput(f"{shown(override)}: Hydra's grammar cannot read this value; put it in quotes") from None
    return parsed


def _without_missing(values: dict[Any, Any]) -> dict[Any, Any]:
    """Drops what is `???`, so that the settings call it missing."""
    return {
        key: _without_missing(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value != "???"
    }


# --- small change ---------------------------------------------------------------------------------------------------


_IN_QUOTES = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\""""


def _swept(text: str) -> list[str]:
    """What stands between the commas, those in quotes not counted."""
    part = re.match(rf"(?:{_IN_QUOTES})(?=,|$)|[^,]*", text)
    assert part is not None
    rest = text[part.end() :]
    return [part[0], *_swept(rest[1:])] if rest else [part[0]]


def _quoted(text: str) -> str:
    if re.fullmatch(_IN_QUOTES, text):
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
