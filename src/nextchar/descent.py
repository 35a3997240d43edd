"""One run of gradient descent under Lightning's Trainer, from the first weights or from a checkpoint."""

import logging
import warnings
from collections.abc import Callable
from typing import NamedTuple

import lightning as L
import torch
from lightning.fabric.utilities.warnings import disable_possible_user_warnings

from nextchar import terminal
from nextchar.board import Board
from nextchar.data import Pairs
from nextchar.learner import Learner
from nextchar.models.net import NetModel, build
from nextchar.run import RunFolder
from nextchar.settings import Lbfgs, TrainSettings
from nextchar.vocabulary import Stream, Vocabulary
from nextchar.watch import Watch, checkpoint


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
) -> Descended:
    """Trains the net that the settings name, on from the folder's last checkpoint where there is one.

    `counted` is the loss of the counted model on train, drawn beside the curves; `open_board` takes the first step;
    `report` hears the loss on val now and then, and may raise Pruned. Raises BadInput, Diverged.
    """
    assert settings.trainer is not None
    _quiet()
    torch.set_num_threads(settings.trainer.threads)
    net = build(settings.model, len(vocabulary), settings.trainer.precision, settings.seed)
    model = NetModel(vocabulary, net)
    # L-BFGS compares losses that differ in the tenth digit, which float32 does not have
    dtype = torch.float64 if isinstance(settings.optim, Lbfgs) else next(net.parameters()).dtype
    pairs = Pairs(streams, len(vocabulary), settings.data, dtype, settings.seed)
    learner = Learner(net, settings, pairs)
    watch = Watch(pairs, folder, counted, data_sha256, lambda board, step: glimpse(model, board, step), report)
    last = settings.trainer.max_steps
    first = watch.restore(learner, checkpoint(folder.path, data_sha256, last))
    pairs.deal(first, last, settings.trainer.log_every)
    watch.board = open_board(first)
    if first < last:
        with terminal.steps(first, last) as watch.advance:
            _trainer(watch).fit(learner, datamodule=pairs)
    watch.look(learner, last)
    watch.save(learner, last)
    return Descended(model, last, watch.curves)


def _trainer(watch: Watch) -> L.Trainer:
    """A Trainer that does its loop and nothing else: curves and checkpoints are the watch's, numbered by true steps."""
    return L.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _quiet() -> None:
    """Lightning's adverts, and warnings that a user can do nothing about; what is left goes to train.log."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(logging.WARNING)
    disable_possible_user_warnings("lightning.pytorch")
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*is deprecated", category=FutureWarning)
    warnings.filterwarnings("ignore", message=r".*does not have a `?val", module="lightning")
