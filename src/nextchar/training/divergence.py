"""When training counts as diverged, and the error that says so."""

import math
from collections.abc import Mapping

from nextchar.config.smoothing_settings import L2
from nextchar.config.train_settings import TrainSettings
from nextchar.errors import Diverged
from nextchar.runs.record import Points

TOO_BAD = 2.0  # nats above a uniform guess
TOO_LONG = 100  # steps in a row that are too bad


def highest_loss(vocab_size: int, curves: Mapping[str, Points], loss: float) -> float:
    """Returns the loss above which training is far worse than guessing; first weights may be even worse than that.

    `loss`: of the first step, if the curves do not have it yet.
    """
    _, first = curves.get("train/loss", [(0, loss)])[0]
    return max(math.log(vocab_size) + TOO_BAD, first if math.isfinite(first) else 0.0)


def diverged(settings: TrainSettings, step: int, what: str) -> Diverged:
    """`step`: how many updates the weights had seen."""
    assert settings.optim is not None
    suspects = f"optim.lr={settings.optim.lr:g}"
    if isinstance(settings.smoothing, L2):
        suspects += f" or smoothing.strength={settings.smoothing.strength:g}"
    return Diverged(f"training diverged at step {step}: {what}. {suspects} is likely too high; try a tenth")
