"""The tables of results, as they are printed on the terminal."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from nextchar.cli.printing import say, short
from nextchar.data.load import DataReport
from nextchar.evaluation.explain import Step, in_percent, mean_nll, orders_to_show
from nextchar.evaluation.measure import LOSS_HEADS, loss_rows
from nextchar.messages import printable
from nextchar.sweeps.sweep_folder import DONE, Job, SweepFolder

if TYPE_CHECKING:  # imported when first used: a run needs no comparison
    from nextchar.comparison.ranking import Comparison

NARROWEST = 80  # columns of a table; a narrower terminal breaks its lines, but no number is cut
FILE_WIDTH = 1000  # columns of a table in a file or a pipe
LOSS, INTERVAL, SECONDS = "loss", "95% interval", "seconds"  # columns of a sweep's table
STYLES = {"finished": "", "pruned": "dim", "not run": "yellow", "running": "yellow"}
CONTEXT_SHOWN = 12  # characters
MOST_RANKED = 50  # rows of a leaderboard
MAY_LACK = ("95% interval", "vs. best")  # columns of a leaderboard
LABEL = 28  # columns; a longer word of a run's label is folded


def losses(metrics: dict[str, float], title: str) -> None:
    """Prints the table of losses, one row per split."""
    table = _titled(title, Column(""), *_right(*LOSS_HEADS[1:]))
    for row in loss_rows(metrics):
        table.add_row(*row)
    _print(table)


def report(data: DataReport, is_text: bool) -> None:
    """Prints the data report, on two lines."""
    size = f"{data.characters:,} characters, {data.vocabulary:,} distinct"
    sizes = data.predicted if is_text else data.documents
    splits = ", ".join(f"{name} {count:,}" for name, count in sizes.items())
    if is_text:
        print(f"{data.lines:,} lines, {size}\ncharacters: {splits}\n")
        return
    in_train = ", ".join(f"{name} {count:,}" for name, count in data.in_train.items())
    print(f"{data.lines:,} lines, {data.skipped:,} empty, {data.duplicates:,} duplicates, {size}")
    print(f"documents: {splits}; of these also in train: {in_train}\n")


def explanation(word: str, steps: Sequence[Step]) -> None:
    """Prints the explanation of a document, one row per prediction."""
    columns = (
        *_right("context"),
        Column("next", no_wrap=True),
        *_right("probability", "log-prob", "rank"),
        Column("top predictions"),
    )
    table = _titled(word, *columns)
    for step in steps:
        best = "  ".join(f"{_one(symbol)} {probability:.3f}" for symbol, probability in step.best[:3])
        numbers = f"{step.probability:.6f}", f"{step.log_prob:.6f}", str(step.rank)
        context = ("…" if len(step.context) > CONTEXT_SHOWN else "") + step.context[-CONTEXT_SHOWN:]
        table.add_row(Text(_one(context)), Text(_one(step.char)), *numbers, Text(best))
    _print(table)
    if orders := orders_to_show(steps):
        _orders(steps, orders)
    nats = mean_nll(list(steps))
    print(f"mean negative log-likelihood {nats:.6f} nats, {nats / math.log(2):.6f} bits a character")


def _orders(steps: Sequence[Step], orders: int) -> None:
    """Prints the length of the longest n-gram seen in training, and the probability under each order alone."""
    by_order = _right(*map(str, range(1, orders + 1)), min_width=4)
    table = Table(Column("next", no_wrap=True), *_right("seen"), *by_order, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for step in steps:
        shares = [Text(in_percent(p), "bold" * (k == step.order)) for k, p in enumerate(step.by_order[:orders], 1)]
        table.add_row(Text(_one(step.char)), Text(str(step.order), "bold"), *shares)
    print("seen: length of the longest n-gram found in training; 1..n: probability (%) under each order alone")
    _print(table, narrowest=16 + 6 * orders)


def sweep(folder: SweepFolder) -> None:
    """Prints the table of a sweep, one row per job, the best first, and a line for each job that did not finish."""
    console, endless = Console(), Console(width=FILE_WIDTH)
    room = max(console.width, NARROWEST) if console.is_terminal else FILE_WIDTH
    for columns in (LOSS, INTERVAL, SECONDS), (LOSS, SECONDS), (LOSS,):
        table = _ranking(folder, columns)
        if Measurement.get(endless, endless.options, table).maximum <= room:
            break  # a narrower table drops a column rather than fold a word
    _print(table, whole_lines=True)
    for job in folder.ranked():
        if job.reason:
            print(f"job {job.number} {_status(job)}  {printable(job.reason)}")


def _ranking(folder: SweepFolder, columns: Sequence[str]) -> Table:
    keys, metric = folder.swept_keys(), folder.metric
    numbers = _right(*(metric if heading == LOSS else heading for heading in columns))
    status = Column("status", no_wrap=True)
    table = _titled(short(folder.path), *_right("job"), *_folded(keys), *numbers, status)
    for job in folder.ranked():
        low, high = (job.metrics.get(f"{metric}_{end}") for end in ("low", "high"))
        cells = {
            LOSS: f"{job.loss(metric):.6f}" if metric in job.metrics else "",
            INTERVAL: "" if low is None or high is None else f"{float(low):.4f} .. {float(high):.4f}",
            SECONDS: f"{job.seconds:.2f}" if job.seconds else "",
        }
        ended = Text(_status(job), style=STYLES.get(job.status, "bold red"))
        differing = (Text(_value(folder, job, key)) for key in keys)
        table.add_row(str(job.number), *differing, *(cells[heading] for heading in columns), ended)
    return table


def planned(sweep: SweepFolder) -> None:
    """Prints the jobs that a sweep would run, one row each, or the ranges of a search."""
    if sweep.search is not None:
        print(f"{sweep.search.settings.n_trials:,} trials, {len(sweep.jobs):,} of them run so far; the search covers")
        for key, each in sweep.search.ranges.items():
            between = " or ".join(each.choices) if each.choices else f"{each.low} to {each.high}"
            print(f"  {key}: {between}{', on a log scale' if each.log else ''}")
        return
    keys, waiting = sweep.swept_keys(), sweep.unfinished()
    table = _titled(f"to run: {len(waiting):,}", *_right("job"), *_folded(keys))
    for job in waiting:
        table.add_row(str(job.number), *(Text(_value(sweep, job, key)) for key in keys))
    _print(table, whole_lines=True)


def job_ended(sweep: SweepFolder, job: Job, keys: Sequence[str]) -> None:
    """Prints a line on stderr for a job that ended."""
    names = [name for name in (sweep.wanted_metric, "train/loss") if name in job.metrics]
    result = f"{names[0]} {float(job.metrics[names[0]]):.6f}" if job.status == "finished" else _status(job)
    words = " ".join(f"{key}={_value(sweep, job, key)}" for key in keys)
    say("  ".join(part for part in (f"job {job.number} of {sweep.total}", words, result, job.reason) if part))


def _status(job: Job) -> str:
    """The status of a job, in capitals if it failed."""
    return job.status if job.status in DONE else job.status.upper()


def _value(sweep: SweepFolder, job: Job, key: str) -> str:
    """The value of a setting in a job as it was typed; a number chosen by a search is rounded."""
    value = job.value(key)
    is_long = sweep.search is not None and re.fullmatch(r"-?\d*\.\d+(e-?\d+)?", value)
    return f"{float(value):.6g}" if is_long else printable(value)


def leaderboard(compared: "Comparison") -> None:
    """Prints the table of runs from the best to the worst, and below it the conclusions."""
    from nextchar.comparison.sentences import HEADS, cells

    rows = compared.rows[:MOST_RANKED]
    columns = dict(zip(HEADS, zip(*map(cells, rows), strict=True), strict=True))
    caption = f"Test loss in nats per character, with its 95% interval over {compared.units}"
    columns = {head: texts for head, texts in columns.items() if head not in MAY_LACK or set(texts) != {"-"}}
    if "95% interval" not in columns:
        caption = f"Test loss in nats per character over {compared.units}"
    if any(len(row.runs) > 1 for row in rows):
        caption += "; for several seeds their mean, with its 95% interval over seeds"
    elif not any(row.unfinished for row in rows):
        del columns["seeds"]
    if compared.to_best:
        caption += f". The column vs. best is the {compared.to_best}"
    caption += "."
    if len(rows) < len(compared.rows):
        caption = f"The best {len(rows)} of {len(compared.rows):,}. {caption}"
    table = Table(box=SIMPLE_HEAD, caption=caption, caption_justify="left", padding=(0, 1, 0, 0))
    widths = []
    for heading, column in columns.items():
        right = heading != "run"
        words = [heading, *column] if right else " ".join(column).split(" ")
        widths.append(min(max(map(len, words)), LABEL))
        table.add_column(
            heading, justify="right" if right else "left", min_width=widths[-1], no_wrap=right, overflow="fold"
        )
    for texts in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, texts))
    _print(table, sum(widths) + 2 * len(widths) + 2)
    for text in compared.sentences:
        print(printable(text))


def _titled(title: str, *columns: Column) -> Table:
    return Table(*columns, title=Text(printable(title)), title_justify="left")


def _right(*headings: str, min_width: int | None = None) -> list[Column]:
    return [Column(heading, justify="right", no_wrap=True, min_width=min_width) for heading in headings]


def _folded(keys: Sequence[str]) -> list[Column]:
    return [Column(Text(printable(key)), overflow="fold") for key in keys]


def _print(table: Table, narrowest: int = 0, whole_lines: bool = False) -> None:
    """Prints a table; with `whole_lines` each row is one line in a file or a pipe, however long."""
    console = Console()
    whole = FILE_WIDTH if whole_lines and not console.is_terminal else 0
    console.width = max(console.width, NARROWEST, narrowest, whole)
    with console.capture() as capture:  # rich would exit the program at a closed pipe
        console.print(table)
    print(capture.get(), end="")


def _one(text: str) -> str:
    """Makes text visible on one line: a space as ␣, a newline as ⏎, a tab as ⇥."""
    return printable(text).translate({ord(" "): "␣", ord("\n"): "⏎", ord("\t"): "⇥"})
