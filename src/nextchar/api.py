"""nextchar from Python; the command line runs these functions too.

Settings are words as on the command line: `train("model=nn", "optim.lr=15")`. A wrong one raises BadInput, a
ValueError whose message is one line. Nothing is printed; a `progress` receives what the command line shows.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextchar.config.compose import Command, command_of, run_settings
from nextchar.config.fields import typed_only
from nextchar.config.recorded import recorded_settings
from nextchar.config.train_settings import TrainCommand, TrainSettings
from nextchar.data.encoded import Split
from nextchar.data.vocabulary import Vocabulary
from nextchar.errors import BadInput, Interrupted
from nextchar.messages import html_table
from nextchar.models.base import LanguageModel
from nextchar.models.ngram.fit import fit_ngrams
from nextchar.runs.folder import unfinished_settings
from nextchar.runs.run import Run, open_run
from nextchar.training.progress import SILENT, Progress
from nextchar.training.train import train as train_run

if TYPE_CHECKING:  # imported when first used: training one run needs neither
    from nextchar.comparison.ranking import Comparison
    from nextchar.sweeps.sweep_folder import SweepFolder

__all__ = ["Run", "Sweep", "compare", "ngram", "open_run", "sweep", "train"]

# Threads train one after the other: torch's number of threads, the logs and the warnings belong to the process
_TRAINING = threading.RLock()


def train(*words: str, progress: Progress = SILENT) -> Run:
    """Trains a model in a folder of its own and opens it. Raises BadInput, Diverged, KeyboardInterrupt.

    >>> run = train("model=count", "figures=false")
    >>> round(run.metrics["test/loss"], 6)
    2.449598
    >>> [(symbol, round(p, 2)) for symbol, p in run.next("em").items()][:2]
    [('a', 0.38), ('i', 0.19)]
    """
    command = command_of("train", TrainCommand, words)
    settings = settings_of(command)
    with _TRAINING, _interrupts_of_python():
        return open_run(train_run(settings, command.path("hydra.run.dir"), progress).folder)


def sweep(*words: str) -> "Sweep":
    """Runs a sweep, as in sweep("model=count", "smoothing.k=0.1,1,10"); jobs that fail do not stop the others.

    Raises BadInput if any job is wrong, before the first begins; KeyboardInterrupt.
    """
    from nextchar.sweeps import launch, monitor, plan  # imports Hydra's launchers

    command = command_of("train", TrainCommand, words, multirun=True)
    planned, settings = plan.plan(command)
    if not settings.dry_run:
        with _TRAINING, _interrupts_of_python():
            launch.run(planned, command, monitor.SweepProgress())
    return Sweep(planned)


def compare(runs: Sequence[Run | str | Path]) -> "Comparison":
    """Ranks runs that were tested on the same text, with paired tests of their differences. Raises BadInput.

    A path names a run, or a folder of runs such as a sweep. A notebook shows the result as a table.
    """
    from nextchar.comparison import ranking

    return ranking.compare([run.path if isinstance(run, Run) else Path(run) for run in runs])


def ngram(
    documents: Sequence[str],
    order: int = 3,
    smoothing: str = "modified_kneser_ney",
    val: Sequence[str] = (),
    **options: Any,
) -> LanguageModel:
    """Counts documents and smooths the counts, without a run folder. `options`: settings of the smoothing method.

    `val`: documents for methods that are fitted on held-out text (jelinek_mercer, tune=True); their characters must
    occur in `documents`. Raises BadInput.

    >>> model = ngram(["emma", "olivia", "ava"], order=2, smoothing="add_k", k=1.0)
    >>> [round(float(p), 3) for p in model.score(model.vocabulary.stream(["ava"]))]
    [-1.705, -1.792, -1.609, -1.099]
    """
    words = [f"model.order={order}", f"smoothing={smoothing}"]
    settings = run_settings(words + [f"smoothing.{key}={value}" for key, value in options.items()])
    if not documents:
        raise BadInput("documents: there are none")
    vocabulary = Vocabulary.of([*documents])
    splits = {name: Split.of(vocabulary, texts) for name, texts in (("train", documents), ("val", val)) if texts}
    if settings.smoothing is not None and settings.smoothing.needs_val and not val:
        raise BadInput(f"smoothing={smoothing} is fitted on held-out documents; give val=[...]")
    return fit_ngrams(settings, vocabulary, splits).model


class Sweep:
    """A sweep that has run. A notebook shows it as a table."""

    def __init__(self, folder: "SweepFolder") -> None:
        self._folder = folder

    @property
    def path(self) -> Path:
        return self._folder.path

    @property
    def runs(self) -> list[Run]:
        """The finished runs, the best first."""
        return [open_run(self.path / job.folder) for job in self._folder.ranked() if job.status == "finished"]

    def table(self) -> list[dict[str, Any]]:
        """A row for each job, the best first: the settings that differ, all metrics, seconds and status."""
        from nextchar.sweeps.table import rows

        head, *jobs = rows(self._folder)
        return [dict(zip(map(str, head), job, strict=True)) for job in jobs]

    def __repr__(self) -> str:
        jobs = self._folder.jobs
        return f"<Sweep of {len(jobs):,} jobs, {sum(job.status == 'finished' for job in jobs):,} of them finished>"

    def _repr_html_(self) -> str:
        from nextchar.sweeps.table import rows

        head, *jobs = rows(self._folder)
        return html_table(map(str, head), jobs, repr(self)[1:-1])


def settings_of(command: Command[TrainCommand]) -> TrainSettings:
    """Returns the settings of the run that a command asks for: new, or those of the run to resume. Raises BadInput."""
    typed = command.typed
    if of_sweep := [key for key in typed if key.startswith(("sweep", "hydra.sweep."))]:
        raise BadInput(f"{of_sweep[0]}: is a setting of a sweep; add -m to sweep")
    if typed.get("resume") is None:
        return command.settings.run()
    allowed = {"resume", "json", "trainer.max_steps", *typed_only(TrainSettings)}
    if others := [key for key in typed if key not in allowed]:
        raise BadInput(f"{others[0]}: a resumed run keeps its settings; only trainer.max_steps can be changed")
    path = command.path("resume")
    if path is None:
        raise BadInput("resume=: must be a path")
    values = unfinished_settings(path) | {"resume": str(path)}
    if "trainer.max_steps" in typed:
        if not isinstance(values.get("trainer"), dict):
            raise BadInput("trainer.max_steps: a counted run has no steps")
        values["trainer"] |= {"max_steps": typed["trainer.max_steps"]}
    if "json" in typed:
        values["json"] = typed["json"]
    return recorded_settings(values, typed, f"resume={path}")


@contextmanager
def _interrupts_of_python() -> Iterator[None]:
    """Ctrl-C is a KeyboardInterrupt, as Python's users expect; its message says how to resume the run."""
    try:
        yield
    except Interrupted as interrupted:
        resume = f'; to resume: train("resume={interrupted.folder}")' if interrupted.folder else ""
        raise KeyboardInterrupt(f"{interrupted}{resume}") from None
