"""What goes on TensorBoard: curves, pictures, text, histograms, the table of settings and metrics."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nextchar.knobs import knobs
from nextchar.settings import TrainSettings
from nextchar.vocabulary import printable

# What stands beside a run in the table of HParams, whichever the model: what a run lacks is shown as '-'.
ABSENT = "-"
NOT_A_SETTING = ("figures", "json", "resume", "data.url", "data.sha256")
METRICS = ("train/loss", "val/loss", "test/loss", "test/bits_per_char", "test/perplexity")

COUNTED = "counted/loss"  # the loss on train that a counted bigram has: where a net of the same kind ends
CURVES = {"loss": ["train/loss", "val/loss", COUNTED], "objective": ["train/objective", "train/loss"]}


class Board:
    """The event file of one run. `purge_step` (a resumed run) hides what an earlier attempt wrote from that step on."""

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        with _torch_unseen():
            from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=purge_step, write_to_disk=True)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for tag, value in values.items():
            self.writer.add_scalar(tag, value, step)

    def image(self, tag: str, picture: np.ndarray) -> None:
        """picture: (H, W, 3) uint8."""
        self.writer.add_image(tag, picture, 0, dataformats="HWC")

    def samples(self, texts: Sequence[str], step: int) -> None:
        self.writer.add_text("samples", "\n".join(_code(text) for text in texts), step)

    def describe(self, settings: TrainSettings, report: Mapping[str, Any]) -> None:
        """What stands beside the curves from the start: the row in HParams, the page of curves, the two tables.

        The metrics of HParams are the scalars of those names, so there is no `hp_metric`.
        """
        with _torch_unseen():
            from tensorboardX.summary import hparams

        for summary in hparams(columns(settings), dict.fromkeys(METRICS, 0)):
            self.writer.file_writer.add_summary(summary)
        self.writer.add_custom_scalars({"nextchar": {title: ["Multiline", tags] for title, tags in CURVES.items()}})
        self.writer.add_text("data", _table(flat(report)), 0)
        self.writer.add_text("settings", _table(flat(settings.plain())), 0)

    def histograms(self, tensors: Mapping[str, np.ndarray], step: int) -> None:
        for name, tensor in tensors.items():
            self.writer.add_histogram(f"parameters/{name}", tensor, step)

    def close(self) -> None:
        self.writer.close()


def columns(settings: TrainSettings) -> dict[str, str | float | bool]:
    """Every knob that any model has -> this run's value, ABSENT where its model has none: all runs in one table."""
    own = flat(settings.plain())
    keys = [knob.key for knob in knobs(TrainSettings)]
    groups = [f"{group}.name" for group in ("model", "smoothing", "optim", "trainer")]
    wanted = [key for key in dict.fromkeys([*groups, *keys]) if key not in NOT_A_SETTING]
    return {key: ABSENT if own.get(key) is None else own[key] for key in wanted}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values -> dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _table(rows: Mapping[str, Any]) -> str:
    return "\n".join(["| | |", "|:--|:--|", *(f"| {_cell(key)} | {_cell(value)} |" for key, value in rows.items())])


def _cell(value: object) -> str:
    return printable(str(value)).replace("\n", " ").replace("|", "\\|")


def _code(text: str) -> str:
    """Indented, so that Markdown shows the text as it is."""
    return "\n".join("    " + line for line in printable(text).split("\n"))


@contextmanager
def _torch_unseen() -> Iterator[None]:
    """tensorboardX imports torch wherever it is installed, which costs a second and is not needed for arrays."""
    hidden = {name: sys.modules[name] for name in ["torch"] if name in sys.modules}
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]
        sys.modules.update(hidden)
