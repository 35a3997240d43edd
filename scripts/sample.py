"""Text out of a finished run, a document a line: python scripts/sample.py run=DIR n=20"""

import sys
from itertools import islice
from pathlib import Path

from nextchar import command_line, experiment, sampling, terminal
from nextchar.settings import SampleSettings
from nextchar.text import normalized


def main() -> None:
    settings = command_line.parse("sample", SampleSettings, sys.argv[1:], __doc__).settings()
    record, model = experiment.open_model(Path(settings.run))
    shape = sampling.Shape(settings.temperature, settings.top_k, settings.top_p)
    prefix = normalized(settings.prefix, record.settings.data.normalize)
    how = settings.seed, prefix, shape, settings.max_chars
    known = sampling.Known(experiment.training_documents(record) if settings.novel else [])
    if settings.batched:
        texts = sampling.stream_of_batches(model, None if settings.novel else settings.n, *how)
    else:
        texts = sampling.stream_of_documents(model, *how)
    texts = islice(known.left_out_of(texts) if settings.novel else texts, settings.n)
    if settings.json_:
        terminal.print_json(list(texts))
    else:
        terminal.samples(texts)
    if settings.novel:
        drawn = settings.n + known.met
        terminal.note(f"{known.met:,} of {drawn:,} documents drawn stand in the training set and were left out")


if __name__ == "__main__":
    command_line.run_script(main)
