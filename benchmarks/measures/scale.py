"""n-grams of large texts, on one core: what a character costs at 10, 100 and 1,000 MB, and beside other libraries."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measures import texts
from measures.pairs import PEERS, SCRIPTS, Options, Row, alone, row
from rich.table import Table

SIZES = (10, 100, 1000)  # MB
ORDERS = (2, 5)
FITTED_BY_NLTK = 300_000  # bytes
SCORED_BY_NLTK = 300
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")

ORDER_5 = ("model.order=5", "data=text", "data.split=all", "figures=false")  # of train.py

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
    return script("nextchar_counts", file, order, *more)


def script(name: str, *arguments: object) -> Costs:
    """What a script in peers/, run on one core in a process of its own, says that it has cost."""
    command = [sys.executable, PEERS / f"{name}.py", *arguments]
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


def estimated(file: Path, found: list[Costs]) -> list[Row]:
    ready, mb = [each["count"] + each["estimate"] for each in found], file.stat().st_size / texts.MB
    return [
        alone(f"modified Kneser-Ney, order 5, {mb:g} MB, counted and ready", ready, 0.06 * mb),
        alone("... scoring, a character", [_score(each) for each in found], 200, "ns"),
    ]


def saved(file: Path, held_out: Path, found: list[Costs], pairs: int) -> list[Row]:
    """A run of the text, opened, and exported for KenLM."""
    from nextchar.runs.folder import WEIGHTS
    from nextchar.runs.open_run import open_model

    with tempfile.TemporaryDirectory() as folder:
        run, exported = Path(folder) / "run", Path(folder) / "model.arpa"
        _script("train", *ORDER_5, f"data.path={file}", f"hydra.run.dir={run}")
        _script("export", f"run={run}", f"out={exported}")
        opened = []
        for _ in range(pairs):
            began = time.perf_counter()
            open_model(run)
            opened.append(time.perf_counter() - began)
        sizes = [[path.stat().st_size / texts.MB] for path in (run / WEIGHTS, exported)]
        theirs = [_score(script("kenlm_scores", exported, held_out)) for _ in found]
    return [
        row(
            "... scoring, a character: ours / kenlm's full_scores", [_score(each) for each in found], theirs, 0.5, "ns"
        ),
        row("... saved: our file / the ARPA file", *sizes, 0.5, "MB"),
        alone("... opened again", opened, 0.1),
    ]


def beside_nltk(file: Path, held_out: Path) -> list[Row]:
    """On the beginning of the text: a character costs NLTK ten microseconds."""
    small, few = file.with_name("small"), file.with_name("few")
    small.write_bytes(file.read_bytes()[:FITTED_BY_NLTK])
    few.write_bytes(held_out.read_bytes()[:SCORED_BY_NLTK])
    theirs, own = script("nltk_model", small, 5, few), ours(small, 5, held_out)
    fitted = [own["count"] + own["estimate"]], [theirs["count"]]
    scored = [_score(own)], [_score(theirs)]
    return [
        row(f"order 5, fit on {FITTED_BY_NLTK:,} bytes: NLTK / ours", *fitted, 100, least=True),
        row("Kneser-Ney, a score: NLTK / ours", *scored, 1000, "ns", least=True),
    ]


def names_at_order_6(pairs: int) -> list[Row]:
    took = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(pairs):
            began = time.perf_counter()
            _script("train", "model.order=6", "figures=false", f"hydra.run.dir={folder}/{number}")
            took.append(time.perf_counter() - began)
    return [alone("names at order 6: a whole process", took, 0.7)]


def _script(name: str, *words: str) -> None:
    subprocess.run([sys.executable, SCRIPTS / f"{name}.py", *words], check=True, capture_output=True)


def _score(costs: Costs) -> float:
    """Nanoseconds a character."""
    return costs["score"] / costs["scored"] * 1e9


def _of(costs: list[Costs], phase: str) -> list[float]:
    return [each[phase] for each in costs]
