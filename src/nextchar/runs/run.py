"""A finished run, opened: its metrics and curves, and everything that can be done with its model."""

from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from nextchar.config.command_settings import SampleSettings
from nextchar.config.data_settings import Data, OtherData
from nextchar.config.fields import validated
from nextchar.config.model_settings import Arpa, Count
from nextchar.config.train_settings import TrainSettings
from nextchar.data import load
from nextchar.data.textfile import normalized
from nextchar.data.vocabulary import BOUNDARY, Ids, Vocabulary
from nextchar.errors import BadInput
from nextchar.evaluation.explain import Step, explain
from nextchar.evaluation.measure import LOSS_HEADS, loss_rows, measure
from nextchar.evaluation.sampling import Decoding, NovelOnly, sample
from nextchar.messages import html_table, one_of
from nextchar.models.base import Floats, LanguageModel
from nextchar.models.ngram.backoff import BackoffModel
from nextchar.models.ngram.model import CountModel
from nextchar.runs.reading import load_bytes, load_tensors, open_record
from nextchar.runs.record import WEIGHTS, Points

LARGEST_FIGURE = 64 << 20  # bytes; ours take 1 MB at most


def open_run(path: str | Path) -> "Run":
    """Opens the folder of a finished run, reading run.json; the weights are read when first needed. Runs no code of it.

    Raises BadInput.
    """
    return Run(Path(path))


class Evaluation(dict[str, float]):
    """Metrics by name, with the `source` that was read and `notes` for the user."""

    def __init__(self, metrics: dict[str, float], source: str, notes: list[str]) -> None:
        super().__init__(metrics)
        self.source, self.notes = source, notes


class Run:
    """A finished run. All texts are normalised as the run's own text was. Every method raises BadInput for bad input.

    `path`: its folder. `record`: run.json, checked.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.record = path, open_record(path)

    @property
    def settings(self) -> TrainSettings:
        return self.record.settings

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics by name: "test/loss" in nats a character, "test/loss_low" and "test/loss_high" its 95% interval."""
        return {name: float(value) for name, value in self.record.metrics.items()}

    @property
    def curves(self) -> dict[str, Points]:
        """Losses by name, each as (step, value), at most 200 of them."""
        return {
            name: list(zip(curve.steps, map(float, curve.values), strict=True))
            for name, curve in self.record.curves.items()
        }

    @cached_property
    def model(self) -> LanguageModel:
        """The model, read from weights.safetensors and checked."""
        settings, vocabulary, where = self.settings, Vocabulary(self.record.vocabulary), str(self.path / WEIGHTS)
        weights_as = partial(load_tensors, self.path / WEIGHTS, self.record.files[WEIGHTS])
        if isinstance(settings.model, Arpa) or (isinstance(settings.model, Count) and settings.model.prune_entropy):
            return BackoffModel.from_tensors(weights_as(BackoffModel.spec(len(vocabulary))), vocabulary, where)
        if isinstance(settings.model, Count):
            assert settings.smoothing is not None
            spec = CountModel.spec(settings.model, len(vocabulary))
            return CountModel.from_tensors(weights_as(spec), vocabulary, settings.model, settings.smoothing, where)
        from nextchar.models.nets import net  # imports torch

        assert settings.trainer is not None
        spec = net.spec(settings.model, len(vocabulary), settings.trainer.precision)
        return net.restore(settings.model, vocabulary, weights_as(spec))

    def sample(
        self,
        n: int = 10,
        *,
        prefix: str = "",
        seed: int = 2147483647,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        max_chars: int = 1000,
        novel: bool = False,
        batched: bool = False,
    ) -> list[str]:
        """Draws n documents that begin with `prefix`; the arguments are those of the command `sample`."""
        values = {"n": n, "prefix": prefix, "seed": seed, "novel": novel, "batched": batched, "max_chars": max_chars}
        decoding = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        settings = validated(SampleSettings, values | decoding | {"run": str(self.path), "json": False})
        return list(islice(self.documents(settings), n))

    def documents(self, settings: SampleSettings) -> Iterable[str]:
        """Draws documents, of which the first settings.n are wanted: settings.novel makes this an endless NovelOnly."""
        decoding = Decoding(settings.temperature, settings.top_k, settings.top_p)
        prefix, n = normalized(settings.prefix, self.settings.data.normalize), None if settings.novel else settings.n
        drawn = sample(self.model, n, settings.seed, prefix, decoding, settings.max_chars, settings.batched)
        return NovelOnly(drawn, self._training_hashes()) if settings.novel else drawn

    def explain(self, text: str) -> list[Step]:
        """Returns a step a character of a document, with the character's probability and its context."""
        data = self.settings.data
        text = normalized(text, data.normalize)
        if not text and data.is_text:
            raise BadInput("text=: there is nothing to explain; this model reads a running text, which has no ends")
        return explain(self.model, text, f"text={text}", ends=not data.is_text)

    def score(self, texts: Sequence[str]) -> list[Floats]:
        """Returns for each document the log-probability, in nats, of each of its characters and of its end.

        A model of a running text knows no ends, so there is one number a character. `-sum(scores)` is a document's
        total in nats, `-mean(scores)` its loss.
        """
        texts = [texts] if isinstance(texts, str) else texts
        return [self.model.score(self._ids(text, end=not self.settings.data.is_text)) for text in texts]

    def next(self, prefix: str = "") -> dict[str, float]:
        """Returns the probability of each character after `prefix`, most probable first, and of the end under "".

        So every key continues the document: `prefix + key`. The probabilities sum to 1.
        """
        ids = self._ids(prefix, end=False)
        context = np.concatenate([np.full(self.model.context, BOUNDARY), ids])[len(ids) :]  # the last `context` ids
        probabilities = np.exp(self.model.log_probs(context[None]))[0]
        symbols = ["", *self.model.vocabulary.characters]
        return {symbols[i]: float(probabilities[i]) for i in np.argsort(-probabilities, kind="stable")}

    def evaluate(self, path: str | Path | None = None, **data: Any) -> Evaluation:
        """Measures the loss on the run's own splits, or on the text of a file; `data`: other settings of the text."""
        values = dict.fromkeys(OtherData.model_fields) | {"path": None if path is None else str(path)} | data
        return self.measure(validated(OtherData, values))

    def measure(self, other: OtherData) -> Evaluation:
        """Measures the loss on the run's own splits, or on another text."""
        data, known = self._data_of(other), self.record.data
        own = data is self.settings.data
        expected = (known.sha256 if known else "") if own else None
        dataset = load.load(data, self.model.vocabulary, download=other.url is not None, expected=expected)
        report, notes = dataset.report, list(dataset.report.notes)
        if known and report.source == known.source and report.sha256 != known.sha256:
            notes.append(f"{report.source} has changed since the run was trained on it")
        splits = {"all": dataset.splits["train"]} if data.split == "all" else dataset.splits
        measured = measure(self.model, splits, data.is_text)
        return Evaluation(measured.metrics, report.source, notes + measured.notes)

    def figure(self, name: str) -> bytes:
        """Returns a picture of the run as a PNG: "loss", "counts", "probabilities", ..."""
        drawn = [file.removeprefix("figures/").removesuffix(".png") for file in self.record.files if "figures/" in file]
        if name not in drawn:
            raise BadInput(f"figure={name}: must be {one_of(drawn)}" if drawn else f"run={self.path} has no figures")
        file = f"figures/{name}.png"
        return load_bytes(self.path / file, self.record.files[file], LARGEST_FIGURE)

    def __repr__(self) -> str:
        return f"<Run {self.path}: {', '.join(f'{k} {v:.4f}' for k, v in self.metrics.items() if k.endswith('/loss'))}>"

    def _repr_html_(self) -> str:
        """The losses as a table, which notebooks show."""
        text = self.record.data.source if self.record.data else "no text"
        return html_table(LOSS_HEADS, loss_rows(self.metrics), f"{self.settings.model.name} on {text}: {self.path}")

    def _ids(self, text: str, end: bool) -> Ids:
        """(N + 1,) ids: the boundary, the characters of the text and, with `end`, the boundary that ends it."""
        text = normalized(text, self.settings.data.normalize)
        return np.concatenate([[BOUNDARY], self.model.vocabulary.known(text, f"text={text}"), [BOUNDARY] * end]).astype(
            np.int64
        )

    def _training_hashes(self) -> Ids:
        """64 bits of each document that the run was trained on, read again."""
        data = self.settings.data
        if data.is_text:
            raise BadInput("novel=true: this run was trained on a running text, which has no documents to leave out")
        if isinstance(self.settings.model, Arpa):
            raise BadInput("novel=true: the training set of a model from an ARPA file is not known")
        try:
            return load.training_hashes(data, expected=self.record.data.sha256 if self.record.data else "")
        except BadInput as error:
            reason = str(error).partition(";")[0]
            raise BadInput(f"novel=true needs the text that the run was trained on: {reason}") from None

    def _data_of(self, other: OtherData) -> Data:
        """The run's own data settings, changed by those that are not None; another text is not split by default."""
        own, typed = self.settings.data, {key: value for key, value in other.plain().items() if value is not None}
        if not typed:
            return own
        if "path" in typed and "name" not in typed:
            typed["name"] = "text" if own.is_text else "lines"
        kept = own.plain()
        if "name" in typed:
            kept |= {"path": None, "val": None, "split": "all"}
        if "name" in typed or "url" in typed:
            kept |= {"url": None, "sha256": None}
        return validated(Data, kept | typed)
