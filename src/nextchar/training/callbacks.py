"""Lightning callbacks of a run: divergence, curves, validation, samples, checkpoints, progress.

A log point is a step at which a chunk begins and `trainer.log_every` divides. Validation, samples and checkpoints come
before the step, so that `step` is the number of updates that the weights have seen.
"""

import math
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import lightning as L

from nextchar.config.train_settings import TrainSettings
from nextchar.evaluation.loss import in_all_units
from nextchar.models.nets.net import Net, NetModel
from nextchar.runs.folder import RunFolder
from nextchar.training.batches import Batches, mean_loss
from nextchar.training.checkpoints import TrainingState, save_checkpoint
from nextchar.training.data_module import Chunk
from nextchar.training.divergence import TOO_LONG, diverged, highest_loss
from nextchar.training.lightning_module import NextCharModule
from nextchar.training.outputs import sample
from nextchar.training.strategies import Report
from nextchar.training.tensorboard import COUNTED_LOSS, TensorBoardWriter

SAMPLINGS = 9  # of samples and histograms in a run, and one at its start: TensorBoard shows ten texts


class DivergenceCheck(L.Callback):
    """Raises Diverged at the first loss that is nan or infinite, or after 100 steps far worse than guessing."""

    def __init__(self, settings: TrainSettings, vocab_size: int, state: TrainingState) -> None:
        self.settings, self.vocab_size, self.state = settings, vocab_size, state

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Chunk, batch_idx: int
    ) -> None:
        highest = highest_loss(self.vocab_size, self.state.curves, outputs["losses"][0])
        for step, loss in enumerate(outputs["losses"], batch.step):
            self.check_finite("train", step, loss)
            self.state.last_finite = loss
            self.state.bad_steps = self.state.bad_steps + 1 if loss > highest else 0
            if self.state.bad_steps >= TOO_LONG:
                bad = (
                    f"train/loss is {loss:.4g} nats per character, a uniform guess has {math.log(self.vocab_size):.4f}"
                )
                raise diverged(self.settings, step, f"{bad}, and so for {self.state.bad_steps} steps")

    def check_finite(self, split: str, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            last = self.state.last_finite
            before = f", the last finite train/loss was {last:.4g}" if math.isfinite(last) else ""
            raise diverged(self.settings, step, f"{split}/loss is {loss}{before}")


class TrainCurves(L.Callback):
    """Draws loss, learning rate and norm of the gradient at every log point, with a penalty the objective too."""

    def __init__(self, board: TensorBoardWriter, state: TrainingState, has_penalty: bool) -> None:
        self.board, self.state, self.has_penalty = board, state, has_penalty

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Chunk, batch_idx: int
    ) -> None:
        if batch.is_log_point:
            loss = outputs["losses"][0]
            values = in_all_units("train", loss)
            values |= {"train/lr": outputs["lr"], "train/grad_norm": outputs["grad_norm"]}
            if self.has_penalty:
                values["train/objective"] = outputs["objective"]
            self.board.scalars(values, batch.step)
            self.state.add_point("train/loss", batch.step, loss)


class Validation(L.Callback):
    """Evaluates the net on val at every log point, and keeps the best weights. Raises Diverged, Pruned."""

    def __init__(
        self,
        net: Net,
        batches: Batches,
        divergence: DivergenceCheck,
        board: TensorBoardWriter,
        report: Report,
        counted: float | None,
    ) -> None:
        """`counted`: the loss on train of the counted model, a line beside the curves."""
        self.net, self.batches, self.divergence, self.state = net, batches, divergence, divergence.state
        self.board, self.report = board, report
        self.counted = {} if counted is None else {COUNTED_LOSS: counted}

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Chunk, batch_idx: int
    ) -> None:
        if batch.is_log_point:
            self.validate(batch.step)

    def validate(self, step: int) -> None:
        loss, has_val = mean_loss(self.net, self.batches.val), self.batches.has_val
        self.divergence.check_finite("val" if has_val else "train", step, loss)
        self.board.scalars(self.counted | (in_all_units("val", loss) if has_val else {}), step)
        if has_val:
            self.state.add_point("val/loss", step, loss)
        if loss < self.state.best_loss:
            weights = {name: tensor.clone() for name, tensor in self.net.state_dict().items()}
            self.state.best_loss, self.state.best = loss, {"step": step, "loss": loss, "net": weights}
        self.report(step, loss)


class Samples(L.Callback):
    """Puts samples and a histogram of the weights on TensorBoard, at ten log points in equal distances."""

    def __init__(self, model: NetModel, board: TensorBoardWriter, settings: TrainSettings) -> None:
        assert settings.trainer is not None
        self.model, self.board, self.settings = model, board, settings
        self.last, self.log_every = settings.trainer.max_steps, settings.trainer.log_every

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Chunk, batch_idx: int
    ) -> None:
        every = max(1, -(-self.last // SAMPLINGS))
        if batch.is_log_point and (batch.step == 0 or batch.step // every != (batch.step - self.log_every) // every):
            self.board.samples(sample(self.model, self.settings), batch.step)
            self.histograms(batch.step)

    def histograms(self, step: int) -> None:
        self.board.histograms(self.model.tensors(), step)


class Checkpoints(L.Callback):
    """Saves a checkpoint as often as trainer.checkpoint_seconds says."""

    def __init__(
        self,
        module: NextCharModule,
        state: TrainingState,
        folder: RunFolder,
        board: TensorBoardWriter,
        digest: str,
        seconds: float,
    ) -> None:
        self.module, self.state, self.folder, self.board, self.digest = module, state, folder, board, digest
        self.seconds, self.saved_at = seconds, time.monotonic()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Chunk, batch_idx: int
    ) -> None:
        if batch_idx > 0 and time.monotonic() - self.saved_at >= self.seconds:
            self.save(batch.step)

    def save(self, step: int) -> None:
        self.board.flush()  # the curves up to this step are on disk before it
        save_checkpoint(self.folder, step, self.module.net, self.module.optimizer, self.state, self.digest)
        self.saved_at = time.monotonic()


class StepProgress(L.Callback):
    """Reports the steps taken."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self.advance = advance

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Chunk, batch_idx: int
    ) -> None:
        self.advance(batch.step + len(batch.batches))


class OwnSignalHandler(L.Callback):
    """Puts the handler of SIGTERM back: Lightning's broadcasts to processes that may be waiting for something else."""

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread() and self.handler is not None:
            signal.signal(signal.SIGTERM, self.handler)
