"""Learning rates, clipping and weight decay: those of torch's own schedulers and functions in a plain loop."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from nextchar.config.compose import run_settings
from nextchar.data.load import load as load_text
from nextchar.models.nets.net import build
from nextchar.models.ngram.counts import count_stream
from nextchar.training.batches import make_batches
from nextchar.training.objective import make_schedule

STEPS, WARMUP = 60, 12
WORDS = ["model=nn", "data=lines", "optim=adamw", "data.batch_size=32", f"trainer.max_steps={STEPS}"]


def of_torch(name: str, optimizer: torch.optim.Optimizer, warmup: int) -> LRScheduler:
    """torch's scheduler with this name, after a warm-up."""
    falling: dict[str, Any] = {
        "constant": lambda n: ConstantLR(optimizer, 1),
        "cosine": lambda n: CosineAnnealingLR(optimizer, n),
        "linear": lambda n: LinearLR(optimizer, 1, 0, n),
    }
    if not warmup:
        return falling[name](STEPS)
    rising = LinearLR(optimizer, 1 / warmup, 1, warmup - 1)
    return SequentialLR(optimizer, [rising, falling[name](STEPS - warmup)], [warmup])


@pytest.mark.parametrize("warmup", [0, WARMUP])
@pytest.mark.parametrize("name", ["constant", "cosine", "linear"])
def test_a_schedule_is_that_of_torch(name: str, warmup: int) -> None:
    words = [f"optim.schedule={name}", f"optim.warmup={warmup / STEPS}", "optim.lr=0.3"]
    ours = make_schedule(run_settings(["model=nn", f"trainer.max_steps={STEPS}", *words]))
    if (name, warmup) == ("constant", 0):
        assert ours is None  # nothing to set in any step
        return
    assert ours is not None
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.3)
    theirs = of_torch(name, optimizer, warmup)
    for step in range(STEPS):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12), step
        optimizer.step()
        theirs.step()


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")
@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_run_is_a_plain_loop(ema: float | None, tmp_path: Path, runs) -> None:
    """With torch's schedulers and clip_grad_norm_; the weights are equal but for the rounding of learning rates."""
    more = [
        f"optim.ema={ema or 'null'}",
        "optim.lr=0.1",
        "optim.schedule=cosine",
        f"optim.warmup={WARMUP / STEPS}",
        "optim.clip=0.03",
    ]
    words = [*WORDS, runs.names(tmp_path), *more, "optim.weight_decay=0.1"]
    runs.train(*words, "figures=false", "trainer.log_every=7", f"hydra.run.dir={tmp_path / 'run'}")
    settings = run_settings(words)
    dataset = load_text(settings.data)
    net = build(settings.model, len(dataset.vocabulary), precision=32, seed=settings.seed)
    pairs = count_stream(dataset.splits["train"].stream, len(dataset.vocabulary), 2)[1]
    batches = make_batches(net, dataset.splits, pairs, settings)
    optimizer = torch.optim.AdamW(net.parameters(), 0.1, (0.9, 0.98), weight_decay=0.1)
    scheduler = of_torch("cosine", optimizer, WARMUP)
    norms, rates, mean = [], [], net.W.detach().clone()
    for step in range(STEPS):
        optimizer.zero_grad()
        _, loss = net(*batches.batch(step))
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(net.parameters(), 0.03)))
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
        decay = 0.0 if ema is None else min(ema, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * net.W.detach()
    assert max(norms) > 0.03  # some steps are clipped
    assert torch.allclose(load(runs.weights(tmp_path / "run"))["W"], mean, atol=1e-5)
    for tag, expected in {"train/grad_norm": norms, "train/lr": rates}.items():
        drawn = dict(runs.curve(tmp_path / "run", tag))
        assert drawn == pytest.approx(dict(list(enumerate(expected))[::7]), rel=1e-4)
