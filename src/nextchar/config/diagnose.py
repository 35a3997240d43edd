"""Finds the word of a refused command line that is wrong, and the line that says why.

Runs only after composing or checking has failed. The checks are ordered: each relies on those before it. `word` is an
Override as Hydra's grammar reads it; Hydra is imported in compose.py only.
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
class Refused:
    """A refused command line, and two functions that are called only if a check needs them."""

    tree: type[Settings]
    words: list[Any]
    composed: Mapping[str, Any]  # the values by group; empty if composing failed
    compose: Callable[[list[str]], Mapping[str, Any]]  # likewise, of some words
    launchers: Callable[[], list[str]]  # those that are installed

    def line(self) -> str:
        """Returns the line for the first word that is wrong; '' if each is right by itself."""
        return next((line for word in self.words for check in CHECKS if (line := check(word, self))), "")

    @cached_property
    def groups(self) -> list[str]:
        return groups_of(self.tree)

    @cached_property
    def settings(self) -> list[Setting]:
        return [setting for setting in every_setting(self.tree) if not setting.is_name]

    @cached_property
    def options(self) -> dict[str, str]:
        """The option that was chosen in each group that the model has."""
        certain = [
            word.input_line for word in self.words if word.key_or_group in ("model", "data", "experiment", "sweep")
        ]
        composed = self.composed or self.compose(certain)
        names = {group: values["name"] for group in self.groups if (values := composed.get(group)) and "name" in values}
        typed = {word.key_or_group: str(word.value()) for word in self.words if word.key_or_group != "sweep"}
        return {group: typed.get(group, name) for group, name in names.items()}


def _typed(word: Any) -> str:
    return f"{word.key_or_group}={shown(word.value())}"


def _launcher(word: Any, refused: Refused) -> str:
    if word.key_or_group == LAUNCHER and word.value() not in (launchers := refused.launchers()):
        return f"{_typed(word)}: must be {one_of(launchers)}; others come with hydra-NAME-launcher from PyPI"
    if word.key_or_group.startswith("hydra.launcher.") and LAUNCHER not in [
        each.key_or_group for each in refused.words
    ]:
        return f"{_typed(word)}: is a setting of another launcher; add {LAUNCHER}=joblib"
    return ""


def _deletion_or_sweep(word: Any, refused: Refused) -> str:
    if word.is_delete():
        return f"{word.input_line}: a setting cannot be deleted; choose another option, as in smoothing=none"
    return f"{word.input_line}: several values; add -m to sweep" if word.is_sweep_override() else ""


def _option(word: Any, refused: Refused) -> str:
    group, _, leaf = word.key_or_group.partition(".")
    if group in refused.groups and not leaf and word.value() not in (options := options_of(group)):
        return f"{_typed(word)}: must be {one_of(options)}.{nearest(str(word.value()), options)}"
    if group in refused.groups and leaf == "name":
        return f"{_typed(word)}: set {group}={shown(word.value())} instead, which also loads its settings"
    return ""


def _unknown_key(word: Any, refused: Refused) -> str:
    key = word.key_or_group
    known = [*refused.groups, *(setting.key for setting in refused.settings)]
    if key.startswith("hydra") or key in known:
        return ""
    for group in refused.groups:
        if "." not in key and nearest(key, known) == f" Did you mean {group}?":
            return f"{_typed(word)}: there is no group {key}. Did you mean {group}?"
    return unknown_key(refused.tree, key, word.value())


def _option_without_it(word: Any, refused: Refused) -> str:
    """A group that the model does not have, or a setting of another option."""
    key, group = word.key_or_group, word.key_or_group.partition(".")[0]
    owners = [setting.option for setting in refused.settings if setting.key == key and setting.option]
    if not (owners or key in refused.groups) or not refused.options:
        return ""
    chosen = refused.options.get(group)
    if chosen is None and group in ("smoothing", "optim", "trainer"):
        return f"{_typed(word)}: model={refused.options['model']} has no group {group}"
    if owners and chosen not in owners:
        options = one_of(f"{group}={option}" for option in owners)
        return f"{_typed(word)}: {group}={chosen} has no {key.partition('.')[2]}; {options} has"
    return ""


CHECKS = (_launcher, _deletion_or_sweep, _option, _unknown_key, _option_without_it)
