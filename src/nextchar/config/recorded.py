"""Settings that a run folder or the folder of a sweep holds, where a stranger may have written them.

An address, or the digest of a download, counts only where the user typed it this time or conf/ has it.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from nextchar.config.compose import Command
from nextchar.config.fields import flat, typed_only, validated
from nextchar.config.train_settings import TrainCommand, TrainSettings
from nextchar.errors import BadInput
from nextchar.messages import shown

LONGEST = 500  # characters of a value that is to be typed


def recorded_settings(values: Mapping[str, Any], typed: Mapping[str, Any], where: str) -> TrainSettings:
    """Checks plain settings from a folder, with the addresses and digests that were `typed` instead of their own.

    `where` names the folder, as typed. Raises BadInput, which says what to type, for an address or a digest that was
    neither typed nor is in conf/.
    """
    plain = validated(TrainSettings, values).plain()
    recorded = {key: value for key, value in flat(plain).items() if key in typed_only(TrainSettings)}
    untyped = [key for key, value in recorded.items() if value is not None and key not in typed]
    in_conf = flat(Command("train", TrainCommand, []).compose([f"data={plain['data']['name']}"])) if untyped else {}
    for key in untyped:
        own, trusted = (f"{key}={shown(value, LONGEST)}" for value in (recorded[key], in_conf[key]))
        if own != trusted:
            raise BadInput(
                f"{where}: {own} stands in this folder, which may be a stranger's; "
                f"to use it, add {own}; otherwise add {trusted}"
            )
    for key in recorded.keys() & typed:
        group, name = key.split(".")
        plain[group][name] = typed[key]
    return validated(TrainSettings, plain)


def refuse_unsafe_words(words: Iterable[str], where: str) -> None:
    """Raises BadInput for a recorded override that Hydra would resolve, or that sets Hydra itself."""
    for word in words:
        if re.match(r"[+~]*hydra[./=@]", word) or re.search(r"\$\{[^}]*:", word):
            raise BadInput(
                f"{where}: {shown(word)} is no override of a job; it sets Hydra or makes it look something up"
            )
