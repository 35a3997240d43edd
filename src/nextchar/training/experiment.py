"""Wires text, splits, models and metrics: a text read and dealt out, a model measured and drawn, a run opened."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nextchar.config.fields import read
from nextchar.config.settings import (
    Arpa,
    Count,
    Data,
    EvaluateSettings,
    Model,
    ModifiedKneserNey,
    TrainSettings,
    is_fitted,
)
from nextchar.data import corpus as text
from nextchar.data import encoded as splits
from nextchar.data.encoded import Part
from nextchar.data.splits import deal
from nextchar.data.vocabulary import Ids, Vocabulary
from nextchar.errors import BadInput
from nextchar.evaluation import by_order as orders
from nextchar.evaluation import loss as metrics
from nextchar.evaluation.explain import explain
from nextchar.models.base import Floats, LanguageModel, windows
from nextchar.models.ngram import arpa_reader, backoff, counts
from nextchar.models.ngram import dask_counts as cluster
from nextchar.models.ngram import estimation as fitting
from nextchar.models.ngram.backoff import BackoffModel
from nextchar.models.ngram.counts import Counted, Table
from nextchar.models.ngram.keys import Packing
from nextchar.models.ngram.model import CountModel
from nextchar.runs.record import WEIGHTS, DataReport, FileRecord, Record, open_record, open_weights

if TYPE_CHECKING:  # drawing takes time to import
    from nextchar.plots.matrices import Picture

WORDS = ("once", "twice", "three times", "four times")
SCORED_AT_ONCE = 1 << 20  # windows
WORD_CHARS = 40  # of the document whose breakdown is drawn
FEW_SYMBOLS = 1024  # the most frequent ones, of which the pictures are handed the matrix
PLACES = 200  # in train where a character stands
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
    vocabulary, tables = arpa_reader.read(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Given(BackoffModel(vocabulary, tables), FileRecord(size=path.stat().st_size, sha256=digest))


@dataclass(frozen=True)
class Counting:
    """A counted model, or the given one, and what was counted of train on the way.

    `pairs`: the bigrams, from which pictures are made whatever its order. `windows`: of the highest order, or pairs.
    `occurring`: for each order how many n-grams occur once, twice, three and four times, as the method counts them.
    `parameters`: those of the smoothing method, by name, one an order. `unpruned`: how many n-grams occur in train.
    """

    model: CountModel | BackoffModel
    pairs: Table
    windows: Counted
    occurring: list[list[int]]
    parameters: dict[str, list[float]]
    unpruned: int

    @property
    def ngrams(self) -> list[int]:
        """How many different n-grams the model holds, by order."""
        return [len(table) for table in self.model.tables]

    def loss(self) -> metrics.Loss | None:
        """Of train, as one document, from its windows; None where they are longer than the model looks."""
        if self.windows.order != self.model.order:
            return None
        sums, impossible = 0.0, 0
        for start in range(0, len(self.windows), SCORED_AT_ONCE):
            part = slice(start, start + SCORED_AT_ONCE)
            scores, times = self.model.score_windows(self.windows.keys[part]), self.windows.counts[part]
            sums -= float(scores @ times)
            impossible += int(times[np.isneginf(scores)].sum())
        return metrics.Loss(np.array([sums]), np.array([self.windows.total]), impossible)


def count(settings: TrainSettings, text: Text) -> Counting:
    """The counted model that the settings name, or the given one; of a net, the bigram that it is drawn beside.

    Raises BadInput.
    """
    wanted, packing = settings.model, Packing(len(text.vocabulary))
    order = wanted.order if isinstance(wanted, Count) else 2
    longest, train = max(2, order), text.parts["train"]
    windows = _windows(settings, train, packing, longest)
    tables = counts.tables(windows)
    raw, pairs = tables[:order], tables[1]
    if text.given is not None:
        return Counting(text.given.model, pairs, windows, [], {}, sum(map(len, text.given.model.tables)))
    assert settings.smoothing is not None
    age = val = None
    if is_fitted(settings.smoothing) and "val" in text.parts:
        val = counts.count(text.parts["val"].pieces(max(1, order - 1)), packing, order)
    if isinstance(settings.smoothing, ModifiedKneserNey) and settings.smoothing.base == "kenlm":
        age = counts.first_seen(train.pieces(1), packing.vocab_size)
    looked_up, smoothing = fitting.fit(settings.smoothing, raw, val, age)
    occurring = [table.counts_of_counts for table in looked_up]
    if isinstance(wanted, Count):
        looked_up = fitting.pruned(looked_up, raw, wanted)
    whole = CountModel(text.vocabulary, looked_up, smoothing)
    model: CountModel | BackoffModel = whole
    if isinstance(wanted, Count) and wanted.prune_entropy is not None:
        model = BackoffModel(text.vocabulary, backoff.pruned(whole.backoff_tables(), wanted.prune_entropy))
    return Counting(model, pairs, windows, occurring, smoothing.named_parameters(), sum(map(len, raw)))


def _windows(settings: TrainSettings, train: Part, packing: Packing, order: int) -> Counted:
    if (address := settings.cluster.address) is not None:
        return cluster.count(train, packing, order, address)
    return counts.count(train.pieces(order - 1), packing, order)


def measure(
    model: LanguageModel, parts: dict[str, Part], is_text: bool, counting: Counting | None = None
) -> tuple[dict[str, float], list[str], dict[str, metrics.Loss]]:
    """The metrics of every part, what must be said of them, and the sums that they were made of.

    With `counting` a large train is not read again: its loss is that of its windows, and has no interval.
    """
    values: dict[str, float] = {}
    notes: list[str] = []
    measured: dict[int, metrics.Loss] = {}  # split=all has one part under three names
    train = parts.get("train")
    if counting is not None and train is not None and train.held is None and parts["test"] is not train:
        measured |= {id(train): loss} if (loss := counting.loss()) is not None else {}
    for name, part in parts.items():
        if id(part) not in measured:
            measured[id(part)] = metrics.loss(model, part, is_text)
        values |= metrics.named(name, measured[id(part)])
        if (unseen := _unseen(measured[id(part)], part)) is not None:
            values[f"{name}/loss_unseen"] = unseen
            notes.append(f"{name}: some documents stand in train too; on the others the loss is {unseen:.6f}")
        if not np.isfinite(values[f"{name}/loss"]):
            impossible = measured[id(part)].impossible
            remedy = "; another smoothing, such as add_k, leaves nothing without a chance"
            notes.append(
                f"{name}/loss is infinite: {impossible:,} of {part.predicted:,} characters have probability 0"
                + remedy * isinstance(model, CountModel)
            )
        if part.skipped:
            notes.append(f"{name}: {part.skipped:,} characters that train never shows were left out of the metric")
    if not model.sums_to_one:
        notes.append("the losses are those of scores that do not sum to 1; no loss of probabilities compares with them")
    return values, notes, {name: measured[id(part)] for name, part in parts.items()}


def pictures(model: LanguageModel, pairs: Table, train: Part, document: str) -> Iterator[tuple[str, "Picture"]]:
    """The counts and the probabilities of pairs, and how the model reads a document, each with its name."""
    from nextchar.plots import matrices as figures

    frequency = np.zeros(len(model.vocabulary), dtype=np.int64)
    frequency[pairs.contexts.keys] = pairs.contexts.totals
    shown = np.sort(np.argsort(-frequency, kind="stable")[:FEW_SYMBOLS])
    symbols = [model.vocabulary.symbols[i] for i in shown]
    yield "counts", figures.count_matrix(pairs.matrix(shown), symbols)
    probs, rows = _after(model, shown, train)
    yield "probabilities", figures.probability_matrix(probs, symbols, frequency=frequency[shown], rows=rows)
    steps = explain(model, document[:WORD_CHARS], "test", ends=len(document) <= WORD_CHARS)
    yield "breakdown", figures.breakdown(document[:WORD_CHARS], steps)


def _after(model: LanguageModel, shown: Ids, train: Part) -> tuple[Floats, str]:
    """(S, S): how probable the shown ids are after each of them, and of what those rows are.

    A model that sees more than one character is asked after places of train that end in the id, spread over the first
    piece of it; the row is their mean, empty where that holds none.
    """
    v, rows = len(model.vocabulary), "rows: previous character"
    if model.context == 1:
        contexts, of_row = shown[:, None], np.arange(len(shown))
    else:
        ids, most = next(train.pieces(1)).ids, max(1, min(PLACES, CELLS_AT_ONCE // (len(shown) * v)))
        ends = np.argsort(ids[:-1], kind="stable")  # the places of one id side by side
        first, last = (np.searchsorted(ids[ends], shown, side=side) for side in ("left", "right"))
        n = np.minimum(last - first, most)
        of_row = np.repeat(np.arange(len(shown)), n)
        # of many places one in each of equal stretches, at random: a text may have a rhythm
        stretch = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.random.default_rng(0).random(n.sum())
        at = first[of_row] + (stretch * np.repeat((last - first) / np.maximum(n, 1), n)).astype(np.int64)
        contexts = windows(ids, model.context, ends[at])
        rows += f", the mean over {most:,} of its places in train, or all"
    sums, blocks = np.zeros((len(shown), len(shown))), max(1, -(-len(contexts) * v // CELLS_AT_ONCE))
    for block, of_block in zip(np.array_split(contexts, blocks), np.array_split(of_row, blocks), strict=True):
        np.add.at(sums, of_block, np.exp(model.log_probs(block))[:, shown])
    probs = sums / np.maximum(np.bincount(of_row, minlength=len(shown)), 1)[:, None]
    if model.context == 1 and len(shown) > 1 and (probs == probs[0]).all():
        rows = "all rows alike, for this model does not see the previous character"
    return probs, rows


def picture_of_orders(report: orders.Report, model: LanguageModel) -> "Picture":
    """The loss by order, how much of test was seen in training, how rare n-grams are, what smoothing made of it."""
    from nextchar.plots.charts import Panel, over_orders

    worths = report.worths
    distinct = {name: worth for name, worth in worths.items() if name == "train" or worth is not worths["train"]}
    held_out = "test" if "test" in distinct else "train"
    seen = worths[held_out]
    values = report.used()
    words = zip(*(name.split(" ")[:-1] for name in values), strict=False)
    common = "".join(f"{word} " for word, *others in words if all(word == other for other in others))
    panels = [
        Panel("Loss of each order alone, nats per character", {name: w.loss.tolist() for name, w in distinct.items()}),
        Panel(
            f"Share of the characters of {held_out}",
            {"context seen in training": seen.contexts.tolist(), "seen after its context": seen.ngrams.tolist()},
            "percent",
        ),
    ]
    if report.occurring:
        occurring = dict(zip(WORDS, zip(*report.occurring, strict=True), strict=True))
        panels.append(Panel("How many n-grams occur", occurring, "log"))
    if values:
        rest = {name.removeprefix(common): row for name, row in values.items()}
        panels.append(Panel(f"Smoothing: {common.rstrip()}".rstrip(": "), rest))
    aside = ""
    if isinstance(model, CountModel) and model.smoothing.continuation:
        aside = "below the highest order it counts in how many contexts an n-gram occurs, not how often"
    return over_orders(panels, "What each order knows", aside)


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
    from nextchar.models.nets import base as net

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
        corpus = text.read(data, download=False, expected=record.data.sha256 if record.data else "")
    except BadInput as error:
        why = str(error).partition(";")[0]
        raise BadInput(f"novel=true needs the text that the run was trained on: {why}") from None
    hashes = deal(corpus, data)["train"].hashes
    corpus.let_go()
    return hashes


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
