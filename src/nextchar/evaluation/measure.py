"""The metrics of a model on every split, and notes on what the losses do not count."""

from typing import NamedTuple

import numpy as np

from nextchar.data.encoded import Split
from nextchar.evaluation.loss import Loss, loss_on
from nextchar.models.base import LanguageModel
from nextchar.models.ngram.fit import NgramFit
from nextchar.models.ngram.model import CountModel

SCORED_AT_ONCE = 1 << 20  # n-grams


class Measured(NamedTuple):
    """Metrics by name ("test/loss_low"), sentences for the user, and the losses by split."""

    metrics: dict[str, float]
    notes: list[str]
    losses: dict[str, Loss]


def measure(
    model: LanguageModel, splits: dict[str, Split], is_text: bool, counting: NgramFit | None = None
) -> Measured:
    """Measures the loss of every split, each distinct one once: data.split=all has one split under three names.

    A large train from which the model itself was counted is not read again: its loss follows from its counts, without
    interval.
    """
    losses: dict[int, Loss] = {}  # by id() of the split
    train = splits.get("train")
    own = counting if counting is not None and counting.model is model else None
    if own is not None and train is not None and train.held is None and splits["test"] is not train:
        counted = loss_of_counts(own)
        losses |= {id(train): counted} if counted is not None else {}
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
            remedy = "; a smoothing such as add_k gives every character a non-zero probability"
            notes.append(
                f"{name}/loss is infinite: {loss.impossible:,} of {split.predicted:,} characters have probability 0"
                + remedy * isinstance(model, CountModel)
            )
        if split.skipped:
            notes.append(f"{name}: {split.skipped:,} out-of-vocabulary characters were excluded from the loss")
    if not model.sums_to_one:
        notes.append(
            "this model gives scores that do not sum to 1; its losses do not compare with those of other models"
        )
    return Measured(values, notes, {name: losses[id(split)] for name, split in splits.items()})


def loss_of_counts(counting: NgramFit) -> Loss | None:
    """The loss of train from its counts, as one document; None where they are longer than the model reads."""
    ngrams, model = counting.train, counting.model
    if ngrams.order != model.order:
        return None
    nll, impossible = 0.0, 0
    for start in range(0, len(ngrams), SCORED_AT_ONCE):
        part = slice(start, start + SCORED_AT_ONCE)
        scores, counts = model.score_ngrams(ngrams.keys[part]), ngrams.counts[part]
        nll -= float(scores @ counts)
        impossible += int(counts[np.isneginf(scores)].sum())
    return Loss(np.array([nll]), np.array([ngrams.total]), impossible)
