"""All settings of one run, and the rules between its groups."""

from typing import Annotated, Any

from pydantic import Field, model_validator

from nextchar.config.data_settings import Data
from nextchar.config.field_types import FilePath, Seed
from nextchar.config.fields import AS_TYPED, NOT_COMPARED, Settings
from nextchar.config.model_settings import Count, Model
from nextchar.config.optim_settings import Lbfgs, Optimizer
from nextchar.config.smoothing_settings import Smoothing
from nextchar.config.sweep_settings import Sweep
from nextchar.config.trainer_settings import Ddp, Trainer
from nextchar.messages import one_of, shown

Address = Annotated[
    str, Field(pattern=r"^tcp://[^/\s]+:[0-9]{1,5}$", json_schema_extra=AS_TYPED | {"takes": "tcp://HOST:PORT"})
]


class Cluster(Settings):
    address: Address | None = Field(
        description="scheduler of a Dask cluster whose workers count the files of the text; null: this machine does",
        json_schema_extra=NOT_COMPARED,
    )


class TrainSettings(Settings):
    """What one run is told, and what its folder remembers."""

    seed: Seed = Field(description="of the first weights, the batches and the samples")
    figures: bool = Field(description="draw the pictures", json_schema_extra=NOT_COMPARED)
    json_: bool = Field(alias="json", description="print the result as JSON", json_schema_extra=NOT_COMPARED)
    resume: FilePath | None = Field(
        description="run folder of an interrupted run to go on with", json_schema_extra=NOT_COMPARED
    )
    data: Data
    model: Model
    smoothing: Smoothing | None = None
    cluster: Cluster = Cluster(address=None)
    optim: Optimizer | None = None
    trainer: Trainer | None = None

    @model_validator(mode="before")
    @classmethod
    def _usual_smoothing(cls, values: Any) -> Any:
        """smoothing=usual is add_k where a k is set and up to bigrams, and modified_kneser_ney beyond."""
        smoothing, model = (values.get(group) if isinstance(values, dict) else None for group in ("smoothing", "model"))
        if not isinstance(smoothing, dict) or not isinstance(model, dict) or smoothing.get("name") != "usual":
            return values
        k, order = smoothing.get("k"), model.get("order")
        if k is None and isinstance(order, int) and order > 2:
            usual: dict[str, Any] = {"name": "modified_kneser_ney", "base": "uniform"}
        else:
            usual = {"name": "add_k", "k": 1.0 if k is None else k}
        return {**values, "smoothing": {key: value for key, value in smoothing.items() if key != "k"} | usual}

    @model_validator(mode="after")
    def _meaningful(self) -> "TrainSettings":
        model, smoothing = self.model, self.smoothing
        if smoothing is not None and not model.smoothings:
            raise ValueError(f"smoothing means nothing for model={model.name}, which is smoothed as its file says")
        if smoothing is None and model.smoothings:
            raise ValueError(f"smoothing is missing: model={model.name} takes {one_of(model.smoothings)}")
        if smoothing is not None and smoothing.name not in model.smoothings:
            raise ValueError(
                f"smoothing={smoothing.name} does not work for model={model.name}, "
                f"which takes {one_of(model.smoothings)}"
            )
        if model.net is not None and getattr(smoothing, "tune", False):
            raise ValueError(f"smoothing.tune=true means nothing for model={model.name}, which does not count; set a k")
        for group in ("optim", "trainer"):
            given = getattr(self, group) is not None
            if given and model.net is None:
                raise ValueError(f"{group} means nothing for model={model.name}, which is counted; use model=nn")
            if not given and model.net is not None:
                raise ValueError(f"{group} is missing: model={model.name} is trained by gradient descent")
        if model.net is not None and self.cluster.address is not None:
            raise ValueError(
                f"cluster.address means nothing for model={model.name}, which is not counted; see trainer=ddp"
            )
        for key, usual in (("batch_size", "all"), ("merge", True)):
            value = getattr(self.data, key)
            if model.net is None and value != usual:
                raise ValueError(
                    f"data.{key}={shown(value)} means nothing for model={model.name}, which counts every pair once"
                )
        if smoothing is not None and smoothing.needs_val and self.data.split == "makemore" and self.data.val is None:
            raise ValueError(
                f"smoothing={shown(smoothing.name)} is fitted on val, and data.split=makemore has none; "
                "set data.val=1000"
            )
        if isinstance(model, Count) and model.is_pruned and smoothing and not smoothing.prunable:
            knob = "prune" if any(model.prune) else "prune_entropy"
            raise ValueError(
                f"model.{knob}={shown(getattr(model, knob))}: smoothing={smoothing.name} mixes no lower orders in, "
                "which would stand in for what is left out; choose modified_kneser_ney, or another that does"
            )
        if self.data.batch_size != "all" and isinstance(self.optim, Lbfgs):
            raise ValueError("optim=lbfgs needs the full batch; set data.batch_size=all")
        if isinstance(self.trainer, Ddp) and isinstance(self.optim, Lbfgs):
            raise ValueError("optim=lbfgs searches along a line by itself, not with other processes; set trainer=cpu")
        return self


class TrainCommand(TrainSettings):
    """What `scripts/train.py` is told: a run, and how to sweep over several."""

    sweep: Sweep

    def run(self) -> TrainSettings:
        """Returns the settings of one run, which are checked already."""
        return TrainSettings.model_construct(**{name: getattr(self, name) for name in TrainSettings.model_fields})
