"""From the splits of a text to an n-gram model: count train, smooth, prune."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nextchar.config.model_settings import Count
from nextchar.config.train_settings import TrainSettings
from nextchar.data.encoded import Split
from nextchar.data.vocabulary import Vocabulary
from nextchar.models.ngram.backoff import BackoffModel, prune_by_entropy
from nextchar.models.ngram.counts import (
    CountTable,
    TrainCounts,
    count_ngrams,
    first_appearance,
    tables_by_order,
)
from nextchar.models.ngram.dask_counts import count_on_cluster
from nextchar.models.ngram.estimation import estimate
from nextchar.models.ngram.keys import Packing
from nextchar.models.ngram.model import CountModel


@dataclass(frozen=True)
class NgramFit:
    """An n-gram model, and the counts of train that were made on the way: train is counted once a run."""

    model: CountModel | BackoffModel
    pairs: CountTable  # the bigrams, for pictures and for the batches of a net
    train: CountTable  # the distinct n-grams of the highest order, at least 2
    counts_of_counts: list[list[int]]  # n_1 to n_4 of each order, as the smoothing method counts
    parameters: dict[str, list[float]]  # of the smoothing method by name, one value for each order
    unpruned: int  # distinct n-grams of all orders before pruning

    @property
    def sizes(self) -> list[int]:
        """The number of distinct n-grams of each order that the model holds."""
        return [len(table) for table in self.model.tables]


def fit_ngrams(
    settings: TrainSettings, vocabulary: Vocabulary, splits: Mapping[str, Split], given: BackoffModel | None = None
) -> NgramFit:
    """Fits the n-gram model of the settings; for a net the bigram that it is compared with.

    `given`: the model, if it was read from a file; then train is only counted. Raises BadInput.
    """
    wanted, packing, train = settings.model, Packing(len(vocabulary)), splits["train"]
    order = wanted.order if isinstance(wanted, Count) else 2
    highest = max(2, order)  # the pictures of a unigram model show pairs too
    if (address := settings.cluster.address) is not None:
        counted = count_on_cluster(train, packing, highest, address)
    else:
        counted = count_ngrams(train.blocks(highest - 1), packing, highest)
    occurrences = tables_by_order(counted)
    pairs, occurrences = occurrences[1], occurrences[:order]
    if given is not None:
        return NgramFit(given, pairs, counted, [], {}, sum(map(len, given.tables)))

    assert settings.smoothing is not None
    counts, val = TrainCounts(occurrences, lambda: first_appearance(train.blocks(1), packing.vocab_size)), None
    if settings.smoothing.needs_val and "val" in splits:
        val = count_ngrams(splits["val"].blocks(max(1, order - 1)), packing, order)
    smoothing = estimate(settings.smoothing, counts, val)
    tables = smoothing.tables(counts)
    counts_of_counts = [table.counts_of_counts for table in tables]  # as discounts were estimated, before pruning
    if isinstance(wanted, Count):
        tables = prune_by_count(tables, occurrences, wanted)
    model: CountModel | BackoffModel = CountModel(vocabulary, tables, smoothing)
    if isinstance(wanted, Count) and wanted.prune_entropy is not None:
        model = BackoffModel(vocabulary, prune_by_entropy(model.backoff_tables(), wanted.prune_entropy))
    unpruned = sum(map(len, occurrences))
    return NgramFit(model, pairs, counted, counts_of_counts, smoothing.named_parameters(), unpruned)


def prune_by_count(tables: Sequence[CountTable], occurrences: Sequence[CountTable], model: Count) -> list[CountTable]:
    """Removes the n-grams that occur no more often than model.prune says, whatever their continuation counts are."""
    pairs = zip(tables, occurrences, strict=True)
    return [table.keep(raw.counts > most) if (most := model.threshold(raw.order)) else table for table, raw in pairs]
