"""Every setting describes itself, and refuses a wrong value by its key."""

from copy import deepcopy
from functools import cache
from typing import Annotated, Literal

import pytest
from pydantic import Field

from nextchar.cli.commands import COMMANDS, settings_class
from nextchar.config.compose import command_of
from nextchar.config.fields import NOT_COMPARED, Setting, Settings, every_setting, not_compared, validated
from nextchar.errors import BadInput

LEAST: dict[str, list[str]] = {name: ["run=x"] for name in COMMANDS}  # the least that must be typed
LEAST |= {"train": [], "compare": [], "bench": [], "explain": ["run=x", "text=emma"]}
TAKE_NULL = {("data.split", ""), ("smoothing.k", "usual")}  # though their types, or those of other options, do not


def takes_text(setting: Setting) -> bool:
    return "string" in setting.types and not setting.choices


@pytest.mark.parametrize("name", LEAST)
def test_every_leaf_refuses_wrong_values_and_names_itself(name: str) -> None:
    """Some values go all the way from the command line, the others from Hydra's parser, which is faster."""
    tree = settings_class(name)
    compose = cache(lambda *words: command_of(name, tree, words).compose(words))
    checked = 0
    every = every_setting(tree).values()
    for setting, option in [(each, option) for each in every for option in each.options or [""]]:
        group, _, leaf = setting.key.rpartition(".")
        chosen = [f"{group}={option}"] if option else []
        needed = ["model=nn"] if group in ("optim", "trainer") or option in ("l2", "nn") else []
        if setting.is_name:
            continue  # the group chooses it
        words = [*LEAST[name], *dict.fromkeys([*needed, *chosen])]
        composed = deepcopy(compose(*words))
        for value in ("abc", "nan", "inf", "-1", "", "ünï日", "null"):
            argv = [*words, f"{setting.key}={value}"]
            try:
                command = command_of(name, tree, argv)
                if value == "abc" and option in ["", *setting.options[:1]]:
                    made = command.settings
                else:
                    (composed[group] if group else composed)[leaf] = command.parsed[-1].value()
                    made = validated(tree, composed)
            except BadInput as error:
                said = str(error)
                assert said.isprintable(), argv
                assert setting.key in said, f"{argv}: {said}"
                checked += 1
                continue
            for part in setting.key.split("."):
                made = getattr(made, {"json": "json_"}.get(part, part))
            may_be_null = "null" in setting.types or (setting.key, option) in TAKE_NULL
            none = value == "null" and may_be_null
            assert takes_text(setting) or none, f"{setting.key}={value} was taken"
            if takes_text(setting) and made is not None:
                assert str(made).endswith(value), f"{setting.key}={value} became {made}"
    assert checked >= 6 * sum(not takes_text(setting) for setting in every if not setting.options)


class Small(Settings):
    name: Literal["small"]
    size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(description="of it", json_schema_extra=NOT_COMPARED)


class Large(Settings):
    name: Literal["large"]
    sizes: list[int] | None = None
    rate: float = Field(gt=0, le=1)


class Shelf(Settings):
    box: Annotated[Small | Large, Field(discriminator="name")] | None = None
    label: str = Field(alias="tag")


def test_a_tree_lists_the_settings_of_all_options() -> None:
    found = {
        (setting.key, *setting.options): setting.allowed
        for setting in every_setting(Shelf).values()
        if not setting.is_name
    }
    assert found == {
        ("box.size", "small"): "auto or a whole number of at least 1",
        ("box.sizes", "large"): "a list of whole numbers or null",
        ("box.rate", "large"): "a number above 0 and at most 1",
        ("tag",): "text",
    }
    assert not_compared(Shelf) == {"box.size"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"tag": "a", "box": {"name": "small", "size": 0}}, "box.size=0: must be auto or a whole number of at least "
         "1."),
        ({"tag": "a", "box": {"name": "small", "size": "auot"}}, "box.size=auot: must be auto or a whole number of at "
         "least 1. Did you mean auto?"),
        ({"tag": "a", "box": {"name": "large", "sizes": [1, "x"], "rate": 1}}, "box.sizes=x: must be a list of whole "
         "numbers or null."),
        ({"tag": "a", "box": {"name": "large", "rate": 1, "rte": 2}}, "box.rte=2: there is no setting box.rte. Did you "
         "mean box.rate?"),
        ({"box": None}, "tag is missing; set tag=... (text)"),
        ({"tag": "a", "box": {"name": "huge"}}, "box: no such box; there is 'small', 'large'"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_by_its_dotted_key(values: object, says: str) -> None:
    with pytest.raises(BadInput) as error:
        validated(Shelf, values)
    assert str(error.value) == says
