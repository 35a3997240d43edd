"""One run of gradient descent under Lightning's Trainer, from the first weights or from a checkpoint."""

import logging
import math
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed as dist
from lightning.fabric.utilities.warnings import disable_possible_user_warnings

from nextchar.config.optim_settings import Lbfgs
from nextchar.config.train_settings import TrainSettings
from nextchar.config.trainer_settings import Ddp
from nextchar.data.load import Dataset
from nextchar.data.vocabulary import Stream
from nextchar.errors import refuse_beyond_memory
from nextchar.evaluation.loss import loss_on
from nextchar.models.nets.net import NetModel, build
from nextchar.models.ngram.fit import fit_ngrams
from nextchar.runs.folder import RunFolder
from nextchar.runs.record import FileRecord
from nextchar.training import distributed as processes
from nextchar.training.callbacks import Watch
from nextchar.training.checkpoints import checkpoint
from nextchar.training.data_module import Pairs
from nextchar.training.divergence import TOO_BAD, diverged
from nextchar.training.lightning_module import Learner
from nextchar.training.outputs import sample
from nextchar.training.progress import Progress
from nextchar.training.strategies import Fitted, Report
from nextchar.training.tensorboard import Board

TABLES = 8  # V x V, while a net learns: weights, gradients, running means, shares, and what a step computes


class GradientFit:
    """Fits a net by gradient descent, from its first weights or from a checkpoint."""

    model_file: FileRecord | None = None
    first_step = 0

    def __init__(self, settings: TrainSettings, dataset: Dataset) -> None:
        """Raises BadInput where processes disagree, or the net would not fit into memory."""
        assert settings.trainer is not None
        self.settings, self.dataset = settings, dataset
        self.last = settings.trainer.max_steps
        self.streams = {name: split.stream for name, split in dataset.splits.items()}
        self.state: dict[str, Any] | None = None
        if isinstance(settings.trainer, Ddp):
            data = settings.data.model_copy(update={"path": None}).plain()
            processes.agree(settings.plain() | {"data": data}, dataset.report.sha256)
        _refuse_too_large(settings, len(dataset.vocabulary))

    def restore(self, folder: Path) -> None:
        self.state = checkpoint(folder, self.dataset.report.sha256, self.last)
        self.first_step = int(self.state["step"]) if self.state is not None else 0

    def fit(self, folder: RunFolder, board: Board, progress: Progress, report: Report) -> Fitted:
        settings, dataset = self.settings, self.dataset
        assert settings.trainer is not None
        with progress.phase("counting"):
            counting = fit_ngrams(settings, dataset.vocabulary, dataset.splits)
        learner, pairs = _prepared(settings, self.streams, len(dataset.vocabulary))
        model = NetModel(dataset.vocabulary, learner.net)

        def glimpse(board: Board, step: int) -> None:
            if step < self.last:  # those of the last step are the run's own samples
                board.samples(sample(model, settings), step)
            board.histograms(model.tensors(), step)

        counted = loss_on(counting.model, dataset.splits["train"], settings.data.is_text).value
        watch = Watch(pairs, folder, counted, dataset.report.sha256, glimpse, report)
        first = watch.restore(learner, self.state)
        watch.board = board
        board.flush()  # a fork would write again what is still in the file's buffer
        with processes.joined(settings.trainer, take_part, settings, self.streams, len(dataset.vocabulary)) as place:
            first = _same_start(learner, first)
            pairs.deal(first, self.last, settings.trainer.log_every, *place)
            if first < self.last:
                with progress.steps(first, self.last) as watch.advance:
                    _trainer(place, watch).fit(learner, datamodule=pairs)
        watch.look(learner, self.last)
        watch.save(learner, self.last)
        return Fitted(model, counting, self.last, watch.curves)

    def take_part(self) -> None:
        """Does the share of a process beside the run's own, which torchrun or srun has started."""
        take_part(self.settings, self.streams, len(self.dataset.vocabulary))

    def notes(self, fitted: Fitted, train_loss: float) -> list[str]:
        uniform = math.log(len(self.dataset.vocabulary))
        what = f"train/loss is {train_loss:.4g} nats per character, worse than a uniform guess ({uniform:.4f})"
        if not train_loss <= uniform + TOO_BAD:
            raise diverged(self.settings, self.last, what)
        return [what] if train_loss > uniform else []


def _refuse_too_large(settings: TrainSettings, vocab_size: int) -> None:
    """Raises BadInput where the V x V tables of a net would not fit into memory."""
    assert settings.trainer is not None
    devices = settings.trainer.devices if isinstance(settings.trainer, Ddp) else 1
    need = devices * TABLES * vocab_size**2 * settings.trainer.precision // 8
    what = f"model={settings.model.name} for {vocab_size - 1:,} distinct characters"
    refuse_beyond_memory(what, need, "model=count stores only the pairs that occur")


def take_part(settings: TrainSettings, streams: dict[str, Stream], vocab_size: int) -> None:
    """The same descent in one of the processes beside the run's own, which computes its share and writes nothing."""
    assert settings.trainer is not None
    last, log_every = settings.trainer.max_steps, settings.trainer.log_every
    learner, pairs = _prepared(settings, streams, vocab_size)
    place, first = processes.here(), _same_start(learner, 0)
    pairs.deal(first, last, log_every, *place)
    if first < last:
        _trainer(place).fit(learner, datamodule=pairs)


def _prepared(settings: TrainSettings, streams: dict[str, Stream], vocab_size: int) -> tuple[Learner, Pairs]:
    assert settings.trainer is not None
    _quiet()
    torch.set_num_threads(settings.trainer.threads)
    net = build(settings.model, vocab_size, settings.trainer.precision, settings.seed)
    # L-BFGS compares losses that differ in the tenth digit, which float32 does not have
    dtype = torch.float64 if isinstance(settings.optim, Lbfgs) else next(net.parameters()).dtype
    pairs = Pairs(streams, vocab_size, settings.data, dtype, settings.seed)
    return Learner(net, settings, pairs), pairs


def _same_start(learner: Learner, first: int) -> int:
    """The step of rank 0, returned, and its optimizer's memory, on all ranks; its weights are sent around by DDP."""
    if not dist.is_initialized():
        return first
    start = [(first, learner.optimizer.state_dict())]
    dist.broadcast_object_list(start, src=0)
    first, memory = start[0]
    if dist.get_rank() > 0:
        learner.optimizer.load_state_dict(memory)
    return first


def _trainer(place: processes.Place, *callbacks: L.Callback) -> L.Trainer:
    """A Trainer that does its loop and nothing else: curves and checkpoints are the watch's, numbered by true steps."""
    trainer = L.Trainer(
        accelerator="cpu",
        devices=place.world,
        strategy=processes.Together(place) if place.world > 1 else "auto",
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    # its SIGTERM handler talks to the other processes, whatever these are waiting for
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def _quiet() -> None:
    """Lightning's adverts, and warnings that a user can do nothing about; what is left goes to train.log."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(logging.WARNING)
    disable_possible_user_warnings("lightning.pytorch")
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*is deprecated", category=FutureWarning)
    warnings.filterwarnings("ignore", message=r".*does not have a `?val", module="lightning")
