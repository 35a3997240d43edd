"""Reads the files of a finished run, which a stranger may have written.

Runs no code, and takes memory only for what has been checked.
"""

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from nextchar.config.fields import validated
from nextchar.errors import BadInput, refuse_beyond_memory
from nextchar.evaluation.loss import TEXT_BLOCK, Loss
from nextchar.messages import one_of, shown
from nextchar.models.base import TensorSpec
from nextchar.runs.record import LOSSES, MOST_UNITS, RECORD, SAMPLES, SETTINGS, WEIGHTS, FileRecord, Record

LARGEST_JSON = 16 << 20  # bytes; a vocabulary of all of Unicode takes 13 MB
LARGEST_SAMPLES = 1 << 20  # bytes; ours take a tenth of it at most
MOST_DIGITS = 20  # of an integer; a larger one would not fit a float
LARGEST_HEADER = 64 << 10  # bytes of a weights file; ours take 200
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")


def open_record(path: Path) -> Record:
    """Reads and checks run.json of a finished run. Raises BadInput."""
    check_folder(path, "run")
    if not os.path.lexists(path / RECORD):
        if not os.path.lexists(path / SETTINGS):
            raise BadInput(f"run={path} is no run folder: it holds no {RECORD}")
        raise BadInput(
            f"run={path} holds no {RECORD}: the run has not ended, or was killed; resume={path} goes on with it"
        )
    try:
        record = validated(Record, load_json(path / RECORD))
        _refuse_unsafe(record)
    except BadInput as error:
        where = "" if str(error).startswith(str(path)) else f"{path / RECORD}: "
        raise BadInput(f"{where}{_of_another_version(str(error))}") from None
    if record.status != "finished":
        why = f": {shown(record.reason, 200)}" if record.reason else ""
        raise BadInput(f"run={path}: the run ended as '{record.status}' and left no weights{why}")
    if WEIGHTS not in record.files:
        raise BadInput(f"run={path}: run.json lists no {WEIGHTS}")
    return record


def _of_another_version(refusal: str) -> str:
    """Rewords the refusal of a setting that is missing or unknown: in a finished run it comes from another version."""
    if not refusal.startswith("settings.") or not re.search(" is missing; set |: there is no setting ", refusal):
        return refusal
    return f"{re.split(' is missing; set |=', refusal)[0]}: the run was made by another version of nextchar"


def _refuse_unsafe(record: Record) -> None:
    """Raises BadInput for what no run of ours writes: references, files in other folders."""
    settings = json.dumps(record.settings.plain(), ensure_ascii=False)
    if reference := re.search(r"\$\{[^}]*:[^}]*\}", settings):  # ${oc.env:HOME}; a path may well hold ${x}
        raise BadInput(f"settings are plain values, not references like {shown(reference[0])}")
    for name in record.files:
        if name.startswith("/") or ".." in name.split("/"):
            raise BadInput(f"files: {shown(name)} is not in the run folder")


def open_losses(path: Path, record: Record) -> Loss | None:
    """Reads the sums per document of the test split; None if the folder has no such file. Raises BadInput.

    They must add up to the loss in run.json, except for their rounding to float32. Their number comes from run.json
    and is limited to that of the largest run of ours, so that a false one takes no memory.
    """
    listed = record.files.get(LOSSES)
    if record.data is None or listed is None or not os.path.lexists(path / LOSSES):
        return None
    predicted = record.data.predicted.get("test", 0)
    units = -(-predicted // TEXT_BLOCK) if record.settings.data.is_text else record.data.documents.get("test", 0)
    if not 0 < units <= MOST_UNITS:
        raise BadInput(f"{path / RECORD}: {units:,} documents in test; there may be 1 to {MOST_UNITS:,}")
    expected: dict[str, TensorSpec] = {"nll": ("float32", (units,)), "chars": ("uint32", (units,))}
    kept = load_tensors(path / LOSSES, listed, expected, infinite=True)
    loss = Loss(kept["nll"].astype(np.float64), kept["chars"].astype(np.int64))
    if not loss.chars.all() or loss.chars.sum() != predicted:
        raise BadInput(f"{path / LOSSES}: the characters are not the {predicted:,} of run.json")
    if (loss.nll < -1e-3).any():  # a rounded probability can be a little above 1
        raise BadInput(f"{path / LOSSES}: a sum is negative, as if a probability were above 1")
    if not np.isclose(loss.value, float(record.metrics.get("test/loss", "nan")), rtol=1e-6, atol=1e-12):
        raise BadInput(f"{path / LOSSES}: the sums do not add up to the test/loss of run.json")
    return loss


def open_samples(path: Path, record: Record) -> str:
    """Reads samples.txt of a finished run. Raises BadInput."""
    listed = record.files.get(SAMPLES)
    if listed is None:
        raise BadInput(f"{path / RECORD} lists no {SAMPLES}")
    try:
        return str(load_bytes(path / SAMPLES, listed, LARGEST_SAMPLES), "utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{path / SAMPLES}: not valid UTF-8") from None


# --- single files ---------------------------------------------------------------------------------------------------


def load_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object from a regular file of at most 16 MiB, without duplicate keys, nan or lone surrogates.

    Raises BadInput.
    """
    with _open(path, LARGEST_JSON) as file:
        content = file.read(os.fstat(file.fileno()).st_size)  # and nothing that is added meanwhile

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a key occurs twice")
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    def integer(digits: str) -> int:
        if len(digits) > MOST_DIGITS:
            raise ValueError(f"an integer of {len(digits):,} digits")
        return int(digits)

    # The hook for integers and the search for surrogates cost as much as reading; they run if the bytes call for them.
    is_long = b"0" * (MOST_DIGITS + 1) in content.translate(bytes.maketrans(b"123456789", b"000000000"))
    try:
        value = json.loads(
            str(content, "utf-8"),
            object_pairs_hook=unique,
            parse_constant=refuse,
            parse_int=integer if is_long else None,
        )
        if re.search(rb"\\u[dD]", content):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise BadInput(f"{path}: nested too deeply") from None
    except UnicodeEncodeError:
        raise BadInput(f"{path}: holds half a character (a lone surrogate)") from None
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
