"""Sampled text: drawn from the model's distribution, bent as asked, the same however many are drawn at once."""

from collections import Counter

import numpy as np
import pytest
from counting import bigram_of, pairs
from hypothesis import given
from hypothesis import strategies as st
from makemore import COUNTS, SYMBOLS

from nextchar import metrics, sampling
from nextchar.errors import BadInput
from nextchar.language_model import LanguageModel
from nextchar.sampling import Shape
from nextchar.vocabulary import Vocabulary

MODEL = bigram_of(Vocabulary("".join(SYMBOLS[1:])), COUNTS, k=1)


class Fixed(LanguageModel):
    """A context-free distribution that sees two ids; records what it was asked."""

    def __init__(self, probabilities, context=2):
        self.vocabulary = Vocabulary("abcdefghij"[: len(probabilities) - 1])
        self.context = context
        with np.errstate(divide="ignore"):
            self.row = np.log(probabilities)
        self.asked = []

    def log_probs(self, contexts):
        self.asked.append(contexts.copy())
        return np.tile(self.row, (len(contexts), 1))

    def tensors(self):
        return {}


def test_batches_of_any_size_give_the_same_documents(monkeypatch):
    many = sampling.batched(MODEL, 300, seed=7)
    assert sampling.batched(MODEL, 20, seed=7) == many[:20]
    monkeypatch.setattr(sampling, "SIDE_BY_SIDE", 7)
    assert sampling.batched(MODEL, 300, seed=7) == many
    assert sampling.batched(MODEL, 300, seed=8) != many


@pytest.mark.parametrize("draw", [sampling.documents, sampling.batched])
def test_the_text_has_the_models_own_entropy(draw):
    """Mean of NLL - H over sampled characters is 0 within four standard errors; so are the bigrams (chi square)."""
    texts = draw(MODEL, 20_000, 11, max_chars=10_000)
    stream = MODEL.vocabulary.stream(texts)
    every = MODEL.log_probs(np.arange(27)[:, None])
    entropy = -(np.exp(every) * every).sum(1)
    surprise = -MODEL.score(stream) - entropy[stream[:-1]]
    assert abs(surprise.mean()) < 4 * surprise.std() / np.sqrt(len(surprise))
    seen = pairs(stream, 27)
    expected = np.exp(every) * seen.sum(1, keepdims=True)
    common = expected > 10
    chi_square = ((seen - expected) ** 2 / expected)[common].sum()
    assert abs(chi_square - common.sum()) < 5 * np.sqrt(2 * common.sum())


@pytest.mark.parametrize("draw", [sampling.documents, sampling.batched])
def test_prefix_and_length(draw):
    assert all(text.startswith("em") for text in draw(MODEL, 50, 1, prefix="em"))
    assert all(len(text) <= 4 for text in draw(MODEL, 50, 1, prefix="em", max_chars=4))
    assert draw(MODEL, 3, 1, prefix="emma", max_chars=2) == ["emma"] * 3
    with pytest.raises(BadInput, match=r"prefix=ñu: 'ñ' \(U\+00F1\) is not in the model's vocabulary"):
        draw(MODEL, 1, 1, prefix="ñu")


@pytest.mark.parametrize("draw", [sampling.documents, sampling.batched])
def test_contexts_are_the_last_ids_and_padded_with_the_boundary(draw, monkeypatch):
    monkeypatch.setattr(sampling, "TABLE_CELLS", 0)  # else all contexts are asked for at once
    model = Fixed([0.0, 1.0, 0.0])
    assert draw(model, 1, 1, prefix="b", max_chars=4) == ["baaa"]
    asked = [tuple(row) for rows in model.asked for row in rows]
    assert asked == [(0, 2), (2, 1), (1, 1)]


@pytest.mark.parametrize("draw", [sampling.documents, sampling.batched])
def test_what_has_probability_zero_is_never_drawn(draw):
    model = Fixed([0.0, 0.0, 0.3, 0.0, 0.7, 0.0])
    assert set("".join(draw(model, 200, 3, max_chars=50))) == {"b", "d"}


@pytest.mark.parametrize("draw", [sampling.documents, sampling.batched])
def test_temperature_zero_takes_the_likeliest(draw):
    assert draw(MODEL, 2, 1, shape=Shape(temperature=0)) == draw(MODEL, 2, 2, shape=Shape(temperature=0))


rows = st.lists(st.floats(0.01, 1), min_size=2, max_size=8)


@given(rows, st.floats(0.1, 5), st.integers(1, 10), st.floats(0.05, 1))
def test_shapes_against_a_loop(weights, temperature, top_k, top_p):
    """The definitions, one id at a time."""
    p = np.array(weights) / sum(weights)
    bent = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
    likeliest = sorted(range(len(p)), key=lambda i: (-bent[i], i))[:top_k]
    kept, held, total = [], 0.0, sum(bent[i] for i in likeliest)
    for i in likeliest:
        if held < top_p - 1e-12:
            kept.append(i)
        held += bent[i] / total
    expected = np.array([bent[i] if i in kept else 0 for i in range(len(p))])
    shaped = Shape(temperature, top_k, top_p).probabilities(np.log(p)[None])[0]
    assert shaped.sum() == pytest.approx(1, abs=1e-12)
    if len(set(np.round(bent, 9))) == len(bent):  # of equals either may come first after rounding
        assert shaped == pytest.approx(expected / expected.sum(), abs=1e-9)


def test_both_ways_draw_from_the_same_distribution():
    one = Counter(map(len, sampling.documents(MODEL, 20_000, 5)))
    other = Counter(map(len, sampling.batched(MODEL, 20_000, 6)))
    for length in range(1, 12):
        assert abs(one[length] - other[length]) < 5 * np.sqrt(one[length] + other[length])


def test_a_samples_loss_is_near_the_entropy_rate():
    texts = sampling.batched(MODEL, 5_000, seed=1)
    loss = metrics.loss(MODEL, MODEL.vocabulary.stream(texts), is_text=False)
    low, high = loss.interval
    assert low < loss.value < high
