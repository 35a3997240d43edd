"""Sampling documents from any model: one uniform random number a character, mapped to an id by the inverse CDF.

A uniform u in [0, 1) picks the first id whose cumulative probability exceeds u. All sums are float64, and the numbers
come from streams that no library version changes (rng.py), so the same model and seed give the same text everywhere.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, count, islice

import numpy as np

from nextchar.data.vocabulary import BOUNDARY, Ids
from nextchar.errors import BadInput
from nextchar.models.base import Floats, LanguageModel, Mask, context_numbers, every_context
from nextchar.models.ngram.keys import Packing, find
from nextchar.rng import TorchStream, document_uniform

BATCH, FIRST_BATCH = 1 << 14, 64  # documents drawn side by side; at first, where their number is unknown
BATCH_OF_STATES = 1 << 10  # documents drawn side by side by a model that keeps a state of each
TABLE_CELLS = 1 << 15  # (contexts, V): up to here batches take the distributions of all contexts from a table
CACHE_CELLS = 1 << 22  # (contexts, V): of the distributions that are kept for the next time
MOST_REPEATED = 10_000  # documents of the training set in a row, after which a model is taken to give no new ones


@dataclass(frozen=True)
class Decoding:
    """How a distribution is changed before a character is drawn: temperature, then top-k, then top-p."""

    temperature: float = 1
    top_k: int | None = None
    top_p: float | None = None

    def probabilities(self, log_probs: Floats) -> Floats:
        """(N, V) log-probabilities -> (N, V) float64 that sum to 1.

        temperature t: p^(1/t) normalised, 0 picks the most probable id; top_k (Fan et al. 2018): the k most probable
        ids; top_p (nucleus sampling, Holtzman et al. 2020): the smallest set of the most probable ids that holds a
        probability of p. Ties go to the lower id.
        """
        if self.temperature == 0:
            greedy: Floats = np.eye(log_probs.shape[1])[log_probs.argmax(1)]
            return greedy
        scaled = log_probs / self.temperature
        probs: Floats = np.exp(scaled - scaled.max(1, keepdims=True))
        probs /= probs.sum(1, keepdims=True)
        if self.top_k is None and self.top_p is None:
            return probs
        order = np.argsort(-probs, axis=1, kind="stable")
        ranked = np.take_along_axis(probs, order, axis=1)
        if self.top_k is not None:
            ranked[:, self.top_k :] = 0
            ranked /= ranked.sum(1, keepdims=True)
        if self.top_p is not None:
            before = np.cumsum(ranked, axis=1) - ranked
            ranked[before >= self.top_p] = 0
        np.put_along_axis(probs, order, ranked / ranked.sum(1, keepdims=True), axis=1)
        return probs


def sample(
    model: LanguageModel,
    n: int | None,
    seed: int,
    prefix: str = "",
    decoding: Decoding = Decoding(),
    max_chars: int = 1000,
    batched: bool = False,
) -> Iterator[str]:
    """Draws n documents, each beginning with `prefix` and of at most `max_chars` characters; endlessly where n is None.

    By default one random stream runs through the documents in order, as in the lecture: the first 5 of 1,000 are those
    of n=5. `batched` draws many documents side by side, each from a random stream of its own: faster, other documents,
    and again the same ones for every n. Raises BadInput where the vocabulary lacks a character of the prefix.
    """
    start = model.vocabulary.known(prefix, f"prefix={prefix}")
    if batched:
        return _in_batches(model, decoding, n, seed, start, max_chars)
    return islice(_one_by_one(model, decoding, seed, start.tolist(), max_chars), n)


class NovelOnly:
    """Iterates over the texts that are not in the training set, in their order; `skipped` counts the others.

    training_hashes (D,): the `hash` of each document. A new text collides with one of them in D of 2^64 cases.
    Raises BadInput after 10,000 texts in a row that are in the training set.
    """

    def __init__(self, texts: Iterable[str], training_hashes: Ids) -> None:
        self._texts, self._hashes, self.skipped = texts, np.unique(training_hashes), 0

    def __iter__(self) -> Iterator[str]:
        in_a_row = 0
        for text in self._texts:
            place = int(self._hashes.searchsorted(hash(text)))
            if place == len(self._hashes) or self._hashes[place] != hash(text):
                in_a_row = 0
                yield text
                continue
            self.skipped, in_a_row = self.skipped + 1, in_a_row + 1
            if in_a_row == MOST_REPEATED:
                remedy = "a higher temperature or a model of lower order gives new ones"
                raise BadInput(f"novel=true: {MOST_REPEATED:,} documents in a row are in the training set; {remedy}")


def _cumulative(decoding: Decoding, log_probs: Floats) -> Floats:
    """(N, V) log-probabilities -> (N, V) cumulative probabilities, changed by the decoding."""
    cumulative: Floats = np.cumsum(decoding.probabilities(log_probs), axis=1)
    # Rounding may leave the last sum below 1. From the last id with a probability on it is set to 1, so that no u
    # draws an id of probability 0 or one beyond V.
    cumulative[cumulative >= cumulative[:, -1:]] = 1
    return cumulative


def _one_by_one(model: LanguageModel, decoding: Decoding, seed: int, start: list[int], max_chars: int) -> Iterator[str]:
    @lru_cache(CACHE_CELLS // len(model.vocabulary))
    def distribution(*context: int) -> Floats:
        row: Floats = _cumulative(decoding, model.log_probs(np.array([context])))[0]
        return row

    has_state, kept = model.new_state(0) is not None, np.array([True])
    stream = TorchStream(seed)  # of 256 numbers at a time, since a call costs more than a number
    uniforms = chain.from_iterable(stream.uniform(256).tolist() for _ in count())
    while True:
        ids = [BOUNDARY] * model.context + start
        reader = _States(model, decoding, 1, start) if has_state else None
        while len(ids) < model.context + max(max_chars, len(start)):
            cumulative = reader.cumulative()[0] if reader else distribution(*ids[-model.context :])
            ids.append(int(np.searchsorted(cumulative, next(uniforms), side="right")))
            if ids[-1] == BOUNDARY:
                break
            if reader:
                reader.append(np.array(ids[-1:]), kept)
        yield model.vocabulary.decode(ids)


def _in_batches(
    model: LanguageModel, decoding: Decoding, n: int | None, seed: int, start: Ids, max_chars: int
) -> Iterator[str]:
    has_state, first = model.new_state(0) is not None, 0
    distributions, largest = (None, BATCH_OF_STATES) if has_state else (_Distributions(model, decoding), BATCH)
    while n is None or first < n:
        size = min(largest, n - first if n is not None else max(first, FIRST_BATCH))
        reader = _Contexts(distributions, size, start) if distributions else _States(model, decoding, size, start)
        table = _batch(reader, np.arange(first, first + size), seed, start, max_chars)
        text, ends = model.vocabulary.decode(table.ravel()), np.cumsum((table != BOUNDARY).sum(1)).tolist()
        yield from [text[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        first += size


def _batch(reader: "_Contexts | _States", numbers: Ids, seed: int, start: Ids, max_chars: int) -> Ids:
    """The documents of these numbers, (B, T) ids: one column is drawn at a time until all documents have ended."""
    alive = np.arange(len(numbers))  # the rows of the documents that have not ended
    columns = [np.full(len(numbers), id_) for id_ in start]
    for step in range(max(max_chars - len(start), 0)):
        uniform = document_uniform(seed, numbers[alive], step)
        ids = (reader.cumulative() <= uniform[:, None]).sum(1)  # inverse CDF: the first sum above u
        columns.append(np.full(len(numbers), BOUNDARY))
        columns[-1][alive] = ids
        unfinished = ids != BOUNDARY
        alive = alive[unfinished]
        if not len(alive):
            break
        reader.append(ids[unfinished], unfinished)
    return np.stack(columns, axis=1) if columns else np.zeros((len(numbers), 0), dtype=np.int64)


class _Contexts:
    """Reads B documents side by side by their contexts, (B, context)."""

    def __init__(self, distributions: "_Distributions", rows: int, start: Ids) -> None:
        context = distributions.model.context
        tail = start[-context:]
        self.distributions = distributions
        self.contexts = np.full((rows, context), BOUNDARY)
        self.contexts[:, context - len(tail) :] = tail

    def cumulative(self) -> Floats:
        """Returns the cumulative probabilities of the next id, (B, V)."""
        return self.distributions.of(self.contexts)

    def append(self, ids: Ids, kept: Mask) -> None:
        """Reads the next id of each document of the mask `kept`, (B,), and forgets the others."""
        self.contexts = np.concatenate([self.contexts[kept, 1:], ids[:, None]], axis=1)


class _States:
    """Reads B documents side by side with a model that keeps a state; as `_Contexts` does."""

    def __init__(self, model: LanguageModel, decoding: Decoding, rows: int, start: Ids | list[int]) -> None:
        state = model.new_state(rows)
        assert state is not None
        self.state, self.decoding, self.new = state, decoding, np.tile([BOUNDARY, *start], (rows, 1))

    def cumulative(self) -> Floats:
        return _cumulative(self.decoding, self.state.read(self.new))

    def append(self, ids: Ids, kept: Mask) -> None:
        self.state.keep(kept)
        self.new = ids[:, None]


class _Distributions:
    """The cumulative distributions of contexts: of all of them in a table where these are few, else in a cache.

    The cache: `_keys` (M,) packed contexts, ascending; `_row_of` (M,) the row of `_rows` that holds each one's.
    """

    def __init__(self, model: LanguageModel, decoding: Decoding) -> None:
        self.model, self.decoding, v = model, decoding, len(model.vocabulary)
        self._packing = Packing(v)
        is_small = v ** (model.context + 1) <= TABLE_CELLS
        self._table = _cumulative(decoding, model.log_probs(every_context(v, model.context))) if is_small else None
        self._rows: Floats = np.empty((CACHE_CELLS // v, v))
        self._nothing = np.zeros(0, self._packing.dtype(model.context)), np.zeros(0, dtype=np.int64)
        self._keys, self._row_of = self._nothing

    def of(self, contexts: Ids) -> Floats:
        """(N, context) -> (N, V)."""
        if self._table is not None:
            found: Floats = self._table[context_numbers(contexts, len(self.model.vocabulary))]
            return found
        keys, of_key = np.unique(self._packing.pack(contexts), return_inverse=True)
        if len(keys) > len(self._rows):
            return _cumulative(self.decoding, self.model.log_probs(contexts))
        if len(self._keys) + len(keys) > len(self._rows):  # full: it begins again
            self._keys, self._row_of = self._nothing
        place, is_known = find(self._keys, keys)
        if not is_known.all():
            new, n = keys[~is_known], len(self._keys)
            contexts, at = self._packing.unpack(new, self.model.context), np.searchsorted(self._keys, new)
            self._rows[n : n + len(new)] = _cumulative(self.decoding, self.model.log_probs(contexts))
            self._keys = np.insert(self._keys, at, new)
            self._row_of = np.insert(self._row_of, at, np.arange(n, n + len(new)))
            place = np.searchsorted(self._keys, keys)
        found = self._rows[self._row_of[place[of_key]]]
        return found
