"""Checkpoints: what a run is resumed from."""

import warnings
from pathlib import Path
from typing import Any

import torch

from nextchar.errors import BadInput

LAST, BEST = "checkpoints/last.ckpt", "checkpoints/best.ckpt"


def checkpoint(folder: Path, data_sha256: str, max_steps: int) -> dict[str, Any] | None:
    """The last checkpoint of a run, None where there is none yet. Raises BadInput where it cannot be gone on from."""
    state = load_checkpoint(folder / LAST)
    if state is None:
        return None
    if state.get("data_sha256") != data_sha256:
        raise BadInput(f"resume={folder}: the data has changed since the run began")
    if state["step"] > max_steps:
        raise BadInput(f"trainer.max_steps={max_steps}: resume={folder} is already at step {state['step']}")
    return state


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        with warnings.catch_warnings(action="ignore"):  # of an odd file; it is refused below
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    except Exception as error:  # a damaged file can fail anywhere in torch
        raise unsound_checkpoint(path, error) from None


def unsound_checkpoint(path: Path, error: Exception) -> BadInput:
    return BadInput(f"{path}: not a sound checkpoint of this run ({type(error).__name__}); start a new run")
