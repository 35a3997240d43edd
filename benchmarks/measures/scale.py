"""Measures of n-grams on large texts, on one core: CPU time a character by size, and beside other libraries."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.table import Table

from benchmarks.measures import texts
from benchmarks.measures.rows import Options, Row, peer, row, row_alone, script, seconds

SIZES = (10, 100, 1000)  # MB
ORDERS = (2, 5)
FITTED_BY_NLTK = 300_000  # bytes
SCORED_BY_NLTK = 300  # bytes
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")

ORDER_5 = ("model.order=5", "data=text", "data.split=all", "figures=false")

Costs = dict[str, float]  # CPU seconds by phase, and "mb", the peak of memory


def tables(options: Options) -> tuple[Table, list[Row]]:
    """The table of costs by size, and the rows of the other measures."""
    with tempfile.TemporaryDirectory() as name:
        text, held_out = texts.make(Path(name), options.largest, options.text)
        sizes = [mb for mb in SIZES if mb * texts.MB <= text.stat().st_size]
        if not sizes:
            sys.exit(f"error: the text is smaller than {SIZES[0]} MB, the smallest size measured")
        files = {mb: texts.first(text, mb) for mb in sizes}
        text.unlink()
        costs = {(mb, order): ours(file, order) for mb, file in files.items() for order in ORDERS}
        compared = files[min(100, sizes[-1])]
        scored = [ours(compared, 5, held_out) for _ in range(options.pairs)]
        rows = [
            *by_size(costs, sizes[-1]),
            *beside_arrays(compared, options.pairs),
            *estimated(compared, scored),
            *saved(compared, held_out, scored, options.pairs),
            *beside_nltk(compared, held_out),
            *names_at_order_6(options.pairs),
        ]
    return _by_size(costs, sizes), rows


def ours(file: Path, order: int, *more: Path) -> Costs:
    """The costs of our counting; with a held-out text of estimation and scoring too."""
    return costs_of("nextchar_counts", file, order, *more)


def costs_of(name: str, *arguments: object) -> Costs:
    """The costs that a script in peers/ prints; it runs on one core in a process of its own."""
    command = peer(name, *arguments)
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **ONE_CORE})
    if done.returncode:
        sys.exit(f"error: {' '.join(map(str, command))}: {(done.stderr.strip().splitlines() or ['killed'])[-1]}")
    costs: Costs = json.loads(done.stdout)
    return costs


# --- by size --------------------------------------------------------------------------------------------------------


def _by_size(costs: dict[tuple[int, int], Costs], sizes: list[int]) -> Table:
    table = Table(title="one core, nanoseconds of CPU a character", title_justify="left")
    for heading in ("MB", *(f"{cost}, order {k}" for k in ORDERS for cost in ("count", "peak MB")), "reading"):
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
        row_alone(f"bigrams, {largest:,} MB, a character", [nanoseconds(pairs, "count")], 2.5, "ns"),
        row_alone(f"order 5, {largest:,} MB, reading included", [seconds], 0.03 * largest),
        row_alone(f"order 5, {largest:,} MB, memory", [order_5["mb"]], 3 * 1074, "MB"),
    ]
    if largest > SIZES[0]:
        flat = [costs[largest, 2]["mb"]], [costs[SIZES[0], 2]["mb"]]
        linear = [nanoseconds(order_5, "count")], [nanoseconds(costs[SIZES[0], 5], "count")]
        rows += [
            row(f"bigrams, memory: {largest:,} MB / {SIZES[0]} MB", *flat, 1.5, "MB"),
            row(f"order 5, a character: {largest:,} MB / {SIZES[0]} MB", *linear, 1.5, "ns"),
        ]
    return rows


# --- beside other libraries ------------------------------------------------------------------------------------


def beside_arrays(file: Path, pairs: int) -> list[Row]:
    of_2, of_5, counters, bincounts, group_bys = [], [], [], [], []
    for number in range(pairs):
        of_2.append(ours(file, 2))
        bincounts.append(costs_of("bincount", file))
        of_5.append(ours(file, 5))
        group_bys.append(costs_of("group_by", file, 5))
        if number == 0:
            counters.append(costs_of("counter", file))
    bigrams = _of(of_2, "count")
    return [
        row("bigrams: collections.Counter / ours, one pair", bigrams[:1], _of(counters, "count"), 30, least=True),
        row("bigrams: np.bincount of the whole text / ours", bigrams, _of(bincounts, "count"), 8, least=True),
        row("order 5: ours / polars' group_by", _of(of_5, "count"), _of(group_bys, "count"), 0.40),
        row("order 5, memory: ours / polars' group_by", _of(of_5, "mb"), _of(group_bys, "mb"), 0.35, "MB"),
    ]


def estimated(file: Path, found: list[Costs]) -> list[Row]:
    ready, mb = [each["count"] + each["estimate"] for each in found], file.stat().st_size / texts.MB
    return [
        row_alone(f"modified Kneser-Ney, order 5, {mb:g} MB, counted and estimated", ready, 0.06 * mb),
        row_alone("... scoring, a character", [_score(each) for each in found], 200, "ns"),
    ]


def saved(file: Path, held_out: Path, found: list[Costs], pairs: int) -> list[Row]:
    """A run of the text: its files, opening it, and its ARPA file scored by KenLM."""
    from nextchar.runs.record import WEIGHTS
    from nextchar.runs.run import open_run

    with tempfile.TemporaryDirectory() as folder:
        run, exported = Path(folder) / "run", Path(folder) / "model.arpa"
        seconds(script("train", *ORDER_5, f"data.path={file}", f"hydra.run.dir={run}"))
        seconds(script("export", f"run={run}", f"out={exported}"))
        opened = []
        for _ in range(pairs):
            began = time.perf_counter()
            _ = open_run(run).model
            opened.append(time.perf_counter() - began)
        saved, listed = ([path.stat().st_size / texts.MB] for path in (run / WEIGHTS, exported))
        theirs = [_score(costs_of("kenlm_scores", exported, held_out)) for _ in found]
    return [
        row("... scoring: ours / kenlm's full_scores", [_score(each) for each in found], theirs, 0.5, "ns"),
        row("... size: our file / the ARPA file", saved, listed, 0.5, "MB"),
        row_alone("... opening the run", opened, 0.1),
    ]


def beside_nltk(file: Path, held_out: Path) -> list[Row]:
    """NLTK on the first bytes of the text: it takes ten microseconds a character."""
    small, few = file.with_name("small"), file.with_name("few")
    small.write_bytes(file.read_bytes()[:FITTED_BY_NLTK])
    few.write_bytes(held_out.read_bytes()[:SCORED_BY_NLTK])
    theirs, own = costs_of("nltk_model", small, 5, few), ours(small, 5, held_out)
    fitted = [own["count"] + own["estimate"]], [theirs["count"]]
    scored = [_score(own)], [_score(theirs)]
    return [
        row(f"order 5, fitted on {FITTED_BY_NLTK:,} bytes: NLTK / ours", *fitted, 100, least=True),
        row("Kneser-Ney, scoring: NLTK / ours", *scored, 1000, "ns", least=True),
    ]


def names_at_order_6(pairs: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        words = ("model.order=6", "figures=false")
        took = [seconds(script("train", *words, f"hydra.run.dir={folder}/{number}")) for number in range(pairs)]
    return [row_alone("names at order 6, a whole process", took, 0.7)]


def _score(costs: Costs) -> float:
    """Nanoseconds a character."""
    return costs["score"] / costs["scored"] * 1e9


def _of(costs: list[Costs], phase: str) -> list[float]:
    return [each[phase] for each in costs]
