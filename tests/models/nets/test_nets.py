"""Every net beside equations written out by hand, and the properties that all nets share."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from nextchar.config.fields import Settings
from nextchar.config.model_settings import GPT2, GRU, LSTM, MLP, NN, RNN, Transformer, WaveNet
from nextchar.data.vocabulary import Vocabulary
from nextchar.evaluation.sampling import sample
from nextchar.models.base import contexts_before
from nextchar.models.nets.net import Net, NetModel, build, restore

VOCABULARY = Vocabulary("abcdefgh")
V = len(VOCABULARY)
RECURRENT = {"block_size": 12, "n_embd": 5, "n_hidden": 7, "dropout": 0.5}
SETTINGS: dict[str, Settings] = {
    "nn": NN(name="nn", init="normal"),
    "mlp": MLP(name="mlp", block_size=3, n_embd=5, n_hidden=7, dropout=0.5),
    "rnn": RNN(name="rnn", n_layer=1, **RECURRENT),
    "gru": GRU(name="gru", n_layer=1, **RECURRENT),
    "lstm": LSTM(name="lstm", n_layer=1, **RECURRENT),
    "lstm of two layers": LSTM(name="lstm", n_layer=2, **RECURRENT),
    "wavenet": WaveNet(name="wavenet", block_size=4, n_embd=5, n_hidden=7, dropout=0.5),
    "transformer": Transformer(name="transformer", block_size=12, n_embd=8, n_head=2, n_layer=2, dropout=0.5),
    "gpt2": GPT2(name="gpt2", block_size=12, n_embd=8, n_head=2, n_layer=2, dropout=0.5),
}
SEQUENCES = [name for name in SETTINGS if name not in ("nn", "mlp", "wavenet")]


def made(name: str, seed: int = 1) -> Net:
    """A net in float64 in which every weight matters: those that start at 0 or 1 are moved."""
    net = build(SETTINGS[name], V, 64, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        for buffer in net.buffers():  # running means and variances
            buffer.add_(0.3 * torch.rand(buffer.shape, generator=generator, dtype=torch.float64))
    return net


def ids(*shape: int) -> Tensor:
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(7))


# --- equations ------------------------------------------------------------------------------------------------------


def rnn_cell(x: Tensor, h: Tensor, c: Tensor, w: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.tanh(w["wi"] @ x + w["bi"] + w["wh"] @ h + w["bh"]), c


def gru_cell(x: Tensor, h: Tensor, c: Tensor, w: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    (xr, xz, xn), (hr, hz, hn) = (w["wi"] @ x + w["bi"]).chunk(3), (w["wh"] @ h + w["bh"]).chunk(3)
    r, z = torch.sigmoid(xr + hr), torch.sigmoid(xz + hz)
    return (1 - z) * torch.tanh(xn + r * hn) + z * h, c


def lstm_cell(x: Tensor, h: Tensor, c: Tensor, w: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    i, f, g, o = (w["wi"] @ x + w["bi"] + w["wh"] @ h + w["bh"]).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


CELLS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {"rnn": rnn_cell, "gru": gru_cell, "lstm": lstm_cell}


@pytest.mark.parametrize("name", CELLS)
def test_a_recurrent_net_is_a_loop_over_its_cell(name: str) -> None:
    net, idx = made(name), ids(9)
    names = {"wi": "weight_ih_l0", "wh": "weight_hh_l0", "bi": "bias_ih_l0", "bh": "bias_hh_l0"}
    weights = {short: net.get_parameter(f"layers.{long}") for short, long in names.items()}
    h = c = torch.zeros(7, dtype=torch.float64)
    expected = []
    for x in net.get_parameter("wte.weight")[idx]:
        h, c = CELLS[name](x, h, c, weights)
        expected.append(net.get_parameter("head.weight") @ h + net.get_parameter("head.bias"))
    assert torch.allclose(net.logits(idx[None])[0], torch.stack(expected), atol=1e-12)


def test_the_mlp_is_equation_1_of_bengio() -> None:
    net, idx = made("mlp"), ids(4, 3)
    w = dict(net.named_parameters())
    x = torch.cat([F.one_hot(idx[:, i], V).double() @ w["wte.weight"] for i in range(3)], dim=1)
    expected = torch.tanh(x @ w["hidden.weight"].T + w["hidden.bias"]) @ w["head.weight"].T + w["head.bias"]
    assert torch.allclose(net.logits(idx)[:, 0], expected, atol=1e-12)


def norm(x: Tensor, w: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]


def test_the_transformer_is_naive_attention() -> None:
    net, idx, d = made("transformer"), ids(9), 4
    w = dict(net.named_parameters())
    x = w["wte.weight"][idx] + w["wpe.weight"][:9]
    for layer in ("h.0", "h.1"):
        qkv = norm(x, w, f"{layer}.ln_1") @ w[f"{layer}.attn.c_attn.weight"].T + w[f"{layer}.attn.c_attn.bias"]
        heads = []
        for head in range(2):
            q, k, v = (qkv[:, 8 * i + d * head : 8 * i + d * (head + 1)] for i in range(3))
            scores = (q @ k.T / math.sqrt(d)).masked_fill(torch.ones(9, 9).triu(1).bool(), -torch.inf)
            heads.append(scores.exp() / scores.exp().sum(1, keepdim=True) @ v)
        x = x + torch.cat(heads, 1) @ w[f"{layer}.attn.c_proj.weight"].T + w[f"{layer}.attn.c_proj.bias"]
        h = norm(x, w, f"{layer}.ln_2") @ w[f"{layer}.mlp.c_fc.weight"].T + w[f"{layer}.mlp.c_fc.bias"]
        gelu = h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3))) / 2
        x = x + gelu @ w[f"{layer}.mlp.c_proj.weight"].T + w[f"{layer}.mlp.c_proj.bias"]
    expected = norm(x, w, "ln_f") @ w["lm_head.weight"].T
    assert torch.allclose(net.logits(idx[None])[0], expected, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_the_wavenet_joins_pairs_of_neighbours(training: bool) -> None:
    """The lecture's code in plain steps, with the statistics of the batch, or with those of training."""
    net, idx = made("wavenet").train(training), ids(6, 4)
    net.get_submodule("dropout").eval()
    w = net.state_dict()
    x = w["wte.weight"][idx]
    for layer in ("layers.0", "layers.1"):
        x = torch.stack([torch.cat([x[:, i], x[:, i + 1]], 1) for i in range(0, x.shape[1], 2)], 1)
        x = x @ w[f"{layer}.linear.weight"].T
        mean, variance = w[f"{layer}.norm.running_mean"].clone(), w[f"{layer}.norm.running_var"].clone()
        if training:
            mean, variance = x.mean((0, 1)), x.var((0, 1), unbiased=False)
        x = (x - mean) / (variance + 1e-5).sqrt() * w[f"{layer}.norm.weight"] + w[f"{layer}.norm.bias"]
        x = torch.tanh(x)
    assert torch.allclose(net.logits(idx), x @ w["head.weight"].T + w["head.bias"], atol=1e-12)


def test_the_wavenet_of_the_lecture_has_its_number_of_weights() -> None:
    settings = WaveNet(name="wavenet", block_size=8, n_embd=24, n_hidden=128, dropout=0)
    assert sum(weight.numel() for weight in build(settings, 27, 32, None).parameters()) == 76_579


@pytest.mark.parametrize(
    ("n_layer", "n_head", "n_embd", "millions"),
    [(12, 12, 768, 124), (24, 16, 1024, 355), (36, 20, 1280, 774), (48, 25, 1600, 1558)],
)
def test_gpt2_has_the_published_sizes(n_layer: int, n_head: int, n_embd: int, millions: int) -> None:
    """With the 50,257 tokens of the paper, on torch's meta device."""
    settings = GPT2(name="gpt2", block_size=1024, n_layer=n_layer, n_head=n_head, n_embd=n_embd, dropout=0.1)
    weights = build(settings, 50_257, 32, None).parameters()
    assert round(sum(weight.numel() for weight in weights) / 1e6) == millions


def test_gpt2_is_that_of_transformers() -> None:
    """Logits and gradients, with equal weights; their linear layers store the transpose."""

    def transposed(name: str, tensor: Tensor) -> Tensor:
        return tensor.T if "c_" in name and name.endswith("weight") else tensor

    net, idx = made("gpt2"), ids(3, 13)
    config = GPT2Config(vocab_size=V, n_positions=12, n_embd=8, n_layer=2, n_head=2)
    theirs = GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for name, weight in theirs.transformer.named_parameters():
            weight.copy_(transposed(name, net.get_parameter(name)))
    logits = theirs(input_ids=idx[:, :-1]).logits
    F.cross_entropy(logits.flatten(0, 1), idx[:, 1:].flatten()).backward()
    net(idx[:, :-1], idx[:, 1:])[1].backward()
    assert torch.allclose(net.logits(idx[:, :-1]), logits, atol=1e-5)
    for name, weight in theirs.transformer.named_parameters():
        assert torch.allclose(weight.grad, transposed(name, net.get_parameter(name).grad), atol=1e-5), name


# --- properties -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
def test_first_weights_come_from_the_seed_and_guess_about_evenly(name: str) -> None:
    before = torch.get_rng_state()
    first, again, other = (build(SETTINGS[name], V, 32, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    net = build(SETTINGS[name], V, 64, 1).eval()
    idx = ids(50, net.get_block_size())
    targets = ids(51, net.get_block_size())[1:] if net.reads == "sequences" else ids(50, 1)
    if name != "nn":  # whose first weights are the lecture's
        assert net(idx, targets)[1].item() == pytest.approx(math.log(V), abs=0.1)


@pytest.mark.parametrize("name", SEQUENCES)
def test_no_logit_depends_on_a_later_character(name: str) -> None:
    net, idx = made(name), ids(1, 12)
    logits = net.logits(idx)
    for place in range(12):
        changed = idx.clone()
        changed[0, place] = (changed[0, place] + 1) % V
        differs = (net.logits(changed) != logits).any(-1)[0]
        assert not differs[:place].any()
        assert differs[place:].all()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_batch_of_one_is_a_batch_of_many(name: str) -> None:
    net = made(name)
    idx = ids(20, net.get_block_size())
    alone = torch.cat([net.logits(row[None]) for row in idx])
    assert torch.allclose(net.logits(idx), alone, atol=1e-12)


@pytest.mark.parametrize("name", SETTINGS)
def test_saved_and_opened_it_is_the_same(name: str) -> None:
    model = NetModel(VOCABULARY, build(SETTINGS[name], V, 32, 1))
    opened = restore(SETTINGS[name], VOCABULARY, model.tensors())
    stream = VOCABULARY.stream(["abba", "h", "deadbeefcafe"])
    assert np.array_equal(model.score(stream), opened.score(stream))


@pytest.mark.parametrize("name", SETTINGS)
def test_scores_in_one_pass_are_those_of_each_context(name: str) -> None:
    """Documents that are shorter than the block size; dropout has no effect outside of training."""
    model = NetModel(VOCABULARY, made(name))
    stream = VOCABULARY.stream(["abba", "h", "", "deadbeefca", "abc"])
    alone = model.log_probs(contexts_before(stream, model.context))
    assert model.score(stream) == pytest.approx(alone[np.arange(len(alone)), stream[1:]], abs=1e-10)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "nn"])
def test_dropout_is_for_training_only(name: str) -> None:
    net = made(name)
    idx = ids(5, net.get_block_size())
    assert torch.equal(net.logits(idx), net.logits(idx))
    net.train()
    assert not torch.equal(net.logits(idx), net.logits(idx))


# --- sampling with a state --------------------------------------------------------------------------------------------


class Stateless(NetModel):
    """The same model, of which each character is drawn from the whole context."""

    def new_state(self, rows: int) -> None:
        return None


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("name", SEQUENCES)
def test_sampling_with_a_state_gives_the_same_text(name: str, batched: bool) -> None:
    net = made(name)
    for prefix, max_chars in [("", 30), ("abc", 8), ("abcdefghabcdefgh", 20)]:  # block size 12: shorter and longer ones
        with_state, without = (
            list(sample(model(VOCABULARY, net), 40, 5, prefix, max_chars=max_chars, batched=batched))
            for model in (NetModel, Stateless)
        )
        assert with_state == without
        assert len(set(with_state)) > 10


@pytest.mark.parametrize("name", SEQUENCES)
def test_with_a_state_each_id_is_read_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, read = made(name), []
    monkeypatch.setattr(
        net, "step", lambda idx, past, step=net.step: (read.append(tuple(idx.shape)), step(idx, past))[1]
    )
    state = NetModel(VOCABULARY, net).new_state(3)
    assert state is not None
    state.read(np.zeros((3, 5), np.int64))
    state.keep(np.array([True, False, True]))
    for _ in range(7):
        state.read(np.ones((2, 1), np.int64))
    assert read == [(3, 5), *[(2, 1)] * 7]
