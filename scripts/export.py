"""Writes a counted run for other programs: python scripts/export.py run=DIR format=arpa out=model.arpa.gz"""

import sys
from pathlib import Path

from nextchar.cli import terminal
from nextchar.cli.parse import parse, run_script
from nextchar.config.command_settings import ExportSettings
from nextchar.errors import BadInput
from nextchar.models.ngram.arpa_writer import arpa_file
from nextchar.models.ngram.backoff import BackoffModel
from nextchar.models.ngram.model import CountModel
from nextchar.runs.atomic import write_atomically
from nextchar.runs.record import PROJECT
from nextchar.runs.run import open_run


def main() -> None:
    settings = parse("export", ExportSettings, sys.argv[1:], __doc__).settings()
    run = open_run(settings.run)
    out = Path(settings.out) if settings.out else PROJECT / "outputs" / f"{run.path.name}.arpa"
    if settings.out and (out.is_dir() or not out.parent.is_dir()):
        raise BadInput(f"out={out}: must be a file in a folder that exists")
    model = run.model
    if not isinstance(model, CountModel | BackoffModel):
        raise BadInput(
            f"run={run.path}: model={run.settings.model.name} is a net; format=arpa holds n-grams, as model=count has"
        )
    tables = model.backoff_tables()
    try:
        out.parent.mkdir(exist_ok=True)
        write_atomically(out, arpa_file(tables, model.vocabulary, compressed=out.suffix == ".gz"))
    except OSError as error:
        raise BadInput(f"out={out} cannot be written: {error.strerror}") from None
    sizes, size = [len(table) for table in tables], out.stat().st_size
    if settings.json_:
        terminal.print_json({"out": str(out), "ngrams": sizes, "bytes": size})
    else:
        by_order = ", ".join(f"{n:,}" for n in sizes)
        print(f"{terminal.short(out)}   {by_order} n-grams of the orders 1 to {len(sizes)}, {size:,} bytes")


if __name__ == "__main__":
    run_script(main)
