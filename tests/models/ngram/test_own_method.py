"""Adding a smoothing method takes its settings and its class, and no other line of the package."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pytest

from nextchar.config.compose import run_settings
from nextchar.config.smoothing_settings import SmoothingSettings
from nextchar.data.load import load
from nextchar.evaluation.loss import loss_on
from nextchar.evaluation.sampling import sample
from nextchar.models.base import Floats, every_context
from nextchar.models.ngram.backoff import BackoffModel
from nextchar.models.ngram.counts import CountTable
from nextchar.models.ngram.fit import NgramFit, fit_ngrams
from nextchar.models.ngram.model import CountModel
from nextchar.models.ngram.smoothing import Interpolated, NgramStatistics, SearchSpace


class FixedWeight(SmoothingSettings):
    name: Literal["fixed_weight"]
    weight: float
    tune: bool


class FixedWeightInterpolation(Interpolated):
    """P_k = l c / C + (1 - l) P_(k-1), with one l for all contexts of an order."""

    chosen_by = (FixedWeight,)
    names = ("l",)
    highest = (1.0,)

    @classmethod
    def estimate_order(cls, settings: FixedWeight, table: CountTable) -> Sequence[float]:
        return [settings.weight]

    def search_space(self) -> SearchSpace:
        return SearchSpace([0.5], [0.01], [0.99], row=lambda x: x)

    def shares(self, k: int, seen: NgramStatistics) -> tuple[Floats, Floats, Floats]:
        weight, whole = self.parameters[k - 1, 0], np.maximum(seen.totals, 1).astype(np.float64)
        return weight * seen.counts, (1 - weight) * whole + weight * seen.pruned, whole


@pytest.fixture(scope="module")
def fitted() -> Callable[..., tuple[Any, NgramFit]]:
    """Fits n-grams to the data set of names, smoothed by the new method."""

    def fit(tune: bool, *words: str) -> tuple[Any, NgramFit]:
        argv = ["model=count", "model.order=3", "smoothing=witten_bell", *words]
        settings = run_settings(argv)
        own = FixedWeight(name="fixed_weight", weight=0.8, tune=tune)
        dataset = load(settings.data)
        return dataset, fit_ngrams(settings.model_copy(update={"smoothing": own}), dataset.vocabulary, dataset.splits)

    return fit


def test_it_is_fitted_scores_and_samples(fitted: Callable[..., tuple[Any, NgramFit]]) -> None:
    dataset, fit = fitted(False)
    model = fit.model
    assert isinstance(model, CountModel)
    assert fit.parameters == {"l": [0.8, 0.8, 0.8]}
    v = len(model.vocabulary)
    every = np.exp(model.log_probs(every_context(v, 2)))
    assert np.abs(every.sum(1) - 1).max() < 1e-12
    unigrams, bigrams, _ = (table for table in model.tables)
    e, m = model.vocabulary.encode("em").tolist()
    p_1 = 0.8 * unigrams.counts[unigrams.keys == m][0] / unigrams.total + 0.2 / v
    pairs = bigrams.matrix(np.arange(v))
    p_2 = 0.8 * pairs[e, m] / pairs[e].sum() + 0.2 * p_1
    by_order = model.by_order(np.array([[0, e]]), np.array([m]))
    assert np.exp(by_order.log_probs[:2, 0]) == pytest.approx([p_1, p_2], rel=1e-12)
    assert 2.0 < loss_on(model, dataset.splits["val"], is_text=False).value < 2.6
    assert len(list(sample(model, 20, seed=1))) == 20


def test_it_is_tuned_stored_pruned_and_exported(fitted: Callable[..., tuple[Any, NgramFit]]) -> None:
    dataset, plain = fitted(False)
    _, tuned = fitted(True)
    val = dataset.splits["val"]
    assert loss_on(tuned.model, val, False).value < loss_on(plain.model, val, False).value
    assert isinstance(tuned.model, CountModel)
    wanted = run_settings(["model=count", "model.order=3"]).model
    method = tuned.model.smoothing.settings
    again = CountModel.from_tensors(tuned.model.tensors(), dataset.vocabulary, wanted, method, "weights")
    stream = val.stream
    assert (again.score(stream) == tuned.model.score(stream)).all()
    exported = BackoffModel(dataset.vocabulary, tuned.model.backoff_tables())
    assert exported.score(stream) == pytest.approx(tuned.model.score(stream), abs=1e-11)
    _, pruned = fitted(False, "model.prune=[0,0,1]")
    assert sum(pruned.sizes) < pruned.unpruned == sum(plain.sizes)
    every = np.exp(pruned.model.log_probs(every_context(len(dataset.vocabulary), 2)))
    assert np.abs(every.sum(1) - 1).max() < 1e-12
