"""A search for the best settings with Optuna's ask and tell; its study is optuna.db in the sweep's folder."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextchar.errors import BadInput, Pruned
from nextchar.sweeps.sweep_folder import Job, Range, Search
from nextchar.training.progress import Progress

if TYPE_CHECKING:
    import optuna

STORAGE = "optuna.db"
STUDY = "nextchar"
STARTUP_TRIALS = 5  # never pruned
REPORTS = 20  # intermediate losses per run; each is written to the database


class Study:
    """Optuna's study of a search. The number of a trial is that of its job."""

    def __init__(self, folder: Path, search: Search) -> None:
        require()
        self.search = search
        self._distributions = {key: _distribution(each) for key, each in search.ranges.items()}
        self._study, _ = _open(folder)

    def ask(self) -> list[str]:
        """Chooses a new trial and returns its overrides."""
        import optuna

        # Each trial has a sampler with a seed of its own, so that a resumed search chooses as if it had not stopped
        number, seed = len(self._study.trials), self.search.settings.seed
        kinds = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
        self._study.sampler = kinds[self.search.settings.sampler](seed=(seed + 1_000_003 * number) % 2**32)
        self._study.ask(self._distributions)
        return self.asked()[-1]

    def asked(self) -> list[list[str]]:
        """The overrides of each trial so far."""
        return [[f"{key}={value}" for key, value in trial.params.items()] for trial in self._study.trials]

    def tell(self, job: Job, metric: str) -> None:
        """Stores the result of a trial. Ignores failed, interrupted and killed ones, which are run again."""
        from optuna.trial import TrialState

        if self._study.trials[job.number].state.is_finished():
            return
        if job.status == "finished":
            self._study.tell(job.number, job.loss(metric if metric in job.metrics else "train/loss"))
        elif job.status in ("pruned", "diverged"):  # samplers rank these below all finished trials
            self._study.tell(job.number, state=TrialState.PRUNED)


class TrialProgress(Progress):
    """Stores the losses of a trial and, with `prune`, ends unpromising trials.

    It raises Pruned by Optuna's median rule: after a quarter of its steps, when the trial's best loss so far is above
    the median of the finished trials at the same step.
    """

    def __init__(self, folder: Path, job: Job, prune: bool) -> None:
        import optuna

        steps = job.settings.trainer.max_steps if job.settings.trainer else 0
        study, storage = _open(folder)
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=steps // 4)
        trial_id = storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(STUDY), job.number)
        self.trial, self.prune = optuna.Trial(study, trial_id), prune
        self.every, self.next_report = steps // REPORTS, 0

    def validated(self, step: int, loss: float) -> None:
        if step < self.next_report:
            return
        self.next_report = step + self.every
        self.trial.report(loss, step)
        if self.prune and self.trial.should_prune():
            raise Pruned(f"stopped early at step {step}: {loss:.4f} is above the median of the earlier trials there")


def require() -> None:
    """Raises BadInput where Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError:
        raise BadInput("sweep=optuna needs Optuna; pip install optuna") from None


def _open(folder: Path) -> "tuple[optuna.Study, optuna.storages.RDBStorage]":
    """Opens or creates the study in a sweep's folder. Raises BadInput if the file holds no study."""
    import optuna

    logging.getLogger("alembic").setLevel(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it warns of a damaged file too, which the line below names
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder / STORAGE}")
        study = optuna.create_study(storage=storage, study_name=STUDY, direction="minimize", load_if_exists=True)
        study.get_trials(deepcopy=False)  # reads all: a damaged one shows here
    except Exception as error:  # a damaged file can fail anywhere in Optuna and in SQLAlchemy
        raise BadInput(f"{folder / STORAGE}: not the study of this search ({type(error).__name__})") from None
    return study, storage


def _distribution(each: Range) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if each.choices is not None:
        return CategoricalDistribution(each.choices)
    if isinstance(each.low, int) and isinstance(each.high, int):
        return IntDistribution(each.low, each.high, log=each.log, step=int(each.step or 1))
    assert each.low is not None
    assert each.high is not None
    return FloatDistribution(each.low, each.high, log=each.log, step=each.step)
