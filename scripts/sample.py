"""Text out of a finished run, a document a line: python scripts/sample.py run=DIR n=20"""

import sys
from itertools import islice

from nextchar.cli import terminal
from nextchar.cli.parse import parse, run_script
from nextchar.config.command_settings import SampleSettings
from nextchar.evaluation.sampling import NovelOnly
from nextchar.runs.run import open_run


def main() -> None:
    settings = parse("sample", SampleSettings, sys.argv[1:], __doc__).settings()
    documents = open_run(settings.run).documents(settings)
    texts = islice(documents, settings.n)
    if settings.json_:
        terminal.print_json(list(texts))
    else:
        terminal.samples(texts)
    if isinstance(documents, NovelOnly):
        total = settings.n + documents.skipped
        terminal.note(f"{documents.skipped:,} of {total:,} documents drawn are in the training set and were left out")


if __name__ == "__main__":
    run_script(main)
