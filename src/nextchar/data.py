"""Pairs for gradient descent: what a net reads (xs) and what comes next (ys), in chunks of mini-batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor

from nextchar.counts import refuse_too_large
from nextchar.language_model import windows
from nextchar.settings import Data
from nextchar.vocabulary import Ids


class Batch(NamedTuple):
    """xs (B, T) int64 ids. ys (B, T) int64: the next ids; or (B, T, V) float: merged, see Net.forward."""

    xs: Tensor
    ys: Tensor


@dataclass
class Chunk:
    """Successive mini-batches, those of the steps from `step` on: one batch to Lightning, many to the optimizer."""

    step: int
    batches: list[Batch]


class Pairs(L.LightningDataModule):
    """The pairs of train and val. Which batch a step sees is a function of (seed, step) alone."""

    def __init__(
        self,
        streams: dict[str, Ids],
        vocab_size: int,
        block_size: int,
        settings: Data,
        dtype: torch.dtype,
        seed: int,
    ) -> None:
        super().__init__()
        self.settings, self.vocab_size, self.dtype, self.seed = settings, vocab_size, dtype, seed
        self.size = len(streams["train"]) - 1  # pairs of train
        merged = settings.batch_size == "all" and settings.merge
        self.train = self._pairs(streams["train"], block_size, merged)
        self.val = self._pairs(streams["val"], block_size, merged=True) if "val" in streams else None
        # what decides which weights were best: val, or all of train where there is no val
        self.judge = self.val or (self.train if merged else self._pairs(streams["train"], block_size, merged=True))
        self.first_step, self.max_steps, self.chunk_size = 0, 0, 1

    def steps(self, first: int, last: int, chunk_size: int) -> "Pairs":
        """Deal out the steps from `first` up to `last`; a chunk ends where its last step is a multiple of its size."""
        self.first_step, self.max_steps, self.chunk_size = first, last, chunk_size
        return self

    def train_dataloader(self) -> "Chunks":
        return Chunks(self)

    def batch(self, step: int) -> Batch:
        """The mini-batch of a step: a slice of a permutation of all pairs, a new one every epoch."""
        if self.settings.batch_size == "all":
            return self.train
        epoch, place = divmod(step, -(-self.size // self.settings.batch_size))
        order = self._order(epoch)[place * self.settings.batch_size :][: self.settings.batch_size]
        return Batch(self.train.xs[order], self.train.ys[order])

    def uniform(self) -> Batch:
        """Every pair once: what add-k adds to the counts, for nets that see one id."""
        v = self.vocab_size
        return Batch(torch.arange(v)[:, None], torch.full((v, 1, v), 1 / v**2, dtype=self.dtype))

    def _order(self, epoch: int) -> Tensor:
        if getattr(self, "_epoch", None) != epoch:
            seed = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)[0]) >> 1
            self._permutation = torch.randperm(self.size, generator=torch.Generator().manual_seed(seed))
            self._epoch = epoch
        return self._permutation

    def _pairs(self, stream: Ids, block_size: int, merged: bool) -> Batch:
        xs, ys = windows(stream, block_size), stream[1:]
        if not merged:
            return Batch(torch.from_numpy(xs), torch.from_numpy(ys)[:, None])
        distinct, which = np.unique(xs, axis=0, return_inverse=True)
        refuse_too_large("the table of merged pairs", self.vocab_size, 8)
        counts = np.bincount(which.ravel() * self.vocab_size + ys, minlength=len(distinct) * self.vocab_size)
        shares = torch.from_numpy(counts / len(ys)).to(self.dtype).view(len(distinct), 1, self.vocab_size)
        return Batch(torch.from_numpy(distinct)[:, -1:], shares)


class Chunks:
    """The iterable that Lightning sees."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        size = pairs.chunk_size
        inner = range((pairs.first_step // size + 1) * size, pairs.max_steps, size)
        self.edges = [pairs.first_step, *inner, pairs.max_steps]

    def __len__(self) -> int:
        return len(self.edges) - 1

    def __iter__(self) -> Iterator[Chunk]:
        for first, end in zip(self.edges, self.edges[1:], strict=False):
            yield Chunk(first, [self.pairs.batch(step) for step in range(first, end)])
