"""Speed as ratios to plain scripts and other libraries, run in turn on this machine; takes eight minutes."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measures.rows import Options, Row
from nextchar.config.command_settings import BenchSettings
from nextchar.data.corpus import EMBEDDED


def main(settings: BenchSettings) -> None:
    data, text = (Path(path) if path else None for path in (settings.names, settings.text))
    options = Options(data or EMBEDDED, settings.pairs, text, settings.largest)
    if settings.only != "scale":
        from benchmarks.measures import names

        show(
            f"medians of {options.pairs} pairs on {options.data.name}", [r for m in names.MEASURES for r in m(options)]
        )
    if settings.only != "names":
        from benchmarks.measures import scale

        by_size, rows = scale.tables(options)
        Console(width=100).print(by_size)
        source = text.name if text else "distinct lines of Python sources, repeated with one character in 1,000 changed"
        show(f"medians of {options.pairs} pairs, CPU seconds on one core; {source}", rows)


def show(title: str, rows: list[Row]) -> None:
    table = Table(title=title, title_justify="left")
    for heading in ("measure", "ours", "peer", "ratio", "goal", "met"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    for each in rows:
        table.add_row(*each)
    Console(width=100).print(table)
