"""Fitting a net by gradient descent under Lightning's Trainer, from its first weights or from a checkpoint."""

import logging
import math
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.fabric.utilities.warnings import disable_possible_user_warnings
from torch import Tensor

from nextchar.config.smoothing_settings import NoSmoothing
from nextchar.config.train_settings import TrainSettings
from nextchar.config.trainer_settings import Ddp
from nextchar.data.load import Dataset
from nextchar.errors import refuse_beyond_memory
from nextchar.evaluation.loss import loss_on
from nextchar.models.nets.net import Net, NetModel, build
from nextchar.models.ngram.counts import CountTable
from nextchar.models.ngram.fit import fit_ngrams
from nextchar.runs.folder import RunFolder
from nextchar.training import distributed
from nextchar.training.batches import Batches, make_batches
from nextchar.training.callbacks import Divergence, OwnSignalHandler, Samples, StepLosses, Validation
from nextchar.training.checkpoints import Checkpoints, TrainingState, load_checkpoint, restore_checkpoint
from nextchar.training.data_module import NextCharDataModule
from nextchar.training.lightning_module import NextCharModule
from nextchar.training.objective import make_objective, make_optimizer, make_schedule, optimizer_tensors
from nextchar.training.progress import Progress
from nextchar.training.strategies import Fitted
from nextchar.training.tensorboard import COUNTED_LOSS, TensorBoardWriter

OVERFITTED = 0.01  # nats per character; a larger rise of val/loss since its lowest point is a remark


class GradientFit:
    """The strategy of a net; `Strategy` says what its methods are for."""

    first_step = 0
    saved: dict[str, Any] | None = None  # the checkpoint to resume from

    def __init__(self, settings: TrainSettings, dataset: Dataset) -> None:
        """Raises BadInput if processes disagree, or the settings ask too much of the net or of this machine."""
        assert settings.trainer is not None
        self.settings, self.trainer, self.dataset = settings, settings.trainer, dataset
        self.ending: list[str] = []  # notes on it
        if isinstance(self.trainer, Ddp):
            data = settings.data.model_copy(update={"path": None}).plain()
            distributed.agree(settings.plain() | {"data": data}, dataset.report.sha256)
        net = build(settings.model, len(dataset.vocabulary), self.trainer.precision, seed=None)
        refuse_beyond_memory(
            f"model={settings.model.name} for {len(dataset.vocabulary) - 1:,} distinct characters",
            _bytes_needed(net, settings, dataset) * (self.trainer.devices if isinstance(self.trainer, Ddp) else 1),
            "model=count stores only the pairs that occur" if _reads_pairs(net) else "set a smaller data.batch_size",
        )

    def restore(self, folder: Path) -> None:
        self.saved = load_checkpoint(folder, self.dataset.report.sha256, self.settings)
        self.first_step = int(self.saved["step"]) if self.saved is not None else 0

    def fit(self, folder: RunFolder, board: TensorBoardWriter, progress: Progress) -> Fitted:
        settings, dataset, last = self.settings, self.dataset, self.trainer.max_steps
        with progress.phase("counting"):
            counting = fit_ngrams(settings, dataset.vocabulary, dataset.splits)
        module, batches = self._prepare(counting.pairs)
        model = NetModel(dataset.vocabulary, module.averaged)
        optimum = None
        if _reads_pairs(module.net):  # the counted bigram has the least loss on train that this net can reach
            optimum = loss_on(counting.model, dataset.splits["train"], settings.data.is_text).value
        constants = {} if optimum is None else {COUNTED_LOSS: optimum}
        state = TrainingState(best_loss=math.log(len(dataset.vocabulary)))
        if self.saved is not None:
            state = restore_checkpoint(self.saved, module)
        self.divergence = Divergence(settings, len(dataset.vocabulary), state)

        with progress.steps(self.first_step, last) as advance:
            has_penalty = not isinstance(settings.smoothing, NoSmoothing)
            losses = StepLosses(self.divergence, state, board, has_penalty, advance)
            patience = (self.trainer.patience or math.inf) * self.trainer.log_every
            validation = Validation(
                module.averaged, batches, self.divergence, state, board, progress, constants, patience
            )
            seconds = self.trainer.checkpoint_seconds
            checkpoints = Checkpoints(module, state, folder, board, dataset.report.sha256, seconds)
            callbacks = [losses, validation, Samples(model, board, settings), checkpoints]
            module.stop = folder.stop
            with distributed.connected(self.trainer, self.take_part, counting.pairs):
                if not dist.is_initialized():  # the other processes would wait for this one
                    folder.stop.wait()
                self._descend(module, batches, callbacks)
                folder.stop.go_on()
            if validation.stopped_at is None:
                validation.validate(last)
            else:
                last = validation.stopped_at
            board.histograms(model.tensors(), last)  # the samples of the last step are the run's own
            checkpoints.save(last)
        folder.facts.curves = dict(state.curves)
        remarks = self._remarks(state, last, validation.loss)
        folder.facts.reason = "; ".join(remarks)
        self.ending = remarks + self._choose_weights(model.net, state.best, last)
        return Fitted(model, counting, last, optimum)

    def _remarks(self, state: TrainingState, last: int, loss: float) -> list[str]:
        """Returns how training ended, for run.json and comparisons; [] as a rule. `loss`: after the last step."""
        has_val, remarks = "val" in self.dataset.splits, []
        if last < self.trainer.max_steps:
            points = f"{self.trainer.patience} points of the curve"
            judge = "val/loss" if has_val else "train/loss"
            remarks.append(f"stopped early at step {last:,}: {judge} had not fallen for {points}")
        if has_val and state.best is not None and loss - state.best["loss"] > OVERFITTED:
            lowest = f"{state.best['loss']:.4f} at step {state.best['step']:,}"
            remarks.append(f"val/loss rose from {lowest} to {loss:.4f} at step {last:,}, as when a net overfits")
        return remarks

    def _choose_weights(self, net: Net, best: dict[str, Any] | None, last: int) -> list[str]:
        """Puts the best weights in the net, if the settings say so. Returns a note where they are not the last ones."""
        if not self.trainer.restore_best or best is None or best["step"] == last:
            return []
        net.put_weights(best["net"])
        judge = "val/loss" if "val" in self.dataset.splits else "train/loss"
        return [f"the model has the weights of step {best['step']:,}, with the lowest {judge}"]

    def take_part(self, pairs: CountTable | None = None) -> None:
        """Trains beside the run's own process: computes its share and writes nothing."""
        if pairs is None:
            pairs = fit_ngrams(self.settings, self.dataset.vocabulary, self.dataset.splits).pairs
        module, batches = self._prepare(pairs)
        self._descend(module, batches, [])

    def notes(self, fitted: Fitted, train_loss: float) -> list[str]:
        return self.ending + self.divergence.check_last(fitted.step, train_loss)

    def _prepare(self, pairs: CountTable) -> tuple[NextCharModule, Batches]:
        settings, vocab_size = self.settings, len(self.dataset.vocabulary)
        _silence()
        torch.set_num_threads(self.trainer.threads)
        net = build(settings.model, vocab_size, self.trainer.precision, settings.seed)
        batches = make_batches(net, self.dataset.splits, pairs, settings)
        objective = make_objective(settings, net, batches, vocab_size)
        optimizer, schedule, optim = make_optimizer(settings, net), make_schedule(settings), settings.optim
        assert optim is not None
        return NextCharModule(net, optimizer, objective, schedule, optim.clip, optim.ema, settings.seed), batches

    def _descend(self, module: NextCharModule, batches: Batches, callbacks: list[L.Callback]) -> None:
        """Takes the steps that are left, the same ones on all processes."""
        first = self.first_step
        if dist.is_initialized():
            start = [(first, module.optimizer.state_dict())]
            dist.broadcast_object_list(start, src=0)  # all begin where rank 0 does; DDP sends the weights
            first, state = start[0]
            if dist.get_rank() > 0:
                module.optimizer.load_state_dict(state)
        steps = range(first, self.trainer.max_steps)
        if not steps:
            return
        trainer = L.Trainer(
            accelerator="cpu",
            **distributed.trainer_options(self.trainer),
            max_epochs=1,
            callbacks=[OwnSignalHandler(), *callbacks],
            limit_val_batches=0,  # the callback Validation evaluates val, before the step and not after it
            barebones=True,  # its loop and nothing else: curves and checkpoints are those of the callbacks
        )
        data = NextCharDataModule(batches, steps, self.trainer.log_every, trainer.global_rank, trainer.world_size)
        with torch.random.fork_rng(devices=[]):  # dropout seeds the global stream
            trainer.fit(module, datamodule=data)


def _reads_pairs(net: Net) -> bool:
    return net.reads == "windows" and net.get_block_size() == 1


def _bytes_needed(net: Net, settings: TrainSettings, dataset: Dataset) -> int:
    """The memory that training takes: weights, gradients and optimizer state; batch, activations and their gradients.

    The activations are the tensors that a forward pass keeps for backward; it is tried on torch's meta device, where
    the net is too.
    """
    v, predicted = len(dataset.vocabulary), dataset.splits["train"].predicted
    rows = predicted if settings.data.batch_size == "all" else min(predicted, settings.data.batch_size)
    is_merged = _reads_pairs(net) and settings.data.batch_size == "all" and settings.data.merge
    dtype = next(net.parameters()).dtype
    kept = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        xs = torch.zeros((min(rows, v) if is_merged else rows, net.get_block_size()), dtype=torch.int64)
        targets = (len(xs), xs.shape[1] if net.reads == "sequences" else 1)
        ys = torch.zeros((*targets, v), dtype=dtype) if is_merged else torch.zeros(targets, dtype=torch.int64)
        with suppress(NotImplementedError, RuntimeError):  # a net may do what the meta device cannot
            net(xs, ys)
    weights = sum(parameter.nbytes for parameter in net.parameters())
    of_text = 3 * 8 * predicted * (not is_merged)
    return weights * (2 + optimizer_tensors(settings)) + 2 * kept + ys.nbytes + of_text


def _silence() -> None:
    """Turns off Lightning's adverts, and warnings that a user can do nothing about; the others go to train.log."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(logging.WARNING)
    disable_possible_user_warnings("lightning.pytorch")
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*is deprecated", category=FutureWarning)
