"""The two ways to fit a model, counting and gradient descent, behind one interface; counting stands here."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nextchar.config.model_settings import Arpa
from nextchar.config.train_settings import TrainSettings
from nextchar.data.load import Dataset
from nextchar.models.base import LanguageModel
from nextchar.models.ngram import arpa_reader
from nextchar.models.ngram.backoff import BackoffModel, check_sums
from nextchar.models.ngram.fit import NgramFit, fit_ngrams
from nextchar.models.ngram.model import CountModel
from nextchar.runs.folder import RunFolder, log
from nextchar.runs.record import FileRecord
from nextchar.training.progress import Progress
from nextchar.training.tensorboard import TensorBoardWriter


@dataclass(frozen=True)
class Fitted:
    """A fitted model, and the n-grams of train: those it consists of, or the bigrams that a net is compared with.

    `step`: optimizer steps taken. `optimum`: the least loss on train that a net can reach; None where it is unknown.
    """

    model: LanguageModel
    counting: NgramFit
    step: int = 0
    optimum: float | None = None


class Strategy(Protocol):
    """Fits the model that the settings name. Made before there is a run folder: refuses what cannot be fitted."""

    first_step: int  # the optimizer step at which fitting begins

    def restore(self, folder: Path) -> None:
        """Reads the last checkpoint in the folder of an interrupted run. Raises BadInput if it cannot be resumed."""

    def fit(self, folder: RunFolder, board: TensorBoardWriter, progress: Progress) -> Fitted:
        """Fits the model; its curves go to the board, curves and checkpoints to the folder. Raises Diverged, Pruned."""

    def notes(self, fitted: Fitted, train_loss: float) -> list[str]:
        """Remarks on the fitted model for the user. Raises Diverged if its loss is far worse than guessing."""


def read_arpa(settings: Arpa) -> tuple[BackoffModel, FileRecord]:
    """Reads a model that is given and not fitted, with the size and digest of its file."""
    path, digest = Path(settings.path), hashlib.sha256()
    vocabulary, tables = arpa_reader.read(path, digest.update)
    check_sums(tables, vocabulary, f"model.path={path}")
    return BackoffModel(vocabulary, tables), FileRecord(size=path.stat().st_size, sha256=digest.hexdigest())


class CountFit:
    """Fits an n-gram model by counting train; the parameters of its smoothing are estimated on train or on val."""

    first_step = 0

    def __init__(self, settings: TrainSettings, dataset: Dataset, given: BackoffModel | None) -> None:
        self.settings, self.dataset, self.given = settings, dataset, given

    def restore(self, folder: Path) -> None:
        """Counting keeps no checkpoints; it begins again."""

    def fit(self, folder: RunFolder, board: TensorBoardWriter, progress: Progress) -> Fitted:
        with progress.phase("counting"):
            counting = fit_ngrams(self.settings, self.dataset.vocabulary, self.dataset.splits, self.given)
        log.info("n-grams %s, smoothing %s", counting.sizes, counting.parameters)
        if isinstance(counting.model, CountModel):
            board.histograms({"counts": counting.model.tables[-1].counts}, 0)
        folder.facts.ngrams, folder.facts.smoothing = counting.sizes, counting.parameters
        return Fitted(counting.model, counting)

    def notes(self, fitted: Fitted, train_loss: float) -> list[str]:
        left, all_ = sum(fitted.counting.sizes), fitted.counting.unpruned
        return [f"pruned: {left:,} of {all_:,} n-grams are left"] if left < all_ else []
