"""The random numbers against torch's own, and the streams of documents against the published SplitMix64."""

import numpy as np
import pytest
import torch

from nextchar.rng import TorchStream, document_uniform, randperm


@pytest.mark.parametrize("seed", [0, 42, 3407, 2147483647, 2**32 - 1])
def test_uniform_is_torchs_rand(seed):
    expected = torch.rand(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    stream = TorchStream(seed)
    assert np.concatenate([stream.uniform(1), stream.uniform(999)]).tolist() == expected.tolist()


@pytest.mark.parametrize("n", [0, 1, 2, 10, 32_033])
def test_randperm_is_torchs(n):
    assert randperm(n, 3407) == torch.randperm(n, generator=torch.Generator().manual_seed(3407)).tolist()


def splitmix64(z):
    """One step of the finaliser in plain integers (Steele, Lea and Flood 2014, figure 16)."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def test_document_streams_are_splitmix64():
    golden = 0x9E3779B97F4A7C15
    for seed, document, step in [(0, 0, 0), (1, 2, 3), (2**32 - 1, 10**9, 10**6)]:
        state = splitmix64((document + splitmix64((seed + golden) % 2**64)) % 2**64)
        draw = splitmix64((state + golden * (step + 1)) % 2**64)
        assert document_uniform(seed, np.array([document]), step)[0] == (draw >> 11) * 2.0**-53


def test_document_streams_are_uniform_and_apart():
    """Mean, and correlation between neighbours in document, step and seed, within four standard errors."""
    n = 100_000
    draws = [document_uniform(s, np.arange(n) + d, t) for s, d, t in [(1, 0, 0), (1, 1, 0), (1, 0, 1), (2, 0, 0)]]
    for values in draws:
        assert abs(values.mean() - 0.5) < 4 * np.sqrt(1 / 12 / n)
        assert 0 <= values.min() < values.max() < 1
    for other in draws[1:]:
        assert abs(np.corrcoef(draws[0], other)[0, 1]) < 4 / np.sqrt(n)
