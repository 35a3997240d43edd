"""Count statistics of n-grams: all that a smoothing method sees of a text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nextchar.data.vocabulary import Ids
from nextchar.models.ngram.counts import CountTable
from nextchar.models.ngram.keys import Bools, Keys, Packing, look_up, run_starts


@dataclass(frozen=True)
class NgramStatistics:
    """Statistics of U n-grams h w of order k, each a symbol w after a context h; 0 where unseen."""

    counts: Ids  # (U,): c(h w)
    totals: Ids  # (U,): C = sum of c(h v) over all symbols v, pruned n-grams included
    types: Ids  # (U, 3): how many symbols follow h once, twice, three times or more
    pruned: Ids  # (U,), or (1,) 0: the part of C that belongs to pruned n-grams
    shorter: Ids  # (U,): the index of h' w, which lacks the oldest symbol, among the n-grams of order k - 1
    is_padded: Bools  # (U,): the document begins inside of h w, which makes it an n-gram of order k - 1
    context_index: Ids  # (U,): equal for n-grams of one context, ascending from 0


def statistics_by_order(tables: Sequence[CountTable], keys: Keys, whole_rows: bool = False) -> list[NgramStatistics]:
    """Returns the statistics of distinct, sorted n-grams of the highest order, and of their endings in all lower ones.

    `whole_rows`: the n-grams are those of all V symbols after each context, which saves sorting.
    """
    found: list[NgramStatistics] = []
    for table in reversed(tables):
        packing, k = table.packing, table.order
        if whole_rows and k > 1:
            shorter, index = _shorter_rows(keys, packing, k)
        else:
            shorter, index = packing.distinct(packing.shorter(keys, k), k - 1)
        found.append(_statistics(table, keys, index))
        keys = shorter
    return found[::-1]


def _shorter_rows(keys: Keys, packing: Packing, k: int) -> tuple[Keys, Ids]:
    """Does for whole rows of V n-grams what `distinct` does for any: only the contexts need to be sorted."""
    v = packing.vocab_size
    contexts, index = packing.distinct(packing.shorter(packing.context(keys[::v], k), k - 1), k - 2)
    return packing.all_extended(contexts, k - 1), (index[:, None] * v + np.arange(v)).ravel()


def _statistics(table: CountTable, keys: Keys, shorter: Ids) -> NgramStatistics:
    packing, k, known = table.packing, table.order, table.contexts
    contexts = packing.context(keys, k)
    starts = run_starts(contexts)
    distinct = contexts[starts]  # each is looked up once for all of its n-grams
    context_index = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(keys)))
    pruned = np.zeros(1, dtype=np.int64)
    if table.pruned is not None:
        pruned = look_up(known.keys, table.pruned, distinct, 0)[context_index]
    return NgramStatistics(
        counts=look_up(table.keys, table.counts, keys, 0),
        totals=look_up(known.keys, known.totals, distinct, 0)[context_index],
        types=look_up(known.keys, known.types, distinct, 0)[context_index],
        pruned=pruned,
        shorter=shorter,
        is_padded=packing.is_padded(keys, k),
        context_index=context_index,
    )
