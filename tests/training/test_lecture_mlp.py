"""The MLP of the lecture's second part (Bengio et al. 2003), added as a user adds a net and trained.

On makemore's names, with the lecture's split, 200,000 steps of 32 windows, lr=0.1 and from the middle on 0.01, it
comes to a val/loss of 2.1648; the lecture has 2.17. Here it takes fewer steps, of more windows.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SETTINGS = """
class MLP(Settings):
    name: Literal["mlp"]
    block_size: int = Field(ge=1, description="characters from which the next one is predicted")
    n_embd: int = Field(ge=1, description="size of a character's embedding")
    n_hidden: int = Field(ge=1, description="units of the hidden layer")

    net: ClassVar[str | None] = "mlp:Mlp"
    smoothings: ClassVar[tuple[str, ...]] = ("none", "add_k", "l2")


"""

NET = """
import torch
from torch import Tensor, nn

from nextchar.models.nets.net import Net


class Mlp(Net):
    def __init__(self, settings, vocab_size: int, generator: torch.Generator | None) -> None:
        super().__init__(settings, vocab_size, generator)

        def normal(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator))

        self.block_size = settings.block_size
        self.C = normal(vocab_size, settings.n_embd)
        self.W1, self.b1 = normal(settings.block_size * settings.n_embd, settings.n_hidden), normal(settings.n_hidden)
        self.W2, self.b2 = normal(settings.n_hidden, vocab_size), normal(vocab_size)

    def get_block_size(self) -> int:
        return self.block_size

    def logits(self, idx: Tensor) -> Tensor:
        embedded = self.C[idx].flatten(1)  # (B, T * n_embd)
        hidden = torch.tanh(embedded @ self.W1 + self.b1)  # (B, n_hidden)
        return (hidden @ self.W2 + self.b2)[:, None]  # (B, 1, V)
"""

YAML = """
# @package _global_
defaults: [/smoothing: none, /optim: sgd, /trainer: cpu, _self_]
model: {name: mlp, block_size: 3, n_embd: 10, n_hidden: 200}
data: {batch_size: 32}
optim: {lr: 0.1}
trainer: {max_steps: 200000, log_every: 2000}
"""

Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Script:
    """Runs a script of a copy of the project to which the net was added."""
    clone = tmp_path_factory.mktemp("clone")
    for part in ("src", "conf", "scripts"):
        shutil.copytree(project / part, clone / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    models = clone / "src/nextchar/config/model_settings.py"
    text = models.read_text()
    assert "\nModel = Annotated[Count" in text
    models.write_text(text.replace("\nModel = Annotated[Count", f"{SETTINGS}\nModel = Annotated[MLP | Count"))
    (clone / "src/nextchar/models/nets/mlp.py").write_text(NET)
    (clone / "conf/model/mlp.yaml").write_text(YAML)
    environment = {**os.environ, "PYTHONPATH": str(clone / "src")}

    def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, clone / "scripts" / f"{name}.py", *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return run


def test_it_learns_what_no_bigram_can(script: Script, tmp_path: Path, runs) -> None:
    """And the loss on the curve of val is that of the finished model, and of the model that is opened again."""
    folder, bigram = tmp_path / "mlp", tmp_path / "bigram"
    quick = ["optim=adam", "optim.lr=0.01", "data.batch_size=256", "trainer.max_steps=3000", "trainer.log_every=1000"]
    trained = script("train", "model=mlp", *quick, f"hydra.run.dir={folder}")
    assert trained.returncode == 0, trained.stderr
    record = runs.record(folder)
    runs.train("model=count", "smoothing=none", "figures=false", f"hydra.run.dir={bigram}")
    assert record["metrics"]["val/loss"] < runs.record(bigram)["metrics"]["train/loss"] - 0.08
    assert record["curves"]["val/loss"]["steps"] == [0, 1000, 2000, 3000]
    assert record["curves"]["val/loss"]["values"][-1] == pytest.approx(record["metrics"]["val/loss"], abs=2e-6)
    evaluated = script("evaluate", f"run={folder}", "json=true")
    assert evaluated.returncode == 0, evaluated.stderr
    assert f'"val/loss": {record["metrics"]["val/loss"]}' in evaluated.stdout
    assert len(script("sample", f"run={folder}", "n=3").stdout.splitlines()) == 3


def test_pseudo_counts_of_pairs_are_refused(script: Script, tmp_path: Path) -> None:
    refused = script("train", "model=mlp", "smoothing=add_k", f"hydra.run.dir={tmp_path / 'run'}")
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line == (
        "error: smoothing=add_k adds to the counts of pairs, and model=mlp reads 3 characters; "
        "set smoothing=l2 or smoothing=none"
    )
    assert not (tmp_path / "run").exists()
