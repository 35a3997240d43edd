"""Counted models in one line, for the tests."""

from collections.abc import Sequence

import numpy as np

from nextchar.config.model_settings import Count
from nextchar.config.smoothing_settings import AddK, NoSmoothing, Smoothing
from nextchar.data.encoded import Block
from nextchar.data.vocabulary import Ids, Stream, Vocabulary
from nextchar.models.ngram import estimation as fitting
from nextchar.models.ngram.counts import Counted, count, first_seen, of_stream, tables
from nextchar.models.ngram.keys import Packing
from nextchar.models.ngram.model import CountModel


def add_k(k: float) -> Smoothing:
    return AddK(name="add_k", k=k, tune=False) if k else NoSmoothing(name="none")


ADD_ONE = add_k(1)


def windows(vocabulary: Vocabulary, documents: Sequence[str], order: int) -> Counted:
    return count([Block(vocabulary.stream(documents), 1)], Packing(len(vocabulary)), order)


def counted(
    documents: Sequence[str],
    order: int = 2,
    smoothing: Smoothing = ADD_ONE,
    val: Sequence[str] = (),
    prune: Sequence[int] = (),
) -> CountModel:
    """The model that these documents and settings make."""
    vocabulary = Vocabulary.of(documents)
    raw = tables(windows(vocabulary, documents, order))
    held_out = windows(vocabulary, val, order) if val else None
    tables_, method = fitting.fit(
        smoothing, raw, held_out, first_seen([Block(vocabulary.stream(documents), 1)], len(vocabulary))
    )
    pruned = fitting.pruned(tables_, raw, Count(name="count", order=order, prune=list(prune), prune_entropy=None))
    return CountModel(vocabulary, pruned, method)


def bigram_of(vocabulary: Vocabulary, matrix: np.ndarray, k: float = 0) -> CountModel:
    """The bigram of a (V, V) table of counts."""
    packing = Packing(len(vocabulary))
    found = np.argwhere(matrix)
    top = Counted(packing.pack(found), matrix[tuple(found.T)], packing, 2)
    return CountModel(vocabulary, *fitting.fit(add_k(k), tables(top), None))


def pairs(stream: Stream, vocab_size: int) -> Ids:
    """How often each id is followed by each: (V, V)."""
    return of_stream(stream, vocab_size, 2)[1].matrix(np.arange(vocab_size))
