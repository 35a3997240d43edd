"""The bigram as a net of one layer: makemore's Bigram, the notes' `xenc @ W` without the one-hot detour."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextchar.config.model_settings import NN
from nextchar.models.nets.net import Net


class Bigram(Net):
    """A V x V table: row x holds the logits of what follows x. Its exponentials are what the counts were."""

    def __init__(self, settings: NN, vocab_size: int, generator: torch.Generator | None) -> None:
        super().__init__(settings, vocab_size, generator)
        shape = (vocab_size, vocab_size)
        normal = settings.init == "normal"
        self.W = nn.Parameter(torch.randn(shape, generator=generator) if normal else torch.zeros(shape))

    def get_block_size(self) -> int:
        return 1

    def logits(self, idx: Tensor) -> Tensor:
        return F.embedding(idx, self.W)  # (B, T, V)
