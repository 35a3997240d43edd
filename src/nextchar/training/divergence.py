"""When training counts as diverged, and the error that says so."""

from nextchar.config.smoothing_settings import L2
from nextchar.config.train_settings import TrainSettings
from nextchar.errors import Diverged

TOO_BAD = 2.0  # nats above a uniform guess
TOO_LONG = 100  # steps in a row that are too bad


def diverged(settings: TrainSettings, step: int, what: str) -> Diverged:
    """`step`: how many updates the weights had seen."""
    assert settings.optim is not None
    suspects = f"optim.lr={settings.optim.lr:g}"
    if isinstance(settings.smoothing, L2):
        suspects += f" or smoothing.strength={settings.smoothing.strength:g}"
    return Diverged(f"training diverged at step {step}: {what}. {suspects} is likely too high; try a tenth")
