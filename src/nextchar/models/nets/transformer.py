"""The decoder of Vaswani et al. (2017), "Attention Is All You Need", with layer norms first (Xiong et al. 2020)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextchar.config.model_settings import Transformer as TransformerSettings
from nextchar.models.nets.net import Net


class Attention(nn.Module):
    """Causal self-attention with several heads: softmax(Q K' / sqrt(d)) V, equation 1, over the places up to each."""

    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.qkv = nn.Linear(n_embd, 3 * n_embd)
        self.proj = nn.Linear(n_embd, n_embd)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(x).unflatten(-1, (3, self.n_head, -1))  # (B, T, 3, n_head, d)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (B, n_head, T, d)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, n_head, T, d)
        out: Tensor = self.proj(y.transpose(1, 2).flatten(2))  # (B, T, n_embd)
        return out


class Block(nn.Module):
    """Attention, then a layer for each place alone; each is added to its input, the residual stream."""

    def __init__(self, n_embd: int, n_head: int, dropout: float) -> None:
        super().__init__()
        self.ln_1, self.attention = nn.LayerNorm(n_embd), Attention(n_embd, n_head)
        self.ln_2 = nn.LayerNorm(n_embd)
        self.mlp = nn.Sequential(nn.Linear(n_embd, 4 * n_embd), nn.GELU(), nn.Linear(4 * n_embd, n_embd))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.ln_1(x)))  # (B, T, n_embd)
        x = x + self.dropout(self.mlp(self.ln_2(x)))
        return x


class Transformer(Net):
    """Embeddings of characters and of their places, blocks, a layer norm, and a linear head."""

    reads = "sequences"

    def __init__(self, settings: TransformerSettings, vocab_size: int, generator: torch.Generator | None) -> None:
        super().__init__(settings, vocab_size, generator)
        self.block_size, n_embd = settings.block_size, settings.n_embd
        self.wte, self.wpe = nn.Embedding(vocab_size, n_embd), nn.Embedding(settings.block_size, n_embd)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.Sequential(
            *(Block(n_embd, settings.n_head, settings.dropout) for _ in range(settings.n_layer))
        )
        self.ln_f, self.head = nn.LayerNorm(n_embd), nn.Linear(n_embd, vocab_size)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:  # as in GPT-2; layers that write to the residual stream share their variance
                is_written = name.endswith(("proj.weight", "mlp.2.weight"))
                nn.init.normal_(weight, std=0.02 * (2 * settings.n_layer) ** -0.5 if is_written else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def get_block_size(self) -> int:
        return self.block_size

    def logits(self, idx: Tensor) -> Tensor:
        places = torch.arange(idx.shape[1], device=idx.device)
        x = self.dropout(self.wte(idx) + self.wpe(places))  # (B, T, n_embd)
        logits: Tensor = self.head(self.ln_f(self.blocks(x)))  # (B, T, V)
        return logits
