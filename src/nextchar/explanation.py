"""How a model reads a text: what it expected at each character, and what came."""

from typing import NamedTuple

import numpy as np

from nextchar.language_model import LanguageModel, windows
from nextchar.vocabulary import BOUNDARY

ALTERNATIVES = 5


class Step(NamedTuple):
    """One prediction: what was read, what came, how likely it was and what was likelier."""

    context: str
    char: str
    probability: float
    log_prob: float
    rank: int  # 1 = the most probable character
    best: tuple[tuple[str, float], ...]  # the most probable characters, best first


def explain(model: LanguageModel, text: str, what: str, ends: bool = True) -> list[Step]:
    """A document of N characters -> N steps, and one for its end where `ends`.

    Raises BadInput, naming `what`, where the vocabulary lacks a character.
    """
    symbols = model.vocabulary.symbols
    ids = np.concatenate([[BOUNDARY], model.vocabulary.known(text, what), [BOUNDARY] * ends]).astype(np.int64)
    contexts = windows(ids, model.context)
    log_probs = model.log_probs(contexts)
    order = np.argsort(-log_probs, axis=1, kind="stable")
    steps = []
    for i, wanted in enumerate(ids[1:]):
        seen = contexts[i][max(0, model.context - i - 1) :]
        best = tuple((symbols[j], float(np.exp(log_probs[i, j]))) for j in order[i, :ALTERNATIVES])
        value = float(log_probs[i, wanted])
        rank = int(np.flatnonzero(order[i] == wanted)[0]) + 1
        steps.append(Step("".join(symbols[j] for j in seen), symbols[wanted], float(np.exp(value)), value, rank, best))
    return steps


def mean_nll(steps: list[Step]) -> float:
    """Nats per character."""
    return -float(np.mean([step.log_prob for step in steps]))
