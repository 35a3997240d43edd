"""What happens between two chunks of steps: curves, the look at val, divergence, checkpoints, progress."""

import io
import math
import time
from collections.abc import Callable
from typing import Any

import lightning as L
import torch

from nextchar.config.smoothing_settings import NoSmoothing
from nextchar.evaluation.loss import in_all_units
from nextchar.runs.folder import RunFolder
from nextchar.training.checkpoints import BEST, LAST, load_checkpoint, unsound_checkpoint
from nextchar.training.data_module import Chunk, Pairs
from nextchar.training.divergence import TOO_BAD, TOO_LONG, diverged
from nextchar.training.lightning_module import Learner
from nextchar.training.tensorboard import COUNTED, Board

GLIMPSES = 9  # of samples and parameters in a run, and one at its start: TensorBoard shows ten texts


class Watch(L.Callback):
    """Watches a run. `step` is always the number of updates that the weights have seen."""

    def __init__(
        self,
        pairs: Pairs,
        folder: RunFolder,
        counted: float,
        data_sha256: str,
        glimpse: Callable[[Board, int], None],
        report: Callable[[int, float], None],
    ) -> None:
        self.pairs, self.folder, self.report = pairs, folder, report
        self.counted, self.data_sha256, self.glimpse = counted, data_sha256, glimpse
        self.board: Board  # opened once the first step is known
        self.advance: Callable[[int], None] = lambda step: None
        self.uniform = math.log(pairs.vocab_size)
        self.best_loss, self.best = self.uniform, None  # type: float, dict[str, Any] | None
        self.bad_steps, self.last_finite = 0, math.nan
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self.saved_at = time.monotonic()

    # --- between chunks ---------------------------------------------------------------------------------------------

    def on_train_batch_start(self, trainer: L.Trainer, learner: Learner, chunk: Chunk, batch_idx: int) -> None:  # type: ignore[override]
        if chunk.step % self.pairs.log_every == 0:
            self.look(learner, chunk.step)
        if time.monotonic() - self.saved_at >= self._seconds(learner) and chunk.step > self.pairs.first_step:
            self.save(learner, chunk.step)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: L.Trainer, learner: Learner, outputs: Any, chunk: Chunk, batch_idx: int
    ) -> None:
        self._refuse_divergence(learner, chunk.step)
        assert learner.settings.optim is not None
        if chunk.step % self.pairs.log_every == 0:
            values = in_all_units("train", learner.losses[0])
            values |= {"train/lr": learner.settings.optim.lr, "train/grad_norm": learner.grad_norm}
            if not isinstance(learner.settings.smoothing, NoSmoothing):
                values["train/objective"] = learner.objective
            self.board.scalars(values, chunk.step)
            self._draw("train/loss", chunk.step, learner.losses[0])
        self.advance(chunk.step + len(chunk.batches))

    def look(self, learner: Learner, step: int) -> None:
        """The loss on val, the best weights so far, and now and then samples. Raises Diverged, Pruned."""
        with torch.inference_mode():
            loss = float(learner.net(*self.pairs.judge)[1])
        part = "val" if self.pairs.val else "train"
        if not math.isfinite(loss):
            raise diverged(learner.settings, step, f"{part}/loss is {loss}{self._before()}")
        self.board.scalars({COUNTED: self.counted} | (in_all_units("val", loss) if self.pairs.val else {}), step)
        if self.pairs.val:
            self._draw("val/loss", step, loss)
        if loss < self.best_loss:
            self.best_loss = loss
            weights = {name: tensor.clone() for name, tensor in learner.net.state_dict().items()}
            self.best = {"step": step, "loss": loss, "net": weights}
        every = max(1, -(-self.pairs.max_steps // GLIMPSES))
        if step == 0 or step // every != (step - self.pairs.log_every) // every or step == self.pairs.max_steps:
            self.glimpse(self.board, step)
        self.report(step, loss)

    def _draw(self, tag: str, step: int, loss: float) -> None:
        """A point of a curve that run.json will hold; of a step that is looked at again, at the end, the first one."""
        points = self.curves.setdefault(tag, [])
        if not points or points[-1][0] < step:
            points.append((step, loss))

    def _refuse_divergence(self, learner: Learner, first: int) -> None:
        """Raises Diverged at the first loss that is nan or inf, or after 100 steps far worse than guessing."""
        for step, loss in enumerate(learner.losses, first):
            if not math.isfinite(loss):
                raise diverged(learner.settings, step, f"train/loss is {loss}{self._before()}")
            self.last_finite = loss
            self.bad_steps = self.bad_steps + 1 if loss > self.uniform + TOO_BAD else 0
            if self.bad_steps >= TOO_LONG:
                bad = f"train/loss is {loss:.4g} nats per character, a uniform guess has {self.uniform:.4f}"
                raise diverged(learner.settings, step, f"{bad}, and so for {self.bad_steps} steps")

    def _before(self) -> str:
        return f", the last finite train/loss was {self.last_finite:.4g}" if math.isfinite(self.last_finite) else ""

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def save(self, learner: Learner, step: int) -> None:
        """Both checkpoints, atomically; plain values and tensors only."""
        self.board.flush()  # the curves up to this step are on disk before it
        if self.best is not None:
            self._write(BEST, self.best)
        self._write(
            LAST,
            {
                "step": step,
                "net": learner.net.state_dict(),
                "optimizer": learner.optimizer.state_dict(),
                "best_loss": self.best_loss,
                "bad_steps": self.bad_steps,
                "curves": self.curves,
                "data_sha256": self.data_sha256,
            },
        )
        self.saved_at = time.monotonic()

    def restore(self, learner: Learner, state: dict[str, Any] | None) -> int:
        """Takes up a checkpoint. Returns its step, 0 where there is none. Raises BadInput."""
        if state is None:
            return 0
        try:
            learner.net.load_state_dict(state["net"])
            learner.optimizer.load_state_dict(state["optimizer"])
            self.best_loss, self.bad_steps = state["best_loss"], state["bad_steps"]
            self.curves = state["curves"]
        except Exception as error:  # a damaged state can fail anywhere in torch
            raise unsound_checkpoint(self.folder.path / LAST, error) from None
        self.best = load_checkpoint(self.folder.path / BEST)
        return int(state["step"])

    def _write(self, name: str, state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.folder.write(name, buffer.getvalue(), in_record=False)

    @staticmethod
    def _seconds(learner: Learner) -> float:
        assert learner.settings.trainer is not None
        return learner.settings.trainer.checkpoint_seconds
