"""Opening what somebody else may have written: no code is run, and nothing takes memory before it was checked."""

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nextchar.errors import BadInput
from nextchar.knobs import shown

LARGEST_JSON = 64 << 20  # bytes; a vocabulary of all of Unicode takes 7 MB
LARGEST_HEADER = 64 << 10  # bytes of a weights file; ours take 200

TensorSpec = tuple[str, tuple[int | None, ...]]  # dtype and shape; None: any length


def load_json(path: Path) -> dict[str, Any]:
    """A JSON object from a regular file of sane size: no duplicate key, no nan. Raises BadInput."""
    content = _read_regular(path, LARGEST_JSON)
    return _parse_json(content, path)


def _parse_json(content: bytes, path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(content, object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError:
        raise BadInput(f"{path}: nested too deeply") from None
    except ValueError as error:
        raise BadInput(f"{path}: not valid JSON: {shown(error)}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{path}: not a JSON object")
    return value


def load_tensors(
    path: Path, size: int, sha256: str, expected: Mapping[str, TensorSpec], most: int
) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file that must have this size, digest, and the expected names, dtypes and shapes.

    `most` is the greatest length that None in a shape stands for. Raises BadInput.
    """
    room = sum(np.dtype(kind).itemsize * math.prod(n or most for n in shape) for kind, shape in expected.values())
    if not 0 < size <= room + LARGEST_HEADER:
        raise BadInput(f"{path}: {size:,} bytes do not fit this model, which has at most {room:,}")
    content = _read_regular(path, size)
    if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
        raise BadInput(f"{path} is not the file that run.json vouches for (size or sha256 differ)")
    return _tensors(path, content, expected)


def _tensors(path: Path, content: bytes, expected: Mapping[str, TensorSpec]) -> dict[str, np.ndarray]:
    import safetensors
    import safetensors.numpy

    header_size = int.from_bytes(content[:8], "little")
    if header_size > min(LARGEST_HEADER, len(content) - 8):
        raise BadInput(f"{path}: the header is damaged")
    header = _parse_json(content[8 : 8 + header_size], path)  # the format allows a key to stand twice, we do not
    if set(header) - {"__metadata__"} != set(expected):
        raise BadInput(f"{path}: holds {shown(sorted(header))}, this model has {shown(sorted(expected))}")
    try:
        tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise BadInput(f"{path}: not a sound safetensors file: {shown(error)}") from None
    for name, (kind, shape) in expected.items():
        tensor = tensors[name]
        fits = len(shape) == tensor.ndim and all(n in (None, m) for n, m in zip(shape, tensor.shape, strict=True))
        if tensor.dtype != np.dtype(kind) or not fits:
            raise BadInput(
                f"{path}: {name} is {tensor.dtype} {tensor.shape}; this model has {np.dtype(kind)} "
                f"({', '.join('any' if n is None else str(n) for n in shape)})"
            )
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise BadInput(f"{path}: {name} holds nan or inf")
    return tensors


def check_folder(path: Path) -> None:
    if not path.is_dir():
        missing = "is not a folder; name the run folder, not a file in it" if path.exists() else "does not exist"
        raise BadInput(f"the run folder {path} {missing}")


def _read_regular(path: Path, most: int) -> bytes:
    """The bytes of a regular file that is no link. Raises BadInput."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        reason = "a symbolic link is not followed" if path.is_symlink() else error.strerror
        raise BadInput(f"{path}: {reason}") from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(f"{path}: not a regular file")
        if status.st_size > most:
            raise BadInput(f"{path}: {status.st_size:,} bytes, more than the {most:,} that it may have")
        return file.read()
