"""Settings of the models."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from nextchar.config.field_types import FilePath
from nextchar.config.fields import Settings
from nextchar.config.smoothing_settings import METHODS
from nextchar.messages import shown


class Count(Settings):
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
    smoothings: ClassVar[tuple[str, ...]] = tuple(method.option() for method in METHODS if method.counts)

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


class NN(Settings):
    name: Literal["nn"]
    init: Literal["normal", "zeros"] = Field(description="the first logits: standard normal, or all equal")

    # module of nextchar.models : class; `net` is None for what is counted
    net: ClassVar[str | None] = "bigram:Bigram"
    smoothings: ClassVar[tuple[str, ...]] = tuple(method.option() for method in METHODS if method.nets)


class Arpa(Settings):
    name: Literal["arpa"]
    path: FilePath = Field(description="the ARPA file of another program's model, or of ours; plain or .gz")

    net: ClassVar[str | None] = None
    smoothings: ClassVar[tuple[str, ...]] = ()


Model = Annotated[Count | NN | Arpa, Field(discriminator="name")]
