"""The metrics of every split, and the notes beside them, from documents that are summed up by hand."""

import math
import random
from pathlib import Path

import numpy as np
import pytest

from nextchar.config.compose import run_settings
from nextchar.data import encoded
from nextchar.data.load import Dataset, load
from nextchar.evaluation import measure as measuring
from nextchar.evaluation.loss import Loss, loss_on
from nextchar.evaluation.measure import loss_of_counts, loss_rows, measure
from nextchar.models.ngram.fit import NgramFit, fit_ngrams

NAMES = [first + last for first in ("ann", "bo", "cleo", "dan", "eve") for last in ("a", "bert", "ie", "lyn", "y", "")]

ODD = ["".join(random.Random(seed).choices("abcdefghijkl", k=5)) for seed in range(40)]


@pytest.fixture
def fitted(tmp_path: Path):
    """The data set and the fitted model of names: fitted("model.order=3", documents=[...])."""

    def fit(*words: str, documents: list[str] = NAMES) -> tuple[Dataset, NgramFit]:
        (tmp_path / "names.txt").write_text("\n".join(documents))
        settings = run_settings(["data=lines", f"data.path={tmp_path / 'names.txt'}", *words])
        dataset = load(settings.data)
        return dataset, fit_ngrams(settings, dataset.vocabulary, dataset.splits)

    return fit


def test_the_interval_lies_around_the_value() -> None:
    dice = np.random.default_rng(0)
    values = Loss(dice.exponential(9, 200), dice.integers(3, 9, 200)).metrics("val")
    assert values["val/loss_low"] < values["val/loss"] < values["val/loss_high"]
    assert set(values) == {f"val/{name}" for name in ("loss", "bits_per_char", "perplexity", "loss_low", "loss_high")}


@pytest.mark.parametrize("ids_at_once", [1, 5, 1 << 20])
@pytest.mark.parametrize("words", [[], ["smoothing=none"]])
def test_train_measured_from_its_counts_has_the_loss_of_its_documents(
    words: list[str], ids_at_once: int, fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoded, "BLOCK_IDS", ids_at_once)
    monkeypatch.setattr(measuring, "SCORED_AT_ONCE", ids_at_once)
    dataset, counting = fitted("model.order=3", "data.split=makemore", *words)
    of_documents = loss_on(counting.model, dataset.splits["train"], is_text=False)
    of_counts = loss_of_counts(counting)
    assert of_counts.value == pytest.approx(of_documents.value, abs=1e-12)
    assert of_counts.chars.sum() == of_documents.chars.sum()
    assert (of_counts.impossible, of_documents.impossible) == (0, 0)


@pytest.mark.parametrize("ids_at_once", [1, 5, 1 << 20])
def test_characters_of_probability_0_are_counted(ids_at_once: int, fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "BLOCK_IDS", ids_at_once)
    dataset, counting = fitted("smoothing=none", "data.split=lecture", documents=ODD)
    seen = {pair for name in texts(dataset, "train") for pair in pairs_of(name)}
    by_hand = sum(pair not in seen for name in texts(dataset, "test") for pair in pairs_of(name))
    assert by_hand > 1
    assert loss_on(counting.model, dataset.splits["test"], is_text=False).impossible == by_hand
    measured = measure(counting.model, dataset.splits, is_text=False)
    predicted = sum(len(name) + 1 for name in texts(dataset, "test"))
    assert (
        f"test/loss is infinite: {by_hand} of {predicted} characters have probability 0; "
        "a smoothing such as add_k gives every character a non-zero probability"
    ) in measured.notes
    assert measured.metrics["test/loss"] == math.inf
    assert "test/loss_low" not in measured.metrics
    assert measured.losses["test"].impossible == by_hand


def test_documents_that_train_has_too_are_told_apart(fitted) -> None:
    documents = [*NAMES, *NAMES[::2]]
    dataset, counting = fitted("data.split=lecture", documents=documents)
    train = set(texts(dataset, "train"))
    measured = measure(counting.model, dataset.splits, is_text=False)
    for name in ("val", "test"):
        loss = measured.losses[name]
        is_new = np.array([text not in train for text in texts(dataset, name)])
        assert 0 < is_new.sum() < len(is_new)
        by_hand = loss.nll[is_new].sum() / loss.chars[is_new].sum()
        assert measured.metrics[f"{name}/loss_unseen"] == pytest.approx(by_hand, abs=1e-12)
        repeated = f"{name}: {(~is_new).sum()} of its {len(is_new)} documents also appear in train"
        assert f"{repeated}; the loss on the others is {by_hand:.6f}" in measured.notes
    assert "train/loss_unseen" not in measured.metrics


def test_characters_left_out_are_noted(fitted) -> None:
    dataset, counting = fitted(
        "data.split=lecture", "data.unk=skip", documents=[*NAMES, *map(chr, range(0x4E00, 0x4E20))]
    )
    left_out = {name: split.skipped for name, split in dataset.splits.items() if split.skipped}
    assert left_out
    notes = measure(counting.model, dataset.splits, is_text=False).notes
    for name, n in left_out.items():
        assert f"{name}: {n} out-of-vocabulary characters were excluded from the loss" in notes


def test_scores_are_no_probabilities(fitted) -> None:
    dataset, counting = fitted("model.order=3", "smoothing=stupid_backoff")
    said = "this model gives scores that do not sum to 1; its losses do not compare with those of other models"
    assert said in measure(counting.model, dataset.splits, is_text=False).notes
    dataset, counting = fitted("model.order=3")
    assert said not in measure(counting.model, dataset.splits, is_text=False).notes


def test_the_rows_of_the_table() -> None:
    metrics = Loss(np.full(20, 2 * math.log(2)), np.full(20, 2)).metrics("val")
    metrics |= Loss(np.array([3.0]), np.array([1])).metrics("test") | {"test/loss_unseen": 1.0}
    assert list(loss_rows(metrics)) == [
        ("val", "0.693147", "0.6931 .. 0.6931", "1.0000", "2.000"),
        ("test", "3.000000", "-", "4.3281", "20.086"),
    ]


def texts(dataset: Dataset, split: str) -> list[str]:
    """The documents of a split, in their order."""
    ids = np.concatenate([block.ids[block.n_context :] for block in dataset.splits[split].blocks(1)])
    return [dataset.vocabulary.decode(part) for part in np.split(ids, np.flatnonzero(ids == 0) + 1)[:-1]]


def pairs_of(name: str) -> list[tuple[str, str]]:
    return list(zip(f".{name}", f"{name}.", strict=True))


def test_a_train_that_is_held_is_measured_by_document(fitted) -> None:
    dataset, counting = fitted("model.order=3", "data.split=makemore", documents=NAMES * 10)
    measured = measure(counting.model, dataset.splits, is_text=False, counting=counting)
    assert len(measured.losses["train"].chars) == dataset.report.documents["train"]
    assert "train/loss_low" in measured.metrics
