"""The multilayer perceptron of Bengio et al. (2003), "A Neural Probabilistic Language Model", without direct links."""

import torch
from torch import Tensor, nn

from nextchar.config.model_settings import MLP as MLPSettings
from nextchar.models.nets.net import Net


class MLP(Net):
    """Embeddings of the last characters, side by side, then one hidden layer: U tanh(H x + d) + b, their equation 1."""

    def __init__(self, settings: MLPSettings, vocab_size: int, generator: torch.Generator | None) -> None:
        super().__init__(settings, vocab_size, generator)
        self.block_size = settings.block_size
        self.wte = nn.Embedding(vocab_size, settings.n_embd)
        self.hidden = nn.Linear(settings.block_size * settings.n_embd, settings.n_hidden)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(settings.n_hidden, vocab_size)

    def get_block_size(self) -> int:
        return self.block_size

    def logits(self, idx: Tensor) -> Tensor:
        x = self.wte(idx).flatten(1)  # (B, T) -> (B, T * n_embd)
        h = torch.tanh(self.hidden(x))  # (B, n_hidden)
        logits: Tensor = self.head(self.dropout(h))[:, None]  # (B, 1, V)
        return logits
