"""evaluate: the loss of a finished run."""

from pathlib import Path

from nextchar.cli.parse import Called
from nextchar.cli.printing import note, print_json, short
from nextchar.cli.tables import losses
from nextchar.cli.terminal_progress import phase
from nextchar.config.command_settings import EvaluateSettings
from nextchar.runs.run import open_run


def run(called: Called[EvaluateSettings]) -> None:
    settings = called.settings
    with phase("measuring the loss"):
        metrics = open_run(settings.run).measure(settings.data)
    for text in metrics.notes:
        note(text)
    if settings.json_:
        print_json(metrics)
    else:
        losses(metrics, f"{short(Path(settings.run))} on {metrics.source}")
