"""Heat maps: their shape, their colours, and that no character breaks them."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nextchar.plots.breakdown import breakdown
from nextchar.plots.drawing import png, visible
from nextchar.plots.matrices import count_matrix, probability_matrix

LETTERS = [".", *"abcdefghijklmnopqrstuvwxyz"]
SYMBOLS = {1: ["."], 3: [".", "a", "$"], 27: LETTERS, 200: ["∎", *map(chr, range(0x4E00, 0x4E00 + 199))]}


def random_counts(v: int) -> np.ndarray:
    return np.random.default_rng(v).integers(0, 5000, (v, v))


def random_probs(v: int) -> np.ndarray:
    return np.random.default_rng(v).dirichlet(np.full(v, 0.3), v)


def drawn(probs: np.ndarray, symbols: list[str], **options: Any) -> np.ndarray:
    """The picture of probabilities of equally frequent symbols."""
    return probability_matrix(probs, symbols, np.ones(len(symbols)), **options)


@pytest.mark.parametrize("v", SYMBOLS)
def test_matrices_of_all_sizes(v: int, is_picture: Any) -> None:
    assert is_picture(count_matrix(random_counts(v), SYMBOLS[v]))
    assert is_picture(drawn(random_probs(v), SYMBOLS[v]))


def test_nothing_at_all_and_one_pair(is_picture: Any) -> None:
    assert is_picture(count_matrix(np.zeros((3, 3), dtype=np.int64), SYMBOLS[3]))
    assert is_picture(drawn(np.full((3, 3), np.nan), SYMBOLS[3]))
    assert is_picture(drawn(np.eye(3), SYMBOLS[3]))


def test_odd_symbols(odd_symbols: list[str], is_picture: Any) -> None:
    """No warning is raised (a warning fails a test here), no character acts as markup or turns the text around."""
    v = len(odd_symbols)
    assert is_picture(count_matrix(random_counts(v), odd_symbols))
    assert is_picture(drawn(random_probs(v), odd_symbols, rows="$x^2$"))


def test_odd_symbols_are_made_visible(odd_symbols: list[str]) -> None:
    drawn = [r"␣", r"⏎", r"⇥", r"\x1b", r"\x00", r"\x9b", r"\u202e"]
    drawn += ["◌\u0301", "ß", "م", "U+0937", "U+4E2D", "U+1F642", r"\ud800"]
    assert [visible(symbol) for symbol in odd_symbols[3:]] == drawn
    assert visible("$_^{}") == "$_^{}"


def test_same_input_same_bytes(step: Any) -> None:
    counts, probs, steps = random_counts(27), random_probs(27), [step(), step("b", 0.5)]
    for draw in (
        lambda: count_matrix(counts, LETTERS),
        lambda: drawn(probs, LETTERS),
        lambda: breakdown("ab", steps),
    ):
        assert png(draw()) == png(draw())


def test_png_keeps_every_pixel(step: Any) -> None:
    picture = breakdown("a", [step()])
    assert np.array_equal(np.array(Image.open(io.BytesIO(png(picture)))), picture)


def cells(picture: np.ndarray, v: int) -> np.ndarray:
    """(v, v) darkness of the cells of a count matrix, taken at a corner where no text stands."""
    is_cell = (picture != 255).any(axis=2)
    is_cell[:112] = False  # the headline
    rows, columns = np.flatnonzero(is_cell.any(axis=1)), np.flatnonzero(is_cell.any(axis=0))
    top, left, size = rows[0], columns[0], (rows[-1] + 1 - rows[0]) / v
    corner = (np.arange(v) * size + 2).astype(int)
    return 3 * 255 - picture[np.ix_(top + corner, left + corner)].sum(axis=2, dtype=int)


def test_colour_grows_with_the_count() -> None:
    counts = np.arange(81).reshape(9, 9) * 10
    dark = cells(count_matrix(counts, LETTERS[:9]), 9).ravel()
    assert (np.diff(dark) >= 0).all()
    assert dark[0] < dark[30] < dark[60] < dark[80]
    equal = cells(count_matrix(np.full((9, 9), 7), LETTERS[:9]), 9)
    assert len(set(equal.ravel())) == 1


def test_every_cell_shows_its_own_pair_and_count() -> None:
    """A count that is one more, with the same colours, changes the inside of its own cell and nothing else."""
    counts = np.full((5, 5), 1000)
    counts[0, 0] = 100_000  # sets the colours
    before = count_matrix(counts, LETTERS[:5])
    counts[2, 3] += 1
    counts[0, 0] -= 1  # the sum in the headline stays
    after = count_matrix(counts, LETTERS[:5])
    rows, columns = np.nonzero((before != after).any(axis=2))
    size, left, top = 160, (before.shape[1] - 5 * 160) // 2, 112
    places = {((row - top) // size, (column - left) // size) for row, column in zip(rows, columns, strict=True)}
    assert places == {(0, 0), (2, 3)}


def test_the_most_frequent_are_shown_and_the_boundary_always() -> None:
    """32 of 200 wide symbols: the pair that occurs, and as many of those that do not as there is room for."""
    counts = np.zeros((200, 200), dtype=np.int64)
    counts[150, 151] = 9
    limited = count_matrix(counts, SYMBOLS[200])
    ids = [*range(30), 150, 151]
    few = count_matrix(counts[np.ix_(ids, ids)], [SYMBOLS[200][i] for i in ids])
    assert np.array_equal(limited[112:], few[112:])
    assert not np.array_equal(limited[:112], few[:112])  # the headline says "32 of 200"
    probs, frequency = random_probs(200), counts.sum(axis=0) + counts.sum(axis=1)
    shown = probability_matrix(probs, SYMBOLS[200], frequency)
    chosen = probability_matrix(probs[np.ix_(ids, ids)], [SYMBOLS[200][i] for i in ids], frequency[ids])
    assert np.array_equal(shown[112:], chosen[112:])


def test_wrong_shapes_are_refused() -> None:
    for shape in [(2, 3), (3, 2), (2, 2), (3,)]:
        with pytest.raises(ValueError, match="3 symbols need a square matrix"):
            count_matrix(np.ones(shape, dtype=np.int64), SYMBOLS[3])
        with pytest.raises(ValueError, match="3 symbols need a square matrix"):
            drawn(np.ones(shape), SYMBOLS[3])
    with pytest.raises(ValueError, match="0 symbols"):
        count_matrix(np.ones((0, 0), dtype=np.int64), [])


def test_the_headline_describes_the_rows() -> None:
    probs = random_probs(3)
    assert not np.array_equal(drawn(probs, SYMBOLS[3]), drawn(probs, SYMBOLS[3], rows="all rows are equal"))
