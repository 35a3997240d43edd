"""xs and ys: the pairs of the text, all of them, merged or in batches whose order is a function of (seed, step)."""

from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from nextchar.config.compose import run_settings
from nextchar.config.data_settings import Data
from nextchar.models.nets.net import build
from nextchar.training.data_module import Chunks, Pairs

V = 7
rng = np.random.default_rng(0)
TRAIN, VAL = (np.concatenate([[0], rng.integers(0, V, n), [0]]) for n in (100, 30))


def data(*argv: str) -> Data:
    return run_settings(["model=nn", *argv]).data


def pairs(*argv: str, seed: int = 1, dtype: torch.dtype = torch.float64) -> Pairs:
    return Pairs({"train": TRAIN, "val": VAL}, V, data(*argv), dtype, seed)


def bag(xs: torch.Tensor, ys: torch.Tensor) -> Counter[tuple[int, ...]]:
    """How often each (context, next id) occurs."""
    return Counter(map(tuple, torch.cat([xs, ys], dim=1).tolist()))


def by_hand(stream: np.ndarray) -> Counter[tuple[int, ...]]:
    """The pairs of a stream."""
    return Counter(pairwise(stream.tolist()))


def test_xs_and_ys_are_the_pairs_of_the_text() -> None:
    xs, ys = pairs("data.merge=false").batch(0)
    assert xs.shape == ys.shape == (101, 1)
    assert xs.dtype == ys.dtype == torch.int64
    assert bag(xs, ys) == by_hand(TRAIN)


def test_merged_pairs_weigh_as_often_as_they_occur() -> None:
    xs, shares = pairs().batch(0)
    assert shares.shape == (len(xs), 1, V)
    counts = {
        (int(x), y): float(share) * 101 for x, row in zip(xs, shares, strict=True) for y, share in enumerate(row[0])
    }
    assert {pair: round(n) for pair, n in counts.items() if n} == by_hand(TRAIN)
    assert float(shares.sum()) == pytest.approx(1, abs=1e-15)


def test_merged_loss_and_gradient_are_those_of_all_pairs() -> None:
    net = build(run_settings(["model=nn"]).model, V, 64, seed=0)
    results = []
    for argv in ([], ["data.merge=false"]):
        net.zero_grad()
        _, loss = net(*pairs(*argv).batch(0))
        loss.backward()
        results.append((loss.item(), net.W.grad.clone()))
    (merged, its_gradient), (unmerged, gradient) = results
    by_definition = -sum(n * torch.log_softmax(net.W[x], 0)[y].item() for (x, y), n in by_hand(TRAIN).items()) / 101
    assert merged == pytest.approx(by_definition, abs=1e-14)
    assert unmerged == pytest.approx(by_definition, abs=1e-14)
    assert torch.allclose(its_gradient, gradient, rtol=0, atol=1e-15)


@pytest.mark.parametrize("argv", [[], ["smoothing=add_k"], ["smoothing=l2"], ["optim=adam"]], ids=str)
def test_merging_leaves_the_trajectory_as_it_was(argv: list[str], tmp_path: Path, runs) -> None:
    common = ["model=nn", "data=lines", runs.names(tmp_path), "trainer.max_steps=100", "trainer.precision=64"]
    common += ["trainer.log_every=1", "figures=false", *argv]
    for merge in ("true", "false"):
        runs.train(*common, f"data.merge={merge}", f"hydra.run.dir={tmp_path / merge}")
    merged, unmerged = (load(runs.weights(tmp_path / merge))["W"] for merge in ("true", "false"))
    assert np.abs(merged - unmerged).max() < 1e-12
    curves = [[value for _, value in runs.curve(tmp_path / merge, "train/loss")] for merge in ("true", "false")]
    assert curves[0] == pytest.approx(curves[1], abs=1e-6)  # TensorBoard keeps 32 bits


@pytest.mark.parametrize("batch_size", [1, 7, 100, 101, 1000])
def test_every_epoch_sees_every_pair_once(batch_size: int) -> None:
    source = pairs(f"data.batch_size={batch_size}")
    steps = -(-101 // batch_size)
    orders = []
    for epoch in range(3):
        batches = [source.batch(epoch * steps + i) for i in range(steps)]
        assert [len(batch.xs) for batch in batches[:-1]] == [batch_size] * (steps - 1)
        xs, ys = (torch.cat(parts) for parts in zip(*batches, strict=True))
        assert bag(xs, ys) == by_hand(TRAIN)
        orders.append(xs.flatten().tolist())
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    """Not on which were asked for before."""
    steps = [3, 40, 0, 17, 3, 41, 16, 1000]
    in_turn = pairs("data.batch_size=16")
    for step in steps:
        ours, fresh = in_turn.batch(step), pairs("data.batch_size=16").batch(step)
        assert torch.equal(ours.xs, fresh.xs)
        assert torch.equal(ours.ys, fresh.ys)
        assert not torch.equal(ours.xs, pairs("data.batch_size=16", seed=2).batch(step).xs)


def test_the_order_is_the_one_it_has_always_been() -> None:
    """A stored value: another one would make every resumed run another run."""
    xs, ys = pairs("data.batch_size=6", seed=2147483647).batch(20)
    assert xs.flatten().tolist() == [6, 4, 1, 6, 1, 3]
    assert ys.flatten().tolist() == [3, 6, 4, 0, 2, 2]


def test_a_chunk_is_never_too_long_to_be_stopped() -> None:
    source = pairs()
    source.deal(1, 2**31, 1500)
    starts = [chunk.step for chunk in islice(Chunks(source), 5)]
    assert starts == [1, 1001, 1500, 2500, 3000]


@pytest.mark.parametrize(
    ("first", "last", "size"), [(0, 100, 7), (0, 5, 7), (14, 30, 7), (15, 30, 7), (29, 30, 1), (7, 8, 100)]
)
def test_chunks_cover_the_steps(first: int, last: int, size: int) -> None:
    """Each step once, in order; edges lie on multiples, so that a resumed run has the chunks of the whole one."""
    source = pairs("data.batch_size=16")
    source.deal(first, last, size)
    chunks = list(Chunks(source))
    starts = [chunk.step for chunk in chunks]
    assert starts == [first, *(step for step in range(first + 1, last) if step % size == 0)]
    assert [chunk.step + len(chunk.batches) for chunk in chunks] == [*starts[1:], last]
    for chunk in chunks:
        for step, batch in enumerate(chunk.batches, chunk.step):
            assert torch.equal(batch.xs, source.batch(step).xs)


def test_without_val_all_of_train_decides_which_is_best() -> None:
    alone = Pairs({"train": TRAIN, "test": VAL}, V, data("data.batch_size=16"), torch.float64, 1)
    assert alone.val is None
    assert torch.equal(alone.judge.ys, pairs().train.ys)
    assert torch.equal(pairs("data.batch_size=16").judge.ys, pairs("data.batch_size=16").val.ys)


def test_the_prior_weighs_every_pair_alike() -> None:
    xs, shares = pairs().uniform()
    assert xs.tolist() == [[x] for x in range(V)]
    assert torch.equal(shares, torch.full((V, 1, V), 1 / V**2, dtype=torch.float64))
