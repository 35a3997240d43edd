"""Settings of a sweep over several runs."""

from typing import Annotated, Literal

from pydantic import Field

from nextchar.config.field_types import FilePath, Positive, Seed
from nextchar.config.fields import Settings


class AnySweep(Settings):
    """Base of the settings of a sweep."""

    metric: Literal["val/loss", "test/loss", "train/loss"] = Field(
        description="loss that ranks the jobs and that a search minimises; train/loss if there is no val"
    )
    space: dict[str, bool | int | float | str] = Field(
        description="values or ranges by setting, for conf/sweep/*.yaml; written as on the command line"
    )
    resume: FilePath | None = Field(description="folder of a sweep whose unfinished jobs are to run")
    dry_run: bool = Field(description="check and print all jobs, and run none")


class Grid(AnySweep):
    name: Literal["grid"]


class Optuna(AnySweep):
    name: Literal["optuna"]
    n_trials: Positive = Field(description="number of jobs, including those of a resumed search")
    sampler: Literal["tpe", "random"] = Field(description="tpe: Tree-structured Parzen Estimator; random: uniform")
    seed: Seed = Field(description="seed of the sampler; the runs have their own")
    prune: bool = Field(description="stop nets early whose loss on val is worse than the median of earlier trials")
    at_once: Positive | None = Field(description="trials chosen and run together; null: n_jobs of the launcher")


Sweep = Annotated[Grid | Optuna, Field(discriminator="name")]
