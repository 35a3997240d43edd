"""The numbers that a right bigram gives on makemore's names.txt, and on the embedded names."""

import numpy as np
import pytest
import torch
from makemore import COUNTS, SYMBOLS, documents

from nextchar.config.compose import run_settings
from nextchar.config.model_settings import NN
from nextchar.data.encoded import Split
from nextchar.data.vocabulary import Vocabulary
from nextchar.evaluation.explain import explain, mean_nll
from nextchar.evaluation.loss import loss_on
from nextchar.evaluation.sampling import sample
from nextchar.models.nets.net import NetModel, build
from nextchar.runs.run import open_run
from nextchar.training import train as training

VOCABULARY = Vocabulary("".join(SYMBOLS[1:]))


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "names.txt"
    path.write_text("\n".join(documents()))
    return path


def settings(*overrides):
    return run_settings(["figures=false", *overrides])


def train(folder, *overrides):
    """(metrics, model) of a run in `folder`."""
    values = training.train(settings(*overrides), folder).metrics
    return values, open_run(folder).model


@pytest.fixture(scope="session")
def bigram(bigram_of):
    """The bigram of makemore's counts, with k added to each."""
    return lambda k: bigram_of(VOCABULARY, COUNTS, k)


def test_the_fixture_has_the_counts_it_says(pairs):
    stream = VOCABULARY.stream(documents())
    assert len(stream) - 1 == 228_146
    assert (pairs(stream, 27) == COUNTS).all()
    assert COUNTS[0].sum() == 32_033  # names
    assert (COUNTS == 0).sum() == 102


@pytest.mark.parametrize(
    ("k", "expected"),
    [(0, 2.4540144892), (0.01, 2.4540189765), (1, 2.4545768201), (10, 2.4621158057), (100, 2.5374912617)],
)
def test_counted_loss_on_all_of_makemores_names(k, expected, bigram):
    part = Split.of(VOCABULARY, documents())
    assert loss_on(bigram(k), part, is_text=False).value == pytest.approx(expected, abs=1e-9)


def test_the_notes_figure_is_a_float32_running_sum(bigram):
    """The lecture prints 2.4543562 for add-one: its own sum, in the order of the file, in float32.

    The order of our documents is another, so the rounding is too: what is shown is that summing so errs by 1e-5 or
    more where the exact value has all its digits.
    """
    log_probs = bigram(1).score(VOCABULARY.stream(documents())).astype(np.float32)
    running = np.add.accumulate(log_probs, dtype=np.float32)[-1]
    assert abs(-running / len(log_probs) - 2.4545768201) > 1e-5


@pytest.mark.parametrize(("smoothing", "expected"), [("none", 2.454395), ("add_k", 2.454951)])
def test_counted_loss_on_the_embedded_names(tmp_path, smoothing, expected):
    values, _ = train(tmp_path / "run", f"smoothing={smoothing}", "data.split=all")
    assert values["train/loss"] == values["test/loss"] == pytest.approx(expected, abs=1e-6)


# loss of the net of zeros after so many full-batch steps of SGD at lr 15
TRAJECTORY = {
    0: 3.2958368660,
    1: 3.2160837192,
    10: 2.8298086224,
    100: 2.5110775350,
    200: 2.4822707376,
    1000: 2.4589571911,
    1024: 2.4588293612,
}


@pytest.mark.parametrize("steps", TRAJECTORY)
@pytest.mark.parametrize(("precision", "tolerance"), [(64, 1e-9), (32, 1e-5)])
def test_descent_follows_the_notes(names, tmp_path, steps, precision, tolerance):
    values, _ = train(
        tmp_path / "run",
        *("model=nn", "model.init=zeros", "data=lines", f"data.path={names}", "data.split=all"),
        *(f"trainer.max_steps={steps}", f"trainer.precision={precision}"),
    )
    assert values["train/loss"] == pytest.approx(TRAJECTORY[steps], abs=tolerance)


@pytest.mark.parametrize(("precision", "tolerance"), [(64, 1e-9), (32, 1e-5)])
def test_descent_is_the_same_without_merging(names, tmp_path, precision, tolerance):
    values, _ = train(
        tmp_path / "run",
        *("model=nn", "model.init=zeros", "data=lines", f"data.path={names}", "data.split=all", "data.merge=false"),
        *("trainer.max_steps=10", f"trainer.precision={precision}"),
    )
    assert values["train/loss"] == pytest.approx(TRAJECTORY[10], abs=tolerance)


def test_the_first_weights_are_the_lectures(tmp_path):
    """randn((27, 27)) from a generator seeded 2147483647: the loss on 'emma' that the notes print."""
    net = build(NN(name="nn", init="normal"), 27, precision=32, seed=2147483647)
    assert torch.equal(net.W.detach(), torch.randn((27, 27), generator=torch.Generator().manual_seed(2147483647)))
    stream = VOCABULARY.stream(["emma"])
    assert -NetModel(VOCABULARY, net).score(stream).mean() == pytest.approx(3.7693049907684326, abs=1e-6)


def test_the_lectures_descent_with_l2(names, tmp_path):
    """lr 50 and 0.01 * (W**2).mean() for 200 steps: 2.4653 without the regulariser."""
    values, _ = train(
        tmp_path / "run",
        *("model=nn", "optim.lr=50", "smoothing=l2", "smoothing.strength=0.01", "trainer.max_steps=200"),
        *("data=lines", f"data.path={names}", "data.split=all"),
    )
    assert values["train/loss"] == pytest.approx(2.4652788943161847, abs=1e-5)


@pytest.mark.parametrize(("precision", "tolerance"), [(64, 1e-6), (32, 1e-4)])
@pytest.mark.parametrize("k", [1, 0.5])
def test_lbfgs_reaches_the_counted_model(names, tmp_path, precision, tolerance, k, bigram):
    _, learned = train(
        tmp_path / "run",
        *("model=nn", "optim=lbfgs", "smoothing=add_k", f"smoothing.k={k}", f"trainer.precision={precision}"),
        *("data=lines", f"data.path={names}", "data.split=all"),
    )
    every = np.arange(27)[:, None]
    difference = np.abs(np.exp(learned.log_probs(every)) - np.exp(bigram(k).log_probs(every)))
    assert difference.max() <= tolerance


def test_explain_emma(bigram):
    steps = explain(bigram(1), "emma", "text")
    expected = [(".e", 0.047785), ("em", 0.037653), ("mm", 0.025341), ("ma", 0.388514), ("a.", 0.195830)]
    assert [step.context + step.char for step in steps] == [pair for pair, _ in expected]
    assert [step.probability for step in steps] == pytest.approx([p for _, p in expected], abs=5e-7)
    assert mean_nll(steps) == pytest.approx(2.514328, abs=5e-7)


def test_samples_are_the_lectures(bigram):
    five = list(sample(bigram(1), 5, seed=2147483647))
    assert five == ["mor", "axx", "minaymoryles", "kondlaisah", "anchshizarie"]
    assert list(sample(bigram(1), 1000, seed=2147483647))[:5] == five
