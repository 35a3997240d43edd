"""Files that appear whole or not at all."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def write_atomically(target: Path, content: bytes | Iterable[bytes]) -> None:
    """The file at `target` is the old one or the new one, whatever happens in between, a power cut included.

    What is too large to be in memory at once may come in parts.

    Raises OSError, naming the target, where it could not be written.
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
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode("ascii")


@contextlib.contextmanager
def temporary_file(folder: Path, content: bytes | Iterable[bytes]) -> Iterator[str]:
    """A file of this content, on disk, in the same folder (a rename from elsewhere would be a copy)."""
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
