"""Lightning callbacks of a run: losses of steps, validation, samples; that of checkpoints is in checkpoints.py.

A log point is a step at which a chunk begins and `trainer.log_every` divides. Validation, samples and checkpoints come
before the step, so that `step` is the number of updates that the weights have seen.
"""

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning as L

from nextchar.config.train_settings import TrainSettings
from nextchar.evaluation.loss import in_all_units
from nextchar.models.nets.net import Net, NetModel
from nextchar.training.batches import Batches, mean_loss
from nextchar.training.checkpoints import TrainingState
from nextchar.training.data_module import Chunk
from nextchar.training.divergence import Divergence
from nextchar.training.outputs import sample
from nextchar.training.progress import Progress
from nextchar.training.tensorboard import TensorBoardWriter

SAMPLINGS = 9  # of samples and histograms in a run, and one at its start: TensorBoard shows ten texts


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
        self.advance(chunk.step + len(chunk.batches))


@dataclass(eq=False)
class Validation(L.Callback):
    """Evaluates the net on val at every log point, and keeps the best weights. Raises Diverged, Pruned."""

    net: Net
    batches: Batches
    divergence: Divergence
    state: TrainingState
    board: TensorBoardWriter
    progress: Progress
    constants: dict[str, float]  # lines beside the curves

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, chunk: Chunk, index: int) -> None:
        if chunk.is_log_point:
            self.validate(chunk.step)

    def validate(self, step: int) -> None:
        loss, has_val = mean_loss(self.net, self.batches.val), self.batches.has_val
        self.divergence.check_finite("val" if has_val else "train", step, loss)
        self.board.scalars(self.constants | (in_all_units("val", loss) if has_val else {}), step)
        if has_val:
            self.state.add_point("val/loss", step, loss)
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
