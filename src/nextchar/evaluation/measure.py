"""The metrics of a model on every split."""

import numpy as np

from nextchar.data.encoded import Split
from nextchar.evaluation import loss as metrics
from nextchar.models.base import LanguageModel
from nextchar.models.ngram.fit import Counting
from nextchar.models.ngram.model import CountModel

SCORED_AT_ONCE = 1 << 20  # windows


def measure(
    model: LanguageModel, parts: dict[str, Split], is_text: bool, counting: Counting | None = None
) -> tuple[dict[str, float], list[str], dict[str, metrics.Loss]]:
    """The metrics of every part, what must be said of them, and the sums that they were made of.

    With `counting` a large train is not read again: its loss is that of its windows, and has no interval.
    """
    values: dict[str, float] = {}
    notes: list[str] = []
    measured: dict[int, metrics.Loss] = {}  # split=all has one part under three names
    train = parts.get("train")
    if counting is not None and train is not None and train.held is None and parts["test"] is not train:
        measured |= {id(train): loss} if (loss := loss_of_windows(counting)) is not None else {}
    for name, part in parts.items():
        if id(part) not in measured:
            measured[id(part)] = metrics.loss(model, part, is_text)
        values |= metrics.named(name, measured[id(part)])
        if (unseen := _unseen(measured[id(part)], part)) is not None:
            values[f"{name}/loss_unseen"] = unseen
            notes.append(f"{name}: some documents stand in train too; on the others the loss is {unseen:.6f}")
        if not np.isfinite(values[f"{name}/loss"]):
            impossible = measured[id(part)].impossible
            remedy = "; another smoothing, such as add_k, leaves nothing without a chance"
            notes.append(
                f"{name}/loss is infinite: {impossible:,} of {part.predicted:,} characters have probability 0"
                + remedy * isinstance(model, CountModel)
            )
        if part.skipped:
            notes.append(f"{name}: {part.skipped:,} characters that train never shows were left out of the metric")
    if not model.sums_to_one:
        notes.append("the losses are those of scores that do not sum to 1; no loss of probabilities compares with them")
    return values, notes, {name: measured[id(part)] for name, part in parts.items()}


def _unseen(measured: metrics.Loss, part: Split) -> float | None:
    """The loss on the documents that do not stand in train; None where that says nothing of its own."""
    if part.in_train is None or part.in_train.all() or not part.in_train.any():
        return None
    return metrics.Loss(measured.nll[~part.in_train], measured.chars[~part.in_train]).value


def loss_of_windows(counting: Counting) -> metrics.Loss | None:
    """The loss of train, as one document, from its windows; None where they are longer than the model looks."""
    if counting.windows.order != counting.model.order:
        return None
    sums, impossible = 0.0, 0
    for start in range(0, len(counting.windows), SCORED_AT_ONCE):
        part = slice(start, start + SCORED_AT_ONCE)
        scores, times = counting.model.score_windows(counting.windows.keys[part]), counting.windows.counts[part]
        sums -= float(scores @ times)
        impossible += int(times[np.isneginf(scores)].sum())
    return metrics.Loss(np.array([sums]), np.array([counting.windows.total]), impossible)
