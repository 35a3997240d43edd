"""The doors of a command: scripts/NAME.py, `nextchar NAME`, `python -m nextchar NAME`."""

import subprocess
import sys
from pathlib import Path

import pytest

from nextchar.cli.commands import COMMANDS


def nextchar(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "nextchar", *argv], capture_output=True, text=True, timeout=120)


def test_every_command_has_its_doors(project: Path) -> None:
    assert {path.stem for path in (project / "scripts").glob("*.py")} == set(COMMANDS)
    assert {path.stem for path in (project / "conf").glob("*.yaml")} == set(COMMANDS)
    for name in COMMANDS:
        source = (project / "scripts" / f"{name}.py").read_text()
        assert f'main("{name}")' in source
        assert "@hydra.main" in source, "Hydra's completion of bash looks for this text"
        assert (project / "src/nextchar/cli" / f"{name}_command.py").is_file()


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_without_a_command_they_are_listed(argv: list[str]) -> None:
    ended = nextchar(*argv)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0] == "usage: python -m nextchar COMMAND [key=value ...]"
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(COMMANDS)
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("trian", "trian: there is no such command. Did you mean train?"),
        ("model=nn", "model=nn: there is no such command. The commands are train, "),
        ("--multirun", "--multirun: there is no such command. The commands are train, "),
    ],
)
def test_an_unknown_command_is_one_line(word: str, says: str) -> None:
    ended = nextchar(word)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"error: {says}")
    assert ended.stderr.count("\n") == 1


def test_a_command_is_named_as_it_was_typed(run_script, project: Path) -> None:
    assert nextchar("train", "--help").stdout.startswith("usage: python -m nextchar train [-m] ")
    assert run_script("train", "--help").stdout.startswith("usage: python scripts/train.py [-m] ")
    assert nextchar("sample", "-m").stderr.startswith("error: -m: python -m nextchar sample does not take this flag")


def test_both_doors_train_the_same(tmp_path: Path, run_script, runs) -> None:
    words = ["figures=false", runs.names(tmp_path), "data=lines"]
    assert run_script("train", *words, f"hydra.run.dir={tmp_path / 'a'}").returncode == 0
    assert nextchar("train", *words, f"hydra.run.dir={tmp_path / 'b'}").returncode == 0
    assert runs.without_times(tmp_path / "a")["metrics"] == runs.without_times(tmp_path / "b")["metrics"]


def test_bench_needs_a_clone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from nextchar.cli import bench_command, main

    monkeypatch.setattr(bench_command, "BENCHMARKS", tmp_path)
    with pytest.raises(ValueError, match="bench needs a clone of the repository"):
        main.run("bench", [], "nextchar bench")


def test_a_current_folder_that_is_gone(tmp_path: Path, project: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = f"cd {tmp_path / 'gone'} && rmdir {tmp_path / 'gone'} && {sys.executable} {project / 'scripts/train.py'}"
    ended = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == "error: the current folder is gone; change to a folder that exists"
