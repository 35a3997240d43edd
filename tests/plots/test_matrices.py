"""The pictures: their shape, their colours, and that no character breaks them."""

import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from nextchar.evaluation.explain import Step
from nextchar.plots import matrices as figures
from nextchar.plots.matrices import breakdown, count_matrix, png, probability_matrix, visible

LETTERS = [".", *"abcdefghijklmnopqrstuvwxyz"]
ODD = [
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
SYMBOLS = {1: ["."], 3: [".", "a", "$"], 27: LETTERS, 200: ["∎", *map(chr, range(0x4E00, 0x4E00 + 199))]}


def random_counts(v: int) -> np.ndarray:
    return np.random.default_rng(v).integers(0, 5000, (v, v))


def random_probs(v: int) -> np.ndarray:
    return np.random.default_rng(v).dirichlet(np.full(v, 0.3), v)


def step(char: str = "a", probability: float = 0.25, best: Sequence[str] = "abcde", context: str = ".") -> Step:
    with np.errstate(divide="ignore"):
        log = float(np.log(probability))
    return Step(context, char, probability, log, 3, tuple((symbol, 0.2) for symbol in best))


def is_picture(picture: np.ndarray) -> bool:
    """(H, W, 3) bytes, white at the edges, something on it, small enough for TensorBoard."""
    assert picture.dtype == np.uint8
    height, width, channels = picture.shape
    assert channels == 3
    assert 60 < height < 4500
    assert 200 < width < 2100
    edges = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (edges == 255).all()
    return bool((picture < 128).any())


@pytest.mark.parametrize("v", SYMBOLS)
def test_matrices_of_all_sizes(v: int) -> None:
    assert is_picture(count_matrix(random_counts(v), SYMBOLS[v]))
    assert is_picture(probability_matrix(random_probs(v), SYMBOLS[v]))


def test_nothing_at_all_and_one_pair() -> None:
    assert is_picture(count_matrix(np.zeros((3, 3), dtype=np.int64), SYMBOLS[3]))
    assert is_picture(probability_matrix(np.full((3, 3), np.nan), SYMBOLS[3]))
    assert is_picture(probability_matrix(np.eye(3), SYMBOLS[3]))


def test_odd_symbols() -> None:
    """No warning is raised (a warning fails a test here), no character acts as markup or turns the text around."""
    v = len(ODD)
    assert is_picture(count_matrix(random_counts(v), ODD, title="".join(ODD)))
    assert is_picture(probability_matrix(random_probs(v), ODD, title="$x^2$\n\x1b"))
    assert is_picture(breakdown("".join(ODD), [step(char, best=ODD, context="".join(ODD)) for char in ODD]))


def test_what_is_seen_of_odd_symbols() -> None:
    seen = [r"␣", r"⏎", r"⇥", r"\x1b", r"\x00", r"\x9b", r"\u202e"]
    seen += ["◌\u0301", "ß", "م", "U+0937", "U+4E2D", "U+1F642", r"\ud800"]
    assert [visible(symbol) for symbol in ODD[3:]] == seen
    assert visible("$_^{}") == "$_^{}"


def test_same_input_same_bytes() -> None:
    counts, probs, steps = random_counts(27), random_probs(27), [step(), step("b", 0.5)]
    for draw in (
        lambda: count_matrix(counts, LETTERS),
        lambda: probability_matrix(probs, LETTERS),
        lambda: breakdown("ab", steps),
    ):
        assert png(draw()) == png(draw())


def test_png_keeps_every_pixel() -> None:
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
    counts = np.zeros((200, 200), dtype=np.int64)
    counts[150, 151] = 9
    limited = count_matrix(counts, SYMBOLS[200], limit=3)
    ids = [0, 150, 151]
    few = count_matrix(counts[np.ix_(ids, ids)], [SYMBOLS[200][i] for i in ids])
    assert np.array_equal(limited[112:], few[112:])
    assert not np.array_equal(limited[:112], few[:112])  # the headline says "3 of 200"


def test_wrong_shapes_are_refused() -> None:
    for shape in [(2, 3), (3, 2), (2, 2), (3,)]:
        with pytest.raises(ValueError, match="3 symbols need a square matrix"):
            count_matrix(np.ones(shape, dtype=np.int64), SYMBOLS[3])
        with pytest.raises(ValueError, match="3 symbols need a square matrix"):
            probability_matrix(np.ones(shape), SYMBOLS[3])
    with pytest.raises(ValueError, match="0 symbols"):
        count_matrix(np.ones((0, 0), dtype=np.int64), [])


def bar(picture: np.ndarray) -> int:
    """Pixels of the bar in a breakdown of one step."""
    return int((picture[160] == figures.BAR).all(axis=1).sum())


def test_bar_is_as_long_as_the_probability() -> None:
    lengths = [bar(breakdown("a", [step(probability=p)])) for p in (0.0, 0.25, 0.5, 1.0)]
    assert lengths == [1, 101, 201, 401]


def test_breakdown_at_its_limits() -> None:
    assert is_picture(breakdown("", []))
    assert is_picture(breakdown("a", [step(probability=0.0)]))
    assert is_picture(breakdown("a", [step(probability=1e-300)]))
    assert is_picture(breakdown("a" * 500, [step()] * 500))
    shown, all_of_them = breakdown("a", [step()] * 100), breakdown("a", [step()] * 101)
    assert all_of_them.shape[0] == shown.shape[0] + 40  # the line "and 1 more"


def with_orders(step_: Step, order: int, n: int) -> Step:
    return step_._replace(order=order, by_order=tuple(k / (k + 7) for k in range(1, n + 1)))


def framed(picture: np.ndarray) -> list[tuple[int, int]]:
    """Left and right edge of what is framed in each row of a breakdown."""
    found = []
    for row in range(166, picture.shape[0] - 12, 40):
        columns = np.flatnonzero((picture[row] == figures.FRAME).all(axis=1))
        found.append((int(columns[0]), int(columns[-1])) if len(columns) else (0, 0))
    return found


def test_the_order_that_answered_is_framed() -> None:
    frames = framed(breakdown("abc", [with_orders(step(), order, 6) for order in (1, 2, 6)]))
    lefts = [left for left, _ in frames]
    assert np.diff(lefts).tolist() == [52, 4 * 52]
    assert all(right - left == 49 for left, right in frames)
    assert framed(breakdown("a", [with_orders(step(), 0, 6)])) == [(0, 0)]  # none has seen it


@pytest.mark.parametrize("n", [2, 6, 12, 20, 64])
def test_breakdown_of_many_orders(n: int) -> None:
    steps = [with_orders(step(char, context="abcdefghijklmnop"), min(i, n), n) for i, char in enumerate("emma.")]
    assert is_picture(breakdown("emma" * 30, steps))
    assert is_picture(breakdown("a", [with_orders(step("⏎", 0.0, context="  \n"), n, n)]))
    assert not framed(breakdown("emma", [step()]))[0][0]


def test_rows_of_probabilities_are_said() -> None:
    probs = random_probs(3)
    assert not np.array_equal(
        probability_matrix(probs, SYMBOLS[3]), probability_matrix(probs, SYMBOLS[3], rows="all rows alike")
    )
