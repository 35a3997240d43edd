"""Groups runs that differ in the seed only into rows, and labels each row by the settings that tell it apart."""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nextchar.comparison.find import LeftOut, TestedRun
from nextchar.comparison.significance import Estimate, mean_over_seeds, over_seeds, per_character
from nextchar.config.fields import flat, not_compared
from nextchar.config.train_settings import TrainSettings
from nextchar.evaluation.loss import Loss
from nextchar.messages import one_line, shown

# Runs that differ in these are the same model: in the seed, and in settings that cannot change a result. The path of
# the text counts as little; its digest takes its place.
IGNORED = not_compared(TrainSettings) | {"seed", "data.path"}
GROUPS = ("model", "smoothing", "optim", "trainer", "data")  # the order of the settings in a label

ModelKey = tuple[tuple[str, Any], ...]  # the settings that define a model, by dotted key


@dataclass(frozen=True)
class Row:
    """A place in the ranking: runs that differ in nothing but the seed, as a rule a single one.

    `to_best`: the loss above that of the best row; None for the best itself and where it has no interval.
    """

    runs: list[TestedRun]
    label: str
    settings: dict[str, Any]  # those that differ between rows
    unfinished: int  # further seeds whose runs did not finish
    rank: int = 0  # from 1
    to_best: Estimate | None = None

    @property
    def seeds(self) -> str:
        """The number of seeds: 3, or 2 of 3 where one did not finish."""
        return f"{len(self.runs)}" + (f" of {len(self.runs) + self.unfinished}" if self.unfinished else "")

    @cached_property
    def over_seeds(self) -> Estimate | None:
        """The mean loss over seeds with its error; None for one seed."""
        return over_seeds([run.loss for run in self.runs])

    @property
    def loss(self) -> float:
        """On the test split, nats per character, the mean over seeds; infinite where that of one seed is."""
        return self.over_seeds.value if self.over_seeds else max(run.loss for run in self.runs)

    @property
    def bits_per_char(self) -> float:
        return self.loss / math.log(2)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """The metrics that all seeds have, their means."""
        records = [run.record.metrics for run in self.runs]
        common = sorted(set(records[0]).intersection(*records[1:]))
        values = np.array([[float(record[key]) for record in records] for key in common])  # (metrics, seeds)
        return dict(zip(common, values.mean(axis=1).tolist(), strict=True))

    @property
    def losses(self) -> list[Loss]:
        """The losses of the documents, one Loss a seed; [] where the folder of one seed lacks them."""
        losses = [run.losses for run in self.runs if run.losses is not None]
        return losses if len(losses) == len(self.runs) else []

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95% over documents: of one run the bootstrap interval in its record, of several that of their mean."""
        if len(self.runs) == 1:
            ends = [self.metrics[key] for key in ("test/loss_low", "test/loss_high") if key in self.metrics]
            return (ends[0], ends[1]) if len(ends) == 2 else None
        mean = per_character(mean_over_seeds(self.losses), self.losses[0].chars) if self.losses else None
        return (mean.value - mean.half_width, mean.value + mean.half_width) if mean else None

    @property
    def is_net(self) -> bool:
        """Whether another seed gives another loss."""
        return self.runs[0].record.settings.model.net is not None

    @property
    def ties_with_best(self) -> bool:
        """Whether the interval of the difference to the best contains 0."""
        return self.to_best is not None and abs(self.to_best.value) <= self.to_best.half_width


def group(runs: Sequence[TestedRun], left_out: Sequence[LeftOut]) -> tuple[list[Row], list[str]]:
    """Returns the rows, not ranked yet, and the keys of the settings that differ between them."""
    groups: dict[tuple[ModelKey, str, int], list[TestedRun]] = defaultdict(list)
    repetitions: Counter[tuple[ModelKey, str, int]] = Counter()
    for run in runs:
        assert run.record.data is not None
        model, digest = _key_of(run.record.settings), run.record.data.sha256
        repetitions[model, digest, run.seed] += 1  # a second run with the same seed is no new seed: another row
        groups[model, digest, repetitions[model, digest, run.seed]].append(run)
    settings = [dict(model) | {"data.sha256": digest} for model, digest, _ in groups]
    keys = dict.fromkeys(key for each in settings for key in each)
    varying = [key for key in keys if len({shown(each[key]) for each in settings if key in each}) > 1]
    place = {name: i for i, name in enumerate(GROUPS)}
    varying.sort(key=lambda key: place.get(key.partition(".")[0], len(GROUPS)))
    own = [{key: each[key] for key in varying if key in each} for each in settings]
    unfinished: dict[tuple[ModelKey, str | None], set[int]] = defaultdict(set)  # seeds; a digest may be missing
    for each in left_out:
        if each.settings is not None:
            unfinished[_key_of(each.settings), each.settings.data.path].add(each.settings.seed)
    rows = []
    labels = _distinct(_labels(own, varying), list(groups.values()))
    for (model, *_), seeds, label, values in zip(groups, groups.values(), labels, own, strict=True):
        others = unfinished[model, seeds[0].record.settings.data.path] - {run.seed for run in seeds}
        rows.append(Row(seeds, label, values, len(others)))
    return rows, varying


def _key_of(settings: TrainSettings) -> ModelKey:
    """The settings that define a model; the name of a group's option as it is typed, model=nn."""
    leaves = flat(settings.plain())
    kept = {key: value for key, value in leaves.items() if key not in IGNORED and (key not in GROUPS or value)}
    return tuple((key.removesuffix(".name"), value) for key, value in kept.items())


def _labels(settings: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[str]:
    """A label a row: a key is named only where it differs among rows that are labelled alike so far."""
    labels = [""] * len(settings)
    for key in keys:
        values = [as_typed(each[key]) if key in each else "" for each in settings]
        alike: dict[str, set[str]] = defaultdict(set)
        for label, value in zip(labels, values, strict=True):
            alike[label].add(value)
        labels = [
            f"{label} {key}={value}".strip() if value and len(alike[label]) > 1 else label
            for label, value in zip(labels, values, strict=True)
        ]
    return labels


def _distinct(labels: Sequence[str], groups: Sequence[Sequence[TestedRun]]) -> Iterator[str]:
    """Adds the name of a folder to a label that is empty or that several rows have."""
    times = Counter(labels)
    above = os.path.commonpath([os.path.dirname(os.path.abspath(run.path)) for runs in groups for run in runs])
    for label, runs in zip(labels, groups, strict=True):
        if not label or times[label] > 1:
            more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
            label = f"{label} {one_line(os.path.relpath(runs[0].path, above))}{more}".strip()
        yield label


def as_typed(value: object) -> str:
    """A setting as it would be typed: 15, not 15.0."""
    return f"{value:g}" if isinstance(value, float) else shown(value, 24)
