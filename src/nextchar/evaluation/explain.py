"""How a model reads a text: what it expected at each character, and what came."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nextchar.data.vocabulary import BOUNDARY
from nextchar.models.base import LanguageModel, windows

ALTERNATIVES = 5
MOST_ORDERS = 20  # that are shown side by side


class Step(NamedTuple):
    """One prediction: what was read, what came, how likely it was and what was likelier."""

    context: str
    char: str
    probability: float
    log_prob: float
    rank: int  # 1 = the most probable character
    best: tuple[tuple[str, float], ...]  # the most probable characters, best first
    order: int | None = None  # of an n-gram model: symbols of the longest n-gram that it has seen here, 0 for none
    by_order: tuple[float, ...] = ()  # the probability that each order alone gives, of those that reach no further back


def explain(model: LanguageModel, text: str, what: str, ends: bool = True) -> list[Step]:
    """A document of N characters -> N steps, and one for its end where `ends`.

    Raises BadInput, naming `what`, where the vocabulary lacks a character.
    """
    symbols = model.vocabulary.symbols
    ids = np.concatenate([[BOUNDARY], model.vocabulary.known(text, what), [BOUNDARY] * ends]).astype(np.int64)
    contexts = windows(ids, model.context)
    log_probs = model.log_probs(contexts)
    ranking = np.argsort(-log_probs, axis=1, kind="stable")
    read = np.minimum(np.arange(len(ids) - 1) + 1, model.context)  # symbols
    orders = model.by_order(contexts, ids[1:])
    if orders is not None:
        read = orders.length - 1
    steps = []
    for i, wanted in enumerate(ids[1:]):
        context = "".join(symbols[j] for j in contexts[i, model.context - read[i] :])
        best = tuple((symbols[j], float(np.exp(log_probs[i, j]))) for j in ranking[i, :ALTERNATIVES])
        value = float(log_probs[i, wanted])
        rank = int(np.flatnonzero(ranking[i] == wanted)[0]) + 1
        step = Step(context, symbols[wanted], float(np.exp(value)), value, rank, best)
        if orders is not None:
            alone = np.exp(orders.log_probs[: read[i] + 1, i])
            step = step._replace(order=int(orders.seen[i]), by_order=tuple(alone.tolist()))
        steps.append(step)
    return steps


def mean_nll(steps: list[Step]) -> float:
    """Nats per character."""
    return -float(np.mean([step.log_prob for step in steps]))


def telling(steps: Sequence[Step]) -> int:
    """How many orders are worth showing beside the whole model: those above repeat what they are told from below."""
    found = [k for step in steps for k, p in enumerate(step.by_order, 1) if k > 1 and p != step.by_order[k - 2]]
    return min(max(found, default=0), MOST_ORDERS)


def in_percent(probability: float) -> str:
    """In at most four characters: 100, 12, 1.2, 0.12, <.01."""
    share = 100 * probability
    if share < 0.01:
        return "<.01" if share > 0 else "0"
    if share < 0.995:
        return f"{share:.2f}"
    return f"{share:.1f}" if share < 9.95 else f"{share:.0f}"
