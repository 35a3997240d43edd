"""A line of the table: what something takes here and elsewhere, and the median of the ratios."""

import statistics
from pathlib import Path
from typing import NamedTuple

from nextchar.runs.record import PROJECT

SCRIPTS = PROJECT / "scripts"
PEERS = PROJECT / "benchmarks" / "peers"

Row = tuple[str, str, str, str, str, str]


class Options(NamedTuple):
    data: Path  # names
    pairs: int
    text: Path | None
    largest: int  # MB


def row(what: str, ours: list[float], peers: list[float], goal: float, unit: str = "s", least: bool = False) -> Row:
    """A line of the table; the ratio is ours / peer, or with `least` peer / ours, pair by pair."""
    pairs = [(b / a) if least else (a / b) for a, b in zip(ours, peers, strict=True)]
    ratio = statistics.median(pairs)
    met = ratio >= goal if least else ratio <= goal
    a, b = (f"{statistics.median(values):.3g} {unit}" for values in (ours, peers))
    return what, a, b, f"{ratio:.3g}", f"{'>=' if least else '<='} {goal:g}", "yes" if met else "NO"


def alone(what: str, ours: list[float], goal: float, unit: str = "s") -> Row:
    """A line about what has no peer."""
    middle = statistics.median(ours)
    return what, f"{middle:.3g} {unit}", "", "", f"<= {goal:g} {unit}", "yes" if middle <= goal else "NO"
