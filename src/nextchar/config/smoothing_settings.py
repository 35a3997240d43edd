"""Settings of the smoothing methods."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from nextchar.config.fields import Settings

Discount = Annotated[float, Field(ge=0, le=1)]


Tune = Annotated[bool, Field(description="fit the method's own parameters on val")]


class SmoothingSettings(Settings):
    """Base of the settings of a smoothing method: for which models it is, and what it needs."""

    name: str

    counts: ClassVar[bool] = True  # can smooth counted n-grams
    nets: ClassVar[bool] = False  # can smooth a net
    prunable: ClassVar[bool] = True  # gives the probability of pruned n-grams to lower orders

    @property
    def needs_val(self) -> bool:
        """Whether parameters are fitted on val."""
        return bool(getattr(self, "tune", False))

    @classmethod
    def option(cls) -> str:
        """Returns the name that chooses the method, as in smoothing=add_k."""
        return str(get_args(cls.model_fields["name"].annotation)[0])


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
        description="fitted on val: one weight an order, or one for contexts about as frequent"
    )

    @property
    def needs_val(self) -> bool:
        return True


class WittenBell(SmoothingSettings):
    name: Literal["witten_bell"]


class AbsoluteDiscount(SmoothingSettings):
    name: Literal["absolute_discount"]
    discount: Discount | None = Field(description="taken off every count; null: estimated by order")
    tune: Tune


class KneserNey(SmoothingSettings):
    name: Literal["kneser_ney"]
    discount: Discount | None = Field(description="taken off every count; null: estimated by order")
    tune: Tune


class ModifiedKneserNey(SmoothingSettings):
    name: Literal["modified_kneser_ney"]
    base: Literal["uniform", "kenlm"] = Field(
        description="below the unigrams: uniform over the vocabulary, or, as KenLM has it, over an unknown symbol too"
    )
    tune: Tune


class Katz(SmoothingSettings):
    name: Literal["katz"]

    prunable = False


class StupidBackoff(SmoothingSettings):
    name: Literal["stupid_backoff"]
    alpha: float = Field(gt=0, le=1, description="the factor of a score for each order that is left out")

    prunable = False


class Dirichlet(SmoothingSettings):
    name: Literal["dirichlet"]
    concentration: float = Field(gt=0, le=1e12, description="pseudo-counts dealt out as the order below says")
    tune: Tune


class PitmanYor(SmoothingSettings):
    name: Literal["pitman_yor"]
    discount: Discount | None = Field(description="taken off every count; null: estimated by order")
    concentration: float = Field(ge=0, le=1e12, description="pseudo-counts dealt out as the order below says")
    tune: Tune


class Usual(SmoothingSettings):
    """What stands for another method until the order is known; no run has it."""

    name: Literal["usual"]
    k: float | None = Field(description="add_k with this k; null: by the order")
    tune: Tune

    counts = False


class L2(SmoothingSettings):
    name: Literal["l2"]
    strength: float = Field(ge=0, le=1e12, description="weight of the mean squared logit in the objective")

    counts = False
    nets = True


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

METHODS: tuple[type[SmoothingSettings], ...] = get_args(get_args(Smoothing)[0])
