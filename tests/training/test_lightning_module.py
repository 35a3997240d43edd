"""NextCharModule under a Trainer of a user's own, with Lightning's callbacks and logger: the run's own weights."""

from csv import DictReader
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import LambdaCallback, LearningRateMonitor, ModelCheckpoint, StochasticWeightAveraging
from lightning.pytorch.loggers import CSVLogger
from safetensors.torch import load

from nextchar.config.compose import run_settings
from nextchar.data.load import load as load_text
from nextchar.models.nets.net import build
from nextchar.models.ngram.counts import count_stream
from nextchar.training.batches import make_batches
from nextchar.training.data_module import NextCharDataModule
from nextchar.training.lightning_module import NextCharModule
from nextchar.training.objective import make_objective, make_optimizer

WORDS = ["model=nn", "data=lines", "smoothing=l2", "optim=adam", "data.batch_size=32"]
WORDS += ["trainer.max_steps=60", "trainer.log_every=10"]


def parts(*words: str) -> tuple[NextCharModule, NextCharDataModule]:
    """The module and the data of a run with these settings."""
    settings = run_settings([*WORDS, *words])
    dataset = load_text(settings.data)
    vocab_size = len(dataset.vocabulary)
    net = build(settings.model, vocab_size, precision=32, seed=settings.seed)
    pairs = count_stream(dataset.splits["train"].stream, vocab_size, 2)[1]
    batches = make_batches(net, dataset.splits, pairs, settings)
    module = NextCharModule(net, make_optimizer(settings, net), make_objective(settings, net, batches, vocab_size))
    return module, NextCharDataModule(batches, range(60), 10)


def trainer(folder: Path, **options: Any) -> L.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1}
    chosen = {"accelerator": "cpu", "max_epochs": 1, "logger": CSVLogger(folder, "", "")} | options
    return L.Trainer(**quiet, **chosen)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*LeafSpec.*is deprecated")
def test_a_trainer_of_ones_own(tmp_path: Path, runs) -> None:
    words = [runs.names(tmp_path), "trainer.precision=32"]
    module, data = parts(*words)
    best = ModelCheckpoint(tmp_path / "best", monitor="val/loss")
    own = trainer(tmp_path / "logs", callbacks=[best, LearningRateMonitor("step")])
    own.fit(module, datamodule=data)

    runs.train(*WORDS, *words, "figures=false", f"hydra.run.dir={tmp_path / 'run'}")
    weights = module.net.state_dict()
    assert torch.equal(weights["W"], load(runs.weights(tmp_path / "run"))["W"])
    assert own.global_step == 60  # optimizer steps, not batches
    val = dict(runs.curve(tmp_path / "run", "val/loss"))
    assert float(own.callback_metrics["val/loss"]) == pytest.approx(val[60], rel=1e-6)
    saved = torch.load(best.best_model_path, weights_only=True)
    assert torch.equal(saved["state_dict"]["net.W"], weights["W"])
    assert saved["global_step"] == 60

    rows = list(DictReader((tmp_path / "logs/metrics.csv").read_text().splitlines()))
    logged = [(float(row["step"]), float(row["train/loss"])) for row in rows if row["train/loss"]]
    drawn = runs.curve(tmp_path / "run", "train/loss")[:-1]  # the last one is that of the trained net
    assert np.array(logged) == pytest.approx(np.array(drawn), rel=1e-6)
    for tag in ("train/objective", "grad_norm", "lr", "lr-Adam", "val/loss"):
        assert [row for row in rows if row[tag]], tag


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_epochs": 2}, "max_epochs=2: set max_epochs=1"),
        ({"max_steps": 30}, "max_steps=30"),
        ({"fast_dev_run": True}, "fast_dev_run"),
        ({"limit_train_batches": 2}, "limit_train_batches"),
        ({"precision": "64-true"}, "precision=64-true"),
        ({"callbacks": [StochasticWeightAveraging(0.1)]}, "StochasticWeightAveraging"),
    ],
)
def test_options_that_a_chunk_cannot_honour_raise(options: dict[str, Any], named: str, tmp_path: Path, runs) -> None:
    module, data = parts(runs.names(tmp_path))
    with pytest.raises(MisconfigurationException, match=f"cannot honour .*{named}"):
        trainer(tmp_path / "logs", **options).fit(module, datamodule=data)


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:.*LeafSpec.*is deprecated", "ignore:.*in eval mode"
)
def test_the_noise_of_dropout_differs_from_step_to_step(tmp_path: Path, runs) -> None:
    """With a learning rate of nearly 0 and one full batch, only the noise can change the loss."""
    words = ["model=mlp", "optim.lr=1e-30", "optim.weight_decay=0", "data.batch_size=all", "trainer.max_steps=60"]
    settings = run_settings([*words, "data=lines", runs.names(tmp_path), "model.dropout=0.5", "trainer.log_every=10"])
    dataset = load_text(settings.data)
    net = build(settings.model, len(dataset.vocabulary), precision=64, seed=settings.seed)
    pairs = count_stream(dataset.splits["train"].stream, len(dataset.vocabulary), 2)[1]
    data = NextCharDataModule(make_batches(net, dataset.splits, pairs, settings), range(60), 10)

    def losses(seed: int) -> list[float]:
        module, seen = NextCharModule(net, make_optimizer(settings, net), seed=seed), list[float]()
        record = LambdaCallback(on_train_batch_end=lambda _t, _m, outputs, *_: seen.extend(outputs["losses"]))
        trainer(tmp_path / "logs", callbacks=[record], logger=False, enable_checkpointing=False).fit(module, data)
        return seen

    first = losses(seed=1)
    assert len(set(first)) == 60
    assert losses(seed=1) == first
    assert not set(losses(seed=2)) & set(first)
