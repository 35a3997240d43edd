"""Counts of n-grams of any order: exact (int64) and sparse, only n-grams that occur are stored.

N-grams become keys (keys.py); the keys are sorted, and equal ones counted by the lengths of their runs, which is faster
than hash tables and data frames. The text is walked once, for the highest order: its counts give those of all lower
orders, and the continuation counts of Kneser and Ney.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from typing import NamedTuple

import numpy as np

from nextchar.data.encoded import Block
from nextchar.data.vocabulary import BOUNDARY, Ids, Stream
from nextchar.errors import refuse_beyond_memory
from nextchar.models.ngram.keys import Bools, Keys, Packing, run_starts

DENSE_BITS = 16  # keys of at most so many bits are counted in an array with a cell for every possible key
BLOCKS_SORTED_AT_ONCE = 32  # of PACKED_AT_ONCE n-grams; counting holds about two such arrays beside the counts
MERGED_AT_ONCE = 1 << 20  # rows of the longest of the parts that are merged
TABLES_AT_ONCE = 4  # in memory, of the size of the largest, while parts are merged and lower orders made
FAN_IN = 8  # sorted parts of similar size that are merged at once


class Contexts(NamedTuple):
    """The G contexts of a table, and sums over the n-grams of each."""

    keys: Keys  # (G,), sorted
    starts: Ids  # (G,): the first row of each in the table
    totals: Ids  # (G,): the sum of the counts, pruned n-grams included
    types: Ids  # (G, 3): how many n-grams have the count 1, 2, and 3 or more


@dataclass(frozen=True)
class CountTable:
    """R distinct n-grams of one order, and how often each occurs; those of one context are neighbours.

    Padded n-grams (keys.py) are only in the table that a text is counted in, not in those that `tables_by_order` makes.
    """

    keys: Keys  # (R,), sorted
    counts: Ids  # (R,) int64, at least 1
    packing: Packing
    order: int
    pruned: Ids | None = None  # (G,) int64: the sum of the counts that pruning removed from each context that is left

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def contexts(self) -> Contexts:
        keys = self.packing.context(self.keys, self.order)
        starts = run_starts(keys)
        if not len(starts):
            return Contexts(keys, starts, starts, np.zeros((0, 3), dtype=np.int64))
        once, twice = (np.add.reduceat(self.counts == n, starts, dtype=np.int64) for n in (1, 2))
        more = np.diff(starts, append=len(keys)) - once - twice
        totals: Ids = np.add.reduceat(self.counts, starts)
        if self.pruned is not None:
            totals = totals + self.pruned
        return Contexts(keys[starts], starts, totals, np.column_stack([once, twice, more]))

    @property
    def counts_of_counts(self) -> list[int]:
        """Returns n_1, n_2, n_3, n_4: how many n-grams have the count 1, 2, 3, 4."""
        return [int((self.counts == count).sum()) for count in (1, 2, 3, 4)]

    def keep(self, kept: Bools) -> "CountTable":
        """Removes the other rows; each context that is left remembers the sum of the counts that it lost."""
        table = CountTable(self.keys[kept], self.counts[kept], self.packing, self.order)
        at = np.searchsorted(self.contexts.keys, table.contexts.keys)
        return replace(table, pruned=self.contexts.totals[at] - table.contexts.totals)

    def matrix(self, ids: Ids) -> Ids:
        """Counts of bigrams: (S,) ascending ids -> (S, S) int64, first id by second id.

        Raises BadInput if the matrix would not fit in memory.
        """
        assert self.order == 2
        what = f"a matrix of {len(ids):,} x {len(ids):,} counts"
        refuse_beyond_memory(what, len(ids) ** 2 * 8, "model=count stores only the pairs that occur")
        place = np.full(self.packing.vocab_size, -1)
        place[ids] = np.arange(len(ids))
        xs, ys = place[self.packing.unpack(self.keys, 2)].T
        wanted = (xs >= 0) & (ys >= 0)
        matrix = np.zeros((len(ids), len(ids)), dtype=np.int64)
        matrix[xs[wanted], ys[wanted]] = self.counts[wanted]
        return matrix


# --- counting -------------------------------------------------------------------------------------------------------


def count_ngrams(blocks: Iterable[Block], packing: Packing, order: int, threads: int = 0) -> CountTable:
    """Counts the n-grams of all predicted ids of a text; memory grows with the distinct n-grams only.

    The result does not depend on where the text is cut into blocks. `threads`: 0 chooses by the processor.
    Raises BadInput if the counts would not fit in memory.
    """
    keys = (keys for block in blocks for keys in packing.ngrams(block.ids, block.n_context, order))
    if order * packing.bits <= DENSE_BITS:
        return _count_densely(keys, packing, order)
    empty = CountTable(np.zeros(0, packing.dtype(order)), np.zeros(0, dtype=np.int64), packing, order)
    parts = _sorted_parts(keys, packing, order, threads or min(2, os.cpu_count() or 1))
    return merge(_merged_as_they_come(parts) or [empty])


def merge(parts: Sequence[CountTable]) -> CountTable:
    """Adds up the counts of several parts of a text, one range of keys after the other to save memory."""
    if len(parts) == 1:
        return parts[0]
    cuts = max(parts, key=len).keys[MERGED_AT_ONCE::MERGED_AT_ONCE]
    places = [[0, *np.searchsorted(part.keys, cuts).tolist(), len(part)] for part in parts]
    merged = []
    for i in range(len(cuts) + 1):
        ranges = [slice(place[i], place[i + 1]) for place in places]
        keys = np.concatenate([part.keys[rows] for part, rows in zip(parts, ranges, strict=True)])
        counts = np.concatenate([part.counts[rows] for part, rows in zip(parts, ranges, strict=True)])
        merged.append(_add_up(keys, counts, parts[0].packing, parts[0].order))
    keys, counts = (np.concatenate(column) for column in ([t.keys for t in merged], [t.counts for t in merged]))
    return CountTable(keys, counts, parts[0].packing, parts[0].order)


def _count_densely(blocks: Iterable[Keys], packing: Packing, order: int) -> CountTable:
    cells = np.zeros(1 << (order * packing.bits), dtype=np.int64)
    for block in blocks:
        cells += np.bincount(block, minlength=len(cells))
    keys = np.flatnonzero(cells)
    return CountTable(keys.astype(packing.dtype(order)), cells[keys], packing, order)


def _sorted_parts(blocks: Iterable[Keys], packing: Packing, order: int, threads: int) -> Iterator[CountTable]:
    """Yields parts of the text, each sorted and counted. np.sort releases the GIL: meanwhile the text is read on."""
    blocks = iter(blocks)
    gathered = (np.concatenate(some) for some in iter(lambda: list(islice(blocks, BLOCKS_SORTED_AT_ONCE)), []))
    count = partial(_count_by_sorting, packing=packing, order=order)
    if threads == 1:
        yield from map(count, gathered)
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        pending: deque[Future[CountTable]] = deque()
        for keys in gathered:
            pending.append(pool.submit(count, keys))
            if len(pending) >= threads:
                yield pending.popleft().result()
        yield from (future.result() for future in pending)


def _count_by_sorting(keys: Keys, packing: Packing, order: int) -> CountTable:
    keys.sort()  # in place
    starts = run_starts(keys)
    return CountTable(keys[starts], np.diff(starts, append=len(keys)), packing, order)


def _merged_as_they_come(parts: Iterable[CountTable]) -> list[CountTable]:
    """Merges FAN_IN parts of similar size at a time, so that no n-gram is merged too often; a few parts are left.

    Raises BadInput if the tables to come would not fit in memory.
    """
    waiting: list[CountTable] = []
    levels: list[int] = []  # a part of level n is merged from FAN_IN ** n; they never increase
    for part in parts:
        rows = max(map(len, waiting), default=0) + len(part)  # as if all were different
        what = f"a table of {rows:,} different n-grams, after a part of the text,"
        need = rows * (part.keys.itemsize + 8) * TABLES_AT_ONCE
        refuse_beyond_memory(what, need, "set a lower model.order, or take less text")
        waiting, levels = [*waiting, part], [*levels, 0]
        while levels.count(levels[-1]) == FAN_IN:
            waiting[-FAN_IN:], levels[-FAN_IN:] = [merge(waiting[-FAN_IN:])], [levels[-1] + 1]
    return waiting


def _add_up(keys: Keys, counts: Ids, packing: Packing, order: int) -> CountTable:
    """Adds up the counts of equal keys, in whatever order they come."""
    keys, places = packing.sort(keys, order)
    starts = run_starts(keys)
    sums = np.add.reduceat(counts[places], starts) if len(starts) else counts
    return CountTable(keys[starts], sums, packing, order)


def first_appearance(blocks: Iterable[Block], vocab_size: int) -> Ids:
    """Returns (V,) the rank of each id by its first appearance in a text; the boundary has rank 0."""
    order: dict[int, None] = {BOUNDARY: None}  # a dict keeps the place of a key's first entry
    for block in blocks:
        distinct, at = np.unique(block.ids[block.n_context :], return_index=True)
        order |= dict.fromkeys(distinct[np.argsort(at)].tolist())
        if len(order) == vocab_size:
            break
    rank = np.full(vocab_size, len(order))
    rank[list(order)] = np.arange(len(order))
    return rank


def tables_by_order(counts: CountTable) -> list[CountTable]:
    """Returns the tables of the orders 1, 2, ... up to that of the counts."""
    tables, packing = [], counts.packing
    for k in range(counts.order, 0, -1):
        full = ~packing.is_padded(counts.keys, k)  # a padded n-gram is one of a lower order
        tables.append(CountTable(counts.keys[full], counts.counts[full], packing, k))
        if k > 1:  # c(w) = sum over v of c(v w); a padded n-gram loses a boundary
            counts = _add_up(packing.shorter(counts.keys, k), counts.counts, packing, k - 1)
    return tables[::-1]


def count_stream(stream: Stream, vocab_size: int, order: int) -> list[CountTable]:
    """(N + 1,) ids, of which the first is context only -> the tables of the orders 1 to `order`."""
    return tables_by_order(count_ngrams([Block(stream, 1)], Packing(vocab_size), order))


@dataclass(frozen=True)
class TrainCounts:
    """The counts that a smoothing method is estimated from."""

    occurrences: Sequence[CountTable]  # by order
    appearance: Callable[[], Ids] | None = None  # returns `first_appearance`, for which only KenLM's estimates ask

    @cached_property
    def continuations(self) -> list[CountTable]:
        """The continuation counts of Kneser and Ney (1995), N1+(. w): how many different ids precede an n-gram w.

        The highest order keeps its counts, and so does an n-gram that begins a document, which nothing precedes.
        """
        tables = [self.occurrences[-1]]
        for table, above in zip(self.occurrences[-2::-1], self.occurrences[:0:-1], strict=True):
            once = np.ones(len(above), dtype=np.int64)  # each n-gram v w above is one id v before w
            preceded = _add_up(above.packing.shorter(above.keys, above.order), once, above.packing, table.order)
            counts = table.counts.copy()
            counts[np.searchsorted(table.keys, preceded.keys)] = preceded.counts
            tables.append(CountTable(table.keys, counts, table.packing, table.order))
        return tables[::-1]
