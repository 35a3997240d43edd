"""bench: the measures stand in benchmarks/ of a clone, outside the package."""

import sys
from importlib import import_module

from nextchar.cli.parse import Called
from nextchar.config.command_settings import BenchSettings
from nextchar.errors import BadInput
from nextchar.runs.record import PROJECT

BENCHMARKS = PROJECT / "benchmarks"


def run(called: Called[BenchSettings]) -> None:
    if not (BENCHMARKS / "table.py").is_file():
        raise BadInput("bench needs a clone of the repository, whose benchmarks/ holds the measures")
    sys.path.insert(0, str(BENCHMARKS.parent))
    import_module("benchmarks.table").main(called.settings)
