"""A search comes as near to the optimum as a fine grid, can be resumed, and stops unpromising nets early."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from nextchar.sweeps import job
from nextchar.sweeps.launch import trials
from nextchar.sweeps.sweep_folder import Range

JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
QUICK = ["data=lines", "figures=false"]
SEARCH = "smoothing.k=tag(log,interval(0.001,100))"


def tried(table, folder: Path) -> list[tuple[str, ...]]:
    """Folder, k, loss and status of each trial, in order."""
    rows = sorted(table(folder), key=lambda row: int(row["job"]))
    return [(row["folder"], row["smoothing.k"], row["val/loss"], row["status"]) for row in rows]


def test_it_finds_what_a_grid_finds(tmp_path: Path, runs, sweep, table) -> None:
    """Twenty trials come as near to the best k as a hundred values do; the same seed tries the same."""
    names = runs.names(tmp_path, 2000)
    ended = sweep(tmp_path / "a", *QUICK, names, "sweep=search_k")
    assert ended.returncode == 0, ended.stderr
    assert [row["job"] for row in table(tmp_path / "a")] != [str(n) for n in range(20)]
    assert {int(row["folder"].partition("_")[0]) for row in table(tmp_path / "a")} == set(range(20))
    grid = ",".join(f"{10 ** (-3 + 5 * n / 99):.6g}" for n in range(100))
    assert sweep(tmp_path / "grid", *QUICK, names, f"smoothing.k={grid}").returncode == 0
    best, finest = (float(table(tmp_path / each)[0]["val/loss"]) for each in ("a", "grid"))
    assert best < finest + 1e-4
    pasted = next(line for line in ended.stdout.splitlines() if line.startswith("best"))
    assert f"smoothing.k={table(tmp_path / 'a')[0]['smoothing.k']}" in pasted


def test_a_resumed_search_chooses_as_if_it_had_not_stopped(tmp_path: Path, runs, sweep, resume, table, project) -> None:
    """A search that was killed and resumed has the same trials as one that was not."""
    names = runs.names(tmp_path)
    words = [*QUICK, names, "sweep=optuna", SEARCH, "sweep.n_trials=12"]
    assert sweep(tmp_path / "whole", *words).returncode == 0
    command = [sys.executable, project / "scripts/train.py", "-m", *words, f"hydra.sweep.dir={tmp_path / 's'}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("s/04_*")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert resume(tmp_path / "s").returncode == 0
    assert tried(table, tmp_path / "s") == tried(table, tmp_path / "whole")
    assert resume(tmp_path / "s", "sweep.n_trials=15").returncode == 0
    assert len(tried(table, tmp_path / "s")) == 15
    assert tried(table, tmp_path / "s")[:12] == tried(table, tmp_path / "whole")
    refused = resume(tmp_path / "s", "sweep=optuna", "seed=3")
    assert refused.returncode == 2
    assert "seed: only sweep.n_trials can change when a search is resumed" in refused.stderr


def test_a_result_that_optuna_has_not_heard_is_told_on_resuming(tmp_path: Path, runs, resume, plan) -> None:
    """The search was killed after a trial ended and before Optuna got the result."""
    planned = plan(*QUICK, runs.names(tmp_path), "sweep=optuna", SEARCH, "sweep.n_trials=3")
    planned.create(tmp_path / "s")
    planned.save()
    (first,) = next(trials(planned, {}, None))
    job.run(tmp_path / "s" / first.folder)
    assert resume(tmp_path / "s").returncode == 0
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 's/optuna.db'}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3


def test_a_study_that_is_lost(tmp_path: Path, runs, sweep, resume) -> None:
    assert (
        sweep(tmp_path / "s", *QUICK, runs.names(tmp_path), "sweep=optuna", SEARCH, "sweep.n_trials=2").returncode == 0
    )
    sound = (tmp_path / "s/optuna.db").read_bytes()
    (tmp_path / "s/optuna.db").write_bytes(sound.replace(b"smoothing.k", b"smoothing.\x92"))
    ended = resume(tmp_path / "s", "sweep.n_trials=3")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "not the study of this search" in ended.stderr
    (tmp_path / "s/optuna.db").unlink()
    ended = resume(tmp_path / "s", "sweep.n_trials=3")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "has lost trials" in ended.stderr
    (tmp_path / "s/optuna.db").write_bytes(b"garbage" * 1000)
    ended = resume(tmp_path / "s", "sweep.n_trials=3")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "not the study of this search" in ended.stderr


def test_without_optuna(tmp_path: Path, run_script) -> None:
    (tmp_path / "optuna.py").write_text("raise ModuleNotFoundError('no optuna')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ended = run_script("train", "-m", "sweep=search_k", PYTHONPATH=path)
    assert ended.returncode == 2
    assert ended.stderr == "error: sweep=optuna needs Optuna; pip install optuna\n"


def test_the_study_holds_the_results_of_the_jobs(tmp_path: Path, runs, sweep, table) -> None:
    """Optuna itself opens its storage: numbers, parameters and values are those of the jobs."""
    words = [*QUICK, runs.names(tmp_path), "sweep=optuna", SEARCH, "seed=int(interval(1,9))", "sweep.n_trials=6"]
    assert sweep(tmp_path / "s", *words, *JOBLIB).returncode == 0
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{tmp_path / 's/optuna.db'}")
    rows = {int(row["job"]): row for row in table(tmp_path / "s")}
    assert [trial.number for trial in study.trials] == list(range(6))
    for trial in study.trials:
        row = rows[trial.number]
        assert trial.value == float(row["val/loss"])
        assert (trial.params["smoothing.k"], trial.params["seed"]) == (float(row["smoothing.k"]), int(row["seed"]))


def test_unpromising_nets_are_stopped_early(tmp_path: Path, runs, sweep, table, states) -> None:
    """Learning rates over six orders of magnitude: some trials are pruned. Exit code 0 unless one diverges."""
    words = ["model=nn", *QUICK, runs.names(tmp_path), "sweep=optuna", "optim=sgd,adam"]
    lr = "optim.lr=tag(log,interval(0.0001,50))"
    ended = sweep(tmp_path / "s", *words, lr, "sweep.n_trials=16", "trainer.max_steps=400")
    found = states(tmp_path / "s")
    assert "pruned" in found.values()
    assert ended.returncode == (0 if set(found.values()) == {"finished", "pruned"} else 1)
    assert all(found[number] != "pruned" for number in range(5))
    for row in table(tmp_path / "s"):
        record = json.loads((tmp_path / "s" / row["folder"] / "run.json").read_text())
        assert record["status"] == row["status"]
        if row["status"] == "pruned":
            assert "stopped early at step" in row["reason"]
    unpruned = sweep(tmp_path / "t", *words, lr, "sweep.prune=false", "sweep.n_trials=6", "trainer.max_steps=50")
    assert "pruned" not in states(tmp_path / "t").values(), unpruned.stderr


def test_an_infinite_loss_is_the_worst(tmp_path: Path, runs, sweep, table) -> None:
    words = [*QUICK, runs.names(tmp_path), "sweep=optuna", "smoothing=none,add_k", "sweep.n_trials=6"]
    assert sweep(tmp_path / "s", *words).returncode == 0
    rows = table(tmp_path / "s")
    assert rows[0]["smoothing"] == "add_k"
    assert rows[-1]["val/loss"] == "inf"


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("smoothing.k=interval(0,1)", (0.0, 1.0, False, None, None)),
        ("smoothing.k=tag(log,interval(0.1,10))", (0.1, 10.0, True, None, None)),
        ("seed=int(interval(1,8))", (1, 8, False, None, None)),
        ("seed=range(1,10,2)", (1, 9, False, 2, None)),
        ("smoothing.k=range(0.5,2,0.5)", (0.5, 1.5, False, 0.5, None)),
        ("model=count,nn", (None, None, False, None, ["count", "nn"])),
        ("data.split=choice(hash,all)", (None, None, False, None, ["hash", "all"])),
        ("seed=range(3,4)", (None, None, False, None, ["3"])),
    ],
)
def test_ranges(typed: str, wanted: tuple[object, ...], plan) -> None:
    search = plan("sweep=optuna", typed).search
    assert search is not None
    (each,) = search.ranges.values()
    assert each == Range(low=wanted[0], high=wanted[1], log=wanted[2], step=wanted[3], choices=wanted[4])  # type: ignore[arg-type]
    assert type(each.low) is type(wanted[0])


def test_a_dry_search(tmp_path: Path, sweep) -> None:
    ended = sweep(tmp_path / "s", "sweep=search_k", "seed=1,2", "sweep.dry_run=true")
    assert ended.returncode == 0
    assert "20 trials, 0 of them run so far" in ended.stdout
    assert "smoothing.k: 0.001 to 100.0, on a log scale" in ended.stdout
    assert "seed: 1 or 2" in ended.stdout
    assert not (tmp_path / "s").exists()
