"""What goes on TensorBoard: curves, pictures, text, histograms, the table of settings and metrics."""

import math
import re
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nextchar.config.fields import every_setting, flat, not_compared
from nextchar.config.smoothing_settings import NoSmoothing
from nextchar.config.train_settings import TrainSettings
from nextchar.evaluation.by_order import GROUP
from nextchar.messages import printable, shown
from nextchar.models.base import Floats
from nextchar.runs.atomic import write_atomically

# The table of HParams. Of settings and of metrics it shows five at first, those in front; the others by a tick.
SHOWN_AT_FIRST = 5
WITH_A_VALUE = ("model.name", "smoothing.name", "optim.name", "data.name", "seed")  # in every run
IN_FRONT = ("model.name", "smoothing.name", "smoothing.k", "optim.name", "optim.lr")
METRICS = ("test/loss", "val/loss", "train/loss", "test/bits_per_char", "test/perplexity")
HPARAMS = "_hparams_"
EXPERIMENT = f"{HPARAMS}/experiment"

LARGEST_BIN = 1e20  # where tensorboardX's histograms end

COUNTED = "train/loss_counted"  # the loss on train that a counted bigram has: where a net of the same kind ends


class Board:
    """The event file of one run. TensorBoard sorts by tag: the curves (test, train, val) come before all else.

    What an earlier attempt wrote from `first_step` on is hidden. (Of a run's first beginning TensorBoard wants to know
    too, else it takes the second for the first and hides nothing.)
    """

    def __init__(self, folder: Path, first_step: int = 0) -> None:
        with _torch_unseen():
            from tensorboardX import writer

        usual = writer.EventFileWriter
        writer.EventFileWriter = EventFile
        try:
            self.writer = writer.SummaryWriter(str(folder), purge_step=first_step)
        finally:
            writer.EventFileWriter = usual
        self._first_step = first_step
        self._last_step: dict[str, int] = {}

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """A point on each curve; a second one at the same step is left out, and so is what no curve can show."""
        from tensorboardX.proto.summary_pb2 import Summary

        new = {tag: v for tag, v in values.items() if self._last_step.get(tag) != step and math.isfinite(v)}
        self._last_step |= dict.fromkeys(new, step)
        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in new.items()]
        self.writer.file_writer.add_summary(Summary(value=points), step)  # one event: a quarter of add_scalar's price

    def over_orders(self, curves: Mapping[str, Floats]) -> None:
        """Curves over the orders of an n-gram model: the step is the order."""
        for tag, values in curves.items():
            for order, value in enumerate(values.tolist(), 1):
                self.scalars({tag: value}, order)

    def image(self, name: str, picture: np.ndarray, step: int) -> None:
        """picture: (H, W, 3) uint8."""
        self.writer.add_image(f"visuals/{name}", picture, step, dataformats="HWC")

    def samples(self, texts: Sequence[str], step: int) -> None:
        """As they are: one a line, or, where they have lines of their own, a rule between two."""
        rule = f"\n{'─' * 40}\n" if any("\n" in text for text in texts) else "\n"
        self.writer.add_text("samples", _code(rule.join(texts)), step)

    def describe(self, settings: TrainSettings, report: Mapping[str, Any], in_front: Sequence[str] = IN_FRONT) -> None:
        """What stands beside the curves: settings and, from the start, data, the row in HParams, the custom page.

        The metrics of HParams are the scalars of those names, so there is no `hp_metric`; `in_front` are the settings
        that it shows before one ticks others.
        """
        own = {key: shown(value) for key, value in flat(settings.plain()).items()}
        self.writer.add_text("settings", _table("setting", own), self._first_step)
        if self._first_step > 0:  # the rest was said by the attempt that is resumed
            return
        from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata

        for kind, content in _hparams(settings, in_front).items():
            data = SummaryMetadata.PluginData(plugin_name="hparams", content=content)
            value = Summary.Value(tag=f"{HPARAMS}/{kind}", metadata=SummaryMetadata(plugin_data=data))
            self.writer.file_writer.add_summary(Summary(value=[value]))
        self.writer.add_custom_scalars({"nextchar": _curves(settings)} | _over_orders(settings))
        self.writer.add_text("data", _table("data", {key: _counted(value) for key, value in flat(report).items()}), 0)

    def histograms(self, tensors: Mapping[str, np.ndarray], step: int) -> None:
        for name, tensor in tensors.items():
            if tensor.size and np.abs(tensor).max() < LARGEST_BIN:
                self.writer.add_histogram(f"weights/{name}", tensor, step)

    def flush(self) -> None:
        """Puts on disk what was written so far."""
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class EventFile:
    """Writes events where it is called, with the methods that SummaryWriter asks of tensorboardX's own EventFileWriter.

    That one hands events to a thread: what is still on the way is lost with the process, and on a full disk the thread
    dies and the run waits for it for ever. It also names files by the second, and empties the one of the same second.
    """

    def __init__(self, folder: str, *options: object) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import RecordWriter

        # TensorBoard reads the files of a run in the order of their names
        taken = [int(path.name.split(".")[3]) for path in Path(folder).glob("events.out.tfevents.[0-9]*.*")]
        seconds = max([int(time.time()), *(second + 1 for second in taken)])
        self._folder = folder
        self._records: RecordWriter | None = RecordWriter(
            f"{folder}/events.out.tfevents.{seconds}.{socket.gethostname()}"
        )
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def get_logdir(self) -> str:
        return self._folder

    def add_event(self, event: Any) -> None:
        assert self._records is not None
        self._records.write(event.SerializeToString())

    def flush(self) -> None:
        if self._records is not None:
            self._records.flush()

    def close(self) -> None:
        if self._records is not None:
            records, self._records = self._records, None
            records.close()


def columns() -> dict[str, type]:
    """Every setting of any model by which runs are compared -> bool, float or str: runs of all models in one table."""
    kinds: dict[str, type] = dict.fromkeys(("model.name", "smoothing.name", "optim.name"), str)
    for setting in every_setting(TrainSettings):
        types = setting.types - {"null"}
        is_number = types <= {"integer", "number"} and not setting.choices
        kinds[setting.key] = bool if types == {"boolean"} else float if is_number else str
    return {key: kind for key, kind in kinds.items() if key not in not_compared(TrainSettings)}


def in_front(differing: Sequence[str]) -> list[str]:
    """The columns to be shown at first where these settings differ: they, and where there is room what is usual.

    More than are shown would come in the order of the alphabet.
    """
    known = columns()
    return [key for key in dict.fromkeys([*differing, *WITH_A_VALUE]) if key in known][:SHOWN_AT_FIRST]


def show_at_first(folder: Path, in_front: Sequence[str]) -> None:
    """Puts other columns in front in what a run has written already, its sweep having grown since.

    Needed because TensorBoard asks any one of the runs for the columns, and believes the first answer in a run's files.
    """
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        for start, end in _records(content):
            record = content[start + 12 : end - 4]
            if EXPERIMENT.encode() in record:
                changed = _with_columns(record, in_front)
                if changed != record:
                    write_atomically(path, content[:start] + _framed(changed) + content[end:])
                return


def _records(content: bytes) -> Iterator[tuple[int, int]]:
    """Where the records of an event file begin and end: 8 bytes of length, 4 of its checksum, data, 4 of theirs."""
    start = 0
    while (end := start + 16 + int.from_bytes(content[start : start + 8], "little")) <= len(content):
        yield start, end
        start = end


def _framed(record: bytes) -> bytes:
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(record))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, record))
    return length + next(checksums) + record + next(checksums)


def _with_columns(record: bytes, in_front: Sequence[str]) -> bytes:
    """The event that describes the table, with these columns in front."""
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
    from tensorboardX.proto.event_pb2 import Event

    event = Event.FromString(record)
    plugin_data = event.summary.value[0].metadata.plugin_data
    table = HParamsPluginData.FromString(plugin_data.content)
    for info in table.experiment.hparam_infos:
        info.differs = info.name in in_front
    plugin_data.content = table.SerializeToString()
    content: bytes = event.SerializeToString()
    return content


def _hparams(settings: TrainSettings, in_front: Sequence[str]) -> dict[str, bytes]:
    """What the page of HParams reads: its columns and metrics, and this run's values.

    What the run's model does not have is '-' among texts and empty among numbers: a text there would break the sorting.
    It is not in front either, because the parallel coordinates leave out a run where a column is empty.
    """
    from tensorboard.plugins.hparams import api_pb2
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    types = {bool: api_pb2.DATA_TYPE_BOOL, float: api_pb2.DATA_TYPE_FLOAT64, str: api_pb2.DATA_TYPE_STRING}
    table, row = api_pb2.Experiment(), SessionStartInfo()
    own = {"smoothing.k": 0.0} | flat(settings.plain())  # no smoothing is k = 0
    for tag in METRICS:
        table.metric_infos.add(name=api_pb2.MetricName(tag=tag))
    for key, kind in columns().items():
        value = "-" if kind is str and own.get(key) is None else own.get(key)
        table.hparam_infos.add(name=key, type=types[kind], differs=key in in_front and value is not None)
        if value is not None:
            field = {bool: "bool_value", float: "number_value", str: "string_value"}[kind]
            setattr(row.hparams[key], field, kind(value))
    content = {
        "experiment": HParamsPluginData(experiment=table),
        "session_start_info": HParamsPluginData(session_start_info=row),
    }
    return {kind: data.SerializeToString() for kind, data in content.items()}


def _curves(settings: TrainSettings) -> dict[str, list[Any]]:
    """The charts of the custom page, by title. Their tags are regular expressions."""
    charts = {"loss, nats per character": ["train/loss", "val/loss", COUNTED]}
    if settings.model.net is not None and not isinstance(settings.smoothing, NoSmoothing):
        charts["what is minimised: loss and penalty"] = ["train/objective", "train/loss"]
    return {title: ["Multiline", [f"^{tag}$" for tag in tags]] for title, tags in charts.items()}


def _over_orders(settings: TrainSettings) -> dict[str, dict[str, list[Any]]]:
    """The page of the charts over the orders of an n-gram model, where there are several."""
    if getattr(settings.model, "order", 2) <= 2:
        return {}
    charts = {
        "loss of each order alone, nats per character": "(train|val|test)_loss",
        "share of characters whose context train knows": "(val|test)_contexts_seen",
        "share of characters that train knows after it": "(val|test)_ngrams_seen",
        "parameters of the smoothing method": "smoothing_.*",
        "how many n-grams occur 1, 2, 3, 4 times": "ngrams_occurring_[1-4]x",
    }
    lines = {title: ["Multiline", [f"^{GROUP}/{tags}$"]] for title, tags in charts.items()}
    return {"order by order (what is called step is the order)": lines}


def _table(head: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {head} | |", "|:--|:--|", *(f"| {_plain(key)} | {_plain(value)} |" for key, value in rows.items())]
    return "\n".join(lines)


def _counted(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(text: str) -> str:
    """Text on one line in which Markdown finds nothing to interpret."""
    text = re.sub(r"([\\`*_{}\[\]()#+!|~-])", r"\\\1", printable(text).replace("\n", " "))
    return text.replace("&", "&amp;").replace("<", "&lt;")


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
