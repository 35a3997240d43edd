"""The objective that is minimised: the loss, and the penalty of a smoothing method."""

from collections.abc import Callable

import torch
from torch import Tensor

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
