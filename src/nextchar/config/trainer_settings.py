"""Settings of the trainers."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from nextchar.config.fields import LARGEST, NOT_COMPARED, Positive, Settings
from nextchar.config.optim_settings import Lbfgs


class AnyTrainer(Settings):
    """Base of the settings of a trainer."""

    name: str
    max_steps: Annotated[int, Field(ge=0, le=LARGEST)] = Field(description="optimizer steps")
    log_every: Positive = Field(description="steps between two points of a curve", json_schema_extra=NOT_COMPARED)
    precision: Literal[32, 64] = Field(description="bits of a floating-point number")
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        description="CPU threads of torch (per process); more than 1 may change the last bits of a sum",
        json_schema_extra=NOT_COMPARED,
    )
    checkpoint_seconds: Annotated[float, Field(ge=0)] = Field(
        description="seconds between two checkpoints, at most one per log_every steps", json_schema_extra=NOT_COMPARED
    )
    patience: Positive | None = Field(
        description="points of the curve without a lower val/loss after which training stops; null: it never does"
    )
    restore_best: bool = Field(description="end with the weights that had the lowest val/loss, not with the last ones")


class Cpu(AnyTrainer):
    name: Literal["cpu"] = Field(json_schema_extra=NOT_COMPARED)


class Ddp(AnyTrainer):
    name: Literal["ddp"] = Field(json_schema_extra=NOT_COMPARED)
    devices: Annotated[int, Field(ge=1, le=256)] = Field(
        description="processes per machine, which share the pairs of every step", json_schema_extra=NOT_COMPARED
    )
    nodes: Positive = Field(
        description="machines; more than 1 are started by torchrun or srun", json_schema_extra=NOT_COMPARED
    )

    def refusals_in(self, run: Any) -> Iterator[str]:
        if self.patience is not None:
            yield "trainer.patience does not work with trainer=ddp; set trainer=cpu"
        if isinstance(run.optim, Lbfgs):
            yield "optim=lbfgs cannot share its line search with other processes; set trainer=cpu"


Trainer = Annotated[Cpu | Ddp, Field(discriminator="name")]
