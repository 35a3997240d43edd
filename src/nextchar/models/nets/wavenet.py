"""The hierarchical net of the lecture, after WaveNet (van den Oord et al. 2016): neighbours are joined in pairs."""

import torch
from torch import Tensor, nn

from nextchar.config.model_settings import WaveNet as WaveNetSettings
from nextchar.models.nets.net import Net


class Join(nn.Module):
    """One layer: two neighbours side by side, a linear map, batch norm (Ioffe and Szegedy 2015), and tanh.

    It halves the number of places. It has no gates and no residual or skip connections, unlike the paper's layers.
    """

    def __init__(self, n_in: int, n_hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * n_in, n_hidden, bias=False)  # the norm subtracts the mean, and a bias with it
        self.norm = nn.BatchNorm1d(n_hidden)
        self.norm.register_buffer("num_batches_tracked", None)  # unused, and no floating-point number

    def forward(self, x: Tensor) -> Tensor:
        pairs = x.unflatten(1, (-1, 2)).flatten(2)  # (B, T, C) -> (B, T / 2, 2 C)
        h: Tensor = self.linear(pairs)  # (B, T / 2, n_hidden)
        return torch.tanh(self.norm(h.flatten(0, 1)).view_as(h))  # the norm is over documents and places


class WaveNet(Net):
    """Embeddings of the last T characters, log2(T) layers that join pairs, and a linear head."""

    def __init__(self, settings: WaveNetSettings, vocab_size: int, generator: torch.Generator | None) -> None:
        super().__init__(settings, vocab_size, generator)
        self.block_size, n_hidden = settings.block_size, settings.n_hidden
        self.wte = nn.Embedding(vocab_size, settings.n_embd)
        widths = [settings.n_embd, *[n_hidden] * (settings.n_layer - 1)]
        self.layers = nn.Sequential(*(Join(n_in, n_hidden) for n_in in widths))
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(n_hidden, vocab_size)
        with torch.no_grad():
            self.head.weight.mul_(0.1)  # as in the lecture: the first guesses are about even

    def get_block_size(self) -> int:
        return self.block_size

    def logits(self, idx: Tensor) -> Tensor:
        h = self.layers(self.wte(idx))  # (B, T) -> (B, T, n_embd) -> (B, 1, n_hidden)
        logits: Tensor = self.head(self.dropout(h))  # (B, 1, V)
        return logits
