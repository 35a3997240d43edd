"""Gradient descent: a LightningModule around any net."""

import math
from collections.abc import Callable
from functools import partial

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from nextchar.config.settings import L2, Adam, AdamW, AddK, Lbfgs, Sgd, TrainSettings
from nextchar.models.nets.base import Net
from nextchar.training.data_module import Batch, Chunk, Pairs


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


def optimizer(settings: TrainSettings, net: Net) -> torch.optim.Optimizer:
    """The optimizer that the settings name, on the net's parameters."""
    # foreach=False is what torch decides for the CPU anyhow, anew at every step
    match settings.optim:
        case Sgd(lr=lr, momentum=momentum):
            return torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum, foreach=False)
        case Adam(lr=lr, beta1=beta1, beta2=beta2):
            return torch.optim.Adam(net.parameters(), lr=lr, betas=(beta1, beta2), foreach=False)
        case AdamW(lr=lr, beta1=beta1, beta2=beta2, weight_decay=decay):
            betas = (beta1, beta2)
            return torch.optim.AdamW(net.parameters(), lr=lr, betas=betas, weight_decay=decay, foreach=False)
        case Lbfgs(lr=lr, history_size=history):
            return torch.optim.LBFGS(
                net.parameters(),
                lr=lr,
                history_size=history,
                tolerance_grad=1e-12,
                tolerance_change=1e-16,
                line_search_fn="strong_wolfe",
            )
    raise AssertionError(f"no optimizer for {settings.optim}")


def penalty(settings: TrainSettings, net: Net, pairs: Pairs) -> Callable[[Tensor], Tensor]:
    """Loss on a batch -> what is minimised.

    add_k: k pseudo-counts for each of the V * V pairs beside the N of the text, so that the minimum is the counted
    model's (c + k) / (n + k V). l2: the notes' `strength * (W**2).mean()`.
    """
    match settings.smoothing:
        case AddK(k=k) if k > 0:
            prior, extra = pairs.uniform(), k * pairs.vocab_size**2
            share = extra / (pairs.size + extra)
            return lambda loss: (1 - share) * loss + share * net(*prior)[1]
        case L2(strength=strength) if strength > 0:
            size = sum(p.numel() for p in net.parameters())
            return lambda loss: loss + strength * sum(p.square().sum() for p in net.parameters()) / size
    return lambda loss: loss


def _grad_norm(net: Net) -> float:
    """The Euclidean length of the gradient of all parameters together."""
    squares = [p.grad.square().sum() for p in net.parameters() if p.grad is not None]
    return math.sqrt(float(torch.stack(squares).sum()))
