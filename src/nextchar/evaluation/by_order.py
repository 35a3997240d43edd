"""The value of each order of an n-gram model on a text: the loss that it would have alone, and how much it has seen."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nextchar.data.encoded import Block
from nextchar.data.vocabulary import Ids
from nextchar.models.base import Floats, LanguageModel
from nextchar.models.ngram.counts import NgramCounts, count_ngrams
from nextchar.models.ngram.keys import Packing

SCORED_AT_ONCE = 1 << 18  # distinct n-grams; bounds the (order, n-grams) arrays
GROUP = "x_is_order"  # prefix of the tags: on these charts TensorBoard's steps are orders. It sorts after all others


@dataclass(frozen=True)
class OrderMetrics:
    """Metrics of the orders 1, 2, ... on one split, (order,) float64 each.

    `loss`: nats per character of P_k. `contexts_seen`: the share of characters whose context of k - 1 symbols was seen
    in training; `ngrams_seen`: the share of those that were seen there after this context.
    """

    loss: Floats
    contexts_seen: Floats
    ngrams_seen: Floats


def measure_orders(model: LanguageModel, text: NgramCounts) -> OrderMetrics:
    """Measures the orders of a model on a text, of which the n-grams were counted."""
    packing, k, sums = Packing(len(model.vocabulary)), model.context + 1, np.zeros((3, 1))
    for start in range(0, len(text), SCORED_AT_ONCE):
        part = slice(start, start + SCORED_AT_ONCE)
        ids, n = packing.unpack(text.keys[part], k), text.counts[part].astype(np.float64)
        found = model.by_order(ids[:, :-1], ids[:, -1])
        assert found is not None
        seen = [
            _seen_by_order(longest, found.longest_possible, n, len(found.log_probs))
            for longest in (found.longest_context, found.longest_ngram)
        ]
        sums = sums + np.stack([-found.log_probs @ n, *seen])
    return OrderMetrics(*sums / text.total)


def _seen_by_order(longest: Ids, possible: Ids, n: Floats, orders: int) -> Floats:
    """Returns (orders,) in how many of n cases the longest one seen has the length of the order, or all possible."""
    whole = longest == possible
    by_longest = np.bincount(longest[~whole], n[~whole], minlength=orders + 1)
    seen: Floats = n[whole].sum() + np.cumsum(by_longest[::-1])[::-1][1:]
    return seen


def count_for(model: LanguageModel, blocks: Iterable[Block]) -> NgramCounts:
    """Counts the n-grams of a text that are one symbol longer than the model's context."""
    return count_ngrams(blocks, Packing(len(model.vocabulary)), model.context + 1)


def has_orders(model: LanguageModel) -> bool:
    empty = np.zeros((1, model.context), dtype=np.int64)
    return model.by_order(empty, empty[:, 0]) is not None


@dataclass(frozen=True)
class OrderReport:
    """All that is drawn by order.

    `metrics`: by split. `parameters`: of the smoothing method by name, one value for each order. `counts_of_counts`:
    for each order how many n-grams occur once, twice, three and four times, as the smoothing method counts.
    """

    metrics: dict[str, OrderMetrics]
    parameters: dict[str, list[float]]
    counts_of_counts: list[list[int]]

    @property
    def highest(self) -> int:
        return len(self.metrics["train"].loss)

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
