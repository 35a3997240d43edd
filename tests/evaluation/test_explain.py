"""The numbers of an explanation, against a computation by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from methods import smoothing

from nextchar.data.vocabulary import Ids, Vocabulary
from nextchar.errors import BadInput
from nextchar.evaluation.explain import explain, in_percent, mean_nll, orders_to_show
from nextchar.models.base import Floats, LanguageModel, Tensors
from nextchar.models.ngram.model import CountModel


@pytest.fixture(scope="session")
def bigram(counted: Callable[..., CountModel]) -> Callable[..., CountModel]:
    """The bigram of these documents, with k added to each count."""

    def model(*documents: str, k: float = 0) -> CountModel:
        return counted(documents, smoothing=smoothing("add_k", k=k, tune=False) if k else smoothing("none"))

    return model


def test_by_hand(bigram) -> None:
    """ab, ab, aa, b: after the start a 3/4, b 1/4; after a: b 2/4, a 1/4, end 1/4; after b: end 3/3."""
    steps = explain(bigram("ab", "ab", "aa", "b"), "ba", "text")
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


def test_add_one_by_hand(bigram) -> None:
    """The same pairs with one more each: 3 + 1 of 4 + 3, ..."""
    steps = explain(bigram("ab", "ab", "aa", "b", k=1), "ba", "text")
    assert [step.probability for step in steps] == pytest.approx([2 / 7, 1 / 6, 2 / 7])
    assert mean_nll(steps) == pytest.approx((2 * math.log(7 / 2) + math.log(6)) / 3)


def test_end_and_nothing(bigram) -> None:
    model = bigram("ab", k=1)
    assert [step.char for step in explain(model, "ab", "text")] == ["a", "b", "."]
    assert [step.char for step in explain(model, "ab", "text", ends=False)] == ["a", "b"]
    assert [step.context for step in explain(model, "", "text")] == ["."]
    assert explain(model, "", "text", ends=False) == []


def test_unknown_character_is_named(bigram) -> None:
    with pytest.raises(BadInput, match=r"text=abñ: 'ñ' \(U\+00F1\) is not in the model's vocabulary of 2 characters"):
        explain(bigram("ab"), "abñ", "text=abñ")


def test_which_order_answered_by_hand(counted) -> None:
    """aab and aac: ".aa" is followed by b and c; after "a" anything came, after "c" only the end."""
    model = counted(["aab", "aac"], order=3, smoothing=smoothing("none"))
    steps = explain(model, "acb", "text")
    assert [(step.context, step.char, step.order) for step in steps] == [
        (".", "a", 2), (".a", "c", 2), ("ac", "b", 1), ("cb", ".", 2),
    ]  # fmt: skip
    assert steps[0].by_order == pytest.approx([4 / 8, 1])  # of 8 characters and ends four are an a
    assert steps[1].by_order == pytest.approx([1 / 8, 1 / 4, 0])
    assert steps[2].by_order == pytest.approx([1 / 8, 0, 0])
    assert steps[3].by_order == pytest.approx([2 / 8, 1, 1 / 4])  # "cb" was never seen: uniform, by add-k
    assert steps[3].probability == pytest.approx(1 / 4)


def test_order_1_reads_nothing(counted) -> None:
    steps = explain(counted(["aab", "b"], order=1, smoothing=smoothing("none")), "ab", "text")
    assert [(step.context, step.char, step.order) for step in steps] == [("", "a", 1), ("", "b", 1), ("", ".", 1)]
    assert [step.by_order for step in steps] == [pytest.approx([2 / 6])] * 3
    assert orders_to_show(steps) == 0


def test_orders_that_repeat_the_one_below_are_not_shown(counted) -> None:
    model = counted(["abcabc", "abd"], order=9, smoothing=smoothing("witten_bell"))
    steps = explain(model, "dabc", "text")
    assert len(steps[-1].by_order) == 6
    assert orders_to_show(steps) == 4  # "abc." is the longest n-gram seen
    assert steps[-1].by_order[3] == steps[-1].by_order[5]


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(1, "100"), (0.994, "99"), (0.1, "10"), (0.0994, "9.9"), (0.01, "1.0"), (0.005, "0.50"), (1e-5, "<.01"), (0, "0")],
)
def test_percent_in_four_characters(probability: float, shown: str) -> None:
    assert in_percent(probability) == shown


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
    assert {(step.order, step.by_order) for step in steps} == {(None, ())}  # it has no orders
