"""What each order of an n-gram model is worth on a text: its loss alone, and how much of the text it has seen."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from nextchar.data.encoded import Block
from nextchar.data.vocabulary import Ids
from nextchar.models.base import Floats, LanguageModel
from nextchar.models.ngram.counts import Counted, count
from nextchar.models.ngram.keys import Packing

READ_AT_ONCE = 1 << 18  # distinct windows; bounds the (order, windows) tables
GROUP = "x_is_order"  # of tags: what TensorBoard calls a step is the order here. It comes after all others


@dataclass(frozen=True)
class Worth:
    """A value an order, order 1 first: (order,) float64 each.

    `loss`: nats per character of the order alone. `contexts`, `ngrams`: the shares of the characters before which all
    that the order looks at was seen in training, and which was seen there themselves.
    """

    loss: Floats
    contexts: Floats
    ngrams: Floats


def worth(model: LanguageModel, windows: Counted) -> Worth:
    """Of each order of a model that has some, on a text of which the windows were `counted`."""
    packing, k, sums = Packing(len(model.vocabulary)), model.context + 1, np.zeros((3, 1))
    for start in range(0, len(windows), READ_AT_ONCE):
        part = slice(start, start + READ_AT_ONCE)
        symbols, n = packing.unpack(windows.keys[part], k), windows.counts[part].astype(np.float64)
        found = model.by_order(symbols[:, :-1], symbols[:, -1])
        assert found is not None
        shares = [_reaching(longest, found.length, n, len(found.log_probs)) for longest in (found.known, found.seen)]
        sums = sums + np.stack([-found.log_probs @ n, *shares])
    return Worth(*sums / windows.total)


def _reaching(longest: Ids, length: Ids, n: Floats, orders: int) -> Floats:
    """(orders,): in how many of n cases each reached so far as it looks, or as there is anything to look at."""
    whole = longest == length
    by_longest = np.bincount(longest[~whole], n[~whole], minlength=orders + 1)
    reached: Floats = n[whole].sum() + np.cumsum(by_longest[::-1])[::-1][1:]
    return reached


def counted(pieces: Iterable[Block], model: LanguageModel) -> Counted:
    """The windows of a text, one symbol longer than the model's context."""
    return count(pieces, Packing(len(model.vocabulary)), model.context + 1)


def has_orders(model: LanguageModel) -> bool:
    nothing = np.zeros((1, model.context), dtype=np.int64)
    return model.by_order(nothing, nothing[:, 0]) is not None


@dataclass(frozen=True)
class Report:
    """What is drawn over the orders.

    `worths`: by part. `parameters`: of the smoothing method, by name, a value an order. `occurring`: for each order how
    many n-grams occur once, twice, three and four times, as the method counts them.
    """

    worths: dict[str, Worth]
    parameters: dict[str, list[float]]
    occurring: list[list[int]]

    @property
    def highest(self) -> int:
        return len(self.worths["train"].loss)

    def used(self) -> dict[str, list[float]]:
        """The parameters that do something at some order."""
        return {name: values for name, values in self.parameters.items() if any(values)}

    def losses(self) -> dict[str, Floats]:
        """Tag -> a value an order."""
        return {f"{GROUP}/{name}_loss": worth.loss for name, worth in self.worths.items()}

    def curves(self) -> dict[str, Floats]:
        """Tag -> a value an order, of all that there is."""
        found = self.losses()
        held_out = {name: worth for name, worth in self.worths.items() if name != "train"}  # of train all is seen
        found |= {f"{GROUP}/{name}_contexts_seen": worth.contexts for name, worth in held_out.items()}
        found |= {f"{GROUP}/{name}_ngrams_seen": worth.ngrams for name, worth in held_out.items()}
        found |= {f"{GROUP}/smoothing_{name}": np.array(values) for name, values in self.used().items()}
        for i, row in enumerate(zip(*self.occurring, strict=True), 1):
            found[f"{GROUP}/ngrams_occurring_{i}x"] = np.array(row, dtype=np.float64)
        return found
