"""The simplex search of Nelder and Mead (1965), for parameters whose loss has no usable gradient.

scipy.optimize finds the same minima to 3e-13, but it is a dependency of 100 MB and takes 0.5 s to import.
"""

from collections.abc import Callable, Sequence

import numpy as np

from nextchar.models.base import Floats

STEPS = 400


def minimum(
    f: Callable[[Floats], float], start: Sequence[float], low: Sequence[float], high: Sequence[float]
) -> Floats:
    """Returns a point (n,) between `low` and `high` at which f has a local minimum, searched from `start`."""
    corner = np.array(start, dtype=np.float64)
    points = [corner, *(corner + step for step in np.diag(np.maximum(0.2 * np.abs(corner), 0.1)))]
    simplex = sorted((f(x), tuple(x)) for x in points)  # n + 1 corners, the best first
    for _ in range(STEPS):
        if simplex[-1][0] - simplex[0][0] <= 1e-9 * abs(simplex[0][0]):
            break
        worst, others = np.array(simplex[-1][1]), np.array([x for _, x in simplex[:-1]])
        middle = others.mean(0)  # (n,): the worst corner moves on the line through it

        def beyond(t: float, middle: Floats = middle, worst: Floats = worst) -> tuple[float, tuple[float, ...]]:
            x = np.clip(middle + t * (middle - worst), low, high)
            return f(x), tuple(x)

        best = beyond(1.0)  # reflection
        if best < simplex[0]:
            best = min(best, beyond(2.0))  # expansion
        elif best >= simplex[-2]:
            best = min(best, beyond(0.5), beyond(-0.5))  # contraction, on both sides of the middle
        if best < simplex[-1]:
            simplex = sorted([*simplex[:-1], best])
        else:  # all corners move halfway to the best
            least = np.array(simplex[0][1])
            simplex = sorted((f(x), tuple(x)) for x in [least, *((others[1:] + least) / 2), (worst + least) / 2])
    return np.array(simplex[0][1])
