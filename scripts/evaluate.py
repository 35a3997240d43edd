"""The loss of a finished run: python scripts/evaluate.py run=DIR [data=lines data.path=FILE]"""

import sys
from pathlib import Path

from nextchar.cli import terminal
from nextchar.cli.parse import parse, run_script
from nextchar.config.command_settings import EvaluateSettings
from nextchar.runs.open_run import evaluate


def main() -> None:
    settings = parse("evaluate", EvaluateSettings, sys.argv[1:], __doc__).settings()
    with terminal.busy("measuring the loss"):
        metrics, notes, source = evaluate(settings)
    for text in notes:
        terminal.note(text)
    if settings.json_:
        terminal.print_json(metrics)
    else:
        terminal.losses(metrics, f"{terminal.short(Path(settings.run))} on {source}")


if __name__ == "__main__":
    run_script(main)
