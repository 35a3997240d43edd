"""Nets: the notes' forward, and a net as a LanguageModel."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from makemore import COUNTS, SYMBOLS

from nextchar.config.model_settings import NN
from nextchar.data.vocabulary import Vocabulary
from nextchar.evaluation.sampling import sample
from nextchar.models.nets.net import NetModel, build, restore, spec

VOCABULARY = Vocabulary("".join(SYMBOLS[1:]))
SETTINGS = NN(name="nn", init="normal")


@pytest.fixture
def net():
    return build(SETTINGS, 27, precision=64, seed=1)


def test_logits_are_the_row_of_the_previous_character(net):
    idx = torch.tensor([[0, 5, 13], [13, 1, 26]])
    logits, loss = net(idx)
    assert loss is None
    assert logits.shape == (2, 3, 27)
    assert torch.equal(logits, F.one_hot(idx, 27).double() @ net.W)  # the notes' xenc @ W
    assert net.get_block_size() == 1


def test_targets_of_minus_one_are_ignored(net):
    idx, targets = torch.tensor([[0, 5, 13, 2]]), torch.tensor([[5, -1, 13, -1]])
    _, loss = net(idx, targets)
    expected = F.cross_entropy(net.W[torch.tensor([0, 13])], torch.tensor([5, 13]))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-15)
    _, weighted = net(idx, targets, torch.tensor([[3.0, 100.0, 1.0, 100.0]]))
    nll = F.cross_entropy(net.W[torch.tensor([0, 13])], torch.tensor([5, 13]), reduction="none")
    assert weighted.item() == pytest.approx((3 * nll[0] + nll[1]).item() / 4, abs=1e-15)


def test_log_counts_are_the_weights_of_the_counted_model(net, bigram_of):
    """The bigram identity: softmax of log(N + 1) is (N + 1) / its sum."""
    with torch.no_grad():
        net.W.copy_(torch.log(torch.tensor(COUNTS) + 1.0))
    counted = bigram_of(VOCABULARY, COUNTS, k=1)
    model, every = NetModel(VOCABULARY, net), np.arange(27)[:, None]
    assert np.abs(np.exp(model.log_probs(every)) - np.exp(counted.log_probs(every))).max() < 1e-7
    stream = VOCABULARY.stream(["emma", "olivia", "zzyzx"])
    assert model.score(stream) == pytest.approx(counted.score(stream), abs=1e-6)
    assert list(sample(model, 5, 2147483647)) == list(sample(counted, 5, 2147483647))


@pytest.mark.parametrize("precision", [32, 64])
def test_every_context_sums_to_one_in_float64(precision):
    model = NetModel(VOCABULARY, build(SETTINGS, 27, precision, seed=3))
    assert np.abs(np.exp(model.log_probs(np.arange(27)[:, None])).sum(1) - 1).max() <= 1e-12


@pytest.mark.parametrize("precision", [32, 64])
def test_tensors_and_back(precision):
    model = NetModel(VOCABULARY, build(SETTINGS, 27, precision, seed=3))
    tensors = model.tensors()
    assert {name: (str(t.dtype), t.shape) for name, t in tensors.items()} == spec(SETTINGS, 27, precision)
    again = restore(SETTINGS, VOCABULARY, tensors)
    every = np.arange(27)[:, None]
    assert (again.log_probs(every) == model.log_probs(every)).all()
