"""When training counts as diverged, and the error that says so."""

import math
from collections.abc import Sequence

from nextchar.config.smoothing_settings import L2
from nextchar.config.train_settings import TrainSettings
from nextchar.errors import Diverged
from nextchar.training.checkpoints import TrainingState

TOO_BAD = 2.0  # nats above a uniform guess
TOO_LONG = 100  # steps in a row that are too bad


class Divergence:
    """Raises Diverged for a loss that is nan or infinite, or, after 100 steps or the last, far worse than guessing."""

    def __init__(self, settings: TrainSettings, vocab_size: int, state: TrainingState) -> None:
        self.settings, self.state, self.uniform = settings, state, math.log(vocab_size)

    def check_steps(self, first: int, losses: Sequence[float]) -> None:
        """`losses`: on train, of the steps from `first` on."""
        highest = self._highest(losses[0])
        for step, loss in enumerate(losses, first):
            self.check_finite("train", step, loss)
            self.state.last_finite = loss
            self.state.bad_steps = self.state.bad_steps + 1 if loss > highest else 0
            if self.state.bad_steps >= TOO_LONG:
                bad = f"train/loss is {loss:.4g} nats per character, a uniform guess has {self.uniform:.4f}"
                raise self._diverged(step, f"{bad}, and so for {self.state.bad_steps} steps")

    def check_finite(self, split: str, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            last = self.state.last_finite
            before = f", the last finite train/loss was {last:.4g}" if math.isfinite(last) else ""
            raise self._diverged(step, f"{split}/loss is {loss}{before}")

    def check_last(self, step: int, loss: float) -> list[str]:
        """Returns a note if the trained net has a greater loss on train than a uniform guess."""
        bad = f"train/loss is {loss:.4g} nats per character, worse than a uniform guess ({self.uniform:.4f})"
        if not loss <= self._highest(loss):  # nan too
            raise self._diverged(step, bad)
        return [bad] if loss > self.uniform else []

    def _highest(self, loss: float) -> float:
        """The loss above which training is far worse than guessing; first weights may be even worse than that.

        `loss`: of the first step, if the curves do not have it yet.
        """
        _, first = self.state.curves.get("train/loss", [(0, loss)])[0]
        return max(self.uniform + TOO_BAD, first if math.isfinite(first) else 0.0)

    def _diverged(self, step: int, what: str) -> Diverged:
        """`step`: how many updates the weights had seen."""
        assert self.settings.optim is not None
        suspects = f"optim.lr={self.settings.optim.lr:g}"
        if isinstance(self.settings.smoothing, L2):
            suspects += f" or smoothing.strength={self.settings.smoothing.strength:g}"
        return Diverged(f"training diverged at step {step}: {what}. {suspects} is likely too high; try a tenth")
