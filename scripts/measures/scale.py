"""n-grams of large texts, on one core: what a character costs at 10, 100 and 1,000 MB, and beside other libraries."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measures import texts
from measures.pairs import SCRIPTS, Options, Row, alone, row
from rich.table import Table

SIZES = (10, 100, 1000)  # MB
ORDERS = (2, 5)
FITTED_BY_NLTK = 300_000  # bytes
SCORED_BY_NLTK = 300
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")

Costs = dict[str, float]  # CPU seconds by phase, and "mb", the peak of the memory


def tables(options: Options) -> tuple[Table, list[Row]]:
    """The costs by size, and the rows beside others."""
    with tempfile.TemporaryDirectory() as name:
        text, held_out = texts.make(Path(name), options.largest, options.text)
        sizes = [mb for mb in SIZES if mb * texts.MB <= text.stat().st_size]
        if not sizes:
            sys.exit(f"error: the text has less than {SIZES[0]} MB, the least that is measured")
        files = {mb: texts.first(text, mb) for mb in sizes}
        text.unlink()
        costs = {(mb, order): ours(file, order) for mb, file in files.items() for order in ORDERS}
        compared = files[min(100, sizes[-1])]
        rows = [
            *by_size(costs, sizes[-1]),
            *beside_arrays(compared, options.pairs),
            *estimated(compared, held_out, options.pairs),
            *beside_nltk(compared, held_out),
            *whole_processes(compared, options.pairs),
        ]
    return _by_size(costs, sizes), rows


def ours(file: Path, order: int, *more: Path) -> Costs:
    return script("nextchar_counts", file, order, *more)


def script(name: str, *arguments: object) -> Costs:
    """What a script in peers/, run on one core in a process of its own, says that it has cost."""
    command = [sys.executable, SCRIPTS / "peers" / f"{name}.py", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **ONE_CORE})
    if done.returncode:
        sys.exit(f"error: {' '.join(map(str, command))}: {(done.stderr.strip().splitlines() or ['killed'])[-1]}")
    costs: Costs = json.loads(done.stdout)
    return costs


# --- by size --------------------------------------------------------------------------------------------------------


def _by_size(costs: dict[tuple[int, int], Costs], sizes: list[int]) -> Table:
    table = Table(title="one core, nanoseconds of CPU a character", title_justify="left")
    for heading in ("MB", *(f"{what}, order {k}" for k in ORDERS for what in ("count", "peak MB")), "first reading"):
        table.add_column(heading, justify="right")
    for mb in sizes:
        cells = [f"{mb:,}"]
        for order in ORDERS:
            found = costs[mb, order]
            cells += [f"{nanoseconds(found, 'count'):.2f}", f"{found['mb']:,.0f}"]
        table.add_row(*cells, f"{nanoseconds(costs[mb, ORDERS[0]], 'read'):.2f}")
    return table


def nanoseconds(costs: Costs, phase: str) -> float:
    return costs[phase] / costs["characters"] * 1e9


def by_size(costs: dict[tuple[int, int], Costs], largest: int) -> list[Row]:
    pairs, order_5 = costs[largest, 2], costs[largest, 5]
    seconds = order_5["read"] + order_5["count"]
    rows = [
        alone(f"bigrams of {largest:,} MB, a character", [nanoseconds(pairs, "count")], 2.5, "ns"),
        alone(f"order 5 of {largest:,} MB, with all reading", [seconds], 0.03 * largest),
        alone(f"order 5 of {largest:,} MB, memory", [order_5["mb"]], 3 * 1074, "MB"),
    ]
    if largest > SIZES[0]:
        flat = [costs[largest, 2]["mb"]], [costs[SIZES[0], 2]["mb"]]
        linear = [nanoseconds(order_5, "count")], [nanoseconds(costs[SIZES[0], 5], "count")]
        rows += [
            row(f"bigrams, memory: {largest:,} MB / {SIZES[0]} MB", *flat, 1.5, "MB"),
            row(f"order 5, a character: {largest:,} MB / {SIZES[0]} MB", *linear, 1.5, "ns"),
        ]
    return rows


# --- beside others --------------------------------------------------------------------------------------------------


def beside_arrays(file: Path, pairs: int) -> list[Row]:
    of_2, of_5, counters, bincounts, group_bys = [], [], [], [], []
    for number in range(pairs):
        of_2.append(ours(file, 2))
        bincounts.append(script("bincount", file))
        of_5.append(ours(file, 5))
        group_bys.append(script("group_by", file, 5))
        if number == 0:
            counters.append(script("counter", file))
    bigrams = _of(of_2, "count")
    return [
        row("bigrams: collections.Counter / ours, one pair", bigrams[:1], _of(counters, "count"), 30, least=True),
        row("bigrams: np.bincount of the whole / ours", bigrams, _of(bincounts, "count"), 8, least=True),
        row("order 5: ours / polars' group_by", _of(of_5, "count"), _of(group_bys, "count"), 0.40),
        row("order 5, memory: ours / polars' group_by", _of(of_5, "mb"), _of(group_bys, "mb"), 0.35, "MB"),
    ]


def estimated(file: Path, held_out: Path, pairs: int) -> list[Row]:
    found = [ours(file, 5, held_out) for _ in range(pairs)]
    ready = [each["count"] + each["estimate"] for each in found]
    scored = [each["score"] / each["scored"] * 1e9 for each in found]
    mb = file.stat().st_size / texts.MB
    return [
        alone(f"modified Kneser-Ney, order 5, {mb:g} MB, counted and ready", ready, 0.06 * mb),
        alone("... scoring, a character", scored, 200, "ns"),
    ]


def beside_nltk(file: Path, held_out: Path) -> list[Row]:
    """On the beginning of the text: a character costs NLTK ten microseconds."""
    small, few = file.with_name("small"), file.with_name("few")
    small.write_bytes(file.read_bytes()[:FITTED_BY_NLTK])
    few.write_bytes(held_out.read_bytes()[:SCORED_BY_NLTK])
    theirs, own = script("nltk_model", small, 5, few), ours(small, 5, held_out)
    fitted = [own["count"] + own["estimate"]], [theirs["count"]]
    scored = [own["score"] / own["scored"] * 1e6], [theirs["score"] / theirs["scored"] * 1e6]
    return [
        row(f"order 5, fit on {FITTED_BY_NLTK:,} bytes: NLTK / ours", *fitted, 100, least=True),
        row("Kneser-Ney, a score: NLTK / ours", *scored, 1000, "us", least=True),
    ]


def whole_processes(file: Path, pairs: int) -> list[Row]:
    """Names at order 6, and how a saved model of the text opens."""
    from nextchar.experiment import open_model

    took, opened = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(pairs):
            began = time.perf_counter()
            _train("model.order=6", f"hydra.run.dir={folder}/names{number}")
            took.append(time.perf_counter() - began)
        _train("model.order=5", "data=text", f"data.path={file}", "data.split=all", f"hydra.run.dir={folder}/run")
        for _ in range(pairs):
            began = time.perf_counter()
            open_model(Path(folder) / "run")
            opened.append(time.perf_counter() - began)
    return [
        alone("names at order 6: a whole process", took, 0.7),
        alone("a saved model opens", opened, 0.1),
    ]


def _train(*words: str) -> None:
    command = [sys.executable, SCRIPTS / "train.py", "figures=false", *words]
    subprocess.run(command, check=True, capture_output=True)


def _of(costs: list[Costs], phase: str) -> list[float]:
    return [each[phase] for each in costs]
