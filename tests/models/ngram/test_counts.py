"""Counts of n-grams against dictionaries, however the text is cut, and beyond the range of float32 and int32."""

from itertools import pairwise

import brute_force as twin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextchar.data.encoded import Block
from nextchar.data.vocabulary import Vocabulary
from nextchar.errors import BadInput
from nextchar.models.ngram import counts
from nextchar.models.ngram import keys as packing
from nextchar.models.ngram.counts import (
    CountTable,
    TrainCounts,
    count_ngrams,
    count_stream,
    merge,
    tables_by_order,
)
from nextchar.models.ngram.keys import Packing

texts = st.lists(st.text(alphabet="abcde.\u00e9", min_size=1), min_size=1, max_size=30)
# keys are bytes counted densely, 16, 32 and 64 bits, and byte strings
orders = st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 13, 21, 22, 30])
sizes = st.sampled_from([7, 30, 255, 256, 300, 70_000, 1_000_000])  # of a vocabulary


def in_blocks(stream, cuts, order):
    """The stream in blocks that end at the cuts, each with the context that an n-gram needs."""
    edges = sorted({1, len(stream), *(1 + cut % (len(stream) - 1) for cut in cuts)})
    for begin, end in pairwise(edges):
        lead = min(begin, max(1, order - 1))
        yield Block(stream[begin - lead : end], lead)


def as_dictionary(table):
    rows = table.packing.unpack(table.keys, table.order).tolist()
    return dict(zip(map(tuple, rows), table.counts.tolist(), strict=True))


def by_brute_force(rows, vocabulary):
    """{ids: count} of a table made by brute force."""
    id_of = {None: 0} | {char: i for i, char in enumerate(vocabulary.characters, 1)}
    return {
        (*(id_of[x] for x in context), id_of[symbol]): n for context, row in rows.items() for symbol, n in row.items()
    }


@settings(max_examples=300)
@given(texts, orders, sizes, st.lists(st.integers(0, 10**6), max_size=5), st.sampled_from([1, 2]), st.integers(1, 64))
def test_equal_to_a_dictionary_however_the_text_is_cut(documents, order, size, cuts, threads, at_once):
    vocabulary = Vocabulary.of(documents)
    stream = vocabulary.stream(documents).astype(np.min_scalar_type(size))
    packing_ = Packing(max(size, len(vocabulary)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PACKED_AT_ONCE", at_once)
        patch.setattr(counts, "BLOCKS_SORTED_AT_ONCE", 3)
        patch.setattr(counts, "MERGED_AT_ONCE", at_once)
        patch.setattr(counts, "FAN_IN", 2)
        ngrams = count_ngrams(in_blocks(stream, cuts, order), packing_, order, threads)
    found = tables_by_order(ngrams)
    raw = twin.raw_tables(documents, order)
    adjusted = twin.continuation_tables(documents, order)
    for table, changed in zip(found, TrainCounts(found).continuations, strict=True):
        assert as_dictionary(table) == by_brute_force(raw[table.order], vocabulary)
        assert as_dictionary(changed) == by_brute_force(adjusted[table.order], vocabulary)
        assert table.counts.dtype == np.int64


@given(texts, st.integers(1, 9), st.lists(st.integers(0, 40), min_size=1, max_size=3))
def test_blocks_counted_apart_and_merged_give_the_same_bits(documents, order, cuts):
    stream, packing_ = Vocabulary.of(documents).stream(documents), Packing(len(Vocabulary.of(documents)))
    whole = count_ngrams([Block(stream, 1)], packing_, order)
    merged = merge([count_ngrams([block], packing_, order) for block in in_blocks(stream, cuts, order)])
    assert whole.keys.tobytes() == merged.keys.tobytes()
    assert whole.keys.dtype == merged.keys.dtype
    assert whole.counts.tobytes() == merged.counts.tobytes()


@given(texts, st.integers(1, 6))
def test_sums_over_contexts(documents, order):
    """N(h) = sum over c of N(h c), and n1, n2, n3+ of each context."""
    vocabulary = Vocabulary.of(documents)
    for table in count_stream(vocabulary.stream(documents), len(vocabulary), order):
        raw = twin.raw_tables(documents, order)[table.order]
        rows = of_contexts(raw, vocabulary)
        found = table.packing.unpack(table.contexts.keys, table.order - 1).tolist()
        kinds = np.column_stack([table.contexts.totals, table.contexts.types]).tolist()
        assert dict(zip(map(tuple, found), map(tuple, kinds), strict=True)) == rows
        assert table.counts_of_counts == [twin.counts_of_counts(raw)[i] for i in (1, 2, 3, 4)]


def of_contexts(raw, vocabulary):
    """{ids: (C, n1, n2, n3+)} of a table made by brute force."""
    id_of, found = {None: 0} | {char: i for i, char in enumerate(vocabulary.characters, 1)}, {}
    for context, row in raw.items():
        ones, twos = (sum(n == kind for n in row.values()) for kind in (1, 2))
        found[tuple(id_of[x] for x in context)] = (row.total(), ones, twos, len(row) - ones - twos)
    return found


@given(texts)
def test_matrix_of_bigrams(documents):
    vocabulary = Vocabulary.of(documents)
    _, pairs = count_stream(vocabulary.stream(documents), len(vocabulary), 2)
    shown = np.arange(0, len(vocabulary), 2)
    found = as_dictionary(pairs)
    assert pairs.matrix(shown).tolist() == [[found.get((x, y), 0) for y in shown] for x in shown]


@pytest.mark.parametrize("size", [2**24, 2**31, 2**53 + 1])
def test_exact_beyond_float32_float64_and_int32(size):
    top = CountTable(np.array([0, 1, 2], np.uint8), np.array([size - 1, 2, 1]), Packing(2), 2)
    unigrams, pairs = tables_by_order(merge([top, top]))
    assert pairs.matrix(np.arange(2)).tolist() == [[2 * size - 2, 4], [2, 0]]
    assert unigrams.counts.tolist() == [2 * size, 4]
    assert pairs.total == 2 * size + 4
    assert pairs.contexts.totals.tolist() == [2 * size + 2, 2]


@pytest.mark.parametrize("order", [2, 40])
def test_counts_past_2_to_the_24_one_by_one(order):
    """Counting in float32 stops there: 2^24 + 1 ones, counted densely and as sorted keys."""
    stream = np.zeros(2**24 + 2, dtype=np.uint8)
    assert count_ngrams([Block(stream, 1)], Packing(1), order).counts.tolist() == [2**24 + 1]


def test_a_matrix_beyond_memory_is_refused_with_its_size():
    *_, pairs = tables_by_order(CountTable(np.array([5], np.uint64), np.array([1]), Packing(10**6), 2))
    with pytest.raises(BadInput, match=r"1,000,000 x 1,000,000 counts needs about 7,451 GiB"):
        pairs.matrix(np.arange(10**6))


def test_counts_beyond_memory_are_refused_as_they_grow(monkeypatch):
    """Before memory is taken, with the number of n-grams so far and a remedy."""
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 10}  # a machine of 40 KiB
    monkeypatch.setattr("os.sysconf", pages.__getitem__)
    monkeypatch.setattr(counts, "BLOCKS_SORTED_AT_ONCE", 1)
    monkeypatch.setattr(packing, "PACKED_AT_ONCE", 1 << 9)
    stream = np.random.default_rng(0).integers(1, 100, 10_000).astype(np.uint8)
    with pytest.raises(BadInput, match="a table of 512 different n-grams, after a part of the text, needs"):
        count_ngrams([Block(stream, 1)], Packing(100), 6)
