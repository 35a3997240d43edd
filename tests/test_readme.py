"""What the README says, held against what runs."""

import doctest
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nextchar.config.fields import options_of

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text()
NGRAMS = (PROJECT / "docs" / "ngrams.md").read_text()


def test_it_can_be_read_in_one_go() -> None:
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("group", ["model", "data", "smoothing", "optim", "experiment"])
def test_it_names_every_option(group: str) -> None:
    (row,) = re.findall(rf"^\| `{group}` \| (.*) \|$", README, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == set(options_of(group))


def test_its_pictures_and_scripts_exist() -> None:
    for path in re.findall(r"\(((?:outputs|docs)/[^)]*)\)", README) + re.findall(r"python (scripts/\w+\.py)", README):
        assert (PROJECT / path).is_file(), path


def test_its_numbers_for_counts_are_those_of_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, runs
) -> None:
    """The table that it prints, to the letter but for the seconds."""
    runs.train("figures=false", f"hydra.run.dir={tmp_path / 'run'}")
    printed = capsys.readouterr().out.split("└")[0].splitlines()[1:]
    shown = README.split("$ python scripts/train.py\n")[1].split("└")[0].splitlines()[1:]
    assert [line.rstrip() for line in printed] == shown


@pytest.mark.parametrize(
    ("words", "row"),
    [
        (["smoothing=none"], "`model=count smoothing=none`"),
        (["model=nn", "optim.lr=15"], "`model=nn optim.lr=15`"),
        (["experiment=counted_by_descent"], "`experiment=counted_by_descent`"),
    ],
)
def test_its_table_of_losses(words: list[str], row: str, tmp_path: Path, runs) -> None:
    runs.train(*words, "figures=false", f"hydra.run.dir={tmp_path / 'run'}")
    metrics = runs.record(tmp_path / "run")["metrics"]
    losses = [float(metrics[f"{part}/loss"]) for part in ("train", "val", "test")]
    (cells,) = (line for line in README.splitlines() if line.startswith(f"| {row}"))
    assert cells.split("|")[2:5] == [f" {loss:.4f} " for loss in losses]


def test_its_table_of_n_grams(tmp_path: Path, runs) -> None:
    """Each row of the embedded names by its command; the tests do not have makemore's names."""
    (head, *rows) = re.findall(r"^\| `(smoothing=|[a-z_]+(?: smoothing.tune=true)?)` \|(.*)\|$", NGRAMS, re.MULTILINE)
    orders = [int(cell) for cell in head[1].split("|")][:6]
    rows = [(words, cells) for words, cells in rows if cells.count("|") == 11]
    assert {words.split()[0] for words, _ in rows} >= set(options_of("smoothing")) - {
        "usual",
        "none",
        "l2",
        "stupid_backoff",
    }
    for words, cells in rows:
        for order, cell in list(zip(orders, cells.split("|"), strict=False))[2:5]:
            folder = tmp_path / f"{words} {order}"
            runs.train(
                f"model.order={order}", *f"smoothing={words}".split(), "figures=false", f"hydra.run.dir={folder}"
            )
            assert f"{runs.record(folder)['metrics']['test/loss']:.4f}" == cell.strip(), (words, order)


def test_the_page_of_nets_has_a_row_for_each() -> None:
    nets = set(options_of("model")) - {"count", "arpa"}
    page = (PROJECT / "docs" / "nets.md").read_text()
    measured, described = page.split("| `model=` | reads |")
    assert {name for name in nets if f"\n| `{name}` |" in measured} == nets
    rows = [line.split("|")[1] for line in described.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == nets
    (command,) = re.findall(r"-m model=([\w,]+)", page)
    assert set(command.split(",")) == {*nets, "count"}


def test_what_compare_says_of_its_sweep(tmp_path: Path, run_script) -> None:
    (words,) = re.findall(r"^python scripts/train.py (-m model=count,nn .*?) +#", README, re.MULTILINE)
    done = run_script("train", *words.split(), "figures=false", f"hydra.sweep.dir={tmp_path / 's'}")
    assert done.returncode == 0, done.stderr
    said = run_script("compare", str(tmp_path / "s"), f"out={tmp_path / 'out'}").stdout.splitlines()[-1]
    assert f'"{said}"' in README


def test_its_lines_of_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in ("training.train", "sweeps.launch"):
        monkeypatch.setattr(f"nextchar.{module}.PROJECT", tmp_path)
    failed, attempted = doctest.testfile(str(PROJECT / "README.md"), module_relative=False, encoding="utf-8")
    assert (failed, attempted) == (0, 7)


def test_the_model_that_it_adds_works(tmp_path: Path) -> None:
    """The diff applies to the project as it is, and what it adds is trained, opened and sampled."""
    clone = tmp_path / "clone"
    for part in ("src", "conf", "scripts"):
        shutil.copytree(PROJECT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (diff,) = re.findall(r"^```diff\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    subprocess.run(["git", "apply", "-"], input=diff, text=True, check=True, cwd=clone)
    environment = {**os.environ, "PYTHONPATH": str(clone / "src")}

    def run(script: str, *words: str) -> str:
        command = [sys.executable, clone / "scripts" / script, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        return done.stdout

    steps = "trainer.max_steps=1500"  # README's 4,000 take half a minute
    told = run("train.py", "model=small_mlp", steps, "figures=false", "json=true", f"hydra.run.dir={tmp_path / 'run'}")
    losses = json.loads(told)["metrics"]
    assert losses["test/loss"] < 2.3, "a bigram has 2.45: it reads more than one character"
    curves = json.loads((tmp_path / "run" / "run.json").read_text())["curves"]
    assert curves["val/loss"]["values"][-1] == pytest.approx(losses["val/loss"], abs=1e-5), "trained as it is evaluated"
    assert len(run("sample.py", f"run={tmp_path / 'run'}", "n=3").splitlines()) == 3
    assert "small_mlp" in run("train.py", "--help")
