"""The base class of all settings: which there are, what each allows, and what is wrong with a value."""

import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from nextchar.errors import BadInput
from nextchar.messages import nearest, one_of, shown

# Marks text that is taken as typed: the command line quotes it before Hydra's grammar can trip over it or convert it.
FREE_TEXT = "free text"


NO_LIMIT = 2**31 - 1  # an upper bound from here on is named only to who goes beyond it


class Called(str):
    """What a kind of text is called where its knob says what it takes: 'a path'."""

    __slots__ = ()


PATH = Called("a path")


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown key, no conversion between types, no nan or inf."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def plain(self) -> dict[str, Any]:
        """The tree as plain values, as they stand in settings.json and run.json."""
        return self.model_dump(by_alias=True)


Tree = TypeVar("Tree", bound=Settings)


def validated(tree: type[Tree], values: object) -> Tree:
    """Plain nested values -> a checked tree. Raises BadInput: one line that names key, value and what is allowed."""
    try:
        return tree.model_validate(values)
    except ValidationError as error:
        raise BadInput(_refusal(tree, error)) from None
    except RecursionError:
        raise BadInput("the settings are nested too deeply") from None


class Knob:
    """One leaf of a tree: its dotted key, what is allowed there, and the option of a group that it comes with."""

    def __init__(self, key: str, field: FieldInfo, option: str = "") -> None:
        self.key, self.option = key, option
        self.help = field.description or ""
        self.members = _members(field.annotation)
        self.metadata = _metadata(field.annotation) + _flat(field.metadata)
        self.choices = [
            str(choice) for kind in self.members if get_origin(kind) is Literal for choice in get_args(kind)
        ]

    @property
    def is_free_text(self) -> bool:
        return FREE_TEXT in self.metadata

    @property
    def is_path(self) -> bool:
        return PATH in self.metadata

    @property
    def allowed(self) -> str:
        """What it takes, in words: 'a number above 0', 'none, nfc or nfkc', 'all or a whole number of at least 1'."""
        bounds = _bounds(self.metadata)
        text = next((said for said in self.metadata if isinstance(said, Called)), "text")
        names = {bool: "true or false", int: f"a whole number{bounds}", float: f"a number{bounds}", str: text}
        names |= {dict: "a mapping", list: "a list of whole numbers"}
        kinds = [get_origin(kind) or kind for kind in self.members]
        parts = [*self.choices, *(names[kind] for kind in kinds if kind in names)]
        return one_of([*parts, "null"] if type(None) in self.members else parts)


def knobs(tree: type[Settings]) -> Iterator[Knob]:
    """Every leaf of a tree, those of all its variants included."""
    for name, field in tree.model_fields.items():
        key = field.alias or name
        variants = _trees(field.annotation)
        if not variants:
            yield Knob(key, field)
        for variant in variants:
            for knob in knobs(variant):
                if knob.key != "name" or len(variants) == 1:
                    knob.key = f"{key}.{knob.key}"
                    knob.option = _tag(variant) if len(variants) > 1 else ""
                    yield knob


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values -> dotted keys; a list as it is typed, [0,0,1]."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = f"[{','.join(map(str, value))}]" if isinstance(value, list) else value
    return leaves


def unknown_key(tree: type[Settings], key: str, value: object) -> str:
    """The line for a key that the tree does not have: names the nearest one, or the knobs beside it."""
    known = list(dict.fromkeys(knob.key for knob in knobs(tree)))
    beside = [other for other in known if other.rpartition(".")[0] == key.rpartition(".")[0]]
    hint = nearest(key, known) or (f" There are {', '.join(beside)}." if beside else "")
    return f"{key}={shown(value)}: there is no setting {key}.{hint}"


def _refusal(tree: type[Settings], error: ValidationError) -> str:
    first = error.errors()[0]
    kind, value = first["type"], first["input"]
    key = _key(tree, first["loc"])
    knob = next((knob for knob in knobs(tree) if knob.key == key), None)
    if kind == "extra_forbidden":
        return unknown_key(tree, key, value)
    if kind == "value_error" and knob is None:  # a rule between several knobs says all of it by itself
        return str(first["ctx"]["error"])
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        if isinstance(value, Mapping) and "name" not in value and value:  # left by an experiment for another model
            leaf, left = next(iter(value.items()))
            return f"{key}.{shown(leaf)}={shown(left)}: the model that was chosen takes no {key}"
        return f"{key}: no such {key}; there is {first['ctx'].get('expected_tags', 'a list of them')}"
    if knob is None:
        return f"{key} is missing" if kind == "missing" else f"{key}={shown(value)}: {first['msg']}"
    if kind == "missing":
        return f"{key} is missing; set {key}=... ({knob.help or knob.allowed})"
    if kind == "value_error":
        return f"{key}={shown(value)}: {first['ctx']['error']}"
    too_large = [e["ctx"]["le"] for e in error.errors() if e["type"] == "less_than_equal" and e["input"] is value]
    if too_large and too_large[0] >= NO_LIMIT:
        return f"{key}={shown(value)}: must be at most {_digits(too_large[0])}"
    hint = nearest(value, knob.choices) if isinstance(value, str) else ""
    return f"{key}={shown(value)}: must be {knob.allowed}.{hint}"


def _digits(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def _key(tree: type[Settings], location: tuple[int | str, ...]) -> str:
    """pydantic's location as a dotted key, without the labels that it adds for the members of a union."""
    key: list[str] = []
    here = [tree]
    for part in map(str, location):
        fields = {field.alias or name: field for kind in here for name, field in kind.model_fields.items()}
        tagged = [kind for kind in here if len(here) > 1 and _tag(kind) == part]
        if tagged:
            here = tagged
        elif here:  # a field, or a key that no tree knows
            key.append(part)
            here = _trees(fields[part].annotation) if part in fields else []
    return ".".join(key)


def _trees(annotation: Any) -> list[type[Settings]]:
    return [kind for kind in _members(annotation) if isinstance(kind, type) and issubclass(kind, Settings)]


def _tag(variant: type[Settings]) -> str:
    """The name that chooses this variant of a group, as in `model.name: nn`."""
    return str(get_args(variant.model_fields["name"].annotation)[0])


def _members(annotation: Any) -> list[Any]:
    """The members of a union, `Annotated` taken off; a plain type is its own only member."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return [leaf for member in get_args(annotation) for leaf in _members(member)]
    return [annotation]


def _metadata(annotation: Any) -> list[Any]:
    """All that `Annotated` says of a type, at any depth of a union."""
    if get_origin(annotation) is Annotated:
        inner, *said = get_args(annotation)
        return _flat(said) + _metadata(inner)
    if get_origin(annotation) in (Union, types.UnionType):
        return [item for member in get_args(annotation) for item in _metadata(member)]
    return []


def _flat(said: Iterable[Any]) -> list[Any]:
    return [leaf for item in said for leaf in (item.metadata if isinstance(item, FieldInfo) else [item])]


def _bounds(metadata: list[Any]) -> str:
    """' above 0', ' from 1 to 256', '' where there are none."""
    kinds = {"ge": annotated_types.Ge, "gt": annotated_types.Gt, "le": annotated_types.Le, "lt": annotated_types.Lt}
    limits = {name: getattr(said, name) for name, kind in kinds.items() for said in metadata if isinstance(said, kind)}
    if limits.get("le", 0) >= NO_LIMIT:
        del limits["le"]
    if "ge" in limits and "le" in limits:
        return f" from {limits['ge']} to {limits['le']}"
    words = {"ge": "of at least", "gt": "above", "le": "at most", "lt": "below"}
    said = [f"{words[name]} {limit}" for name, limit in limits.items()]
    return f" {' and '.join(said)}" if said else ""
