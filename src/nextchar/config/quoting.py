"""Quotes free text on the command line, so that Hydra's grammar leaves it as it was typed."""

import re
from collections.abc import Sequence

from nextchar.config.fields import Settings, every_setting
from nextchar.errors import BadInput
from nextchar.messages import shown

HYDRA_PATHS = ("hydra.run.dir", "hydra.sweep.dir")  # Hydra's own settings that can be set here
ONE_VALUE = (*HYDRA_PATHS, "resume", "sweep.resume")  # a comma in these is part of the value, also in a sweep

IN_QUOTES = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\""""


def quote(tree: type[Settings], words: Sequence[str], multirun: bool) -> list[str]:
    """Quotes the values of settings that take free text. Raises BadInput for a word that is not key=value.

    Hydra's grammar would refuse 'a b (1)' and convert 'null' and '1e3'. In a multirun a comma separates values, as
    everywhere in Hydra. A value that is in quotes already stays as it is.
    """
    free_text = {key: setting for key, setting in every_setting(tree).items() if setting.has("as_typed")}
    quoted = []
    for word in words:
        key, equals, value = word.partition("=")
        if word.startswith("~"):  # Hydra's deletion
            quoted.append(word)
            continue
        if not (key and equals):
            hint = " For help: --help" if word in ("help", "h", "?") else ""
            raise BadInput(f"'{shown(word)}' is not key=value (no spaces around the '=').{hint}")
        name = key.lstrip("+")
        setting = free_text.get(name)
        if any("\ud800" <= c <= "\udfff" for c in word):  # Python's stand-in for bytes that are not UTF-8
            is_path = name in HYDRA_PATHS or (setting and setting.has("is_path"))
            remedy = "; rename the file or the folder" if is_path else ""
            raise BadInput(f"{shown(name)}={shown(value)}: not valid UTF-8{remedy}")
        if name in HYDRA_PATHS or (setting and not (value == "null" and "null" in setting.types)):
            values = _at_commas(value) if multirun and name not in ONE_VALUE else [value]
            value = ",".join(map(_quoted, values))
        quoted.append(f"{key}={value}")
    return quoted


def _at_commas(text: str) -> list[str]:
    """Splits at commas, except those in quotes."""
    part = re.match(rf"(?:{IN_QUOTES})(?=,|$)|[^,]*", text)
    assert part is not None
    rest = text[part.end() :]
    return [part[0], *_at_commas(rest[1:])] if rest else [part[0]]


def _quoted(text: str) -> str:
    if re.fullmatch(IN_QUOTES, text):
        return text
    # In quotes Hydra reads \' as ' and, before a quote, \\ as \. OmegaConf reads \${ as ${ and, before it, \\ as \.
    text = re.sub(r"(\\*)'", r"\1\1\\'", text)
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", text) + "'"
