"""Settings of the optimizers. A new one: its class here, its name in Optimizer."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from nextchar.config.field_types import Decay, Positive, Rate
from nextchar.config.fields import Settings

LearningRate = Annotated[Rate, Field(description="learning rate")]
Beta1 = Annotated[Decay, Field(description="decay of the running mean of the gradient")]
Beta2 = Annotated[Decay, Field(description="decay of the running mean of the squared gradient")]


class Sgd(Settings):
    name: Literal["sgd"]
    lr: LearningRate
    momentum: Decay = Field(description="share of the last step that is kept")


class Adam(Settings):
    name: Literal["adam"]
    lr: LearningRate
    beta1: Beta1
    beta2: Beta2


class AdamW(Settings):
    name: Literal["adamw"]
    lr: LearningRate
    beta1: Beta1
    beta2: Beta2
    weight_decay: float = Field(ge=0, description="decoupled weight decay")


class Lbfgs(Settings):
    name: Literal["lbfgs"]
    lr: Rate = Field(description="first step length tried by the line search")
    history_size: Positive = Field(description="past steps that shape the curvature estimate")


Optimizer = Annotated[Sgd | Adam | AdamW | Lbfgs, Field(discriminator="name")]


def refusals(run: Any) -> Iterator[str]:
    """Yields a line for each setting of a run that its optimizer does not take."""
    if isinstance(run.optim, Lbfgs) and run.data.batch_size != "all":
        yield "optim=lbfgs needs the full batch; set data.batch_size=all"
