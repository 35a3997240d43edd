"""Checkpoints: the files from which a run is resumed, with plain values and tensors only.

The last 32 bytes of the file are the SHA-256 of the others; torch.load ignores them.
"""

import hashlib
import io
import math
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch

from nextchar.config.fields import flat, not_compared
from nextchar.config.train_settings import TrainSettings
from nextchar.errors import BadInput
from nextchar.messages import shown
from nextchar.runs.folder import RunFolder
from nextchar.runs.record import Points
from nextchar.training.data_module import Chunk
from nextchar.training.lightning_module import NextCharModule
from nextchar.training.tensorboard import TensorBoardWriter

LAST, BEST = "checkpoints/last.ckpt", "checkpoints/best.ckpt"
DIGEST_BYTES = 32


@dataclass
class TrainingState:
    """The state of a run beside weights and optimizer.

    `best_loss`: on val, at first that of a uniform guess, so that worse weights are never the best. `best`: the
    content of best.ckpt. `bad_steps`: how many in a row had a loss far worse than guessing. `curves`: by name.
    `lowest`: the lowest loss on val and its step, for trainer.patience, even where it is above a uniform guess.
    """

    best_loss: float
    best: dict[str, Any] | None = None
    bad_steps: int = 0
    curves: dict[str, Points] = field(default_factory=dict)
    lowest: tuple[float, int] = (math.inf, 0)
    last_finite: float = math.nan  # loss on train, for the message of a run that diverges

    def add_point(self, tag: str, step: int, loss: float) -> None:
        """Adds a point to a curve of run.json; a step that is evaluated again keeps its first point."""
        points = self.curves.setdefault(tag, [])
        if not points or points[-1][0] < step:
            points.append((step, loss))


@dataclass(eq=False)
class Checkpoints(L.Callback):
    """Writes last.ckpt and best.ckpt, each atomically, as often as trainer.checkpoint_seconds says."""

    module: NextCharModule
    state: TrainingState
    folder: RunFolder
    board: TensorBoardWriter
    digest: str  # SHA-256 of the data
    seconds: float
    saved_at: float = field(default_factory=time.monotonic)

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, chunk: Chunk, index: int) -> None:
        if index > 0 and time.monotonic() - self.saved_at >= self.seconds:
            self.save(chunk.step)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, chunk: Chunk, index: int
    ) -> None:
        if interrupted := self.folder.stop.asked:
            self.save(chunk.step + len(outputs["losses"]))
            raise interrupted

    def save(self, step: int) -> None:
        self.board.flush()  # the curves up to this step are on disk before it
        last = {
            "step": step,
            "net": self.module.net.state_dict(),
            "averaged": None if self.module.ema is None else self.module.averaged.state_dict(),
            "optimizer": self.module.optimizer.state_dict(),
            "best_loss": self.state.best_loss,
            "lowest": self.state.lowest,
            "bad_steps": self.state.bad_steps,
            "curves": self.state.curves,
            "data_sha256": self.digest,
            "settings": _deciding(self.folder.settings),
        }
        for name, content in ((BEST, self.state.best), (LAST, last)):
            if content is not None:
                buffer = io.BytesIO()
                torch.save(content, buffer)
                saved = buffer.getvalue()
                self.folder.write(name, saved + hashlib.sha256(saved).digest(), in_record=False)
        self.saved_at = time.monotonic()


def load_checkpoint(folder: Path, digest: str, settings: TrainSettings) -> dict[str, Any] | None:
    """The last checkpoint of a run with the best one in it; None if there is none yet.

    Raises BadInput if the run cannot be resumed from it: it is damaged, the data or the settings have changed, no step
    is left.
    """
    assert settings.trainer is not None
    saved, max_steps = _load(folder / LAST), settings.trainer.max_steps
    if saved is None:
        return None
    try:
        step, data_sha256 = int(saved["step"]), str(saved["data_sha256"])
        trained, given = {str(key): str(value) for key, value in saved["settings"].items()}, _deciding(settings)
    except Exception as error:  # a stranger's checkpoint can hold anything
        raise _unsound(folder / LAST, error) from None
    if data_sha256 != digest:
        raise BadInput(f"resume={folder}: the data has changed since the run began")
    if changed := [key for key in {**trained, **given} if trained.get(key) != given.get(key)]:
        values = ", ".join(f"{shown(key)}={shown(given.get(key))} was {shown(trained.get(key))}" for key in changed)
        raise BadInput(f"resume={folder}: settings have changed since the last checkpoint: {values}")
    if step > max_steps:
        raise BadInput(f"trainer.max_steps={max_steps}: resume={folder} is already at step {step}")
    return saved | {"best": _load(folder / BEST), "path": folder / LAST}


def restore_checkpoint(saved: dict[str, Any], module: NextCharModule) -> TrainingState:
    """Puts weights and optimizer back, and returns the state beside them. Raises BadInput."""
    try:
        module.net.load_state_dict(saved["net"])
        if module.ema is not None:
            module.averaged.load_state_dict(saved["averaged"])
        module.optimizer.load_state_dict(saved["optimizer"])
        return TrainingState(saved["best_loss"], saved["best"], saved["bad_steps"], saved["curves"], saved["lowest"])
    except Exception as error:  # a damaged state can fail anywhere in torch
        raise _unsound(saved["path"], error) from None


def _load(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = path.read_bytes()
        saved, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
        if hashlib.sha256(saved).digest() != digest:
            raise ValueError("its SHA-256 differs")
        with warnings.catch_warnings(action="ignore"):  # torch warns of an odd file, which is refused below
            state: dict[str, Any] = torch.load(io.BytesIO(saved), map_location="cpu", weights_only=True)
        return state
    except Exception as error:  # a damaged file can fail anywhere in torch
        raise _unsound(path, error) from None


def _deciding(settings: TrainSettings) -> dict[str, str]:
    """The settings that a step depends on, as text by dotted key. (The data are compared by their digest.)"""
    left_out = {*not_compared(TrainSettings), "data.path"}
    assert settings.optim is not None
    if settings.optim.schedule == "constant":  # else the learning rate depends on it
        left_out.add("trainer.max_steps")
    return {key: repr(value) for key, value in flat(settings.plain()).items() if key not in left_out}


def _unsound(path: Path, error: Exception) -> BadInput:
    return BadInput(
        f"{path}: not a sound checkpoint of this run ({type(error).__name__}: {shown(error)}); start a new run"
    )
