"""Rows of the table: a time of ours, the peer's, the median of their ratios, and whether the goal is met."""

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from nextchar.runs.record import PROJECT

SCRIPTS = PROJECT / "scripts"
PEERS = PROJECT / "benchmarks" / "peers"

Row = tuple[str, str, str, str, str, str]  # measure, ours, peer, ratio, goal, whether it is met


class Options(NamedTuple):
    data: Path  # names, one a line
    pairs: int  # how often ours and the peer run in turn
    text: Path | None
    largest: int  # MB


def row(measure: str, ours: list[float], peers: list[float], goal: float, unit: str = "s", least: bool = False) -> Row:
    """A row whose goal is the largest ratio ours / peer; with `least` the smallest ratio peer / ours."""
    ratios = [(b / a) if least else (a / b) for a, b in zip(ours, peers, strict=True)]
    ratio = statistics.median(ratios)
    met = ratio >= goal if least else ratio <= goal
    return (
        measure,
        _median(ours, unit),
        _median(peers, unit),
        f"{ratio:.3g}",
        f"{'>=' if least else '<='} {goal:g}",
        _met(met),
    )


def row_in_seconds(measure: str, ours: list[float], peers: list[float], goal: float) -> Row:
    """A row with a peer whose goal is the largest time of ours, not the ratio."""
    _, mine, theirs, ratio, _, _ = row(measure, ours, peers, goal)
    return measure, mine, theirs, ratio, f"<= {goal:g} s", _met(statistics.median(ours) <= goal)


def row_alone(measure: str, ours: list[float], goal: float, unit: str = "s") -> Row:
    """A row without a peer; the goal is the largest value."""
    return measure, _median(ours, unit), "", "", f"<= {goal:g} {unit}", _met(statistics.median(ours) <= goal)


def _median(values: list[float], unit: str) -> str:
    return f"{statistics.median(values):.3g} {unit}"


def _met(met: bool) -> str:
    return "yes" if met else "NO"


def seconds(command: list[object], exit_code: int = 0) -> float:
    """Wall-clock seconds of a process. Exits if the process ends with another code."""
    began = time.perf_counter()
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False)
    if done.returncode != exit_code:
        sys.exit(f"error: {' '.join(map(str, command))} exited with {done.returncode}: {done.stderr.decode()}")
    return time.perf_counter() - began


def script(name: str, *words: object) -> list[object]:
    """The command line of scripts/NAME.py."""
    return [sys.executable, SCRIPTS / f"{name}.py", *words]


def peer(name: str, *words: object) -> list[object]:
    """The command line of benchmarks/peers/NAME.py."""
    return [sys.executable, PEERS / f"{name}.py", *words]
