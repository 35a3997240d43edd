"""Nets that read windows or whole sequences as LanguageModels, and how a stream is cut for the latter."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import Tensor, nn

from nextchar.data.vocabulary import Vocabulary
from nextchar.evaluation.sampling import sample
from nextchar.models.base import contexts_before
from nextchar.models.nets.net import Net, NetModel, cut

VOCABULARY = Vocabulary("abcdef")
V = len(VOCABULARY)


class Recurrent(Net):
    """h_t = tanh(h_{t-1} A + C[x_t]); logits h_t B. What comes after an id does not change its logits."""

    reads = "sequences"

    def __init__(self, settings: Any, vocab_size: int, generator: torch.Generator | None) -> None:
        super().__init__(settings, vocab_size, generator)
        self.block_size = settings
        shapes = {"A": (5, 5), "B": (5, vocab_size), "C": (vocab_size, 5)}
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape, generator=generator).double()))

    def get_block_size(self) -> int:
        return self.block_size

    def logits(self, idx: Tensor) -> Tensor:
        state, states = torch.zeros(len(idx), 5, dtype=torch.float64), []
        for embedded in self.C[idx].unbind(1):
            state = torch.tanh(state @ self.A + embedded)
            states.append(state)
        return torch.stack(states, 1) @ self.B


class LastOnly(Recurrent):
    """The same from a window."""

    reads = "windows"

    def logits(self, idx: Tensor) -> Tensor:
        return super().logits(idx)[:, -1:]


def model(kind: type[Recurrent], block_size: int) -> NetModel:
    return NetModel(VOCABULARY, kind(block_size, V, torch.Generator().manual_seed(0)))


DOCUMENTS = ["abc", "", "fedcba", "a", "abcdefabcdef", "bb"]
STREAM = VOCABULARY.stream(DOCUMENTS)


@pytest.mark.parametrize(("kind", "block_size"), [(Recurrent, 13), (Recurrent, 50), (LastOnly, 1), (LastOnly, 4)])
def test_scores_are_the_log_probs_of_the_contexts(kind: type[Recurrent], block_size: int) -> None:
    net = model(kind, block_size)
    each = net.log_probs(contexts_before(STREAM, block_size))
    assert np.abs(np.exp(each).sum(1) - 1).max() < 1e-12
    expected = each[np.arange(len(STREAM) - 1), STREAM[1:]]
    assert net.score(STREAM) == pytest.approx(expected, rel=1e-12)
    assert net.score(STREAM[4:]) == pytest.approx(expected[4:], rel=1e-12)


def test_a_document_is_read_from_its_boundary_without_padding() -> None:
    net, read = model(Recurrent, 6), []
    logits = net.net.logits
    net.net.logits = lambda idx: (read.append(idx.tolist()), logits(idx))[1]  # type: ignore[method-assign]
    net.log_probs(np.array([[0, 0, 0, 0, 1, 2], [0] * 6, [3, 4, 5, 6, 1, 2], [0, 0, 0, 0, 5, 6], [0, 1, 2, 3, 4, 5]]))
    assert sorted(read) == sorted([[[3, 4, 5, 6, 1, 2], [0, 1, 2, 3, 4, 5]], [[0, 1, 2], [0, 5, 6]], [[0]]])


def test_a_longer_document_takes_few_passes() -> None:
    """Each id is predicted from the last T / 2 ids at least, the first T of a document from all before them."""
    net, stream, read = model(Recurrent, 8), VOCABULARY.stream(["abcdef" * 20]), []
    logits = net.net.logits
    net.net.logits = lambda idx: (read.extend(idx.tolist()), logits(idx))[1]  # type: ignore[method-assign]
    scores = net.score(stream)
    assert len(read) == 1 + -(-(121 - 8) // 4)
    for at, score in enumerate(scores):
        start = max(0, 4 * ((at - 4) // 4))  # of the piece that predicts the id after place `at`
        alone = logits(torch.from_numpy(stream[start : at + 1].astype(np.int64))[None])[0, -1]
        assert score == pytest.approx(torch.log_softmax(alone, 0)[int(stream[at + 1])].item(), rel=1e-12)


@given(
    documents=some.lists(some.text("abcdef", max_size=30), min_size=1, max_size=6),
    block_size=some.integers(1, 12),
    n_context=some.integers(1, 5),
    data=some.data(),
)
def test_a_cut_predicts_each_id_once(documents: list[str], block_size: int, n_context: int, data: Any) -> None:
    stream = VOCABULARY.stream(documents)
    n_context = min(n_context, len(stream) - 1)
    overlap = data.draw(some.integers(0, block_size - 1))
    pieces = cut(stream, n_context, block_size, overlap)
    predicted = []
    for start, length, first in zip(*pieces, strict=True):
        assert 1 <= length <= block_size
        assert not (stream[start + 1 : start + length] == 0).any()  # of one document
        assert start == 0 or stream[start] == 0 or first >= overlap
        predicted += range(start + first + 1, start + length + 1)
    assert sorted(predicted) == [*range(n_context, len(stream))]


def test_rows_are_padded_on_the_right() -> None:
    ids = torch.from_numpy(STREAM.astype(np.int64))
    xs, ys, places = cut(STREAM, 1, 50, 0).rows(ids, np.array([0, 3]))
    assert xs.tolist() == [[0, 1, 2, 3], [0, 1, 0, 0]]
    assert ys.tolist() == [[1, 2, 3, 0], [1, 0, -1, -1]]
    assert STREAM[1:][places[0]].tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize("kind", [Recurrent, LastOnly])
def test_it_can_be_sampled(kind: type[Recurrent]) -> None:
    texts = list(sample(model(kind, 6), 20, seed=1, max_chars=40))
    assert len(set(texts)) > 10
    assert set("".join(texts)) <= set("abcdef")
    assert texts == list(sample(model(kind, 6), 20, seed=1, max_chars=40))


def test_a_net_without_a_step_of_its_own_reads_all_ids_again() -> None:
    net = model(Recurrent, 6)
    state = net.new_state(2)
    assert state is not None
    first = state.read(np.array([[0, 1], [0, 2]]))
    second = state.read(np.array([[3], [4]]))
    assert first == pytest.approx(net.log_probs(np.array([[0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 2]])))
    assert second == pytest.approx(net.log_probs(np.array([[0, 0, 0, 0, 1, 3], [0, 0, 0, 0, 2, 4]])))
