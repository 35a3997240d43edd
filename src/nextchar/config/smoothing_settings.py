"""Settings of the smoothing methods."""

from typing import Annotated, Literal

from pydantic import Field

from nextchar.config.fields import Settings

Discount = Annotated[float, Field(ge=0, le=1)]


Tune = Annotated[bool, Field(description="fit the method's own parameters on val")]


class NoSmoothing(Settings):
    name: Literal["none"]


class AddK(Settings):
    name: Literal["add_k"]
    k: float = Field(ge=0, le=1e12, description="pseudo-counts added to every n-gram (Laplace: 1)")
    tune: Tune


class JelinekMercer(Settings):
    name: Literal["jelinek_mercer"]
    weights: Literal["order", "bucket"] = Field(
        description="fitted on val: one weight an order, or one for contexts about as frequent"
    )


class WittenBell(Settings):
    name: Literal["witten_bell"]


class AbsoluteDiscount(Settings):
    name: Literal["absolute_discount"]
    discount: Discount | None = Field(description="taken off every count; null: estimated by order")
    tune: Tune


class KneserNey(Settings):
    name: Literal["kneser_ney"]
    discount: Discount | None = Field(description="taken off every count; null: estimated by order")
    tune: Tune


class ModifiedKneserNey(Settings):
    name: Literal["modified_kneser_ney"]
    base: Literal["uniform", "kenlm"] = Field(
        description="below the unigrams: uniform over the vocabulary, or, as KenLM has it, over an unknown symbol too"
    )
    tune: Tune


class Katz(Settings):
    name: Literal["katz"]


class StupidBackoff(Settings):
    name: Literal["stupid_backoff"]
    alpha: float = Field(gt=0, le=1, description="the factor of a score for each order that is left out")


class Dirichlet(Settings):
    name: Literal["dirichlet"]
    concentration: float = Field(gt=0, le=1e12, description="pseudo-counts dealt out as the order below says")
    tune: Tune


class PitmanYor(Settings):
    name: Literal["pitman_yor"]
    discount: Discount | None = Field(description="taken off every count; null: estimated by order")
    concentration: float = Field(ge=0, le=1e12, description="pseudo-counts dealt out as the order below says")
    tune: Tune


class Usual(Settings):
    """What stands for another method until the order is known; no run has it."""

    name: Literal["usual"]
    k: float | None = Field(description="add_k with this k; null: by the order")
    tune: Tune


class L2(Settings):
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
