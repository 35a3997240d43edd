"""How a model reads a text: at each position the distribution it predicts and the character that follows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nextchar.data.vocabulary import BOUNDARY
from nextchar.models.base import LanguageModel, contexts_before

ALTERNATIVES = 5
MOST_ORDERS = 20  # shown side by side


class Step(NamedTuple):
    """One prediction: its context, the character that follows, and the probabilities of this and of the top ones."""

    context: str
    char: str
    probability: float
    log_prob: float
    rank: int  # 1 = the most probable character
    best: tuple[tuple[str, float], ...]  # the most probable characters, in descending order
    order: int | None = None  # n-gram models: length of the longest n-gram seen in training, 0 for none
    by_order: tuple[float, ...] = ()  # n-gram models: probability under each order alone, as far as the document goes


def explain(model: LanguageModel, text: str, name: str, ends: bool = True) -> list[Step]:
    """A document of N characters -> N steps, and one for its end where `ends`.

    Raises BadInput, which calls the text `name`, where the vocabulary lacks a character.
    """
    symbols = model.vocabulary.symbols
    ids = np.concatenate([[BOUNDARY], model.vocabulary.known(text, name), [BOUNDARY] * ends]).astype(np.int64)
    contexts = contexts_before(ids, model.context)  # (N, context)
    log_probs = model.log_probs(contexts)  # (N, V)
    probs, ranking = np.exp(log_probs), np.argsort(-log_probs, axis=1, kind="stable")
    orders = model.by_order(contexts, ids[1:])
    # (N,) ids of a context that are not padding
    length = np.minimum(np.arange(1, len(ids)), model.context) if orders is None else orders.longest_possible - 1
    steps = []
    for i, next_id in enumerate(ids[1:]):
        step = Step(
            context="".join(symbols[j] for j in contexts[i, model.context - length[i] :]),
            char=symbols[next_id],
            probability=float(probs[i, next_id]),
            log_prob=float(log_probs[i, next_id]),
            rank=int(np.flatnonzero(ranking[i] == next_id)[0]) + 1,
            best=tuple((symbols[j], float(probs[i, j])) for j in ranking[i, :ALTERNATIVES]),
        )
        if orders is not None:
            alone = np.exp(orders.log_probs[: length[i] + 1, i])
            step = step._replace(order=int(orders.longest_ngram[i]), by_order=tuple(alone.tolist()))
        steps.append(step)
    return steps


def mean_nll(steps: Sequence[Step]) -> float:
    """Nats per character."""
    return -float(np.mean([step.log_prob for step in steps]))


def orders_to_show(steps: Sequence[Step]) -> int:
    """The number of orders to display: higher ones back off at every step and repeat the probability below them."""
    differing = [k for step in steps for k, p in enumerate(step.by_order, 1) if k > 1 and p != step.by_order[k - 2]]
    return min(max(differing, default=0), MOST_ORDERS)


def in_percent(probability: float) -> str:
    """At most four characters: 100, 12, 1.2, 0.12, <.01."""
    percent = 100 * probability
    if percent < 0.01:
        return "<.01" if percent > 0 else "0"
    if percent < 0.995:
        return f"{percent:.2f}"
    return f"{percent:.1f}" if percent < 9.95 else f"{percent:.0f}"
