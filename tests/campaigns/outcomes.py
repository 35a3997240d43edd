"""What an attempt may end as, and an audit hook that notes all that leaves the process."""

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
_OUTWARD = ("os.", "subprocess.", "socket.", "pickle.", "urllib.", "shutil.", "ctypes.", "exec", "compile", "import")
_HARMLESS = ("os.listdir", "os.scandir")
_INSTALLED = (sys.prefix, sys.base_prefix, str(Path(nextchar.__file__).parent), "<frozen")
_IMPORTED = ("numpy", "nextchar", "encodings", "_codecs", "optuna", "sqlalchemy", "alembic", "sqlite3", "torch")


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event == "open":
        path, _, flags = args
        if not isinstance(path, int) and not str(path).startswith(_INSTALLED):
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            _seen.append(f"{'write' if writes else 'read'} {path}")
    elif event == "import":
        if not args[0].startswith(_IMPORTED) and args[0] not in sys.stdlib_module_names:
            _seen.append(f"import {args[0]}")
    elif event in ("exec", "compile"):
        code = getattr(args[0], "co_filename", None) or args[-1]
        if not str(code).startswith(_INSTALLED):
            _seen.append(f"{event} {args}"[:200])
    elif event.startswith(_OUTWARD) and event not in _HARMLESS:
        _seen.append(f"{event} {args}"[:200])


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Notes the files that are read and written, imports, and calls outside Python."""
    global _seen
    _seen = seen = []
    try:
        yield seen
    finally:
        _seen = None


def outcome(read: Callable[[], object], folder: Path) -> tuple[Any, str]:
    """Runs `read`, which may only read files of this folder. Returns its result (None: refused), and what is bad."""
    result, bad = None, ""
    with watched() as seen:
        try:
            result = read()
        except BadInput as error:
            lines = str(error).splitlines()
            bad = "" if len(lines) == 1 else f"a refusal of {len(lines)} lines: {lines}"
        except Exception as error:
            bad = f"{type(error).__name__}: {error}"
    others = [what for what in seen if not what.startswith(f"read {folder}")]
    return result, bad or (f"leaves the folder: {others[:3]}" if others else "")
