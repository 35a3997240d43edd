"""Gradient descent: a LightningModule around any net."""

import math
from functools import partial

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from nextchar.config.train_settings import TrainSettings
from nextchar.models.nets.net import Net
from nextchar.training.data_module import Batch, Chunk, Pairs
from nextchar.training.objective import penalty
from nextchar.training.optimizers import optimizer


class Learner(L.LightningModule):
    """Runs the steps of a chunk with manual optimisation and keeps their losses."""

    def __init__(self, net: Net, settings: TrainSettings, pairs: Pairs) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.net, self.settings = net, settings
        self.weights = list(net.parameters())
        self.penalty = penalty(settings, net, pairs)
        self.losses: list[float] = []  # of each step in the chunk, before its update
        self.objective, self.grad_norm = math.nan, math.nan  # of the chunk's first step, likewise
        self.optimizer = optimizer(settings, net)
        self.alone = self.settled = True

    def on_train_start(self) -> None:
        self.alone = self.trainer.world_size == 1
        self.settled = self.alone

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return self.optimizer

    def training_step(self, chunk: Chunk, index: int) -> None:
        if not self.settled:
            # After its first gradient DDP lays out anew what it adds up, and so adds in another order. A run that
            # takes its first real step in the first order can be resumed nowhere to the last bit.
            self._gradient(chunk.batches[0], chunk.weights[0])
            self.settled = True
        values: list[Tensor] = []  # the first step's objective, then the losses
        for batch, weight in zip(chunk.batches, chunk.weights, strict=True):
            loss, objective = self._gradient(batch, weight)
            if not values:
                self.grad_norm = _grad_norm(self.net)
                values.append(objective.detach())
            values.append(loss.detach())
            if isinstance(self.optimizer, torch.optim.LBFGS):
                # which it asks for at many points within a step
                self.optimizer.step(partial(self._objective, batch, weight))
            else:
                self.optimizer.step()
        self.objective, *self.losses = self._of_whole_batches(torch.stack(values)).tolist()

    def _gradient(self, batch: Batch, weight: float) -> tuple[Tensor, Tensor]:
        """Loss and objective on a batch; the objective's gradient is left on the parameters.

        Of several processes each gets its own loss and objective, the mean of which is the batch's, and the gradient
        of that mean.
        """
        for parameter in self.weights:
            parameter.grad = None  # zero_grad() without its profiler hooks, an eighth of a bigram's step
        _, loss = self.net(*batch)
        if self.alone:
            objective = self.penalty(loss)
            objective.backward()
        else:
            loss = loss * weight
            objective = self.penalty(loss)
            self.manual_backward(objective)  # after a bare backward() each process would go its own way
        return loss, objective

    def _objective(self, batch: Batch, weight: float) -> Tensor:
        return self._gradient(batch, weight)[1]

    def _of_whole_batches(self, values: Tensor) -> Tensor:
        """The mean over processes, the same on all of them to the last bit."""
        return values if self.alone else self.trainer.strategy.reduce(values.double())


def _grad_norm(net: Net) -> float:
    """The Euclidean length of the gradient of all parameters together."""
    squares = [p.grad.square().sum() for p in net.parameters() if p.grad is not None]
    return math.sqrt(float(torch.stack(squares).sum()))
