"""Counts against a dictionary, and beyond the numbers that float32 and int32 can hold."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextchar import counts
from nextchar.counts import PairCounts
from nextchar.errors import BadInput
from nextchar.vocabulary import Vocabulary

texts = st.lists(st.text(alphabet="abcde.\u00e9", min_size=1), min_size=1, max_size=30)


def twin(documents):
    """The notes' loop."""
    pairs = Counter()
    for document in documents:
        symbols = [None, *document, None]
        pairs.update(pairwise(symbols))
    return pairs


@pytest.mark.parametrize("dense_cells", [counts.DENSE_CELLS, 0])
@pytest.mark.parametrize("at_once", [1, 3, 1 << 20])
@given(documents=texts)
def test_equal_to_a_dictionary(documents, dense_cells, at_once):
    vocabulary = Vocabulary.of(documents)
    stream = vocabulary.stream(documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "DENSE_CELLS", dense_cells)
        patch.setattr(counts, "COUNTED_AT_ONCE", at_once)
        counted = PairCounts.of(stream, len(vocabulary))
    symbols = [None, *vocabulary.characters]
    named = [(symbols[x], symbols[y]) for x, y in zip(*np.divmod(counted.pairs, len(vocabulary)), strict=True)]
    assert dict(zip(named, counted.counts.tolist(), strict=True)) == dict(twin(documents))
    matrix = counted.matrix()
    assert matrix.dtype == np.int64
    assert (matrix.sum(1) == counted.row_totals).all()
    every = np.arange(len(vocabulary))
    xs, ys = np.repeat(every, len(every)), np.tile(every, len(every))
    assert (counted.look_up(xs, ys) == matrix.ravel()).all()


@pytest.mark.parametrize("size", [2**24, 2**31, 2**53 + 1])
def test_exact_where_floats_and_short_integers_are_not(size):
    counted = PairCounts(2, np.array([0, 1, 2]), np.array([size - 1, 2, 1]))
    assert counted.row_totals.tolist() == [size + 1, 1]
    assert counted.total == size + 2
    assert counted.matrix().tolist() == [[size - 1, 2], [1, 0]]


def test_counts_past_2_to_the_24_one_by_one():
    """Where float32 counting stops: 2^24 + 1 ones."""
    stream = np.zeros(2**24 + 2, dtype=np.int64)
    assert PairCounts.of(stream, 1).counts.tolist() == [2**24 + 1]


def test_a_matrix_that_would_not_fit_is_refused_with_its_size():
    with pytest.raises(BadInput, match=r"1,000,000 x 1,000,000 counts needs about 7,451 GiB"):
        PairCounts(10**6, np.array([0]), np.array([1])).matrix()
