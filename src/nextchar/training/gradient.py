"""One run of gradient descent under Lightning's Trainer, from the first weights or from a checkpoint."""

import logging
import warnings
from collections.abc import Callable
from typing import NamedTuple

import lightning as L
import torch
import torch.distributed as dist
from lightning.fabric.utilities.warnings import disable_possible_user_warnings

from nextchar.config.optim_settings import Lbfgs
from nextchar.config.train_settings import TrainSettings
from nextchar.data.vocabulary import Stream, Vocabulary
from nextchar.models.nets.net import NetModel, build
from nextchar.runs.folder import RunFolder
from nextchar.training import distributed as processes
from nextchar.training.callbacks import Watch
from nextchar.training.checkpoints import checkpoint
from nextchar.training.data_module import Pairs
from nextchar.training.lightning_module import Learner
from nextchar.training.progress import Progress
from nextchar.training.tensorboard import Board


class Descended(NamedTuple):
    """The net of the last step, that step, and its losses by name as (step, loss)."""

    model: NetModel
    step: int
    curves: dict[str, list[tuple[int, float]]]


def descend(
    settings: TrainSettings,
    streams: dict[str, Stream],
    vocabulary: Vocabulary,
    folder: RunFolder,
    data_sha256: str,
    counted: float,
    open_board: Callable[[int], Board],
    glimpse: Callable[[NetModel, Board, int], None],
    report: Callable[[int, float], None],
    progress: Progress,
) -> Descended:
    """Trains the net that the settings name, on from the folder's last checkpoint where there is one.

    `counted` is the loss of the counted model on train, drawn beside the curves; `open_board` takes the first step;
    `report` hears the loss on val now and then, and may raise Pruned. Raises BadInput, Diverged.
    """
    assert settings.trainer is not None
    last, log_every = settings.trainer.max_steps, settings.trainer.log_every
    learner, pairs = _prepared(settings, streams, len(vocabulary))
    model = NetModel(vocabulary, learner.net)
    watch = Watch(pairs, folder, counted, data_sha256, lambda board, step: glimpse(model, board, step), report)
    first = watch.restore(learner, checkpoint(folder.path, data_sha256, last))
    with processes.joined(settings.trainer, take_part, settings, streams, len(vocabulary)) as place:
        first = _same_start(learner, first)
        pairs.deal(first, last, log_every, *place)
        watch.board = open_board(first)  # by no other process: it would write what is still in the file's buffer again
        if first < last:
            with progress.steps(first, last) as watch.advance:
                _trainer(place, watch).fit(learner, datamodule=pairs)
    watch.look(learner, last)
    watch.save(learner, last)
    return Descended(model, last, watch.curves)


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
