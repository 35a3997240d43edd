"""The numbers in the pictures of a model: rows of probabilities averaged over train, names of parameters."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from methods import METHODS

from nextchar.data.encoded import Split
from nextchar.plots.matrices import probability_matrix
from nextchar.plots.model_pictures import OCCURRENCES, _without_common_words, next_probabilities, principal_plane

WITTEN_BELL = METHODS["witten_bell"][0]
FEW = st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=8)


@pytest.mark.parametrize("order", [3, 6])
@given(documents=FEW)
def test_a_row_is_the_mean_over_the_occurrences_in_train(order, documents, counted):
    """Every occurrence counts where there are few: the mean of the distributions after each, one by one."""
    model = counted(documents, order, WITTEN_BELL)
    v, characters = len(model.vocabulary), model.vocabulary.characters
    asked = defaultdict(list)
    for document in documents:
        for i in range(len(document) + 1):
            before = [0] * model.context + [1 + characters.index(c) for c in document[:i]]
            row = np.exp(model.log_probs(np.array([before[-model.context :]])))[0]
            asked[before[-1]].append(row)
    rows = np.array([np.mean(asked[x], axis=0) for x in range(v)])
    found, said = next_probabilities(model, np.arange(v), Split.of(model.vocabulary, documents))
    assert found == pytest.approx(rows)
    assert "mean" in said
    some = np.array([0, v - 1])  # the rows and columns of these only
    found, _ = next_probabilities(model, some, Split.of(model.vocabulary, documents))
    assert found == pytest.approx(rows[np.ix_(some, some)])


def test_of_many_occurrences_some_are_taken_evenly_spread(monkeypatch, counted):
    """x is followed by x or a in the first half of the text and by x or b in the second."""
    documents = ["xxa"] * 400 + ["xxb"] * 400
    model = counted(documents, 4, METHODS["none"][0])
    asked = []
    log_probs = model.log_probs
    monkeypatch.setattr(model, "log_probs", lambda contexts: asked.append(contexts) or log_probs(contexts))
    found, _ = next_probabilities(model, np.arange(4), Split.of(model.vocabulary, documents))
    number = Counter(np.concatenate(asked)[:, -1].tolist())
    assert number == dict.fromkeys(range(4), OCCURRENCES)
    assert found.sum(1) == pytest.approx(np.ones(4))
    assert found[3] == pytest.approx([0, 1 / 4, 1 / 4, 1 / 2], abs=0.1)  # half of its places are before another x
    halves = [(contexts[:, -2:] == [0, 3]).all(1).sum() for contexts in asked]
    assert sum(halves) == pytest.approx(OCCURRENCES / 2, abs=30)


def test_a_character_that_does_not_occur_has_a_row_of_zeros(counted):
    model = counted(["ab", "ba"], 3, WITTEN_BELL)
    found, _ = next_probabilities(model, np.arange(3), Split.of(model.vocabulary, ["aa"]))
    assert found[2].tolist() == [0, 0, 0]
    assert found[1].sum() == pytest.approx(1)


def test_orders_that_see_one_character_or_none(counted):
    documents = ["abac", "cab"]
    train = Split.of(counted(documents, 2, WITTEN_BELL).vocabulary, documents)
    for order, said in ((1, "all rows are equal"), (2, "rows: previous character")):
        model = counted(documents, order, WITTEN_BELL)
        found, rows = next_probabilities(model, np.arange(4), train)
        assert found == pytest.approx(np.exp(model.log_probs(np.arange(4)[:, None])))
        assert rows.startswith(said)
        assert probability_matrix(found, model.vocabulary.symbols, np.ones(4), rows).shape[2] == 3


def test_common_words_of_parameters_stand_in_the_title():
    names = [f"weight of contexts seen {n} times or more" for n in (1, 2, 512)]
    assert _without_common_words(names) == ("weight of contexts seen n times or more", ["1", "2", "512"])
    for names in (["D1", "D2", "D3+"], ["k"], []):
        assert _without_common_words(names) == ("", names)


def test_the_principal_plane_is_that_of_points_in_a_plane():
    """Points of a plane in ten dimensions keep their distances, and all of their variance."""
    flat = np.random.default_rng(0).normal(size=(30, 2)) * (5, 1)
    axes, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(10, 10)))
    points, share = principal_plane(flat @ axes[:2] + 3)
    distances = [np.linalg.norm(each[:, None] - each[None], axis=2) for each in (flat, points)]
    assert distances[1] == pytest.approx(distances[0])
    assert share == pytest.approx(1)
    assert points[:, 0].var() > points[:, 1].var()
    _, share = principal_plane(np.eye(4)[:3])  # three points always lie in a plane
    assert share == pytest.approx(1)
    points, share = principal_plane(np.ones((3, 1)))
    assert (points.shape, share) == ((3, 2), 1)


def test_the_share_is_that_of_the_largest_eigenvalues_of_the_covariance():
    vectors = np.random.default_rng(2).normal(size=(50, 6))
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(vectors.T)))
    points, share = principal_plane(vectors)
    assert share == pytest.approx(eigenvalues[-2:].sum() / eigenvalues.sum())
    assert points.var(axis=0, ddof=1) == pytest.approx(eigenvalues[:-3:-1])
