"""Speed as ratios to plain scripts and other libraries, run in turn on this machine; eight minutes, or only=scale."""

import sys
from pathlib import Path

from measures.pairs import Options, Row
from rich.console import Console
from rich.table import Table

from nextchar.cli.parse import parse
from nextchar.config.command_settings import BenchSettings
from nextchar.data.corpus import EMBEDDED


def main() -> None:
    settings = parse("bench", BenchSettings, sys.argv[1:], __doc__).settings()
    data, text = (Path(path) if path else None for path in (settings.names, settings.text))
    options = Options(data or EMBEDDED, settings.pairs, text, settings.largest)
    if settings.only != "scale":
        from measures import names

        show(
            f"medians of {options.pairs} pairs on {options.data.name}", [r for m in names.MEASURES for r in m(options)]
        )
    if settings.only != "names":
        from measures import scale

        by_size, rows = scale.tables(options)
        Console(width=100).print(by_size)
        what = text.name if text else "Python sources, their lines once, then again with one character in 1,000 another"
        show(f"medians of {options.pairs} pairs, CPU seconds on one core; {what}", rows)


def show(title: str, rows: list[Row]) -> None:
    table = Table(title=title, title_justify="left")
    for heading in ("what", "ours", "peer", "ratio", "goal", ""):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for each in rows:
        table.add_row(*each)
    Console(width=100).print(table)
