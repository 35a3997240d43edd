"""From splits to a model: which split the parameters of the smoothing method come from."""

import brute_force as twin
import pytest

from nextchar.config.compose import run_settings
from nextchar.data.corpus import EMBEDDED
from nextchar.data.encoded import Split
from nextchar.data.vocabulary import Vocabulary
from nextchar.models.ngram.fit import fit_ngrams

NAMES = EMBEDDED.read_text().split()[:3000]


@pytest.mark.parametrize("words", [["smoothing=jelinek_mercer"], ["smoothing=kneser_ney", "smoothing.tune=true"]])
def test_parameters_are_fitted_on_val(words):
    """Of a bigram: those that a search finds for train and val, and not those for train and train."""
    train, val = NAMES[::2], NAMES[1::2]
    vocabulary = Vocabulary.of(train)
    settings = run_settings([*words, "model.order=2"])
    splits = {name: Split.of(vocabulary, documents) for name, documents in (("train", train), ("val", val))}
    model = fit_ngrams(settings, vocabulary, splits).model
    swapped = fit_ngrams(settings, vocabulary, {**splits, "val": splits["train"]}).model
    streams = {name: split.stream for name, split in splits.items()}
    assert model.score(streams["val"]).mean() > swapped.score(streams["val"]).mean()
    assert model.score(streams["train"]).mean() < swapped.score(streams["train"]).mean()


def test_the_weights_of_jelinek_mercer_are_those_of_the_twin():
    train, val = NAMES[:1000], NAMES[1000:1300]
    vocabulary = Vocabulary.of(train)
    settings = run_settings(["smoothing=jelinek_mercer", "smoothing.weights=order", "model.order=3"])
    splits = {name: Split.of(vocabulary, documents) for name, documents in (("train", train), ("val", val))}
    _, weights = twin.jelinek_mercer(train, val, 3)
    found = fit_ngrams(settings, vocabulary, splits).parameters
    for row in found.values():
        assert row == pytest.approx([weights[k][None] for k in (1, 2, 3)], abs=1e-9)
