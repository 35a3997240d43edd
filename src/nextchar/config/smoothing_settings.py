"""Settings of the smoothing methods, and the needs of each. A new method: its class here, its name in Smoothing."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field

from nextchar.config.fields import Settings

Discount = Annotated[float, Field(ge=0, le=1)]
EstimatedDiscount = Annotated[
    Discount | None, Field(description="discount subtracted from every count; null: estimated for each order")
]
Tune = Annotated[bool, Field(description="fit the method's parameters on val")]
PSEUDO_COUNTS = "pseudo-counts per context, distributed as the next lower order predicts"


class SmoothingSettings(Settings):
    """Base of the settings of a smoothing method: the models it is for, and what it needs."""

    name: str

    counts: ClassVar[bool] = True  # can smooth counted n-grams
    nets: ClassVar[bool] = False  # can smooth a net
    prunable: ClassVar[bool] = True  # gives pruned n-grams a probability from the lower orders

    @property
    def needs_val(self) -> bool:
        """Whether parameters are fitted on val."""
        return bool(getattr(self, "tune", False))

    def refusals_in(self, run: Any) -> Iterator[str]:
        if self.needs_val and run.data.split == "makemore" and run.data.val is None:
            yield f"smoothing={self.name} is fitted on val, and data.split=makemore has no val; set data.val=1000"


class NoSmoothing(SmoothingSettings):
    name: Literal["none"]

    nets = True
    prunable = False


class AddK(SmoothingSettings):
    name: Literal["add_k"]
    k: float = Field(ge=0, le=1e12, description="pseudo-counts added to every n-gram (Laplace: 1)")
    tune: Tune

    nets = True
    prunable = False


class JelinekMercer(SmoothingSettings):
    name: Literal["jelinek_mercer"]
    weights: Literal["order", "bucket"] = Field(
        description="weights fitted on val: one per order, or one per order and bucket of context frequency"
    )

    @property
    def needs_val(self) -> bool:
        return True


class WittenBell(SmoothingSettings):
    name: Literal["witten_bell"]


class AbsoluteDiscount(SmoothingSettings):
    name: Literal["absolute_discount"]
    discount: EstimatedDiscount
    tune: Tune


class KneserNey(SmoothingSettings):
    name: Literal["kneser_ney"]
    discount: EstimatedDiscount
    tune: Tune


class ModifiedKneserNey(SmoothingSettings):
    name: Literal["modified_kneser_ney"]
    base: Literal["uniform", "kenlm"] = Field(
        description="distribution below the unigrams: uniform over the vocabulary; kenlm: also over an unknown symbol"
    )
    tune: Tune


class Katz(SmoothingSettings):
    name: Literal["katz"]

    prunable = False


class StupidBackoff(SmoothingSettings):
    name: Literal["stupid_backoff"]
    alpha: float = Field(gt=0, le=1, description="factor of the score for each order of backing off")

    prunable = False


class Dirichlet(SmoothingSettings):
    name: Literal["dirichlet"]
    concentration: float = Field(gt=0, le=1e12, description=PSEUDO_COUNTS)
    tune: Tune


class PitmanYor(SmoothingSettings):
    name: Literal["pitman_yor"]
    discount: EstimatedDiscount
    concentration: float = Field(ge=0, le=1e12, description=PSEUDO_COUNTS)
    tune: Tune


class L2(SmoothingSettings):
    name: Literal["l2"]
    strength: float = Field(ge=0, le=1e12, description="weight of the mean squared logit in the objective")

    counts = False
    nets = True


class Usual(SmoothingSettings):
    """The default of counted models, replaced before a run begins: add_k up to bigrams, modified_kneser_ney beyond."""

    name: Literal["usual"]
    k: float | None = Field(description="use add_k with this k; null: choose by the order")
    tune: Tune

    counts = False

    @staticmethod
    def replaced(smoothing: dict[str, Any], order: object) -> dict[str, Any]:
        """Returns the plain settings of the method that stands for smoothing=usual."""
        k = smoothing.get("k")
        if k is None and isinstance(order, int) and order > 2:
            method: dict[str, Any] = {"name": "modified_kneser_ney", "base": "uniform"}
        else:
            method = {"name": "add_k", "k": 1.0 if k is None else k}
        return {key: value for key, value in smoothing.items() if key != "k"} | method


PseudoCounts = NoSmoothing | AddK | Dirichlet | PitmanYor | L2 | Usual
Mixtures = JelinekMercer | WittenBell | StupidBackoff
Discounts = AbsoluteDiscount | KneserNey | ModifiedKneserNey | Katz
Smoothing = Annotated[PseudoCounts | Mixtures | Discounts, Field(discriminator="name")]


def methods_for(models: Literal["counts", "nets"]) -> tuple[str, ...]:
    """Returns the methods that smooth counted n-grams, or nets, by the names that choose them."""
    methods: tuple[type[SmoothingSettings], ...] = get_args(get_args(Smoothing)[0])
    return tuple(get_args(each.model_fields["name"].annotation)[0] for each in methods if getattr(each, models))
