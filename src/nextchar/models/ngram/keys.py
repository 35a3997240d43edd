"""Windows of ids as keys: k symbols in one sortable number, the oldest in front, or in bytes where 64 bits are too few.

A window is a predicted id and what it is predicted from, cut at the start of its document: beyond the boundary that
opens the document stand boundaries only. Sorted, the windows of one context lie side by side.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nextchar.data.vocabulary import BOUNDARY, Ids, Stream

Keys = npt.NDArray[Any]  # of unsigned integers, or of byte strings of one length; both sort as the ids do

PACKED_AT_ONCE = 1 << 17  # windows; what is computed on the way stays in the cache


@dataclass(frozen=True)
class Packing:
    """Keys for the windows of a vocabulary of `vocab_size` ids."""

    vocab_size: int

    @cached_property
    def bits(self) -> int:
        """Of an id in a number."""
        return max(1, (self.vocab_size - 1).bit_length())

    @cached_property
    def width(self) -> int:
        """Bytes of an id in a byte string."""
        return 1 << max(0, (-(-self.bits // 8) - 1).bit_length())

    def dtype(self, k: int) -> np.dtype[Any]:
        """Of the keys of k symbols: the narrowest unsigned number that holds them, else a byte string."""
        if k * self.bits > 64:
            return np.dtype(f"S{k * self.width}")
        return np.min_scalar_type((1 << (k * self.bits)) - 1)

    def is_wide(self, k: int) -> bool:
        """Whether 64 bits are too few for k symbols."""
        return k * self.bits > 64

    # --- from ids and back ------------------------------------------------------------------------------------------

    def windows(self, ids: Stream, lead: int, k: int) -> Iterator[Keys]:
        """(lead + N,) ids of which the first `lead` are context only -> the (N,) keys of k symbols, block by block.

        Where fewer than k - 1 ids stand in front, the document begins with them.
        """
        short = max(0, k - 1 - lead)
        if short:
            ids = np.concatenate([np.full(short, BOUNDARY, dtype=ids.dtype), ids])
        ids = ids[lead + short - (k - 1) :]
        for start in range(0, len(ids) - (k - 1), PACKED_AT_ONCE):
            block = ids[start : start + PACKED_AT_ONCE + k - 1]
            yield self._wide(block, k) if self.is_wide(k) else self._narrow(block, k)

    def _narrow(self, ids: Stream, k: int) -> Keys:
        """Doubling: keys of 1, 2, 4, ... symbols, each made of two of the half length; the highest bit of k last."""
        n, done, keys = len(ids) - k + 1, 0, None
        power, length = ids.astype(self.dtype(1), copy=False), 1
        while True:
            if k & length:  # these symbols stand behind those yet to come: keys of the last `done` ids are ready
                tail = power[k - done - length :][:n]
                keys = tail if keys is None else tail.astype(self.dtype(done + length)) << (done * self.bits) | keys
                done += length
            if done == k:
                break
            wider = power.astype(self.dtype(2 * length))
            power = wider[:-length] << (length * self.bits) | wider[length:]
            length *= 2
        assert keys is not None
        keys = keys.astype(self.dtype(k))
        for distance, at in _behind_boundaries(ids, k):
            keys[at] &= (1 << (distance * self.bits)) - 1
        return keys

    def _wide(self, ids: Stream, k: int) -> Keys:
        table = np.lib.stride_tricks.sliding_window_view(ids, k).astype(self._big_endian)
        for distance, at in _behind_boundaries(ids, k):
            table[at, : k - distance] = BOUNDARY
        return self._as_bytes(table)

    def pack(self, symbols: Ids) -> Keys:
        """(N, k) ids -> (N,) keys."""
        k = symbols.shape[1]
        if self.is_wide(k):
            return self._as_bytes(symbols.astype(self._big_endian))
        keys = np.zeros(len(symbols), dtype=np.uint64)
        for column in symbols.T:
            keys = keys << self.bits | column.astype(np.uint64)
        return keys.astype(self.dtype(k))

    def unpack(self, keys: Keys, k: int) -> Ids:
        """(N,) keys of k symbols -> (N, k) ids."""
        if self.is_wide(k):
            return self._symbols(keys, k).astype(np.int64)
        shifts = np.arange(k - 1, -1, -1, dtype=np.uint64) * np.uint64(self.bits)
        return (keys.astype(np.uint64)[:, None] >> shifts & np.uint64((1 << self.bits) - 1)).astype(np.int64)

    # --- from key to key --------------------------------------------------------------------------------------------

    def context(self, keys: Keys, k: int) -> Keys:
        """Without the newest symbol: what it is predicted from. Sorted keys stay sorted."""
        if self.is_wide(k):
            return self._of_symbols(self._symbols(keys, k)[:, :-1])
        return (keys >> self.bits).astype(self.dtype(k - 1))

    def shorter(self, keys: Keys, k: int) -> Keys:
        """Without the oldest symbol: the window of the order below."""
        if self.is_wide(k):
            return self._of_symbols(self._symbols(keys, k)[:, 1:])
        return (keys & ((1 << ((k - 1) * self.bits)) - 1)).astype(self.dtype(k - 1))

    def newest(self, keys: Keys, k: int) -> Ids:
        """The predicted ids, (N,)."""
        if self.is_wide(k):
            return self._symbols(keys, k)[:, -1].astype(np.int64)
        return (keys & ((1 << self.bits) - 1)).astype(np.int64)

    def followed(self, contexts: Keys, k: int, ids: Ids) -> Keys:
        """Keys of k - 1 symbols and (N,) ids -> keys of k symbols."""
        if self.is_wide(k):
            return self.pack(np.column_stack([self.unpack(contexts, k - 1), ids]))
        kind = self.dtype(k)
        keys: Keys = contexts.astype(kind) << self.bits | ids.astype(kind)
        return keys

    def is_cut(self, keys: Keys, k: int) -> npt.NDArray[np.bool_]:
        """Whether the document begins later than the window, which then is one of an order below."""
        if k < 3:
            return np.zeros(len(keys), dtype=bool)
        oldest = self._symbols(keys, k)[:, :2] if self.is_wide(k) else (keys >> ((k - 2) * self.bits))[:, None]
        cut: npt.NDArray[np.bool_] = (oldest == BOUNDARY).all(1)
        return cut

    def ordered(self, keys: Keys, k: int) -> tuple[Keys, Ids]:
        """The keys of k symbols sorted, and where each stood; of equal ones in any order.

        Where a key leaves room for it its place is sorted along with it, which takes half of what np.argsort does.
        """
        room = max(len(keys) - 1, 1).bit_length()
        if k * self.bits + room > 64:
            order = np.argsort(keys)
            return keys[order], order
        both = keys.astype(np.uint64) << room | np.arange(len(keys), dtype=np.uint64)
        both.sort()
        return (both >> room).astype(keys.dtype), (both & ((1 << room) - 1)).astype(np.int64)

    # --- byte strings -----------------------------------------------------------------------------------------------

    @property
    def _big_endian(self) -> np.dtype[Any]:
        return np.dtype(f">u{self.width}")

    def _as_bytes(self, table: npt.NDArray[Any]) -> Keys:
        return np.ascontiguousarray(table).view(f"S{table.shape[1] * self.width}").ravel()

    def _symbols(self, keys: Keys, k: int) -> npt.NDArray[Any]:
        return np.ascontiguousarray(keys).view(self._big_endian).reshape(len(keys), k)

    def _of_symbols(self, table: npt.NDArray[Any]) -> Keys:
        return self._as_bytes(table) if self.is_wide(table.shape[1]) else self.pack(table.astype(np.int64))


def _behind_boundaries(ids: Stream, k: int) -> Iterator[tuple[int, Ids]]:
    """How far behind a boundary in their context some of the windows of k ids end, and which, for all of 1 to k - 2."""
    if k < 3:
        return
    boundaries = np.flatnonzero(ids[1:-1] == BOUNDARY) + 1
    for distance in range(1, k - 1):
        at = boundaries + distance - (k - 1)
        yield distance, at[(at >= 0) & (at < len(ids) - k + 1)]
