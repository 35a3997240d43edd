"""The loss of a finished run: python scripts/evaluate.py run=DIR [data=lines data.path=FILE]"""

import sys
from pathlib import Path

from nextchar.cli import terminal
from nextchar.cli.parse import parse, run_script
from nextchar.config.command_settings import EvaluateSettings
from nextchar.runs.run import open_run


def main() -> None:
    settings = parse("evaluate", EvaluateSettings, sys.argv[1:], __doc__).settings()
    with terminal.busy("measuring the loss"):
        metrics = open_run(settings.run).measure(settings.data)
    for text in metrics.notes:
        terminal.note(text)
    if settings.json_:
        terminal.print_json(metrics)
    else:
        terminal.losses(metrics, f"{terminal.short(Path(settings.run))} on {metrics.source}")


if __name__ == "__main__":
    run_script(main)
