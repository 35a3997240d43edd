"""Settings of the optimizers. A new one: its class here, its name in Optimizer."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from nextchar.config.fields import Decay, Positive, Rate, Settings

LearningRate = Annotated[Rate, Field(description="learning rate")]


class FirstOrder(Settings):
    """Base of the settings of the optimizers that compute one gradient a step."""

    name: str
    lr: LearningRate
    schedule: Literal["constant", "cosine", "linear"] = Field(
        description="learning rate after the warm-up: constant, or down to 0 at the last step, as a cosine or a line"
    )
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="share of the steps, the first ones, in which the learning rate rises to lr"
    )
    clip: Rate | None = Field(description="norm to which larger gradients are scaled down; null: none are")
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        description="decay of a running mean of the weights, which is the model; null: the weights themselves are"
    )


class Sgd(FirstOrder):
    name: Literal["sgd"]
    momentum: Decay = Field(description="share of the last step that is kept")


class AnyAdam(FirstOrder):
    """Base of the settings of Adam and AdamW."""

    beta1: Decay = Field(description="decay of the running mean of the gradient")
    beta2: Decay = Field(description="decay of the running mean of the squared gradient")


class Adam(AnyAdam):
    name: Literal["adam"]


class AdamW(AnyAdam):
    name: Literal["adamw"]
    weight_decay: float = Field(ge=0, description="decoupled weight decay, of matrices only")


class Lbfgs(Settings):
    name: Literal["lbfgs"]

    # its line search chooses the length of every step
    schedule: ClassVar[str] = "constant"
    warmup: ClassVar[float] = 0
    clip: ClassVar[None] = None
    ema: ClassVar[None] = None

    lr: Rate = Field(description="first step length tried by the line search")
    history_size: Positive = Field(description="past steps that shape the curvature estimate")

    def refusals_in(self, run: Any) -> Iterator[str]:
        if run.data.batch_size != "all":
            yield "optim=lbfgs needs the full batch; set data.batch_size=all"


Optimizer = Annotated[Sgd | Adam | AdamW | Lbfgs, Field(discriminator="name")]
