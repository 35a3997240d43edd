"""Smoothing equals KenLM's and NLTK's, on the texts that the brute-force twin is compared with too."""

import json
import math

import arpa_text as arpa
import kenlm
import kenlm_models
import nltk_probabilities
import numpy as np
import pytest
from methods import smoothing

LIKE_KENLM = smoothing("modified_kneser_ney", base="kenlm", tune=False)


def log_prob(model, context, symbol):
    """log P of a symbol after a context of symbols ("": the boundary), cut to the length that the model reads."""
    ids = [0 if x == "" else 1 + model.vocabulary.characters.index(x) for x in context][-model.context :]
    padded = np.array([[0] * (model.context - len(ids)) + ids])
    return model.log_probs(padded)[0, 0 if symbol == "" else 1 + model.vocabulary.characters.index(symbol)]


@pytest.mark.parametrize("name", kenlm_models.TEXTS)
def test_every_ngram_that_lmplz_lists(name, counted):
    documents, order = kenlm_models.TEXTS[name], int(name[-1])
    model, listed = (
        counted(documents, order, LIKE_KENLM),
        arpa.read(kenlm_models.path(name)),
    )
    checked = 0
    for gram, value in listed[0].items():
        *context, symbol = ["" if word in ("<s>", "</s>") else word for word in gram]
        whole = len(gram) == order or gram[0] == "<s>"  # a context that is not cut short
        if whole and gram[-1] not in ("<s>", "<unk>"):
            assert log_prob(model, context, symbol) == pytest.approx(value * math.log(10), abs=1e-6), gram
            checked += 1
    assert checked > 30
    assert sum(map(len, model.tables)) == len(listed[0]) - 2  # <s> and <unk>


@pytest.mark.parametrize("name", kenlm_models.TEXTS)
def test_a_text_scored_by_the_kenlm_module(name, counted):
    """KenLM reads the file of lmplz and scores character by character, unseen names too."""
    documents, order = kenlm_models.TEXTS[name], int(name[-1])
    theirs = kenlm.Model(str(kenlm_models.path(name)))
    model = counted(documents, order, LIKE_KENLM)
    known = set(model.vocabulary.characters)
    held_out = [text for text in nltk_probabilities.names() if set(text) <= known][:300]
    expected = [value for text in held_out for value, *_ in theirs.full_scores(" ".join(text))]
    found = model.score(model.vocabulary.stream(held_out)) / math.log(10)
    assert found == pytest.approx(expected, abs=2e-6)


OF_NLTK = {
    "laplace": smoothing("add_k", k=1.0, tune=False),
    "lidstone": smoothing("add_k", k=nltk_probabilities.LIDSTONE, tune=False),
    "stupid_backoff": smoothing("stupid_backoff", alpha=0.4),
    "witten_bell": smoothing("witten_bell"),
    "absolute_discount": smoothing("absolute_discount", discount=nltk_probabilities.DISCOUNT, tune=False),
    "kneser_ney": smoothing("kneser_ney", discount=nltk_probabilities.DISCOUNT, tune=False),
}


@pytest.mark.parametrize("method", OF_NLTK)
def test_equal_to_nltk(method, counted):
    """For the methods that NLTK defines as we do (nltk_probabilities.py); it does not discount unigrams."""
    model = counted(nltk_probabilities.names(), nltk_probabilities.ORDER, OF_NLTK[method])
    if method in ("absolute_discount", "kneser_ney"):
        model.smoothing.parameters[0] = 0
    stored = json.loads(nltk_probabilities.STORED.read_text(encoding="utf-8"))[method]
    for written, row in stored.items():
        context = ["" if x == nltk_probabilities.BOUNDARY else x for x in written]
        if len(context) == model.context or context[:1] == [""]:  # as long as the model reads, or shorter at the start
            found = [math.exp(log_prob(model, context, y)) for y in ["", *model.vocabulary.characters]]
            assert found == pytest.approx(row, abs=1e-11), written
