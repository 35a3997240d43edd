"""The numbers of an explanation, against a computation by hand."""

import math

import counting
import numpy as np
import pytest

from nextchar.errors import BadInput
from nextchar.explanation import explain, mean_nll
from nextchar.language_model import Floats, LanguageModel, Tensors
from nextchar.ngrams import CountModel
from nextchar.vocabulary import Ids, Vocabulary


def counted(*documents: str, k: float = 0) -> CountModel:
    return counting.counted(documents, smoothing=counting.add_k(k))


def test_by_hand() -> None:
    """ab, ab, aa, b: after the start a 3/4, b 1/4; after a: b 2/4, a 1/4, end 1/4; after b: end 3/3."""
    steps = explain(counted("ab", "ab", "aa", "b"), "ba", "text")
    assert [(step.context, step.char, step.rank) for step in steps] == [(".", "b", 2), ("b", "a", 2), ("a", ".", 2)]
    assert [step.probability for step in steps] == pytest.approx([1 / 4, 0, 1 / 4])
    assert [step.log_prob for step in steps] == pytest.approx([math.log(1 / 4), -math.inf, math.log(1 / 4)])
    assert [[symbol for symbol, _ in step.best] for step in steps] == [
        ["a", "b", "."],
        [".", "a", "b"],
        ["b", ".", "a"],
    ]
    assert [p for _, p in steps[2].best] == pytest.approx([2 / 4, 1 / 4, 1 / 4])  # of equal ones the lower id is first
    assert mean_nll(steps) == math.inf


def test_add_one_by_hand() -> None:
    """The same pairs with one more each: 3 + 1 of 4 + 3, ..."""
    steps = explain(counted("ab", "ab", "aa", "b", k=1), "ba", "text")
    assert [step.probability for step in steps] == pytest.approx([2 / 7, 1 / 6, 2 / 7])
    assert mean_nll(steps) == pytest.approx((2 * math.log(7 / 2) + math.log(6)) / 3)


def test_end_and_nothing() -> None:
    model = counted("ab", k=1)
    assert [step.char for step in explain(model, "ab", "text")] == ["a", "b", "."]
    assert [step.char for step in explain(model, "ab", "text", ends=False)] == ["a", "b"]
    assert [step.context for step in explain(model, "", "text")] == ["."]
    assert explain(model, "", "text", ends=False) == []


def test_unknown_character_is_named() -> None:
    with pytest.raises(BadInput, match=r"text=abñ: 'ñ' \(U\+00F1\) is not in the model's vocabulary of 2 characters"):
        explain(counted("ab"), "abñ", "text=abñ")


class Parrot(LanguageModel):
    """Expects what came three characters ago."""

    context = 3

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    def log_probs(self, contexts: Ids) -> Floats:
        probs = np.full((len(contexts), len(self.vocabulary)), 0.1)
        probs[np.arange(len(contexts)), contexts[:, 0]] = 1 - 0.1 * (len(self.vocabulary) - 1)
        return np.log(probs)

    def tensors(self) -> Tensors:
        return {}


def test_longer_contexts_grow_from_the_start() -> None:
    steps = explain(Parrot(Vocabulary("abc")), "abcab", "text")
    assert [step.context for step in steps] == [".", ".a", ".ab", "abc", "bca", "cab"]
    assert [step.rank for step in steps] == [2, 3, 4, 1, 1, 2]
    assert [step.probability for step in steps] == pytest.approx([0.1, 0.1, 0.1, 0.7, 0.7, 0.1])
