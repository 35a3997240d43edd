"""Prints: results to stdout, all else to stderr. No character that is printed can control the terminal."""

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nextchar.messages import printable


def print_json(value: Any) -> None:
    """Prints one JSON value; an infinity becomes a text, as in run.json, since JSON has none."""
    text = json.dumps(_without_infinities(value), indent=2, ensure_ascii=False, allow_nan=False)
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def print_lines(texts: Iterable[str]) -> None:
    """Prints each text as soon as it comes; those of a running text keep their newlines."""
    for text in texts:
        print(printable(text))


def say(text: str) -> None:
    """Prints a line on stderr; a stderr that is closed or full is ignored from then on."""
    try:
        print(printable(text), file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def note(text: str) -> None:
    say(f"note: {text}")


@contextmanager
def dropped_if_unread() -> Iterator[None]:
    """Drops output to a closed pipe (head, less) or a full disk, and the program continues."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            note(f"the result cannot be printed: {error.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def short(path: Path) -> str:
    """Returns the path relative to the working directory if it lies below it."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)


def _without_infinities(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_infinities(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinities(each) for each in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value
