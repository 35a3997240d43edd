"""What a person sees on the terminal: whole numbers of a whole table, and nothing that steers the terminal."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from nextchar.cli import printing, tables
from nextchar.evaluation.explain import Step

HOSTILE = "\x1b[31m\x07\x08\x9b\u202e\u2066\ud800\x7f"


def step(context: str = ".", char: str = "a", probability: float = 0.25) -> Step:
    log_prob = math.log(probability) if probability else -math.inf
    return Step(context, char, probability, log_prob, 2, (("b", 0.5), (char, probability), (" ", 0.1), ("c", 0.0)))


def is_harmless(text: str) -> bool:
    return all(c.isprintable() or c in "\n\t" for c in text)


@pytest.mark.parametrize("width", [20, 80, 200])
def test_losses(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """An infinite loss and a missing interval have their place; however narrow the terminal, no number is cut."""
    monkeypatch.setenv("COLUMNS", str(width))
    metrics = {"train/loss": 2.5, "train/loss_low": 2.25, "train/loss_high": 2.75}
    metrics |= {"train/bits_per_char": 3.6067376, "train/perplexity": 12.1824940}
    metrics |= {f"test/{unit}": math.inf for unit in ("loss", "bits_per_char", "perplexity")}
    tables.losses(metrics, "[red]count[/red] on a" + HOSTILE)
    shown = capsys.readouterr().out
    assert "[red]count[/red] on a\\x1b[31m\\x07\\x08\\x9b\\u202e\\u2066\\ud800\\x7f" in shown.replace("\n", "")
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if line.startswith("│")]
    assert rows == [
        ["train", "2.500000", "2.2500 .. 2.7500", "3.6067", "12.182"],
        ["test", "inf", "-", "inf", "inf"],
    ]
    assert is_harmless(shown)


@pytest.mark.parametrize("width", [20, 80, 200])
def test_explanation(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    steps = [step(), step("a", "[b]"), step("x" * 50 + " \n\t", "中"), step("a", HOSTILE[0], 0.0)]
    tables.explanation("a[b]" + HOSTILE, steps)
    shown = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("│")[1:6]] for line in shown.splitlines() if line.startswith("│")]
    assert [row for row in rows if row[0]] == [
        [".", "a", "0.250000", "-1.386294", "2"],
        ["a", "[b]", "0.250000", "-1.386294", "2"],
        ["…" + "x" * 9 + "␣⏎⇥", "中", "0.250000", "-1.386294", "2"],
        ["a", "\\x1b", "0.000000", "-inf", "2"],
    ]
    assert shown.endswith("mean negative log-likelihood inf nats, inf bits a character\n")
    assert is_harmless(shown)


def test_samples_notes_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_lines(["ab", "", "two\nlines\tand a tab", HOSTILE])
    printing.note(HOSTILE)
    shown = capsys.readouterr()
    assert shown.out == "ab\n\ntwo\nlines\tand a tab\n\\x1b[31m\\x07\\x08\\x9b\\u202e\\u2066\\ud800\\x7f\n"
    assert is_harmless(shown.err)

    value = {
        "texts": ["ü中", HOSTILE, "\U000e0001"],
        "loss": math.inf,
        "steps": [step(probability=0.0)._asdict()],
        "n": 3,
    }
    printing.print_json(value)
    shown_json = capsys.readouterr().out
    assert "ü中" in shown_json
    assert is_harmless(shown_json)
    read = json.loads(shown_json, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read["texts"] == value["texts"]
    assert (read["loss"], read["steps"][0]["log_prob"], read["n"]) == ("inf", "-inf", 3)


def test_hostile_text_from_training_to_explanation(tmp_path: Path, run_script) -> None:
    """A text full of escape codes comes out of every script with none."""
    text = tmp_path / "text.txt"
    text.write_bytes("".join(f"\x1b[3{i % 8}mred\x07\x9b\u202eab\x7f\n" for i in range(300)).encode())
    run = tmp_path / "run"
    said = [run_script("train", "data=lines", f"data.path={text}", "data.split=all", f"hydra.run.dir={run}")]
    said += [run_script("sample", f"run={run}", "n=30"), run_script("sample", f"run={run}", "json=true")]
    said += [run_script("explain", f"run={run}", "text=\x1b[31m\u202e", "figures=false")]
    said += [run_script("explain", f"run={run}", "text=\x1b[31m\u202e", "json=true", f"out={tmp_path / 'a.png'}")]
    said += [run_script("explain", f"run={run}", "text=\x1b[31mñ")]
    for process in said:
        assert process.returncode == (2 if process is said[-1] else 0), process.stderr
        assert is_harmless(process.stdout)
        assert is_harmless(process.stderr)
    assert "\\x1b[3" in said[1].stdout
    assert json.loads(said[4].stdout)["steps"][0]["char"] == "\x1b"
    assert is_harmless((run / "samples.txt").read_text())
    assert is_harmless((run / "train.log").read_text())


@pytest.mark.parametrize("out", ["| true", "| head -n 1", ">&-", ">/dev/full"])
def test_a_run_ends_well_whoever_reads(tmp_path: Path, out: str, project) -> None:
    """A pipe that was closed, no stdout at all, a full disk behind it: nothing of the run is lost."""
    command = f"{sys.executable} {project / 'scripts/train.py'} figures=false hydra.run.dir={tmp_path / 'run'} {out}"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


def test_a_sweep_goes_on_whoever_reads(tmp_path: Path, project) -> None:
    words = f"-m smoothing.k=1,2 figures=false hydra.sweep.dir={tmp_path / 'sweep'}"
    command = f"{sys.executable} {project / 'scripts/train.py'} {words} | true"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    records = [json.loads(path.read_text()) for path in (tmp_path / "sweep").glob("*/run.json")]
    assert [record["status"] for record in records] == ["finished"] * 2


def test_a_refusal_is_one_without_a_stderr(project) -> None:
    command = f"{sys.executable} {project / 'scripts/train.py'} optim.lrr=1 2>&-"
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 2
