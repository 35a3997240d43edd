"""The objective of a net, the loss plus the penalty of a smoothing method; its optimizer and learning rate."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nextchar.config.optim_settings import Adam, AdamW, Lbfgs, Sgd
from nextchar.config.smoothing_settings import L2, AddK
from nextchar.config.train_settings import TrainSettings
from nextchar.models.nets.net import Net
from nextchar.training.batches import Batches, MergedPairs


def make_objective(settings: TrainSettings, net: Net, batches: Batches, vocab_size: int) -> Callable[[Tensor], Tensor]:
    """Returns the function from the loss on a batch to the objective.

    add_k: k pseudo-counts for each of the V * V pairs beside the N pairs of the text, so that the minimum is the
    counted model's (c + k) / (n + k V). l2: the notes' `strength * (W**2).mean()`.
    """
    match settings.smoothing:
        case AddK(k=k) if k > 0:
            assert isinstance(batches, MergedPairs)
            v, extra = vocab_size, k * vocab_size**2
            every_pair = torch.arange(v)[:, None], torch.full((v, 1, v), 1 / v**2, dtype=batches.dtype)
            share = extra / (batches.size + extra)
            return lambda loss: (1 - share) * loss + share * net(*every_pair)[1]
        case L2(strength=strength) if strength > 0:
            size = sum(p.numel() for p in net.parameters())
            return lambda loss: loss + strength * sum(p.square().sum() for p in net.parameters()) / size
    return lambda loss: loss


def make_optimizer(settings: TrainSettings, net: Net) -> torch.optim.Optimizer:
    """Returns the optimizer of the settings, for the net's parameters."""
    weights = net.parameters()
    match settings.optim:  # foreach=False is torch's own choice for the CPU, which it would make again at every step
        case Sgd(lr=lr, momentum=momentum):
            return torch.optim.SGD(weights, lr, momentum=momentum, foreach=False)
        case Adam(lr=lr, beta1=beta1, beta2=beta2):
            return torch.optim.Adam(weights, lr, (beta1, beta2), foreach=False)
        case AdamW(lr=lr, beta1=beta1, beta2=beta2, weight_decay=decay):
            return torch.optim.AdamW(_matrices_first(net, decay), lr, (beta1, beta2), foreach=False)
        case Lbfgs(lr=lr, history_size=history):
            strict: dict[str, Any] = {"tolerance_grad": 1e-12, "tolerance_change": 1e-16}
            return torch.optim.LBFGS(weights, lr, history_size=history, line_search_fn="strong_wolfe", **strict)
    raise AssertionError(f"no optimizer for {settings.optim}")


def _matrices_first(net: Net, decay: float) -> list[dict[str, Any]]:
    """Groups of parameters: matrices with weight decay; biases and gains, of one dimension, without."""
    matrices = [parameter for parameter in net.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in net.parameters() if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def make_schedule(settings: TrainSettings) -> Callable[[int], float] | None:
    """Returns the learning rate as a function of the step; None if it is constant.

    A line up to lr in the warm-up, of w steps; then lr, or lr (1 + cos(pi x)) / 2, or lr (1 - x), where x goes from 0
    at the end of the warm-up to 1 at max_steps.
    """
    optim, trainer = settings.optim, settings.trainer
    assert optim is not None
    assert trainer is not None
    if (optim.schedule, optim.warmup) == ("constant", 0):
        return None
    lr, warmup = optim.lr, round(optim.warmup * trainer.max_steps)
    left = max(1, trainer.max_steps - warmup)
    falling: dict[str, Callable[[float], float]] = {
        "constant": lambda x: 1.0,
        "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
        "linear": lambda x: 1 - x,
    }
    decay = falling[optim.schedule]
    return lambda step: lr * ((step + 1) / warmup if step < warmup else decay((step - warmup) / left))


def optimizer_tensors(settings: TrainSettings) -> int:
    """Returns how many tensors of the size of the weights the optimizer, and a mean of the weights, keep."""
    assert settings.optim is not None
    mean = settings.optim.ema is not None
    match settings.optim:
        case Sgd(momentum=momentum):
            return mean + (momentum > 0)
        case Lbfgs(history_size=history):
            return 2 * history + 4  # steps and changes of the gradient; the last gradient and points of the search
    return mean + 2  # running means of the gradient and of its square
