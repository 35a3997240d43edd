"""explain: how a model reads a document."""

from pathlib import Path

from nextchar.cli.parse import Called
from nextchar.cli.printing import print_json, say, short
from nextchar.cli.tables import explanation
from nextchar.config.command_settings import ExplainSettings
from nextchar.data.textfile import normalized
from nextchar.errors import BadInput
from nextchar.evaluation.explain import mean_nll
from nextchar.runs.atomic import write_atomically
from nextchar.runs.record import PROJECT
from nextchar.runs.run import open_run


def run(called: Called[ExplainSettings]) -> None:
    settings = called.settings
    picture = Path(settings.out) if settings.out else PROJECT / "outputs" / "explain.png"
    if settings.figures and settings.out and (picture.is_dir() or not picture.parent.is_dir()):
        raise BadInput(f"out={picture}: must be a file in a folder that exists")
    if picture.suffix.lower() != ".png":
        raise BadInput(f"out={picture}: the picture is a PNG; name it {picture.stem}.png")
    model_run = open_run(settings.run)
    steps, text = model_run.explain(settings.text), normalized(settings.text, model_run.settings.data.normalize)
    if settings.json_:
        print_json({"steps": [step._asdict() for step in steps], "mean_nll": mean_nll(steps)})
    else:
        explanation(text, steps)
    if settings.figures:
        from nextchar.plots.breakdown import breakdown  # only a picture needs Pillow
        from nextchar.plots.drawing import png

        try:
            picture.parent.mkdir(exist_ok=True)
            write_atomically(picture, png(breakdown(text, steps)))
        except OSError as error:
            raise BadInput(f"out={picture} cannot be written: {error.strerror}") from None
        say(f"picture      {short(picture)}")
