"""A comparison as one HTML page that needs no network: table, curves and samples side by side.

A run folder may come from someone else. The page's content security policy allows our one style and our one script, by
their hashes, and nothing else. The page is readable without the script, which sorts and highlights.
"""

import base64
import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nextchar.comparison.find import NO_LOSS, TestedRun
from nextchar.comparison.grouping import Row, as_typed
from nextchar.comparison.ranking import Comparison
from nextchar.comparison.sentences import plus_minus
from nextchar.errors import BadInput
from nextchar.messages import one_line, printable, shown
from nextchar.runs.reading import open_samples
from nextchar.runs.record import CURVE_POINTS, Curve

ASSETS = Path(__file__).parent / "assets"
MOST_ROWS = 100  # with curves and samples; the table has all
MOST_COLUMNS = 8  # settings with a column each; of more, each row unfolds a list below its label
MOST_LINES = 200  # in a chart
MOST_LEFT_OUT = 200
MOST_VALUES = 5  # of a fact
SAMPLE_CHARS = 3000  # of a row
COLOURS = 8  # in the style; of more rows, neighbours in rank share one
CURVES = {"val/loss": "val loss", "train/loss": "train loss"}
WIDTH, HEIGHT = 960, 360  # of a chart, in the units of its SVG
LARGEST_PLAIN = 1e4  # larger numbers are written as 1e+08
LARGEST_STEP = 1e15  # a larger number is a damaged record


def page(compared: Comparison) -> str:
    """Renders the page. The template escapes all text; for samples that cannot be read it shows the reason."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.loader = FileSystemLoader(ASSETS)
    environment.filters |= {"loss": _short, "typed": as_typed, "plus_minus": plus_minus, "one_line": one_line}
    rows = compared.rows
    ends = [end for row in rows for end in (row.loss, *(row.interval or ())) if math.isfinite(end)] or [0.0]
    low, high = (min(ends), max(ends)) if max(ends) > min(ends) else (min(ends) - 0.5, max(ends) + 0.5)
    values = {
        "compared": compared,
        "rows": rows,
        "style": (ASSETS / "compare.css").read_text(encoding="utf-8"),
        "script": (ASSETS / "compare.js").read_text(encoding="utf-8"),
        "hash_of": _hash,
        "few": len(rows) <= COLOURS,
        "colours": _colours(len(rows)),
        "columns": compared.varying if len(compared.varying) <= MOST_COLUMNS else [],
        "low": low,
        "high": high,
        "at": lambda loss: round(100 * (loss - low) / (high - low), 2),  # percent of the width of the bars
        "charts": [chart for tag, title in CURVES.items() if (chart := _chart(tag, title, rows))],
        "samples": [_samples(row.runs[0]) for row in rows[:MOST_ROWS]],
        "facts": _facts([run for row in rows for run in row.runs]),
        "most_left_out": MOST_LEFT_OUT,
    }
    return environment.get_template("compare.html.jinja").render(values)


def _hash(content: str) -> str:
    """The name by which a content security policy allows one script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _colours(rows: int) -> list[int]:
    """A colour by rank: up to eight rows have one each; of more, the best has its own and neighbours share one."""
    if rows <= COLOURS:
        return list(range(rows))
    last = min(rows, MOST_ROWS) - 1
    return [min(math.ceil(rank * (COLOURS - 1) / last), COLOURS - 1) for rank in range(rows)]


def _short(value: float) -> str:
    return f"{value:.4f}" if abs(value) < LARGEST_PLAIN else f"{value:.3g}"


def _chart(tag: str, title: str, rows: Sequence[Row]) -> dict[str, Any] | None:
    """The lines of a chart, each (rank, SVG path, whether it was counted), and its ticks; None without a curve."""
    runs = [(rank, row.is_net, run) for rank, row in enumerate(rows[:MOST_ROWS]) for run in row.runs][:MOST_LINES]
    curves = [(rank, is_net, points) for rank, is_net, run in runs if (points := _points(run, tag))]
    if not any(is_net for _, is_net, _ in curves):
        return None
    # Shows every curve from its first fifth to its end: the high losses of the first steps would flatten the rest.
    highest = max(loss for *_, points in curves for _, loss in (points[len(points) // 5], points[-1]))
    lowest = min(loss for *_, points in curves for _, loss in points)
    margin = 0.1 * (highest - lowest) or 0.01
    low, high, last = lowest - margin, highest + margin, max(1.0, *(points[-1][0] for *_, points in curves))

    def x(step: float) -> float:
        return WIDTH * step / last

    def y(loss: float) -> float:
        return max(-HEIGHT, HEIGHT * (high - loss) / (high - low))

    lines = []
    for rank, is_net, points in sorted(curves, key=lambda curve: -curve[0]):  # the best is drawn last, on top
        path = "M" + "L".join(f"{x(step):.1f} {y(loss):.1f}" for step, loss in points)
        lines.append((rank, path if is_net else f"M0 {y(points[0][1]):.1f}H{WIDTH}", not is_net))
    return {
        "title": title,
        "is_cut": any(loss > high for *_, points in curves for _, loss in points),
        "lines": lines,
        "x_ticks": [(round(x(step), 1), f"{step:,.0f}") for step, _ in _ticks(0, last) if step % 1 == 0],
        "y_ticks": [(round(y(loss), 1), text) for loss, text in _ticks(low, high)],
    }


def _points(run: TestedRun, tag: str) -> list[tuple[float, float]]:
    """(step, loss) of a curve at valid steps with finite losses, at most CURVE_POINTS; of a counted model, its loss."""
    curve = run.record.curves.get(tag, Curve(steps=[], values=[]))
    if run.record.settings.model.net is None:
        curve = Curve(steps=[0], values=[run.record.metrics.get(tag, "inf")])
    pairs = zip(curve.steps, map(float, curve.values), strict=False)
    valid = [(float(step), loss) for step, loss in pairs if 0 <= step <= LARGEST_STEP and abs(loss) < NO_LOSS]
    if len(valid) > CURVE_POINTS:
        return [valid[round(i)] for i in np.linspace(0, len(valid) - 1, CURVE_POINTS)]
    return valid


def _ticks(low: float, high: float) -> Iterator[tuple[float, str]]:
    """About five round numbers between low and high."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    decimals = max(0, -math.floor(math.log10(step)) + (step / power == 2.5))
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        value = number * step
        yield value, f"{value:.{decimals}f}" if max(abs(low), abs(high)) < LARGEST_PLAIN else f"{value:.3g}"


def _samples(run: TestedRun) -> tuple[str, str]:
    """The beginning of a run's samples, or '' and the reason why they cannot be read."""
    try:
        text = printable(open_samples(run.path, run.record))
    except BadInput as error:
        return "", one_line(str(error).replace(f"{run.path}/", ""))
    return text[:SAMPLE_CHARS].rstrip("\n") + ("…" if len(text) > SAMPLE_CHARS else ""), ""


def _facts(runs: Sequence[TestedRun]) -> dict[str, list[str]]:
    """Data, split, vocabulary and versions of the runs, each with its distinct values, the first five of many."""
    first, reports = runs[0].record, [run.record.data for run in runs if run.record.data]
    is_text, dates = first.settings.data.is_text, sorted(run.record.started for run in runs)
    sizes = reports[0].predicted if is_text else reports[0].documents
    split = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    facts: dict[str, Iterable[str]] = {
        "data": (os.path.basename(report.source) for report in reports),  # without the folder, which names its owner
        "sha256 of the data": (report.sha256 for report in reports),
        "sha256 of the test split": [reports[0].test_sha256],
        "split": [f"{first.settings.data.split}: {split} {'characters' if is_text else 'documents'}"],
        "vocabulary": [f"{len(first.vocabulary):,} characters"],
        "runs": [f"{len(runs):,}, {shown(dates[0], 40)}" + f" to {shown(dates[-1], 40)}" * (len(runs) > 1)],
        "commit": (_commit(run.record.git or {}) for run in runs),
        "versions": (", ".join(f"{name} {number}" for name, number in run.record.versions.items()) for run in runs),
    }
    distinct = {key: [shown(value, 200) for value in dict.fromkeys(values)] for key, values in facts.items()}
    more = {key: [f"and {len(v) - MOST_VALUES:,} more"] * (len(v) > MOST_VALUES) for key, v in distinct.items()}
    return {key: values[:MOST_VALUES] + more[key] for key, values in distinct.items()}


def _commit(git: dict[str, str | bool]) -> str:
    return f"{git.get('commit', 'unknown')}{' with changes' if git.get('dirty') else ''}"
