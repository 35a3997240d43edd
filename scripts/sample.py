"""Text out of a finished run, a document a line: python scripts/sample.py run=DIR n=20"""

import sys
from itertools import islice
from pathlib import Path

from nextchar.cli import terminal
from nextchar.cli.parse import parse, run_script
from nextchar.config.command_settings import SampleSettings
from nextchar.data.textfile import normalized
from nextchar.evaluation import sampling
from nextchar.runs.open_run import open_model, training_hashes


def main() -> None:
    settings = parse("sample", SampleSettings, sys.argv[1:], __doc__).settings()
    record, model = open_model(Path(settings.run))
    shape = sampling.Shape(settings.temperature, settings.top_k, settings.top_p)
    prefix = normalized(settings.prefix, record.settings.data.normalize)
    how = settings.seed, prefix, shape, settings.max_chars
    known = sampling.Known(training_hashes(record)) if settings.novel else None
    if settings.batched:
        texts = sampling.stream_of_batches(model, None if known else settings.n, *how)
    else:
        texts = sampling.stream_of_documents(model, *how)
    texts = islice(known.left_out_of(texts) if known else texts, settings.n)
    if settings.json_:
        terminal.print_json(list(texts))
    else:
        terminal.samples(texts)
    if known:
        drawn = settings.n + known.met
        terminal.note(f"{known.met:,} of {drawn:,} documents drawn stand in the training set and were left out")


if __name__ == "__main__":
    run_script(main)
