"""All settings of one run, and of a sweep over several. The rules between groups stand in the modules of the groups."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from nextchar.config.data_settings import Data
from nextchar.config.fields import AS_TYPED, NOT_COMPARED, TYPED_ONLY, FilePath, Positive, Seed, Settings
from nextchar.config.model_settings import Model
from nextchar.config.optim_settings import Optimizer
from nextchar.config.smoothing_settings import Smoothing, Usual
from nextchar.config.trainer_settings import Trainer

Address = Annotated[
    str, Field(pattern=r"^tcp://[^/\s]+:[0-9]{1,5}$", json_schema_extra=AS_TYPED | {"takes": "tcp://HOST:PORT"})
]


class Cluster(Settings):
    address: Address | None = Field(
        description="scheduler of a Dask cluster whose workers count the files of the text; null: count here",
        json_schema_extra=NOT_COMPARED | TYPED_ONLY,
    )


class TrainSettings(Settings):
    """The settings of a run, as its folder keeps them."""

    seed: Seed = Field(description="seed of the initial weights, the batches and the samples")
    figures: bool = Field(description="draw the pictures", json_schema_extra=NOT_COMPARED)
    json_: bool = Field(alias="json", description="print the result as JSON", json_schema_extra=NOT_COMPARED)
    resume: FilePath | None = Field(description="folder of an interrupted run", json_schema_extra=NOT_COMPARED)
    data: Data
    model: Model
    smoothing: Smoothing | None = None
    cluster: Cluster = Cluster(address=None)
    optim: Optimizer | None = None
    trainer: Trainer | None = None

    def refusals(self) -> Iterator[str]:
        for group in (self.model, self.smoothing, self.optim, self.trainer):
            yield from group.refusals_in(self) if group else ()

    @model_validator(mode="before")
    @classmethod
    def _replace_usual(cls, values: Any) -> Any:
        smoothing, model = (values.get(group) if isinstance(values, dict) else None for group in ("smoothing", "model"))
        if isinstance(smoothing, dict) and isinstance(model, dict) and smoothing.get("name") == "usual":
            return {**values, "smoothing": Usual.replaced(smoothing, model.get("order"))}
        return values


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


class TrainCommand(TrainSettings):
    """The settings that `train` takes: those of a run, and those of a sweep over several."""

    sweep: Sweep

    def run(self) -> TrainSettings:
        """Returns the settings of the run. They are checked already."""
        return TrainSettings.model_construct(**{name: getattr(self, name) for name in TrainSettings.model_fields})
