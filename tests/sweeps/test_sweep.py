"""A sweep runs all its jobs, hides no failure, can be resumed, and gives the same results with every launcher."""

import contextlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from nextchar.config.compose import command_of, parse_overrides, run_settings
from nextchar.config.fields import options_of
from nextchar.config.train_settings import TrainCommand
from nextchar.errors import SIGNALS, BadInput
from nextchar.runs.folder import RunFolder, lock
from nextchar.sweeps.job import run as run_job
from nextchar.sweeps.plan import Composer, job_overrides, jobs
from nextchar.sweeps.sweep_folder import Job, SweepFolder
from nextchar.sweeps.table import picture

JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
QUICK = ["data=lines", "figures=false"]


def refusal(plan, *words: object) -> str:
    with pytest.raises(BadInput) as error:
        plan(*words)
    return str(error.value)


def written(folder: Path) -> dict[str, int]:
    """The time at which each job's run.json was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/run.json")}


# --- the table ------------------------------------------------------------------------------------------------------


def test_a_grid(tmp_path: Path, runs, run_script, sweep, table) -> None:
    """The table, sweep.csv, sweep.json and the folders hold the same jobs, the best first."""
    ended = sweep(tmp_path / "s", *QUICK, runs.names(tmp_path), "smoothing.k=1,0.1", "seed=1,2")
    assert ended.returncode == 0, ended.stderr
    assert [line[:10] for line in ended.stderr.splitlines()] == [f"job {n} of 4" for n in range(4)]
    folders = {path.name for path in (tmp_path / "s").iterdir() if path.is_dir()}
    assert folders == {f"{n}_smoothing.k={k},seed={s}" for n, (k, s) in enumerate([(1, 1), (1, 2), (0.1, 1), (0.1, 2)])}
    rows = table(tmp_path / "s")
    losses = [float(row["val/loss"]) for row in rows]
    assert losses == sorted(losses)
    for row in rows:
        record = runs.record(tmp_path / "s" / row["folder"])
        assert float(row["test/loss"]) == record["metrics"]["test/loss"]
        assert record["settings"]["smoothing"]["k"] == float(row["smoothing.k"])
    saved = json.loads((tmp_path / "s/sweep.json").read_text())["jobs"]
    assert {job["folder"]: job["metrics"]["val/loss"] for job in saved} == {
        row["folder"]: float(row["val/loss"]) for row in rows
    }
    shown = [line.split("│")[1:-1] for line in ended.stdout.splitlines() if line.startswith("│")]
    assert [cells[0].strip() for cells in shown] == [row["job"] for row in rows]
    assert [cells[3].strip() for cells in shown] == [f"{loss:.6f}" for loss in losses]
    assert not (tmp_path / "s/sweep.png").exists()  # figures=false
    best = next(line for line in ended.stdout.splitlines() if line.startswith("best"))
    again = run_script("train", *best.split()[1:], "json=true", f"hydra.run.dir={tmp_path / 'again'}")
    assert json.loads(again.stdout)["metrics"]["val/loss"] == losses[0]


def finished(plan, words: list[str], losses: dict[str, float]) -> SweepFolder:
    """A sweep whose jobs have all finished; losses: by their overrides."""
    sweep = plan(*words)

    def ended(job: Job) -> Job:
        loss: float | str = losses[" ".join(job.overrides)]
        loss = "inf" if loss == math.inf else loss
        return job.model_copy(update={"status": "finished", "metrics": {"val/loss": loss}})

    sweep.jobs = [ended(job) for job in sweep.jobs]
    return sweep


@pytest.mark.parametrize(
    ("words", "losses", "wanted"),
    [
        (
            ["smoothing.k=0.1,1,10"],
            {"smoothing.k=0.1": 2.5, "smoothing.k=1": 2.4, "smoothing.k=10": math.inf},
            "dot_chart val/loss of 2 jobs",
        ),
        (
            ["smoothing.k=0.1,1,10"],
            {"smoothing.k=0.1": 2.5, "smoothing.k=1": 2.4, "smoothing.k=10": 3.0},
            "line_chart val/loss over smoothing.k",
        ),
        (
            ["smoothing=none,add_k"],
            {"smoothing=none": math.inf, "smoothing=add_k": 2.4},
            "dot_chart val/loss of 1 jobs",
        ),
        (["seed=1,2,3"], {"seed=1": 2.5, "seed=2": 2.4, "seed=3": 2.3}, "dot_chart val/loss of 3 jobs"),
        (["seed=1,2"], {"seed=1": math.inf, "seed=2": math.inf}, None),
        (["seed=1,2", "figures=false"], {"seed=1 figures=false": 2.0, "seed=2 figures=false": 2.0}, None),
    ],
)
def test_its_picture(
    words: list[str], losses: dict[str, float], wanted: str | None, monkeypatch: pytest.MonkeyPatch, plan
) -> None:
    """A line over a setting of at least three numbers, else a ranking; infinite losses are left out."""
    drawn: list[str] = []
    for kind in ("dot_chart", "line_chart"):
        monkeypatch.setattr(
            f"nextchar.plots.charts.{kind}", lambda _, title, *rest, kind=kind: drawn.append(f"{kind} {title}")
        )
    picture(finished(plan, words, losses))
    assert drawn == ([wanted] if wanted else [])


def test_json(tmp_path: Path, runs, sweep) -> None:
    ended = sweep(tmp_path / "s", *QUICK, runs.names(tmp_path), "smoothing.k=1,0.1", "json=true")
    jobs = json.loads(ended.stdout)
    assert [job["overrides"][-1] for job in jobs if job["status"] == "finished"] != []
    assert jobs[0]["metrics"]["val/loss"] <= jobs[1]["metrics"]["val/loss"]


def test_a_narrow_terminal(tmp_path: Path, plan) -> None:
    """Columns are left out before a word is broken; reasons stand below the table."""
    sweep_of = finished(plan, ["smoothing.k=0.1,1", "seed=1,2"], dict.fromkeys(ALL_FOUR, 2.4))
    sweep_of.create(tmp_path / "s")
    long = {"status": "diverged", "reason": "training diverged " * 10, "metrics": {}}
    sweep_of.jobs[1] = sweep_of.jobs[1].model_copy(update=long)
    sweep_of.save()
    shown = subprocess.run(
        [sys.executable, "-c", SHOW, tmp_path / "s"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "60", "FORCE_COLOR": "1", "TERM": "dumb"},
    ).stdout
    rows = [line for line in shown.splitlines() if "│" in line]
    assert len(rows) == 4
    assert max(map(len, rows)) <= 80
    assert sum("finished" in row for row in rows) == 3
    assert [line for line in shown.splitlines() if line.startswith("job 1 DIVERGED  training diverged")]


ALL_FOUR = ["smoothing.k=0.1 seed=1", "smoothing.k=0.1 seed=2", "smoothing.k=1 seed=1", "smoothing.k=1 seed=2"]
SHOW = """
import sys
from pathlib import Path
from nextchar.runs import reading as foreign
from nextchar.config import fields as knobs
from nextchar.sweeps import sweep_folder as sweep
from nextchar.cli import tables
record = knobs.validated(sweep.SweepRecord, foreign.load_json(Path(sys.argv[1]) / "sweep.json"))
tables.sweep(sweep.SweepFolder(Path(sys.argv[1]), record.metric, None, record.jobs))
"""


def test_without_val_jobs_are_ranked_by_train(tmp_path: Path, runs, sweep, table) -> None:
    words = ["data=lines", runs.names(tmp_path, 3000), "figures=false", "data.split=makemore", "smoothing.k=10,1"]
    words[2] = "figures=true"
    ended = sweep(tmp_path / "s", *words)
    assert "train/loss" in ended.stdout
    with Image.open(tmp_path / "s/sweep.png") as image:
        assert image.width > 1000
    assert [row["smoothing.k"] for row in table(tmp_path / "s")] == ["1", "10"]


def test_the_metric_can_be_chosen(tmp_path: Path, runs, sweep, table) -> None:
    ended = sweep(tmp_path / "s", *QUICK, runs.names(tmp_path), "smoothing.k=0.001,10", "sweep.metric=train/loss")
    assert [row["smoothing.k"] for row in table(tmp_path / "s")] == ["0.001", "10"]
    assert "train/loss" in ended.stdout


def test_counted_jobs_never_import_torch(tmp_path: Path, project) -> None:
    program = (
        f"import sys; sys.argv = ['train.py', '-m', 'smoothing.k=1,2', 'figures=false', 'hydra.sweep.dir={tmp_path}/s']"
        f"\nimport runpy\ntry: runpy.run_path(r'{project / 'scripts/train.py'}', run_name='__main__')"
        "\nfinally: print([name for name in ('torch', 'lightning', 'optuna') if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"


# --- failures -------------------------------------------------------------------------------------------------------


def planned_by_hand(plan, folder: Path, names: str, long_job: int) -> None:
    """Twelve jobs: 3 diverges, the file of 5 is missing, `long_job` takes minutes and the job after it seconds."""
    sweep = plan("model=nn", *QUICK, names, "trainer.max_steps=150", f"seed={','.join(map(str, range(12)))}")

    def with_words(job: int, *words: str) -> Any:
        fixed = ["model=nn", *QUICK, names, "trainer.max_steps=150", f"seed={job}"]
        return run_settings([*fixed, *words])

    changed = {
        3: with_words(3, "optim.lr=1e6"),
        5: with_words(5, f"data.path={folder.parent / 'later.txt'}"),
        long_job: with_words(long_job, "trainer.max_steps=300000"),
        long_job + 1: with_words(long_job + 1, "trainer.max_steps=20000"),
    }
    sweep.jobs = [job.model_copy(update={"settings": changed.get(job.number, job.settings)}) for job in sweep.jobs]
    sweep.create(folder)
    sweep.save()


def worker_of(process: psutil.Process, folder: Path) -> psutil.Process | None:
    """The process that runs the job of this folder, None if none does."""
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if str(folder / "train.log") in [file.path for file in child.open_files()]:
                return child
    return None


def test_twelve_jobs_of_which_three_fail(tmp_path: Path, runs, resume, plan, table, states, project) -> None:
    """One diverges, one has no file, one is killed three times: nine finish, three are named, and three run again.

    Each death takes the job beside it and all waiting jobs along.
    """
    folder = tmp_path / "s"
    planned_by_hand(plan, folder, runs.names(tmp_path), long_job=6)
    process = subprocess.Popen(
        [sys.executable, project / "scripts/train.py", "-m", f"sweep.resume={folder}", *JOBLIB],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    sweep = psutil.Process(process.pid)
    for attempt in range(3):
        while not (worker := next((w for path in folder.glob("06_*") if (w := worker_of(sweep, path))), None)):
            assert process.poll() is None
            time.sleep(0.05)
        while attempt == 0 and not list(folder.glob("07_*/events.*")):
            time.sleep(0.02)
        worker.kill()
        worker.wait()
    out, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "3 of 12 jobs did not finish" in err
    assert f"-m sweep.resume={folder}" in out
    after = states(folder)
    assert {n: state for n, state in after.items() if state != "finished"} == {3: "diverged", 5: "failed", 6: "killed"}
    assert len(after) == 12
    rows = {int(row["job"]): row for row in table(folder)}
    assert "training diverged at step" in rows[3]["reason"]
    assert "later.txt: no such file" in rows[5]["reason"]
    for number, what in ((3, "Diverged"), (5, "BadInput")):
        assert f"{what}: " in (folder / rows[number]["folder"] / "train.log").read_text()
    for number, said in ((3, "DIVERGED"), (5, "FAILED"), (6, "KILLED")):
        assert re.search(rf"│ +{number} │.*{said}", out)
        assert len([line for line in err.splitlines() if line.startswith(f"job {number} of 12") and said in line]) == 1

    before = written(folder)
    shutil.copy(tmp_path / "names.txt", tmp_path / "later.txt")
    saved = json.loads((folder / "sweep.json").read_text())
    saved["jobs"][6]["settings"]["trainer"]["max_steps"] = 150  # so that this test ends soon
    shutil.rmtree(folder / rows[6]["folder"])
    (folder / "sweep.json").write_text(json.dumps(saved))
    again = resume(folder, *JOBLIB)
    assert again.returncode == 1  # one diverges for ever
    assert len([line for line in again.stderr.splitlines() if line.startswith("job ")]) == 3
    now = written(folder)
    assert {name.partition("_")[0] for name in now if now[name] != before.get(name)} == {"03", "05", "06"}
    assert {n for n, state in states(folder).items() if state != "finished"} == {3}
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set(now)


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_sweep_that_is_stopped(launcher: str, signum: signal.Signals, tmp_path: Path, runs, table, project) -> None:
    """The table is written, no process is left, and the sweep can be resumed."""
    words = ["model=nn", *QUICK, runs.names(tmp_path), "seed=1,2,3,4", "trainer.max_steps=1000000"]
    words.append("trainer.checkpoint_seconds=0.1")
    launch = JOBLIB if launcher == "joblib" else []
    process = subprocess.Popen(
        [sys.executable, project / "scripts/train.py", "-m", *words, *launch, f"hydra.sweep.dir={tmp_path / 's'}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # which nohup ignores, and all its children
    )
    while not list(tmp_path.glob("s/*/checkpoints/last.ckpt")) and process.poll() is None:
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    if signum == signal.SIGINT:
        os.killpg(process.pid, signum)  # as a terminal does
    else:
        os.kill(process.pid, signum)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signum, err
    assert err.splitlines()[-1] == f"error: {SIGNALS[signum]}"
    assert "Traceback" not in err
    assert "NOT RUN" in out
    assert len(table(tmp_path / "s")) == 4
    assert f"sweep.resume={tmp_path / 's'}" in out
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, alive


def test_a_folder_that_cannot_be_used_stops_no_other_job(tmp_path: Path, runs, resume, plan, states) -> None:
    """One is a file, another process runs one, one holds a damaged record; the others finish."""
    planned = plan(*QUICK, runs.names(tmp_path), "seed=1,2,3,4")
    planned.create(tmp_path / "s")
    planned.save()
    folders = [tmp_path / "s" / job.folder for job in planned.jobs]
    folders[0].write_text("")
    for folder in folders[1:3]:
        folder.mkdir()
        (folder / "settings.json").write_text(json.dumps(planned.jobs[1].settings.plain()))
    (folders[2] / "run.json").write_text('{"status": "odd"}')
    handle = lock(folders[1])
    try:
        ended = resume(tmp_path / "s")
    finally:
        os.close(handle)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "job 1 is still running elsewhere and is left alone" in ended.stderr
    assert "0_seed=1: " in ended.stderr
    assert states(tmp_path / "s") == {0: "not run", 1: "running", 2: "finished", 3: "finished"}


def test_a_job_on_a_full_disk_writes_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs, plan, project
) -> None:
    """A job whose disk is full leaves nothing in the project's own outputs/, and raises nothing."""
    planned = plan(*QUICK, runs.names(tmp_path), "seed=1,2")
    planned.create(tmp_path / "s")
    planned.save()
    before = set((project / "outputs").iterdir())

    write = RunFolder.write

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def without_weights(self: RunFolder, name: str, *rest: Any, **options: Any) -> None:
        full() if name == "weights.safetensors" else write(self, name, *rest, **options)

    monkeypatch.setattr("nextchar.runs.folder.RunFolder.write", without_weights)
    run_job(tmp_path / "s" / planned.jobs[0].folder)
    assert runs.record(tmp_path / "s" / planned.jobs[0].folder)["status"] == "failed"
    monkeypatch.setattr("nextchar.runs.folder.write_atomically", full)
    run_job(tmp_path / "s" / planned.jobs[1].folder)
    assert set((project / "outputs").iterdir()) == before
    assert SweepFolder.open(tmp_path / "s").jobs[1].status == "killed"


def test_a_table_that_cannot_be_written_is_shown(tmp_path: Path, runs, resume, plan) -> None:
    planned = plan(*QUICK, runs.names(tmp_path), "seed=1,2")
    planned.create(tmp_path / "s")
    planned.save()
    (tmp_path / "s/sweep.csv").mkdir()
    ended = resume(tmp_path / "s")
    assert ended.returncode == 1
    assert ended.stdout.count("finished") == 2
    assert "note: the table cannot be written: " in ended.stderr


def test_a_closed_pipe_hides_no_failure(tmp_path: Path, runs, states, project) -> None:
    words = " ".join([*QUICK, f"{runs.names(tmp_path)},{tmp_path}/none.txt", "seed=1,2"])
    command = f"{sys.executable} {project}/scripts/train.py -m {words} hydra.sweep.dir={tmp_path}/s"
    ended = subprocess.run(
        ["bash", "-c", f"{command} 2>&1 | head -1; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines()[-1] == "1"
    assert sorted(states(tmp_path / "s").values()) == ["failed", "failed", "finished", "finished"]


def test_a_launcher_that_cannot_launch(tmp_path: Path, runs, sweep, resume, states) -> None:
    """There is no Slurm on this machine: one line says so, and the sweep can be resumed."""
    words = ["hydra/launcher=submitit_slurm", *QUICK, runs.names(tmp_path), "seed=1,2"]
    ended = sweep(tmp_path / "s", *words)
    assert ended.returncode == 1
    assert "note: the launcher gave up: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert set(states(tmp_path / "s").values()) == {"not run"}
    assert resume(tmp_path / "s", "hydra/launcher=basic").returncode == 0
    assert set(states(tmp_path / "s").values()) == {"finished"}


# --- resuming -------------------------------------------------------------------------------------------------------


def test_a_resumed_grid_gets_more_values(tmp_path: Path, runs, sweep, resume, table) -> None:
    """A finished job is not run again if its value is typed once more; numbers and folders do not change."""
    folder, names = tmp_path / "s", runs.names(tmp_path)
    assert sweep(folder, *QUICK, names, "smoothing.k=1,2").returncode == 0
    before = written(folder)
    ended = resume(folder, *QUICK, names, "smoothing.k=3,2,1.0,4")
    assert ended.returncode == 0, ended.stderr
    after = written(folder)
    assert {name: after[name] for name in before} == before
    assert {name.partition("_")[0] for name in after} == {"0", "1", "2", "3"}
    assert {row["smoothing.k"] for row in table(folder)} == {"1", "2", "3", "4"}
    nothing = resume(folder)
    assert nothing.returncode == 0
    assert written(folder) == after


def test_a_killed_sweep_is_resumed(tmp_path: Path, runs, resume, states, project) -> None:
    folder = tmp_path / "s"
    words = ["-m", "model=nn", *QUICK, runs.names(tmp_path), "seed=1,2,3", "trainer.max_steps=10000"]
    process = subprocess.Popen([sys.executable, project / "scripts/train.py", *words, f"hydra.sweep.dir={folder}"])
    while not list(folder.glob("1_*/settings.json")):
        time.sleep(0.02)
    refused = resume(folder)
    assert refused.returncode == 2
    assert "this sweep is still running" in refused.stderr
    process.kill()
    process.wait()
    assert not (folder / "sweep.csv").exists()
    ended = resume(folder)
    assert ended.returncode == 0, ended.stderr
    assert set(states(folder).values()) == {"finished"}
    runs.train(*words[1:5], "seed=2", "trainer.max_steps=10000", f"hydra.run.dir={tmp_path / 'alone'}")
    assert runs.weights(next(folder.glob("1_*"))) == runs.weights(tmp_path / "alone")


def test_more_values_inherit_what_all_jobs_share(tmp_path: Path, runs, sweep, plan) -> None:
    assert sweep(tmp_path / "a, b", *QUICK, runs.names(tmp_path), "seed=1,2").returncode == 0
    more = plan(f"sweep.resume={tmp_path / 'a, b'}", "seed=2,3")
    assert [job.settings.seed for job in more.jobs] == [1, 2, 3]
    assert {job.settings.data.path for job in more.jobs} == {f"{tmp_path}/names.txt"}


def test_another_folder_is_no_folder_of_the_sweep(tmp_path: Path, sweep, plan) -> None:
    planned = plan("seed=1,2")
    planned.create(tmp_path / "s")
    planned.save()
    saved = (tmp_path / "s/sweep.json").read_text()
    for odd in ("..", "", "sweep.json", "1_seed=1", "/tmp/x", "0_a/../../b"):
        (tmp_path / "s/sweep.json").write_text(saved.replace('"0_seed=1"', json.dumps(odd)))
        assert "is no folder of job 0" in refusal(plan, f"sweep.resume={tmp_path / 's'}")
    (tmp_path / "s/sweep.json").write_text(saved)
    (tmp_path / "s/0_seed=1").symlink_to(tmp_path)
    assert "is no folder of job 0" in refusal(plan, f"sweep.resume={tmp_path / 's'}")
    (tmp_path / "t/0_seed=1").mkdir(parents=True)
    assert "already holds a run or a sweep" in sweep(tmp_path / "t", "seed=1,2").stderr


def test_refusals_of_resuming(tmp_path: Path, plan) -> None:
    assert "does not exist" in refusal(plan, f"sweep.resume={tmp_path / 'none'}")
    assert "it is not the folder of a sweep" in refusal(plan, f"sweep.resume={tmp_path}")
    (tmp_path / "sweep.json").write_text("{}")
    assert "schema_version is missing" in refusal(plan, f"sweep.resume={tmp_path}")


# --- launchers ------------------------------------------------------------------------------------------------------


def test_all_launchers_give_the_same(tmp_path: Path, runs, sweep, table) -> None:
    """Counted models and nets, with pictures: run.json is equal except for times; weights are equal to the bit."""
    launchers = {"basic": [], "joblib": JOBLIB, "submitit": ["hydra/launcher=submitit_local"]}
    for name, launcher in launchers.items():
        ended = sweep(tmp_path / name, "model=count,nn", "data=lines", runs.names(tmp_path), "seed=1,2", *launcher)
        assert ended.returncode == 0, ended.stderr
    folders = sorted(path.name for path in (tmp_path / "basic").iterdir() if path.is_dir())
    assert len(folders) == 4
    for folder, launcher in product(folders, ("joblib", "submitit")):
        ours, others = tmp_path / "basic" / folder, tmp_path / launcher / folder
        assert runs.without_times(ours) == runs.without_times(others)
        assert runs.weights(ours) == runs.weights(others)
        assert runs.files(ours) == runs.files(others)
    ranked = [[row["folder"] for row in table(tmp_path / name)] for name in launchers]
    assert ranked[0] == ranked[1] == ranked[2]


def test_jobs_on_different_texts_are_noted(tmp_path: Path, runs, sweep) -> None:
    ended = sweep(tmp_path / "s", *QUICK, runs.names(tmp_path), "data.split=hash,lecture")
    assert "note: the jobs differ in their data" in ended.stderr


def test_through_a_link(tmp_path: Path, runs, project) -> None:
    (tmp_path / "train.py").symlink_to(project / "scripts/train.py")
    words = ["-m", *QUICK, runs.names(tmp_path), "seed=1,2", f"hydra.sweep.dir={tmp_path / 's'}"]
    ended = subprocess.run([sys.executable, tmp_path / "train.py", *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_too_many_threads_are_noted(tmp_path: Path, runs, sweep) -> None:
    words = ["model=nn", *QUICK, runs.names(tmp_path), "trainer.max_steps=1", "seed=1", "trainer.threads=64"]
    assert "2 jobs of 64 threads share" in sweep(tmp_path / "s", *words, *JOBLIB).stderr


# --- planning -------------------------------------------------------------------------------------------------------


def test_a_dry_run_makes_nothing(tmp_path: Path, sweep) -> None:
    ended = sweep(tmp_path / "s", "smoothing.k=1,2", "seed=1,2,3", "sweep.dry_run=true")
    assert ended.returncode == 0
    assert "to run: 6" in ended.stdout
    assert not (tmp_path / "s").exists()
    assert len([line for line in ended.stdout.splitlines() if line.startswith("│")]) == 6


def test_values_in_a_file() -> None:
    """sweep.space, as conf/sweep/*.yaml hold it; a typed value goes before it."""

    def planned(space: dict[str, Any], *words: str) -> list[list[str]]:
        return [words for words, _ in jobs(job_overrides(parse_overrides(words), space))]

    space = {"smoothing.k": "1,2", "seed": "range(3)"}
    assert len(planned(space)) == 6
    assert planned(space, "smoothing.k=5") == [["smoothing.k=5", f"seed={n}"] for n in range(3)]
    with pytest.raises(BadInput, match=r"sweep.space: json=true is no setting of a run"):
        planned({"json": "true"}, "seed=1,2")


def test_equal_jobs_are_run_once(plan) -> None:
    assert [job.overrides for job in plan("seed=1,1,2").jobs] == [["seed=1"], ["seed=2"]]


def test_all_options_of_a_group(plan) -> None:
    every = {job.settings.model.name for job in plan("model=glob(*,exclude=arpa)").jobs}
    assert every == {*options_of("model")} - {"arpa"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["smoothing.k=interval(0,1)"], "a range is searched with sweep=optuna; a grid takes values"),
        (["sweep.metric=val/loss,test/loss"], "this holds for the whole sweep and takes one value"),
        (["sweep=grid,optuna", "seed=1"], "this holds for the whole sweep and takes one value"),
        (["sweep.n_trials=3", "seed=1"], "sweep.n_trials=3: sweep=grid has no n_trials; sweep=optuna has"),
        (["sweep=optuna", "seed=1"], "sweep=optuna searches ranges"),
        (["seed=range(20000)"], "these values make 20,000 jobs, more than 10,000"),
        (["model=glob(x*)"], "there is no such value"),
        (["hydra/launcher=nope", "seed=1"], "hydra/launcher=nope: must be basic, joblib, submitit_local or"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=abc", "seed=1"], "abc"),
        ([], "-m sweeps over values"),
        (["smoothing.k=1,-2,3", "seed=1,2"], "smoothing.k=-2: must be a number of at least 0"),
        (["sweep=optuna", "smoothing.k=interval(-1,1)"], "smoothing.k=-1"),
        (["sweep=optuna", "smoothing.k=interval(1,1e400)"], "must go from low to high"),
        (["sweep=optuna", "smoothing.k=tag(lgo,interval(1,2))"], "there is no tag lgo; log is the only one"),
        (["sweep=optuna", "seed=tag(log,range(1,9))"], "only an interval can have a tag"),
        (["hydra.launcher.n_jobs=2", "seed=1,2"], "is a setting of another launcher; add hydra/launcher=joblib"),
        (["sweep=optuna", "smoothing.k=tag(log,interval(0,1))"], "both above 0 on a log scale"),
        (["sweep=optuna", "model=count,nn", "optim.lr=interval(1,2)"], "model=count has no group optim"),
    ],
)
def test_refusals(words: list[str], says: str, plan) -> None:
    assert says in refusal(plan, *words)


def test_settings_of_a_sweep_need_m(run_script) -> None:
    for word in ("sweep.metric=test/loss", "sweep=optuna", "hydra.sweep.dir=/x", "sweep.resume=/x"):
        ended = run_script("train", word)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "is a setting of a sweep; add -m to sweep" in ended.stderr
    for word, meant in (("resume=/x", "sweep.resume=DIR"), ("hydra.run.dir=/x", "hydra.sweep.dir=DIR")):
        ended = run_script("train", "-m", "seed=1", word)
        assert ended.returncode == 2
        assert meant in ended.stderr


WORDS = st.lists(
    st.sampled_from(
        [
            "model=nn", "model=count", "optim=adam", "optim.lr=3", "smoothing=none", "smoothing=add_k", "smoothing.k=2",
            "seed=7", "data=shakespeare", "data.split=all", "experiment=lecture_net", "trainer.max_steps=5",
            "+seed=3", "++seed=4", "data.path=null", "optim.lr=-1", "data.val=null", "smoothing.k=1e3",
            "data={split:all}", "seed=${smoothing.k}", "model.init=zeros", "trainer.precision=64", "no.such=1",
        ]
    ),
    max_size=5,
    unique_by=lambda word: word.partition("=")[0],
)  # fmt: skip


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(WORDS)
def test_a_job_composed_with_others_is_what_hydra_makes_of_it(words: list[str]) -> None:
    command = command_of("train", TrainCommand, [])
    shared = Composer()
    for job in (words, [*words, "figures=false"]):
        try:
            wanted: object = command.read(job).run()
        except BadInput as error:
            wanted = str(error)
        try:
            found: object = shared.settings(parse_overrides(job))
        except BadInput as error:
            found = str(error)
        assert found == wanted


@pytest.mark.parametrize("path", ["/a/b.txt", "'日本'" * 40, "../..", "a\nb", ""])
def test_folders_have_names_that_a_file_system_takes(path: str) -> None:
    sweep = SweepFolder(None, "val/loss", None, [])
    settings = run_settings([])
    name = sweep.add([f"data.path={path}"], settings, [f"data.path={path}"], total=1).folder
    assert "/" not in name
    assert len(name.encode()) <= 200


def test_processes_in_a_sweep(tmp_path: Path, runs, run_script, sweep, plan, table) -> None:
    """Two jobs at a time, each a net trained by two processes: the results of one process, and no other folder."""
    names = runs.names(tmp_path)
    words = ["model=nn", *QUICK, names, "trainer.max_steps=60", "trainer.precision=64", "seed=1,2"]
    assert sweep(tmp_path / "one", *words).returncode == 0
    ended = sweep(tmp_path / "two", *words, "trainer=ddp", *JOBLIB)
    assert ended.returncode == 0, ended.stderr
    losses = [{row["seed"]: float(row["val/loss"]) for row in table(tmp_path / each)} for each in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)
    assert len([path for path in (tmp_path / "two").iterdir() if path.is_dir()]) == 2
    assert "a job of a sweep runs on one machine" in refusal(
        plan, "model=nn", "trainer=ddp", "trainer.nodes=2", "seed=1,2"
    )
    for words in (["-m", "seed=1,2"], ["model=nn"]):
        refused = run_script("train", *words, TORCHELASTIC_RUN_ID="x", WORLD_SIZE="2")
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
