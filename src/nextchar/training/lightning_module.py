"""The LightningModule of any net: the training step."""

import math
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import StochasticWeightAveraging
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from nextchar.errors import Stop
from nextchar.models.nets.net import Net
from nextchar.training.batches import Batch
from nextchar.training.data_module import Chunk


class NextCharModule(L.LightningModule):
    """A net, its optimizer and its objective, a function of the loss. Trains by manual optimisation, chunk by chunk.

    Reports train/loss, train/objective, lr and grad_norm by self.log at every log point, for loggers and callbacks of
    Lightning. A value costs 0.3 ms, as much as three steps of a bigram, so a barebones Trainer, which has neither, gets
    none; the callbacks of a run read the outputs of the step.
    """

    def __init__(
        self,
        net: Net,
        optimizer: torch.optim.Optimizer,
        objective: Callable[[Tensor], Tensor] = lambda loss: loss,
        schedule: Callable[[int], float] | None = None,
        clip: float | None = None,
        ema: float | None = None,
        seed: int = 0,
    ) -> None:
        """`schedule`: the learning rate by step; `clip`: the norm to which larger gradients are scaled down.

        `ema`: the decay of a running mean of the weights, `averaged`; without it that is the net itself. `seed`: of the
        noise of dropout, which is a function of it, of the step and of the process.
        """
        super().__init__()
        self.automatic_optimization = False
        self.net, self.optimizer, self.objective = net, optimizer, objective
        self.schedule, self.clip, self.ema, self.seed = schedule, clip, ema, seed
        self.averaged = net if ema is None else deepcopy(net).requires_grad_(False)
        self.is_at_end = False  # training stops before the next step
        self.has_dropout = any(
            (isinstance(part, nn.Dropout) and part.p > 0) or (isinstance(part, nn.RNNBase) and part.dropout > 0)
            for part in net.modules()
        )
        self.noise_seed = 0
        self.weights = list(net.parameters())
        self.state, self.averaged_state = (list(each.state_dict().values()) for each in (net, self.averaged))
        self.alone = self.is_settled = True
        self.stop = Stop()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return self.optimizer

    def on_fit_start(self) -> None:
        """Raises MisconfigurationException for options of a Trainer that a chunk of steps cannot honour."""
        trainer, options = self.trainer, vars(self.trainer)
        ignored = {
            f"max_epochs={trainer.max_epochs}: set max_epochs=1": trainer.max_epochs != 1,
            f"max_steps={trainer.max_steps}: the data module has the steps": trainer.max_steps != -1,
            "fast_dev_run": options["fast_dev_run"],
            "overfit_batches": options["overfit_batches"] != 0,
            "limit_train_batches": options["limit_train_batches"] != 1.0,
            f"precision={trainer.precision}: the net has a precision of its own": trainer.precision != "32-true",
            "StochasticWeightAveraging": any(isinstance(c, StochasticWeightAveraging) for c in options["callbacks"]),
            "the accelerator: the data is on the CPU": trainer.strategy.root_device.type != "cpu",
        }
        if wrong := [option for option, is_set in ignored.items() if is_set]:
            raise MisconfigurationException(f"a batch is a chunk of many steps, which cannot honour {'; '.join(wrong)}")
        self.alone = self.is_settled = trainer.world_size == 1

    def on_train_batch_start(self, chunk: Chunk, batch_idx: int) -> int | None:
        return -1 if self.is_at_end else None  # Lightning's word for: skip the rest

    def on_train_epoch_start(self) -> None:
        self.net.eval()  # callbacks evaluate the net between steps

    def training_step(self, chunk: Chunk, batch_idx: int) -> dict[str, Any]:
        """Returns the losses of all steps, each before its update; of the first one train/objective, grad_norm, lr."""
        self.net.train()
        if not self.is_settled:
            # DDP rebuilds its gradient buckets after the first backward, which changes the order of summation. One
            # backward without a step keeps a resumed run bit-identical.
            self._gradient(chunk.batches[0], chunk.weights[0])
            self.is_settled = True
        lr = grad_norm = math.nan
        values: list[Tensor] = []  # the objective of the first step, then the loss of each
        for step, (batch, weight) in enumerate(zip(chunk.batches, chunk.weights, strict=True), chunk.step):
            if self.schedule is not None:
                for group in self.optimizer.param_groups:
                    group["lr"] = self.schedule(step)
            if self.has_dropout:
                state = np.random.SeedSequence([self.seed, step, self.trainer.global_rank]).generate_state(1, np.uint64)
                self.noise_seed = int(state[0]) >> 1
            loss, objective = self._gradient(batch, weight)
            if not values:
                lr, grad_norm = self.optimizer.param_groups[0]["lr"], self._grad_norm()
                values.append(objective.detach())
            values.append(loss.detach())
            if isinstance(self.optimizer, torch.optim.LBFGS):
                self.optimizer.step(partial(self._objective, batch, weight))  # evaluates many points within a step
            else:
                if self.clip is not None:
                    torch.nn.utils.clip_grad_norm_(self.weights, self.clip, foreach=False)
                self.optimizer.step()
            if self.ema is not None:
                self._average(step, self.ema)
            if self.alone and self.stop.asked:  # a checkpoint keeps the steps that were taken
                break
        self.net.eval()
        means = torch.stack(values)
        if not self.alone:
            means = self.trainer.strategy.reduce(means.double())  # the same on all processes to the last bit
        first, *losses = means.tolist()
        # global_step, in manual optimisation the steps of Lightning's own optimizer wrapper, which costs too much here
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.total.completed = chunk.step + len(losses)
        outputs = {"train/objective": first, "lr": lr, "grad_norm": grad_norm}
        if chunk.is_log_point and not self.trainer.barebones:
            self.log("train/loss", losses[0], prog_bar=True)
            self.log_dict(outputs | {"step": float(chunk.step)})
        return outputs | {"losses": losses}

    def validation_step(self, block: Batch, batch_idx: int) -> Tensor:
        loss: Tensor = self.averaged(*block)[1]
        self.log("val/loss", loss, batch_size=max(1, round(block.mass)), prog_bar=True)
        return loss

    def _gradient(self, batch: Batch, weight: float) -> tuple[Tensor, Tensor]:
        """Loss and objective on a batch; leaves the gradient of the objective on the parameters.

        With several processes each gets its own loss and objective, whose means are those of the whole batch, and the
        gradient of the mean.
        """
        for parameter in self.weights:
            parameter.grad = None  # zero_grad() without its profiler hooks, an eighth of a bigram's step
        if self.has_dropout:
            torch.manual_seed(self.noise_seed)  # equal noise wherever an optimizer computes this step's gradient again
        _, loss = self.net(*batch)
        if self.alone:
            objective = self.objective(loss)
            objective.backward()
        else:
            loss = loss * weight
            objective = self.objective(loss)
            self.manual_backward(objective)  # DDP adds up gradients here, and not in a bare backward()
        return loss, objective

    @torch.no_grad()
    def _average(self, step: int, decay: float) -> None:
        """Moves the running mean towards the weights; faster in the first steps, to forget the initial weights."""
        torch._foreach_lerp_(self.averaged_state, self.state, 1 - min(decay, (1 + step) / (10 + step)))

    def _objective(self, batch: Batch, weight: float) -> Tensor:
        return self._gradient(batch, weight)[1]

    def _grad_norm(self) -> float:
        """The Euclidean norm of the gradient of all parameters together."""
        squares = [parameter.grad.square().sum() for parameter in self.weights if parameter.grad is not None]
        return math.sqrt(float(torch.stack(squares).sum()))
