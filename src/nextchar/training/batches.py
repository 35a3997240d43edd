"""The batches of a net: merged pairs, windows, or whole sequences in length buckets, as the net's class asks."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nextchar.config.data_settings import Data
from nextchar.config.optim_settings import Lbfgs
from nextchar.config.train_settings import TrainSettings
from nextchar.data.encoded import Split
from nextchar.data.vocabulary import BOUNDARY, Ids
from nextchar.models.nets.net import Net, cut
from nextchar.models.ngram.counts import CountTable, count_stream

Splits = Mapping[str, Split]

IDS_AT_ONCE = 1 << 16  # that a block of val holds
BUCKET = 8  # the lengths of the sequences in a batch differ by less


class Batch(NamedTuple):
    """The arguments of `Net.forward`: xs (B, T) ids; ys (B, 1) or (B, T) ids, or (B, 1, V) shares; weights (B, 1)."""

    xs: Tensor
    ys: Tensor
    weights: Tensor | None = None

    @property
    def mass(self) -> float:
        """The number of predictions, weighted; 1 where ys are shares."""
        if self.ys.is_floating_point():
            return 1.0
        predicted = self.ys != -1
        return float((predicted if self.weights is None else predicted * self.weights).sum())

    def merged(self, dtype: torch.dtype) -> "Batch":
        """The same loss from the distinct rows, weighted by how often each occurs."""
        rows, counts = torch.unique(torch.cat([self.xs, self.ys], dim=1), dim=0, return_counts=True)
        length = self.xs.shape[1]
        return Batch(rows[:, :length], rows[:, length:], counts[:, None].to(dtype))

    def split(self, rows: int) -> list["Batch"]:
        """The batch in blocks of so many rows."""
        parts = [part.split(rows) for part in self if part is not None]
        return [Batch(*part) for part in zip(*parts, strict=True)]

    def share(self, rank: int, world: int) -> tuple["Batch", float]:
        """Every `world`-th row from row `rank` on, and its weight: the mean of weight * loss over ranks is the loss.

        If there are fewer rows than ranks, some get the first row with weight 0, because a process that computed no
        gradient would keep the others waiting.
        """
        if world == 1:
            return self, 1.0
        rows = slice(rank, None, world) if rank < len(self.xs) else slice(1)
        weights = None if self.weights is None else self.weights[rows].contiguous()
        part = Batch(self.xs[rows].contiguous(), self.ys[rows].contiguous(), weights)
        return part, world * part.mass / self.mass if rank < len(self.xs) else 0.0


def mean_loss(net: Net, blocks: list[Batch]) -> float:
    """The loss on blocks of a split, in nats per character."""
    with torch.inference_mode():
        losses = [float(net(*block)[1]) for block in blocks]
    masses = [block.mass for block in blocks]
    return sum(loss * mass for loss, mass in zip(losses, masses, strict=True)) / sum(masses)


class Batches(ABC):
    """The batches of train, of `size` rows, and val in blocks (train if there is no val), which judges the weights.

    Which rows a step reads is a function of (seed, step) alone.
    """

    size: int
    val: list[Batch]
    _epoch = -1

    def __init__(self, splits: Splits, settings: Data, dtype: torch.dtype, seed: int) -> None:
        self.settings, self.dtype, self.seed, self.has_val = settings, dtype, seed, "val" in splits
        self.judge = splits["val" if self.has_val else "train"]

    @abstractmethod
    def rows(self, numbers: Tensor) -> Batch:
        """The rows of train with these numbers."""

    @cached_property
    def full(self) -> Batch:
        """All rows of train, equal ones merged if the settings say so."""
        batch = self.rows(torch.arange(self.size))
        return batch.merged(self.dtype) if self.settings.merge else batch

    def batch(self, step: int) -> Batch:
        """The batch of a step: all of train, or a slice of a permutation of its rows, a new one every epoch."""
        if self.settings.batch_size == "all":
            return self.full
        epoch, place = divmod(step, -(-self.size // self.settings.batch_size))
        return self.rows(self._order(epoch)[place * self.settings.batch_size :][: self.settings.batch_size])

    def _order(self, epoch: int) -> Tensor:
        if self._epoch != epoch:
            seed = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)[0]) >> 1
            self._permutation, self._epoch = self._shuffled(torch.Generator().manual_seed(seed)), epoch
        return self._permutation

    def _shuffled(self, generator: torch.Generator) -> Tensor:
        """(size,) the numbers of all rows in the order of an epoch."""
        return torch.randperm(self.size, generator=generator)


class MergedPairs(Batches):
    """Pairs of an id and the next one, for nets of block size 1; in a full batch equal pairs are merged.

    `pairs`: the counts of train.
    """

    def __init__(self, splits: Splits, pairs: CountTable, settings: Data, dtype: torch.dtype, seed: int) -> None:
        super().__init__(splits, settings, dtype, seed)
        self.pairs, self.size = pairs, pairs.total
        ids = torch.from_numpy(splits["train"].stream.astype(np.int64))
        self.xs, self.ys = ids[:-1, None], ids[1:, None]
        judge = count_stream(splits["val"].stream, pairs.packing.vocab_size, 2)[1] if self.has_val else pairs
        self.val = [self._merged(judge)]

    def rows(self, numbers: Tensor) -> Batch:
        return Batch(self.xs[numbers], self.ys[numbers])

    @cached_property
    def full(self) -> Batch:
        return self._merged(self.pairs) if self.settings.merge else Batch(self.xs, self.ys)

    def _merged(self, pairs: CountTable) -> Batch:
        """Each id that has a successor, and the shares of its successors among all pairs: (B, 1), (B, 1, V)."""
        shares = torch.from_numpy(pairs.matrix(np.arange(pairs.packing.vocab_size)) / pairs.total).to(self.dtype)
        followed = torch.from_numpy(pairs.contexts.keys.astype(np.int64))
        return Batch(followed[:, None], shares[followed, None])


class Windows(Batches):
    """Windows of exactly the last T ids of the document, padded on the left with the boundary 0, and the next id.

    There is one for every id that is predicted, the boundary at the end of a document included.
    """

    def __init__(self, splits: Splits, block_size: int, settings: Data, dtype: torch.dtype, seed: int) -> None:
        super().__init__(splits, settings, dtype, seed)
        self.window = torch.arange(-block_size, 1)
        self.ids, self.ends = self._padded(splits["train"])
        self.size = len(self.ends)
        self.val = self._windows(*self._padded(self.judge)).merged(dtype).split(-(-IDS_AT_ONCE // block_size))

    def rows(self, numbers: Tensor) -> Batch:
        return self._windows(self.ids, self.ends[numbers])

    def _windows(self, ids: Tensor, ends: Tensor) -> Batch:
        windows = ids[ends[:, None] + self.window]  # (B, T + 1)
        return Batch(windows[:, :-1], windows[:, -1:])

    def _padded(self, split: Split) -> tuple[Tensor, Tensor]:
        """All ids, with so much padding before each document that a window never reaches into the one before it.

        And (N,) the places of the predicted ids.
        """
        block_size = len(self.window) - 1
        ids, n_context = whole(split, block_size)
        padding = np.where(ids == BOUNDARY, block_size - 1, 0)  # after each boundary
        places = block_size + np.arange(len(ids)) + np.cumsum(padding) - padding
        padded = np.full(places[-1] + 1, BOUNDARY, dtype=np.int64)
        padded[places] = ids
        return torch.from_numpy(padded), torch.from_numpy(places[n_context:])


class Sequences(Batches):
    """Whole documents, and pieces of those longer than the block size; in a batch lengths are about equal.

    Rows are padded on the right; the targets of padding are -1.
    """

    def __init__(self, splits: Splits, block_size: int, settings: Data, dtype: torch.dtype, seed: int) -> None:
        super().__init__(splits, settings, dtype, seed)
        ids, n_context = whole(splits["train"], block_size)
        self.ids, self.pieces = torch.from_numpy(ids), cut(ids, n_context, block_size, overlap=0)
        self.size = len(self.pieces.start)
        ids, n_context = whole(self.judge, block_size)
        pieces = cut(ids, n_context, block_size, overlap=block_size // 2)  # as NetModel.score reads val
        self.val = [Batch(xs, ys) for xs, ys, _ in pieces.batches(torch.from_numpy(ids), IDS_AT_ONCE)]

    def rows(self, numbers: Tensor) -> Batch:
        xs, ys, _ = self.pieces.rows(self.ids, numbers.numpy())
        return Batch(xs, ys)

    def _shuffled(self, generator: torch.Generator) -> Tensor:
        """Rows at random, sorted by length as far as needed, then cut into batches, and these at random."""
        assert self.settings.batch_size != "all"
        order = torch.randperm(self.size, generator=generator)
        order = order[torch.argsort(torch.from_numpy(self.pieces.length)[order] // BUCKET, stable=True)]
        n, size = self.size // self.settings.batch_size, self.settings.batch_size
        batches = order[: n * size].view(n, size)[torch.randperm(n, generator=generator)]
        return torch.cat([batches.flatten(), order[n * size :]])


def make_batches(net: Net, splits: Splits, pairs: CountTable, settings: TrainSettings) -> Batches:
    """The batches that a net reads: never less context than it is evaluated on. `pairs`: the counts of train."""
    # L-BFGS compares losses that differ in the tenth digit, which float32 does not have
    dtype = torch.float64 if isinstance(settings.optim, Lbfgs) else next(net.parameters()).dtype
    if net.reads == "sequences":
        return Sequences(splits, net.get_block_size(), settings.data, dtype, settings.seed)
    if net.get_block_size() > 1:
        return Windows(splits, net.get_block_size(), settings.data, dtype, settings.seed)
    return MergedPairs(splits, pairs, settings.data, dtype, settings.seed)


def whole(split: Split, context: int) -> tuple[Ids, int]:
    """All ids of a split, int64, with at most `context` ids before the first predicted one, and how many these are."""
    blocks = list(split.blocks(context))
    ids = [block.ids[block.n_context if number else 0 :] for number, block in enumerate(blocks)]
    return np.concatenate(ids).astype(np.int64), blocks[0].n_context
