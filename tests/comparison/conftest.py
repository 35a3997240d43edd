"""Fixtures of the tests of comparison: copies of a real run with other numbers, whose digests are right again."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from nextchar.runs.record import LOSSES, RECORD, SAMPLES

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="session")
def copies() -> "Copies":
    """Copies run folders and changes the copies."""
    return Copies()


class Copies:
    """Copies of run folders, and changes to them."""

    def copy(self, run: Path, folder: Path, change: Change = lambda record: None) -> Path:
        """A copy of a run with `change` applied to its record."""
        folder.mkdir(parents=True)
        for name in (RECORD, "settings.json", LOSSES, SAMPLES):
            shutil.copy(run / name, folder)
        return self.edit(folder, change)

    def edit(self, folder: Path, change: Change) -> Path:
        """The folder with `change` applied to its record."""
        record = json.loads((folder / RECORD).read_text())
        change(record)
        (folder / RECORD).write_text(json.dumps(record))
        return folder

    def setting(self, key: str, value: object) -> Change:
        """The change of one setting in a record: setting("smoothing.k", 2.0)."""

        def change(record: dict[str, Any]) -> None:
            *groups, leaf = key.split(".")
            here = record["settings"]
            for group in groups:
                here = here[group]
            here[leaf] = value

        return change

    def losses(self, folder: Path) -> Mapping[str, np.ndarray]:
        """test_losses.safetensors: the loss summed over each document ("nll") and its characters ("chars")."""
        return safetensors.numpy.load((folder / LOSSES).read_bytes())

    def put(self, folder: Path, name: str, content: bytes) -> None:
        """Replaces a file of the run, and its size and digest in the record."""
        (folder / name).write_bytes(content)
        entry = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        self.edit(folder, lambda record: record["files"].update({name: entry}))

    def with_nll(self, folder: Path, nll: np.ndarray) -> Path:
        """Replaces the losses of the documents, and the test loss and its interval in the record."""
        chars = self.losses(folder)["chars"]
        self.put(folder, LOSSES, safetensors.numpy.save({"nll": nll.astype(np.float32), "chars": chars}))
        loss = float(nll.astype(np.float32).astype(float).sum() / chars.sum())

        def change(record: dict[str, Any]) -> None:
            metrics = record["metrics"]
            metrics["test/loss"] = loss if np.isfinite(loss) else "inf"
            for end, sign in (("low", -1), ("high", 1)):
                metrics.pop(f"test/loss_{end}", None)
                if np.isfinite(loss):
                    metrics[f"test/loss_{end}"] = loss + sign * 0.05

        return self.edit(folder, change)
