"""Settings of the commands that use a finished run."""

from typing import Annotated, Literal

from pydantic import Field

from nextchar.config.data_settings import OtherData
from nextchar.config.field_types import FilePath, Positive, Seed, Text
from nextchar.config.fields import Settings

RunDir = Annotated[FilePath, Field(description="the run folder")]


Json = Annotated[bool, Field(description="print the result as JSON")]


class EvaluateSettings(Settings):
    """What `scripts/evaluate.py` is told."""

    run: RunDir
    data: OtherData
    json_: Json = Field(alias="json")


class SampleSettings(Settings):
    """What `scripts/sample.py` is told."""

    run: RunDir
    n: Positive = Field(description="documents to sample")
    seed: Seed = Field(description="of the random numbers; the same seed gives the same text")
    prefix: Text = Field(description="text that every sample begins with")
    temperature: float = Field(ge=0, description="below 1 safer, above 1 wilder, 0 always the likeliest character")
    top_k: Positive | None = Field(description="draw among the k likeliest characters only")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        description="draw among the likeliest characters that together hold this probability"
    )
    max_chars: Positive = Field(description="characters after which a document is cut off")
    novel: bool = Field(description="leave out documents that stand in the training set, and draw others instead")
    batched: bool = Field(description="draw documents side by side, each with a random stream of its own: faster")
    json_: Json = Field(alias="json")


class ExplainSettings(Settings):
    """What `scripts/explain.py` is told."""

    run: RunDir
    text: Text = Field(description="the document to explain")
    out: FilePath | None = Field(description="the picture's file; null: outputs/explain.png in the project")
    figures: bool = Field(description="draw the picture")
    json_: Json = Field(alias="json")


class ExportSettings(Settings):
    """What `scripts/export.py` is told."""

    run: RunDir
    format: Literal["arpa"] = Field(description="arpa: n-grams as text, for KenLM, SRILM and others")
    out: FilePath | None = Field(
        description="the file, compressed where it ends in .gz; null: RUN.arpa under outputs/ in the project"
    )
    json_: Json = Field(alias="json")


class CompareSettings(Settings):
    """What `scripts/compare.py` is told, beside the folders."""

    out: FilePath | None = Field(description="folder for table, picture and page; null: a new one under outputs/")
    json_: Json = Field(alias="json")


class BenchSettings(Settings):
    """What `scripts/bench.py` is told."""

    names: FilePath | None = Field(description="a file of names, one a line; null: the embedded ones")
    text: FilePath | None = Field(description="a large file of text; null: one made of the Python sources at hand")
    largest: Annotated[int, Field(ge=10, le=100_000)] = Field(description="MB of text that is counted at most")
    only: Literal["names", "scale"] | None = Field(description="names: whole runs on names; scale: large texts")
    pairs: Positive = Field(description="how often each is run beside its peer; the table gives medians")
