"""Opening what somebody else may have written: no code is run, and nothing takes memory before it was checked."""

import hashlib
import json
import math
import mmap
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nextchar.errors import BadInput, refuse_beyond_memory
from nextchar.messages import one_of, shown
from nextchar.models.base import TensorSpec

LARGEST_JSON = 16 << 20  # bytes; a vocabulary of all of Unicode takes 13 MB
MAPPED_FROM = 32 << 20  # bytes: a file that takes time to read is used where it lies
LARGEST_HEADER = 64 << 10  # bytes of a weights file; ours take 200


def load_json(path: Path) -> dict[str, Any]:
    """A JSON object from a regular file of sane size: no duplicate key, no nan. Raises BadInput."""
    content = _read_regular(path, LARGEST_JSON)
    return _parse_json(content, path)


def _parse_json(content: bytes | mmap.mmap, path: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a key stands twice")
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


def load_tensors(
    path: Path, size: int, sha256: str, expected: Mapping[str, TensorSpec], most: int, infinite: bool = False
) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file that must have this size, digest, and the expected names, dtypes and shapes.

    `most` is the greatest length that None in a shape stands for; `infinite`: inf may be among the values. Raises
    BadInput.
    """
    room = sum(np.dtype(kind).itemsize * math.prod(n or most for n in shape) for kind, shape in expected.values())
    if not 0 < size <= room + LARGEST_HEADER:
        raise BadInput(f"{path}: {size:,} bytes do not fit this model, which has at most {room:,}")
    refuse_beyond_memory(str(path), size, "it may be a file of nothing but holes")
    return _tensors(path, _vouched(path, size, sha256), expected, infinite)


def load_text(path: Path, size: int, sha256: str, most: int) -> str:
    """The text of a UTF-8 file that must have this size, at most `most` bytes, and digest. Raises BadInput."""
    if not 0 <= size <= most:
        raise BadInput(f"{path}: {size:,} bytes, more than the {most:,} that it may have")
    try:
        return str(_vouched(path, size, sha256), "utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{path}: not valid UTF-8") from None


def _vouched(path: Path, size: int, sha256: str) -> bytes | mmap.mmap:
    """The content of a file that must have this size and digest. Raises BadInput."""
    content = _read_regular(path, size)
    if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
        raise BadInput(f"{path} is not the file that run.json vouches for (size or sha256 differ)")
    return content


def _tensors(
    path: Path, content: bytes | mmap.mmap, expected: Mapping[str, TensorSpec], infinite: bool
) -> dict[str, np.ndarray]:
    header_size = int.from_bytes(content[:8], "little")
    if header_size > min(LARGEST_HEADER, len(content) - 8):
        raise BadInput(f"{path}: the header is damaged")
    header = _parse_json(content[8 : 8 + header_size], path)  # the format allows a key to stand twice, we do not
    if set(header) - {"__metadata__"} != set(expected):
        raise BadInput(f"{path}: holds {shown(sorted(header))}, this model has {shown(sorted(expected))}")
    for name, (kind, shape) in expected.items():
        said = header[name] if isinstance(header[name], dict) else {}
        fitting = [_DTYPES[each] for each in (UNSIGNED if kind == "uint" else [kind])]
        if said.get("dtype") not in fitting or not _fits(said.get("shape"), shape):
            wanted = f"{one_of(fitting)} [{', '.join('any' if n is None else str(n) for n in shape)}]"
            raise BadInput(
                f"{path}: {name} is {shown(said.get('dtype'))} {shown(said.get('shape'))}; this model has {wanted}"
            )
    places = _places(header, len(content) - 8 - header_size)
    if places is None:
        raise BadInput(f"{path}: not a sound safetensors file: its tensors do not lie one behind the other")
    tensors = {}
    for name, begin in places.items():
        kind, shape = _KINDS[header[name]["dtype"]], header[name]["shape"]
        flat = np.frombuffer(content, kind, math.prod(shape), 8 + header_size + begin)
        tensors[name] = flat.reshape(shape)
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not (np.isfinite(tensor) | (infinite & np.isposinf(tensor))).all():
            raise BadInput(f"{path}: {name} holds nan or inf")
    return tensors


def _places(header: dict[str, Any], size: int) -> dict[str, int] | None:
    """Where each tensor begins, if they fill the `size` bytes behind the header without a hole; else None."""
    tensors = {name: said for name, said in header.items() if name != "__metadata__"}
    offsets = {name: said.get("data_offsets") for name, said in tensors.items()}
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in offsets.values()):
        return None
    if not all(type(at) is int for pair in offsets.values() for at in pair):
        return None
    end = 0
    for name, (begin, after) in sorted(offsets.items(), key=lambda item: item[1]):
        width = np.dtype(_KINDS[tensors[name]["dtype"]]).itemsize
        if begin != end or after - begin != width * math.prod(tensors[name]["shape"]):
            return None
        end = after
    return {name: pair[0] for name, pair in offsets.items()} if end == size else None


_DTYPES = {
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "float32": "F32",
    "float64": "F64",
}
_KINDS = {said: kind for kind, said in _DTYPES.items()}
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")


def _fits(shape: object, expected: tuple[int | None, ...]) -> bool:
    if not isinstance(shape, list) or len(shape) != len(expected):
        return False
    return all(type(n) is int and (m is None or m == n) for n, m in zip(shape, expected, strict=True))


def check_folder(path: Path, key: str) -> None:
    """Raises BadInput, naming the key that it was typed for, where the path is no folder."""
    try:
        is_folder, exists = stat.S_ISDIR(os.stat(path).st_mode), True
    except FileNotFoundError:
        is_folder = exists = False
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInput(f"{key}={path} cannot be read: {reason}") from None
    if not exists:
        raise BadInput(f"{key}={path} does not exist; name a run folder, such as one under outputs/")
    if not is_folder:
        raise BadInput(f"{key}={path} is not a folder; name the run folder, not a file in it")


def _read_regular(path: Path, most: int) -> bytes | mmap.mmap:
    """The bytes of a regular file that is no link, those of a large one in pages of the file. Raises BadInput."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # neither a link nor a pipe to wait for
    except OSError as error:
        reason = "a symbolic link is not followed" if path.is_symlink() else error.strerror
        raise BadInput(f"{path}: {reason}") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(f"{path}: not a regular file")
        if status.st_size > most:
            raise BadInput(f"{path}: {status.st_size:,} bytes, more than the {most:,} that it may have")
        if status.st_size >= MAPPED_FROM:
            return mmap.mmap(handle, status.st_size, prot=mmap.PROT_READ)
        with open(handle, "rb", closefd=False) as file:
            return file.read(status.st_size)  # not what may have been added since
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    finally:
        os.close(handle)
