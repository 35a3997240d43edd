"""Run folders to compare: copies of one real run with other numbers, whose digests are right again."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

LOSSES, SAMPLES = "test_losses.safetensors", "samples.txt"


def losses(folder: Path) -> Mapping[str, np.ndarray]:
    return safetensors.numpy.load((folder / LOSSES).read_bytes())


def put(folder: Path, name: str, content: bytes) -> None:
    """A file of the run with this content, and a record that vouches for it."""
    record = json.loads((folder / "run.json").read_text())
    (folder / name).write_bytes(content)
    record["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "run.json").write_text(json.dumps(record))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The folder with its record changed."""
    record = json.loads((folder / "run.json").read_text())
    change(record)
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def copy(run: Path, folder: Path, change: Callable[[dict[str, Any]], object] = lambda record: None) -> Path:
    """A run that differs from another in what `change` does to its record."""
    folder.mkdir(parents=True)
    for name in ("run.json", "settings.json", LOSSES, SAMPLES):
        shutil.copy(run / name, folder)
    return edit(folder, change)


def with_nll(folder: Path, nll: np.ndarray) -> Path:
    """The run with other sums of its documents, and the loss that they give."""
    chars = losses(folder)["chars"]
    put(folder, LOSSES, safetensors.numpy.save({"nll": nll.astype(np.float32), "chars": chars}))
    loss = float(nll.astype(np.float32).astype(float).sum() / chars.sum())

    def change(record: dict[str, Any]) -> None:
        metrics = record["metrics"]
        metrics["test/loss"] = loss if np.isfinite(loss) else "inf"
        for end, sign in (("low", -1), ("high", 1)):
            metrics.pop(f"test/loss_{end}", None)
            if np.isfinite(loss):
                metrics[f"test/loss_{end}"] = loss + sign * 0.05

    return edit(folder, change)


def setting(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Changes a setting in a record: 'smoothing.k'."""

    def change(record: dict[str, Any]) -> None:
        *groups, leaf = key.split(".")
        here = record["settings"]
        for group in groups:
            here = here[group]
        here[leaf] = value

    return change
