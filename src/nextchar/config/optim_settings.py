"""Settings of the optimizers."""

from typing import Annotated, Literal

from pydantic import Field

from nextchar.config.field_types import Decay, Positive, Rate
from nextchar.config.fields import Settings


class Sgd(Settings):
    name: Literal["sgd"]
    lr: Rate = Field(description="learning rate")
    momentum: Decay = Field(description="share of the last step that is kept")


class Adam(Settings):
    name: Literal["adam"]
    lr: Rate = Field(description="learning rate")
    beta1: Decay = Field(description="decay of the gradient's running mean")
    beta2: Decay = Field(description="decay of the squared gradient's running mean")


class AdamW(Settings):
    name: Literal["adamw"]
    lr: Rate = Field(description="learning rate")
    beta1: Decay = Field(description="decay of the gradient's running mean")
    beta2: Decay = Field(description="decay of the squared gradient's running mean")
    weight_decay: float = Field(ge=0, description="decoupled weight decay")


class Lbfgs(Settings):
    name: Literal["lbfgs"]
    lr: Rate = Field(description="first step length tried by the line search")
    history_size: Positive = Field(description="past steps that shape the curvature estimate")


Optimizer = Annotated[Sgd | Adam | AdamW | Lbfgs, Field(discriminator="name")]
