"""Fixtures of the tests of pictures: steps of an explanation, symbols that are hard to draw, a check of a picture."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from nextchar.evaluation.explain import Step


@pytest.fixture(scope="session")
def odd_symbols() -> list[str]:
    """Markup, white space, control characters, other scripts, and half a character."""
    return [
        "∎",
        "$",
        "$_^{}\\",
        " ",
        "\n",
        "\t",
        "\x1b",
        "\0",
        "\x9b",
        "\u202e",
        "\u0301",
        "ß",
        "م",
        "ष",
        "中",
        "🙂",
        "\ud800",
    ]


@pytest.fixture(scope="session")
def step() -> Callable[..., Step]:
    """Makes one step of an explanation."""

    def make(char: str = "a", probability: float = 0.25, best: Sequence[str] = "abcde", context: str = ".") -> Step:
        with np.errstate(divide="ignore"):
            log = float(np.log(probability))
        return Step(context, char, probability, log, 3, tuple((symbol, 0.2) for symbol in best))

    return make


@pytest.fixture(scope="session")
def is_picture() -> Callable[[np.ndarray], bool]:
    """(H, W, 3) bytes, white at the edges, something on it, small enough for TensorBoard."""

    def check(picture: np.ndarray) -> bool:
        assert picture.dtype == np.uint8
        height, width, channels = picture.shape
        assert channels == 3
        assert 60 < height < 4500
        assert 200 < width < 2100
        edges = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert (edges == 255).all()
        return bool((picture < 128).any())

    return check
