"""A training run: settings -> text -> splits in ids -> fit -> model -> evaluation -> run folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

from nextchar.config.model_settings import Arpa
from nextchar.config.train_settings import TrainSettings
from nextchar.config.trainer_settings import Ddp
from nextchar.data.load import load
from nextchar.errors import Stop
from nextchar.evaluation.measure import measure
from nextchar.models.ngram.dask_counts import check_cluster
from nextchar.runs.folder import RunFolder, log, new_folder
from nextchar.runs.record import PROJECT, RunFacts
from nextchar.training import outputs
from nextchar.training.progress import SILENT, Progress, Result
from nextchar.training.strategies import CountFit, Strategy, read_arpa
from nextchar.training.tensorboard import FIRST_COLUMNS, TensorBoardWriter


def train(
    settings: TrainSettings,
    at: Path | None = None,
    progress: Progress = SILENT,
    first_columns: Sequence[str] = FIRST_COLUMNS,
) -> Result:
    """Trains in a folder of its own (`at`, or a new one under outputs/), reports the result, then writes the files.

    `first_columns` are the settings that TensorBoard's table shows first. Raises BadInput, as a rule before there is a
    folder; Diverged; Interrupted; Pruned, if `progress` does.
    """
    if not isinstance(settings.trainer, Ddp):
        return _train(settings, at, progress, first_columns)
    with progress.phase("importing torch and lightning"):
        from nextchar.training import distributed
    with distributed.launched(settings.trainer) as rank:
        if rank == 0:
            return _train(settings, at, progress, first_columns)
        from nextchar.training.gradient import GradientFit

        GradientFit(settings, load(settings.data)).take_part()
    raise AssertionError("processes other than rank 0 end in `launched`")


def _train(settings: TrainSettings, at: Path | None, progress: Progress, first_columns: Sequence[str]) -> Result:
    facts, given = RunFacts(), None
    with Stop() as stop:
        if settings.cluster.address is not None:
            check_cluster(settings.cluster.address)
        with progress.phase("reading the text"):
            if isinstance(settings.model, Arpa):
                given, facts.model_file = read_arpa(settings.model)
            dataset = load(settings.data, given.vocabulary if given else None)
        facts.vocabulary, facts.data = dataset.vocabulary.characters, dataset.report
        facts.lap("read")
        if settings.model.net is None:
            strategy: Strategy = CountFit(settings, dataset, given)
        else:
            with progress.phase("importing torch and lightning"):
                from nextchar.training.gradient import GradientFit
            strategy = GradientFit(settings, dataset)
        stop.wait()  # a signal between the lock on the folder and the context would leave it locked
        with _folder(settings, at, strategy.restore, facts, stop) as folder:
            stop.go_on()
            log.info("settings %s", folder.settings.plain())
            log.info("data %s", dataset.report.plain())
            with TensorBoardWriter(folder.path, strategy.first_step) as board:
                board.describe(folder.settings, dataset.report.plain(), first_columns)
                fitted = strategy.fit(folder, board, progress)
                facts.lap("learn")
                with progress.phase("measuring the loss"):
                    measured = measure(fitted.model, dataset.splits, settings.data.is_text, fitted.counting)
                notes = dataset.report.notes + measured.notes + strategy.notes(fitted, measured.metrics["train/loss"])
                facts.lap("evaluate")
                with progress.phase("sampling"):
                    samples = outputs.sample(fitted.model, settings)
                facts.lap("sample")
                for note in notes:
                    log.warning("note: %s", note)
                log.info("metrics %s", measured.metrics)
                log.info("samples %s", samples)
                if (error := folder.log_file.failure) is not None:
                    notes.append(f"train.log lacks lines that could not be written: {error.strerror}")
                result = Result(folder.path, measured.metrics, samples, dataset.report, notes, dict(facts.seconds))
                progress.result(result)
                with progress.phase("writing the run folder"):
                    outputs.write(folder, board, dataset, fitted, result, measured.losses["test"])
                facts.lap("write")
            facts.metrics = measured.metrics
    return result


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
    return RunFolder.create(at or new_folder(PROJECT / "outputs", settings.model.name), settings, facts, stop)
