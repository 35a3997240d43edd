"""All settings of one run. The rules between its groups stand in the modules of the groups."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, model_validator

from nextchar.config.data_settings import Data
from nextchar.config.field_types import FilePath, Seed
from nextchar.config.fields import AS_TYPED, NOT_COMPARED, Settings
from nextchar.config.model_settings import Model
from nextchar.config.optim_settings import Optimizer
from nextchar.config.smoothing_settings import Smoothing, Usual
from nextchar.config.sweep_settings import Sweep
from nextchar.config.trainer_settings import Trainer

Address = Annotated[
    str, Field(pattern=r"^tcp://[^/\s]+:[0-9]{1,5}$", json_schema_extra=AS_TYPED | {"takes": "tcp://HOST:PORT"})
]


class Cluster(Settings):
    address: Address | None = Field(
        description="scheduler of a Dask cluster whose workers count the files of the text; null: count here",
        json_schema_extra=NOT_COMPARED,
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


class TrainCommand(TrainSettings):
    """The settings that `train` takes: those of a run, and those of a sweep over several."""

    sweep: Sweep

    def run(self) -> TrainSettings:
        """Returns the settings of the run. They are checked already."""
        return TrainSettings.model_construct(**{name: getattr(self, name) for name in TrainSettings.model_fields})
