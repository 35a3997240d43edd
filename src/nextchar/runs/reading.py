"""Reads files that a stranger may have written: runs no code, and takes memory only for what has been checked."""

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from nextchar.errors import BadInput, refuse_beyond_memory
from nextchar.messages import one_of, shown
from nextchar.models.base import TensorSpec
from nextchar.runs.record import FileRecord

LARGEST_JSON = 16 << 20  # bytes; a vocabulary of all of Unicode takes 13 MB
LARGEST_HEADER = 64 << 10  # bytes of a weights file; ours take 200
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")


def load_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object from a regular file of at most 16 MiB, without duplicate keys or nan. Raises BadInput."""
    with _open(path, LARGEST_JSON) as file:
        content = file.read(os.fstat(file.fileno()).st_size)  # and nothing that is added meanwhile

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a key occurs twice")
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(str(content, "utf-8"), object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError:
        raise BadInput(f"{path}: nested too deeply") from None
    except ValueError as error:
        raise BadInput(f"{path}: not valid JSON: {shown(error)}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{path}: not a JSON object")
    return value


def load_bytes(path: Path, listed: FileRecord, most: int) -> bytes:
    """Reads a file that must be as run.json lists it, and at most so large. Raises BadInput."""
    if not 0 <= listed.size <= most:
        raise BadInput(f"{path}: {listed.size:,} bytes; the limit is {most:,}")
    with _verified(path, listed) as file:
        return file.read(listed.size)


def load_tensors(
    path: Path, listed: FileRecord, expected: Mapping[str, TensorSpec], infinite: bool = False
) -> dict[str, np.ndarray]:
    """Reads a safetensors file that must be as run.json lists it, with the expected names, dtypes and shapes.

    None in a shape stands for any length that the file has room for; `infinite` allows inf among the values. Raises
    BadInput.
    """
    size = listed.size
    room = sum(np.dtype(kind).itemsize * math.prod(n or size for n in shape) for kind, shape in expected.values())
    if not 0 < size <= room + LARGEST_HEADER:
        raise BadInput(f"{path}: {size:,} bytes do not fit this model, which has at most {room:,}")
    refuse_beyond_memory(str(path), size, "it may be a sparse file")
    try:
        # By its number, so that the file is the one whose digest was checked, and no link that has taken its place
        with _verified(path, listed) as file, safe_open(f"/dev/fd/{file.fileno()}", framework="numpy") as opened:
            if set(opened.keys()) != set(expected):
                raise BadInput(
                    f"{path}: holds {shown(sorted(opened.keys()))}, this model has {shown(sorted(expected))}"
                )
            for name, (kind, shape) in expected.items():
                _check_layout(path, name, opened.get_slice(name), kind, shape)
            tensors: dict[str, np.ndarray] = {name: opened.get_tensor(name) for name in expected}
    except SafetensorError as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise BadInput(f"{path}: not a valid safetensors file: {shown(reason)}") from None
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not (np.isfinite(tensor) | (infinite & np.isposinf(tensor))).all():
            raise BadInput(f"{path}: {name} holds nan or inf")
    return tensors


def _check_layout(path: Path, name: str, tensor: Any, kind: str, shape: tuple[int | None, ...]) -> None:
    """Raises BadInput where a tensor, of which only the header has been read, has another dtype or shape."""
    dtypes = [np.dtype(each) for each in (UNSIGNED if kind == "uint" else [kind])]
    codes = [f"{dtype.kind.upper()}{8 * dtype.itemsize}" for dtype in dtypes]  # safetensors' names: F32, I64, U8
    found = tensor.get_shape()
    fits = len(found) == len(shape) and all(m is None or m == n for n, m in zip(found, shape, strict=True))
    if tensor.get_dtype() not in codes or not fits:
        wanted = f"{one_of(codes)} [{', '.join('any' if n is None else str(n) for n in shape)}]"
        raise BadInput(f"{path}: {name} is {tensor.get_dtype()} {found}; this model has {wanted}")


def check_folder(path: Path, key: str) -> None:
    """Raises BadInput, which names the setting `key`, where the path is no folder."""
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        raise BadInput(f"{key}={path} does not exist; name a run folder, such as one under outputs/") from None
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{key}={path} cannot be read: {reason}") from None
    if not is_folder:
        raise BadInput(f"{key}={path} is not a folder; name the run folder, not a file in it")


@contextmanager
def _verified(path: Path, listed: FileRecord) -> Iterator[BufferedReader]:
    """Opens a regular file that has the size and the digest of run.json. Raises BadInput."""
    with _open(path, listed.size) as file:
        size = os.fstat(file.fileno()).st_size
        if size != listed.size or hashlib.file_digest(file, "sha256").hexdigest() != listed.sha256:
            raise BadInput(f"{path} is not the file recorded in run.json (size or sha256 differ)")
        file.seek(0)
        yield file


@contextmanager
def _open(path: Path, most: int) -> Iterator[BufferedReader]:
    """Opens a regular file of at most `most` bytes; follows no link and waits for no pipe. Raises BadInput."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        reason = "a symbolic link is not followed" if path.is_symlink() else error.strerror
        raise BadInput(f"{path}: {reason}") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(f"{path}: not a regular file")
        if status.st_size > most:
            raise BadInput(f"{path}: {status.st_size:,} bytes; the limit is {most:,}")
        with open(handle, "rb", closefd=False) as file:
            yield file
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    finally:
        os.close(handle)
