"""Atomic writing: a file appears whole or not at all."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def write_atomically(target: Path, content: bytes | Iterable[bytes]) -> None:
    """Writes a file, in parts if the content is too large for memory. After a crash the file is the old or the new one.

    Raises OSError with the name of the target.
    """
    try:
        with temporary_file(target.parent, content) as temporary:
            os.replace(temporary, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None


def json_bytes(value: Any) -> bytes:
    """Returns indented JSON in ASCII. Raises ValueError for nan and inf, which JSON lacks."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode("ascii")


@contextlib.contextmanager
def temporary_file(folder: Path, content: bytes | Iterable[bytes]) -> Iterator[str]:
    """Writes a temporary file and gives its name. It is in `folder`, because a rename from elsewhere would copy it."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o666 & ~_umask())
            file.writelines([content] if isinstance(content, bytes) else content)
            file.flush()
            os.fsync(handle)
        yield name
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
