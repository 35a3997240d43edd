"""Flags and help of the commands, and bad input as a user meets it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nextchar.cli import parse as cli
from nextchar.cli.commands import COMMANDS, settings_class
from nextchar.config.fields import every_setting
from nextchar.errors import BadInput


def parse(script: str, *argv: str) -> Any:
    """The command that a script reads from argv."""
    return cli.parse(script, settings_class(script), argv, f"python scripts/{script}.py", COMMANDS[script])


def refusal(script: str, *argv: str) -> str:
    with pytest.raises(BadInput) as error:
        parse(script, *argv)
    return str(error.value)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ("--frobnicate", "--frobnicate: python scripts/train.py does not take this flag; see --help"),
        ("--experimental-rerun x", "--experimental-rerun: python scripts/train.py does not take this flag; see --help"),
        (
            "--config-dir /tmp",
            "--config-dir: python scripts/train.py does not take this flag; the configuration is read from conf/ only; "
            "see --help",
        ),
        (
            "-m --config-name=x seed=1",
            "--config-name=x: python scripts/train.py does not take this flag; the configuration is read from conf/ "
            "only; see --help",
        ),
        ("--cfg jb", "argument --cfg/-c: invalid choice: 'jb' (choose from 'job', 'hydra', 'all'); see --help"),
    ],
)
def test_flags_that_are_refused(argv: str, says: str) -> None:
    assert refusal("train", *argv.split()) == says


def test_only_train_can_be_swept_or_asked_by_hydra() -> None:
    for flags in (["-m"], ["--cfg", "job"], ["--info", "all"]):
        assert refusal("sample", *flags, "run=x").endswith("scripts/sample.py does not take this flag; see --help")
    assert refusal("sample", "run=x", "hydra.run.dir=y") == "hydra.run.dir: of Hydra's settings none can be set here"


# --- help -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", COMMANDS)
@pytest.mark.parametrize("columns", [40, 80, 100, 300])
def test_help_names_every_setting_and_group_and_fits(
    script: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as end:
        parse(script, "--help")
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= min(max(columns, 80), 110)
    for setting in every_setting(settings_class(script)).values():
        if not setting.is_name:
            assert f"  {setting.key} " in shown
            assert setting.help, f"{setting.key} says nothing of itself"
    assert ("-m" in shown) == (script == "train")


# --- as a user runs it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "argv"),
    [
        ("train", ["optim.lrr=1"]),
        ("train", ["data=lines", "data.path=/no/such/file"]),
        ("train", ["--cfg", "job", "optim.lrr=1"]),
        ("train", ["-m", "seed=1,-1"]),
        ("train", ["-m", "seed=1", "hydra.sweep.dir=/proc/no"]),
        ("train", ["hydra.run.dir=/proc/no"]),
        ("train", ["hydra.sweep.dir=/tmp"]),
        ("train", ["resume="]),
        ("train", ["resume=/no/such/folder"]),
        ("train", ["resume=/no/such/folder", "seed=1"]),
        ("sample", ["run=/no/such\nfolder"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(script: str, argv: list[str], run_script, project) -> None:
    outputs = project / "outputs"
    before = set(outputs.iterdir()) if outputs.exists() else set()
    ended = run_script(script, *argv)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert (set(outputs.iterdir()) if outputs.exists() else set()) == before, "a folder was made"


def test_bytes_that_are_not_utf8_are_refused_in_one_line(project) -> None:
    ended = subprocess.run(
        [sys.executable, project / "scripts/sample.py", b"run=x", b"prefix=\xff"], capture_output=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr == b"error: prefix=\\udcff: not valid UTF-8\n"


def test_odd_paths_work_from_end_to_end(tmp_path: Path, run_script) -> None:
    folder = tmp_path / "a b (1)" / "é'\"=,#${x}[bold]日"
    folder.mkdir(parents=True)
    (folder / "n (é).txt").write_text("emma\nolivia\nava\n")
    where = [f"data.path={folder}/n (é).txt", f"hydra.run.dir={folder}/run"]
    ended = run_script("train", "data=lines", "data.split=all", "figures=false", *where)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "[bold]" in ended.stdout, "what looks like markup is a name here"
    ended = run_script("sample", f"run={folder}/run", "n=3")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(ended.stdout.splitlines()) == 3
