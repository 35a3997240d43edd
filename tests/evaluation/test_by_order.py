"""Each order of an n-gram model: its own predictions, the lengths it has seen, its metrics on a text."""

import math

import brute_force as twin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from methods import METHODS

from nextchar.evaluation import by_order as orders
from nextchar.models.base import contexts_before
from nextchar.models.ngram.backoff import BackoffModel

FEW = st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=8)
NAMES = ["none", "add_k", "witten_bell", "modified_kneser_ney", "katz", "stupid_backoff"]


def alone(method, documents, order):
    """p(context, symbol) of each order by brute force."""
    if method != "modified_kneser_ney":
        return [METHODS[method][1](documents, k) for k in range(1, order + 1)]
    tables = twin.continuation_tables(documents, order)
    discounts = {k: twin.three_discounts(tables[k]) for k in tables}
    below = [{k: tables[k] for k in range(1, highest + 1)} for highest in tables]
    return [twin.discounted(up_to, 1 / twin.vocab_size(documents), discounts) for up_to in sorted(below, key=len)]


def longest_seen(raw, context, symbol):
    """The length of the longest n-gram in the tables of a text."""
    for k in sorted(raw, reverse=True):
        before = context[len(context) - (k - 1) :]
        if len(context) >= k - 1 and before in raw[k] and raw[k][before][symbol]:
            return k
    return 0


@pytest.mark.parametrize("method", NAMES)
@given(documents=FEW, others=FEW, order=st.integers(1, 5))
@settings(max_examples=25)
def test_every_order_predicts_as_by_brute_force(method, documents, others, order, counted):
    documents = [*documents, "abc"]
    model, raw = counted(documents, order, METHODS[method][0]), twin.raw_tables(documents, order)
    stream = model.vocabulary.stream(others)
    contexts = contexts_before(stream, model.context)
    found = model.by_order(contexts, stream[1:].astype(np.int64))
    pairs = [pair for document in others for pair in twin.positions(document, order)]
    expected = [[p(*pair) for pair in pairs] for p in alone(method, documents, order)]
    assert np.exp(found.log_probs) == pytest.approx(np.array(expected), rel=1e-10, abs=1e-13)
    whole = model.log_probs(contexts)[np.arange(len(pairs)), stream[1:]]
    assert found.log_probs[-1] == pytest.approx(whole, rel=1e-12)
    assert found.longest_ngram.tolist() == [longest_seen(raw, *pair) for pair in pairs]
    assert found.longest_possible.tolist() == [len(context) + 1 for context, _ in pairs]
    known = [max(k for k in raw if k == 1 or (c[len(c) - k + 1 :] in raw[k] and len(c) >= k - 1)) for c, _ in pairs]
    assert found.longest_context.tolist() == known


@pytest.mark.parametrize("method", ["witten_bell", "absolute_discount", "modified_kneser_ney", "katz"])
@given(documents=FEW, others=FEW, order=st.integers(1, 5))
@settings(max_examples=25)
def test_back_off_tables_predict_the_same(method, documents, others, order, counted):
    model = counted([*documents, "abc"], order, METHODS[method][0])
    stream = model.vocabulary.stream(others)
    asked = contexts_before(stream, model.context), stream[1:].astype(np.int64)
    found = BackoffModel(model.vocabulary, model.backoff_tables()).by_order(*asked)
    for one, other in zip(model.by_order(*asked), found, strict=True):
        assert one == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("order", [1, 2, 4])
def test_metrics_are_those_by_brute_force(method, order, monkeypatch, counted, count_ngrams):
    documents, others = ["abac", "abb", "cab", "abacb"], ["abab", "cabac", "bbbca", "a"]
    model, raw = counted(documents, order, METHODS[method][0]), twin.raw_tables(documents, order)
    counts = count_ngrams(model.vocabulary, others, model.context + 1)
    found = orders.measure_orders(model, counts)
    for k, p in enumerate(alone(method, documents, order), 1):
        pairs = [pair for document in others for pair in twin.positions(document, k)]
        impossible = any(p(*pair) == 0 for pair in pairs)
        assert found.loss[k - 1] == pytest.approx(math.inf if impossible else twin.mean_nll(p, others, k))
        tables = [raw[len(context) + 1] for context, _ in pairs]
        contexts = [context in table for table, (context, _) in zip(tables, pairs, strict=True)]
        seen = [bool(table[c][y]) if c in table else False for table, (c, y) in zip(tables, pairs, strict=True)]
        assert found.contexts_seen[k - 1] == pytest.approx(np.mean(contexts))
        assert found.ngrams_seen[k - 1] == pytest.approx(np.mean(seen))
    monkeypatch.setattr(orders, "SCORED_AT_ONCE", 3)
    for one, other in zip(vars(found).values(), vars(orders.measure_orders(model, counts)).values(), strict=True):
        assert one == pytest.approx(other)


def test_all_of_train_was_seen(counted, count_ngrams):
    documents = ["abac", "abb", "cab"]
    model = counted(documents, 3, METHODS["witten_bell"][0])
    found = orders.measure_orders(model, count_ngrams(model.vocabulary, documents, 3))
    assert found.contexts_seen.tolist() == found.ngrams_seen.tolist() == [1, 1, 1]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_run_folder(order, tmp_path, runs):
    """The loss of the highest order is the model's. The picture is drawn from three orders on."""
    folder = tmp_path / "run"
    words = ["model=count", f"model.order={order}", "smoothing=modified_kneser_ney", "data=lines", runs.names(tmp_path)]
    runs.train(*words, f"hydra.run.dir={folder}")
    record = runs.record(folder)
    for part in ("train", "val", "test"):
        curve = record["curves"][f"x_is_order/{part}_loss"]
        assert curve["steps"] == list(range(1, order + 1))
        assert curve["values"][-1] == pytest.approx(record["metrics"][f"{part}/loss"], rel=1e-9)
        assert runs.curve(folder, f"x_is_order/{part}_loss") == [
            (step, pytest.approx(value, rel=1e-6)) for step, value in zip(curve["steps"], curve["values"], strict=True)
        ]
    d1 = record["smoothing"]["D1"]
    assert [value for _, value in runs.curve(folder, "x_is_order/smoothing_D1")] == pytest.approx(d1, rel=1e-6)
    assert ("figures/orders.png" in runs.files(folder)) == (order > 2)


def test_infinite_loss_of_an_order_is_kept_as_text(tmp_path, runs):
    folder = tmp_path / "run"
    words = ["model=count", "model.order=4", "smoothing=none", "data=lines", runs.names(tmp_path)]
    runs.train(*words, f"hydra.run.dir={folder}")
    assert runs.record(folder)["curves"]["x_is_order/test_loss"]["values"][-1] == "inf"
