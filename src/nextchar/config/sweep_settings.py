"""Settings of a sweep over several runs."""

from typing import Annotated, Literal

from pydantic import Field

from nextchar.config.field_types import FilePath, Positive, Seed
from nextchar.config.fields import Settings


class OverMany(Settings):
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
