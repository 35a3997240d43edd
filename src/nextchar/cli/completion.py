"""What TAB offers in bash: flags, groups, options, settings and their values, as far as they fit what was typed."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_origin

from nextchar.cli.help import groups_of, options_of
from nextchar.config.fields import Knob, Settings, flat, knobs

# Everything before the word's last = or : stays where it is: readline replaces only what stands behind. Where nothing
# is offered, as for a path, readline completes file names (-o default).
BASH = r"""_nextchar() {
    local line=${COMP_LINE:0:COMP_POINT} offered kept=
    COMPREPLY=()
    [[ $line =~ ^[[:space:]]*([^[:space:]]+)[[:space:]]+([^[:space:]]*scripts/[a-z]+\.py)[[:space:]] ]] || return 0
    local python=${BASH_REMATCH[1]} script=${BASH_REMATCH[2]/#\~/$HOME} word=${line##*[[:space:]]}
    grep -qs '^from nextchar ' "$script" || return 0
    [[ $COMP_WORDBREAKS == *=* ]] && kept=${word%"${word##*[=:]}"}
    while IFS= read -r offered; do
        COMPREPLY+=("${offered#"$kept"}")
    done < <(COMP_LINE=$line COMP_POINT=${#line} "$python" "$script" -sc query=bash 2>/dev/null)
}
complete -o nospace -o default -F _nextchar python python3"""
BASH_AWAY = "complete -r python python3; unset -f _nextchar"

FLAGS = ["--help"]
FLAGS_OF_A_JOB = ["--help", "--multirun", "--cfg", "--info", "--hydra-help"]
ONLY_SWEPT = {"sweep", "hydra/launcher", "hydra.sweep.dir"}  # what needs -m, and what cannot have it
NEVER_SWEPT = {"resume", "hydra.run.dir"}


def candidates(
    tree: type[Settings],
    line: str,
    job: bool,
    composed: Callable[[Sequence[str]], Sequence[Mapping[str, Any]]],
    launchers: Callable[[], Sequence[str]],
) -> list[str]:
    """What the last word of a command line may become, a space behind it where nothing can follow.

    composed: what the groups among some words come to, once for each combination of a sweep, which takes a tenth of a
    second; launchers: those that are installed, likewise.
    """
    words, word = _words(line)
    multirun = bool({"-m", "--multirun"} & set(words))
    if word.startswith("-"):
        return [f"{flag} " for flag in (FLAGS_OF_A_JOB if job else FLAGS) if flag.startswith(word)]
    groups = groups_of(tree)
    key, equals, value = word.partition("=")
    if equals:
        *before, last = value.split(",") if multirun else [value]
        if key in groups:
            values = options_of(key)
        elif key == "hydra/launcher" and job and multirun:
            values = list(launchers())
        else:
            values = [each for knob in knobs(tree) if knob.key == key for each in _values(knob)]
            values += [] if values else _usual(key, tree, composed(words))
        found = [each for each in dict.fromkeys(values) if each.startswith(last) and each not in before]
        end = "" if multirun else " "
        return [f"{key}={','.join([*before, each])}{end}" for each in found]
    typed, brought = {each.partition("=")[0] for each in words}, composed(words)
    keys = [group for group in groups if group == "experiment" or any(values.get(group) for values in brought)]
    keys += _keys(tree, brought)
    if job:
        keys += ["hydra.run.dir", "hydra.sweep.dir", "hydra/launcher"] if word.startswith("h") else []
    keys = [each for each in keys if each not in typed and _fits(each, multirun)]
    return sorted(dict.fromkeys(_next_part(each, word) for each in keys if each.startswith(word)))


def _words(line: str) -> tuple[list[str], str]:
    """The words behind the script, and the one that is being typed."""
    try:
        words = shlex.split(line)
    except ValueError:  # within quotes
        words = line.split()
    last = "" if line[-1:].isspace() or not words else words.pop()
    script = next((at for at, word in enumerate(words) if word.endswith(".py")), 0)
    return words[script + 1 :], last


def _fits(key: str, multirun: bool) -> bool:
    """Whether a key means something with, or without, -m."""
    first = key.partition(".")[0] if key.startswith("sweep") else key
    return first not in (NEVER_SWEPT if multirun else ONLY_SWEPT)


def _keys(tree: type[Settings], composed: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The settings that the chosen options have; those that only a file of conf/ can hold are left out."""
    for knob in knobs(tree):
        group, dot, leaf = knob.key.rpartition(".")
        chosen = [values.get(group) for values in composed] if dot else [{}]
        of_groups = [values for values in chosen if isinstance(values, Mapping)]
        if (dot and leaf == "name") or any(get_origin(kind) is dict for kind in knob.members):
            continue
        if any(not knob.option or values.get("name") == knob.option for values in of_groups):
            yield knob.key


def _values(knob: Knob) -> list[str]:
    """The values of a setting that has few."""
    return knob.choices + (["true", "false"] if bool in knob.members else [])


def _usual(key: str, tree: type[Settings], composed: Sequence[Mapping[str, Any]]) -> list[str]:
    """The values that a number has unless another is typed."""
    if not any(knob.key == key and {int, float} & set(knob.members) for knob in knobs(tree)):
        return []
    found = (flat(values).get(key) for values in composed)
    return [str(value) for value in found if value is not None]


def _next_part(key: str, word: str) -> str:
    """A key up to its next dot: all settings at once are more than one wants to see."""
    end = key.find(".", len(word))
    return f"{key}=" if end < 0 else key[: end + 1]
