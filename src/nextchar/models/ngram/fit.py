"""Counting: from a split in ids to an n-gram model."""

from dataclasses import dataclass

from nextchar.config.model_settings import Count
from nextchar.config.smoothing_settings import ModifiedKneserNey, is_fitted
from nextchar.config.train_settings import TrainSettings
from nextchar.data.encoded import Split
from nextchar.data.load import Dataset
from nextchar.models.ngram import backoff, counts
from nextchar.models.ngram import dask_counts as cluster
from nextchar.models.ngram import estimation as fitting
from nextchar.models.ngram.backoff import BackoffModel
from nextchar.models.ngram.counts import Counted, Table
from nextchar.models.ngram.keys import Packing
from nextchar.models.ngram.model import CountModel


@dataclass(frozen=True)
class Counting:
    """A counted model, or the given one, and what was counted of train on the way.

    `pairs`: the bigrams, from which pictures are made whatever its order. `windows`: of the highest order, or pairs.
    `occurring`: for each order how many n-grams occur once, twice, three and four times, as the method counts them.
    `parameters`: those of the smoothing method, by name, one an order. `unpruned`: how many n-grams occur in train.
    """

    model: CountModel | BackoffModel
    pairs: Table
    windows: Counted
    occurring: list[list[int]]
    parameters: dict[str, list[float]]
    unpruned: int

    @property
    def ngrams(self) -> list[int]:
        """How many different n-grams the model holds, by order."""
        return [len(table) for table in self.model.tables]


def count(settings: TrainSettings, text: Dataset, given: BackoffModel | None = None) -> Counting:
    """The counted model that the settings name, or the given one; of a net, the bigram that it is drawn beside.

    Raises BadInput.
    """
    wanted, packing = settings.model, Packing(len(text.vocabulary))
    order = wanted.order if isinstance(wanted, Count) else 2
    longest, train = max(2, order), text.splits["train"]
    windows = _windows(settings, train, packing, longest)
    tables = counts.tables(windows)
    raw, pairs = tables[:order], tables[1]
    if given is not None:
        return Counting(given, pairs, windows, [], {}, sum(map(len, given.tables)))
    assert settings.smoothing is not None
    age = val = None
    if is_fitted(settings.smoothing) and "val" in text.splits:
        val = counts.count(text.splits["val"].blocks(max(1, order - 1)), packing, order)
    if isinstance(settings.smoothing, ModifiedKneserNey) and settings.smoothing.base == "kenlm":
        age = counts.first_seen(train.blocks(1), packing.vocab_size)
    looked_up, smoothing = fitting.fit(settings.smoothing, raw, val, age)
    occurring = [table.counts_of_counts for table in looked_up]
    if isinstance(wanted, Count):
        looked_up = fitting.pruned(looked_up, raw, wanted)
    whole = CountModel(text.vocabulary, looked_up, smoothing)
    model: CountModel | BackoffModel = whole
    if isinstance(wanted, Count) and wanted.prune_entropy is not None:
        model = BackoffModel(text.vocabulary, backoff.pruned(whole.backoff_tables(), wanted.prune_entropy))
    return Counting(model, pairs, windows, occurring, smoothing.named_parameters(), sum(map(len, raw)))


def _windows(settings: TrainSettings, train: Split, packing: Packing, order: int) -> Counted:
    if (address := settings.cluster.address) is not None:
        return cluster.count(train, packing, order, address)
    return counts.count(train.blocks(order - 1), packing, order)
