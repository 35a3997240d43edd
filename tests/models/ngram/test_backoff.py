"""Back-off models against dictionaries, and entropy pruning against sums of relative entropies."""

import math
from itertools import product

import numpy as np
import pytest
from backing_off import by_hand, dictionaries, model_of, witten_bell
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nextchar.data.corpus import EMBEDDED
from nextchar.data.vocabulary import Vocabulary
from nextchar.errors import BadInput
from nextchar.models.base import every_context
from nextchar.models.ngram.backoff import MOST_SUM, BackoffModel, check_sums, prune_by_entropy

texts = st.lists(st.text(alphabet="abc", min_size=1, max_size=8), min_size=1, max_size=12)
WIDE = "".join(map(chr, range(0x4E00, 0x4E00 + 5000)))  # 13 bits an id: from order 5 on keys are byte strings


def names(n=300):
    return EMBEDDED.read_text().split()[:n]


@given(texts, st.integers(1, 6), st.integers(0, 100))
@settings(max_examples=60)
def test_scores_are_those_of_the_recursion_by_hand(documents, order, seed):
    full = witten_bell(documents, order)
    random = np.random.default_rng(seed)
    rows, weights = dictionaries(full)
    some = {g: math.exp(p) for g, p in rows.items() if len(g) == 1 or random.random() < 0.7}  # suffixes may be missing
    model = model_of(
        full.vocabulary, some, {h: math.exp(w) for h, w in weights.items() if random.random() < 0.8}, order
    )
    stream = random.integers(0, len(model.vocabulary), 60)
    stream[0] = 0
    wanted = [by_hand(model, tuple(stream[:i].tolist()), int(stream[i])) for i in range(1, len(stream))]
    assert model.score(stream) == pytest.approx(wanted, abs=1e-12)
    super_score = super(BackoffModel, model).score(stream)  # that of the base class, from whole distributions
    assert super_score == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 5, 7])
def test_every_context_sums_to_one(order):
    model = witten_bell(names(50), order)
    contexts = every_context(3, model.context) + np.array([9])
    assert np.exp(model.log_probs(contexts)).sum(1) == pytest.approx(np.ones(len(contexts)), abs=1e-12)


@given(texts, st.integers(1, 4), st.floats(-0.002, 0.002), st.integers(0, 100))
@settings(max_examples=60)
def test_a_context_that_sums_to_more_than_one_is_refused(documents, order, more, seed):
    """By hand: the distribution after every context, in the model of every order."""
    full = witten_bell(documents, order)
    random = np.random.default_rng(seed)
    rows, weights = dictionaries(full)
    some = {g: math.exp(p) for g, p in rows.items() if random.random() < 0.95 or len(g) == 1}
    one = list(some)[random.integers(len(some))]
    some[one] = min(1.0, max(some[one] + more, 1e-9))
    model = model_of(full.vocabulary, some, {h: math.exp(w) for h, w in weights.items()}, order)
    size = len(model.vocabulary)
    lower = [BackoffModel(model.vocabulary, model.tables[:k]) for k in range(1, order + 1)]
    most = max(np.exp(each.log_probs(every_context(size, each.context))).sum(1).max() for each in lower)
    assume(abs(most - MOST_SUM) > 1e-12)  # where the rounding of two sums decides
    if most > MOST_SUM:
        with pytest.raises(BadInput, match=r"m\.arpa: the probabilities after '.*' sum to 1\.\d+, not to 1"):
            check_sums(model.tables, model.vocabulary, "m.arpa")
    else:
        check_sums(model.tables, model.vocabulary, "m.arpa")


def test_the_sums_of_keys_of_byte_strings():
    model = witten_bell([*names(40), WIDE], 6)
    check_sums(model.tables, model.vocabulary, "m.arpa")
    model.tables[-1].log_probs[3] = 0.0
    with pytest.raises(BadInput, match=r"sum to 1\.\d+, not to 1"):
        check_sums(model.tables, model.vocabulary, "m.arpa")


def test_keys_of_byte_strings():
    model = witten_bell([*names(40), WIDE], 6)
    assert model.tables[-1].keys.dtype.kind == "S"
    stream = model.vocabulary.stream([*(name[::-1] for name in names(20)), *names(20), WIDE[100:150]])
    wanted = [by_hand(model, tuple(stream[:i].tolist()), int(stream[i])) for i in range(1, len(stream))]
    assert model.score(stream) == pytest.approx(wanted, abs=1e-12)


def test_a_symbol_without_a_row_has_probability_0():
    model = model_of(Vocabulary("ab"), {(0,): 0.5, (1,): 0.5}, {}, 1)
    assert model.score(np.array([0, 1, 2, 0])).tolist() == [math.log(0.5), -math.inf, math.log(0.5)]


# --- weights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 3])
def test_tensors_and_back(order):
    model = witten_bell(names(), order)
    again = BackoffModel.from_tensors(model.tensors(), model.vocabulary, "weights")
    stream = model.vocabulary.stream(names())
    assert (again.score(stream) == model.score(stream)).all()
    for name, (kind, shape) in BackoffModel.spec(len(model.vocabulary)).items():
        assert model.tensors()[name].dtype == kind
        assert model.tensors()[name].ndim == len(shape)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("sizes", lambda x: x[:0], "no sizes of tables"),
        ("sizes", lambda x: x - 100, "no sizes of tables"),
        ("sizes", lambda x: x + np.array([[0, 1], [0, 0]]), "no sizes of tables"),
        ("sizes", lambda x: x * 2**40, "no sizes of tables"),
        ("sizes", lambda x: x + np.array([[0, 0], [0, 1]]), "not of the sizes"),
        ("sizes", lambda x: np.repeat(x, 50, 0), "no sizes of tables"),
        ("ids", lambda x: x[:-1], "not of the sizes"),
        ("ids", lambda x: x[::-1].copy(), "not in order"),
        ("ids", lambda x: np.zeros_like(x), "not in order"),
        ("ids", lambda x: np.full_like(x, 200), "beyond the vocabulary"),
        ("context_ids", lambda x: x[::-1].copy(), "not in order"),
        ("context_ids", lambda x: np.full_like(x, 200), "beyond the vocabulary"),
        ("log_probs", lambda x: -x, "above 1"),
        ("log_probs", lambda x: x[1:], "not of the sizes"),
        ("log_backoffs", lambda x: x[1:], "not of the sizes"),
    ],
)
def test_tensors_of_no_model_are_refused(name, change, said):
    model = witten_bell(names(20), 2)
    tensors = model.tensors()
    tensors[name] = change(tensors[name])
    with pytest.raises(BadInput, match=f"^F: .*{said}"):
        BackoffModel.from_tensors(tensors, model.vocabulary, "F")


# --- pruning --------------------------------------------------------------------------------------------------------


def summed_up(before, after, context):
    """KL(before || after) over the next symbol of one context."""
    p, q = (model.log_probs(np.array([context]))[0] for model in (before, after))
    return float((np.exp(p) * (p - q)).sum())


def p_of(model, gram):
    """p(h) by the chain rule; the first symbol has no context, not even the start of a document."""
    rows, weights = dictionaries(model)
    total = 0.0
    for i in range(len(gram)):
        h, log_weight = gram[:i], 0.0
        while (*h, gram[i]) not in rows:
            log_weight += weights.get(h, 0.0)
            h = h[1:]
        total += log_weight + rows[(*h, gram[i])]
    return math.exp(total)


@pytest.mark.parametrize("threshold", [2e-3, 5e-3, 1e-2])
def test_rows_are_pruned_by_their_relative_entropy(threshold):
    """Each row of the highest order is removed alone; the divergence over all symbols of its context decides."""
    full = witten_bell(["abca", "abab", "cab", "bca", "aac", "abc", "ab"], 3)
    rows, _ = dictionaries(full)
    kept, _ = dictionaries(BackoffModel(full.vocabulary, prune_by_entropy(full.tables, threshold)))
    decided = set()
    for gram in (gram for gram in rows if len(gram) == 3):
        without = pruned_by_hand(full, lambda other, gram=gram: other != gram)
        worth = p_of(full, gram[:-1]) * summed_up(full, without, gram[:-1])
        assert (gram in kept) == (math.expm1(worth) >= threshold), gram
        decided.add(gram in kept)
    assert decided == {True, False}


def pruned_by_hand(model, stays):
    """The model without some rows; the weights are computed again, as sums over the symbols without a row."""
    rows, _ = dictionaries(model)
    some = {g: math.exp(p) for g, p in rows.items() if len(g) == 1 or stays(g)}
    weights = {}
    for k in range(2, model.order + 1):
        below = model_of(model.vocabulary, {g: p for g, p in some.items() if len(g) < k}, weights, k - 1)
        for h in {g[:-1] for g in some if len(g) == k}:
            listed = {g[-1] for g in some if g[:-1] == h}
            others = set(range(len(model.vocabulary))) - listed
            left = 1 - sum(some[(*h, w)] for w in listed)
            weights[h] = left / sum(math.exp(by_hand(below, h, w)) for w in others) if others else 1
    return model_of(model.vocabulary, some, weights, model.order)


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("threshold", [1e-7, 1e-4, 1e-2, 1])
def test_a_pruned_model_sums_to_one_and_keeps_the_contexts_of_its_rows(order, threshold):
    full = witten_bell(names(150), order)
    model = BackoffModel(full.vocabulary, prune_by_entropy(full.tables, threshold))
    rows, weights = dictionaries(model)
    before, _ = dictionaries(full)
    assert {g for g in before if len(g) == 1} <= set(rows)
    assert all(rows[g] == before[g] for g in rows)
    assert all(g[:-1] in rows or g[:-1] == (0,) for g in rows if len(g) > 1)
    assert set(weights) == {g[:-1] for g in rows if len(g) > 1}
    contexts = np.array([h for h in product(range(6), repeat=model.context) if 0 not in h[1:]])
    assert np.exp(model.log_probs(contexts)).sum(1) == pytest.approx(np.ones(len(contexts)), abs=1e-9)


def test_weights_equal_sums_over_the_symbols_without_a_row():
    full = witten_bell(names(60), 3)
    model = BackoffModel(full.vocabulary, prune_by_entropy(full.tables, 2e-3))
    rows, weights = dictionaries(model)
    assert 0 < sum(len(g) == 3 for g in rows) < len(full.tables[2])
    _, wanted = dictionaries(pruned_by_hand(full, rows.__contains__))
    assert weights == pytest.approx(wanted, abs=1e-9)


def test_a_threshold_below_zero_prunes_nothing_and_an_infinite_one_everything():
    full = witten_bell(names(60), 3)
    assert [len(table) for table in prune_by_entropy(full.tables, -1e-12)] == [len(table) for table in full.tables]
    assert [len(table) for table in prune_by_entropy(full.tables, math.inf)] == [len(full.tables[0]), 0, 0]
