"""A training run: settings -> text -> splits in ids -> fit -> model -> evaluation -> run folder."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nextchar.config.model_settings import Arpa
from nextchar.config.train_settings import TrainSettings
from nextchar.config.trainer_settings import Ddp
from nextchar.data.load import Dataset, load
from nextchar.errors import Stop
from nextchar.evaluation.measure import measure
from nextchar.models.ngram.dask_counts import check_cluster
from nextchar.runs.folder import RunFolder
from nextchar.runs.record import PROJECT, RunFacts
from nextchar.runs.train_log import log
from nextchar.training import outputs
from nextchar.training.progress import SILENT, Progress, Result
from nextchar.training.strategies import CountFit, Given, Report, Strategy
from nextchar.training.tensorboard import FIRST_COLUMNS

if TYPE_CHECKING:
    from nextchar.training.tensorboard import TensorBoardWriter


def train(
    settings: TrainSettings,
    at: Path | None = None,
    progress: Progress = SILENT,
    report: Report = lambda step, loss: None,
    first_columns: Sequence[str] = FIRST_COLUMNS,
) -> Result:
    """Trains in a folder of its own (`at`, or a new one under outputs/), reports the result, then writes the files.

    `report` receives the loss on val while a net is trained, and may raise Pruned to end the run. `first_columns` are
    the settings that TensorBoard's table shows first. Raises BadInput, as a rule before there is a folder; Diverged;
    Pruned; Interrupted.
    """
    if not isinstance(settings.trainer, Ddp):
        return _train(settings, at, progress, report, first_columns)
    with progress.phase("importing torch and lightning"):
        from nextchar.training import distributed
    with distributed.launched(settings.trainer) as rank:
        if rank == 0:
            return _train(settings, at, progress, report, first_columns)
        from nextchar.training.gradient import GradientFit

        GradientFit(settings, load(settings.data)).take_part()
    raise AssertionError("processes other than rank 0 end in `launched`")


def _train(
    settings: TrainSettings, at: Path | None, progress: Progress, report: Report, first_columns: Sequence[str]
) -> Result:
    facts = RunFacts()
    lap = _stopwatch(facts.seconds)
    with Stop() as stop:
        if settings.cluster.address is not None:
            check_cluster(settings.cluster.address)
        with progress.phase("reading the text"):
            given = Given.read(settings.model) if isinstance(settings.model, Arpa) else None
            dataset = load(settings.data, given.model.vocabulary if given else None)
        lap("read")
        fitting = _strategy(settings, dataset, given, progress)
        with _folder(settings, at, fitting.restore, facts, stop) as folder:
            facts.vocabulary, facts.data = dataset.vocabulary.characters, dataset.report
            facts.model_file = fitting.model_file
            log.info("settings %s", folder.settings.plain())
            log.info("data %s", dataset.report.plain())
            with _board(folder, fitting.first_step, first_columns) as board:
                fitted = fitting.fit(folder, board, progress, report)
                facts.ngrams, facts.smoothing, facts.curves = fitted.ngrams, fitted.parameters, dict(fitted.curves)
                lap("learn")
                with progress.phase("measuring the loss"):
                    measured = measure(fitted.model, dataset.splits, settings.data.is_text, fitted.counting)
                notes = [*dataset.report.notes, *measured.notes, *fitting.notes(fitted, measured.metrics["train/loss"])]
                lap("evaluate")
                with progress.phase("sampling"):
                    samples = outputs.sample(fitted.model, settings)
                lap("sample")
                for note in notes:
                    log.warning("note: %s", note)
                log.info("metrics %s", measured.metrics)
                log.info("samples %s", samples)
                result = Result(folder.path, measured.metrics, samples, dataset.report, notes, dict(facts.seconds))
                progress.result(result)
                with progress.phase("writing the run folder"):
                    outputs.write(folder, board, dataset, fitted, result, measured.losses["test"])
                lap("write")
            facts.metrics = measured.metrics
    return result


def _strategy(settings: TrainSettings, dataset: Dataset, given: Given | None, progress: Progress) -> Strategy:
    """The strategy that the settings ask for. Raises BadInput where they ask too much of this machine."""
    if settings.model.net is None:
        return CountFit(settings, dataset, given)
    with progress.phase("importing torch and lightning"):
        from nextchar.training.gradient import GradientFit
    return GradientFit(settings, dataset)


def record_failure(settings: TrainSettings, at: Path | None, error: Exception) -> None:
    """Records a run that could not begin, for example because its text is missing, in a folder of its own."""
    try:
        with _folder(settings, at, lambda path: None, RunFacts(), Stop()):
            raise error
    except Exception as raised:
        if raised is not error:
            raise


def _folder(
    settings: TrainSettings, at: Path | None, check: Callable[[Path], None], facts: RunFacts, stop: Stop
) -> RunFolder:
    """A new run folder, or that of the run to resume if `check` accepts it."""
    if settings.resume is not None:
        return RunFolder.resume(Path(settings.resume), settings, check, facts, stop)
    return RunFolder.create(PROJECT / "outputs", settings.model.name, settings, at, facts, stop)


@contextmanager
def _board(folder: RunFolder, first_step: int, first_columns: Sequence[str]) -> Iterator["TensorBoardWriter"]:
    """The run's TensorBoard file; its settings and data are described in it."""
    from nextchar.training.tensorboard import TensorBoardWriter

    board = TensorBoardWriter(folder.path, first_step)
    try:
        assert folder.facts.data is not None
        board.describe(folder.settings, folder.facts.data.plain(), first_columns)
        yield board
    finally:
        with suppress(OSError):  # of a full disk; where it matters, `outputs.write` has raised it
            board.close()


def _stopwatch(seconds: dict[str, float]) -> Callable[[str], None]:
    """A function that enters the seconds since its last call under the name of a phase."""
    since = time.perf_counter()

    def lap(phase: str) -> None:
        nonlocal since
        now = time.perf_counter()
        seconds[phase] = round(now - since, 4)
        since = now

    return lap
