"""trainer.patience and trainer.restore_best: when training stops, and whose weights the model has."""

import json
import math
from pathlib import Path

import pytest

OVERFITTED = [
    "model=mlp",
    "data=lines",
    "figures=false",
    "data.batch_size=32",
    "trainer.log_every=30",
    "model.dropout=0.1",
]
OVERFITTED += ["optim.schedule=constant", "optim.warmup=0", "optim.weight_decay=0"]


@pytest.mark.parametrize("ema", ["null", "0.9"])
def test_training_stops_when_val_rises_and_keeps_the_best_weights(ema: str, tmp_path: Path, runs) -> None:
    """The weights are those of a run that takes so many steps, to the bit."""
    words = [*OVERFITTED, runs.names(tmp_path), f"optim.ema={ema}"]
    stopped, short = tmp_path / "stopped", tmp_path / "short"
    runs.train(*words, "trainer.max_steps=3000", "trainer.patience=3", f"hydra.run.dir={stopped}")
    record = runs.record(stopped)
    curve = record["curves"]["val/loss"]
    loss, best = min(zip(curve["values"], curve["steps"], strict=True))
    assert 0 < best < 2000
    assert curve["steps"][-1] == best + 3 * 30
    assert record["metrics"]["val/loss"] == pytest.approx(loss, abs=1e-5)
    runs.train(*words, f"trainer.max_steps={best}", f"hydra.run.dir={short}")
    assert runs.weights(stopped) == runs.weights(short)


def test_it_says_so(tmp_path: Path, runs, run_script) -> None:
    words = [*OVERFITTED, runs.names(tmp_path), "trainer.max_steps=3000", "trainer.patience=2"]
    said = run_script("train", *words, f"hydra.run.dir={tmp_path / 'run'}").stderr
    curve = runs.record(tmp_path / "run")["curves"]["val/loss"]
    last, best = curve["steps"][-1], curve["steps"][-3]
    assert f"the model has the weights of step {best:,}, with the lowest val/loss" in said
    stopped = f"stopped early at step {last:,}: val/loss had not fallen for 2 points of the curve"
    lowest, end = curve["values"][-3], curve["values"][-1]
    rose = f"val/loss rose from {lowest:.4f} at step {best:,} to {end:.4f} at step {last:,}, as when a net overfits"
    assert f"note: {stopped}" in said
    assert f"note: {rose}" in said
    reason = runs.record(tmp_path / "run")["reason"]
    assert reason == f"{stopped}; {rose}"
    words = ["compare", tmp_path / "run", f"out={tmp_path / 'compared'}"]
    compared = run_script(*words, "json=true").stdout
    assert [row["remarks"] for row in json.loads(compared)["rows"]] == [[reason]]
    assert f": {reason}" in " ".join(run_script(*words).stdout.split())


def test_the_last_weights_are_kept_unless_asked(tmp_path: Path, runs, run_script) -> None:
    words = [*OVERFITTED, runs.names(tmp_path), "trainer.max_steps=600", "trainer.restore_best=false"]
    said = run_script("train", *words, f"hydra.run.dir={tmp_path / 'run'}").stderr
    record = runs.record(tmp_path / "run")
    curve = record["curves"]["val/loss"]["values"]
    assert record["metrics"]["val/loss"] == pytest.approx(curve[-1], abs=1e-5)
    assert curve[-1] > min(curve) + 0.01
    step = record["curves"]["val/loss"]["steps"][curve.index(min(curve))]
    rose = f"val/loss rose from {min(curve):.4f} at step {step} to {curve[-1]:.4f} at step 600, as when a net overfits"
    assert record["reason"] == rose
    assert f"note: {rose}" in said
    assert "the model has the weights of" not in said


def test_training_goes_on_while_val_falls(tmp_path: Path, runs) -> None:
    """Also above a uniform guess, where weights are not yet the best ones."""
    words = ["model=nn", "data=lines", runs.names(tmp_path), "optim.lr=1", "trainer.log_every=5", "figures=false"]
    runs.train(*words, "trainer.max_steps=60", "trainer.patience=2", f"hydra.run.dir={tmp_path / 'run'}")
    record = runs.record(tmp_path / "run")
    curve = record["curves"]["val/loss"]
    assert curve["values"] == sorted(curve["values"], reverse=True)
    assert curve["values"][2] > math.log(27)
    assert curve["steps"][-1] == 60
    assert record["reason"] == ""
