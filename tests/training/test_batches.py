"""xs and ys: pairs, windows or sequences of the text, whose order is a function of (seed, step)."""

from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from torch import Tensor, nn

from nextchar.config.compose import run_settings
from nextchar.config.train_settings import TrainSettings
from nextchar.data.encoded import Split
from nextchar.data.load import load as load_text
from nextchar.data.vocabulary import Vocabulary
from nextchar.models.base import contexts_before
from nextchar.models.nets.net import Net, NetModel, build
from nextchar.models.ngram.counts import count_stream
from nextchar.training.batches import Batch, Batches, MergedPairs, Sequences, Windows, make_batches, mean_loss
from nextchar.training.data_module import NextCharDataModule
from nextchar.training.objective import make_objective

VOCABULARY = Vocabulary("abcdef")
V = len(VOCABULARY)
rng = np.random.default_rng(0)


def split_of(n: int) -> Split:
    """A split of about n ids, of which one in seven is a boundary; some documents are empty."""
    ids = rng.integers(0, V, n)
    return Split.of(VOCABULARY, "".join("\nabcdef"[i] for i in ids).split("\n"))


SPLITS = {"train": split_of(100), "val": split_of(30)}
TRAIN, VAL = (SPLITS[name].stream for name in SPLITS)
N = len(TRAIN) - 1  # predictions


class Reader(Net):
    """A net that reads as it is told; its logits are the mean embedding of the ids up to each, times a matrix."""

    def __init__(self, block_size: int, reads: str) -> None:
        nn.Module.__init__(self)
        self.block_size, self.reads = block_size, reads  # type: ignore[misc, assignment]
        dice = torch.Generator().manual_seed(0)
        self.wte, self.head = (nn.Parameter(torch.randn(V, V, generator=dice).double()) for _ in range(2))

    def get_block_size(self) -> int:
        return self.block_size

    def logits(self, idx: Tensor) -> Tensor:
        means = self.wte[idx].cumsum(1) / torch.arange(1, idx.shape[1] + 1)[:, None]
        logits = means @ self.head
        return logits if self.reads == "sequences" else logits[:, -1:]


def settings(*argv: str, seed: int = 1) -> TrainSettings:
    return run_settings(["model=nn", "trainer.precision=64", f"seed={seed}", *argv])


def batches(reads: str, block_size: int, *argv: str, seed: int = 1, splits: dict[str, Split] = SPLITS) -> Batches:
    pairs = count_stream(splits["train"].stream, V, 2)[1]
    return make_batches(Reader(block_size, reads), splits, pairs, settings(*argv, seed=seed))


def pairs(*argv: str, seed: int = 1) -> Batches:
    made = batches("windows", 1, *argv, seed=seed)
    assert isinstance(made, MergedPairs)
    return made


def bag(batch: Batch) -> Counter[tuple[int, ...]]:
    """How often each (context, next id) occurs."""
    weights = [1] * len(batch.xs) if batch.weights is None else batch.weights.flatten().tolist()
    rows: Counter[tuple[int, ...]] = Counter()
    for row, weight in zip(torch.cat([batch.xs, batch.ys], dim=1).tolist(), weights, strict=True):
        rows[tuple(row)] += weight
    return rows


def by_hand(stream: np.ndarray, context: int = 1) -> Counter[tuple[int, ...]]:
    """The same of a stream, by the function with which models are evaluated."""
    return Counter(map(tuple, np.column_stack([contexts_before(stream, context), stream[1:]]).tolist()))


def test_xs_and_ys_are_the_pairs_of_the_text() -> None:
    batch = pairs("data.merge=false").batch(0)
    assert batch.xs.shape == batch.ys.shape == (N, 1)
    assert batch.xs.dtype == batch.ys.dtype == torch.int64
    assert bag(batch) == by_hand(TRAIN) == Counter(pairwise(TRAIN.tolist()))


def test_merged_pairs_weigh_as_often_as_they_occur() -> None:
    xs, shares, _ = pairs().batch(0)
    assert shares.shape == (len(xs), 1, V)
    counts = {
        (int(x), y): float(share) * N for x, row in zip(xs, shares, strict=True) for y, share in enumerate(row[0])
    }
    assert {pair: round(n) for pair, n in counts.items() if n} == by_hand(TRAIN)
    assert float(shares.sum()) == pytest.approx(1, abs=1e-15)


def test_merged_loss_and_gradient_are_those_of_all_pairs() -> None:
    net = build(settings().model, V, 64, seed=0)
    results = []
    for argv in ([], ["data.merge=false"]):
        net.zero_grad()
        _, loss = net(*pairs(*argv).batch(0))
        loss.backward()
        results.append((loss.item(), net.W.grad.clone()))
    (merged, its_gradient), (unmerged, gradient) = results
    by_definition = -sum(n * torch.log_softmax(net.W[x], 0)[y].item() for (x, y), n in by_hand(TRAIN).items()) / N
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


# --- windows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_size", [2, 3, 8, 50])
def test_windows_are_the_contexts_with_which_a_model_is_evaluated(block_size: int) -> None:
    whole = batches("windows", block_size, "data.merge=false")
    assert isinstance(whole, Windows)
    batch = whole.batch(0)
    assert (batch.xs.shape, batch.ys.shape) == ((N, block_size), (N, 1))
    assert bag(batch) == by_hand(TRAIN, block_size)
    merged = batches("windows", block_size).batch(0)
    assert bag(merged) == by_hand(TRAIN, block_size)
    assert len(merged.xs) == len(by_hand(TRAIN, block_size)) < N
    assert sum(map(bag, whole.val), Counter()) == by_hand(VAL, block_size)


def test_merging_windows_leaves_loss_and_gradient_as_they_were() -> None:
    net = Reader(3, "windows")
    results = []
    for argv in ([], ["data.merge=false"]):
        net.zero_grad()
        _, loss = net(*batches("windows", 3, *argv).batch(0))
        loss.backward()
        results.append((loss.item(), net.wte.grad.clone()))
    assert results[0][0] == pytest.approx(results[1][0], abs=1e-14)
    assert torch.allclose(results[0][1], results[1][1], rtol=0, atol=1e-15)


@pytest.mark.parametrize("reads", ["windows", "sequences"])
def test_a_passage_of_a_running_text_is_read_with_the_text_before_it(reads: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("abcdef" * 30)
    dataset = load_text(settings("data=text", f"data.path={tmp_path / 'text.txt'}").data)
    made = batches(reads, 4, splits=dataset.splits)
    first = made.val[0]
    if reads == "windows":
        assert 0 not in first.xs  # no padding
        assert bag(first).total() == dataset.splits["val"].predicted
    else:
        assert sum(int((batch.ys != -1).sum()) for batch in made.val) == dataset.splits["val"].predicted
        assert all((batch.xs[:, 0] != 0).all() for batch in made.val)


# --- sequences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_size", [3, 8, 50])
@pytest.mark.parametrize("batch_size", ["all", 1, 4])
def test_sequences_are_the_documents(block_size: int, batch_size: str | int) -> None:
    made = batches("sequences", block_size, f"data.batch_size={batch_size}", "data.merge=false")
    assert isinstance(made, Sequences)
    steps = 1 if batch_size == "all" else -(-made.size // int(batch_size))
    pieces = Counter()
    for step in range(steps):
        for xs, ys in zip(*made.batch(step)[:2], strict=True):
            length = int((ys != -1).sum())
            assert (ys[:length] != -1).all()  # padded on the right
            assert (xs[length:] == 0).all()
            assert xs[1:length].tolist() == ys[: length - 1].tolist()
            pieces[(*xs[:length].tolist(), int(ys[length - 1]))] += 1
    edges = [0, *(np.flatnonzero(TRAIN[1:] == 0) + 1)]
    documents = [TRAIN[start : end + 1].tolist() for start, end in pairwise(edges)]
    cut = [tuple(each[at : at + block_size + 1]) for each in documents for at in range(0, len(each) - 1, block_size)]
    assert pieces == Counter(cut)


def test_a_batch_of_sequences_has_about_one_length() -> None:
    documents = ["a" * n for n in rng.integers(1, 100, 400)]
    split = Split.of(VOCABULARY, documents)
    made = batches("sequences", 200, "data.batch_size=8", splits={"train": split, "test": split})
    first, second = ([made.batch(step).xs.shape for step in range(at, at + 50)] for at in (0, 50))
    assert first != second
    padded = sum(rows * length for rows, length in first)
    assert padded < 1.15 * split.predicted
    assert len({length for _, length in first[:5]}) > 2  # short and long ones in turn


def test_the_loss_of_val_is_that_with_which_a_model_is_evaluated() -> None:
    for reads, block_size in [("windows", 1), ("windows", 3), ("sequences", 4), ("sequences", 100)]:
        net = Reader(block_size, reads)
        scores = NetModel(VOCABULARY, net).score(VAL)
        loss = mean_loss(net, batches(reads, block_size).val)
        assert loss == pytest.approx(-scores.mean(), rel=1e-14), (reads, block_size)


# --- all kinds ------------------------------------------------------------------------------------------------------

KINDS = [("windows", 1), ("windows", 3), ("sequences", 4)]


def rows_of(*read: Batch) -> Counter[str]:
    """The rows of batches, as text."""
    return Counter(str(row) for batch in read for row in zip(batch.xs.tolist(), batch.ys.tolist(), strict=True))


@pytest.mark.parametrize(("reads", "block_size"), KINDS)
@pytest.mark.parametrize("batch_size", [1, 7, 100, N, 1000])
def test_every_epoch_reads_every_row_once(batch_size: int, reads: str, block_size: int) -> None:
    made = batches(reads, block_size, f"data.batch_size={batch_size}")
    steps = -(-made.size // batch_size)
    orders = []
    for epoch in range(3):
        read = [made.batch(epoch * steps + i) for i in range(steps)]
        assert [len(batch.xs) for batch in read[:-1]] == [batch_size] * (steps - 1)
        assert sum(batch.mass for batch in read) == N
        if reads == "windows":
            assert rows_of(*read) == rows_of(made.rows(torch.arange(N)))
        orders.append([batch.xs.tolist() for batch in read])
    assert orders[0] != orders[1] != orders[2] != orders[0]


@pytest.mark.parametrize(("reads", "block_size"), KINDS)
def test_a_batch_depends_on_seed_and_step_alone(reads: str, block_size: int) -> None:
    """Not on which were asked for before."""
    steps = [3, 40, 0, 17, 3, 41, 16, 1000]
    words = [f"data.batch_size={4 if reads == 'sequences' else 16}"]
    in_turn = batches(reads, block_size, *words)
    for step in steps:
        ours, fresh = in_turn.batch(step), batches(reads, block_size, *words).batch(step)
        assert torch.equal(ours.xs, fresh.xs)
        assert torch.equal(ours.ys, fresh.ys)
        other = batches(reads, block_size, *words, seed=2).batch(step)
        assert str(ours.xs.tolist()) != str(other.xs.tolist())


def test_the_order_is_the_one_it_has_always_been() -> None:
    """A stored value: another one would make every resumed run another run."""
    stream = np.concatenate([[0], np.random.default_rng(0).integers(0, V, 100), [0]])
    split = Split.of(VOCABULARY, "".join("\nabcdef"[i] for i in stream[1:-1]).split("\n"))
    assert split.stream.tolist() == stream.tolist()
    made = batches("windows", 1, "data.batch_size=6", seed=2147483647, splits={"train": split})
    xs, ys, _ = made.batch(20)
    assert xs.flatten().tolist() == [6, 4, 1, 6, 1, 3]
    assert ys.flatten().tolist() == [3, 6, 4, 0, 2, 2]


def test_without_val_all_of_train_decides_which_is_best() -> None:
    alone = {"train": SPLITS["train"], "test": SPLITS["val"]}
    made = batches("windows", 1, "data.batch_size=16", splits=alone)
    assert not made.has_val
    assert torch.equal(made.val[0].ys, pairs().batch(0).ys)
    windows = batches("windows", 3, "data.batch_size=16", splits=alone)
    assert sum(map(bag, windows.val), Counter()) == by_hand(TRAIN, 3)


def test_the_prior_weighs_every_pair_alike() -> None:
    """add_k with k = 2: 2 pseudo-counts for each pair, beside those of the text."""
    net, words = Reader(1, "windows"), ["smoothing=add_k", "smoothing.k=2"]
    objective = make_objective(settings(*words), net, pairs(), V)
    log_probs = NetModel(VOCABULARY, net).log_probs(np.arange(V)[:, None])
    counts = count_stream(TRAIN, V, 2)[1].matrix(np.arange(V)) + 2
    loss = net(*pairs().batch(0))[1]
    assert objective(loss).item() == pytest.approx(-(counts * log_probs).sum() / counts.sum(), rel=1e-14)


# --- chunks ---------------------------------------------------------------------------------------------------------


def test_a_chunk_is_never_too_long_to_be_stopped() -> None:
    chunks = NextCharDataModule(pairs(), range(1, 2**31), 1500).chunks()
    assert [(chunk.step, chunk.is_log_point) for chunk in islice(chunks, 5)] == [
        (1, False),
        (1001, False),
        (1500, True),
        (2500, False),
        (3000, True),
    ]


@pytest.mark.parametrize(
    ("first", "last", "size"), [(0, 100, 7), (0, 5, 7), (14, 30, 7), (15, 30, 7), (29, 30, 1), (7, 8, 100)]
)
def test_chunks_cover_the_steps(first: int, last: int, size: int) -> None:
    """Each step once, in order; edges lie on multiples, so that a resumed run has the chunks of the whole one."""
    source = pairs("data.batch_size=16")
    chunks = list(NextCharDataModule(source, range(first, last), size).chunks())
    starts = [chunk.step for chunk in chunks]
    assert starts == [first, *(step for step in range(first + 1, last) if step % size == 0)]
    assert [chunk.step + len(chunk.batches) for chunk in chunks] == [*starts[1:], last]
    assert [chunk.is_log_point for chunk in chunks] == [start % size == 0 for start in starts]
    for chunk in chunks:
        for step, batch in enumerate(chunk.batches, chunk.step):
            assert torch.equal(batch.xs, source.batch(step).xs)


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize(("reads", "block_size"), [("windows", 1), ("windows", 3), ("sequences", 4)])
def test_the_shares_of_processes_are_the_batch(reads: str, block_size: int, world: int) -> None:
    """Their weighted losses have its loss as the mean, whether rows are weighted or not."""
    net = Reader(block_size, reads)
    for batch in (batches(reads, block_size, "data.batch_size=7").batch(0), batches(reads, block_size).val[0]):
        shares = [batch.share(rank, world) for rank in range(world)]
        losses = [float(net(*part)[1].detach()) * weight for part, weight in shares]
        assert np.mean(losses) == pytest.approx(float(net(*batch)[1].detach()), rel=1e-12)
        assert sum(len(part.xs) for part, weight in shares if weight) == len(batch.xs)
