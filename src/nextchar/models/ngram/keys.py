"""N-grams as keys: k symbol ids packed in one sortable number, the oldest id in the highest bits.

A 5-gram of 27 symbols takes 5 x 5 bits and fits in a uint32. Where 64 bits are too few, a key is a byte string. Sorted
keys have the order of their ids, so the n-grams of one context are neighbours.

The n-gram of a predicted id is that id and the k - 1 ids before it. Near the start of its document there are fewer than
that: boundaries fill the rest, and the n-gram is called padded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nextchar.data.vocabulary import BOUNDARY, Ids, Stream

Keys = npt.NDArray[Any]  # unsigned integers, or byte strings of one length; both sort as the ids do
Bools = npt.NDArray[np.bool_]

PACKED_AT_ONCE = 1 << 17  # n-grams; the intermediate arrays of so many fit in the processor's cache


@dataclass(frozen=True)
class Packing:
    """Packs and unpacks the n-grams of a vocabulary of `vocab_size` ids."""

    vocab_size: int

    @cached_property
    def bits(self) -> int:
        return max(1, (self.vocab_size - 1).bit_length())  # of one id in a number

    @cached_property
    def width(self) -> int:
        return 1 << max(0, (-(-self.bits // 8) - 1).bit_length())  # bytes of one id in a byte string: 1, 2 or 4

    def is_wide(self, k: int) -> bool:
        """Whether k ids need more than 64 bits."""
        return k * self.bits > 64

    def dtype(self, k: int) -> np.dtype[Any]:
        """Returns the dtype of keys of k ids: the narrowest unsigned integer that holds them, else a byte string."""
        if self.is_wide(k):
            return np.dtype(f"S{k * self.width}")
        return np.min_scalar_type((1 << (k * self.bits)) - 1)

    # --- from ids to keys and back ----------------------------------------------------------------------------------

    def ngrams(self, ids: Stream, n_context: int, k: int) -> Iterator[Keys]:
        """Yields the keys of the N n-grams of k ids, block by block.

        `ids` (n_context + N,): the first `n_context` are context only, the others are predicted. If there are fewer
        than k - 1 of the former, the document begins with them.
        """
        missing = max(0, k - 1 - n_context)
        if missing:
            ids = np.concatenate([np.full(missing, BOUNDARY, dtype=ids.dtype), ids])
        ids = ids[n_context + missing - (k - 1) :]
        for start in range(0, len(ids) - (k - 1), PACKED_AT_ONCE):
            block = ids[start : start + PACKED_AT_ONCE + k - 1]
            yield self._ngrams_as_bytes(block, k) if self.is_wide(k) else self._ngrams_as_numbers(block, k)

    def _ngrams_as_numbers(self, ids: Stream, k: int) -> Keys:
        """Doubles: keys of 1, 2, 4, ... ids, each made of two of half its length; k is put together from its bits."""
        n, done, keys = len(ids) - k + 1, 0, None
        power, length = ids.astype(self.dtype(1), copy=False), 1  # `power`: the keys of `length` ids
        while True:
            if k & length:  # these ids stand in front of the last `done`, whose keys are ready
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

    def _ngrams_as_bytes(self, ids: Stream, k: int) -> Keys:
        table = np.lib.stride_tricks.sliding_window_view(ids, k).astype(self._big_endian)
        for distance, at in _behind_boundaries(ids, k):
            table[at, : k - distance] = BOUNDARY
        return self.pack(table)

    def pack(self, ids: npt.NDArray[Any]) -> Keys:
        """(N, k) ids -> (N,) keys."""
        k = ids.shape[1]
        if self.is_wide(k):
            return np.ascontiguousarray(ids, dtype=self._big_endian).view(self.dtype(k)).ravel()
        keys = np.zeros(len(ids), dtype=np.uint64)
        for column in ids.T:
            keys = keys << self.bits | column.astype(np.uint64)
        return keys.astype(self.dtype(k))

    def unpack(self, keys: Keys, k: int) -> Ids:
        """(N,) keys of k ids -> (N, k) ids."""
        if self.is_wide(k):
            return self._ids(keys, k).astype(np.int64)
        shifts = np.arange(k - 1, -1, -1, dtype=np.uint64) * np.uint64(self.bits)  # (k,), the oldest id first
        return (keys.astype(np.uint64)[:, None] >> shifts & np.uint64((1 << self.bits) - 1)).astype(np.int64)

    # --- from keys to keys ------------------------------------------------------------------------------------------

    def context(self, keys: Keys, k: int) -> Keys:
        """Drops the newest id, which leaves the context that it is predicted from. Sorted keys stay sorted."""
        if self.is_wide(k):
            return self.pack(self._ids(keys, k)[:, :-1])
        return (keys >> self.bits).astype(self.dtype(k - 1))

    def shorter(self, keys: Keys, k: int) -> Keys:
        """Drops the oldest id, which leaves the n-gram of the order below."""
        if self.is_wide(k):
            return self.pack(self._ids(keys, k)[:, 1:])
        return (keys & ((1 << ((k - 1) * self.bits)) - 1)).astype(self.dtype(k - 1))

    def newest(self, keys: Keys, k: int) -> Ids:
        """Returns the predicted ids, (N,)."""
        if self.is_wide(k):
            return self._ids(keys, k)[:, -1].astype(np.int64)
        return (keys & ((1 << self.bits) - 1)).astype(np.int64)

    def extended(self, contexts: Keys, k: int, ids: Ids) -> Keys:
        """Appends (N,) ids to keys of k - 1 ids: the inverse of `context` and `newest`."""
        if self.is_wide(k):
            return self.pack(np.column_stack([self.unpack(contexts, k - 1), ids]))
        dtype = self.dtype(k)
        keys: Keys = contexts.astype(dtype) << self.bits | ids.astype(dtype)
        return keys

    def all_extended(self, contexts: Keys, k: int) -> Keys:
        """(G,) contexts of k - 1 ids -> (G * V,) keys: each context with each of the V ids appended."""
        ids = np.arange(self.vocab_size)
        return self.extended(np.repeat(contexts, len(ids)), k, np.tile(ids, len(contexts)))

    def is_padded(self, keys: Keys, k: int) -> Bools:
        """Whether the document begins inside the n-gram, which makes it one of a lower order."""
        if k < 3:
            return np.zeros(len(keys), dtype=bool)
        oldest = self._ids(keys, k)[:, :2] if self.is_wide(k) else (keys >> ((k - 2) * self.bits))[:, None]
        padded: Bools = (oldest == BOUNDARY).all(1)  # one boundary opens the document, the other is before it
        return padded

    def sort(self, keys: Keys, k: int) -> tuple[Keys, Ids]:
        """Returns the keys of k ids sorted, and the place of each before; equal keys in any order.

        Where 64 bits hold the key and its place, both are sorted as one number, in half the time of np.argsort.
        """
        place_bits = max(len(keys) - 1, 1).bit_length()
        if k * self.bits + place_bits > 64:
            places = np.argsort(keys)
            return keys[places], places
        both = keys.astype(np.uint64) << place_bits | np.arange(len(keys), dtype=np.uint64)
        both.sort()
        return (both >> place_bits).astype(keys.dtype), (both & ((1 << place_bits) - 1)).astype(np.int64)

    def distinct(self, keys: Keys, k: int) -> tuple[Keys, Ids]:
        """Returns the distinct keys of k ids, ascending, and for each key the index of its distinct key."""
        if (keys[1:] > keys[:-1]).all():
            return keys, np.arange(len(keys))
        ordered, places = self.sort(keys, k)
        starts = run_starts(ordered)
        index = np.empty(len(keys), dtype=np.int64)  # the number of each key's run, carried back to its place
        index[places] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(keys)))
        return ordered[starts], index

    def distinct_ngrams(self, stream: Stream, k: int) -> tuple[Keys, Ids]:
        """Does the same for the N n-grams of k ids of a stream, (N + 1,) ids of which the first is context only."""
        blocks = list(self.ngrams(stream, 1, k))
        return self.distinct(np.concatenate(blocks) if blocks else np.zeros(0, self.dtype(k)), k)

    # --- byte strings -----------------------------------------------------------------------------------------------

    @property
    def _big_endian(self) -> np.dtype[Any]:
        return np.dtype(f">u{self.width}")  # so that byte strings sort as their ids do

    def _ids(self, keys: Keys, k: int) -> npt.NDArray[Any]:
        return np.ascontiguousarray(keys).view(self._big_endian).reshape(len(keys), k)


def _behind_boundaries(ids: Stream, k: int) -> Iterator[tuple[int, Ids]]:
    """For each distance of 1 to k - 2, yields which n-grams of k ids end so far behind a boundary in their context."""
    if k < 3:
        return
    boundaries = np.flatnonzero(ids[1:-1] == BOUNDARY) + 1
    for distance in range(1, k - 1):
        at = boundaries + distance - (k - 1)
        yield distance, at[(at >= 0) & (at < len(ids) - k + 1)]


def run_starts(keys: Keys) -> Ids:
    """Returns where the runs of equal keys begin."""
    if not len(keys):
        return np.zeros(0, dtype=np.int64)
    return np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])


def find(keys: Keys, wanted: Keys) -> tuple[Ids, Bools]:
    """Returns the place of each wanted key among the sorted keys, and whether it is there."""
    place = np.searchsorted(keys, wanted)
    if not len(keys):
        return place, np.zeros(len(wanted), dtype=bool)
    np.minimum(place, len(keys) - 1, out=place)  # a key beyond the last is compared with the last
    return place, keys[place] == wanted


def look_up(keys: Keys, values: npt.NDArray[Any], wanted: Keys, otherwise: float) -> npt.NDArray[Any]:
    """Returns the value of each wanted key, or `otherwise` for those that are not among the sorted keys."""
    if not len(keys):
        return np.full((len(wanted), *values.shape[1:]), otherwise, dtype=values.dtype)
    place, is_there = find(keys, wanted)
    found = values[place]
    found[~is_there] = otherwise
    return found
