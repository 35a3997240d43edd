"""export: a counted model as a file for other programs."""

from pathlib import Path

from nextchar.cli.parse import Called
from nextchar.cli.printing import print_json, short
from nextchar.config.command_settings import ExportSettings
from nextchar.errors import BadInput
from nextchar.models.ngram.arpa_writer import arpa_file
from nextchar.models.ngram.backoff import BackoffModel
from nextchar.models.ngram.model import CountModel
from nextchar.runs.atomic import write_atomically
from nextchar.runs.record import PROJECT
from nextchar.runs.run import open_run


def run(called: Called[ExportSettings]) -> None:
    settings = called.settings
    model_run = open_run(settings.run)
    out = Path(settings.out) if settings.out else PROJECT / "outputs" / f"{model_run.path.name}.arpa"
    if settings.out and (out.is_dir() or not out.parent.is_dir()):
        raise BadInput(f"out={out}: must be a file in a folder that exists")
    model = model_run.model
    if not isinstance(model, CountModel | BackoffModel):
        raise BadInput(
            f"run={model_run.path}: model={model_run.settings.model.name} is a net; "
            "format=arpa takes n-grams, as of model=count"
        )
    tables = model.backoff_tables()
    try:
        out.parent.mkdir(exist_ok=True)
        write_atomically(out, arpa_file(tables, model.vocabulary, compressed=out.suffix == ".gz"))
    except OSError as error:
        raise BadInput(f"out={out} cannot be written: {error.strerror}") from None
    sizes, size = [len(table) for table in tables], out.stat().st_size
    if settings.json_:
        print_json({"out": str(out), "ngrams": sizes, "bytes": size})
    else:
        by_order = ", ".join(f"{n:,}" for n in sizes)
        print(f"{short(out)}   {by_order} n-grams of the orders 1 to {len(sizes)}, {size:,} bytes")
