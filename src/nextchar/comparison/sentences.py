"""A ranking in words: which model is better, by how much, and what the interval leaves out."""

import math
from collections.abc import Sequence

from nextchar.comparison.find import TestedRun
from nextchar.comparison.grouping import Row
from nextchar.comparison.significance import FEWEST_DOCUMENTS, Estimate
from nextchar.evaluation.loss import TEXT_BLOCK
from nextchar.messages import shown
from nextchar.runs.record import LOSSES, Record

LONGEST_REMARK = 200  # characters
MOST_NAMED = 6  # settings or rows in a sentence
HEADS = ("", "run", "seeds", "loss", "95% interval", "bits/char", "vs. best")  # of the columns in `cells`


def cells(row: Row) -> list[str]:
    """A row as a table shows it, in the order of HEADS."""
    seeds = f"{row.seeds} (±{row.over_seeds.half_width:.4f})" if row.over_seeds else row.seeds
    interval = f"{row.interval[0]:.4f} .. {row.interval[1]:.4f}" if row.interval else "-"
    to_best = plus_minus(row.to_best) if row.to_best else "-"
    return [str(row.rank), row.label, seeds, f"{row.loss:.4f}", interval, f"{row.bits_per_char:.4f}", to_best]


def plus_minus(estimate: Estimate) -> str:
    """0.0383 ± 0.0052: the half width to two significant digits, the value to as many decimals."""
    half = estimate.half_width
    decimals = min(max(1 - math.floor(math.log10(half)), 0), 9) if half > 0 else 6
    return f"{estimate.value:.{decimals}f} ± {half:.{decimals}f}"


def units(record: Record) -> str:
    """The units that intervals are computed over: 3,226 documents."""
    assert record.data is not None
    if record.settings.data.is_text:
        blocks = -(-record.data.predicted.get("test", 0) // TEXT_BLOCK)
        return f"{blocks:,} block{'s' * (blocks != 1)} of {TEXT_BLOCK:,} characters"
    documents = record.data.documents.get("test", 0)
    return f"{documents:,} document{'s' * (documents != 1)}"


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """The names, the first six of many."""
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return separator.join(names[:MOST_NAMED]) + more


def sentences(rows: Sequence[Row]) -> list[str]:
    """The verdict on the best two rows, which others tie with the best or cannot be judged, and remarks on runs."""
    said = [_verdict(*rows[:2])] if len(rows) > 1 else []
    ties = [row.label for row in rows[1:] if row.ties_with_best]
    if len(rows) > 2 and ties:
        said.append(f"statistically indistinguishable from the best: {listed(ties)}")
    elif len(rows) > 2 and all(row.to_best is not None or math.isinf(row.loss) for row in rows[1:]):
        said.append(f"the best is significantly better than each of the {len(rows) - 1:,} others")
    unknown = [row.label for row in rows[2:] if row.to_best is None and math.isfinite(row.loss)]
    if unknown:
        said.append(f"no interval for the difference to the best: {listed(unknown)}")
    lacking = [f"{row.label} ({row.seeds})".strip() for row in rows if row.unfinished]
    if lacking:
        said.append(f"not all seeds finished, and only those that did are averaged: {listed(lacking)}")
    remarks = [_remark(row, run) for row in rows for run in row.runs if run.record.reason]
    said += remarks[:MOST_NAMED]
    if (more := len(remarks) - MOST_NAMED) > 0:
        said.append(f"{more:,} more runs stopped early, or their val/loss rose")
    return said


def _remark(row: Row, run: TestedRun) -> str:
    """How the training of a finished run ended."""
    seed = f" seed={run.seed}" if len(row.runs) > 1 else ""
    return f"{row.label}{seed}: {shown(run.record.reason, LONGEST_REMARK)}"


def _verdict(a: Row, b: Row) -> str:
    """One sentence about a and b; the loss of b is not lower."""
    if math.isinf(a.loss):
        return f"neither {a.label} nor {b.label} can be ranked: each gives probability 0 to a character of test"
    others = _other_differences(a, b)
    if math.isinf(b.loss):
        infinite = "gives probability 0 to a character of test: an infinite loss"
        return f"{a.label} is better than {b.label}, which {infinite}{_in_brackets(others)}"
    documents, difference = units(a.runs[0].record), b.to_best
    if difference is None:
        lacking = [row.label for row in (a, b) if not row.losses]
        if lacking:
            reason = f"{lacking[0]} has no {LOSSES}"
        elif len(a.losses[0].chars) < FEWEST_DOCUMENTS:
            reason = f"{documents} are too few"
        else:
            reason = f"a few of the {documents} account for most of the variance"
        by = f"{b.loss - a.loss:.6f} nats per character{_in_brackets(others)}"
        return f"{a.label} is ahead of {b.label} by {by}; no interval: {reason}"
    if difference.value == difference.half_width == 0:
        return f"{a.label} and {b.label} give every document the same loss"
    by = f"{plus_minus(difference)} nats per character{_in_brackets(others, _seeds_left_out(a, b))}"
    if b.ties_with_best:
        return f"{a.label} and {b.label} are statistically indistinguishable on {documents}: {by}"
    return f"{a.label} is better than {b.label} by {by}"


def _in_brackets(*notes: str) -> str:
    return f" ({'; '.join(filter(None, notes))})" if any(notes) else ""


def _other_differences(a: Row, b: Row) -> str:
    """The settings that differ although no label names them: any of them may cause the difference.

    Settings that only one of the two has follow from one that differs: a learning rate comes with model=nn.
    """
    named = {word.partition("=")[0] for row in (a, b) for word in row.label.split(" ")}
    both = [key for key in a.settings if key in b.settings and shown(a.settings[key]) != shown(b.settings[key])]
    keys = [key for key in both if key not in named]
    return f"they also differ in {listed(keys)}" if keys else ""


def _seeds_left_out(a: Row, b: Row) -> str:
    """The seed-to-seed variance that one seed of a net cannot show; counting has none."""
    single = [row.label for row in (a, b) if len(row.runs) == 1 and row.is_net]
    if len(single) == 1 and a.is_net and b.is_net:
        return f"{single[0]} has one seed; its seed-to-seed variance is taken from the other model"
    return f"seed-to-seed variance of {' and '.join(single)} is not included (one seed)" if single else ""
