"""Wires text, splits, models and metrics: a text read and dealt out, a model measured and drawn, a run opened."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nextchar import arpa, backoff, cluster, counts, fitting, metrics, splits, text
from nextchar.backoff import BackoffModel
from nextchar.counts import Counted, Table
from nextchar.dealing import deal
from nextchar.explanation import explain
from nextchar.knobs import read
from nextchar.language_model import LanguageModel
from nextchar.ngrams import CountModel
from nextchar.packing import Packing
from nextchar.run import WEIGHTS, DataReport, FileRecord, Record, open_record, open_weights
from nextchar.settings import Arpa, Count, Data, EvaluateSettings, Model, ModifiedKneserNey, TrainSettings
from nextchar.splits import Part
from nextchar.vocabulary import Vocabulary

if TYPE_CHECKING:  # drawing takes time to import
    from nextchar.figures import Picture

WORD_CHARS = 40  # of the document whose breakdown is drawn
FEW_SYMBOLS = 1024  # the most frequent ones, of which the pictures are handed the matrix
CELLS_AT_ONCE = 1 << 22  # of the rows of probabilities that they are cut from


@dataclass(frozen=True)
class Given:
    """A model that is read from a file."""

    model: BackoffModel
    file: FileRecord


@dataclass(frozen=True)
class Text:
    """A text, read, dealt out and in ids."""

    report: DataReport
    vocabulary: Vocabulary
    parts: dict[str, Part]
    given: Given | None  # the model, where it is read and not trained


def load(data: Data, model: Model | None = None) -> Text:
    """Reads and deals out the text that the settings name, in the ids of the model, where that is a file.

    Raises BadInput.
    """
    given = _given(model) if isinstance(model, Arpa) else None
    corpus = text.read(data)
    vocabulary, parts = splits.encode(deal(corpus, data), data, given.model.vocabulary if given else None)
    report = DataReport(
        source=corpus.source,
        sha256=corpus.sha256,
        bytes=corpus.size,
        lines=corpus.lines,
        kept=corpus.documents,
        skipped=corpus.skipped,
        characters=corpus.characters,
        vocabulary=len(vocabulary) - 1,
        duplicates=corpus.duplicates,
        documents={name: part.documents for name, part in parts.items()},
        predicted={name: part.predicted for name, part in parts.items()},
        in_train={name: _in_train(part, parts["train"]) for name, part in parts.items() if name != "train"},
        left_out={name: part.skipped for name, part in parts.items() if part.skipped},
        test_sha256=parts["test"].sha256,
        notes=corpus.notes,
    )
    corpus.let_go()
    return Text(report, vocabulary, parts, given)


def _given(model: Arpa) -> Given:
    path = Path(model.path)
    vocabulary, tables = arpa.read(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Given(BackoffModel(vocabulary, tables), FileRecord(size=path.stat().st_size, sha256=digest))


@dataclass(frozen=True)
class Counting:
    """A counted model, or the given one, and the bigrams of train, from which pictures are made whatever its order.

    `parameters`: those of the smoothing method, by name, one an order. `unpruned`: how many n-grams occur in train.
    """

    model: CountModel | BackoffModel
    pairs: Table
    parameters: dict[str, list[float]]
    unpruned: int

    @property
    def ngrams(self) -> list[int]:
        """How many different n-grams the model holds, by order."""
        return [len(table) for table in self.model.tables]


def count(settings: TrainSettings, text: Text) -> Counting:
    """The counted model that the settings name, or the given one; of a net, the bigram that it is drawn beside.

    Raises BadInput.
    """
    wanted, packing = settings.model, Packing(len(text.vocabulary))
    order = wanted.order if isinstance(wanted, Count) else 2
    longest, train = max(2, order), text.parts["train"]
    tables = counts.tables(_windows(settings, train, packing, longest))
    raw, pairs = tables[:order], tables[1]
    if text.given is not None:
        return Counting(text.given.model, pairs, {}, sum(map(len, text.given.model.tables)))
    assert settings.smoothing is not None
    val = counts.count(text.parts["val"].pieces(max(1, order - 1)), packing, order) if "val" in text.parts else None
    age = None
    if isinstance(settings.smoothing, ModifiedKneserNey) and settings.smoothing.base == "kenlm":
        age = counts.first_seen(train.pieces(1), packing.vocab_size)
    looked_up, smoothing = fitting.fit(settings.smoothing, raw, val, age)
    if isinstance(wanted, Count):
        looked_up = fitting.pruned(looked_up, raw, wanted)
    whole = CountModel(text.vocabulary, looked_up, smoothing)
    model: CountModel | BackoffModel = whole
    if isinstance(wanted, Count) and wanted.prune_entropy is not None:
        model = BackoffModel(text.vocabulary, backoff.pruned(whole.backoff_tables(), wanted.prune_entropy))
    return Counting(model, pairs, smoothing.named_parameters(), sum(map(len, raw)))


def _windows(settings: TrainSettings, train: Part, packing: Packing, order: int) -> Counted:
    if (address := settings.cluster.address) is not None:
        return cluster.count(train, packing, order, address)
    return counts.count(train.pieces(order - 1), packing, order)


def measure(
    model: LanguageModel, parts: dict[str, Part], is_text: bool
) -> tuple[dict[str, float], list[str], dict[str, metrics.Loss]]:
    """The metrics of every part, what must be said of them, and the sums that they were made of."""
    values: dict[str, float] = {}
    notes: list[str] = []
    measured: dict[int, metrics.Loss] = {}  # split=all has one part under three names
    for name, part in parts.items():
        if id(part) not in measured:
            measured[id(part)] = metrics.loss(model, part, is_text)
        values |= metrics.named(name, measured[id(part)])
        if (unseen := _unseen(measured[id(part)], part)) is not None:
            values[f"{name}/loss_unseen"] = unseen
            notes.append(f"{name}: some documents stand in train too; on the others the loss is {unseen:.6f}")
        if not np.isfinite(values[f"{name}/loss"]):
            impossible = measured[id(part)].impossible
            notes.append(
                f"{name}/loss is infinite: {impossible:,} of {part.predicted:,} characters have probability 0; "
                "smoothing=add_k with k above 0 gives every pair a chance"
            )
        if part.skipped:
            notes.append(f"{name}: {part.skipped:,} characters that train never shows were left out of the metric")
    return values, notes, {name: measured[id(part)] for name, part in parts.items()}


def pictures(model: LanguageModel, pairs: Table, document: str) -> Iterator[tuple[str, "Picture"]]:
    """The counts and the probabilities of pairs, and how the model reads a document, each with its name."""
    from nextchar import figures

    frequency = np.zeros(len(model.vocabulary), dtype=np.int64)
    frequency[pairs.contexts.keys] = pairs.contexts.totals
    shown = np.sort(np.argsort(-frequency, kind="stable")[:FEW_SYMBOLS])
    symbols = [model.vocabulary.symbols[i] for i in shown]
    yield "counts", figures.count_matrix(pairs.matrix(shown), symbols)
    contexts = np.zeros((len(shown), model.context), dtype=np.int64)
    contexts[:, -1] = shown
    blocks = np.array_split(contexts, -(-len(shown) * len(model.vocabulary) // CELLS_AT_ONCE))
    probs = np.concatenate([np.exp(model.log_probs(block))[:, shown] for block in blocks])
    yield "probabilities", figures.probability_matrix(probs, symbols, frequency=frequency[shown])
    steps = explain(model, document[:WORD_CHARS], "test", ends=len(document) <= WORD_CHARS)
    yield "breakdown", figures.breakdown(document[:WORD_CHARS], steps)


def _in_train(part: Part, train: Part) -> int:
    """How many documents of a part stand in train too."""
    if part is train:
        return part.documents
    return 0 if part.repeated is None else int(np.count_nonzero(part.repeated))


def _unseen(measured: metrics.Loss, part: Part) -> float | None:
    """The loss on the documents that do not stand in train; None where that says nothing of its own."""
    if part.repeated is None or part.repeated.all() or not part.repeated.any():
        return None
    return metrics.Loss(measured.nll[~part.repeated], measured.chars[~part.repeated]).value


# --- a finished run, again ------------------------------------------------------------------------------------------


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
        smoothing, where = fitting.method(settings.smoothing), str(path / WEIGHTS)
        return record, CountModel.from_tensors(tensors, vocabulary, settings.model, smoothing, where)
    from nextchar.models import net

    assert settings.trainer is not None
    wanted = net.spec(settings.model, len(vocabulary), settings.trainer.precision)
    return record, net.restore(settings.model, vocabulary, open_weights(path, record, wanted))


def evaluate(settings: EvaluateSettings) -> tuple[dict[str, float], list[str], str]:
    """A finished run on its own splits or on another text: the metrics, notes, and what was read. Raises BadInput."""
    record, model = open_model(Path(settings.run))
    data = _other_data(record.settings.data, settings)
    if data is record.settings.data:
        corpus = text.read(data, download=False, expected=record.data.sha256 if record.data else "")
    else:
        corpus = text.read(data)
    notes = list(corpus.notes)
    if record.data and corpus.source == record.data.source and corpus.sha256 != record.data.sha256:
        notes.append(f"{corpus.source} has changed since the run was trained on it")
    dealt = deal(corpus, data)
    if data.split == "all":
        dealt = {"all": dealt["train"]}
    _, parts = splits.encode(dealt, data, model.vocabulary)
    corpus.let_go()
    values, said, _ = measure(model, parts, data.is_text)
    return values, notes + said, corpus.source


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
    return read(Data, kept | typed)
