"""Settings of the commands that use finished runs."""

from typing import Annotated, Literal

from pydantic import Field

from nextchar.config.data_settings import OtherData
from nextchar.config.fields import FilePath, Positive, Seed, Settings, Text

RunDir = Annotated[FilePath, Field(description="the run folder")]
Json = Annotated[bool, Field(description="print the result as JSON")]


class EvaluateSettings(Settings):
    run: RunDir
    data: OtherData
    json_: Json = Field(alias="json")


class SampleSettings(Settings):
    run: RunDir
    n: Positive = Field(description="number of documents")
    seed: Seed = Field(description="seed of the random numbers; the same seed gives the same text")
    prefix: Text = Field(description="text that every sample begins with")
    temperature: float = Field(ge=0, description="below 1 safer, above 1 wilder, 0 always the most probable character")
    top_k: Positive | None = Field(description="sample only from the k most probable characters")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        description="sample only from the most probable characters that together have this probability"
    )
    max_chars: Positive = Field(description="length at which a document is cut off")
    novel: bool = Field(description="replace documents that occur in the training set by new ones")
    batched: bool = Field(description="sample documents in parallel, each with its own random stream; faster")
    json_: Json = Field(alias="json")


class ExplainSettings(Settings):
    run: RunDir
    text: Text = Field(description="the document to explain")
    out: FilePath | None = Field(description="file of the picture; null: outputs/explain.png in the project")
    figures: bool = Field(description="draw the picture")
    json_: Json = Field(alias="json")


class ExportSettings(Settings):
    run: RunDir
    format: Literal["arpa"] = Field(description="arpa: n-grams as text, for KenLM, SRILM and others")
    out: FilePath | None = Field(
        description="the file, compressed if it ends in .gz; null: RUN.arpa under outputs/ in the project"
    )
    json_: Json = Field(alias="json")


class CompareSettings(Settings):
    out: FilePath | None = Field(description="folder of the table, picture and page; null: a new one in outputs/")
    json_: Json = Field(alias="json")


class BenchSettings(Settings):
    names: FilePath | None = Field(description="file of names, one per line; null: the embedded names")
    text: FilePath | None = Field(description="large text file; null: one made of Python sources on this machine")
    largest: Annotated[int, Field(ge=10, le=100_000)] = Field(description="largest text to count, in MB")
    only: Literal["names", "scale"] | None = Field(description="names: whole runs on names; scale: large texts")
    pairs: Positive = Field(description="runs of each measure beside its peer; the table shows medians")
