"""An audit hook that notes files, imports and calls outside Python while a stranger's file is read."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.random  # noqa: F401  # its import executes strings

import nextchar
from nextchar.errors import BadInput

_seen: list[str] | None = None
_SUSPICIOUS = ("os.", "subprocess.", "socket.", "pickle.", "urllib.", "shutil.", "ctypes.", "exec", "compile", "import")
_HARMLESS = ("os.listdir", "os.scandir")
_INSTALLED = (sys.prefix, sys.base_prefix, str(Path(nextchar.__file__).parent), "<frozen")
_LIBRARIES = {"numpy", "nextchar", "encodings", "_codecs", "optuna", "sqlalchemy", "alembic", "sqlite3", "torch"}


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event == "open":
        path, _, flags = args
        if isinstance(path, int):  # a file that was opened before, by its number
            return
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        _seen.append(f"{'write' if writes else 'read'} {path}")
    elif event == "import":
        _seen.append(f"import {args[0]}")
    elif event in ("exec", "compile"):
        _seen.append(f"{event} {getattr(args[0], 'co_filename', None) or args[-1]}")
    elif event.startswith(_SUSPICIOUS) and event not in _HARMLESS:
        _seen.append(f"{event} {args}"[:200])


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Notes the files that are read and written, imports, and calls outside Python, each as `KIND NAME`."""
    global _seen
    _seen = seen = []
    try:
        yield seen
    finally:
        _seen = None


def outcome(read: Callable[[], object], folder: Path) -> tuple[Any, str]:
    """Runs `read`, which may read files of this folder only, and import installed libraries.

    Returns its result, None if it refused in one line, and a description of any other end.
    """
    result, bad = None, ""
    with watched() as seen:
        try:
            result = read()
        except BadInput as error:
            lines = str(error).splitlines()
            bad = "" if len(lines) == 1 else f"a refusal of {len(lines)} lines: {lines}"
        except Exception as error:
            bad = f"{type(error).__name__}: {error}"
    others = [each for each in seen if not (each.startswith(f"read {folder}") or _is_of_a_library(each))]
    return result, bad or (f"leaves the folder: {others[:3]}" if others else "")


def _is_of_a_library(noted: str) -> bool:
    """Whether an installed module was imported, or read and executed for that."""
    kind, _, name = noted.partition(" ")
    if kind == "import":
        return name.partition(".")[0] in _LIBRARIES | sys.stdlib_module_names
    return kind in ("read", "exec", "compile") and name.startswith(_INSTALLED)
