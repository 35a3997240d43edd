"""Nets of more than one character under the commands: they learn what no bigram can, and what 20 names hold."""

import json
import math
from pathlib import Path

import pytest

from nextchar.config.compose import run_settings
from nextchar.errors import BadInput

SMALL = {
    "mlp": ["model.block_size=8", "model.n_hidden=64"],
    "rnn": ["model.n_hidden=48", "model.dropout=0"],
    "gru": ["model.n_hidden=32", "model.dropout=0"],
    "lstm": ["model.n_hidden=32", "model.dropout=0"],
    "wavenet": ["model.n_hidden=48"],
    "transformer": ["model.n_embd=32", "model.n_layer=1", "model.dropout=0"],
    "gpt2": ["model.n_embd=32", "model.n_layer=1", "model.dropout=0"],
}


def test_it_learns_what_no_bigram_can(tmp_path: Path, runs, run_script) -> None:
    """The MLP of the lecture. Its val/loss is that of the finished model, of the opened model and of its curve."""
    folder, bigram = tmp_path / "mlp", tmp_path / "bigram"
    lecture = ["model.block_size=3", "model.n_embd=10", "model.n_hidden=200"]
    quick = ["data.batch_size=256", "trainer.max_steps=1200", "trainer.log_every=600", "figures=false"]
    runs.train("model=mlp", *lecture, *quick, f"hydra.run.dir={folder}")
    record = runs.record(folder)
    runs.train("model=count", "smoothing=none", "figures=false", f"hydra.run.dir={bigram}")
    assert record["metrics"]["val/loss"] < runs.record(bigram)["metrics"]["train/loss"] - 0.08
    assert record["curves"]["val/loss"]["steps"] == [0, 600, 1200]
    assert record["curves"]["val/loss"]["values"][-1] == pytest.approx(record["metrics"]["val/loss"], abs=2e-6)
    evaluated = run_script("evaluate", f"run={folder}", "json=true")
    assert json.loads(evaluated.stdout)["val/loss"] == record["metrics"]["val/loss"]
    assert len(run_script("sample", f"run={folder}", "n=3").stdout.splitlines()) == 3


@pytest.mark.parametrize("model", SMALL)
def test_it_memorises_20_names(model: str, tmp_path: Path, runs) -> None:
    """The least loss is that of a guess among the 20, log(20) a name."""
    names = [first + last for first in ("ann", "bo", "cleo", "dan") for last in ("a", "bert", "ie", "lyn", "y")]
    (tmp_path / "twenty.txt").write_text("\n".join(names))
    words = [
        "data=lines",
        f"data.path={tmp_path / 'twenty.txt'}",
        "data.split=all",
        "data.batch_size=20",
        "figures=false",
    ]
    words += ["trainer.max_steps=500", "trainer.log_every=500", "optim.lr=0.02", "optim.weight_decay=0"]
    runs.train(f"model={model}", *SMALL[model], *words, f"hydra.run.dir={tmp_path / 'run'}")
    least = 20 * math.log(20) / sum(len(name) + 1 for name in names)
    assert least - 1e-6 < runs.record(tmp_path / "run")["metrics"]["train/loss"] < least + 0.02


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("model=mlp smoothing=add_k", "smoothing=add_k does not work with model=mlp, which takes none or l2"),
        ("model=transformer model.n_head=3", "model.n_head=3: must divide model.n_embd=64"),
        (
            "model=wavenet model.block_size=6",
            "model.block_size=6: must be 2, 4, 8 or another power of 2; each layer halves it",
        ),
        (
            "model=wavenet trainer=ddp",
            "trainer=ddp does not work with model=wavenet: its batch norm needs the whole batch; use trainer=cpu",
        ),
        ("model=lstm model.dropout=1", "model.dropout=1: must be a number of at least 0 and below 1."),
    ],
)
def test_refusals(words: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        run_settings(words.split())
    assert str(refused.value) == said
