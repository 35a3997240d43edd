"""The decoder of Vaswani et al. (2017), "Attention Is All You Need", with layer norms first (Xiong et al. 2020).

The names of the weights are those of GPT-2, which builds on it.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextchar.config.model_settings import AnyTransformer
from nextchar.models.nets.net import Net


class CausalSelfAttention(nn.Module):
    """softmax(Q K' / sqrt(d)) V in every head, equation 1, over the places up to each; dropout on the softmax too."""

    def __init__(self, n_embd: int, n_head: int, dropout: float) -> None:
        super().__init__()
        self.n_head, self.dropout = n_head, dropout
        self.c_attn, self.c_proj = nn.Linear(n_embd, 3 * n_embd), nn.Linear(n_embd, n_embd)
        self.resid_dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, past: Sequence[Tensor] = ()) -> tuple[Tensor, Sequence[Tensor]]:
        """`past`, and the second result: the keys and values of all places before, and up to here."""
        heads = self.c_attn(x).unflatten(-1, (3, self.n_head, -1))  # (B, T, 3, n_head, d)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (B, n_head, T, d)
        if past:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        dropout = self.dropout if self.training else 0.0
        is_causal = not past  # else the one place of q is the last, after all others
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=is_causal)  # (B, n_head, T, d)
        out: Tensor = self.resid_dropout(self.c_proj(y.transpose(1, 2).flatten(2)))  # (B, T, n_embd)
        return out, (k, v)


class MLP(nn.Module):
    """Two layers for each place alone, with GELU in its tanh form (Hendrycks and Gimpel 2016) between them."""

    def __init__(self, n_embd: int, dropout: float) -> None:
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(n_embd, 4 * n_embd), nn.Linear(4 * n_embd, n_embd)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))  # (B, T, n_embd)
        return out


class Block(nn.Module):
    """Attention and MLP, each behind a layer norm and added to its input, the residual stream."""

    def __init__(self, n_embd: int, n_head: int, dropout: float) -> None:
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(n_embd), CausalSelfAttention(n_embd, n_head, dropout)
        self.ln_2, self.mlp = nn.LayerNorm(n_embd), MLP(n_embd, dropout)

    def forward(self, x: Tensor, past: Sequence[Tensor] = ()) -> tuple[Tensor, Sequence[Tensor]]:
        y, keys_and_values = self.attn(self.ln_1(x), past)
        x = x + y  # (B, T, n_embd)
        x = x + self.mlp(self.ln_2(x))
        return x, keys_and_values


class Transformer(Net):
    """Embeddings of characters and of their places, blocks, a layer norm, and a linear head."""

    reads = "sequences"
    has_own_head: ClassVar[bool] = True  # False: the head is the embedding of the characters

    def __init__(self, settings: AnyTransformer, vocab_size: int, generator: torch.Generator | None) -> None:
        super().__init__(settings, vocab_size, generator)
        self.block_size, n_embd = settings.block_size, settings.n_embd
        self.wte, self.wpe = nn.Embedding(vocab_size, n_embd), nn.Embedding(settings.block_size, n_embd)
        self.drop = nn.Dropout(settings.dropout)
        self.h = nn.ModuleList(Block(n_embd, settings.n_head, settings.dropout) for _ in range(settings.n_layer))
        self.ln_f = nn.LayerNorm(n_embd)
        if self.has_own_head:
            self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
        residual_layers = 2 * settings.n_layer  # they add up in the residual stream (GPT-2, section 2.3)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=0.02 * residual_layers**-0.5 if name.endswith("c_proj.weight") else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def get_block_size(self) -> int:
        return self.block_size

    def logits(self, idx: Tensor) -> Tensor:
        return self.step(idx, ())[0]

    def step(self, idx: Tensor, past: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        """`past`: of each block its keys and its values, (B, n_head, T, d)."""
        first = past[0].shape[2] if past else 0
        places = torch.arange(first, first + idx.shape[1], device=idx.device)
        x = self.drop(self.wte(idx) + self.wpe(places))  # (B, T, n_embd)
        kept: list[Tensor] = []
        for layer, block in enumerate(self.h):
            x, keys_and_values = block(x, past[2 * layer : 2 * layer + 2])
            kept += keys_and_values
        head = self.lm_head if self.has_own_head else self.wte
        return F.linear(self.ln_f(x), head.weight), kept  # (B, T, V)
