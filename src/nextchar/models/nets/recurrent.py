"""Recurrent nets: Elman's (1990), the GRU of Cho et al. (2014) and the LSTM of Hochreiter and Schmidhuber (1997)."""

from collections.abc import Sequence

from torch import Generator, Tensor, nn

from nextchar.config.model_settings import AnyRecurrent
from nextchar.models.nets.net import Net

LAYERS: dict[str, type[nn.RNN | nn.GRU | nn.LSTM]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class Recurrent(Net):
    """Embedding, layers of torch's cells, and a linear head; dropout before each layer but the first, and the head.

    A cell's state is all that it knows of the characters before; it is 0 at the start of a document.
    """

    reads = "sequences"

    def __init__(self, settings: AnyRecurrent, vocab_size: int, generator: Generator | None) -> None:
        super().__init__(settings, vocab_size, generator)
        self.block_size = settings.block_size
        self.wte = nn.Embedding(vocab_size, settings.n_embd)
        between = settings.dropout if settings.n_layer > 1 else 0.0  # torch warns if there is nothing between
        layers = LAYERS[settings.name]
        self.layers = layers(settings.n_embd, settings.n_hidden, settings.n_layer, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(settings.n_hidden, vocab_size)

    def get_block_size(self) -> int:
        return self.block_size

    def logits(self, idx: Tensor) -> Tensor:
        return self.step(idx, [])[0]

    def step(self, idx: Tensor, past: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        x = self.wte(idx)  # (B, T, n_embd)
        before = [state.transpose(0, 1).contiguous() for state in past]  # (n_layer, B, n_hidden), for torch
        h, after = self.layers(x, (tuple(before) if len(before) > 1 else before[0]) if before else None)
        logits: Tensor = self.head(self.dropout(h))  # (B, T, n_hidden) -> (B, T, V)
        states = after if isinstance(after, tuple) else (after,)  # an LSTM has two: the output and the cell
        return logits, [state.transpose(0, 1) for state in states]
