"""Runs beside one another: grouped over seeds, ranked, and their differences judged.

Only runs that were tested on the same documents, under the same split and vocabulary, are ranked; others are refused.
"""

import math
import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nextchar.comparison.find import LeftOut, Run, gather
from nextchar.comparison.significance import FEWEST, Estimate, difference, of_all_pairs, over_seeds, per_character
from nextchar.config.fields import flat, not_compared
from nextchar.config.train_settings import TrainSettings
from nextchar.errors import BadInput
from nextchar.evaluation.loss import TEXT_BLOCK, Loss
from nextchar.messages import one_line, shown
from nextchar.runs.record import LOSSES, Record

MOST_CAUSES = 4  # of a refusal; the rest follows from these
MOST_NAMED = 6  # settings or rows in a sentence
HEADS = ("", "run", "seeds", "loss", "95% interval", "bits/char", "to the best")

# What makes no two runs different models: what changes no result (board.py says which), and the seed. Where the text
# was read from does not count either, but its digest does.
IGNORED = not_compared(TrainSettings) | {"seed", "data.path"}
GROUPS = ("model", "smoothing", "optim", "trainer", "data")  # the order in which a label names what differs


@dataclass(frozen=True)
class Row:
    """One place of the leaderboard: runs that differ in nothing but the seed, as a rule a single one.

    `interval`: 95%, over documents. `over_seeds`: the mean over seeds with its variance, where there are several.
    `to_best`: by how much the loss is above the best one's, None where that cannot be told, and for the best itself.
    With 95% the intervals of all rows hold at once; of two rows it is the interval of that one difference.
    """

    rank: int  # from 1
    runs: list[Run]
    label: str
    settings: dict[str, Any]  # those that differ between rows
    loss: float
    metrics: dict[str, float]  # means over seeds
    interval: tuple[float, float] | None
    over_seeds: Estimate | None
    to_best: Estimate | None = None
    unfinished: int = 0  # further seeds, of runs that were left out because they did not finish

    @property
    def seeds(self) -> str:
        """How many seeds, in words: 3, or 2 of 3."""
        return f"{len(self.runs)}" + (f" of {len(self.runs) + self.unfinished}" if self.unfinished else "")

    @property
    def bits_per_char(self) -> float:
        return self.loss / math.log(2)

    @property
    def is_net(self) -> bool:
        """Whether another seed gives another loss."""
        return self.runs[0].record.settings.model.net is not None

    @property
    def ties_with_best(self) -> bool:
        """Whether the difference to the best cannot be told apart from none."""
        return self.to_best is not None and abs(self.to_best.value) <= self.to_best.half


@dataclass(frozen=True)
class Comparison:
    """Rows from the best to the worst, what can be said of them, and the folders that were left out with the reason."""

    rows: list[Row]
    varying: list[str]  # the settings that differ between rows
    sentences: list[str]
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def units(self) -> str:
        """What the intervals are over, in words: 3,226 documents."""
        return _units(self.rows[0].runs[0].record)

    @property
    def data(self) -> str:
        """What the data of the best are called; not in whose folder they lay."""
        report = self.rows[0].runs[0].record.data
        assert report is not None
        return shown(os.path.basename(report.source))

    @property
    def to_the_best(self) -> str:
        """What the differences to the best are, in words; '' where none is known."""
        if all(row.to_best is None for row in self.rows):
            return ""
        once = ", so wide that with 95% all of these intervals hold at once" if len(self.rows) > 2 else ""
        return f"the paired difference with its 95% interval{once}"


def compare(folders: Sequence[Path]) -> Comparison:
    """The runs in these folders, in their subfolders or in those of these. Raises BadInput where none can be ranked."""
    runs, left_out, unfinished = gather(folders)
    if not runs:
        why = f"; {left_out[0].folder}: {left_out[0].reason}" if left_out else ""
        raise BadInput(f"there is no finished run in {', '.join(map(str, folders))}{why}")
    _refuse_other_tests(runs)
    rows, varying = _rows(runs, unfinished)
    return Comparison(rows, varying, _sentences(rows), left_out)


# --- the same test --------------------------------------------------------------------------------------------------


def _refuse_other_tests(runs: Sequence[Run]) -> None:
    """Raises BadInput, with what differs and which folders go together, where not all were tested alike."""
    groups = _tested_alike(runs)
    if len(groups) == 1:
        return
    (ours, first), (theirs, other) = groups[:2]
    what = "; ".join(_unlike(key, ours[key], theirs[key]) for key in _differing(ours, theirs)[:MOST_CAUSES])
    alone = ", or ".join(
        _listed([shlex.quote(one_line(str(run.path))) for run in group], " ") for _, group in groups[:4]
    )
    more = f", or {len(groups) - 4:,} groups more" if len(groups) > 4 else ""
    raise BadInput(
        f"{first[0].path} and {other[0].path} cannot be ranked together; they differ in {what}. Name the folders of "
        f"one group alone: {alone}{more}"
    )


def _tested_alike(runs: Sequence[Run]) -> list[tuple[dict[str, object], list[Run]]]:
    """Groups of runs that can be ranked together, with what those share; first what kept most about its test."""
    groups: list[tuple[dict[str, object], list[Run]]] = []
    for run in sorted(runs, key=lambda run: run.losses is None):
        tested = _test_of(run)
        alike = next((group for shared, group in groups if not _differing(shared, tested)), None)
        if alike is None:
            groups.append((tested, [run]))
        else:
            alike.append(run)
    return groups


def _differing(a: dict[str, object], b: dict[str, object]) -> list[str]:
    return [key for key, value in a.items() if b.get(key, value) != value]


def _test_of(run: Run) -> dict[str, object]:
    """What two runs must share so that their losses compare; lengths only of a run that kept them."""
    data, report = run.record.settings.data, run.record.data
    assert report is not None
    lengths = {} if run.losses is None else {"lengths of the documents": run.losses.chars.tobytes()}
    return {
        "test data by sha256": report.test_sha256,
        "data.split": data.split,
        "vocabulary": run.record.vocabulary,
        "kind of data": "a running text" if data.is_text else "documents",
        "data.unk": data.unk,
        "characters left out of test": report.left_out.get("test", 0),
        "documents of test": report.documents.get("test", 0),
        "characters of test": report.predicted.get("test", 0),
        **lengths,
    }


def _unlike(key: str, a: object, b: object) -> str:
    return key if isinstance(a, bytes) else f"{key} ({shown(a, 24)} and {shown(b, 24)})"


# --- rows -----------------------------------------------------------------------------------------------------------


def _rows(runs: Sequence[Run], unfinished: Sequence[TrainSettings]) -> tuple[list[Row], list[str]]:
    """The rows in their order, and the settings that differ between them."""
    groups = _grouped(runs)
    settings = [_settings_of(group[0]) for group in groups]
    order = {group: place for place, group in enumerate(GROUPS)}
    known = dict.fromkeys(key for each in settings for key in each)
    keys = sorted(known, key=lambda key: order.get(key.partition(".")[0], len(order)))
    varying = [key for key in keys if len({shown(each[key]) for each in settings if key in each}) > 1]
    own = [{key: each[key] for key in varying if key in each} for each in settings]
    rows = [_row(*each) for each in zip(groups, own, _labels(own, varying), strict=True)]
    rows.sort(key=lambda row: row.loss)
    others: dict[str, set[int]] = defaultdict(set)
    for each in unfinished:
        others[_without_seed(each)].add(each.seed)
    twice, names, confidence = Counter(row.label for row in rows), _names(runs), of_all_pairs(len(rows))
    for i, row in enumerate(rows):
        label = row.label if row.label and twice[row.label] == 1 else _told_apart(row, names)
        to_best = _to_best(row, rows[0], confidence) if i else None
        lacking = others[_without_seed(row.runs[0].record.settings)] - {run.seed for run in row.runs}
        rows[i] = replace(row, rank=i + 1, label=label, to_best=to_best, unfinished=len(lacking))
    return rows, varying


def _grouped(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that differ in nothing but the seed, together. A seed's repetition tells nothing new: a row of its own."""
    groups: dict[tuple[object, ...], list[Run]] = defaultdict(list)
    times: Counter[tuple[object, ...]] = Counter()
    for run in runs:
        settings = tuple(_settings_of(run).items())
        nth = times[(settings, run.seed)]
        times[(settings, run.seed)] += 1
        groups[(settings, nth)].append(run)
    return list(groups.values())


def _settings_of(run: Run) -> dict[str, Any]:
    """What makes a run's model the one it is: dotted keys, a group's name under the group's own."""
    assert run.record.data is not None
    return _model_of(run.record.settings) | {"data.sha256": run.record.data.sha256}


def _model_of(settings: TrainSettings) -> dict[str, Any]:
    leaves = flat(settings.plain())
    kept = {key: value for key, value in leaves.items() if key not in IGNORED and (key not in GROUPS or value)}
    return {key.removesuffix(".name"): value for key, value in kept.items()}


def _without_seed(settings: TrainSettings) -> str:
    """What is equal of runs that differ in the seed only, for those too that ended before they had read the data."""
    return repr(_model_of(settings) | {"data.path": settings.data.path})


def _labels(settings: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[str]:
    """What tells each from the others, key by key: only what differs among those that are alike so far."""
    labels: list[list[str]] = [[] for _ in settings]
    alike = [list(range(len(settings)))]
    for key in keys:
        by_value: list[list[int]] = []
        for some in alike:
            values: dict[str, list[int]] = defaultdict(list)
            for i in some:
                values[as_typed(settings[i][key]) if key in settings[i] else ""].append(i)
            for value, having in values.items():
                for i in having if len(values) > 1 and value else []:
                    labels[i].append(f"{key}={value}")
            by_value += values.values()
        alike = by_value
    return [" ".join(label) for label in labels]


def _row(runs: list[Run], settings: dict[str, Any], label: str) -> Row:
    means = over_seeds([run.loss for run in runs])
    loss = means.value if means else max(run.loss for run in runs)  # of one seed; or infinite, as one seed's is
    common = set.intersection(*(set(run.record.metrics) for run in runs))
    metrics = {key: float(np.mean([float(run.record.metrics[key]) for run in runs])) for key in sorted(common)}
    return Row(0, runs, label, settings, loss, metrics, _interval(runs), means)


def _interval(runs: Sequence[Run]) -> tuple[float, float] | None:
    """95%, over documents: of one run as it measured it, of several that of their mean."""
    low, high = (runs[0].record.metrics.get(f"test/loss_{end}") for end in ("low", "high"))
    if len(runs) == 1:
        return None if low is None or high is None else (float(low), float(high))
    losses = _losses(runs)
    mean = per_character(np.mean([loss.nll for loss in losses], axis=0), losses[0].chars) if losses else None
    return None if mean is None else (mean.value - mean.half, mean.value + mean.half)


def _losses(runs: Sequence[Run]) -> list[Loss]:
    """The sums of all seeds, none where a folder lacks them."""
    losses = [run.losses for run in runs if run.losses is not None]
    return losses if len(losses) == len(runs) else []


def _to_best(row: Row, best: Row, confidence: float) -> Estimate | None:
    ours, theirs = _losses(row.runs), _losses(best.runs)
    return difference(ours, theirs, confidence, row.is_net and best.is_net) if ours and theirs else None


def _names(runs: Sequence[Run]) -> dict[Path, str]:
    """The folders' names, as far as they differ."""
    paths = [os.path.abspath(run.path) for run in runs]
    above = os.path.commonpath([os.path.dirname(path) for path in paths])
    return {run.path: one_line(os.path.relpath(path, above)) for run, path in zip(runs, paths, strict=True)}


def _told_apart(row: Row, names: dict[Path, str]) -> str:
    """The label of a row whose settings are another's too."""
    more = f" and {len(row.runs) - 1} more" if len(row.runs) > 1 else ""
    return f"{row.label} {names[row.runs[0].path]}{more}".strip()


def as_typed(value: object) -> str:
    """A setting as one would type it: 15, not 15.0."""
    return f"{value:g}" if isinstance(value, float) else shown(value, 24)


# --- sentences ------------------------------------------------------------------------------------------------------


def plus_minus(estimate: Estimate) -> str:
    """0.0383 ± 0.0052: the half width to two digits, the value to as many decimals."""
    half = estimate.half
    decimals = min(max(1 - math.floor(math.log10(half)), 0), 9) if half > 0 else 6
    return f"{estimate.value:.{decimals}f} ± {half:.{decimals}f}"


def cells(row: Row) -> list[str]:
    """A row as a table shows it, in the order of HEADS."""
    seeds = f"{row.seeds} (±{row.over_seeds.half:.4f})" if row.over_seeds else row.seeds
    interval = f"{row.interval[0]:.4f} .. {row.interval[1]:.4f}" if row.interval else "-"
    to_best = plus_minus(row.to_best) if row.to_best else "-"
    return [str(row.rank), row.label, seeds, f"{row.loss:.4f}", interval, f"{row.bits_per_char:.4f}", to_best]


def _sentences(rows: Sequence[Row]) -> list[str]:
    """Of two rows what their difference is; of more, that of the best two, and of which others nothing is sure."""
    said = [_verdict(*rows[:2])] if len(rows) > 1 else []
    ties = [row.label for row in rows[1:] if row.ties_with_best]
    if len(rows) > 2 and ties:
        said.append(f"cannot be told apart from the best: {_listed(ties)}")
    elif len(rows) > 2 and all(row.to_best is not None or math.isinf(row.loss) for row in rows[1:]):
        said.append(f"the best can be told apart from each of the {len(rows) - 1:,} others")
    unknown = [row.label for row in rows[2:] if row.to_best is None and math.isfinite(row.loss)]
    if unknown:
        said.append(f"no interval of the difference to the best can be given for {_listed(unknown)}")
    lacking = [f"{row.label} ({row.seeds})".strip() for row in rows if row.unfinished]
    if lacking:
        said.append(f"not all seeds finished, and only those that did are counted: {_listed(lacking)}")
    return said


def _verdict(a: Row, b: Row) -> str:
    """One sentence about a and b, which is not better than a."""
    beside = _in_brackets(_beside(a, b))
    ahead = f"{a.label} is ahead of {b.label} by {b.loss - a.loss:.6f} nats per character{beside}; no interval"
    if math.isinf(a.loss):
        return f"neither {a.label} nor {b.label} can be ranked: each gives probability 0 to a character of the test"
    if math.isinf(b.loss):
        why = "gives probability 0 to a character of the test: an infinite loss"
        return f"{a.label} is better than {b.label}, which {why}{beside}"
    lacking = [row.label for row in (a, b) if not _losses(row.runs)]
    if lacking:
        return f"{ahead}, for {lacking[0]} comes without its {LOSSES}"
    units = _units(a.runs[0].record)
    if b.to_best is None:
        few = len(_losses(a.runs)[0].chars) < FEWEST
        return f"{ahead}: {f'{units}, too few' if few else f'a few of the {units} decide the difference'}"
    if b.to_best.value == b.to_best.half == 0:
        return f"{a.label} and {b.label} give every document the same loss"
    by = f"{plus_minus(b.to_best)} nats per character{_in_brackets(_beside(a, b), _luck(a, b))}"
    if b.ties_with_best:
        return f"no difference between {a.label} and {b.label} can be told apart on {units}: {by}"
    return f"{a.label} is better than {b.label} by {by}"


def _in_brackets(*notes: str) -> str:
    return f" ({'; '.join(filter(None, notes))})" if any(notes) else ""


def _beside(a: Row, b: Row) -> str:
    """What differs between the two beside what their labels name: the difference may come from any of it.

    A setting that only one of them has comes with one that differs: what a model takes comes with the model.
    """
    named = {word.partition("=")[0] for row in (a, b) for word in row.label.split(" ")}
    both = [key for key in a.settings if key in b.settings and shown(a.settings[key]) != shown(b.settings[key])]
    keys = [key for key in both if key not in named]
    return f"they also differ in {_listed(keys)}" if keys else ""


def _listed(names: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return between.join(names[:MOST_NAMED]) + more


def _luck(a: Row, b: Row) -> str:
    """What a net's only seed leaves open; counting has no luck of the seed."""
    single = [row.label for row in (a, b) if len(row.runs) == 1 and row.is_net]
    if len(single) == 1 and a.is_net and b.is_net:
        return f"{single[0]} has one seed, whose luck is taken to be like the other's"
    named = " or ".join(single)
    return f"another seed of {named} may differ: that luck is not in the interval" if single else ""


def _units(record: Record) -> str:
    assert record.data is not None
    if record.settings.data.is_text:
        blocks = -(-record.data.predicted.get("test", 0) // TEXT_BLOCK)
        return f"{blocks:,} block{'s' * (blocks != 1)} of {TEXT_BLOCK:,} characters"
    documents = record.data.documents.get("test", 0)
    return f"{documents:,} document{'s' * (documents != 1)}"
