"""The base class and the types of all settings, their descriptions, and the line that refuses a wrong value.

The descriptions are read from pydantic's JSON schema. A field adds to it by `json_schema_extra`: AS_TYPED, A_PATH,
`takes` (words for the text it takes), NOT_COMPARED and TYPED_ONLY.
"""

import codecs
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from nextchar.errors import BadInput
from nextchar.messages import nearest, one_line, one_of, shown

CONF = Path(__file__).resolve().parents[3] / "conf"  # in the clone

Schema = Mapping[str, Any]
Extra = dict[str, JsonValue]
AS_TYPED: Extra = {"as_typed": True}  # text that is quoted, so that Hydra's grammar neither refuses nor converts it
A_PATH: Extra = AS_TYPED | {"is_path": True, "takes": "a path"}
NOT_COMPARED: Extra = {"compared": False}  # it cannot change a result
TYPED_ONLY: Extra = {"typed_only": True}  # an address or a digest: never believed where a folder holds it

LARGEST = 2**31 - 1  # of counts and sizes, for the libraries' sake; a bound from here on is named only if exceeded


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown key, no conversion between types, no nan or inf."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def refusals(self) -> Iterable[str]:
        """Yields a line for each combination of values that is refused."""
        return ()

    def refusals_in(self, run: Any) -> Iterable[str]:
        """Yields a line for each setting of a run (TrainSettings) that does not go with this group."""
        return ()

    @model_validator(mode="after")
    def _refuse(self) -> Self:
        for line in self.refusals():
            raise ValueError(line)
        return self

    def plain(self) -> dict[str, Any]:
        """Returns the tree as plain values, as they stand in settings.json and run.json."""
        return self.model_dump(by_alias=True)


# --- types that several groups share --------------------------------------------------------------------------------


def absolute(path: str) -> str:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
        raise ValueError("must be a path; download the URL first")
    return os.path.abspath(os.path.expanduser(path))


def _known_encoding(name: str) -> str:
    try:
        if not codecs.lookup(name)._is_text_encoding:
            raise ValueError(f"{name} does not decode bytes to text")
    except LookupError:
        raise ValueError("Python has no such encoding; common ones are utf-8, latin-1, cp1252 and utf-16") from None
    return name


Text = Annotated[str, Field(json_schema_extra=AS_TYPED)]
FilePath = Annotated[str, Field(min_length=1, json_schema_extra=A_PATH), AfterValidator(absolute)]
Digest = Annotated[
    str, Field(pattern="^[0-9a-f]{64}$", json_schema_extra=AS_TYPED | {"takes": "64 hexadecimal digits"})
]
Encoding = Annotated[
    str,
    Field(json_schema_extra=AS_TYPED | {"takes": "an encoding that Python knows (utf-8, latin-1, utf-16)"}),
    AfterValidator(_known_encoding),
]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Positive = Annotated[int, Field(ge=1, le=LARGEST)]
Rate = Annotated[float, Field(gt=0, le=1e38)]  # float32 ends at 3.4e38
Decay = Annotated[float, Field(ge=0, lt=1)]


# --- checking and describing ----------------------------------------------------------------------------------------

Tree = TypeVar("Tree", bound=Settings)


def validated(tree: type[Tree], values: object) -> Tree:
    """Checks plain nested values. Raises BadInput: one line with the key, the value and what is allowed."""
    try:
        return tree.model_validate(values)
    except ValidationError as error:
        raise BadInput(one_line(_refusal(tree, error))) from None  # a key of a stranger's file may hold a line break
    except RecursionError:
        raise BadInput("the settings are nested too deeply") from None


@dataclass(frozen=True)
class Setting:
    """A leaf of a tree: its dotted key, its JSON schema, and the options that have it, if its group has options."""

    key: str
    schema: Schema
    options: list[str]

    @property
    def is_name(self) -> bool:
        """Whether it is the name of its group's option, which `group=option` chooses."""
        return self.key.endswith(".name")

    @property
    def help(self) -> str:
        return str(self.schema.get("description", ""))

    @property
    def members(self) -> list[Schema]:
        """The schemas of the types that it takes."""
        return list(self.schema.get("anyOf", [self.schema]))

    @property
    def types(self) -> set[str]:
        """JSON's names of the types that it takes: number, integer, boolean, string, array, object, null."""
        return {member["type"] for member in self.members}

    @property
    def choices(self) -> list[str]:
        return [str(choice) for member in self.members for choice in _choices(member)]

    def has(self, mark: str) -> bool:
        """Whether one of its types has a mark of `json_schema_extra`."""
        return any(member.get(mark) for member in self.members)

    @property
    def allowed(self) -> str:
        """The values that it takes, in words: 'a number above 0', 'all or a whole number of at least 1'."""
        others = [member for member in self.members if not _choices(member) and member["type"] != "null"]
        words = [*self.choices, *map(_in_words, others)]
        return one_of([*words, "null"] if "null" in self.types else words)


@cache
def every_setting(tree: type[Settings]) -> dict[str, Setting]:
    """Returns every leaf of a tree by its key, those of all options of its groups included."""
    schema, found = tree.model_json_schema(), dict[str, Setting]()
    for key, option, field in _leaves(schema, schema.get("$defs", {})):
        found.setdefault(key, Setting(key, field, [])).options.extend(option)
    return found


@cache
def not_compared(tree: type[Settings]) -> frozenset[str]:
    """Returns the keys of the settings that cannot change a result."""
    return frozenset(key for key, setting in every_setting(tree).items() if setting.schema.get("compared") is False)


@cache
def groups_of(tree: type[Settings]) -> list[str]:
    """Returns the groups of conf/ that a tree has."""
    of_tree = dict.fromkeys(key.partition(".")[0] for key in every_setting(tree) if "." in key)
    found = [group for group in of_tree if (CONF / group).is_dir()]
    return [*found, "experiment"] if "model" in found else found


def options_of(group: str) -> list[str]:
    """Returns the options of a group, each a file conf/GROUP/OPTION.yaml."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@cache
def typed_only(tree: type[Settings]) -> tuple[str, ...]:
    """Returns the keys of the settings that are never taken from a folder."""
    return tuple(key for key, setting in every_setting(tree).items() if setting.schema.get("typed_only"))


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Converts nested values to dotted keys; a list becomes the text that is typed for it, [0,0,1]."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = f"[{','.join(map(str, value))}]" if isinstance(value, list) else value
    return leaves


def unknown_key(tree: type[Settings], key: str, value: object) -> str:
    """Returns the line that refuses an unknown key: it names the nearest setting, or those of the same group."""
    known = [other for other, setting in every_setting(tree).items() if not setting.is_name]
    beside = [other for other in known if other.rpartition(".")[0] == key.rpartition(".")[0]]
    hint = nearest(key, known) or (f" There are {', '.join(beside)}." if beside else "")
    return f"{key}={shown(value)}: there is no setting {key}.{hint}"


def _leaves(
    schema: Schema, classes: Schema, prefix: str = "", option: Sequence[str] = ()
) -> Iterator[tuple[str, Sequence[str], Schema]]:
    """Yields the key of each leaf, the option that has it, if any, and its schema."""
    for name, field in schema["properties"].items():
        groups = [one for member in field.get("anyOf", [field]) for one in member.get("oneOf", [member])]
        options = [classes[group["$ref"].rpartition("/")[2]] for group in groups if "$ref" in group]
        if not options:
            yield prefix + name, option, field
        for each in options:
            chosen_by = [each["properties"]["name"]["const"]] if len(options) > 1 else []
            yield from _leaves(each, classes, f"{prefix}{name}.", chosen_by)


def _choices(member: Schema) -> list[Any]:
    return list(member.get("enum", [member["const"]] if "const" in member else []))


def _in_words(member: Schema) -> str:
    """The type of one member of a setting and its bounds, in words."""
    match member["type"]:
        case "boolean":
            return "true or false"
        case "integer":
            return f"a whole number{_bounds(member)}"
        case "number":
            return f"a number{_bounds(member)}"
        case "array":
            return "a list of whole numbers"
        case "object":
            return "a mapping"
    return str(member.get("takes", "text"))


def _bounds(member: Schema) -> str:
    """' above 0', ' from 1 to 256', '' where there are none."""
    words = {"minimum": "of at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = {bound: member[bound] for bound in words if bound in member}
    if limits.get("maximum", 0) >= LARGEST:
        del limits["maximum"]
    if "minimum" in limits and "maximum" in limits:
        return f" from {limits['minimum']} to {limits['maximum']}"
    text = " and ".join(f"{words[bound]} {limit}" for bound, limit in limits.items())
    return f" {text}" if text else ""


def _refusal(tree: type[Settings], error: ValidationError) -> str:
    """The line for the first error that pydantic found."""
    first = error.errors()[0]
    kind, value = first["type"], first["input"]
    key = _key(tree, first["loc"])
    setting = every_setting(tree).get(key)
    if kind == "extra_forbidden":
        return unknown_key(tree, key, value)
    if kind == "value_error" and setting is None:  # a rule between settings names them itself
        return str(first["ctx"]["error"])
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        if isinstance(value, Mapping) and "name" not in value and value:  # left by an experiment for another model
            leaf, left = next(iter(value.items()))
            return f"{key}.{shown(leaf)}={shown(left)}: the model that was chosen takes no {key}"
        return f"{key}: no such {key}; there is {first['ctx'].get('expected_tags', 'a list of them')}"
    if setting is None:
        return f"{key} is missing" if kind == "missing" else f"{key}={shown(value)}: {first['msg']}"
    if kind == "missing":
        return f"{key} is missing; set {key}=... ({setting.help or setting.allowed})"
    if kind == "value_error":
        return f"{key}={shown(value)}: {first['ctx']['error']}"
    too_large = [each["ctx"]["le"] for each in error.errors() if each["type"] == "less_than_equal"]
    if too_large and too_large[0] >= LARGEST and not isinstance(value, str):
        limit = too_large[0]
        return f"{key}={shown(value)}: must be at most {f'{limit:g}' if isinstance(limit, float) else limit}"
    hint = nearest(value, setting.choices) if isinstance(value, str) else ""
    return f"{key}={shown(value)}: must be {setting.allowed}.{hint}"


def _key(tree: type[Settings], location: tuple[int | str, ...]) -> str:
    """pydantic's location as a dotted key, without its labels for the members of a union."""
    settings, key, parts = every_setting(tree), "", iter(map(str, location))
    for part in parts:
        key = f"{key}.{part}" if key else part
        if key in settings:
            break
        if (name := settings.get(f"{key}.name")) and name.options:
            next(parts, None)  # the option's name
    return key
