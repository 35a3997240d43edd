"""The groups of conf/ and their options, each a file conf/GROUP/OPTION.yaml."""

from functools import cache
from pathlib import Path

from nextchar.config.fields import Settings, every_setting

CONF = Path(__file__).resolve().parents[3] / "conf"


@cache
def groups_of(tree: type[Settings]) -> list[str]:
    """Returns the groups that a tree has."""
    of_tree = dict.fromkeys(key.partition(".")[0] for key in every_setting(tree) if "." in key)
    found = [group for group in of_tree if (CONF / group).is_dir()]
    return [*found, "experiment"] if "model" in found else found


def options_of(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
