"""Pairs for gradient descent: the id that a net reads (xs) and the one that comes next (ys), in chunks of batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor

from nextchar.config.data_settings import Data
from nextchar.data.vocabulary import Stream
from nextchar.models.ngram.counts import count_stream

LONGEST_CHUNK = 1000  # steps: between two chunks there is time for a checkpoint, a signal, the progress bar


class Batch(NamedTuple):
    """xs (B, T) int64 ids. ys (B, T) int64: the next ids; or (B, T, V) float: merged, see Net.forward."""

    xs: Tensor
    ys: Tensor


class Share(NamedTuple):
    """What one of several processes sees of a batch, and by how much its loss on that is multiplied."""

    batch: Batch
    weight: float


@dataclass
class Chunk:
    """Successive mini-batches, those of the steps from `step` on: one batch to Lightning, many to the optimizer."""

    step: int
    batches: list[Batch]
    weights: list[float]  # of their losses


class Pairs(L.LightningDataModule):
    """The pairs of train and val. Which batch a step sees is a function of (seed, step) alone."""

    def __init__(
        self,
        streams: dict[str, Stream],
        vocab_size: int,
        settings: Data,
        dtype: torch.dtype,
        seed: int,
    ) -> None:
        super().__init__()
        self.settings, self.vocab_size, self.dtype, self.seed = settings, vocab_size, dtype, seed
        self.size = len(streams["train"]) - 1  # pairs of train
        merged = settings.batch_size == "all" and settings.merge
        self.train = self._pairs(streams["train"], merged)
        self.val = self._pairs(streams["val"], merged=True) if "val" in streams else None
        # what decides which weights were best: val, or all of train where there is no val
        self.judge = self.val or (self.train if merged else self._pairs(streams["train"], merged=True))
        self.first_step, self.max_steps, self.log_every = 0, 0, 1
        self.rank, self.world = 0, 1

    def deal(self, first: int, last: int, log_every: int, rank: int = 0, world: int = 1) -> None:
        """Deal out the steps from `first` up to `last`: of each batch what falls to process `rank` of `world`."""
        self.first_step, self.max_steps, self.log_every = first, last, log_every
        self.rank, self.world = rank, world

    def train_dataloader(self) -> "Chunks":
        return Chunks(self)

    def transfer_batch_to_device(self, batch: Chunk, device: torch.device, dataloader_idx: int) -> Chunk:
        return batch  # the pairs are where the net is; Lightning would walk through every batch of the chunk

    def batch(self, step: int) -> Batch:
        """The mini-batch of a step: a slice of a permutation of all pairs, a new one every epoch."""
        if self.settings.batch_size == "all":
            return self.train
        epoch, place = divmod(step, -(-self.size // self.settings.batch_size))
        order = self._order(epoch)[place * self.settings.batch_size :][: self.settings.batch_size]
        return Batch(self.train.xs[order], self.train.ys[order])

    def share(self, step: int) -> Share:
        """What falls to this process of the mini-batch of a step."""
        if self.world == 1:
            return Share(self.batch(step), 1.0)
        if self.settings.batch_size == "all":
            return self._share_of_all
        return share(self.batch(step), self.rank, self.world)

    @cached_property
    def _share_of_all(self) -> Share:
        return share(self.train, self.rank, self.world)

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

    def _pairs(self, stream: Stream, merged: bool) -> Batch:
        """All pairs of a stream, or, merged, each id that has a successor with the shares of its successors."""
        if not merged:
            ids = torch.from_numpy(stream.astype(np.int64))
            return Batch(ids[:-1, None], ids[1:, None])
        _, pairs = count_stream(stream, self.vocab_size, order=2)
        shares = torch.from_numpy(pairs.matrix(np.arange(self.vocab_size)) / pairs.total).to(self.dtype)
        followed = torch.from_numpy(pairs.contexts.keys.astype(np.int64))
        return Batch(followed[:, None], shares[followed, None])


def share(batch: Batch, rank: int, world: int) -> Share:
    """Every `world`-th row of a batch, from row `rank` on. The mean over ranks of weight * loss is the batch's loss.

    Of fewer rows than ranks some get none: these look at the first row with weight 0, because a process that computes
    no gradient would keep the others waiting.
    """
    xs, ys = batch.xs[rank::world].contiguous(), batch.ys[rank::world].contiguous()
    if len(xs) == 0:
        return Share(Batch(batch.xs[:1], batch.ys[:1]), 0.0)
    if ys.is_floating_point():  # merged: the loss is a sum already
        return Share(Batch(xs, ys), float(world))
    return Share(Batch(xs, ys), world * int((ys != -1).sum()) / int((batch.ys != -1).sum()))


class Chunks:
    """The iterable that Lightning sees. A chunk begins at every multiple of `log_every`, and after 1,000 steps."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def __iter__(self) -> Iterator[Chunk]:
        first, every = self.pairs.first_step, self.pairs.log_every
        while first < self.pairs.max_steps:
            end = min((first // every + 1) * every, first + LONGEST_CHUNK, self.pairs.max_steps)
            batches, weights = zip(*(self.pairs.share(step) for step in range(first, end)), strict=True)
            yield Chunk(first, list(batches), list(weights))
            first = end
