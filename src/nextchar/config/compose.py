"""argv -> settings: quoting, composing and refusing, before anything is made or imported that costs time.

With scripts/train.py the only place that sees Hydra. Hydra composes `conf/` and the command line into plain values;
`settings.py` checks them. The YAML files are read from the clone, so the package is installed with `pip install -e .`.
"""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic

import hydra
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nextchar.config.fields import Settings, Tree, every_setting, unknown_key, validated
from nextchar.config.train_settings import TrainCommand, TrainSettings
from nextchar.errors import BadInput
from nextchar.messages import nearest, one_of, shown

# Hydra's own keys that hold a path
HYDRA_PATHS = ("hydra.run.dir", "hydra.sweep.dir")
OF_A_WHOLE_SWEEP = (*HYDRA_PATHS, "resume", "sweep.resume")  # a comma in these is a comma
LAUNCHER = "hydra/launcher"
CONF = Path(__file__).resolve().parents[3] / "conf"


@dataclass(frozen=True)
class Command(Generic[Tree]):
    """What was typed, taken apart and not yet composed."""

    name: str
    tree: type[Tree]
    overrides: list[str]
    multirun: bool

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
        known = [setting for setting in every_setting(self.tree) if not setting.is_name]
        variants = [setting for setting in known if setting.key == key]
        if not variants and key not in groups:
            meant = nearest(key, [*groups, *(setting.key for setting in known)]) if "." not in key else ""
            if any(meant == f" Did you mean {each}?" for each in groups):
                return f"{key}={shown(value)}: there is no group {key}.{meant}"
            return unknown_key(self.tree, key, value)
        options = [setting.option for setting in variants if setting.option]
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


@cache
def groups_of(tree: type[Settings]) -> list[str]:
    """Returns the groups of a tree, each a folder of conf/."""
    of_tree = dict.fromkeys(setting.key.partition(".")[0] for setting in every_setting(tree) if "." in setting.key)
    found = [group for group in of_tree if (CONF / group).is_dir()]
    return [*found, "experiment"] if "model" in found else found


def options_of(group: str) -> list[str]:
    """The options of a group, each a file of conf/GROUP/."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def command_of(name: str, tree: type[Tree], words: Sequence[str], multirun: bool = False) -> Command[Tree]:
    """The command that these key=value words make. Raises BadInput for words that no setting can take."""
    overrides = quote(tree, words, multirun)
    has_runs = "sweep" in tree.model_fields
    for override in parse_overrides(overrides):
        key = override.key_or_group
        allowed = key in HYDRA_PATHS or (multirun and (key == LAUNCHER or key.startswith("hydra.launcher.")))
        if key.startswith(("hydra.", "hydra/")) and not (allowed and has_runs):
            which = f"only {one_of(HYDRA_PATHS)} can be set" if has_runs else "none can be set here"
            sweeps = " (and, in a sweep, hydra/launcher with what it takes)" if has_runs else ""
            raise BadInput(f"{key}: of Hydra's settings {which}{sweeps}")
    return Command(name, tree, overrides, multirun)


def run_settings(words: Sequence[str]) -> TrainSettings:
    """The checked settings of the run that these words ask for. Raises BadInput."""
    return command_of("train", TrainCommand, words).settings().run()


def hydra_answers(name: str, argv: Sequence[str]) -> None:
    """Lets Hydra answer its own flags, which it reads from sys.argv: --cfg, --info, --hydra-help, -sc."""

    def job(config: object) -> None:
        pass

    job.__module__ = name  # Hydra calls the job so
    sys.argv[1:] = argv
    hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(job)()


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
    free = {setting.key: setting for setting in every_setting(tree) if setting.is_as_typed}
    quoted = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if override.startswith("~"):  # Hydra's deletion
            quoted.append(override)
            continue
        if not (key and equals):
            raise BadInput(f"'{shown(override)}' is not key=value (no spaces around the '=').{_meant_help(override)}")
        name = key.lstrip("+")
        setting = free.get(name)
        if any("\ud800" <= c <= "\udfff" for c in override):  # how Python takes in bytes that are not UTF-8
            remedy = "; rename the file or the folder" if name in HYDRA_PATHS or (setting and setting.is_path) else ""
            raise BadInput(f"{shown(name)}={shown(value)}: not valid UTF-8{remedy}")
        if name in HYDRA_PATHS or (setting and not (value == "null" and "null" in setting.types)):
            values = _swept(value) if multirun and name not in OF_A_WHOLE_SWEEP else [value]
            value = ",".join(_quoted(part) for part in values)
        quoted.append(f"{key}={value}")
    return quoted


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
