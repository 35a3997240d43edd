"""Every knob of every component: name, type, range, unit and one line of help. The whole tree is one frozen object.

`conf/` holds the values, this module what a value may be. What exists (models, smoothing methods, optimizers, data
sets) is listed here and nowhere else.
"""

import codecs
import os
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from nextchar.config.fields import FREE_TEXT, PATH, Called, Knobs, one_of, shown

LARGEST = 2**31 - 1  # of things that are counted: beyond, the libraries overflow


def absolute(path: str) -> str:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
        raise ValueError("a URL is not opened; download it, and give the path of your copy")
    return os.path.abspath(os.path.expanduser(path))


def _known_encoding(name: str) -> str:
    try:
        if not codecs.lookup(name)._is_text_encoding:
            raise ValueError(f"{name} does not turn bytes into text")
    except LookupError:
        raise ValueError("Python knows no such encoding; utf-8, latin-1, cp1252 and utf-16 are usual") from None
    return name


Text = Annotated[str, FREE_TEXT]
FilePath = Annotated[str, FREE_TEXT, PATH, Field(min_length=1), AfterValidator(absolute)]
Digest = Annotated[str, FREE_TEXT, Called("64 hexadecimal digits"), Field(pattern="^[0-9a-f]{64}$")]
Encoding = Annotated[
    str, FREE_TEXT, Called("an encoding that Python knows (utf-8, latin-1, utf-16)"), AfterValidator(_known_encoding)
]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Positive = Annotated[int, Field(ge=1, le=LARGEST)]
Rate = Annotated[float, Field(gt=0, le=1e38)]  # float32 ends at 3.4e38
Decay = Annotated[float, Field(ge=0, lt=1)]


# --- data -----------------------------------------------------------------------------------------------------------


RUNNING_TEXTS = ("shakespeare", "text")


class Data(Knobs):
    name: Literal["names", "makemore", "shakespeare", "lines", "text"] = Field(
        description="names: embedded; makemore, shakespeare: downloaded; lines: your documents, one a line; "
        "text: your running text"
    )
    path: FilePath | None = Field(
        description="the file to read, or a folder or pattern of files (data=lines, data=text), plain or .gz"
    )
    url: Text | None = Field(description="where makemore and shakespeare come from")
    sha256: Digest | None = Field(description="the digest a downloaded file must have")
    encoding: Encoding = Field(description="how the file's bytes become characters; decoded strictly")
    normalize: Literal["none", "nfc", "nfkc"] = Field(description="Unicode normalisation; none keeps the text as it is")
    split: Literal["hash", "lecture", "makemore", "contiguous", "all"] = Field(
        description="hash (documents): 80/10/10 by content; lecture: random.seed(42) shuffle, 80/10/10; makemore: "
        "randperm(3407), the last 1,000 are test; contiguous (running text): 80/10/10 in order; all: everything is "
        "train, val and test"
    )
    val: Positive | None = Field(description="documents taken from the end of train as val (split=makemore)")
    dedup: Literal["none", "before_split"] = Field(
        description="before_split: of equal documents only the first is kept, so that none of test stands in train"
    )
    unk: Literal["error", "skip"] = Field(description="characters unseen in train: refuse, or leave out and count them")
    batch_size: Literal["all"] | Positive = Field(description="pairs a step (nets): all is full batch")
    merge: bool = Field(description="full batch: equal (x, y) pairs become one weighted pair, the same loss for less")

    @property
    def is_text(self) -> bool:
        """One running text, not a document a line."""
        return self.name in RUNNING_TEXTS

    @model_validator(mode="before")
    @classmethod
    def _usual_split(cls, values: Any) -> Any:
        """`split: null` in conf/ is hash for documents and contiguous for a running text."""
        if isinstance(values, dict) and values.get("split", "") is None:
            return {**values, "split": "contiguous" if values.get("name") in RUNNING_TEXTS else "hash"}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "Data":
        own_file, downloaded = self.name in ("lines", "text"), self.name in ("makemore", "shakespeare")
        if own_file and self.path is None:
            raise ValueError(f"data.path is missing: data={self.name} reads your file; set data.path=FILE")
        if not own_file and self.path is not None:
            raise ValueError(
                f"data.path={self.path} means nothing for data={self.name}; "
                "for your own file: data=lines data.path=FILE"
            )
        for key in ("url", "sha256"):
            if not downloaded and getattr(self, key) is not None:
                raise ValueError(
                    f"data.{key}={getattr(self, key)} means nothing for data={self.name}, which is not downloaded"
                )
        if self.val is not None and self.split != "makemore":
            raise ValueError(f"data.val={self.val} belongs to data.split=makemore, not to data.split={self.split}")
        if self.is_text and self.dedup != "none":
            raise ValueError(f"data.dedup={self.dedup} drops documents, and data={self.name} is one running text")
        if self.is_text and self.split not in ("contiguous", "all"):
            raise ValueError(
                f"data.split={self.split} deals out documents, and data={self.name} is one running text; "
                "set data.split=contiguous or data.split=all"
            )
        return self


# --- smoothing ------------------------------------------------------------------------------------------------------


Discount = Annotated[float, Field(ge=0, le=1)]
Tune = Annotated[bool, Field(description="fit the method's own parameters on val")]


class NoSmoothing(Knobs):
    name: Literal["none"]


class AddK(Knobs):
    name: Literal["add_k"]
    k: float = Field(ge=0, le=1e12, description="pseudo-counts added to every n-gram (Laplace: 1)")
    tune: Tune


class JelinekMercer(Knobs):
    name: Literal["jelinek_mercer"]
    weights: Literal["order", "bucket"] = Field(
        description="fitted on val: one weight an order, or one for contexts about as frequent"
    )


class WittenBell(Knobs):
    name: Literal["witten_bell"]


class AbsoluteDiscount(Knobs):
    name: Literal["absolute_discount"]
    discount: Discount | None = Field(description="taken off every count; null: estimated by order")
    tune: Tune


class KneserNey(Knobs):
    name: Literal["kneser_ney"]
    discount: Discount | None = Field(description="taken off every count; null: estimated by order")
    tune: Tune


class ModifiedKneserNey(Knobs):
    name: Literal["modified_kneser_ney"]
    base: Literal["uniform", "kenlm"] = Field(
        description="below the unigrams: uniform over the vocabulary, or, as KenLM has it, over an unknown symbol too"
    )
    tune: Tune


class Katz(Knobs):
    name: Literal["katz"]


class StupidBackoff(Knobs):
    name: Literal["stupid_backoff"]
    alpha: float = Field(gt=0, le=1, description="the factor of a score for each order that is left out")


class Dirichlet(Knobs):
    name: Literal["dirichlet"]
    concentration: float = Field(gt=0, le=1e12, description="pseudo-counts dealt out as the order below says")
    tune: Tune


class PitmanYor(Knobs):
    name: Literal["pitman_yor"]
    discount: Discount | None = Field(description="taken off every count; null: estimated by order")
    concentration: float = Field(ge=0, le=1e12, description="pseudo-counts dealt out as the order below says")
    tune: Tune


class Usual(Knobs):
    """What stands for another method until the order is known; no run has it."""

    name: Literal["usual"]
    k: float | None = Field(description="add_k with this k; null: by the order")
    tune: Tune


class L2(Knobs):
    name: Literal["l2"]
    strength: float = Field(ge=0, le=1e12, description="weight of the mean squared logit in the objective")


Smoothing = Annotated[
    NoSmoothing
    | AddK
    | JelinekMercer
    | WittenBell
    | AbsoluteDiscount
    | KneserNey
    | ModifiedKneserNey
    | Katz
    | StupidBackoff
    | Dirichlet
    | PitmanYor
    | L2
    | Usual,
    Field(discriminator="name"),
]


def is_fitted(smoothing: Smoothing | None) -> bool:
    """Whether a method needs val: for weights that it always learns there, or because it is to be tuned."""
    return isinstance(smoothing, JelinekMercer) or getattr(smoothing, "tune", False)


# --- optimizers -----------------------------------------------------------------------------------------------------


class Sgd(Knobs):
    name: Literal["sgd"]
    lr: Rate = Field(description="learning rate")
    momentum: Decay = Field(description="share of the last step that is kept")


class Adam(Knobs):
    name: Literal["adam"]
    lr: Rate = Field(description="learning rate")
    beta1: Decay = Field(description="decay of the gradient's running mean")
    beta2: Decay = Field(description="decay of the squared gradient's running mean")


class AdamW(Knobs):
    name: Literal["adamw"]
    lr: Rate = Field(description="learning rate")
    beta1: Decay = Field(description="decay of the gradient's running mean")
    beta2: Decay = Field(description="decay of the squared gradient's running mean")
    weight_decay: float = Field(ge=0, description="decoupled weight decay")


class Lbfgs(Knobs):
    name: Literal["lbfgs"]
    lr: Rate = Field(description="first step length tried by the line search")
    history_size: Positive = Field(description="past steps that shape the curvature estimate")


Optimizer = Annotated[Sgd | Adam | AdamW | Lbfgs, Field(discriminator="name")]


# --- trainer --------------------------------------------------------------------------------------------------------


class AnyTrainer(Knobs):
    """What all trainers share."""

    name: str
    max_steps: Annotated[int, Field(ge=0, le=LARGEST)] = Field(description="optimizer steps")
    log_every: Positive = Field(description="steps between two points of a curve")
    precision: Literal[32, 64] = Field(description="bits of a floating-point number")
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        description="CPU threads of torch (a process); more than 1 may change the last bits of a sum"
    )
    checkpoint_seconds: Annotated[float, Field(ge=0)] = Field(
        description="seconds between two checkpoints, at most one per log_every steps"
    )


class Cpu(AnyTrainer):
    name: Literal["cpu"]


class Ddp(AnyTrainer):
    name: Literal["ddp"]
    devices: Annotated[int, Field(ge=1, le=256)] = Field(
        description="processes on a machine, which share the pairs of every step"
    )
    nodes: Positive = Field(description="machines; more than 1 are started by torchrun or srun")


Trainer = Annotated[Cpu | Ddp, Field(discriminator="name")]


# --- models ---------------------------------------------------------------------------------------------------------


class Count(Knobs):
    name: Literal["count"]
    order: Annotated[int, Field(ge=1, le=64)] = Field(
        description="symbols of an n-gram: 1 unigrams, 2 bigrams, each character predicted from the order - 1 before it"
    )
    prune: list[Annotated[int, Field(ge=0)]] = Field(
        description="n-grams that occur no more often than this are left out, by order, as in [0,0,1]; the last number "
        "holds for all higher orders too"
    )
    prune_entropy: Annotated[float, Field(gt=0)] | None = Field(
        description="leave out the n-grams without which the perplexity changes by a smaller share than this, as 1e-7"
    )

    net: ClassVar[str | None] = None
    smoothings: ClassVar[tuple[str, ...]] = (
        "none",
        "add_k",
        "jelinek_mercer",
        "witten_bell",
        "absolute_discount",
        "kneser_ney",
        "modified_kneser_ney",
        "katz",
        "stupid_backoff",
        "dirichlet",
        "pitman_yor",
    )

    keeps_all: ClassVar[tuple[str, ...]] = ("none", "add_k", "katz", "stupid_backoff")  # cannot be pruned

    @property
    def is_pruned(self) -> bool:
        return any(self.prune) or self.prune_entropy is not None

    def threshold(self, order: int) -> int:
        """How often an n-gram may occur and is left out nevertheless."""
        return self.prune[min(order, len(self.prune)) - 1] if self.prune else 0

    @model_validator(mode="after")
    def _prunable(self) -> "Count":
        if self.prune and (self.prune[0] or self.prune != sorted(self.prune)):
            raise ValueError(
                f"model.prune={shown(self.prune)}: unigrams are never left out, and no n-gram that a longer one needs: "
                "begin with 0, and let no number be below the one before it"
            )
        return self


class NN(Knobs):
    name: Literal["nn"]
    init: Literal["normal", "zeros"] = Field(description="the first logits: standard normal, or all equal")

    # module of nextchar.models : class; `net` is None for what is counted
    net: ClassVar[str | None] = "bigram:Bigram"
    smoothings: ClassVar[tuple[str, ...]] = ("none", "add_k", "l2")


class Arpa(Knobs):
    name: Literal["arpa"]
    path: FilePath = Field(description="the ARPA file of another program's model, or of ours; plain or .gz")

    net: ClassVar[str | None] = None
    smoothings: ClassVar[tuple[str, ...]] = ()


Model = Annotated[Count | NN | Arpa, Field(discriminator="name")]


# --- sweeps ---------------------------------------------------------------------------------------------------------


class OverMany(Knobs):
    """What every kind of sweep is told."""

    metric: Literal["val/loss", "test/loss", "train/loss"] = Field(
        description="the loss by which jobs are ranked, and what a search minimises; train/loss where there is no val"
    )
    space: dict[str, bool | int | float | str] = Field(
        description="values or ranges by setting, for conf/sweep/*.yaml; written as on the command line"
    )
    resume: FilePath | None = Field(description="folder of a sweep of which to run what has not finished")
    dry_run: bool = Field(description="check all jobs, print what differs in them, and run none")


class Grid(OverMany):
    name: Literal["grid"]


class Optuna(OverMany):
    name: Literal["optuna"]
    n_trials: Positive = Field(description="jobs in all, those of a resumed search counted")
    sampler: Literal["tpe", "random"] = Field(description="tpe: Tree-structured Parzen Estimator; random: blindly")
    seed: Seed = Field(description="of the sampler; seed=... is that of the runs")
    prune: bool = Field(description="end nets early whose loss on val is worse than the median of earlier ones")
    at_once: Positive | None = Field(description="trials chosen and run together; null: the launcher's n_jobs")


Sweep = Annotated[Grid | Optuna, Field(discriminator="name")]


# --- other machines -------------------------------------------------------------------------------------------------


Address = Annotated[str, FREE_TEXT, Called("tcp://HOST:PORT"), Field(pattern=r"^tcp://[^/\s]+:[0-9]{1,5}$")]


class Cluster(Knobs):
    address: Address | None = Field(
        description="scheduler of a Dask cluster whose workers count the files of the text; null: this machine does"
    )


# --- the trees ------------------------------------------------------------------------------------------------------


class TrainSettings(Knobs):
    """What one run is told, and what its folder remembers."""

    seed: Seed = Field(description="of the first weights, the batches and the samples")
    figures: bool = Field(description="draw the pictures")
    json_: bool = Field(alias="json", description="print the result as JSON")
    resume: FilePath | None = Field(description="run folder of an interrupted run to go on with")
    data: Data
    model: Model
    smoothing: Smoothing | None = None
    cluster: Cluster = Cluster(address=None)
    optim: Optimizer | None = None
    trainer: Trainer | None = None

    @model_validator(mode="before")
    @classmethod
    def _usual_smoothing(cls, values: Any) -> Any:
        """smoothing=usual is add_k where a k is set and up to bigrams, and modified_kneser_ney beyond."""
        smoothing, model = (values.get(group) if isinstance(values, dict) else None for group in ("smoothing", "model"))
        if not isinstance(smoothing, dict) or not isinstance(model, dict) or smoothing.get("name") != "usual":
            return values
        k, order = smoothing.get("k"), model.get("order")
        if k is None and isinstance(order, int) and order > 2:
            usual: dict[str, Any] = {"name": "modified_kneser_ney", "base": "uniform"}
        else:
            usual = {"name": "add_k", "k": 1.0 if k is None else k}
        return {**values, "smoothing": {key: value for key, value in smoothing.items() if key != "k"} | usual}

    @model_validator(mode="after")
    def _meaningful(self) -> "TrainSettings":
        model, smoothing = self.model, self.smoothing
        if smoothing is not None and not model.smoothings:
            raise ValueError(f"smoothing means nothing for model={model.name}, which is smoothed as its file says")
        if smoothing is None and model.smoothings:
            raise ValueError(f"smoothing is missing: model={model.name} takes {one_of(model.smoothings)}")
        if smoothing is not None and smoothing.name not in model.smoothings:
            raise ValueError(
                f"smoothing={smoothing.name} does not work for model={model.name}, "
                f"which takes {one_of(model.smoothings)}"
            )
        if model.net is not None and getattr(smoothing, "tune", False):
            raise ValueError(f"smoothing.tune=true means nothing for model={model.name}, which does not count; set a k")
        for group in ("optim", "trainer"):
            given = getattr(self, group) is not None
            if given and model.net is None:
                raise ValueError(f"{group} means nothing for model={model.name}, which is counted; use model=nn")
            if not given and model.net is not None:
                raise ValueError(f"{group} is missing: model={model.name} is trained by gradient descent")
        if model.net is not None and self.cluster.address is not None:
            raise ValueError(
                f"cluster.address means nothing for model={model.name}, which is not counted; see trainer=ddp"
            )
        for key, usual in (("batch_size", "all"), ("merge", True)):
            value = getattr(self.data, key)
            if model.net is None and value != usual:
                raise ValueError(
                    f"data.{key}={shown(value)} means nothing for model={model.name}, which counts every pair once"
                )
        if is_fitted(smoothing) and self.data.split == "makemore" and self.data.val is None:
            raise ValueError(
                f"smoothing={shown(smoothing and smoothing.name)} is fitted on val, and data.split=makemore has none; "
                "set data.val=1000"
            )
        if isinstance(model, Count) and model.is_pruned and smoothing and smoothing.name in model.keeps_all:
            knob = "prune" if any(model.prune) else "prune_entropy"
            raise ValueError(
                f"model.{knob}={shown(getattr(model, knob))}: smoothing={smoothing.name} mixes no lower orders in, "
                "which would stand in for what is left out; choose modified_kneser_ney, or another that does"
            )
        if self.data.batch_size != "all" and isinstance(self.optim, Lbfgs):
            raise ValueError("optim=lbfgs needs the full batch; set data.batch_size=all")
        if isinstance(self.trainer, Ddp) and isinstance(self.optim, Lbfgs):
            raise ValueError("optim=lbfgs searches along a line by itself, not with other processes; set trainer=cpu")
        return self


class TrainCommand(TrainSettings):
    """What `scripts/train.py` is told: a run, and how to sweep over several."""

    sweep: Sweep

    def run(self) -> TrainSettings:
        return TrainSettings.model_validate({key: value for key, value in self.plain().items() if key != "sweep"})


class OtherData(Knobs):
    """Another text for a finished run; what is null stays as it was in the run."""

    name: Literal["names", "makemore", "shakespeare", "lines", "text"] | None
    path: FilePath | None = Field(description="the file to read")
    url: Text | None = Field(description="where makemore and shakespeare come from")
    sha256: Digest | None = Field(description="the digest a downloaded file must have")
    encoding: Encoding | None = Field(description="how the file's bytes become characters")
    normalize: Literal["none", "nfc", "nfkc"] | None = Field(description="Unicode normalisation")
    split: Literal["hash", "lecture", "makemore", "contiguous", "all"] | None = Field(
        description="how the text is dealt out; of another text the default is all"
    )
    val: Positive | None = Field(description="documents taken from the end of train as val (split=makemore)")
    dedup: Literal["none", "before_split"] | None = Field(description="before_split: of equal documents keep the first")
    unk: Literal["error", "skip"] | None = Field(
        description="characters unseen in train: refuse, or leave out and count"
    )


RunDir = Annotated[FilePath, Field(description="the run folder")]
Json = Annotated[bool, Field(description="print the result as JSON")]


class EvaluateSettings(Knobs):
    """What `scripts/evaluate.py` is told."""

    run: RunDir
    data: OtherData
    json_: Json = Field(alias="json")


class SampleSettings(Knobs):
    """What `scripts/sample.py` is told."""

    run: RunDir
    n: Positive = Field(description="documents to sample")
    seed: Seed = Field(description="of the random numbers; the same seed gives the same text")
    prefix: Text = Field(description="text that every sample begins with")
    temperature: float = Field(ge=0, description="below 1 safer, above 1 wilder, 0 always the likeliest character")
    top_k: Positive | None = Field(description="draw among the k likeliest characters only")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        description="draw among the likeliest characters that together hold this probability"
    )
    max_chars: Positive = Field(description="characters after which a document is cut off")
    novel: bool = Field(description="leave out documents that stand in the training set, and draw others instead")
    batched: bool = Field(description="draw documents side by side, each with a random stream of its own: faster")
    json_: Json = Field(alias="json")


class ExplainSettings(Knobs):
    """What `scripts/explain.py` is told."""

    run: RunDir
    text: Text = Field(description="the document to explain")
    out: FilePath | None = Field(description="the picture's file; null: outputs/explain.png in the project")
    figures: bool = Field(description="draw the picture")
    json_: Json = Field(alias="json")


class ExportSettings(Knobs):
    """What `scripts/export.py` is told."""

    run: RunDir
    format: Literal["arpa"] = Field(description="arpa: n-grams as text, for KenLM, SRILM and others")
    out: FilePath | None = Field(
        description="the file, compressed where it ends in .gz; null: RUN.arpa under outputs/ in the project"
    )
    json_: Json = Field(alias="json")


class CompareSettings(Knobs):
    """What `scripts/compare.py` is told, beside the folders."""

    out: FilePath | None = Field(description="folder for table, picture and page; null: a new one under outputs/")
    json_: Json = Field(alias="json")


class BenchSettings(Knobs):
    """What `scripts/bench.py` is told."""

    names: FilePath | None = Field(description="a file of names, one a line; null: the embedded ones")
    text: FilePath | None = Field(description="a large file of text; null: one made of the Python sources at hand")
    largest: Annotated[int, Field(ge=10, le=100_000)] = Field(description="MB of text that is counted at most")
    only: Literal["names", "scale"] | None = Field(description="names: whole runs on names; scale: large texts")
    pairs: Positive = Field(description="how often each is run beside its peer; the table gives medians")
