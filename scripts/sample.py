"""Text out of a finished run, a document a line: python scripts/sample.py run=DIR n=20"""

import sys
from pathlib import Path

from nextchar import command_line, experiment, sampling, terminal
from nextchar.settings import SampleSettings
from nextchar.text import normalized


def main() -> None:
    settings = command_line.parse("sample", SampleSettings, sys.argv[1:], __doc__).settings()
    record, model = experiment.open_model(Path(settings.run))
    prefix = normalized(settings.prefix, record.settings.data.normalize)
    shape = sampling.Shape(settings.temperature, settings.top_k, settings.top_p)
    draw = sampling.batched if settings.batched else sampling.documents
    texts = draw(model, settings.n, settings.seed, prefix, shape, settings.max_chars)
    if settings.json_:
        terminal.print_json(texts)
    else:
        terminal.samples(texts)


if __name__ == "__main__":
    command_line.run_script(main)
