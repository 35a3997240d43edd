"""The loss and its interval."""

import math

import numpy as np
import pytest

from nextchar.data import encoded as splits
from nextchar.data.encoded import Split
from nextchar.data.vocabulary import Vocabulary
from nextchar.evaluation import loss as loss_module
from nextchar.evaluation.loss import Loss, loss_on
from nextchar.models import base as language_model
from nextchar.models.base import LanguageModel, contexts_before


def test_value_is_the_sum_over_the_sum():
    """Not the mean of means: (1 + 9) / (1 + 3)."""
    assert Loss(np.array([1.0, 9.0]), np.array([1, 3])).value == 2.5


def test_names_and_derived_values():
    values = Loss(np.full(20, 2 * math.log(2)), np.full(20, 2)).metrics("test")
    assert values == pytest.approx(
        {
            "test/loss": math.log(2),
            "test/bits_per_char": 1,
            "test/perplexity": 2,
            "test/loss_low": math.log(2),
            "test/loss_high": math.log(2),
        }
    )


def test_no_interval_from_too_little_or_infinite():
    assert Loss(np.ones(9), np.ones(9, dtype=int)).interval is None
    assert Loss(np.append(np.ones(20), np.inf), np.ones(21, dtype=int)).interval is None


@pytest.mark.parametrize("documents", [200, 3000])
def test_the_interval_covers_the_truth(documents):
    """Documents of random length and difficulty with mean 2 nats a character: covered in 93-97 of 100 trials."""
    covered, trials = 0, 600
    for trial in range(trials):
        random = np.random.default_rng(trial)
        chars = random.integers(1, 15, documents)
        nll = chars * 2 + random.normal(0, 1, documents) * np.sqrt(chars)
        low, high = Loss(nll, chars).interval
        covered += low <= 2 <= high
    assert 0.925 <= covered / trials <= 0.975


def test_windows_stop_at_the_start_of_a_document():
    stream = np.array([0, 1, 2, 3, 0, 4, 0])
    assert contexts_before(stream, 2).tolist() == [[0, 0], [0, 1], [1, 2], [2, 3], [0, 0], [0, 4]]
    assert contexts_before(np.array([5, 6, 7]), 3).tolist() == [[0, 0, 5], [0, 5, 6]]  # a text that was cut


class Counting(LanguageModel):
    """Sees two ids; the probabilities are a function of them."""

    def __init__(self, vocab_size):
        self.vocabulary, self.context = Vocabulary("abcdefgh"[: vocab_size - 1]), 2

    def log_probs(self, contexts):
        weights = 1 + (7 * contexts[:, :1] + 3 * contexts[:, 1:] + np.arange(len(self.vocabulary))) % 5
        return np.log(weights / weights.sum(1, keepdims=True))

    def tensors(self):
        return {}


@pytest.mark.parametrize("table_cells", [language_model.TABLE_CELLS, 0])
@pytest.mark.parametrize("at_once", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize("is_text", [False, True])
def test_the_loss_does_not_depend_on_where_the_stream_is_cut(monkeypatch, table_cells, at_once, is_text):
    """Against a loop over the characters of each document."""
    monkeypatch.setattr(language_model, "TABLE_CELLS", table_cells)
    monkeypatch.setattr(language_model, "SCORED_AT_ONCE", 5)
    monkeypatch.setattr(splits, "BLOCK_IDS", at_once)
    monkeypatch.setattr(loss_module, "TEXT_BLOCK", 4)
    model, documents = Counting(5), ["abcd", "d", "ccab", "ba"]
    split = Split.of(model.vocabulary, documents)
    by_hand = []
    for document in documents:
        ids = [0, 0, *model.vocabulary.encode(document).tolist(), 0]
        by_hand.append([-model.log_probs(np.array([ids[i - 2 : i]]))[0, ids[i]] for i in range(2, len(ids))])
    if is_text:
        flat = [nll for unit in by_hand for nll in unit]
        by_hand = [flat[i : i + 4] for i in range(0, len(flat), 4)]
    measured = loss_on(model, split, is_text)
    assert measured.nll == pytest.approx([sum(unit) for unit in by_hand])
    assert measured.chars.tolist() == [len(unit) for unit in by_hand]
