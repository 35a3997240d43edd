"""When training has diverged."""

from nextchar.config.smoothing_settings import L2
from nextchar.config.train_settings import TrainSettings
from nextchar.errors import Diverged

TOO_BAD = 2.0  # nats above a uniform guess


TOO_LONG = 100  # steps in a row


def diverged(settings: TrainSettings, step: int, what: str) -> Diverged:
    """`step`: how many updates the weights had seen."""
    assert settings.optim is not None
    lr = settings.optim.lr
    suspects = f"optim.lr={lr:g}"
    if isinstance(settings.smoothing, L2):
        suspects += f" or smoothing.strength={settings.smoothing.strength:g}"
    advice = f"{suspects} is likely too high; try a tenth"
    return Diverged(f"training diverged at step {step}: {what}. {advice}")
