"""Counts of pairs, exact (int64) and sparse: what a text shows, and not what it could have shown."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nextchar.errors import refuse_beyond_memory
from nextchar.vocabulary import Ids, Stream

DENSE_CELLS = 1 << 22  # up to here a V x V table is cheaper than sorting
COUNTED_AT_ONCE = 1 << 20  # pairs; bounds the memory that counting takes beside the stream


@dataclass(frozen=True)
class PairCounts:
    """How often id x is followed by id y.

    `pairs` (U,) int64: x * V + y of the U pairs that occur, ascending. `counts` (U,) int64: how often, all above 0.
    """

    vocab_size: int
    pairs: Ids
    counts: Ids

    @classmethod
    def of(cls, stream: Stream, vocab_size: int) -> "PairCounts":
        """The counts of a stream of N + 1 ids, N pairs."""
        if vocab_size**2 <= DENSE_CELLS:
            table = np.zeros(vocab_size**2, dtype=np.int64)
            for start in range(0, len(stream) - 1, COUNTED_AT_ONCE):
                part = stream[start : start + COUNTED_AT_ONCE + 1].astype(np.int64)
                table += np.bincount(part[:-1] * vocab_size + part[1:], minlength=vocab_size**2)
            pairs = np.flatnonzero(table)
            return cls(vocab_size, pairs, table[pairs])
        pairs, counts = np.unique(stream[:-1].astype(np.int64) * vocab_size + stream[1:], return_counts=True)
        return cls(vocab_size, pairs, counts)

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    @cached_property
    def row_totals(self) -> Ids:
        """(V,) int64: how often each id is followed by anything."""
        ends = np.searchsorted(self.pairs, np.arange(self.vocab_size + 1) * self.vocab_size)
        return np.diff(np.concatenate([[0], np.cumsum(self.counts)])[ends])

    def look_up(self, xs: Ids, ys: Ids) -> Ids:
        """(N,), (N,) ids -> (N,) int64 counts, 0 for a pair that never occurs."""
        wanted = xs * self.vocab_size + ys
        place = np.searchsorted(self.pairs, wanted).clip(max=len(self.pairs) - 1)
        return np.where(self.pairs[place] == wanted, self.counts[place], 0)

    def rows(self, xs: Ids) -> Ids:
        """(N,) ids -> (N, V) int64: the counts of all that follows each."""
        table = np.zeros((len(xs), self.vocab_size), dtype=np.int64)
        starts = np.searchsorted(self.pairs, np.asarray(xs) * self.vocab_size)
        ends = np.searchsorted(self.pairs, (np.asarray(xs) + 1) * self.vocab_size)
        for row, start, end in zip(table, starts, ends, strict=True):
            row[self.pairs[start:end] % self.vocab_size] = self.counts[start:end]
        return table

    def matrix(self) -> Ids:
        """(V, V) int64. Raises BadInput, before memory is taken, where that would not fit."""
        what = f"a matrix of {self.vocab_size:,} x {self.vocab_size:,} counts"
        refuse_beyond_memory(what, self.vocab_size**2 * 8, "model=count stores only the pairs that occur")
        return self.rows(np.arange(self.vocab_size))
