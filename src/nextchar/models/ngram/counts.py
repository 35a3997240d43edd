"""Counts of n-grams of any order, exact (int64) and sparse: what a text shows, and not what it could have shown.

Windows are packed into keys, sorted, and equal ones counted by the lengths of their runs: the way that beat hash tables
and data frames. One count of the longest windows gives those of all lower orders, and the continuation counts.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from nextchar.data.encoded import Block
from nextchar.data.vocabulary import BOUNDARY, Ids, Stream
from nextchar.errors import refuse_beyond_memory
from nextchar.models.ngram.keys import Keys, Packing

DENSE_BITS = 16  # keys this narrow are counted in a table of all there could be
SORTED_AT_ONCE = 1 << 22  # windows; with two of them under way the memory that counting takes beside the distinct ones
MERGED_AT_ONCE = 1 << 20  # rows of the longest of the parts that are merged
TABLES_AT_ONCE = 4  # of the size of the largest: while parts are merged, and orders made of one another
FAN_IN = 8  # sorted parts of like size that are merged at once


@dataclass(frozen=True)
class Counted:
    """Distinct windows of `order` symbols, sorted, and how often each occurs.

    `keys` (R,): see packing.py. `counts` (R,) int64, all above 0.
    """

    keys: Keys
    counts: Ids
    packing: Packing
    order: int

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class Contexts:
    """The contexts of a table: (G,) sorted keys, where the rows of each begin, and sums over these rows."""

    keys: Keys
    starts: Ids
    totals: Ids  # (G,): what was pruned included
    types: Ids  # (G, 3): how many rows have the count 1, 2, and 3 or more


@dataclass(frozen=True)
class Table(Counted):
    """The n-grams of one order that occur, those of one context side by side.

    `pruned` (G,) int64, or None: for each context that still has rows the sum of the counts of those it has lost.
    """

    pruned: Ids | None = None

    @cached_property
    def contexts(self) -> Contexts:
        return contexts_of(self)

    def matrix(self, shown: Ids) -> Ids:
        """Of bigrams: (S,) ids, ascending -> (S, S) int64, how often each is followed by each.

        Raises BadInput, before memory is taken, where that would not fit.
        """
        assert self.order == 2
        what = f"a matrix of {len(shown):,} x {len(shown):,} counts"
        refuse_beyond_memory(what, len(shown) ** 2 * 8, "model=count stores only the pairs that occur")
        place = np.full(self.packing.vocab_size, -1)
        place[shown] = np.arange(len(shown))
        xs, ys = place[self.packing.unpack(self.keys, 2)].T
        known = (xs >= 0) & (ys >= 0)
        matrix = np.zeros((len(shown), len(shown)), dtype=np.int64)
        matrix[xs[known], ys[known]] = self.counts[known]
        return matrix

    @property
    def counts_of_counts(self) -> list[int]:
        """How many n-grams have the count 1, 2, 3, 4."""
        return [int((self.counts == count).sum()) for count in (1, 2, 3, 4)]


def contexts_of(table: Table) -> Contexts:
    keys = table.packing.context(table.keys, table.order)
    starts = run_starts(keys)
    if not len(starts):
        return Contexts(keys, starts, starts, np.zeros((0, 3), dtype=np.int64))
    kinds = [np.add.reduceat(of_kind, starts, dtype=np.int64) for of_kind in (table.counts == 1, table.counts == 2)]
    more = np.diff(starts, append=len(keys)) - kinds[0] - kinds[1]
    totals: Ids = np.add.reduceat(table.counts, starts)
    if table.pruned is not None:
        totals = totals + table.pruned
    return Contexts(keys[starts], starts, totals, np.column_stack([*kinds, more]))


def pruned(table: Table, keep: npt.NDArray[np.bool_]) -> Table:
    """The table without some of its rows; the contexts that are left remember how much they have lost."""
    kept = Table(table.keys[keep], table.counts[keep], table.packing, table.order)
    before = table.contexts
    at = np.searchsorted(before.keys, kept.contexts.keys)
    return replace(kept, pruned=before.totals[at] - kept.contexts.totals)


# --- counting -------------------------------------------------------------------------------------------------------


def count(pieces: Iterable[Block], packing: Packing, order: int, threads: int = 0) -> Counted:
    """The windows of all predicted ids, at a price in memory that only what is distinct adds to.

    The result does not depend on where the text was cut. `threads`: 0 for as many as pay.
    """
    blocks = (block for piece in pieces for block in packing.windows(piece.ids, piece.n_context, order))
    if order * packing.bits <= DENSE_BITS:
        return _dense(blocks, packing, order)
    parts = _Parts()
    for part in _sorted_parts(blocks, packing, order, threads or min(2, os.cpu_count() or 1)):
        parts.add(part)
    return parts.merged() or Counted(np.zeros(0, packing.dtype(order)), np.zeros(0, dtype=np.int64), packing, order)


def merge(parts: Sequence[Counted]) -> Counted:
    """The counts of several parts of a text, added up: one range of keys after the other, to spare memory."""
    if len(parts) == 1:
        return parts[0]
    cuts = max(parts, key=len).keys[MERGED_AT_ONCE::MERGED_AT_ONCE]
    places = [[0, *np.searchsorted(part.keys, cuts).tolist(), len(part)] for part in parts]
    merged = []
    for i in range(len(cuts) + 1):
        slices = [slice(place[i], place[i + 1]) for place in places]
        keys = np.concatenate([part.keys[where] for part, where in zip(parts, slices, strict=True)])
        counts = np.concatenate([part.counts[where] for part, where in zip(parts, slices, strict=True)])
        merged.append(_aggregated(keys, counts, parts[0].packing, parts[0].order))
    return replace(
        parts[0],
        keys=np.concatenate([part.keys for part in merged]),
        counts=np.concatenate([part.counts for part in merged]),
    )


def _dense(blocks: Iterable[Keys], packing: Packing, order: int) -> Counted:
    table = np.zeros(1 << (order * packing.bits), dtype=np.int64)
    for block in blocks:
        table += np.bincount(block, minlength=len(table))
    keys = np.flatnonzero(table)
    return Counted(keys.astype(packing.dtype(order)), table[keys], packing, order)


def _sorted_parts(blocks: Iterable[Keys], packing: Packing, order: int, threads: int) -> Iterator[Counted]:
    """Parts of the text, each sorted and counted; np.sort lets other threads work, such as the one that reads on."""
    counted = partial(_runs, packing=packing, order=order)
    if threads == 1:
        yield from map(counted, _buffers(blocks))
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        under_way: deque[Future[Counted]] = deque()
        for buffer in _buffers(blocks):
            under_way.append(pool.submit(counted, buffer))
            if len(under_way) >= threads:
                yield under_way.popleft().result()
        yield from (future.result() for future in under_way)


def _buffers(blocks: Iterable[Keys]) -> Iterator[Keys]:
    """The keys of many blocks in one array, again and again."""
    gathered: list[Keys] = []
    size = 0
    for block in blocks:
        gathered.append(block)
        size += len(block)
        if size >= SORTED_AT_ONCE:
            yield np.concatenate(gathered)
            gathered, size = [], 0
    if gathered:
        yield np.concatenate(gathered)


def _runs(keys: Keys, packing: Packing, order: int) -> Counted:
    """Sorts the keys in place."""
    keys.sort()
    starts = run_starts(keys)
    return Counted(keys[starts], np.diff(starts, append=len(keys)), packing, order)


def run_starts(keys: Keys) -> Ids:
    """Where the runs of equal keys begin."""
    if not len(keys):
        return np.zeros(0, dtype=np.int64)
    return np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])


class _Parts:
    """Sorted parts that wait to be merged: always those of like size, so that none is merged too often."""

    def __init__(self) -> None:
        self._levels: list[list[Counted]] = []

    def add(self, part: Counted, level: int = 0) -> None:
        """Raises BadInput, before memory is taken, where the tables that are in sight would not fit."""
        rows = max((len(each) for above in self._levels for each in above), default=0) + len(part)
        what = f"a table of {rows:,} different n-grams, after a part of the text,"
        need = rows * (part.keys.itemsize + 8) * TABLES_AT_ONCE
        refuse_beyond_memory(what, need, "set a lower model.order, or take less text")
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(part)
        if len(self._levels[level]) == FAN_IN:
            full, self._levels[level] = self._levels[level], []
            self.add(merge(full), level + 1)

    def merged(self) -> Counted | None:
        parts = [part for level in self._levels for part in level]
        return merge(parts) if parts else None


def _aggregated(keys: Keys, counts: Ids, packing: Packing, order: int) -> Counted:
    """Equal keys, however they lie, made one."""
    keys, places = packing.ordered(keys, order)
    starts = run_starts(keys)
    summed = np.add.reduceat(counts[places], starts) if len(starts) else counts
    return Counted(keys[starts], summed, packing, order)


def first_seen(pieces: Iterable[Block], vocab_size: int) -> Ids:
    """(V,): the ids ranked by their first appearance in a text, the boundary before all."""
    order = np.array([BOUNDARY])
    for piece in pieces:
        distinct, at = np.unique(piece.ids[piece.n_context :], return_index=True)
        order = np.append(order, [id_ for id_ in distinct[np.argsort(at)] if id_ not in order])
        if len(order) == vocab_size:
            break
    rank = np.full(vocab_size, len(order))
    rank[order.astype(np.int64)] = np.arange(len(order))
    return rank


# --- orders ---------------------------------------------------------------------------------------------------------


def tables(windows: Counted) -> list[Table]:
    """The counts of the n-grams of order 1 up to that of the windows."""
    found, packing = [], windows.packing
    for k in range(windows.order, 0, -1):
        own = ~packing.is_cut(windows.keys, k)  # the others are n-grams of an order below
        found.append(Table(windows.keys[own], windows.counts[own], packing, k))
        if k > 1:
            windows = _aggregated(packing.shorter(windows.keys, k), windows.counts, packing, k - 1)
    return found[::-1]


def of_stream(stream: Stream, vocab_size: int, order: int) -> list[Table]:
    """The counts of a whole text: (N + 1,) ids, of which the first is context only."""
    packing = Packing(vocab_size)
    return tables(count([Block(stream, 1)], packing, order))


def continuation_tables(raw: Sequence[Table]) -> list[Table]:
    """The tables of Kneser and Ney (1995): below the highest order, in how many contexts an n-gram occurs.

    That is, how many different symbols stand in front of it. An n-gram that begins with the boundary has nothing in
    front of it, and keeps its count; so does the highest order.
    """
    adjusted = [raw[-1]]
    for table, above in zip(raw[-2::-1], raw[:0:-1], strict=True):
        once = np.ones(len(above), dtype=np.int64)
        extended = _aggregated(above.packing.shorter(above.keys, above.order), once, above.packing, table.order)
        counts = table.counts.copy()
        counts[np.searchsorted(table.keys, extended.keys)] = extended.counts
        adjusted.append(Table(table.keys, counts, table.packing, table.order))
    return adjusted[::-1]
