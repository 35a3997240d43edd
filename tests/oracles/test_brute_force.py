"""The brute-force twin is right: sums to one, arithmetic by hand, KenLM, NLTK, and texts whose loss is known."""

import json
import math
import random
from collections import Counter

import arpa_text as arpa
import brute_force as twin
import closed_forms
import kenlm_models
import nltk_probabilities
import pytest

from nextchar.data.corpus import EMBEDDED

END = START = None
NAMES = EMBEDDED.read_text(encoding="utf-8").split()


def pitman_yor(documents, order):
    return twin.pitman_yor(documents, order, [0.5] * order, [1.5] * order)


def dirichlet(documents, order):
    return twin.dirichlet(documents, order, [2 + k for k in range(order)])


def jelinek_mercer(documents, order, bucketed=False):
    return twin.jelinek_mercer(documents, documents[::2], order, bucketed)[0]


METHODS = {  # all that give probabilities
    "none": lambda documents, order: twin.add_k(documents, order, 0),
    "add_k": lambda documents, order: twin.add_k(documents, order, 0.3),
    "katz": twin.katz,
    "witten_bell": twin.witten_bell,
    "dirichlet": dirichlet,
    "pitman_yor": pitman_yor,
    "absolute_discount": twin.absolute_discount,
    "kneser_ney": twin.kneser_ney,
    "modified_kneser_ney": twin.modified_kneser_ney,
    "kn_tuned": lambda d, order: twin.tuned(twin.continuation_tables(d, order), d, (0.7, 1.1, 1.4), 0.25),
    "abs_tuned": lambda d, order: twin.tuned(twin.raw_tables(d, order), d, (0.5, 1.1, 1.9), 2),
    "jelinek_mercer": jelinek_mercer,
    "jelinek_mercer_bucketed": lambda documents, order: jelinek_mercer(documents, order, bucketed=True),
}
each_method = pytest.mark.parametrize("method", METHODS)


def contexts(documents, order):
    """All that a text has, and some that it lacks."""
    seen = {
        context for document in documents for k in range(1, order + 1) for context, _ in twin.positions(document, k)
    }
    return [*sorted(seen, key=str), ("q", "z"), ("z", "q", "a"), (START, "z")]


@each_method
@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("documents", [NAMES[:60], ["ab", "b", "abab"], ["aaaa"]], ids=["names", "few", "one"])
def test_every_context_sums_to_one(method, order, documents):
    p = METHODS[method](documents, order)
    for context in contexts(documents, order):
        total = math.fsum(p(context, symbol) for symbol in [END, *set("".join(documents))])
        assert total == pytest.approx(1, abs=1e-12), context


# --- by hand --------------------------------------------------------------------------------------------------------


def test_tables_by_hand():
    """The text ".ab.", ".b.": contexts near the start are short, and no n-gram reaches over a start."""
    assert twin.raw_tables(["ab", "b"], 3) == {
        1: {(): {"a": 1, "b": 2, END: 2}},
        2: {(START,): {"a": 1, "b": 1}, ("a",): {"b": 1}, ("b",): {END: 2}},
        3: {(START, "a"): {"b": 1}, ("a", "b"): {END: 1}, (START, "b"): {END: 1}},
    }


def test_continuations_by_hand():
    """b stands after a and after the start, a only after the start; the end only after b. Rows of (START,) stay raw."""
    tables = twin.continuation_tables(["ab", "ab", "b"], 3)
    assert tables[1] == {(): {"a": 1, "b": 2, END: 1}}
    assert tables[2] == {(START,): {"a": 2, "b": 1}, ("a",): {"b": 1}, ("b",): {END: 2}}  # ab. and .b. before END
    assert tables[3] == {(START, "a"): {"b": 2}, ("a", "b"): {END: 2}, (START, "b"): {END: 1}}


N = 7
ONE_WORD = {  # p(b | a) in N documents "abc" at order 2: V = 4, every unigram N times of 4 N, every bigram N times
    "none": 1,
    "add_k": (N + 0.3) / (N + 4 * 0.3),
    "witten_bell": (N + 1 / 4) / (N + 1),
    "dirichlet": (N + 3 / 4) / (N + 3),
    "absolute_discount": (N - 0.5 + 0.5 / 4) / N,  # n1 = n2 = 0: D = .5
    "kneser_ney": (N - 0.5 + 0.5 / 4) / N,
    "modified_kneser_ney": (N - 0.5 + 0.5 / 4) / N,  # n3 = 0: D3 = Y = .5
    "pitman_yor": (N - 0.5 + (1.5 + 0.5) / 4) / (N + 1.5),
    "kn_tuned": (N - 1.4 + (1.4 + 0.25) / 4) / (N + 0.25),
    "abs_tuned": (N - 1.9 + (1.9 + 2) / 4) / (N + 2),
    "katz": N / (N + 0.5),  # counts above 5 are not discounted, and a, c and the end were never seen here
}


@pytest.mark.parametrize("method", ONE_WORD)
def test_one_word_by_hand(method):
    p = METHODS[method](["abc"] * N, 2)
    assert p(("a",), "b") == pytest.approx(ONE_WORD[method], rel=1e-14)


def test_good_turing_by_hand():
    """n1..n6 = 10, 6, 4, 3, 2, 1: cut = 6 n6 / n1 = .6; d1 = (1.2 - .6) / .4 > 1, so 1; d2 = (1 - .6) / .4 = 1;

    d3 = (4 * 3 / 4 / 3 - .6) / .4 = 1; d4 = (5 * 2 / 3 / 4 - .6) / .4 = .58333; d5 = (6 / 2 / 5 - .6) / .4 = 0, so 1.
    """
    ratios = twin.good_turing(twin.Counter({1: 10, 2: 6, 3: 4, 4: 3, 5: 2, 6: 1}), 5)
    assert ratios == pytest.approx({1: 1, 2: 1, 3: 1, 4: 7 / 12, 5: 1})


def test_discounts_by_hand():
    """n1..n4 = 6, 3, 2, 1: Y = .5, D1 = 1 - 2 * .5 * 3/6 = .5,

    D2 = 2 - 3 * .5 * 2/3 = 1, D3+ = 3 - 4 * .5 * 1/2 = 2.
    """
    table = {(): dict(enumerate([1] * 6 + [2] * 3 + [3] * 2 + [4, 9]))}
    assert twin.one_discount(table) == (0.5, 0.5, 0.5)
    assert twin.three_discounts(table) == pytest.approx((0.5, 1, 2))
    assert twin.three_discounts({(): {"a": 1, "b": 1, "c": 3}}) == (1, 1, 3)  # Y = 1; n2 = 0: D2 = Y; n4 = 0: D3 = 3
    assert twin.three_discounts({(): {"a": 5}}) == (0.5, 0.5, 0.5)


def test_stupid_backoff_by_hand():
    score = twin.stupid_backoff(["ab", "b"], 3)
    assert score(("a",), "b") == 1
    assert score((START,), END) == pytest.approx(0.4 * 2 / 5)
    assert score(("b", "a"), "a") == pytest.approx(0.4**2 * 1 / 5)  # ba was never seen: one step more
    assert score((), "z") == pytest.approx(0.4 / 3)


def test_em_finds_the_best_weight():
    """7 of 10 symbols that only the first distribution allows, 3 that only the second does: .7."""
    assert twin.em([(0.5, 0.0)] * 7 + [(0.0, 0.2)] * 3) == pytest.approx(0.7, abs=1e-12)


def test_each_weight_of_jelinek_mercer_is_the_best_for_val():
    train, val = NAMES[:400], NAMES[1000:1200]
    p, weights = twin.jelinek_mercer(train, val, 3)
    best = twin.mean_nll(p, val, 3)
    learned = weights[3][None]
    for other in (learned - 0.02, learned + 0.02):
        weights[3][None] = other
        assert twin.mean_nll(p, val, 3) > best


def test_a_weight_for_every_size_of_context_that_val_has_twenty_symbols_of():
    train, val = NAMES[:400], NAMES[1000:1200]
    size = Counter(symbol for name in train for symbol in name)  # of the context of one letter
    symbols = Counter(min(math.floor(math.log2(size[x])), 9) for name in val for x in name if size[x])
    symbols[math.floor(math.log2(len(train)))] += len(val)
    assert 0 < min(symbols.values()) < 20
    weights = twin.jelinek_mercer(train, val, 2, bucketed=True)[1]
    assert set(weights[2]) == {bucket for bucket, n in symbols.items() if n >= 20} | {None}


# --- KenLM ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", kenlm_models.TEXTS)
def test_equal_to_kenlm(name):
    """Every n-gram that lmplz lists, and every symbol after the contexts that it has to back off from."""
    documents, order = kenlm_models.TEXTS[name], int(name[-1])
    model = arpa.read(kenlm_models.path(name))
    p = twin.modified_kneser_ney_of_kenlm(documents, order, as_counted_by_lmplz=True)
    listed = {("<unk>",), ("<s>",)}
    for k, table in twin.continuation_tables(documents, order).items():
        for context, row in table.items():
            words = tuple("<s>" if x is START else x for x in context)
            listed |= {(*words, "</s>" if symbol is END else symbol) for symbol in row}
            for symbol in [END, *set("".join(documents))] if k < 4 else row:
                gram = (*words, "</s>" if symbol is END else symbol)
                assert math.log(p(context, symbol)) == pytest.approx(
                    arpa.log10_p(model, gram) * math.log(10), abs=1e-6
                ), gram
    assert listed == set(model[0])


def test_kenlm_keeps_a_share_for_unk():
    """1 - the sum over our symbols is the weight of <unk>: the product of the weights of backing off, over V + 1."""
    documents = kenlm_models.TEXTS["names_3"]
    model = arpa.read(kenlm_models.path("names_3"))
    p = twin.modified_kneser_ney_of_kenlm(documents, 3)
    for context in [(), ("a",), ("a", "n"), (START, "m")]:
        rest = 1 - math.fsum(p(context, symbol) for symbol in [END, *set("".join(documents))])
        words = tuple("<s>" if x is START else x for x in context)
        assert rest == pytest.approx(10 ** arpa.log10_p(model, (*words, "<unk>")), rel=1e-5)


def test_without_the_slip_of_lmplz_its_discounts_are_others():
    """Of the first 100 names the newest letter begins two: one continuation, counted twice, so n1 loses it to n2."""
    documents, order = kenlm_models.TEXTS["names_4"], 4
    newest = list(dict.fromkeys("".join(documents)))[-1]
    assert ["".join(documents).count(newest), sum(name.startswith(newest) for name in documents)] == [2, 2]
    model = arpa.read(kenlm_models.path("names_4"))
    p = twin.modified_kneser_ney_of_kenlm(documents, order)
    assert abs(math.log10(p((), newest)) - arpa.log10_p(model, (newest,))) > 0.01


# --- NLTK -----------------------------------------------------------------------------------------------------------


def flat_unigrams(tables, documents, discount):
    """One discount at all orders but the lowest, which has none."""
    discounts = {k: (discount * (k > 1),) * 3 for k in tables}
    return twin.discounted(tables, 1 / twin.vocab_size(documents), discounts)


OF_NLTK = {
    "laplace": lambda documents, order: twin.add_k(documents, order, 1),
    "lidstone": lambda documents, order: twin.add_k(documents, order, nltk_probabilities.LIDSTONE),
    "stupid_backoff": twin.stupid_backoff,
    "witten_bell": twin.witten_bell,
    "absolute_discount": lambda documents, order: flat_unigrams(
        twin.raw_tables(documents, order), documents, nltk_probabilities.DISCOUNT
    ),
    "kneser_ney": lambda documents, order: flat_unigrams(
        twin.continuation_tables(documents, order), documents, nltk_probabilities.DISCOUNT
    ),
}


@pytest.mark.parametrize("method", OF_NLTK)
def test_equal_to_nltk(method):
    documents, order = nltk_probabilities.names(), nltk_probabilities.ORDER
    symbols = [END, *sorted(set("".join(documents)))]
    p = OF_NLTK[method](documents, order)
    stored = json.loads(nltk_probabilities.STORED.read_text(encoding="utf-8"))[method]
    for written, row in stored.items():
        context = tuple(START if x == nltk_probabilities.BOUNDARY else x for x in written)
        assert [p(context, symbol) for symbol in symbols] == pytest.approx(row, abs=1e-11), written


def test_what_is_stored_of_nltk_is_what_it_says():
    assert nltk_probabilities.rows() == json.loads(nltk_probabilities.STORED.read_text(encoding="utf-8"))


# --- texts whose loss is known --------------------------------------------------------------------------------------


@each_method
@pytest.mark.parametrize("characters", ["a", "ab", "abcd"])
def test_nothing_can_be_told_from_a_de_bruijn_text(method, characters):
    documents = closed_forms.de_bruijn(characters)
    assert twin.mean_nll(METHODS[method](documents, 2), documents, 2) == pytest.approx(
        math.log(len(characters) + 1), abs=1e-12
    )


def test_the_loss_of_a_text_with_the_counts_of_a_chain_is_its_entropy():
    documents = closed_forms.chain()
    assert twin.mean_nll(METHODS["none"](documents, 2), documents, 2) == pytest.approx(
        closed_forms.chain_entropy(), abs=1e-12
    )


@pytest.mark.parametrize("method", [method for method in METHODS if method != "none"])
@pytest.mark.parametrize("order", [2, 3])
def test_the_loss_on_a_drawn_text_nears_the_entropy_of_its_chain(method, order):
    """Learned from 37,000 symbols, on 3,700 drawn anew: what the chain itself loses there, and hardly more.

    A free number costs about 1 / (2 * 37,000), and a trigram has 48; sixty rounds of EM leave Jelinek-Mercer a part of
    the unigrams, which lose .1 more.
    """
    rng = random.Random(1)
    train, fresh = closed_forms.chain_sample(6000, rng), closed_forms.chain_sample(600, rng)
    rows = dict(zip([START, "a", "b", "c"], closed_forms.CHAIN, strict=True))

    def chain(context, symbol):
        row = rows[context[-1]]
        return row[[END, "a", "b", "c"].index(symbol)] / sum(row)

    excess = twin.mean_nll(METHODS[method](train, order), fresh, order) - twin.mean_nll(chain, fresh, 2)
    assert -0.001 < excess < 0.003
