"""key=value words -> checked settings. The only module that asks Hydra to compose conf/.

Hydra makes plain values of conf/ and the words; the settings check them. The YAML files are read from the clone, so
the package is installed with `pip install -e .`.
"""

import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Generic

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nextchar.config.diagnose import LAUNCHER, wrong_words
from nextchar.config.fields import CONF, Tree, validated
from nextchar.config.quoting import HYDRA_PATHS, quote
from nextchar.config.train_settings import TrainCommand, TrainSettings
from nextchar.errors import BadInput
from nextchar.messages import one_of, shown


@dataclass(frozen=True)
class Command(Generic[Tree]):
    """A command's words, each read once."""

    name: str  # of its file in conf/
    tree: type[Tree]
    overrides: list[str]  # quoted
    multirun: bool = False

    @cached_property
    def parsed(self) -> list[Override]:
        """The overrides as Hydra's grammar reads them. Raises BadInput."""
        return parse_overrides(self.overrides)

    @cached_property
    def typed(self) -> dict[str, Any]:
        """The keys and groups that were typed, with their last values."""
        return {override.key_or_group: resolved(override.value()) for override in self.parsed}

    def path(self, key: str) -> Path | None:
        """Returns the absolute path typed for a key, None if none was."""
        typed = self.typed.get(key)
        return Path(os.path.abspath(Path(typed).expanduser())) if typed else None

    @property
    def for_launcher(self) -> list[str]:
        """The overrides of Hydra's launcher."""
        return [word for word in self.overrides if word.startswith((f"{LAUNCHER}=", "hydra.launcher."))]

    @cached_property
    def settings(self) -> Tree:
        """The checked settings. Raises BadInput."""
        return self.read(self.overrides)

    def read(self, words: Sequence[str], check: bool = True) -> Tree:
        """Returns the checked settings of other words of this command. Raises BadInput.

        Without `check` it only refuses words that fit no configuration.
        """
        composed: dict[str, Any] = {}

        def composed_at_least(some: list[str]) -> dict[str, Any]:
            with suppress(Exception):
                return composed or self.compose(some)
            return {}

        try:
            composed = self.compose(words)
            return validated(self.tree, composed) if check else self.tree.model_construct()
        except Exception as error:  # Hydra raises bare ValueErrors too, as for `optim=null`
            lines = wrong_words(self.tree, parse_overrides(words), composed_at_least, launchers)
            cause = f": {_first_line(error.__cause__)}" if error.__cause__ else ""
            raise BadInput(next(lines, f"{_first_line(error)}{cause}")) from None

    def compose(self, words: Sequence[str]) -> dict[str, Any]:
        """Returns the plain values that Hydra composes, unchecked. Raises any exception that Hydra raises."""
        config = config_loader().load_configuration(self.name, list(words), RunMode.RUN, from_shell=False)
        with open_dict(config):
            del config["hydra"]
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
        assert isinstance(values, dict)
        return _without_missing(values)


def command_of(name: str, tree: type[Tree], words: Sequence[str], multirun: bool = False) -> Command[Tree]:
    """Reads key=value words. Raises BadInput for a word that the command cannot take."""
    command = Command(name, tree, quote(tree, words, multirun), multirun)
    makes_runs = "sweep" in tree.model_fields
    for override in command.parsed:
        key = override.key_or_group
        allowed = key in HYDRA_PATHS or (multirun and (key == LAUNCHER or key.startswith("hydra.launcher.")))
        if key.startswith(("hydra.", "hydra/")) and not (allowed and makes_runs):
            which = f"only {one_of(HYDRA_PATHS)} can be set" if makes_runs else "none can be set here"
            sweeps = f" (and, in a sweep, {LAUNCHER} with its settings)" if makes_runs else ""
            raise BadInput(f"{key}: of Hydra's settings {which}{sweeps}")
    return command


def run_settings(words: Sequence[str]) -> TrainSettings:
    """Returns the checked settings of the run that these words ask for. Raises BadInput."""
    return command_of("train", TrainCommand, words).settings.run()


# --- Hydra ----------------------------------------------------------------------------------------------------------

_initializing = threading.Lock()


@cache
def _loader() -> ConfigLoader:
    running = GlobalHydra.instance().hydra  # of a program that is itself a Hydra job
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(CONF), job_name="nextchar", version_base="1.3"):
            return GlobalHydra.instance().config_loader()
    finally:
        if running is not None:
            GlobalHydra.instance().initialize(running)


def config_loader() -> ConfigLoader:
    """Returns Hydra's loader of conf/. `hydra.compose` would need Hydra to be free, which it is not within a sweep."""
    with _initializing:
        return _loader()


def launchers() -> list[str]:
    """Returns the names of Hydra's launchers that are installed."""
    return sorted(config_loader().get_group_options(LAUNCHER))


def hydra_answers(name: str, argv: Sequence[str]) -> None:
    """Lets Hydra answer its own flags, which it reads from sys.argv: --cfg, --info, --hydra-help, -sc."""

    def job(config: object) -> None:
        pass

    job.__module__ = name  # the name that Hydra gives the job
    sys.argv[1:] = argv
    hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(job)()


def parse_overrides(words: Sequence[str]) -> list[Override]:
    """Reads words by Hydra's grammar. Raises BadInput."""
    parser = OverridesParser.create(config_loader())  # whose options `glob(*)` needs
    parsed = []
    for word in words:
        try:
            parsed += parser.parse_overrides([word])
        except HydraException:
            raise BadInput(f"{shown(word)}: Hydra's grammar cannot read this value; put it in quotes") from None
    return parsed


def resolved(value: object) -> object:
    """Returns a typed value as it stands in the composed configuration: `\\${` becomes `${`. Raises BadInput."""
    try:
        return OmegaConf.create({"value": value})["value"] if isinstance(value, str) else value
    except OmegaConfBaseException as error:
        raise BadInput(f"{shown(value)}: {_first_line(error)}") from None


def _without_missing(values: dict[Any, Any]) -> dict[Any, Any]:
    """Drops values of `???`, so that the settings report them as missing."""
    return {
        key: _without_missing(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value != "???"
    }


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
