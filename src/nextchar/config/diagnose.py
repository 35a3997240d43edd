"""Finds the word of a refused command line that is wrong, and the line that says why.

Runs only after composing or checking has failed. A word is an Override as Hydra's grammar reads it; Hydra is imported
in compose.py only.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nextchar.config.fields import Settings, every_setting, groups_of, options_of, unknown_key
from nextchar.messages import nearest, one_of, shown

LAUNCHER = "hydra/launcher"


def wrong_words(
    tree: type[Settings],
    words: Sequence[Any],
    compose: Callable[[list[str]], Mapping[str, Any]],
    launchers: Callable[[], list[str]],
) -> Iterator[str]:
    """Yields a line for each wrong word. Only the first counts: each check relies on those before it.

    `compose` gives the values by group of the whole command line or, if it cannot be composed, of the words named.
    `launchers`: the names of those that are installed.
    """
    groups, options = groups_of(tree), dict[str, str]()
    settings = {key: setting for key, setting in every_setting(tree).items() if not setting.is_name}
    for word in words:
        key, value = word.key_or_group, word.value()
        group, _, leaf = key.partition(".")
        typed = f"{key}={shown(value)}"
        if key == LAUNCHER and value not in (installed := launchers()):
            yield f"{typed}: must be {one_of(installed)}; others come with hydra-NAME-launcher from PyPI"
        if key.startswith("hydra.launcher.") and LAUNCHER not in [each.key_or_group for each in words]:
            yield f"{typed}: is a setting of another launcher; add {LAUNCHER}=joblib"
        if word.is_delete():
            yield f"{word.input_line}: a setting cannot be deleted; choose another option, as in smoothing=none"
        if word.is_sweep_override():
            yield f"{word.input_line}: several values; add -m to sweep"
        if group in groups and not leaf and value not in (known := options_of(group)):
            yield f"{typed}: must be {one_of(known)}.{nearest(str(value), known)}"
        if group in groups and leaf == "name":
            yield f"{typed}: set {group}={shown(value)} instead, which also loads its settings"
        if not (key.startswith("hydra") or key in groups or key in settings):
            hint = nearest(key, [*groups, *settings])
            is_group = not leaf and hint in [f" Did you mean {each}?" for each in groups]
            yield f"{typed}: there is no group {key}.{hint}" if is_group else unknown_key(tree, key, value)
        owners = settings[key].options if key in settings else []
        if owners or key in groups:
            options = options or _options(groups, words, compose)
            yield from _option_without(typed, key, owners, options)


def _options(
    groups: list[str], words: Sequence[Any], compose: Callable[[list[str]], Mapping[str, Any]]
) -> dict[str, str]:
    """The option that was chosen in each group that the model has."""
    composed = compose([w.input_line for w in words if w.key_or_group in ("model", "data", "experiment", "sweep")])
    names = {group: values["name"] for group in groups if (values := composed.get(group)) and "name" in values}
    typed = {word.key_or_group: str(word.value()) for word in words if word.key_or_group != "sweep"}
    return {group: typed.get(group, name) for group, name in names.items()}


def _option_without(typed: str, key: str, owners: list[str], options: dict[str, str]) -> Iterator[str]:
    """Yields a line for a group that the model does not have, and for a setting of another option."""
    group, _, leaf = key.partition(".")
    chosen = options.get(group)
    if options and chosen is None and group in ("smoothing", "optim", "trainer"):
        yield f"{typed}: model={options['model']} has no group {group}"
    elif options and owners and chosen not in owners:
        having = one_of(f"{group}={option}" for option in owners)
        yield f"{typed}: {group}={chosen} has no {leaf}; {having} has"
