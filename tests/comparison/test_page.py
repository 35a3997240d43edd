"""The files of a comparison: tables that read back, a picture, and a page that a browser opens."""

import csv
import html
import io
import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import screenshots
from nextchar.comparison import files as report
from nextchar.comparison import page as page_module
from nextchar.comparison.grouping import as_typed
from nextchar.comparison.ranking import Comparison, compare
from nextchar.plots import charts
from nextchar.runs.record import SAMPLES

HOSTILE = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">|`*_\x1b[31m\u202e=1+1"
LARGEST_PAGE = 2_000_000  # bytes, for 100 runs
LONGEST_LOAD = 1000  # milliseconds


@pytest.fixture(scope="module")
def nn(tmp_path_factory: pytest.TempPathFactory, runs) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "nn"
    steps = ["trainer.max_steps=100", "trainer.log_every=10"]
    runs.train("model=nn", "optim.lr=15", *steps, "figures=false", f"hydra.run.dir={folder}")
    return folder


@pytest.fixture(scope="module")
def count(tmp_path_factory: pytest.TempPathFactory, runs) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "count"
    runs.train("figures=false", f"hydra.run.dir={folder}")
    return folder


def hundred(copies, nn: Path, count: Path, folder: Path, n: int = 100) -> None:
    """Runs of the largest size: 200 points a curve; every fourth run is counted."""
    random, kept = np.random.default_rng(0), copies.losses(nn)
    steps = list(range(0, 10_000, 50))
    for i in range(n):
        counted = i % 4 == 3
        run = copies.copy(count if counted else nn, folder / f"{i}_run={i}")
        copies.edit(run, copies.setting("smoothing.k" if counted else "optim.lr", 1.0 + i))
        shift = abs(random.normal(0, 0.01))
        copies.with_nll(run, kept["nll"] + kept["chars"] * (shift + random.normal(0, 0.05, len(kept["nll"]))))
        values = [2.45 + shift + math.exp(-step / 1000) for step in steps]
        curves = {tag: {"steps": steps, "values": values} for tag in ("train/loss", "val/loss")}
        copies.edit(run, lambda record, curves=curves, counted=counted: record.update(curves={} if counted else curves))


@pytest.fixture(scope="module")
def few(nn: Path, count: Path, tmp_path_factory: pytest.TempPathFactory, copies) -> Comparison:
    """A counted run, one with an infinite loss, a net with two seeds, and a net of which much is hostile."""
    folder = tmp_path_factory.mktemp("few")
    copies.copy(count, folder / "count")
    infinite = copies.copy(count, folder / "infinite", copies.setting("smoothing.k", 0.0))
    copies.with_nll(infinite, np.append(copies.losses(count)["nll"][:-1], np.inf))
    copies.copy(nn, folder / "seed1", copies.setting("seed", 1))
    copies.with_nll(copies.copy(nn, folder / "seed2", copies.setting("seed", 2)), copies.losses(nn)["nll"] * 1.001)
    hostile = copies.copy(nn, folder / HOSTILE.replace("/", "\\"))
    copies.edit(hostile, copies.setting("optim.lr", 3.0))

    def change(record: dict[str, Any]) -> None:
        record["data"]["source"] = HOSTILE
        record["versions"] = {HOSTILE: HOSTILE}
        record["git"] = {"commit": HOSTILE, "dirty": True}
        record["metrics"][HOSTILE] = 1.0
        record["metrics"]["train/loss"] = 1e300
        record["curves"][HOSTILE] = {"steps": [1], "values": [1.0]}
        record["curves"]["val/loss"] = {"steps": [-1, 10**19, 5, 6, 7], "values": [1, 2, "inf", 1e300]}

    copies.edit(hostile, change)
    copies.put(hostile, SAMPLES, f"{HOSTILE}\n".encode())
    broken = copies.copy(nn, folder / f"broken {HOSTILE.replace('/', chr(92))}")
    (broken / "run.json").write_text(HOSTILE)
    return compare([folder])


# --- tables ---------------------------------------------------------------------------------------------------------


def test_the_csv_reads_back_in_full(few: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(report.csv_table(few))))
    assert rows.pop()["status"] == "damaged", "left out"
    assert [int(row["rank"]) for row in rows] == [1, 2, 3, 4]
    for read, row in zip(rows, few.rows, strict=True):
        assert float(read["test/loss"]) == row.loss
        assert float(read["test/bits_per_char"]) == pytest.approx(row.bits_per_char)
        assert read["seeds"].split() == [str(run.seed) for run in row.runs]
        assert read["model"] == row.runs[0].record.settings.model.name
        if row.to_best:
            assert (float(read["to_best"]), float(read["to_best_half_width"])) == (
                row.to_best.value,
                row.to_best.half_width,
            )
    assert rows[-1]["test/loss"] == "inf"
    assert not any(HOSTILE in str(cell) for row in rows for cell in row)


@pytest.mark.parametrize("sign", "=+-@")
def test_no_cell_is_a_formula(few: Comparison, sign: str, tmp_path: Path, count: Path, copies) -> None:
    """A number may begin with a sign."""
    for name in (f"{sign}cmd", "other"):
        copies.copy(count, tmp_path / name)
    rows = list(csv.reader(io.StringIO(report.csv_table(compare([tmp_path])))))
    assert f"'{sign}cmd" in rows[1] + rows[2]
    cells = [cell for row in rows for cell in row if cell.startswith(tuple("=+-@"))]
    assert all(math.isfinite(float(cell)) for cell in cells)


def test_the_markdown_is_one_table_and_no_more(few: Comparison) -> None:
    """One line a row, with as many cells as the head has; markup of Markdown and HTML is escaped."""
    text = report.markdown(few)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(few.rows)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {8}
    assert all(c.isprintable() or c == "\n" for c in text)
    assert not re.search(r"(?<!\\)[<>`]", text)
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", lines[2])[1:-1]]
    assert re.sub(r"\\(.)", r"\1", cells[1]) == few.rows[0].label
    assert float(cells[3]) == pytest.approx(few.rows[0].loss, abs=1e-4)


def test_the_json_is_json(few: Comparison) -> None:
    said = json.loads(json.dumps(report.plain(few)))
    assert [row["rank"] for row in said["rows"]] == [1, 2, 3, 4]
    assert len(said["left_out"]) == 1


def test_a_notebook_shows_a_table_without_code(few: Comparison) -> None:
    """Only tags of ours, and as many rows as were ranked."""
    shown = few._repr_html_()
    assert set(re.findall(r"</?(\w+)", shown)) == {"table", "thead", "tbody", "tr", "th", "td", "p"}
    assert shown.count("<tr>") == 1 + len(few.rows)
    assert all(c.isprintable() for c in shown)
    assert html.escape(few.rows[0].label) in shown


# --- the page, as text ----------------------------------------------------------------------------------------------


def test_the_page_names_nothing_outside_itself(few: Comparison) -> None:
    page = report.page(few)
    assert not re.findall(r"<[^>]*\b(?:src|href|action|srcset|data)\s*=\s*(?![\"']?(?:data:|#))", page)
    assert "@import" not in page
    assert "url(http" not in page
    assert "default-src 'none'" in page
    assert "unsafe-inline" not in page
    assert page.count("<script") == page.count("<style") == 1
    assert html.escape("<img src=x onerror=", quote=False) in page
    assert all(c.isprintable() or c == "\n" for c in page)


def test_the_page_of_one_run_and_of_samples_that_are_gone(tmp_path: Path, count: Path, copies) -> None:
    run = copies.copy(count, tmp_path / "run")
    alone = report.page(compare([run]))
    assert "<title>1 model compared</title>" in alone
    assert "ssa-names-2018.txt · test loss on 3,277 documents" in alone
    assert "vs. best</b>" not in alone, "there is none to be explained"
    copies.put(run, SAMPLES, b"a" * (1 << 21))
    assert "the limit is 1,048,576" in report.page(compare([run]))
    copies.put(run, SAMPLES, b"\xff")
    assert "not valid UTF-8" in report.page(compare([run]))
    (run / SAMPLES).write_text("o")
    assert "samples.txt is not the file recorded in run.json" in report.page(compare([run]))
    (run / SAMPLES).unlink()
    assert "samples.txt: No such file or directory" in report.page(compare([run]))


def test_of_many_settings_each_row_unfolds_all(tmp_path: Path, nn: Path, copies) -> None:
    """With more settings than columns, each row lists all of them."""
    copies.copy(nn, tmp_path / "a")

    def change(record: dict[str, Any]) -> None:
        record["settings"]["optim"] |= {"lr": 1.0, "momentum": 0.5}
        record["settings"]["trainer"] |= {"max_steps": 7, "precision": 64}
        record["settings"]["data"] |= {"normalize": "nfc", "dedup": "before_split", "batch_size": 64}
        record["settings"]["model"]["init"] = "zeros"
        record["data"]["sha256"] = "0" * 64

    copies.copy(nn, tmp_path / "b", change)
    compared = compare([tmp_path])
    assert len(compared.varying) > page_module.MOST_COLUMNS
    text = report.page(compared)
    for row in compared.rows:
        assert row.settings.keys() == set(compared.varying)
        for key, value in row.settings.items():
            assert f"{key}={as_typed(value)} " in text


def test_huge_numbers_are_short(tmp_path: Path, nn: Path, copies) -> None:
    """A run may have diverged or be someone else's. A curve that is drawn whole is not called cut."""
    values = {"steps": [1, 50, 100], "values": [1e8, 9e7, 8e7]}
    run = copies.copy(nn, tmp_path / "run", lambda record: record.update(curves={"val/loss": values}))
    copies.edit(run, lambda record: record["metrics"].update({"val/loss": -1e8}))
    page = report.page(compare([run]))
    assert ">-1e+08</td>" in page
    ticks = re.findall(r'text-anchor="end">([^<]*)</text>', page)
    assert "9e+07" in ticks
    assert max(map(len, ticks)) <= 8
    assert "first steps are cut off" not in page


def test_the_picture_has_the_paired_difference(
    tmp_path: Path, nn: Path, monkeypatch: pytest.MonkeyPatch, copies
) -> None:
    drawn: list[charts.Entry] = []
    monkeypatch.setattr(charts, "dot_chart", lambda entries, *_: drawn.extend(entries) or b"")
    random, kept = np.random.default_rng(0), copies.losses(nn)
    for name, lr, worse in (("a", 1.0, 0.0), ("b", 2.0, 0.0), ("c", 3.0, 0.5)):
        run = copies.copy(nn, tmp_path / name, copies.setting("optim.lr", lr))
        copies.with_nll(run, kept["nll"] + kept["chars"] * (worse + 0.1 * np.abs(random.normal(size=len(kept["nll"])))))
    report.picture(compare([tmp_path]))
    assert [row.note[:3] for row in drawn] == ["", "≈ 0", "+ 0"]


def test_on_a_telephone(browser: Any, few: Comparison, tmp_path: Path) -> None:
    """The loss is on the first screen, and a tall sample scrolls in its card."""
    page = opened(browser, report.page(few), tmp_path)
    assert page.run("getComputedStyle(document.querySelector('pre')).maxHeight") == "420px"
    narrow = "[...document.styleSheets[0].cssRules].find(r => r.conditionText == '(max-width: 700px)').cssText"
    assert "sticky" in page.run(narrow)


def test_the_page_of_a_running_text(tmp_path: Path, runs) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 3000)
    argv = ["data=text", f"data.path={text}", "figures=false", f"hydra.run.dir={tmp_path / 'run'}"]
    runs.train(*argv)
    page = report.page(compare([tmp_path / "run"]))
    assert '<pre class="text">' in page
    assert "14 blocks of 1,000 characters" in page


# --- the page, in a browser -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, screenshots.BROWSERS)), None)
    if program is None:
        pytest.fail(
            f"the page is looked at in a browser, and there is none of {', '.join(screenshots.BROWSERS)}; "
            "install one: apt-get install chromium"
        )
    with screenshots.Page(program, tmp_path_factory.mktemp("profile")) as page:
        yield page


def opened(browser: Any, page: str, folder: Path) -> Any:
    path = folder / "compare.html"
    path.write_text(page, encoding="utf-8")
    browser.open(path.as_uri())
    browser.wait("document.readyState == 'complete' && location.protocol == 'file:'")
    return browser


COLUMN = "[...document.querySelectorAll('#leaderboard tbody tr')].map(row => row.cells[{}].textContent.trim())"
HEAD = "[...document.querySelectorAll('#leaderboard th button')].find(b => b.textContent == '{}')"


def test_the_page_in_a_browser(browser: Any, few: Comparison, tmp_path: Path) -> None:
    """The table is there and sorts by the column clicked, curves are highlighted, and no request leaves the page."""
    page = opened(browser, report.page(few), tmp_path)
    assert page.run(COLUMN.format(0)) == ["1", "2", "3", "4"]
    for text in few.sentences:
        assert text[1:] in page.run("document.querySelector('header').textContent")

    page.run(f"{HEAD.format('loss')}.click()")
    assert page.run(COLUMN.format(0)) == ["1", "2", "3", "4"]
    page.run(f"{HEAD.format('loss')}.click()")
    assert page.run(COLUMN.format(0)) == ["4", "3", "2", "1"]
    assert page.run(f"{HEAD.format('loss')}.closest('th').getAttribute('aria-sort')") == "descending"
    page.run(f"{HEAD.format('optim.lr')}.focus()")
    page.run(f"{HEAD.format('optim.lr')}.click()")
    assert page.run("document.querySelectorAll('[aria-sort]').length") == 1
    lrs = page.run(COLUMN.format(f"{HEAD.format('optim.lr')}.closest('th').cellIndex"))
    assert lrs[:2] == ["3", "15"], "by number, not by letter"
    assert set(lrs[2:]) == {"–"}, "what has none stands last"

    assert page.run("document.querySelectorAll('figure:not([hidden]) path').length") >= 3
    page.run("document.querySelector('.legend button').click()")
    assert page.run("document.body.classList.contains('picked')") is True
    assert page.run("document.querySelector('.legend button').getAttribute('aria-pressed')") == "true"
    page.run("[...document.querySelectorAll('.tabs button')].at(-1).click()")
    assert page.run("document.querySelector('figure:not([hidden]) svg').getAttribute('aria-label')").startswith("train")
    assert page.run("document.querySelectorAll('article').length") == 4

    assert page.run("document.title") == "4 models compared", "no stranger's script has run"
    assert page.run("document.querySelectorAll('img').length") == 0
    assert page.run("performance.getEntriesByType('resource').length") == 0


def test_the_policy_forbids_what_escaping_would_let_through(browser: Any, few: Comparison, tmp_path: Path) -> None:
    """An injected script does not run, and an injected picture is not requested."""
    holes = "<script>document.title='taken'</script><img src='http://127.0.0.1:9/x' onerror=\"document.title='taken'\">"
    page = opened(browser, report.page(few).replace("<main>", f"<main>{holes}"), tmp_path)
    assert page.run("document.querySelectorAll('img').length") == 1
    assert page.run("document.title") == "4 models compared"
    assert page.run(COLUMN.format(0)) == ["1", "2", "3", "4"]


def test_the_page_of_a_hundred_runs(browser: Any, nn: Path, count: Path, tmp_path: Path, copies) -> None:
    """Under 2 MB, and shown within a second."""
    hundred(copies, nn, count, tmp_path / "runs")
    page = report.page(compare([tmp_path / "runs"]))
    assert len(page.encode()) < LARGEST_PAGE
    took = []
    for _ in range(3):  # the machine may be busy with other things
        opened(browser, page, tmp_path)
        painted = "performance.getEntriesByName('first-contentful-paint').length > 0"
        browser.wait(f"performance.getEntriesByType('navigation')[0].loadEventEnd > 0 && {painted}")
        loaded, shown = browser.run(
            "[performance.getEntriesByType('navigation')[0].loadEventEnd, "
            "performance.getEntriesByName('first-contentful-paint')[0].startTime]"
        )
        took.append(max(loaded, shown))
    print(f"{len(page.encode()):,} bytes, shown in {min(took):.0f} ms")
    assert min(took) < LONGEST_LOAD
    assert browser.run("document.querySelectorAll('#leaderboard tbody tr').length") == 100
    assert browser.run("document.querySelectorAll('article').length") == 100


def test_the_lines_of_a_chart_lie_within_it_and_the_best_is_drawn_last(few: Comparison) -> None:
    chart = page_module._chart("train/loss", "train", few.rows)
    assert chart is not None
    ranks = [rank for rank, *_ in chart["lines"]]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) > 1
    ends = [float(path.rpartition(" ")[2].partition("H")[0]) for _, path, _ in chart["lines"]]
    assert all(0 < end < page_module.HEIGHT for end in ends)


def test_a_commit_as_the_page_shows_it() -> None:
    assert page_module._commit({"commit": "ab12", "dirty": False}) == "ab12"
    assert page_module._commit({"commit": "ab12", "dirty": True}) == "ab12 with changes"
    assert page_module._commit({}) == "unknown"
