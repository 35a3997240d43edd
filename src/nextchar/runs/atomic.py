"""Atomic writing: a file appears whole or not at all."""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SUFFIX = ".tmp"  # of temporary files
NAME_CHARACTERS = 50  # of the target in the name of its temporary file


def write_atomically(target: Path, content: bytes | Iterable[bytes]) -> None:
    """Writes a file, in parts if the content is too large for memory. After a crash the file is the old or the new one.

    Raises OSError with the name of the target.
    """
    try:
        prefix = f".{target.name[:NAME_CHARACTERS]}."
        remove_left_over(target.parent, prefix)
        with temporary_file(target.parent, content, prefix) as temporary:
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
def temporary_file(folder: Path, content: bytes | Iterable[bytes], prefix: str) -> Iterator[str]:
    """Writes a temporary file and gives its name. It is in `folder`, because a rename from elsewhere would copy it."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=prefix, suffix=SUFFIX)
        with contextlib.suppress(OSError):  # some network file systems cannot lock
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            break
        os.close(handle)  # another writer took it for left over before it was locked
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


def remove_left_over(folder: Path, prefix: str) -> None:
    """Removes the temporary files of writers that were killed: nobody has them locked."""
    for name in os.listdir(folder):
        if name.startswith(prefix) and name.endswith(SUFFIX):
            with contextlib.suppress(OSError), open(folder / name) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(folder / name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
