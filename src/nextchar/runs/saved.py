"""Reads the files of a finished run, which are checked before they are used and run no code."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nextchar.config.fields import validated
from nextchar.errors import BadInput
from nextchar.evaluation.loss import TEXT_BLOCK, Loss
from nextchar.messages import shown
from nextchar.models.base import TensorSpec
from nextchar.runs.folder import RECORD, SETTINGS, WEIGHTS
from nextchar.runs.reading import check_folder, load_bytes, load_json, load_tensors
from nextchar.runs.record import LOSSES, MOST_UNITS, SAMPLES, Record

LARGEST_SAMPLES = 1 << 20  # bytes; ours take a tenth of it at most


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
    """Raises BadInput for what no run of ours writes: references, files in other folders, lone surrogates."""
    settings = json.dumps(record.settings.plain(), ensure_ascii=False)
    if reference := re.search(r"\$\{[^}]*:[^}]*\}", settings):  # ${oc.env:HOME}; a path may well hold ${x}
        raise BadInput(f"settings are plain values, not references like {shown(reference[0])}")
    for name in record.files:
        if name.startswith("/") or ".." in name.split("/"):
            raise BadInput(f"files: {shown(name)} is not in the run folder")
    if any("\ud800" <= c <= "\udfff" for c in record.vocabulary):
        raise BadInput("the vocabulary holds half a character (a lone surrogate)")


def open_weights(path: Path, record: Record, expected: Mapping[str, TensorSpec]) -> dict[str, np.ndarray]:
    """Reads the weights of a finished run, which must be as `expected` (None: any length). Raises BadInput."""
    return load_tensors(path / WEIGHTS, record.files[WEIGHTS], expected)


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
