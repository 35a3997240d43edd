"""TensorBoard's file of one run: curves, pictures, text, histograms, and a row in the table of all runs (HParams)."""

import math
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from nextchar.config.fields import every_setting, flat, not_compared
from nextchar.config.smoothing_settings import NoSmoothing
from nextchar.config.train_settings import TrainSettings
from nextchar.evaluation.by_order import GROUP
from nextchar.messages import printable, shown

# The table of HParams shows five settings and five metrics; the others can be ticked.
COLUMNS_SHOWN = 5  # of more, TensorBoard would show the first by the alphabet
FIRST_COLUMNS = ("model.name", "smoothing.name", "smoothing.k", "optim.name", "optim.lr")
SET_IN_EVERY_RUN = ("model.name", "smoothing.name", "optim.name", "data.name", "seed")
METRICS = ("test/loss", "val/loss", "train/loss", "test/bits_per_char", "test/perplexity")

COUNTED_LOSS = "train/loss_counted"  # the loss on train of the counted bigram: the optimum of a bigram net

# Edges of the bins of a histogram: 1e-12 growing by a tenth up to 1e20, the same below 0, and 0
POSITIVE = 1e-12 * 1.1 ** np.arange(774)
BINS = np.concatenate([-POSITIVE[::-1], [0.0], POSITIVE])


class TensorBoardWriter:
    """Writes the events of one run. After `flush` all events so far are on the disk.

    (tensorboardX's own SummaryWriter leaves the writing to a thread: events on their way are lost with the process, and
    on a full disk the thread dies and the run waits for it for ever.) If a run is resumed, TensorBoard hides the events
    that an earlier attempt wrote from `first_step` on.
    """

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        with _torch_hidden():
            from tensorboardX import RecordWriter, summary
            from tensorboardX.proto.event_pb2 import Event, SessionLog

        # TensorBoard reads the files of a run in the order of their names: a later file needs a later second
        taken = [int(path.name.split(".")[3]) for path in folder.glob("events.out.tfevents.[0-9]*.*")]
        seconds = max([int(time.time()), *(second + 1 for second in taken)])
        self._records = RecordWriter(f"{folder}/events.out.tfevents.{seconds}.{socket.gethostname()}")
        self._event, self._summary, self._first_step = Event, summary, first_step
        self._last_step: dict[str, int] = {}
        self._write(file_version="brain.Event:2")
        # also on the first start; otherwise TensorBoard takes the resumed file for the first and hides nothing
        self._write(step=first_step, session_log=SessionLog(status=SessionLog.START))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Adds a point to each curve; not a second one at the same step, and none that is inf or nan."""
        new = {tag: v for tag, v in values.items() if self._last_step.get(tag) != step and math.isfinite(v)}
        self._last_step |= dict.fromkeys(new, step)
        # one event costs a quarter of one for each point
        self._add(step, *({"tag": tag, "simple_value": value} for tag, value in new.items()))

    def image(self, name: str, png: bytes, shape: Sequence[int], step: int) -> None:
        """Adds a picture of a shape, (H, W, 3), as a PNG file."""
        height, width, channels = shape
        image = {"height": height, "width": width, "colorspace": channels, "encoded_image_string": png}
        self._add(step, {"tag": f"visuals/{name}", "image": image})

    def samples(self, texts: Sequence[str], step: int) -> None:
        """Adds samples, one a line, or separated by rules if one of them has several lines."""
        rule = f"\n{'─' * 40}\n" if any("\n" in text for text in texts) else "\n"
        indented = printable(rule.join(texts)).replace("\n", "\n    ")  # which Markdown shows as it is
        self._text("samples", f"    {indented}", step)

    def histograms(self, tensors: Mapping[str, np.ndarray], step: int) -> None:
        """Adds a histogram of each tensor whose values all have a bin."""
        for name, tensor in tensors.items():
            if tensor.size and np.abs(tensor).max() < BINS[-1]:
                self._write(step=step, summary=self._summary.histogram(f"weights/{name}", tensor, BINS))

    def describe(self, settings: TrainSettings, report: Mapping[str, Any], first_columns: Sequence[str]) -> None:
        """Adds the settings; on the first start also the data, the row in HParams and the page of custom charts.

        `first_columns` are the settings that HParams shows until others are ticked.
        """
        own = {key: shown(value) for key, value in flat(settings.plain()).items()}
        self._text("settings", _table("setting", own), self._first_step)
        if self._first_step > 0:
            return
        for kind, content in _hparams(settings, first_columns).items():
            metadata = {"plugin_data": {"plugin_name": "hparams", "content": content}}
            self._add(0, {"tag": f"_hparams_/{kind}", "metadata": metadata})
        self._write(summary=self._summary.custom_scalars(_charts(settings)))
        self._text("data", _table("data", {key: _with_commas(value) for key, value in flat(report).items()}), 0)

    def flush(self) -> None:
        """Puts on the disk all events written so far."""
        self._records.flush()

    def close(self) -> None:
        """Closes the file; a second time it does nothing."""
        self._records.close()

    def __enter__(self) -> "TensorBoardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # of a full disk; where it matters, `close` has raised it before
            self.close()

    def _text(self, tag: str, text: str, step: int) -> None:
        self._write(step=step, summary=self._summary.text(tag, text))

    def _add(self, step: int, *values: Mapping[str, Any]) -> None:
        self._write(step=step, summary={"value": values})

    def _write(self, **content: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **content).SerializeToString())


@contextmanager
def _torch_hidden() -> Iterator[None]:
    """Hides torch from tensorboardX, which imports it if it can: that takes a second, and arrays do not need it."""
    hidden = {name: sys.modules[name] for name in ["torch"] if name in sys.modules}
    sys.modules["torch"] = None  # type: ignore[assignment]  # Python's way to say that a module cannot be imported
    try:
        yield
    finally:
        del sys.modules["torch"]
        sys.modules.update(hidden)


def columns() -> dict[str, type]:
    """Returns bool, float or str for each setting of any model that can change a result: one table for all runs."""
    kinds: dict[str, type] = dict.fromkeys(("model.name", "smoothing.name", "optim.name"), str)
    for key, setting in every_setting(TrainSettings).items():
        types = setting.types - {"null"}
        is_number = types <= {"integer", "number"} and not setting.choices
        kinds[key] = bool if types == {"boolean"} else float if is_number else str
    return {key: kind for key, kind in kinds.items() if key not in not_compared(TrainSettings)}


def _hparams(settings: TrainSettings, first_columns: Sequence[str]) -> dict[str, bytes]:
    """Returns the two messages that HParams reads from a run: the columns of the table, and the run's row.

    The first columns are filled up with settings that every run has. A setting that the run's model lacks is '-' in a
    column of text, and empty in a column of numbers, which could not be sorted with a text in it. It is not among the
    first columns: the parallel coordinates omit runs with a gap there.
    """
    from tensorboard.plugins.hparams import api_pb2
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    types = {bool: api_pb2.DATA_TYPE_BOOL, float: api_pb2.DATA_TYPE_FLOAT64, str: api_pb2.DATA_TYPE_STRING}
    fields = {bool: "bool_value", float: "number_value", str: "string_value"}
    table, row = api_pb2.Experiment(), SessionStartInfo()
    known = columns()
    first = [key for key in dict.fromkeys([*first_columns, *SET_IN_EVERY_RUN]) if key in known][:COLUMNS_SHOWN]
    own = {"smoothing.k": 0.0} | flat(settings.plain())  # no smoothing is k = 0
    for tag in METRICS:  # curves of these tags; so no metric of our own (hp_metric) is needed
        table.metric_infos.add(name=api_pb2.MetricName(tag=tag))
    for key, kind in known.items():
        value = "-" if kind is str and own.get(key) is None else own.get(key)
        table.hparam_infos.add(name=key, type=types[kind], differs=key in first and value is not None)
        if value is not None:
            setattr(row.hparams[key], fields[kind], kind(value))
    return {
        "experiment": HParamsPluginData(experiment=table).SerializeToString(),
        "session_start_info": HParamsPluginData(session_start_info=row).SerializeToString(),
    }


def _charts(settings: TrainSettings) -> dict[str, dict[str, list[Any]]]:
    """Returns the charts of the custom page by group and title; each shows the tags that an expression matches."""
    losses = {"loss, nats per character": f"train/loss|val/loss|{COUNTED_LOSS}"}
    if settings.model.net is not None and not isinstance(settings.smoothing, NoSmoothing):
        losses["objective: loss plus penalty"] = "train/objective|train/loss"
    groups = {"nextchar": losses}
    if getattr(settings.model, "order", 2) > 2:
        groups["order by order (the step is the order)"] = {
            "loss of each order alone, nats per character": f"{GROUP}/(train|val|test)_loss",
            "share of characters whose context occurs in train": f"{GROUP}/(val|test)_contexts_seen",
            "share of characters that follow their context in train": f"{GROUP}/(val|test)_ngrams_seen",
            "parameters of the smoothing method": f"{GROUP}/smoothing_.*",
            "number of n-grams that occur 1, 2, 3, 4 times": f"{GROUP}/ngrams_occurring_[1-4]x",
        }
    return {
        group: {title: ["Multiline", [f"^({tags})$"]] for title, tags in charts.items()}
        for group, charts in groups.items()
    }


def _table(head: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {head} | |", "|:--|:--|", *(f"| {_escaped(key)} | {_escaped(value)} |" for key, value in rows.items())]
    return "\n".join(lines)


def _with_commas(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _escaped(text: str) -> str:
    """Returns the text on one line, with nothing in it that Markdown or HTML interprets."""
    text = re.sub(r"([\\`*_{}\[\]()#+!|~-])", r"\\\1", printable(text).replace("\n", " "))
    return text.replace("&", "&amp;").replace("<", "&lt;")
