"""How a finished run reads a text: python scripts/explain.py run=DIR text=emma"""

import sys
from pathlib import Path

from nextchar import command_line, experiment, terminal
from nextchar.explanation import explain, mean_nll
from nextchar.run import PROJECT, write_atomically
from nextchar.settings import ExplainSettings


def main() -> None:
    settings = command_line.parse("explain", ExplainSettings, sys.argv[1:]).settings()
    record, model = experiment.open_model(Path(settings.run))
    steps = explain(model, settings.text, "text", ends=not record.settings.data.is_text)
    if settings.json_:
        terminal.print_json({"steps": [step._asdict() for step in steps], "mean_nll": mean_nll(steps)})
    else:
        terminal.explanation(settings.text, steps)
    if settings.figures:
        from nextchar.figures import breakdown, png

        picture = Path(settings.out) if settings.out else PROJECT / "outputs" / "explain.png"
        write_atomically(picture, png(breakdown(settings.text, steps)))
        print(f"picture      {terminal.short(picture)}", file=sys.stderr)


if __name__ == "__main__":
    command_line.run_script(main)
