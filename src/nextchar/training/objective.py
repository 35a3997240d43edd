"""The objective of a net, the loss plus the penalty of a smoothing method, and the optimizer that minimises it."""

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
            return torch.optim.AdamW(weights, lr, (beta1, beta2), weight_decay=decay, foreach=False)
        case Lbfgs(lr=lr, history_size=history):
            strict: dict[str, Any] = {"tolerance_grad": 1e-12, "tolerance_change": 1e-16}
            return torch.optim.LBFGS(weights, lr, history_size=history, line_search_fn="strong_wolfe", **strict)
    raise AssertionError(f"no optimizer for {settings.optim}")


def optimizer_tensors(settings: TrainSettings) -> int:
    """Returns how many tensors of the size of the weights the optimizer keeps."""
    match settings.optim:
        case Sgd(momentum=momentum):
            return int(momentum > 0)
        case Lbfgs(history_size=history):
            return 2 * history + 4  # steps and changes of the gradient; the last gradient and points of the search
    return 2  # running means of the gradient and of its square
