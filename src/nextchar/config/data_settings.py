"""Settings of the data sets."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from nextchar.config.fields import NOT_COMPARED, TYPED_ONLY, Digest, Encoding, FilePath, Positive, Settings, Text

RUNNING_TEXTS = ("shakespeare", "text")
DOWNLOADED = ("makemore", "shakespeare")
OWN_FILES = ("lines", "text")

Name = Literal["names", "makemore", "shakespeare", "lines", "text"]
Url = Annotated[Text | None, Field(description="address from which makemore and shakespeare are downloaded")]
Sha256 = Annotated[Digest | None, Field(description="digest that a downloaded file must have")]
Normalize = Literal["none", "nfc", "nfkc"]
Split = Literal["hash", "lecture", "makemore", "contiguous", "all"]
Val = Annotated[Positive | None, Field(description="documents at the end of train that become val (split=makemore)")]
Dedup = Literal["none", "before_split"]
Unk = Literal["error", "skip"]


class Data(Settings):
    name: Name = Field(
        description="names: embedded; makemore, shakespeare: downloaded; lines: your documents, one per line; "
        "text: your running text"
    )
    path: FilePath | None = Field(
        description="file, folder or pattern of files to read (data=lines, data=text), plain or .gz"
    )
    url: Url = Field(json_schema_extra=NOT_COMPARED | TYPED_ONLY)
    sha256: Sha256 = Field(json_schema_extra=NOT_COMPARED | TYPED_ONLY)
    encoding: Encoding = Field(
        description="encoding of the file, which is decoded strictly", json_schema_extra=NOT_COMPARED
    )
    normalize: Normalize = Field(description="Unicode normalisation; none keeps the text as it is")
    split: Split = Field(
        description="hash (documents): 80/10/10 by a hash of the text; lecture: random.seed(42) shuffle, 80/10/10; "
        "makemore: randperm(3407), the last 1,000 are test; contiguous (running text): 80/10/10 in order; all: train, "
        "val and test are the whole text"
    )
    val: Val
    dedup: Dedup = Field(
        description="before_split: keep only the first of equal documents, so that none of test is in train"
    )
    unk: Unk = Field(description="characters unseen in train: refuse them, or skip and count them")
    batch_size: Literal["all"] | Positive = Field(description="pairs per step (nets); all: full batch")
    merge: bool = Field(
        description="full batch: merge equal (x, y) pairs into one weighted pair, for the same loss in less time",
        json_schema_extra=NOT_COMPARED,
    )

    def refusals(self) -> Iterator[str]:
        if self.name in OWN_FILES and self.path is None:
            yield f"data.path is missing: data={self.name} reads your file; set data.path=FILE"
        if self.name not in OWN_FILES and self.path is not None:
            own = "for your own file: data=lines data.path=FILE"
            yield f"data.path={self.path} has no effect with data={self.name}; {own}"
        for key, value in (("url", self.url), ("sha256", self.sha256)):
            if self.name not in DOWNLOADED and value is not None:
                yield f"data.{key}={value} has no effect with data={self.name}, which is not downloaded"
        if self.val is not None and self.split != "makemore":
            yield f"data.val={self.val} has no effect with data.split={self.split}; it belongs to data.split=makemore"
        text = f"data={self.name} is one running text"
        if self.is_text and self.dedup != "none":
            yield f"data.dedup={self.dedup} removes documents, and {text}"
        if self.is_text and self.split not in ("contiguous", "all"):
            yield f"data.split={self.split} splits documents, and {text}; set data.split=contiguous or data.split=all"

    @property
    def is_text(self) -> bool:
        """Whether the data is one running text, not a document per line."""
        return self.name in RUNNING_TEXTS

    @model_validator(mode="before")
    @classmethod
    def _default_split(cls, values: Any) -> Any:
        """`split: null` in conf/ means hash for documents and contiguous for a running text."""
        if isinstance(values, dict) and values.get("split", "") is None:
            return {**values, "split": "contiguous" if values.get("name") in RUNNING_TEXTS else "hash"}
        return values


class OtherData(Settings):
    """Another text for a finished run; a null keeps the value of the run."""

    name: Name | None
    path: FilePath | None = Field(description="file, folder or pattern of files to read, plain or .gz")
    url: Url
    sha256: Sha256
    encoding: Encoding | None = Field(description="encoding of the file")
    normalize: Normalize | None = Field(description="Unicode normalisation")
    split: Split | None = Field(description="how to split the text; null: all, if it is another text")
    val: Val
    dedup: Dedup | None = Field(description="before_split: keep only the first of equal documents")
    unk: Unk | None = Field(description="characters unseen in train: refuse them, or skip and count them")
