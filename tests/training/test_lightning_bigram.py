"""docs/lightning_bigram.py, the bigram net as users of Lightning write it."""

import subprocess
import sys
from pathlib import Path

import pytest

from nextchar.runs.record import PROJECT


def test_it_reaches_the_loss_of_the_net(tmp_path: Path, runs) -> None:
    words = ["data=lines", runs.names(tmp_path), "optim.lr=15", "trainer.max_steps=60", "trainer.log_every=30"]
    command = [sys.executable, PROJECT / "docs" / "lightning_bigram.py", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    runs.train("model=nn", *words, "figures=false", f"hydra.run.dir={tmp_path / 'run'}")
    loss = float(done.stdout.split()[-1])
    assert loss == pytest.approx(runs.record(tmp_path / "run")["metrics"]["val/loss"], abs=1e-6)
    assert loss < 2.6
