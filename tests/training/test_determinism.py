"""The same seed gives the same run, whatever the machine is set to and wherever the command is typed."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NN = ["model=nn", "data=lines", "trainer.max_steps=40", "data.batch_size=32"]
PLAIN = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
OTHER = {"PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "2", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
OTHER |= {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LANG": "tr_TR.ISO-8859-9", "MKL_NUM_THREADS": "2"}


@pytest.mark.parametrize("argv", [["model=count", "data=lines"], NN], ids=["count", "nn"])
def test_in_another_process(argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs, run_script) -> None:
    """Another cwd, locale, time zone, hash seed and number of threads: all that run.json says, but the times."""
    text = runs.names(tmp_path)
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})  # a child inherits it, as from taskset
        first = run_script("train", *argv, text, f"hydra.run.dir={tmp_path / 'a'}", "json=true", **PLAIN)
    finally:
        os.sched_setaffinity(0, cores)
    monkeypatch.chdir("/")
    second = run_script("train", *argv, text, f"hydra.run.dir={tmp_path / 'b'}", "json=true", **OTHER)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert runs.without_times(tmp_path / "a") == runs.without_times(tmp_path / "b")
    assert {"figures/counts.png", "samples.txt", "weights.safetensors"} <= set(runs.record(tmp_path / "a")["files"])
    printed: list[dict[str, Any]] = [json.loads(script.stdout) for script in (first, second)]
    assert [said["metrics"] for said in printed] == [runs.record(tmp_path / "a")["metrics"]] * 2


def test_in_the_same_process_after_other_random_numbers(tmp_path: Path, runs) -> None:
    """No global random state is drawn from, and none is left changed."""
    import random

    import torch

    torch.manual_seed(1)
    text = runs.names(tmp_path)
    runs.train(*NN, text, "figures=false", f"hydra.run.dir={tmp_path / 'a'}")
    torch.manual_seed(2)
    np.random.seed(2)
    random.seed(2)
    states = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
    runs.train(*NN, text, "figures=false", f"hydra.run.dir={tmp_path / 'b'}")
    assert runs.without_times(tmp_path / "a") == runs.without_times(tmp_path / "b")
    assert runs.curve(tmp_path / "a", "train/loss") == runs.curve(tmp_path / "b", "train/loss")
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert states[2] == random.getstate()


def test_another_seed_is_another_run(tmp_path: Path, runs) -> None:
    text = runs.names(tmp_path)
    for seed in (1, 2):
        runs.train(*NN, text, "figures=false", f"seed={seed}", f"hydra.run.dir={tmp_path / str(seed)}")
    assert runs.weights(tmp_path / "1") != runs.weights(tmp_path / "2")


@pytest.mark.parametrize("log_every", [1, 7, 1000])
def test_looking_changes_nothing(log_every: int, tmp_path: Path, runs) -> None:
    """How often a run is logged, looked at and saved does not change what it learns."""
    text = runs.names(tmp_path)
    runs.train(*NN, text, "figures=false", f"hydra.run.dir={tmp_path / 'a'}")
    looks = [f"trainer.log_every={log_every}", "trainer.checkpoint_seconds=0"]
    runs.train(*NN, text, "figures=false", *looks, f"hydra.run.dir={tmp_path / 'b'}")
    assert runs.weights(tmp_path / "a") == runs.weights(tmp_path / "b")
    losses = dict(runs.curve(tmp_path / "b", "train/loss"))
    assert sorted(losses) == [*range(0, 40, log_every), 40]  # the last one is the final metric
