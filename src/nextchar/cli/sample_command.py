"""sample: documents from a trained model."""

from itertools import islice

from nextchar.cli.parse import Called
from nextchar.cli.printing import note, print_json, print_lines
from nextchar.config.command_settings import SampleSettings
from nextchar.evaluation.sampling import NovelOnly
from nextchar.runs.run import open_run


def run(called: Called[SampleSettings]) -> None:
    settings = called.settings
    documents = open_run(settings.run).documents(settings)
    texts = islice(documents, settings.n)
    if settings.json_:
        print_json(list(texts))
    else:
        print_lines(texts)
    if isinstance(documents, NovelOnly):
        drawn = settings.n + documents.skipped
        note(f"{documents.skipped:,} of {drawn:,} documents drawn are in the training set and were left out")
