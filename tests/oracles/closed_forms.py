"""Texts whose loss has a closed form."""

import math

import numpy as np
from makemore import documents as with_bigrams


def de_bruijn(characters):
    """Documents in which every pair of symbols, the boundary included, occurs once: no symbol predicts the next.

    The loss of a bigram is ln V, with any smoothing that treats all symbols alike. One document is empty.
    """
    alphabet = ["\n", *characters]
    v = len(alphabet)
    # The greedy sequence of Martin 1934: append the largest symbol that has not yet followed the last one.
    left, line = [list(range(v)) for _ in range(v)], [0]
    while left[line[-1]]:
        line.append(left[line[-1]].pop())
    return "".join(alphabet[i] for i in line)[1:-1].split("\n")


CHAIN = [  # counts of the symbol after ., a, b, c; rows and columns have equal sums
    [0, 120, 60, 20],
    [40, 80, 200, 80],
    [100, 120, 80, 100],
    [60, 80, 60, 40],
]


def chain(times=1):
    """Documents whose pairs have the counts `times` * CHAIN."""
    return with_bigrams(times * np.array(CHAIN), [".", "a", "b", "c"])


def chain_entropy():
    """Nats a symbol of the stationary Markov chain with these transitions: sum over x of pi(x) H(x)."""
    total = sum(map(sum, CHAIN))
    return -sum(n / total * math.log(n / sum(row)) for row in CHAIN for n in row if n)


def chain_sample(n, rng):
    """n documents sampled from the chain by a random.Random; their counts vary."""
    drawn = []
    for _ in range(n):
        line = [0]
        while len(line) == 1 or line[-1] != 0:
            line += rng.choices(range(4), CHAIN[line[-1]])
        drawn.append("".join(".abc"[i] for i in line[1:-1]))
    return drawn
