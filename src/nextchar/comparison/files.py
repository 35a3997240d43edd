"""A comparison as files to keep and to send: a table for programs, one for GitHub, a picture, and a page.

What stands in a run folder may be a stranger's: everything is escaped for where it goes.
"""

import csv
import io
import re
from typing import Any

from nextchar.comparison.page import MOST_LEFT_OUT, page
from nextchar.comparison.ranking import HEADS, Comparison, Row, cells, plus_minus
from nextchar.evaluation.loss import in_all_units
from nextchar.messages import one_line
from nextchar.plots import charts

PAGE = "compare.html"
NAMES = ("compare.csv", "compare.md", "compare.png", PAGE)
PAIRED = ", and how far each is from the best (≈ cannot be told apart)"
X_LABEL = "test loss, nats per character, with its 95% interval; lower is better"

_METRIC = re.compile(r"(train|val|test)/[a-z_]+")  # the names that are ours


def files(compared: Comparison) -> dict[str, bytes]:
    """All files by their names."""
    texts = csv_table(compared).encode(), markdown(compared).encode(), picture(compared), page(compared).encode()
    return dict(zip(NAMES, texts, strict=True))


def plain(compared: Comparison) -> dict[str, Any]:
    """The comparison as plain values, for JSON."""
    rows = [
        {
            "rank": row.rank,
            "run": row.label,
            "folders": [str(run.path) for run in row.runs],
            "seeds": [run.seed for run in row.runs],
            "unfinished_seeds": row.unfinished,
            "settings": row.settings,
            "metrics": _metrics(row),
            "seeds_half_width": row.over_seeds.half if row.over_seeds else None,
            "to_best": row.to_best.value if row.to_best else None,
            "to_best_half_width": row.to_best.half if row.to_best else None,
        }
        for row in compared.rows
    ]
    left_out = [each._asdict() for each in compared.left_out]
    return {"rows": rows, "sentences": compared.sentences, "left_out": left_out}


def csv_table(compared: Comparison) -> str:
    """A row a row, at full precision: the settings that differ, every metric (of several seeds the mean), intervals.

    What was left out has no rank and no loss, but a status and a reason.
    No cell begins with what a spreadsheet takes for a formula, numbers excepted.
    """
    metrics = sorted({key for row in compared.rows for key in _metrics(row)})
    head = ["rank", "run", "folders", "seeds", *compared.varying, *metrics]
    head += ["seeds_half_width", "to_best", "to_best_half_width", "status", "reason"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    for each in plain(compared)["rows"]:
        cells = [each["rank"], each["run"], " ".join(map(one_line, each["folders"])), " ".join(map(str, each["seeds"]))]
        cells += [each["settings"].get(key) for key in compared.varying]
        cells += [each["metrics"].get(key) for key in metrics]
        status = "finished", f"{each['unfinished_seeds']} more seeds did not finish" * bool(each["unfinished_seeds"])
        writer.writerow(map(_cell, [*cells, *(each[key] for key in head[-5:-2]), *status]))
    for folder, how, reason in compared.left_out:
        known = {"folders": folder, "status": how, "reason": reason}
        writer.writerow(_cell(known.get(key)) for key in head)
    return file.getvalue()


def markdown(compared: Comparison) -> str:
    """A table that GitHub shows, and the sentences."""
    lines = [f"| {' | '.join(HEADS)} |", "|--:|:--|--:|--:|--:|--:|--:|"]
    lines += [f"| {' | '.join(map(_quoted, cells(row)))} |" for row in compared.rows]
    lines += ["", *(f"{_quoted(text)}\n" for text in compared.sentences)]
    lines += [
        f"Losses in nats per character on {compared.units}; 95% intervals over these.",
        *([f"To the best: {compared.to_the_best}."] if compared.to_the_best else []),
    ]
    if compared.left_out:
        lines += ["", "Left out:", ""]
    lines += [f"- {_quoted(folder)}: {_quoted(reason)}" for folder, _, reason in compared.left_out[:MOST_LEFT_OUT]]
    if (more := len(compared.left_out) - MOST_LEFT_OUT) > 0:
        lines += [f"- and {more:,} more"]
    return "\n".join(lines) + "\n"


def picture(compared: Comparison) -> bytes:
    """The leaderboard as a PNG, with the paired difference to the best beside each loss."""
    ends = [row.interval or (None, None) for row in compared.rows]
    both = zip(compared.rows, ends, strict=True)
    rows = [charts.Row(row.label, row.loss, low, high, _paired(row)) for row, (low, high) in both]
    return charts.leaderboard(rows, f"Test loss{PAIRED if compared.to_the_best else ''}", X_LABEL)


def _paired(row: Row) -> str:
    return f"{'≈' if row.ties_with_best else '+'} {plus_minus(row.to_best)}" if row.to_best else ""


# --- cells ----------------------------------------------------------------------------------------------------------


def _metrics(row: Row) -> dict[str, float]:
    """The metrics whose names are ours; those of the test part are the row's."""
    known = {key: value for key, value in row.metrics.items() if _METRIC.fullmatch(key)}
    known |= in_all_units("test", row.loss)
    if row.interval:
        known |= {"test/loss_low": row.interval[0], "test/loss_high": row.interval[1]}
    return known


def _cell(value: object) -> object:
    if isinstance(value, str):
        text = one_line(value)
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
    return repr(value) if isinstance(value, float) else value


def _quoted(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|&~$@])", r"\\\1", one_line(text))
