"""How a finished run reads a text: python scripts/explain.py run=DIR text=emma"""

import sys
from pathlib import Path

from nextchar.cli import terminal
from nextchar.cli.parse import parse, run_script
from nextchar.config.command_settings import ExplainSettings
from nextchar.data.textfile import normalized
from nextchar.errors import BadInput
from nextchar.evaluation.explain import mean_nll
from nextchar.runs.atomic import write_atomically
from nextchar.runs.record import PROJECT
from nextchar.runs.run import open_run


def main() -> None:
    settings = parse("explain", ExplainSettings, sys.argv[1:], __doc__).settings()
    picture = Path(settings.out) if settings.out else PROJECT / "outputs" / "explain.png"
    if settings.figures and settings.out and (picture.is_dir() or not picture.parent.is_dir()):
        raise BadInput(f"out={picture}: must be a file in a folder that exists")
    if picture.suffix.lower() != ".png":
        raise BadInput(f"out={picture}: the picture is a PNG; name it {picture.stem}.png")
    run = open_run(settings.run)
    steps, text = run.explain(settings.text), normalized(settings.text, run.settings.data.normalize)
    if settings.json_:
        terminal.print_json({"steps": [step._asdict() for step in steps], "mean_nll": mean_nll(steps)})
    else:
        terminal.explanation(text, steps)
    if settings.figures:
        from nextchar.plots.breakdown import breakdown
        from nextchar.plots.drawing import png

        try:
            picture.parent.mkdir(exist_ok=True)
            write_atomically(picture, png(breakdown(text, steps)))
        except OSError as error:
            raise BadInput(f"out={picture} cannot be written: {error.strerror}") from None
        print(f"picture      {terminal.short(picture)}", file=sys.stderr)


if __name__ == "__main__":
    run_script(main)
