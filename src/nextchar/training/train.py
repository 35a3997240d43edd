"""Training: counting or descent in a run folder of its own, from the text to run.json, however it ends."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nextchar.config.model_settings import Arpa
from nextchar.config.train_settings import TrainSettings
from nextchar.config.trainer_settings import Ddp
from nextchar.data.load import Dataset, load
from nextchar.errors import Diverged, Interrupted, Pruned, Stop, refuse_beyond_memory
from nextchar.evaluation import by_order as orders
from nextchar.evaluation import sampling
from nextchar.evaluation.loss import Loss, loss_on
from nextchar.evaluation.measure import measure
from nextchar.messages import printable
from nextchar.models.base import LanguageModel
from nextchar.models.ngram import arpa_reader
from nextchar.models.ngram.backoff import BackoffModel
from nextchar.models.ngram.dask_counts import check_cluster
from nextchar.models.ngram.fit import NgramFit, fit_ngrams
from nextchar.models.ngram.model import CountModel
from nextchar.plots.model_pictures import WORD_CHARS, picture_of_orders, pictures
from nextchar.runs.folder import RECORD, WEIGHTS, RunFolder
from nextchar.runs.record import (
    CURVE_POINTS,
    LOSSES,
    MOST_UNITS,
    PROJECT,
    SAMPLES,
    Curve,
    FileRecord,
    Record,
    Status,
    circumstances,
    infinite_as_text,
    losses_file,
)
from nextchar.training.progress import SILENT, Progress, Result
from nextchar.training.tensorboard import IN_FRONT

if TYPE_CHECKING:  # what costs time to import is imported where it is needed
    from nextchar.models.nets.net import NetModel
    from nextchar.training.tensorboard import Board
from nextchar.training.log import log, logging_to

SAMPLED = 10  # documents, or pieces of a running text


SAMPLE_CHARS = {False: 1000, True: 100}  # of a document, of a running text


TABLES = 8  # V x V, while a net learns: weights, gradients, running means, shares, and what a step computes


@dataclass(frozen=True)
class Given:
    """A model that is read from a file."""

    model: BackoffModel
    file: FileRecord


def read_given(model: Arpa) -> Given:
    path = Path(model.path)
    vocabulary, tables = arpa_reader.read(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Given(BackoffModel(vocabulary, tables), FileRecord(size=path.stat().st_size, sha256=digest))


@dataclass
class Stopwatch:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.perf_counter)

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self.seconds[phase] = round(now - self._since, 4)
        self._since = now


def train(
    settings: TrainSettings,
    at: Path | None = None,
    progress: Progress = SILENT,
    report: Callable[[int, float], None] = lambda step, loss: None,
    in_front: Sequence[str] = IN_FRONT,
) -> Result:
    """Trains in a folder of its own (`at`, or a new one under outputs/), reports the result, then writes the rest.

    `report` hears the loss on val while a net learns, and may raise Pruned to end the run; `in_front` are the settings
    that TensorBoard's table shows first. Raises BadInput, as a rule before there is a folder;
    Diverged; Pruned; Interrupted.
    """
    if not isinstance(settings.trainer, Ddp):
        return _train(settings, at, progress, report, in_front)
    with progress.phase("importing torch and lightning"):
        from nextchar.training import distributed as processes
    place = processes.called(settings.trainer)
    with processes.company(place) if place is not None else nullcontext():
        if place is None or place.rank == 0:
            return _train(settings, at, progress, report, in_front)
        _take_part(settings)
    raise AssertionError("another process than rank 0 ends with its company")


def _take_part(settings: TrainSettings) -> None:
    """What a process does that torchrun or srun has started beside that of the run."""
    from nextchar.training.gradient import take_part

    source = load(settings.data)
    _agree(settings, source)
    take_part(settings, {name: part.stream for name, part in source.splits.items()}, len(source.vocabulary))


def _agree(settings: TrainSettings, source: Dataset) -> None:
    """Raises BadInput where the run has several processes, and these were told or have read different things."""
    if isinstance(settings.trainer, Ddp):
        from nextchar.training.distributed import agree

        agree(
            settings.plain() | {"data": settings.data.model_copy(update={"path": None}).plain()}, source.report.sha256
        )


def _train(
    settings: TrainSettings,
    at: Path | None,
    progress: Progress,
    report: Callable[[int, float], None],
    in_front: Sequence[str],
) -> Result:
    started, watch = datetime.now(UTC), Stopwatch()
    with Stop() as stop:
        if settings.cluster.address is not None:
            check_cluster(settings.cluster.address)
        with progress.phase("reading the text"):
            given = read_given(settings.model) if isinstance(settings.model, Arpa) else None
            source = load(settings.data, given.model.vocabulary if given else None)
        watch.lap("read")
        _agree(settings, source)
        _refuse_too_large(settings, len(source.vocabulary))
        with _folder(settings, at) as folder:
            settings = settings.model_copy(update={"resume": None})
            if folder.reopened:
                _take_up(folder, settings, source)
            with logging_to(folder.path / "train.log"):
                error: BaseException | None = None
                result: Result | None = None
                run = _Run(settings, source, given, folder, progress, report, in_front)
                try:
                    result = _learn_and_show(run, watch, progress)
                    stop.hold()  # from here on run.json gets written, however often one asks to stop
                    error = stop.asked
                except BaseException as raised:
                    stop.hold()
                    error = stop.asked or raised
                    if isinstance(error, OSError) and error.errno is not None and error.filename is None:
                        error.filename = str(folder.path)  # of a full disk, met by what writes the events
                    log.error("%s: %s", *_ending(error), exc_info=raised)
                try:
                    folder.finish(_record(settings, folder, run, started, watch.seconds, result, *_ending(error)))
                except Exception as unwritten:  # must not hide why the run ended
                    log.exception("%s could not be written", RECORD)
                    error = error or unwritten
                if error is not None:
                    if isinstance(error, Interrupted):
                        error.folder = folder.path
                    raise error
    assert result is not None
    return result


def record_failure(settings: TrainSettings, at: Path | None, error: Exception) -> None:
    """The folder of a run that could not begin, as where its text is missing: run.json and train.log say why."""
    started = datetime.now(UTC)
    with _folder(settings, at) as folder:
        settings = settings.model_copy(update={"resume": None})
        if folder.reopened:
            folder.go_on(settings)
        with logging_to(folder.path / "train.log"):
            log.error("%s: %s", *_ending(error), exc_info=error)
        folder.finish(_record(settings, folder, None, started, {}, None, *_ending(error)))


def _folder(settings: TrainSettings, at: Path | None) -> RunFolder:
    if settings.resume is not None:
        return RunFolder.reopen(Path(settings.resume))
    return RunFolder.create(PROJECT / "outputs", settings.model.name, settings, at)


def _take_up(folder: RunFolder, settings: TrainSettings, source: Dataset) -> None:
    """Goes on with a run. Raises BadInput, the folder left as it was, where its checkpoint does not allow it."""
    if settings.trainer is not None:
        from nextchar.training.checkpoints import checkpoint

        checkpoint(folder.path, source.report.sha256, settings.trainer.max_steps)
    folder.go_on(settings)


def _ending(error: BaseException | None) -> tuple[Status, str]:
    """Status and reason of a run that ended with this error, or with none."""
    if error is None:
        return "finished", ""
    reason = str(error) or type(error).__name__
    if isinstance(error, Diverged):
        return "diverged", reason
    if isinstance(error, Pruned):
        return "pruned", reason
    return ("interrupted" if isinstance(error, Interrupted | KeyboardInterrupt) else "failed"), reason


def _refuse_too_large(settings: TrainSettings, vocab_size: int) -> None:
    """Raises BadInput, before there is a folder, where the V x V tables of a net would not fit."""
    if settings.trainer is not None:
        processes = settings.trainer.devices if isinstance(settings.trainer, Ddp) else 1
        need = processes * TABLES * vocab_size**2 * settings.trainer.precision // 8
        what = f"model={settings.model.name} for {vocab_size - 1:,} distinct characters"
        refuse_beyond_memory(what, need, "model=count stores only the pairs that occur")


def _learn_and_show(run: "_Run", watch: Stopwatch, progress: Progress) -> Result:
    settings, report = run.settings, run.source.report
    log.info("settings %s", settings.plain())
    log.info("data %s", report.plain())
    try:
        with progress.phase("counting"):
            run.count()
        model = run.learn()
        watch.lap("learn")
        with progress.phase("measuring the loss"):
            values, notes, losses = measure(model, run.source.splits, settings.data.is_text, run.counted)
        notes = [*report.notes, *notes, *run.judge(values["train/loss"])]
        watch.lap("evaluate")
        with progress.phase("sampling"):
            samples = run.samples(model)
        watch.lap("sample")
        for note in notes:
            log.warning("note: %s", note)
        log.info("metrics %s", values)
        log.info("samples %s", samples)
        result = Result(run.folder.path, values, samples, report, notes, dict(watch.seconds))
        progress.result(result)
        with progress.phase("writing the run folder"):
            run.write(model, values, losses["test"], samples)
        watch.lap("write")
    finally:
        run.close()
    return result


class _Run:
    """One training run between its data and its record."""

    def __init__(
        self,
        settings: TrainSettings,
        source: Dataset,
        given: Given | None,
        folder: RunFolder,
        progress: Progress,
        report: Callable[[int, float], None],
        in_front: Sequence[str],
    ) -> None:
        self.settings, self.source, self.given, self.folder = settings, source, given, folder
        self.progress, self.report, self.in_front = progress, report, in_front
        self.vocabulary = source.vocabulary
        self._counting: NgramFit | None = None
        self.step = 0
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self.board: Board | None = None

    def count(self) -> None:
        """What every run does: a net is drawn beside the counted model of its pairs."""
        self._counting = fit_ngrams(self.settings, self.source, self.given.model if self.given else None)
        if self.settings.model.net is None:
            log.info("n-grams %s, smoothing %s", self.ngrams, self.parameters)

    @property
    def counted(self) -> NgramFit | None:
        """What was counted, where that is the model."""
        return self.counting if self.settings.model.net is None else None

    @property
    def counting(self) -> NgramFit:
        assert self._counting is not None, "a run counts first"
        return self._counting

    @property
    def parameters(self) -> dict[str, list[float]]:
        """Of the smoothing method: what was estimated, fitted or set, by order; of a net, and before: none."""
        if self._counting is None or self.settings.model.net is not None:
            return {}
        return self._counting.parameters

    @property
    def ngrams(self) -> list[int]:
        """How many different ones the model holds, by order; a net, and before: none."""
        if self._counting is None or self.settings.model.net is not None:
            return []
        return self._counting.sizes

    def learn(self) -> LanguageModel:
        """Counts, or descends."""
        if self.settings.model.net is None:
            return self.counting.model
        with self.progress.phase("importing torch and lightning"):
            from nextchar.training.gradient import descend

        model, self.step, self.curves = descend(
            self.settings,
            {name: part.stream for name, part in self.source.splits.items()},
            self.vocabulary,
            self.folder,
            self.source.report.sha256,
            loss_on(self.counting.model, self.source.splits["train"], self.settings.data.is_text).value,
            self._open_board,
            self._glimpse,
            self.report,
            self.progress,
        )
        return model

    def judge(self, loss: float) -> list[str]:
        """What must be said of the final loss on train. Raises Diverged where it is far worse than guessing."""
        if self.settings.model.net is None:
            return self._of_pruning()
        from nextchar.training.divergence import TOO_BAD, diverged

        uniform = math.log(len(self.vocabulary))
        what = f"train/loss is {loss:.4g} nats per character, worse than a uniform guess ({uniform:.4f})"
        if not loss <= uniform + TOO_BAD:
            raise diverged(self.settings, self.step, what)
        return [what] if loss > uniform else []

    def _of_pruning(self) -> list[str]:
        left, all_ = sum(self.ngrams), self.counting.unpruned
        return [f"pruned: {left:,} of {all_:,} n-grams are left"] if left < all_ else []

    def samples(self, model: LanguageModel) -> list[str]:
        """What the model says. The random numbers begin anew at every look, so that only the model has changed."""
        chars = SAMPLE_CHARS[self.settings.data.is_text]
        return list(sampling.sample(model, SAMPLED, self.settings.seed, max_chars=chars))

    def write(self, model: LanguageModel, values: dict[str, float], tested: Loss, samples: list[str]) -> None:
        """Weights, sums of the test part, samples, TensorBoard and pictures."""
        import safetensors.numpy

        self.folder.write(WEIGHTS, safetensors.numpy.save(model.tensors()))
        if len(tested.nll) <= MOST_UNITS:
            self.folder.write(LOSSES, losses_file(tested))
        self.folder.write(SAMPLES, ("\n".join(map(printable, samples)) + "\n").encode())
        board = self.board or self._open_board(0)
        board.scalars({key: value for key, value in values.items() if not key.endswith(("low", "high"))}, self.step)
        if self.settings.model.net is None:
            board.samples(samples, 0)
        if isinstance(model, CountModel):
            board.histograms({"counts": model.tables[-1].counts}, 0)
        by_order = self.by_order(model)
        if by_order is not None:
            board.over_orders(by_order.curves())
            self.curves |= {tag: list(enumerate(loss.tolist(), 1)) for tag, loss in by_order.losses().items()}
        if self.settings.figures:
            from nextchar.plots.matrices import png

            train, opening = self.source.splits["train"], self.source.splits["test"].opening(WORD_CHARS + 1)
            for name, picture in pictures(model, self.counting.pairs, train, opening):
                self.folder.write(f"figures/{name}.png", png(picture))
                board.image(name, picture, self.step)
            if by_order is not None and by_order.highest > 2:  # of two points one sees nothing
                picture = picture_of_orders(by_order, model)
                self.folder.write("figures/orders.png", png(picture))
                board.image("orders", picture, self.step)
        board.close()

    def by_order(self, model: LanguageModel) -> orders.OrderReport | None:
        """What each order of an n-gram model is worth on each part."""
        if not orders.has_orders(model):
            return None
        worths: dict[int, orders.OrderMetrics] = {}  # split=all has one part under three names
        for name, part in self.source.splits.items():
            if id(part) not in worths:
                windows = self.counting.train
                if name != "train" or windows.order != model.context + 1:
                    windows = orders.count_for(model, part.blocks(model.context))
                worths[id(part)] = orders.measure_orders(model, windows)
        by_part = {name: worths[id(part)] for name, part in self.source.splits.items()}
        return orders.OrderReport(by_part, self.parameters, self.counting.counts_of_counts)

    def close(self) -> None:
        """Closes the board of a run that ended badly too."""
        if self.board is not None:
            with suppress(OSError):  # of a full disk; it was raised before
                self.board.close()

    def _open_board(self, step: int) -> "Board":
        from nextchar.training.tensorboard import Board

        self.board = Board(self.folder.path, step)
        self.board.describe(self.settings, self.source.report.plain(), self.in_front)
        return self.board

    def _glimpse(self, model: "NetModel", board: "Board", step: int) -> None:
        board.samples(self.samples(model), step)
        board.histograms(model.tensors(), step)


def _record(
    settings: TrainSettings,
    folder: RunFolder,
    run: _Run | None,
    started: datetime,
    seconds: dict[str, float],
    result: Result | None,
    status: Status,
    reason: str,
) -> Record:
    """run.json; `run` is None where it could not begin."""
    return Record(
        schema_version=1,
        status=status,
        reason=reason,
        settings=settings,
        vocabulary=run.vocabulary.characters if run else "",
        metrics=infinite_as_text(result.metrics if result else {}),
        curves={tag: _thinned(points) for tag, points in run.curves.items()} if run else {},
        data=run.source.report if run else None,
        model_file=run.given.file if run and run.given else None,
        ngrams=run.ngrams if run else [],
        smoothing=run.parameters if run else {},
        seeds=dict.fromkeys(("weights", "batches", "samples"), settings.seed),
        started=started.isoformat(timespec="seconds"),
        seconds=seconds,
        files=folder.files,
        **circumstances(),
    )


def _thinned(points: list[tuple[int, float]]) -> Curve:
    """At most 200 points of a curve, evenly spread, both ends among them."""
    kept = [points[i] for i in sorted({round(i) for i in np.linspace(0, len(points) - 1, CURVE_POINTS)})]
    values = infinite_as_text({str(step): loss for step, loss in kept})
    return Curve(steps=[step for step, _ in kept], values=list(values.values()))
