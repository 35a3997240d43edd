"""Smoothed probabilities sum to one, and equal a brute-force twin written from the papers, and closed forms."""

import inspect
import math
import random
from fractions import Fraction
from itertools import product

import brute_force as twin
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from methods import METHODS, SHORT, smoothing

from nextchar.data.encoded import Split
from nextchar.data.vocabulary import Vocabulary
from nextchar.evaluation.loss import loss_on
from nextchar.models.ngram import model as ngrams
from nextchar.models.ngram.counts import TrainCounts, count_stream
from nextchar.models.ngram.estimation import estimate
from nextchar.models.ngram.kneser_ney import three_discounts
from nextchar.models.ngram.model import CountModel

texts = st.lists(st.text(alphabet="abcd", min_size=1), min_size=1, max_size=20)
orders = st.integers(1, 8)
ks = st.sampled_from([0, 1e-9, 0.01, 0.5, 1, 7, 1e6])


each_method = pytest.mark.parametrize("method", METHODS)


def contexts_of(documents, model):
    """All contexts of a text and some unseen ones: as ids, and as the twin writes them."""
    v, wanted = len(model.vocabulary), set()
    for document in documents:
        wanted |= {context for context, _ in twin.positions(document, model.order)}
    characters = model.vocabulary.characters
    wanted |= {tuple(characters[(i * 7 + j) % (v - 1)] for j in range(model.order - 1)) for i in range(4)}
    ids = np.zeros((len(wanted), model.context), dtype=np.int64)
    for row, context in zip(ids, sorted(wanted, key=str), strict=True):
        if context:
            row[-len(context) :] = [0 if x is None else 1 + characters.index(x) for x in context]
    return ids, sorted(wanted, key=str)


# As KenLM counts, n_1 to n_3 are 4, 3, 5, and D_2 = 2 - 3 (4 / 10) (5 / 3) is 0
A_DISCOUNT_OF_ZERO = ["a", "a", "c", "aa", "db", "cac", "aaaa", "abab", "cacb", "cacc", "dbabadadc"]


@each_method
@given(documents=texts, order=orders)
@example(documents=A_DISCOUNT_OF_ZERO, order=2)
def test_equal_to_the_twin_and_sums_to_one(method, documents, order, counted):
    chosen, brute = METHODS[method]
    model, p = counted(documents, order, chosen), brute(documents, order)
    ids, contexts = contexts_of(documents, model)
    found = np.exp(model.log_probs(ids))
    symbols = [None, *model.vocabulary.characters]
    assert found == pytest.approx(np.array([[p(h, y) for y in symbols] for h in contexts]), rel=1e-10, abs=1e-13)
    if method not in SHORT:
        assert np.abs(found.sum(1) - 1).max() <= 1e-12
    assert method in ("none", "like kenlm") or found.min() > 0


@each_method
@given(documents=texts, others=texts, order=orders)
def test_score_looks_up_what_log_probs_holds(method, documents, others, order, counted):
    model = counted(documents, order, METHODS[method][0])
    kept = [text for text in ("".join(c for c in each if c in "".join(documents)) for each in others) if text]
    stream = model.vocabulary.stream([*documents, *kept])
    scores = model.score(stream)
    by_rows = super(CountModel, model).score(stream)
    assert scores == pytest.approx(by_rows, rel=1e-12, abs=1e-12)


PRUNABLE = [name for name, (chosen, _) in METHODS.items() if chosen.prunable and name != "like kenlm"]


@pytest.mark.parametrize("method", PRUNABLE)
@given(documents=texts, order=st.integers(2, 6), thresholds=st.sampled_from([[0, 1], [0, 0, 1], [0, 2], [0, 0, 0, 3]]))
def test_pruned_models_sum_to_one_and_give_pruned_counts_to_the_order_below(
    method, documents, order, thresholds, counted
):
    whole, pruned = (counted(documents, order, METHODS[method][0], prune=prune) for prune in ([], thresholds))
    ids, contexts = contexts_of(documents, pruned)
    found = np.exp(pruned.log_probs(ids))
    assert np.abs(found.sum(1) - 1).max() <= 1e-12
    raw = twin.raw_tables(documents, order)
    kept = {
        k: {h: {y for y, n in row.items() if n > thresholds[min(k, len(thresholds)) - 1]} for h, row in table.items()}
        for k, table in raw.items()
    }
    assert [len(table) for table in pruned.tables] == [sum(map(len, kept[k].values())) for k in range(1, order + 1)]
    if method == "absolute_discount":
        for row, context in zip(found, contexts, strict=True):
            assert row == pytest.approx([pruned_twin(raw, kept, whole, context, y) for y in symbols(whole)], rel=1e-9)


def symbols(model):
    return [None, *model.vocabulary.characters]


def pruned_twin(raw, kept, model, context, symbol):
    """Absolute discounting of the kept n-grams alone; the order below gets all other counts of a context."""
    k = len(context) + 1
    below = pruned_twin(raw, kept, model, context[1:], symbol) if context else 1 / len(model.vocabulary)
    row = raw[k].get(context)
    if not row or not kept[k][context]:
        return below
    d = model.smoothing.parameters[k - 1, 0]
    own = {y: row[y] - d for y in kept[k][context]}
    return own.get(symbol, 0) / row.total() + (1 - sum(own.values()) / row.total()) * below


@pytest.mark.parametrize("weights", ["order", "bucket"])
@settings(max_examples=40)
@given(documents=texts, order=st.integers(1, 5))
def test_jelinek_mercer_against_the_twin(weights, documents, order, counted):
    """Both stop EM before it converges, so the losses on val are compared, not the weights."""
    val = documents[::2]
    model = counted(documents, order, smoothing("jelinek_mercer", weights=weights), val)
    p, _ = twin.jelinek_mercer(documents, val, order, bucketed=weights == "bucket")
    stream = model.vocabulary.stream(val)
    assert -model.score(stream).mean() <= twin.mean_nll(p, val, order) + 1e-6
    every = np.exp(model.log_probs(contexts_of(documents, model)[0]))
    assert np.abs(every.sum(1) - 1).max() <= 1e-12


@pytest.mark.parametrize("weights", ["order", "bucket"])
def test_jelinek_mercer_gives_no_probability_0_if_val_holds_nothing_new(weights, counted):
    """a and b alternate, so the bigram is always right; its weight must stay below 1."""
    model = counted(["ab" * 50] * 40, 3, smoothing("jelinek_mercer", weights=weights), ["ab" * 50] * 10)
    assert np.isfinite(model.score(model.vocabulary.stream(["bbaa", "aab"]))).all()
    assert np.isfinite(model.log_probs(np.array([[0, 0], [0, 1], [1, 1], [2, 1]]))).all()


@pytest.mark.parametrize("order", [1, 3, 6])
@pytest.mark.parametrize(
    "plain",
    [
        {"name": "add_k", "k": 0.01},
        {"name": "absolute_discount", "discount": None},
        {"name": "kneser_ney", "discount": None},
        {"name": "modified_kneser_ney", "base": "uniform"},
        {"name": "modified_kneser_ney", "base": "kenlm"},
        {"name": "dirichlet", "concentration": 5},
        {"name": "pitman_yor", "discount": None, "concentration": 0.5},
    ],
    ids=lambda plain: "-".join(map(str, plain.values())),
)
def test_tuned_is_never_worse_on_val_than_untuned(plain, order, counted):
    """On a program, whose long contexts are informative: tuning order by order would do worse there."""
    lines = [line for line in inspect.getsource(ngrams).split("\n") if line]
    train, known = lines[::2], set("".join(lines[::2]))
    val = ["".join(c for c in line if c in known) for line in lines[1::2]]
    losses = []
    for tune in (False, True):
        model = counted(train, order, smoothing(**plain, tune=tune), val)
        losses.append(-model.score(model.vocabulary.stream(val)).mean())
    assert losses[1] <= losses[0] + 1e-12


@each_method
@given(documents=st.lists(st.text(alphabet="ab", min_size=1, max_size=3), min_size=1, max_size=9))
def test_an_order_that_no_document_reaches_changes_nothing(method, documents, counted):
    """Documents of 3 characters have no 6-gram: the model of order 6 is that of order 5."""
    longer, shorter = (counted(documents, order, METHODS[method][0]) for order in (6, 5))
    stream = longer.vocabulary.stream(["a" * 7, *documents] if "a" in longer.vocabulary.characters else documents)
    if method in (
        "none",
        "add_k",
        "stupid_backoff",
    ):  # after an unseen context these are uniform, or multiply by a factor
        stream = longer.vocabulary.stream(documents)
    assert longer.score(stream) == pytest.approx(shorter.score(stream), rel=1e-12)


@given(documents=texts, k=st.sampled_from([0, 0.5, 1, 3]))
def test_equal_to_fractions(documents, k, counted):
    """The equation in exact arithmetic: (c + k) / (n + k V)."""
    model = counted(documents, 2, smoothing("add_k", k=k, tune=False))
    v = len(model.vocabulary)
    matrix = model.tables[1].matrix(np.arange(v))
    probabilities = np.exp(model.log_probs(np.arange(v)[:, None]))
    for x in range(v):
        for y in range(v):
            mass = Fraction(int(matrix[x].sum())) + Fraction(k) * v
            exact = (Fraction(int(matrix[x, y])) + Fraction(k)) / mass if mass else Fraction(1, v)
            assert probabilities[x, y] == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("name", ["add_k", "dirichlet"])
@pytest.mark.parametrize("order", [1, 2, 5])
def test_much_smoothing_tends_to_uniform(name, order, counted):
    many = {"k": 1e12} if name == "add_k" else {"concentration": 1e12}
    model = counted(["emma", "olivia"], order, smoothing(name, tune=False, **many))
    assert -model.score(model.vocabulary.stream(["emma"])).mean() == pytest.approx(
        math.log(len(model.vocabulary)), abs=1e-9
    )


def bigram_of_stream(stream, vocabulary, k=0):
    raw = count_stream(stream, len(vocabulary), 2)
    return CountModel(vocabulary, raw, estimate(smoothing("add_k", k=k, tune=False), TrainCounts(raw), None))


def test_a_text_with_every_pair_once_has_loss_ln_v():
    """A de Bruijn sequence: the previous character says nothing about the next, so the loss is that of uniform."""
    stream = np.array([0, 0, 1, 0, 2, 1, 1, 2, 2, 0])
    model = bigram_of_stream(stream, Vocabulary("ab"))
    assert model.tables[1].counts.tolist() == [1] * 9
    assert -model.score(stream).mean() == pytest.approx(math.log(3), abs=1e-12)


@pytest.mark.parametrize("method", ["witten_bell", "kneser_ney", "modified_kneser_ney", "absolute_discount"])
def test_a_markov_chain_of_known_entropy(method, counted):
    """Of 400,000 characters drawn from a chain of order 1, an n-gram of order 3 finds the entropy rate."""
    random, rows = np.random.default_rng(5), np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.3, 0.3, 0.4]])
    uniforms, states = random.random(400_000), [0]
    for u in uniforms:
        states.append(int(np.searchsorted(np.cumsum(rows[states[-1]]), u, side="right")))
    at_rest = np.linalg.matrix_power(rows, 200)[0]
    entropy = -float(at_rest @ (rows * np.log(rows)).sum(1))
    text = "".join("abc"[state] for state in states)
    model = counted([text[:200_000]], 3, METHODS[method][0])
    scores = model.score(model.vocabulary.stream([text[200_000:]]))[2:-1]
    assert abs(-scores.mean() - entropy) < 4 * scores.std() / math.sqrt(len(scores))


def test_maximum_likelihood_gives_unseen_bigrams_probability_0(counted):
    model = counted(["ab"], 2, smoothing("none"))
    assert math.isinf(loss_on(model, Split.of(model.vocabulary, ["ba"]), is_text=False).value)


def test_the_weights_of_contexts_that_are_seen_often(counted):
    """Of bigrams whose contexts train has about 40, 150, 350 and 1,500 times: each bucket has a weight of its own."""
    draw = random.Random(1)
    followers = {"a": (1300, "aaaab"), "b": (500, "abbbc"), "c": (150, "abcdd"), "d": (70, "abcde"), "e": (30, "abcde")}

    def documents(part):
        return [x + draw.choice(after) for x, (n, after) in followers.items() for _ in range(n // part)]

    train, val = documents(1), documents(1)
    model = counted(train, 2, smoothing("jelinek_mercer", weights="bucket"), val)
    _, weights = twin.jelinek_mercer(train, val, 2, bucketed=True)
    buckets = sorted(weights[2].keys() - {None})
    assert buckets == [5, 7, 8, 9]
    assert model.smoothing.parameters[1, buckets] == pytest.approx([weights[2][b] for b in buckets], abs=1e-9)
    assert np.ptp(model.smoothing.parameters[1, buckets]) > 0.1


def test_a_discount_of_exactly_zero_is_zero():
    """2 - 3 Y n_3 / n_2 is 0 for these counts of counts; rounding Y first gives -4e-16, or 2e-16 for (25, 15, 22)."""
    assert three_discounts([4, 3, 5, 0])[1] == 0.0
    assert three_discounts([25, 15, 22, 1])[1] == 0.0
    found = [three_discounts([n1, n2, n3, 0])[1] for n1, n2, n3 in product(range(1, 31), repeat=3)]
    exact = [2 - 3 * Fraction(n1, n1 + 2 * n2) * Fraction(n3, n2) for n1, n2, n3 in product(range(1, 31), repeat=3)]
    assert found == [float(d) for d in exact]
