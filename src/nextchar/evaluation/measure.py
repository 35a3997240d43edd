"""The metrics of a model on every split, and notes on what the losses do not count."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from nextchar.data.encoded import Split
from nextchar.evaluation.loss import Loss, loss_on
from nextchar.models.base import LanguageModel
from nextchar.models.ngram.fit import NgramFit
from nextchar.models.ngram.model import CountModel

LOSS_HEADS = ("", "loss (nats/char)", "95% interval", "bits/char", "perplexity")
SCORED_AT_ONCE = 1 << 20  # n-grams


class Measured(NamedTuple):
    metrics: dict[str, float]  # by name, as "test/loss_low"
    notes: list[str]  # sentences for the user
    losses: dict[str, Loss]  # by split


def measure(
    model: LanguageModel, splits: dict[str, Split], is_text: bool, counting: NgramFit | None = None
) -> Measured:
    """Measures the loss of every split.

    A large train from which the model itself was counted is not read again: its loss follows from its counts, without
    interval.
    """
    losses: dict[int, Loss] = {}  # by id(): data.split=all is one split of three names
    if counting is not None and counting.model is model and counting.train.order == counting.model.order:
        train = splits["train"]
        if train.held is None and splits["test"] is not train:
            losses[id(train)] = loss_of_counts(counting)
    values: dict[str, float] = {}
    notes: list[str] = []
    for name, split in splits.items():
        if id(split) not in losses:
            losses[id(split)] = loss_on(model, split, is_text)
        loss = losses[id(split)]
        values |= loss.metrics(name)
        if split.in_train is not None and split.in_train.any() and not split.in_train.all():
            unseen = Loss(loss.nll[~split.in_train], loss.chars[~split.in_train]).value
            values[f"{name}/loss_unseen"] = unseen
            repeated = f"{split.in_train.sum():,} of its {len(split.in_train):,} documents"
            notes.append(f"{name}: {repeated} also appear in train; the loss on the others is {unseen:.6f}")
        if not np.isfinite(loss.value):
            note = f"{name}/loss is infinite: {loss.impossible:,} of {split.predicted:,} characters have probability 0"
            remedy = "; a smoothing such as add_k gives every character a non-zero probability"
            notes.append(note + remedy * isinstance(model, CountModel))
        if split.skipped:
            notes.append(f"{name}: {split.skipped:,} out-of-vocabulary characters were excluded from the loss")
    if not model.sums_to_one:
        notes.append(
            "this model gives scores that do not sum to 1; its losses do not compare with those of other models"
        )
    return Measured(values, notes, {name: losses[id(split)] for name, split in splits.items()})


def loss_of_counts(counting: NgramFit) -> Loss:
    """The loss of train from its counts, as one document: -sum over distinct n-grams of c(h w) log P(w | h)."""
    ngrams = counting.train
    nll, impossible = 0.0, 0
    for start in range(0, len(ngrams), SCORED_AT_ONCE):
        part = slice(start, start + SCORED_AT_ONCE)
        scores, counts = counting.model.score_ngrams(ngrams.keys[part]), ngrams.counts[part]
        nll -= float(scores @ counts)
        impossible += int(counts[np.isneginf(scores)].sum())
    return Loss(np.array([nll]), np.array([ngrams.total]), impossible)


def loss_rows(metrics: dict[str, float]) -> Iterator[tuple[str, ...]]:
    """Yields the row of each split in a table of losses, below LOSS_HEADS."""
    for split in [name.removesuffix("/loss") for name in metrics if name.endswith("/loss")]:
        loss, bits, perplexity = (metrics[f"{split}/{unit}"] for unit in ("loss", "bits_per_char", "perplexity"))
        ends = [f"{metrics[key]:.4f}" for key in (f"{split}/loss_low", f"{split}/loss_high") if key in metrics]
        yield split, f"{loss:.6f}", " .. ".join(ends) or "-", f"{bits:.4f}", f"{perplexity:.3f}"
