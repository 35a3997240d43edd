"""Counted models as back-off tables: the probabilities stay the same, for KenLM too."""

import math

import numpy as np
import pytest
from kenlm_models import ODD, by_kenlm
from methods import smoothing

from nextchar.data.corpus import EMBEDDED
from nextchar.errors import BadInput
from nextchar.models.base import contexts_before
from nextchar.models.ngram.arpa_writer import arpa_file
from nextchar.models.ngram.backoff import BackoffModel

SMOOTHINGS = [
    {"name": "none"},
    {"name": "add_k", "k": 0.3, "tune": False},
    {"name": "jelinek_mercer", "weights": "bucket"},
    {"name": "witten_bell"},
    {"name": "absolute_discount", "discount": None, "tune": False},
    {"name": "kneser_ney", "discount": None, "tune": False},
    {"name": "modified_kneser_ney", "base": "uniform", "tune": False},
    {"name": "modified_kneser_ney", "base": "kenlm", "tune": False},
    {"name": "katz"},
    {"name": "dirichlet", "concentration": 2.0, "tune": False},
    {"name": "pitman_yor", "discount": None, "concentration": 1.0, "tune": False},
]
ALL_NAMES = EMBEDDED.read_text().split()
NAMES, OTHERS = ALL_NAMES[:500], [name for name in ALL_NAMES[3000:3300] if set(name) <= set("".join(ALL_NAMES[:500]))]


@pytest.fixture(scope="session")
def model_of(counted):
    """An n-gram model of the names, or of other documents, by the settings of its smoothing."""

    def model(plain, order, documents=NAMES, prune=()):
        val = OTHERS if documents is NAMES else [documents[0][:50]]
        return counted(documents, order, smoothing(**plain), val, prune)

    return model


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("plain", SMOOTHINGS, ids=lambda plain: "-".join(map(str, plain.values())))
@pytest.mark.parametrize("prune", [(), (0, 1, 2)])
def test_back_off_tables_have_the_probabilities_of_the_model(plain, order, prune, model_of):
    model = model_of(plain, order, prune=prune if smoothing(**plain).prunable else ())
    again = BackoffModel(model.vocabulary, model.backoff_tables())
    assert again.context == model.context
    stream = model.vocabulary.stream(OTHERS)
    contexts = np.random.default_rng(0).integers(1, len(model.vocabulary), (200, model.context))
    contexts = np.concatenate([contexts, contexts_before(stream, model.context)[:300]])
    for ours, theirs in (
        (again.score(stream), model.score(stream)),
        (again.log_probs(contexts), model.log_probs(contexts)),
    ):
        assert (np.isneginf(ours) == np.isneginf(theirs)).all()
        possible = np.isfinite(ours)
        assert ours[possible] == pytest.approx(theirs[possible], abs=1e-11)


@pytest.mark.parametrize("plain", SMOOTHINGS, ids=lambda plain: "-".join(map(str, plain.values())))
@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize(("documents", "others"), [(NAMES, OTHERS), ([ODD], [ODD[::-1]])], ids=["names", "odd"])
def test_kenlm_scores_the_tables_as_the_model_does(plain, order, documents, others, tmp_path, model_of):
    """Probability 0 too, for which ARPA files have -99, here as the weight of a context."""
    model = model_of(plain, order, documents)
    (tmp_path / "m.arpa").write_bytes(b"".join(arpa_file(model.backoff_tables(), model.vocabulary)))
    ours = model.score(model.vocabulary.stream(others)) / math.log(10)
    theirs, possible = np.array(by_kenlm(tmp_path / "m.arpa", others)), np.isfinite(ours)
    assert theirs[possible] == pytest.approx(ours[possible], abs=1e-5)
    assert possible.mean() > 0.1
    assert possible.all() or plain["name"] == "none"
    assert (theirs[~possible] <= -99).all()


@pytest.mark.parametrize("plain", SMOOTHINGS, ids=lambda plain: "-".join(map(str, plain.values())))
def test_a_context_that_every_symbol_follows_has_the_same_probabilities(plain, model_of):
    """There are no unseen symbols to share what Katz discounts; the seen ones keep it."""
    documents = ["aab", "ba", "abb", "b", "aaab", "babab"]
    model = model_of(plain, 3, documents)
    again = BackoffModel(model.vocabulary, model.backoff_tables())
    contexts = np.array([[x, y] for x in range(3) for y in range(1, 3)])
    assert np.exp(again.log_probs(contexts)) == pytest.approx(np.exp(model.log_probs(contexts)), abs=1e-12)


def test_stupid_backoff_has_no_back_off_tables(model_of):
    with pytest.raises(BadInput, match="smoothing=stupid_backoff has scores, not probabilities"):
        model_of({"name": "stupid_backoff", "alpha": 0.4}, 3).backoff_tables()
