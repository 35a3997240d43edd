"""The two ways to fit a model, counting and gradient descent, behind one interface; counting stands here."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nextchar.config.model_settings import Arpa
from nextchar.config.train_settings import TrainSettings
from nextchar.data.load import Dataset
from nextchar.models.base import LanguageModel
from nextchar.models.ngram import arpa_reader
from nextchar.models.ngram.backoff import BackoffModel
from nextchar.models.ngram.fit import NgramFit, fit_ngrams
from nextchar.models.ngram.model import CountModel
from nextchar.runs.folder import RunFolder
from nextchar.runs.record import FileRecord, Points
from nextchar.runs.train_log import log
from nextchar.training.progress import Progress

if TYPE_CHECKING:
    from nextchar.training.tensorboard import TensorBoardWriter

Report = Callable[[int, float], None]  # receives (step, loss on val) at every log point; may raise Pruned


@dataclass(frozen=True)
class Fitted:
    """A fitted model, and the n-grams of train: those it consists of, or the bigrams that a net is compared with.

    `step`: optimizer steps taken. `curves`: losses by name as (step, loss). `ngrams`: how many different n-grams the
    model holds, by order. `parameters`: of the smoothing method, by name, one an order.
    """

    model: LanguageModel
    counting: NgramFit
    step: int = 0
    curves: dict[str, Points] = field(default_factory=dict)
    ngrams: list[int] = field(default_factory=list)
    parameters: dict[str, list[float]] = field(default_factory=dict)


class Strategy(Protocol):
    """Fits the model that the settings name. Made before there is a run folder: refuses what cannot be fitted."""

    model_file: FileRecord | None  # the file that the model was read from
    first_step: int  # the optimizer step at which fitting begins

    def restore(self, folder: Path) -> None:
        """Reads the last checkpoint in the folder of an interrupted run. Raises BadInput if it cannot be resumed."""

    def fit(self, folder: RunFolder, board: "TensorBoardWriter", progress: Progress, report: Report) -> Fitted:
        """Fits the model; its curves go to the board, its checkpoints to the folder. Raises Diverged, Pruned."""

    def notes(self, fitted: Fitted, train_loss: float) -> list[str]:
        """Remarks on the fitted model for the user. Raises Diverged if its loss is far worse than guessing."""


@dataclass(frozen=True)
class Given:
    """A model that is read from an ARPA file, not fitted."""

    model: BackoffModel
    file: FileRecord

    @classmethod
    def read(cls, settings: Arpa) -> "Given":
        path, digest = Path(settings.path), hashlib.sha256()
        vocabulary, tables = arpa_reader.read(path, digest.update)
        file = FileRecord(size=path.stat().st_size, sha256=digest.hexdigest())
        return cls(BackoffModel(vocabulary, tables), file)


class CountFit:
    """Fits an n-gram model by counting train; the parameters of its smoothing are estimated on train or on val."""

    first_step = 0

    def __init__(self, settings: TrainSettings, dataset: Dataset, given: Given | None) -> None:
        self.settings, self.dataset = settings, dataset
        self.given = given.model if given else None
        self.model_file = given.file if given else None

    def restore(self, folder: Path) -> None:
        """Counting keeps no checkpoints; it begins again."""

    def fit(self, folder: RunFolder, board: "TensorBoardWriter", progress: Progress, report: Report) -> Fitted:
        with progress.phase("counting"):
            counting = fit_ngrams(self.settings, self.dataset.vocabulary, self.dataset.splits, self.given)
        log.info("n-grams %s, smoothing %s", counting.sizes, counting.parameters)
        if isinstance(counting.model, CountModel):
            board.histograms({"counts": counting.model.tables[-1].counts}, 0)
        return Fitted(counting.model, counting, ngrams=counting.sizes, parameters=counting.parameters)

    def notes(self, fitted: Fitted, train_loss: float) -> list[str]:
        left, all_ = sum(fitted.ngrams), fitted.counting.unpruned
        return [f"pruned: {left:,} of {all_:,} n-grams are left"] if left < all_ else []
