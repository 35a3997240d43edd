"""Text out of a finished run, a document a line: python scripts/sample.py run=DIR n=20"""

import sys
from itertools import islice
from pathlib import Path

from nextchar.cli import terminal
from nextchar.cli.parse import parse, run_script
from nextchar.config.command_settings import SampleSettings
from nextchar.data.textfile import normalized
from nextchar.evaluation.sampling import Decoding, NovelOnly, sample
from nextchar.runs.open_run import open_model, training_hashes


def main() -> None:
    settings = parse("sample", SampleSettings, sys.argv[1:], __doc__).settings()
    record, model = open_model(Path(settings.run))
    decoding = Decoding(settings.temperature, settings.top_k, settings.top_p)
    prefix = normalized(settings.prefix, record.settings.data.normalize)
    n = None if settings.novel else settings.n
    drawn = sample(model, n, settings.seed, prefix, decoding, settings.max_chars, settings.batched)
    novel = NovelOnly(drawn, training_hashes(record)) if settings.novel else None
    texts = islice(novel or drawn, settings.n)
    if settings.json_:
        terminal.print_json(list(texts))
    else:
        terminal.samples(texts)
    if novel:
        total = settings.n + novel.skipped
        terminal.note(f"{novel.skipped:,} of {total:,} documents drawn are in the training set and were left out")


if __name__ == "__main__":
    run_script(main)
