"""Random numbers that no library version changes: torch's CPU stream without torch, and one stream per document."""

import numpy as np


class TorchStream:
    """The numbers that `torch.rand(dtype=torch.float64)` draws on the CPU after `manual_seed(seed)`, without torch.

    Both seed the Mersenne twister (Matsumoto and Nishimura 1998) alike, so the raw 32-bit draws are equal. numpy has
    frozen its legacy RandomState, so these numbers stay what they are.
    """

    def __init__(self, seed: int) -> None:
        self._twister = np.random.RandomState(seed)

    def raw(self, n: int) -> np.ndarray:
        """(n,) uint32."""
        return self._twister.randint(0, 2**32, size=n, dtype=np.uint32)

    def uniform(self, n: int) -> np.ndarray:
        """(n,) float64 in [0, 1): the low 53 bits of two 32-bit draws."""
        high, low = self.raw(2 * n).astype(np.uint64).reshape(n, 2).T
        return ((high << np.uint64(32) | low) & np.uint64(2**53 - 1)).astype(np.float64) * 2.0**-53


def randperm(n: int, seed: int) -> list[int]:
    """`torch.randperm(n)` on the CPU after `manual_seed(seed)`: for i < n - 1 swap r[i] with r[i + draw % (n - i)]."""
    order = list(range(n))
    jumps = TorchStream(seed).raw(max(n - 1, 0)).astype(np.int64) % np.arange(n, 1, -1)
    for i, jump in enumerate(jumps.tolist()):
        order[i], order[i + jump] = order[i + jump], order[i]
    return order


def document_uniform(seed: int, documents: np.ndarray, step: int) -> np.ndarray:
    """(B,) float64 in [0, 1): number `step` of the stream of each document; other documents do not change it.

    SplitMix64 (Steele, Lea and Flood 2014) as a hash of (seed, document, step).
    """
    state = _mix(np.asarray(documents, dtype=np.uint64) + _mix(np.uint64(seed) + _GOLDEN))
    with np.errstate(over="ignore"):
        draw = _mix(state + _GOLDEN * np.uint64(step + 1))
    return (draw >> np.uint64(11)).astype(np.float64) * 2.0**-53


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: np.ndarray | np.uint64) -> np.ndarray:
    with np.errstate(over="ignore"):
        z = np.asarray(z, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))
