"""A comparison as files: a CSV and a Markdown table, a picture, and an HTML page.

A run folder may come from someone else: all its text is escaped for the format it is written in.
"""

import csv
import io
import re
from typing import Any

from nextchar.comparison.grouping import Row
from nextchar.comparison.page import MOST_LEFT_OUT, page
from nextchar.comparison.ranking import Comparison
from nextchar.comparison.sentences import HEADS, cells, plus_minus
from nextchar.evaluation.loss import in_all_units
from nextchar.messages import one_line

PAGE = "compare.html"
NAMES = ("compare.csv", "compare.md", "compare.png", PAGE)
_METRIC = re.compile(r"(train|val|test)/[a-z_]+")  # other names in a record are not ours


def files(compared: Comparison) -> dict[str, bytes]:
    """Returns the content of every file by its name."""
    texts = csv_table(compared).encode(), markdown(compared).encode(), picture(compared), page(compared).encode()
    return dict(zip(NAMES, texts, strict=True))


def plain(compared: Comparison) -> dict[str, Any]:
    """Returns the comparison as plain values, for JSON."""
    rows = [
        {
            "rank": row.rank,
            "run": row.label,
            "folders": [str(run.path) for run in row.runs],
            "seeds": [run.seed for run in row.runs],
            "unfinished_seeds": row.unfinished,
            "remarks": [run.record.reason for run in row.runs if run.record.reason],
            "settings": row.settings,
            "metrics": _metrics(row),
            "seeds_half_width": row.over_seeds.half_width if row.over_seeds else None,
            "to_best": row.to_best.value if row.to_best else None,
            "to_best_half_width": row.to_best.half_width if row.to_best else None,
        }
        for row in compared.rows
    ]
    left_out = [{key: getattr(each, key) for key in ("folder", "status", "reason")} for each in compared.left_out]
    return {"rows": rows, "sentences": compared.sentences, "left_out": left_out}


def csv_table(compared: Comparison) -> str:
    """One line a row at full precision: differing settings, metrics (means over seeds), half widths of intervals.

    Folders that were left out follow with status and reason. No text begins like a spreadsheet's formula.
    """
    metrics = sorted({key for row in compared.rows for key in _metrics(row)})
    intervals = ["seeds_half_width", "to_best", "to_best_half_width"]
    head = ["rank", "run", "folders", "seeds", *compared.varying, *metrics, *intervals, "status", "reason"]
    lines = []
    for row in plain(compared)["rows"]:
        texts = {"folders": " ".join(map(one_line, row["folders"])), "seeds": " ".join(map(str, row["seeds"]))}
        unfinished = [f"{row['unfinished_seeds']} more seeds did not finish"] if row["unfinished_seeds"] else []
        reason = "; ".join(unfinished + row["remarks"])
        lines.append(row | row["settings"] | row["metrics"] | texts | {"status": "finished", "reason": reason})
    lines += [{"folders": each.folder, "status": each.status, "reason": each.reason} for each in compared.left_out]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_csv_cell(line.get(key)) for key in head] for line in lines)
    return file.getvalue()


def markdown(compared: Comparison) -> str:
    """A table in GitHub's Markdown, and the sentences."""
    lines = [f"| {' | '.join(HEADS)} |", "|--:|:--|--:|--:|--:|--:|--:|"]
    lines += [f"| {' | '.join(map(_markdown_text, cells(row)))} |" for row in compared.rows]
    lines += ["", *(f"{_markdown_text(text)}\n" for text in compared.sentences)]
    lines += [f"Losses in nats per character on {compared.units}, with 95% confidence intervals over these."]
    lines += [f"The column vs. best is the {compared.to_best}."] if compared.to_best else []
    lines += ["", "Left out:", ""] if compared.left_out else []
    for each in compared.left_out[:MOST_LEFT_OUT]:
        lines += [f"- {_markdown_text(each.folder)}: {_markdown_text(each.reason)}"]
    if (more := len(compared.left_out) - MOST_LEFT_OUT) > 0:
        lines += [f"- and {more:,} more"]
    return "\n".join(lines) + "\n"


def picture(compared: Comparison) -> bytes:
    """The ranking as a PNG, with the paired difference to the best beside each loss."""
    from nextchar.plots.charts import Entry, dot_chart  # imports matplotlib

    entries = []
    for row in compared.rows:
        note = f"{'≈' if row.ties_with_best else '+'} {plus_minus(row.to_best)}" if row.to_best else ""
        entries.append(Entry(row.label, row.loss, row.interval, note))
    title = "Test loss and paired difference to the best" if compared.to_best else "Test loss"
    title += " (≈ statistically indistinguishable)" * any(row.ties_with_best for row in compared.rows)
    return dot_chart(entries, title, "nats per character, with 95% confidence interval; lower is better")


def _metrics(row: Row) -> dict[str, float]:
    """The metrics that have a name of ours; those of test as the row has them."""
    known = {key: value for key, value in row.metrics.items() if _METRIC.fullmatch(key)}
    known |= in_all_units("test", row.loss)
    if row.interval:
        known |= {"test/loss_low": row.interval[0], "test/loss_high": row.interval[1]}
    return known


def _csv_cell(value: object) -> object:
    if isinstance(value, str):
        text = one_line(value)
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
    return repr(value) if isinstance(value, float) else value


def _markdown_text(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|&~$@])", r"\\\1", one_line(text))
