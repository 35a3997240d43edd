"""The value of each order of an n-gram model on a text: the loss that it would have alone, and how much it has seen."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nextchar.data.encoded import Split
from nextchar.data.vocabulary import Ids
from nextchar.models.base import Floats
from nextchar.models.ngram.backoff import BackoffModel
from nextchar.models.ngram.counts import CountTable, count_ngrams
from nextchar.models.ngram.fit import NgramFit
from nextchar.models.ngram.model import CountModel

SCORED_AT_ONCE = 1 << 18  # distinct n-grams; bounds the (order, n-grams) arrays
GROUP = "x_is_order"  # prefix of the tags: on these charts TensorBoard's steps are orders. It sorts after all others


@dataclass(frozen=True)
class OrderMetrics:
    """Metrics of the orders k = 1, 2, ... on one split, (order,) each."""

    loss: Floats  # nats per character of P_k
    contexts_seen: Floats  # the share of characters whose context of k - 1 symbols was seen in training
    ngrams_seen: Floats  # the share of characters that were seen there after this context


def measure_orders(model: CountModel | BackoffModel, text: CountTable) -> OrderMetrics:
    """Measures the orders of a model on a text, given as its n-grams of `model.context` + 1 ids."""
    sums = np.zeros((3, 1))
    for start in range(0, len(text), SCORED_AT_ONCE):
        part = slice(start, start + SCORED_AT_ONCE)
        ids, n = text.packing.unpack(text.keys[part], text.order), text.counts[part].astype(np.float64)
        found = model.by_order(ids[:, :-1], ids[:, -1])
        longest = found.longest_context, found.longest_ngram
        seen = [_seen_by_order(each, found.longest_possible, n, model.order) for each in longest]
        sums = sums + np.stack([-found.log_probs @ n, *seen])  # (3, order)
    return OrderMetrics(*sums / text.total)


def _seen_by_order(longest: Ids, possible: Ids, n: Floats, orders: int) -> Floats:
    """Returns (orders,) in how many of n cases the longest one seen has the length of the order, or all possible."""
    whole = longest == possible
    by_longest = np.bincount(longest[~whole], n[~whole], minlength=orders + 1)
    seen: Floats = n[whole].sum() + np.cumsum(by_longest[::-1])[::-1][1:]
    return seen


@dataclass(frozen=True)
class OrderReport:
    """All that is drawn by order."""

    metrics: dict[str, OrderMetrics]  # by split
    parameters: dict[str, list[float]]  # of the smoothing method by name, one value for each order
    counts_of_counts: list[list[int]]  # for each order n_1 to n_4, as the smoothing method counts

    def used_parameters(self) -> dict[str, list[float]]:
        """Returns the parameters that are not 0 at every order."""
        return {name: values for name, values in self.parameters.items() if any(values)}

    def losses(self) -> dict[str, Floats]:
        """Returns tag -> (order,) the loss on each split."""
        return {f"{GROUP}/{split}_loss": metrics.loss for split, metrics in self.metrics.items()}

    def curves(self) -> dict[str, Floats]:
        """Returns tag -> (order,) all values for TensorBoard."""
        curves = self.losses()
        held_out = {split: each for split, each in self.metrics.items() if split != "train"}  # all of train was seen
        curves |= {f"{GROUP}/{split}_contexts_seen": each.contexts_seen for split, each in held_out.items()}
        curves |= {f"{GROUP}/{split}_ngrams_seen": each.ngrams_seen for split, each in held_out.items()}
        curves |= {f"{GROUP}/smoothing_{name}": np.array(values) for name, values in self.used_parameters().items()}
        for times, row in enumerate(zip(*self.counts_of_counts, strict=True), 1):
            curves[f"{GROUP}/ngrams_occurring_{times}x"] = np.array(row, dtype=np.float64)
        return curves


def order_report(splits: Mapping[str, Split], counting: NgramFit) -> OrderReport:
    """Measures the orders of a counted model on each split, each distinct one once; train is not counted again."""
    model, measured = counting.model, dict[int, OrderMetrics]()  # by id(): data.split=all is one split of three names
    for name, split in splits.items():
        if id(split) not in measured:
            text = counting.train
            if name != "train" or text.order != model.context + 1:  # a model from a file may read more than was counted
                text = count_ngrams(split.blocks(model.context), model.packing, model.context + 1)
            measured[id(split)] = measure_orders(model, text)
    by_split = {name: measured[id(split)] for name, split in splits.items()}
    return OrderReport(by_split, counting.parameters, counting.counts_of_counts)
