"""Ranks runs by test loss, with the paired difference of each to the best.

Only runs tested on the same documents, under the same split and vocabulary, are ranked together; others are refused.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from nextchar.comparison.find import LeftOut, TestedRun, open_runs
from nextchar.comparison.grouping import Row, group
from nextchar.comparison.sentences import HEADS, cells, listed, sentences, units
from nextchar.comparison.significance import paired_difference, simultaneous_confidence
from nextchar.errors import BadInput
from nextchar.messages import html_table, one_line, shown

MOST_CAUSES = 4  # of a refusal; the others follow from these
MOST_GROUPS = 4  # whose folders a refusal names


@dataclass(frozen=True)
class Comparison:
    """Rows from the best to the worst, sentences about them, and the folders that were left out with the reason."""

    rows: list[Row]
    varying: list[str]  # keys of the settings that differ between rows
    sentences: list[str]
    left_out: list[LeftOut]

    @property
    def units(self) -> str:
        """The units that intervals are computed over: 3,226 documents."""
        return units(self.rows[0].runs[0].record)

    @property
    def to_best(self) -> str:
        """The meaning of the column "vs. best", in words; '' where no row has a value there."""
        if all(row.to_best is None for row in self.rows):
            return ""
        several = len(self.rows) > 2
        return f"paired difference with {'simultaneous ' * several}95% confidence interval{'s' * several}"

    def _repr_html_(self) -> str:
        """The ranking for a notebook. A label may come from someone else's run: all text is escaped."""
        said = "".join(f"<p>{escape(one_line(text))}</p>" for text in self.sentences)
        return html_table(HEADS, map(cells, self.rows)) + said


def compare(folders: Sequence[Path]) -> Comparison:
    """Ranks the runs in these folders and up to two levels below.

    Raises BadInput where there is no finished run, or where not all were tested alike.
    """
    runs, left_out = open_runs(folders)
    if not runs:
        reason = f"; {left_out[0].folder}: {left_out[0].reason}" if left_out else ""
        raise BadInput(f"there is no finished run in {', '.join(map(str, folders))}{reason}")
    _refuse_different_tests(runs)
    rows, varying = group(runs, left_out)
    ranked = rank(rows)
    return Comparison(ranked, varying, sentences(ranked), left_out)


def rank(rows: Sequence[Row]) -> list[Row]:
    """Sorts rows by loss and gives each its rank and its paired difference to the best."""
    best, *others = sorted(rows, key=lambda row: row.loss)
    ranked, confidence = [replace(best, rank=1)], simultaneous_confidence(len(rows))
    for place, row in enumerate(others, 2):
        difference = None
        if row.losses and best.losses:
            difference = paired_difference(row.losses, best.losses, confidence, row.is_net and best.is_net)
        ranked.append(replace(row, rank=place, to_best=difference))
    return ranked


def _refuse_different_tests(runs: Sequence[TestedRun]) -> None:
    """Raises BadInput, naming what differs and which folders go together, where not all runs were tested alike."""
    groups = _tested_alike(runs)
    if len(groups) == 1:
        return
    (a, (first, *_)), (b, (other, *_)) = groups[:2]
    causes = "; ".join(
        key if isinstance(a[key], bytes) else f"{key} ({shown(a[key], 24)} and {shown(b[key], 24)})"
        for key in _differing(a, b)[:MOST_CAUSES]
    )
    words = [[shlex.quote(one_line(str(run.path))) for run in members] for _, members in groups[:MOST_GROUPS]]
    folders = ", or ".join(listed(each, " ") for each in words)
    more = f", or {len(groups) - MOST_GROUPS:,} groups more" if len(groups) > MOST_GROUPS else ""
    raise BadInput(
        f"{first.path} and {other.path} cannot be ranked together; they differ in {causes}. Name the folders of "
        f"one group alone: {folders}{more}"
    )


def _tested_alike(runs: Sequence[TestedRun]) -> list[tuple[dict[str, object], list[TestedRun]]]:
    """Groups of runs that can be ranked together, each with the facts of its test."""
    groups: list[tuple[dict[str, object], list[TestedRun]]] = []
    for run in sorted(runs, key=lambda run: run.losses is None):  # those that know most about their test first
        test = _test_of(run)
        for facts, members in groups:
            if not _differing(facts, test):
                members.append(run)
                break
        else:
            groups.append((test, [run]))
    return groups


def _differing(a: dict[str, object], b: dict[str, object]) -> list[str]:
    return [key for key, value in a.items() if b.get(key, value) != value]


def _test_of(run: TestedRun) -> dict[str, object]:
    """The facts that two runs must share so that their losses compare; the lengths of documents where known."""
    data, report = run.record.settings.data, run.record.data
    assert report is not None
    lengths = {} if run.losses is None else {"lengths of the documents": run.losses.chars.tobytes()}
    return {
        "test data by sha256": report.test_sha256,
        "data.split": data.split,
        "vocabulary": run.record.vocabulary,
        "kind of data": "a running text" if data.is_text else "documents",
        "data.unk": data.unk,
        "out-of-vocabulary characters of test": report.left_out.get("test", 0),
        "documents of test": report.documents.get("test", 0),
        "characters of test": report.predicted.get("test", 0),
        **lengths,
    }
