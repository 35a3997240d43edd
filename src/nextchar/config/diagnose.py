"""Finds the word of a refused command line that is wrong, and the line that says why.

Runs only after composing or checking has failed. The checks are ordered: each relies on those before it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nextchar.config.fields import Setting, Settings, every_setting, unknown_key
from nextchar.config.groups import groups_of, options_of
from nextchar.messages import nearest, one_of, shown

LAUNCHER = "hydra/launcher"


@dataclass(frozen=True)
class Word:
    """An override as it was typed."""

    text: str
    key: str
    value: Any
    deletes: bool
    has_several_values: bool

    def __str__(self) -> str:
        return f"{self.key}={shown(self.value)}"

    @property
    def group(self) -> str:
        return self.key.partition(".")[0]


@dataclass(frozen=True)
class Refused:
    """A refused command line, and two functions that are called only where a check needs them."""

    tree: type[Settings]
    words: list[Word]
    composed: Mapping[str, Any]  # the values by group; empty where composing failed
    compose: Callable[[list[str]], Mapping[str, Any]]  # likewise, of some words
    launchers: Callable[[], list[str]]  # those that are installed

    @cached_property
    def groups(self) -> list[str]:
        return groups_of(self.tree)

    @cached_property
    def settings(self) -> list[Setting]:
        return [setting for setting in every_setting(self.tree) if not setting.is_name]

    @cached_property
    def options(self) -> dict[str, str]:
        """The option that was chosen in each group that the model has."""
        certain = [word.text for word in self.words if word.key in ("model", "data", "experiment", "sweep")]
        composed = self.composed or self.compose(certain)
        typed = {word.key: str(word.value) for word in self.words if word.key in self.groups and word.key != "sweep"}
        names = {group: values["name"] for group in self.groups if (values := composed.get(group)) and "name" in values}
        return {group: typed.get(group, name) for group, name in names.items()}

    def line(self) -> str:
        """Returns the line for the first word that is wrong; '' where each is right by itself."""
        return next((line for word in self.words for check in CHECKS if (line := check(word, self))), "")


def _launcher(word: Word, refused: Refused) -> str:
    if word.key == LAUNCHER and word.value not in (launchers := refused.launchers()):
        return f"{word}: must be {one_of(launchers)}; others come with hydra-NAME-launcher from PyPI"
    if word.key.startswith("hydra.launcher.") and all(other.key != LAUNCHER for other in refused.words):
        return f"{word}: is a setting of another launcher; add {LAUNCHER}=joblib"
    return ""


def _deletion(word: Word, refused: Refused) -> str:
    return f"{word.text}: a setting cannot be deleted; choose another option, as in smoothing=none" * word.deletes


def _several_values(word: Word, refused: Refused) -> str:
    return f"{word.text}: several values; add -m to sweep" * word.has_several_values


def _option(word: Word, refused: Refused) -> str:
    if word.key not in refused.groups or word.value in (options := options_of(word.key)):
        return ""
    return f"{word}: must be {one_of(options)}.{nearest(str(word.value), options)}"


def _name_of_option(word: Word, refused: Refused) -> str:
    if word.group in refused.groups and word.key == f"{word.group}.name":
        return f"{word}: set {word.group}={shown(word.value)} instead, which also loads its settings"
    return ""


def _unknown_key(word: Word, refused: Refused) -> str:
    if word.key.startswith("hydra") or word.key in refused.groups:
        return ""
    known = [setting.key for setting in refused.settings]
    if word.key in known:
        return ""
    if "." not in word.key:
        for group in refused.groups:
            if nearest(word.key, [*refused.groups, *known]) == f" Did you mean {group}?":
                return f"{word}: there is no group {word.key}. Did you mean {group}?"
    return unknown_key(refused.tree, word.key, word.value)


def _option_without_it(word: Word, refused: Refused) -> str:
    """A group that the model does not have, or a setting of another option."""
    owners = [setting.option for setting in refused.settings if setting.key == word.key and setting.option]
    if not (owners or word.key in refused.groups) or not refused.options:
        return ""
    chosen = refused.options.get(word.group)
    if chosen is None and word.group in ("smoothing", "optim", "trainer"):
        return f"{word}: model={refused.options['model']} has no group {word.group}"
    if owners and chosen not in owners:
        options = one_of(f"{word.group}={option}" for option in owners)
        return f"{word}: {word.group}={chosen} has no {word.key.partition('.')[2]}; {options} has"
    return ""


CHECKS = (_launcher, _deletion, _several_values, _option, _name_of_option, _unknown_key, _option_without_it)
