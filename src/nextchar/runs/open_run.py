"""A finished run, opened again."""

from pathlib import Path
from typing import TYPE_CHECKING

from nextchar.config.command_settings import EvaluateSettings
from nextchar.config.data_settings import Data
from nextchar.config.fields import validated
from nextchar.config.model_settings import Arpa, Count
from nextchar.data import load
from nextchar.data.vocabulary import Ids, Vocabulary
from nextchar.errors import BadInput
from nextchar.models.base import LanguageModel
from nextchar.models.ngram.backoff import BackoffModel
from nextchar.models.ngram.model import CountModel
from nextchar.runs.folder import WEIGHTS
from nextchar.runs.record import Record
from nextchar.runs.saved import open_record, open_weights

if TYPE_CHECKING:  # drawing takes time to import
    pass
from nextchar.evaluation.measure import measure


def open_model(path: Path) -> tuple[Record, LanguageModel]:
    """A run folder -> its record and its model, without running any code from it. Raises BadInput."""
    record = open_record(path)
    settings, vocabulary = record.settings, Vocabulary(record.vocabulary)
    if isinstance(settings.model, Arpa) or (isinstance(settings.model, Count) and settings.model.prune_entropy):
        tensors = open_weights(path, record, BackoffModel.spec(len(vocabulary)))
        return record, BackoffModel.from_tensors(tensors, vocabulary, str(path / WEIGHTS))
    if isinstance(settings.model, Count):
        assert settings.smoothing is not None
        tensors = open_weights(path, record, CountModel.spec(settings.model, len(vocabulary)))
        where = str(path / WEIGHTS)
        return record, CountModel.from_tensors(tensors, vocabulary, settings.model, settings.smoothing, where)
    from nextchar.models.nets import net

    assert settings.trainer is not None
    wanted = net.spec(settings.model, len(vocabulary), settings.trainer.precision)
    return record, net.restore(settings.model, vocabulary, open_weights(path, record, wanted))


def evaluate(settings: EvaluateSettings) -> tuple[dict[str, float], list[str], str]:
    """A finished run on its own splits or on another text: the metrics, notes, and what was read. Raises BadInput."""
    record, model = open_model(Path(settings.run))
    data = _other_data(record.settings.data, settings)
    own = data is record.settings.data
    expected = (record.data.sha256 if record.data else "") if own else None
    dataset = load.load(data, model.vocabulary, download=not own, expected=expected)
    report, notes = dataset.report, list(dataset.report.notes)
    if record.data and report.source == record.data.source and report.sha256 != record.data.sha256:
        notes.append(f"{report.source} has changed since the run was trained on it")
    splits = {"all": dataset.splits["train"]} if data.split == "all" else dataset.splits
    values, said, _ = measure(model, splits, data.is_text)
    return values, notes + said, report.source


def training_hashes(record: Record) -> Ids:
    """64 bits of each document that a finished run was trained on, read again (see Corpus).

    Raises BadInput where the text is gone or has changed, or is a running text, or was never trained on.
    """
    data = record.settings.data
    if data.is_text:
        raise BadInput("novel=true: this run was trained on a running text; it has no documents to be left out")
    if isinstance(record.settings.model, Arpa):
        raise BadInput("novel=true: what the model of an ARPA file was trained on is not known")
    try:
        return load.training_hashes(data, expected=record.data.sha256 if record.data else "")
    except BadInput as error:
        why = str(error).partition(";")[0]
        raise BadInput(f"novel=true needs the text that the run was trained on: {why}") from None


def _other_data(own: Data, settings: EvaluateSettings) -> Data:
    """The run's data settings with what was typed put over them; another text is taken whole unless told otherwise."""
    typed = {key: value for key, value in settings.data.plain().items() if value is not None}
    if not typed:
        return own
    if "path" in typed and "name" not in typed:
        typed["name"] = "text" if own.is_text else "lines"
    kept = own.plain()
    if "name" in typed:
        kept |= {"path": None, "url": None, "sha256": None, "val": None, "split": "all"}
    return validated(Data, kept | typed)
