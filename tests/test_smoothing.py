"""Smoothed probabilities: they sum to one, follow their equation, and equal closed forms."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextchar import metrics
from nextchar.counts import PairCounts
from nextchar.smoothing import Additive, CountModel
from nextchar.splits import Part
from nextchar.vocabulary import Vocabulary

texts = st.lists(st.text(alphabet="abcd", min_size=1), min_size=1, max_size=20)
ks = st.sampled_from([0, 1e-9, 0.01, 0.5, 1, 7, 1e6])


def model_of(documents, k):
    vocabulary = Vocabulary.of(documents)
    return CountModel(vocabulary, PairCounts.of(vocabulary.stream(documents), len(vocabulary)), Additive(k))


def every_context(model):
    return np.arange(len(model.vocabulary))[:, None]


@given(texts, ks)
def test_every_context_sums_to_one(documents, k):
    sums = np.exp(model_of(documents, k).log_probs(every_context(model_of(documents, k)))).sum(1)
    assert np.abs(sums - 1).max() <= 1e-12


@given(texts, st.sampled_from([0, 0.5, 1, 3]))
def test_equal_to_fractions(documents, k):
    """The equation in exact arithmetic: (c + k) / (n + k V)."""
    model = model_of(documents, k)
    matrix, v = model.counts.matrix(), len(model.vocabulary)
    probabilities = np.exp(model.log_probs(every_context(model)))
    for x in range(v):
        for y in range(v):
            mass = Fraction(int(matrix[x].sum())) + Fraction(k) * v
            exact = (Fraction(int(matrix[x, y])) + Fraction(k)) / mass if mass else Fraction(1, v)
            assert probabilities[x, y] == pytest.approx(float(exact), rel=1e-12)


@given(texts, ks)
def test_score_looks_up_what_log_probs_holds(documents, k):
    model = model_of(documents, k)
    stream = model.vocabulary.stream(documents)
    assert model.score(stream) == pytest.approx(
        model.log_probs(stream[:-1, None])[np.arange(len(stream) - 1), stream[1:]]
    )


def test_an_unseen_context_is_uniform():
    counts = PairCounts(3, np.array([1]), np.array([5]))  # only 0 -> 1 was seen
    for k in (0, 2):
        probabilities = np.exp(CountModel(Vocabulary("ab"), counts, Additive(k)).log_probs(np.array([[2]])))
        assert probabilities == pytest.approx(np.full((1, 3), 1 / 3))


def test_much_smoothing_tends_to_uniform():
    model = model_of(["emma", "olivia"], 1e12)
    assert metrics.loss(model, Part.of(model.vocabulary, ["emma"]), is_text=False).value == pytest.approx(
        math.log(len(model.vocabulary)), abs=1e-9
    )


def test_a_text_with_every_pair_once_has_loss_ln_v():
    """A de Bruijn sequence: nothing can be told from the character before, so the loss is that of a uniform guess."""
    part = Part.of(Vocabulary("ab"), ["", "a", "baabb"])
    assert part.stream.tolist() == [0, 0, 1, 0, 2, 1, 1, 2, 2, 0]
    model = CountModel(Vocabulary("ab"), PairCounts.of(part.stream, 3), Additive(0))
    assert model.counts.counts.tolist() == [1] * 9
    assert metrics.loss(model, part, is_text=True).value == pytest.approx(math.log(3), abs=1e-12)


def test_maximum_likelihood_gives_what_was_never_seen_no_chance():
    model = model_of(["ab"], 0)
    assert math.isinf(metrics.loss(model, Part.of(model.vocabulary, ["ba"]), is_text=False).value)
