"""A comparison as one HTML page that needs no network: table, curves and samples side by side.

Nothing on it comes from elsewhere, and nothing on it runs but the script that is ours: the page's own policy forbids
all else, whatever a stranger's run folder may hold. It is readable without the script, which sorts and points out.
"""

import base64
import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nextchar.comparison.find import NO_LOSS, Run
from nextchar.comparison.ranking import Comparison, Row, as_typed, plus_minus
from nextchar.errors import BadInput
from nextchar.messages import one_line, printable, shown
from nextchar.runs.record import CURVE_POINTS, Curve
from nextchar.runs.saved import open_samples

ASSETS = Path(__file__).parent / "assets"
MOST_ROWS = 100  # whose curves and samples are shown; the table has all
MOST_COLUMNS = 8  # settings that have a column each; more of them unfold below the run's label
MOST_LINES = 200  # in a chart
MOST_LEFT_OUT = 200
SAMPLE_CHARS = 3000  # of a row
COLOURS = 8  # of rows; where there are more, the colour goes by rank
CURVES = {"val/loss": "val loss", "train/loss": "train loss"}
WIDTH, HEIGHT = 960, 360  # of a chart, in the units of its SVG
LARGEST_PLAIN = 1e4  # what is beyond is written as 1e+08
LARGEST_STEP = 1e15  # what is beyond is no step


def page(compared: Comparison) -> str:
    """The page. Its text is escaped by the template; samples that cannot be read are left out with the reason."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(ASSETS)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["loss"] = _short
    style, script = ((ASSETS / f"compare.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    rows, few = compared.rows, len(compared.rows) <= COLOURS
    kept = rows[:MOST_ROWS]
    return environment.get_template("compare.html.jinja").render(
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        few=few,
        sentences=compared.sentences,
        data=compared.data,
        title=f"{len(rows):,} model{'s' * (len(rows) != 1)} compared",
        units=compared.units,
        intervals=any(row.interval for row in rows),
        to_the_best=compared.to_the_best,
        columns=compared.varying if len(compared.varying) <= MOST_COLUMNS else [],
        rows=[_line(row, _colour(i, len(rows))) for i, row in enumerate(rows)],
        spans=list(_spans(rows)),
        ends=_ends(rows),
        legend=[{"colour": _colour(i, len(rows)), "label": row.label} for i, row in enumerate(kept)],
        charts=[chart for tag, title in CURVES.items() if (chart := _chart(tag, title, rows))],
        samples=[_samples(row, _colour(i, len(rows))) for i, row in enumerate(kept)],
        most=MOST_ROWS,
        facts=_facts(compared),
        left_out=compared.left_out[:MOST_LEFT_OUT],
        more_left_out=max(0, len(compared.left_out) - MOST_LEFT_OUT),
    )


def _hash(content: str) -> str:
    """How the page's policy names the one script, or style, that it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _colour(rank: int, rows: int) -> int:
    """Of up to eight rows each has its own; of more, the best has its own and neighbours in rank share one."""
    if rows <= COLOURS:
        return rank
    return min(math.ceil(rank * (COLOURS - 1) / (min(rows, MOST_ROWS) - 1)), COLOURS - 1)


def _short(value: float) -> str:
    return f"{value:.4f}" if abs(value) < LARGEST_PLAIN else f"{value:.3g}"


# --- table ----------------------------------------------------------------------------------------------------------


def _line(row: Row, colour: int) -> dict[str, Any]:
    """A row of the table: what it shows, and the numbers that it is sorted by."""
    return {
        "rank": row.rank,
        "colour": colour,
        "label": row.label,
        "settings": {key: (as_typed(value), value) for key, value in row.settings.items()},
        "seeds": len(row.runs),
        "seeds_said": row.seeds,
        "seeds_half": f"{row.over_seeds.half:.4f}" if row.over_seeds else "",
        "loss": row.loss,
        "bits": row.bits_per_char,
        "interval": row.interval,
        "to_best": plus_minus(row.to_best) if row.to_best else "",
        "tie": row.ties_with_best,
        "difference": row.to_best.value if row.to_best else None,
        "others": {part: row.metrics.get(f"{part}/loss") for part in ("train", "val")},
        "folder": one_line(row.runs[0].path.name),
        "more": len(row.runs) - 1,
    }


def _ends(rows: Sequence[Row]) -> tuple[float, float] | None:
    """Between which losses the table's bars are drawn; None where all are infinite."""
    ends = [end for row in rows for end in (row.loss, *(row.interval or ())) if math.isfinite(end)]
    if not ends:
        return None
    return (min(ends), max(ends)) if max(ends) > min(ends) else (min(ends) - 0.5, max(ends) + 0.5)


def _spans(rows: Sequence[Row]) -> Iterator[tuple[float, float, float] | None]:
    """Of each row where its loss and the ends of its interval lie, in percent between the ends."""
    ends = _ends(rows)
    for row in rows:
        if ends is None or not math.isfinite(row.loss):
            yield None
        else:
            low, high = row.interval or (row.loss, row.loss)
            a, b, c = (round(100 * (x - ends[0]) / (ends[1] - ends[0]), 2) for x in (row.loss, low, high))
            yield a, b, c


# --- curves ---------------------------------------------------------------------------------------------------------


class Stroke(NamedTuple):
    """One line of a chart."""

    rank: int
    colour: int
    label: str
    d: str
    counted: bool


class Points(NamedTuple):
    steps: list[float]
    values: list[float]


def _chart(tag: str, title: str, rows: Sequence[Row]) -> dict[str, Any] | None:
    """The lines of a chart and its ticks, in the units of its SVG. None where no run has a curve."""
    kept = [(rank, row, run) for rank, row in enumerate(rows[:MOST_ROWS]) for run in row.runs][:MOST_LINES]
    curves = [(rank, row, _points(run.record.curves.get(tag))) for rank, row, run in kept]
    curves = [(rank, row, points) for rank, row, points in curves if points.steps]
    if not curves:
        return None
    flat = [(rank, row, loss) for rank, row, run in kept if (loss := _counted(run, tag)) is not None]
    last = max(points.steps[-1] for _, _, points in curves)
    ends = [points.values[-1] for _, _, points in curves] + [loss for _, _, loss in flat]
    low = min(ends + [min(points.values) for _, _, points in curves])
    high = max([points.values[len(points.values) // 5] for _, _, points in curves] + ends)  # beginnings go beyond
    margin = 0.1 * (high - low) or 0.01
    low, high = low - margin, high + margin

    def x(step: float) -> float:
        return WIDTH * step / max(last, 1)

    def y(loss: float) -> float:
        return max(-HEIGHT, HEIGHT * (high - loss) / (high - low))

    paths = [
        Stroke(
            rank,
            _colour(rank, len(rows)),
            row.label,
            _drawn(map(x, p.steps), map(y, p.values)),
            False,
        )
        for rank, row, p in curves
    ]
    paths += [
        Stroke(rank, _colour(rank, len(rows)), row.label, f"M0 {y(loss):.1f}H{WIDTH}", True) for rank, row, loss in flat
    ]
    return {
        "title": title,
        "cut": any(max(points.values) > high for _, _, points in curves),
        "paths": sorted(paths, key=lambda path: -path.rank),  # the best on top
        "x_ticks": [(round(x(step), 1), f"{step:,.0f}") for step, _ in _ticks(0, max(last, 1)) if step == round(step)],
        "y_ticks": [(round(y(loss), 1), text) for loss, text in _ticks(low, high)],
    }


def _points(curve: Curve | None) -> Points:
    """The finite points of a curve, thinned out; what is no step is left out."""
    if curve is None:
        return Points([], [])
    pairs = zip(curve.steps, curve.values, strict=False)
    sound = [(float(s), float(v)) for s, v in pairs if 0 <= s <= LARGEST_STEP and abs(float(v)) < NO_LOSS]
    if len(sound) > CURVE_POINTS:
        sound = [sound[round(i)] for i in np.linspace(0, len(sound) - 1, CURVE_POINTS)]
    return Points([step for step, _ in sound], [value for _, value in sound])


def _counted(run: Run, tag: str) -> float | None:
    """The loss of what has no curve because it was counted."""
    loss = float(run.record.metrics.get(tag, "inf"))
    return loss if run.record.settings.model.net is None and abs(loss) < NO_LOSS else None


def _drawn(xs: Iterable[float], ys: Iterable[float]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True))


def _ticks(low: float, high: float) -> Iterator[tuple[float, str]]:
    """About five round numbers between low and high."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    decimals = max(0, -math.floor(math.log10(step)) + (step / power == 2.5))
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        value = number * step
        yield value, f"{value:.{decimals}f}" if max(abs(low), abs(high)) < LARGEST_PLAIN else f"{value:.3g}"


# --- samples and facts ----------------------------------------------------------------------------------------------


def _samples(row: Row, colour: int) -> dict[str, Any]:
    """The samples of a row's first seed; `lines` of documents, one text of a running text."""
    run = row.runs[0]
    try:
        text, problem = printable(open_samples(run.path, run.record)), ""
    except BadInput as error:
        text, problem = "", one_line(str(error).replace(f"{run.path}/", ""))
    return {
        "colour": colour,
        "label": row.label,
        "loss": row.loss,
        "text": text[:SAMPLE_CHARS].rstrip("\n") + ("…" if len(text) > SAMPLE_CHARS else ""),
        "is_text": run.record.settings.data.is_text,
        "problem": problem,
    }


def _facts(compared: Comparison) -> list[tuple[str, list[str]]]:
    """What was compared, and how it came about: each fact with all values that the runs have."""
    runs = [run for row in compared.rows for run in row.runs]
    data = runs[0].record.data
    assert data is not None
    dealt = data.predicted if runs[0].record.settings.data.is_text else data.documents
    unit = "characters" if runs[0].record.settings.data.is_text else "documents"
    dates = sorted(run.record.started for run in runs)
    facts = {
        "data": [os.path.basename(run.record.data.source) for run in runs if run.record.data],  # not whose it is
        "sha256 of the data": [run.record.data.sha256 for run in runs if run.record.data],
        "sha256 of the test part": [data.test_sha256],
        "split": [f"{runs[0].record.settings.data.split}: {', '.join(f'{k} {v:,}' for k, v in dealt.items())} {unit}"],
        "vocabulary": [f"{len(runs[0].record.vocabulary):,} characters"],
        "runs": [f"{len(runs):,}, {shown(dates[0], 40)}" + (f" to {shown(dates[-1], 40)}" if len(runs) > 1 else "")],
        "commit": [_commit(run) for run in runs],
        "versions": [", ".join(f"{name} {number}" for name, number in run.record.versions.items()) for run in runs],
    }
    return [(key, _few([shown(value, 200) for value in dict.fromkeys(values)])) for key, values in facts.items()]


def _commit(run: Run) -> str:
    git = run.record.git or {}
    return f"{git.get('commit', 'unknown')}{' with changes' if git.get('dirty') else ''}"


def _few(values: list[str]) -> list[str]:
    return values if len(values) <= 5 else [*values[:5], f"and {len(values) - 5:,} more"]
