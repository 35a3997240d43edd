"""The table of a sweep, as csv and as a picture."""

import csv
import io
import math
from collections.abc import Sequence

from nextchar.messages import one_line
from nextchar.sweeps.sweep_folder import Job, SweepFolder

MOST_LINES = 6  # in the picture


def rows(sweep: SweepFolder) -> list[list[object]]:
    """A head and a row a job, ranked: the settings that differ, all metrics in full precision, and the status."""
    keys, ranked = sweep.swept_keys(), sweep.ranked()
    metrics = list(dict.fromkeys(name for job in ranked for name in job.metrics))
    table: list[list[object]] = [["job", *keys, *metrics, "seconds", "status", "reason", "folder"]]
    for job in ranked:
        typed = [one_line(job.value(key)) for key in keys]
        measured = [job.metrics.get(name, "") for name in metrics]
        table.append([job.number, *typed, *measured, job.seconds, job.status, job.reason, job.folder])
    return table


def csv_table(sweep: SweepFolder) -> str:
    """sweep.csv."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows(sweep))
    return written.getvalue()


def picture(sweep: SweepFolder) -> bytes | None:
    """sweep.png: the losses of the finished jobs over the setting with the most numbers, or as a ranking.

    None if no job finished or no job draws figures.
    """
    metric, keys = sweep.metric, sweep.swept_keys()
    finished = [job for job in sweep.ranked() if math.isfinite(job.loss(metric))]
    if not finished or not any(job.settings.figures for job in finished):
        return None
    from nextchar.plots.charts import Entry, Point, dot_chart, line_chart  # imports matplotlib

    missing = f"{len(sweep.jobs) - len(finished):,} of {len(sweep.jobs):,} jobs have no finite loss"
    aside = missing if len(finished) < len(sweep.jobs) else ""
    numeric = {key: xs for key in keys if key != "seed" and (xs := _numbers(finished, key)) is not None}
    key = max(numeric, key=lambda key: len(set(numeric[key])), default=None)
    if key is None or len(set(numeric[key])) < 3:
        rows = [Entry(_name(job, keys), *_loss(job, metric)) for job in finished]
        return dot_chart(rows, f"{metric} of {len(rows):,} jobs", "nats per character; lower is better", aside)
    others = [other for other in keys if other not in (key, "seed")]
    lines: dict[str, list[Point]] = {}
    for job, x in zip(finished, numeric[key], strict=True):
        lines.setdefault(_name(job, others), []).append(Point(x, *_loss(job, metric)))
    kept = dict(list(lines.items())[:MOST_LINES])  # the jobs are ranked, so these are the best
    unit = "nats per character" if len(kept) > 1 else "nats per character, with its 95% interval"
    return line_chart(kept, f"{metric} over {key}", key, unit, aside)


def _numbers(jobs: Sequence[Job], key: str) -> list[float] | None:
    """The values of a setting in all jobs, None if one is no number."""
    try:
        return [float(job.value(key)) for job in jobs]
    except ValueError:
        return None


def _loss(job: Job, metric: str) -> tuple[float, tuple[float, float] | None]:
    low, high = (job.metrics.get(f"{metric}_{end}") for end in ("low", "high"))
    return job.loss(metric), None if low is None or high is None else (float(low), float(high))


def _name(job: Job, keys: Sequence[str]) -> str:
    return " ".join(f"{key}={job.value(key)}" for key in keys)
