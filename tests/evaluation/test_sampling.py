"""Sampling: from the model's distribution, changed by the decoding, the same documents for every batch size."""

import zlib
from collections import Counter
from itertools import count, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from makemore import COUNTS, SYMBOLS
from methods import METHODS

from nextchar.data.corpus import EMBEDDED
from nextchar.data.encoded import Split
from nextchar.data.vocabulary import Vocabulary
from nextchar.errors import BadInput
from nextchar.evaluation import sampling
from nextchar.evaluation.loss import loss_on
from nextchar.evaluation.sampling import Decoding, NovelOnly, sample
from nextchar.models.base import LanguageModel
from nextchar.rng import TorchStream, document_uniform


@pytest.fixture(scope="session")
def bigram(bigram_of):
    """The bigram of makemore's names with add-one smoothing."""
    return bigram_of(Vocabulary("".join(SYMBOLS[1:])), COUNTS, k=1)


def one_by_one(model, n, seed, *args, **decoding):
    return list(sample(model, n, seed, *args, **decoding))


def side_by_side(model, n, seed, *args, **decoding):
    return list(sample(model, n, seed, *args, **decoding, batched=True))


class Fixed(LanguageModel):
    """A context-free distribution that sees two ids; records what it was asked."""

    def __init__(self, probabilities, context=2):
        self.vocabulary = Vocabulary("abcdefghij"[: len(probabilities) - 1])
        self.context = context
        with np.errstate(divide="ignore"):
            self.row = np.log(probabilities)
        self.asked = []

    def log_probs(self, contexts):
        self.asked.append(contexts.copy())
        return np.tile(self.row, (len(contexts), 1))

    def tensors(self):
        return {}


def test_batches_of_any_size_give_the_same_documents(monkeypatch, bigram):
    many = side_by_side(bigram, 300, seed=7)
    assert side_by_side(bigram, 20, seed=7) == many[:20]
    monkeypatch.setattr(sampling, "BATCH", 7)
    assert side_by_side(bigram, 300, seed=7) == many
    assert side_by_side(bigram, 300, seed=8) != many


@pytest.mark.parametrize("draw", [one_by_one, side_by_side])
def test_the_text_has_the_models_own_entropy(draw, bigram, pairs):
    """Mean of NLL - H over sampled characters is 0 within four standard errors; so are the bigrams (chi square)."""
    texts = draw(bigram, 20_000, 11, max_chars=10_000)
    stream = bigram.vocabulary.stream(texts)
    every = bigram.log_probs(np.arange(27)[:, None])
    entropy = -(np.exp(every) * every).sum(1)
    surprise = -bigram.score(stream) - entropy[stream[:-1]]
    assert abs(surprise.mean()) < 4 * surprise.std() / np.sqrt(len(surprise))
    seen = pairs(stream, 27)
    expected = np.exp(every) * seen.sum(1, keepdims=True)
    common = expected > 10
    chi_square = ((seen - expected) ** 2 / expected)[common].sum()
    assert abs(chi_square - common.sum()) < 5 * np.sqrt(2 * common.sum())


@pytest.mark.parametrize("draw", [one_by_one, side_by_side])
def test_prefix_and_length(draw, bigram):
    assert all(text.startswith("em") for text in draw(bigram, 50, 1, prefix="em"))
    assert all(len(text) <= 4 for text in draw(bigram, 50, 1, prefix="em", max_chars=4))
    assert draw(bigram, 3, 1, prefix="emma", max_chars=2) == ["emma"] * 3
    with pytest.raises(BadInput, match=r"prefix=ñu: 'ñ' \(U\+00F1\) is not in the model's vocabulary"):
        draw(bigram, 1, 1, prefix="ñu")


@pytest.mark.parametrize("draw", [one_by_one, side_by_side])
def test_contexts_are_the_last_ids_and_padded_with_the_boundary(draw, monkeypatch):
    monkeypatch.setattr(sampling, "TABLE_CELLS", 0)  # else all contexts are asked for at once
    model = Fixed([0.0, 1.0, 0.0])
    assert draw(model, 1, 1, prefix="b", max_chars=4) == ["baaa"]
    asked = [tuple(row) for rows in model.asked for row in rows]
    assert asked == [(0, 2), (2, 1), (1, 1)]


@pytest.mark.parametrize("draw", [one_by_one, side_by_side])
def test_what_has_probability_zero_is_never_drawn(draw):
    model = Fixed([0.0, 0.0, 0.3, 0.0, 0.7, 0.0])
    assert set("".join(draw(model, 200, 3, max_chars=50))) == {"b", "d"}


@pytest.mark.parametrize("draw", [one_by_one, side_by_side])
def test_temperature_zero_takes_the_likeliest(draw, bigram):
    assert draw(bigram, 2, 1, decoding=Decoding(temperature=0)) == draw(bigram, 2, 2, decoding=Decoding(temperature=0))


rows = st.lists(st.floats(0.01, 1), min_size=2, max_size=8)


@given(rows, st.floats(0.1, 5), st.none() | st.integers(1, 10), st.none() | st.floats(0.05, 1))
def test_decodings_against_a_loop(weights, temperature, top_k, top_p):
    """The definitions, one id at a time."""
    p = np.array(weights) / sum(weights)
    scaled = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
    likeliest = sorted(range(len(p)), key=lambda i: (-scaled[i], i))[:top_k]
    kept, held, total = [], 0.0, sum(scaled[i] for i in likeliest)
    for i in likeliest:
        if held < (top_p or 1) - 1e-12:
            kept.append(i)
        held += scaled[i] / total
    expected = np.array([scaled[i] if i in kept else 0 for i in range(len(p))])
    decoded = Decoding(temperature, top_k, top_p).probabilities(np.log(p)[None])[0]
    assert decoded.sum() == pytest.approx(1, abs=1e-12)
    if len(set(np.round(scaled, 9))) == len(scaled):  # of equals either may come first after rounding
        assert decoded == pytest.approx(expected / expected.sum(), abs=1e-9)


def test_both_ways_draw_from_the_same_distribution(bigram):
    one = Counter(map(len, one_by_one(bigram, 20_000, 5)))
    other = Counter(map(len, side_by_side(bigram, 20_000, 6)))
    for length in range(1, 12):
        assert abs(one[length] - other[length]) < 5 * np.sqrt(one[length] + other[length])


def test_a_samples_loss_is_near_the_entropy_rate(bigram):
    texts = side_by_side(bigram, 5_000, seed=1)
    loss = loss_on(bigram, Split.of(bigram.vocabulary, texts), is_text=False)
    low, high = loss.interval
    assert low < loss.value < high


# --- orders ---------------------------------------------------------------------------------------------------------

NAMES = EMBEDDED.read_text().split()[:500]
ORDERS = [1, 2, 6, 20]
DECODINGS = [Decoding(), Decoding(temperature=0.5), Decoding(top_k=3), Decoding(top_p=0.8), Decoding(2.0, 5, 0.9)]


@pytest.fixture(scope="session")
def models(counted):
    """n-gram models of the names by order."""
    return {order: counted(NAMES, order, METHODS["modified_kneser_ney"][0]) for order in ORDERS}


def hashes(documents):
    return np.array([hash(document) for document in documents], dtype=np.int64)


def one_at_a_time(model, uniforms, prefix, decoding, max_chars):
    """A document by the definition: the last ids, their distribution, the first id whose sum is above u."""
    ids = [0] * model.context + model.vocabulary.known(prefix, "").tolist()
    while len(ids) < model.context + max_chars:
        row = decoding.probabilities(model.log_probs(np.array([ids[-model.context :]])))[0]
        sums = np.cumsum(row)
        ids.append(int(np.searchsorted(sums / sums[-1], next(uniforms), side="right")))
        if not ids[-1]:
            break
    return model.vocabulary.decode(ids)


@pytest.mark.parametrize("decoding", DECODINGS, ids=repr)
@pytest.mark.parametrize("order", ORDERS)
def test_documents_of_any_order_against_a_loop(order, decoding, models):
    model, stream = models[order], TorchStream(3)
    uniforms = iter(stream.uniform(5000).tolist())
    expected = [one_at_a_time(model, uniforms, "ma", decoding, 12) for _ in range(30)]
    assert one_by_one(model, 30, 3, "ma", decoding, 12) == expected
    batched = [
        one_at_a_time(model, (document_uniform(3, np.array([i]), step)[0] for step in count()), "ma", decoding, 12)
        for i in range(30)
    ]
    assert side_by_side(model, 30, 3, "ma", decoding, 12) == batched


@pytest.mark.parametrize("order", ORDERS)
def test_what_is_kept_of_contexts_changes_nothing(order, monkeypatch, models):
    model = models[order]
    one, many = one_by_one(model, 50, 1), side_by_side(model, 300, 1)
    for cells in (0, 100, 2000):
        monkeypatch.setattr(sampling, "TABLE_CELLS", 0)
        monkeypatch.setattr(sampling, "CACHE_CELLS", cells)
        assert one_by_one(model, 50, 1) == one
        assert side_by_side(model, 300, 1) == many


# --- novel ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_novel_is_the_same_text_without_what_is_known(order, models):
    model, training = models[order], set(NAMES)
    for stream in (
        lambda: sample(model, None, 5),
        lambda: sample(model, None, 5, batched=True),
    ):
        everything = list(islice(stream(), 100))
        novel = NovelOnly(stream(), hashes(NAMES))
        new = [text for text in everything if text not in training]
        assert list(islice(novel, len(new))) == new
        last = max(i for i, text in enumerate(everything) if text not in training)
        assert novel.skipped == last + 1 - len(new)
    assert list(islice(sample(model, None, 5, batched=True), 100)) == side_by_side(model, 100, 5)


def test_a_model_that_gives_nothing_new_is_an_error(counted):
    model = counted(["emma"], 6, METHODS["none"][0])
    with pytest.raises(BadInput, match=r"novel=true: 10,000 documents in a row are in the training set"):
        next(iter(NovelOnly(sample(model, None, 1, batched=True), hashes(["emma"]))))
    texts = ["", "Emma", "emm", "emmaa"]
    assert list(NovelOnly([*texts, "emma"], hashes(["emma"]))) == texts
    assert list(NovelOnly(["x"], hashes([]))) == ["x"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, runs):
    folder = tmp_path_factory.mktemp("novel")
    words = ["model=count", "model.order=6", "data=lines", runs.names(folder), "figures=false"]
    runs.train(*words, f"hydra.run.dir={folder / 'run'}")
    return folder


@pytest.mark.parametrize("batched", ["true", "false"])
def test_novel_as_typed(run, batched, run_script):
    words = [f"run={run / 'run'}", f"batched={batched}"]
    everything = run_script("sample", *words, "n=200").stdout.split("\n")[:-1]
    answer = run_script("sample", *words, "n=20", "novel=true")
    names = (run / "names.txt").read_text().split()
    train = {name for name in names if zlib.crc32(name.encode()) / 2**32 < 0.8}  # data.split=hash
    new = [text for text in everything if text not in train]
    assert answer.stdout.split("\n")[:-1] == new[:20]
    left_out = sum(text in train for text in everything[: everything.index(new[19])])
    assert answer.stderr == (
        f"note: {left_out} of {20 + left_out} documents drawn are in the training set and were left out\n"
    )


def test_novel_needs_the_text_as_it_was(run, run_script):
    names, words = run / "names.txt", [f"run={run / 'run'}", "n=2", "novel=true"]
    kept = names.read_text()
    names.write_text(kept + "zoe\n")
    changed = run_script("sample", *words)
    names.unlink()
    gone = run_script("sample", *words)
    names.write_text(kept)
    for answer, why in ((changed, "has changed since the run was trained on it"), (gone, "no such file")):
        assert (answer.returncode, answer.stdout) == (2, "")
        assert answer.stderr.startswith("error: novel=true needs the text that the run was trained on: ")
        assert why in answer.stderr
        assert answer.stderr.count("\n") == 1


def test_novel_is_refused_for_a_running_text(tmp_path, runs, run_script):
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be\n" * 50)
    runs.train("model=count", "data=text", f"data.path={text}", "figures=false", f"hydra.run.dir={tmp_path / 'run'}")
    answer = run_script("sample", f"run={tmp_path / 'run'}", "novel=true")
    assert answer.returncode == 2
    assert answer.stderr == (
        "error: novel=true: this run was trained on a running text, which has no documents to leave out\n"
    )


class Counting(Fixed):
    """Predicts the number of ids read, modulo V, most probably; its state counts them."""

    def log_probs(self, contexts):
        raise AssertionError("a model with a state is not asked for contexts")

    def new_state(self, rows):
        return Numbers(len(self.row), np.zeros(rows, dtype=int))


class Numbers:
    def __init__(self, vocab_size, read):
        self.vocab_size, self.seen = vocab_size, read

    def read(self, ids):
        self.seen = self.seen + ids.shape[1]
        return np.log(0.1 + 9 * np.eye(self.vocab_size)[self.seen % self.vocab_size])

    def keep(self, rows):
        self.seen = self.seen[rows]


@pytest.mark.parametrize("draw", [one_by_one, side_by_side])
def test_the_decoding_changes_what_a_model_with_a_state_gives(draw):
    model = Counting(np.full(4, 0.25))
    assert draw(model, 3, 1, decoding=Decoding(temperature=0)) == ["abc"] * 3
    assert draw(model, 3, 1, decoding=Decoding(top_k=1)) == ["abc"] * 3
    assert len(set(draw(model, 20, 1))) > 1
