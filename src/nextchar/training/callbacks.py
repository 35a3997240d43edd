"""Lightning callbacks of a run: losses of steps, validation, samples, and when training counts as diverged.

A log point is a step at which a chunk begins and `trainer.log_every` divides. Validation, samples and checkpoints come
before the step, so that `step` is the number of updates that the weights have seen.
"""

import math
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L

from nextchar.config.smoothing_settings import L2
from nextchar.config.train_settings import TrainSettings
from nextchar.errors import Diverged
from nextchar.evaluation.loss import in_all_units
from nextchar.models.nets.net import Net, NetModel
from nextchar.training.batches import Batches, mean_loss
from nextchar.training.checkpoints import TrainingState
from nextchar.training.data_module import Chunk
from nextchar.training.lightning_module import NextCharModule
from nextchar.training.outputs import sample
from nextchar.training.progress import Progress
from nextchar.training.tensorboard import TensorBoardWriter

TOO_BAD = 2.0  # nats above a uniform guess
TOO_LONG = 100  # steps in a row that are too bad
SAMPLINGS = 9  # of samples and histograms in a run, and one at its start: TensorBoard shows ten texts


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


@dataclass(eq=False)
class StepLosses(L.Callback):
    """Checks the losses of all steps, draws curves at log points, and reports how many steps were taken."""

    divergence: Divergence
    state: TrainingState
    board: TensorBoardWriter
    has_penalty: bool  # only then the objective is another number than the loss
    advance: Callable[[int], None]

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, chunk: Chunk, index: int
    ) -> None:
        self.divergence.check_steps(chunk.step, outputs["losses"])
        if chunk.is_log_point:
            loss = outputs["losses"][0]
            values = in_all_units("train", loss)
            values |= {"train/lr": outputs["lr"], "train/grad_norm": outputs["grad_norm"]}
            if self.has_penalty:
                values["train/objective"] = outputs["train/objective"]
            self.board.scalars(values, chunk.step)
            self.state.add_point("train/loss", chunk.step, loss)
        self.advance(chunk.step + len(outputs["losses"]))


@dataclass(eq=False)
class Validation(L.Callback):
    """Evaluates the net on val at every log point, and keeps the best weights. Raises Diverged, Pruned.

    `patience`: the steps without a lower loss after which training stops.
    """

    net: Net
    batches: Batches
    divergence: Divergence
    state: TrainingState
    board: TensorBoardWriter
    progress: Progress
    constants: dict[str, float]  # lines beside the curves
    patience: float
    stopped_at: int | None = None
    loss: float = math.nan  # the last one

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, chunk: Chunk, index: int) -> None:
        if chunk.is_log_point:
            self.validate(chunk.step)
            if chunk.step - self.state.lowest[1] >= self.patience:
                assert isinstance(module, NextCharModule)
                self.stopped_at, module.is_at_end = chunk.step, True

    def validate(self, step: int) -> None:
        loss, has_val = mean_loss(self.net, self.batches.val), self.batches.has_val
        self.divergence.check_finite("val" if has_val else "train", step, loss)
        self.loss = loss
        self.board.scalars(self.constants | (in_all_units("val", loss) if has_val else {}), step)
        if has_val:
            self.state.add_point("val/loss", step, loss)
        self.state.lowest = min(self.state.lowest, (loss, step))
        if loss < self.state.best_loss:
            weights = {name: tensor.clone() for name, tensor in self.net.state_dict().items()}
            self.state.best_loss, self.state.best = loss, {"step": step, "loss": loss, "net": weights}
        self.progress.validated(step, loss)


class Samples(L.Callback):
    """Puts samples and a histogram of the weights on TensorBoard, at ten log points in equal distances."""

    def __init__(self, model: NetModel, board: TensorBoardWriter, settings: TrainSettings) -> None:
        assert settings.trainer is not None
        self.model, self.board, self.settings, self.log_every = model, board, settings, settings.trainer.log_every
        self.every = max(1, -(-settings.trainer.max_steps // SAMPLINGS))

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, chunk: Chunk, index: int) -> None:
        is_first_of_its_part = chunk.step // self.every != (chunk.step - self.log_every) // self.every
        if chunk.is_log_point and (chunk.step == 0 or is_first_of_its_part):
            self.board.samples(sample(self.model, self.settings), chunk.step)
            self.board.histograms(self.model.tensors(), chunk.step)


class OwnSignalHandler(L.Callback):
    """Puts the handler of SIGTERM back: Lightning's broadcasts to processes that may be waiting for something else."""

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread() and self.handler is not None:
            signal.signal(signal.SIGTERM, self.handler)
