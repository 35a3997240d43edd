"""Loss on a batch -> what is minimised."""

from collections.abc import Callable

from torch import Tensor

from nextchar.config.smoothing_settings import L2, AddK
from nextchar.config.train_settings import TrainSettings
from nextchar.models.nets.net import Net
from nextchar.training.data_module import Pairs


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
