"""Settings of the data sets."""

from typing import Any, Literal

from pydantic import Field, model_validator

from nextchar.config.field_types import Digest, Encoding, FilePath, Positive, Text
from nextchar.config.fields import NOT_COMPARED, Settings

RUNNING_TEXTS = ("shakespeare", "text")


class Data(Settings):
    name: Literal["names", "makemore", "shakespeare", "lines", "text"] = Field(
        description="names: embedded; makemore, shakespeare: downloaded; lines: your documents, one a line; "
        "text: your running text"
    )
    path: FilePath | None = Field(
        description="the file to read, or a folder or pattern of files (data=lines, data=text), plain or .gz"
    )
    url: Text | None = Field(description="where makemore and shakespeare come from", json_schema_extra=NOT_COMPARED)
    sha256: Digest | None = Field(description="the digest a downloaded file must have", json_schema_extra=NOT_COMPARED)
    encoding: Encoding = Field(
        description="how the file's bytes become characters; decoded strictly", json_schema_extra=NOT_COMPARED
    )
    normalize: Literal["none", "nfc", "nfkc"] = Field(description="Unicode normalisation; none keeps the text as it is")
    split: Literal["hash", "lecture", "makemore", "contiguous", "all"] = Field(
        description="hash (documents): 80/10/10 by content; lecture: random.seed(42) shuffle, 80/10/10; makemore: "
        "randperm(3407), the last 1,000 are test; contiguous (running text): 80/10/10 in order; all: everything is "
        "train, val and test"
    )
    val: Positive | None = Field(description="documents taken from the end of train as val (split=makemore)")
    dedup: Literal["none", "before_split"] = Field(
        description="before_split: of equal documents only the first is kept, so that none of test stands in train"
    )
    unk: Literal["error", "skip"] = Field(description="characters unseen in train: refuse, or leave out and count them")
    batch_size: Literal["all"] | Positive = Field(description="pairs a step (nets): all is full batch")
    merge: bool = Field(
        description="full batch: equal (x, y) pairs become one weighted pair, the same loss for less",
        json_schema_extra=NOT_COMPARED,
    )

    @property
    def is_text(self) -> bool:
        """One running text, not a document a line."""
        return self.name in RUNNING_TEXTS

    @model_validator(mode="before")
    @classmethod
    def _usual_split(cls, values: Any) -> Any:
        """`split: null` in conf/ is hash for documents and contiguous for a running text."""
        if isinstance(values, dict) and values.get("split", "") is None:
            return {**values, "split": "contiguous" if values.get("name") in RUNNING_TEXTS else "hash"}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "Data":
        own_file, downloaded = self.name in ("lines", "text"), self.name in ("makemore", "shakespeare")
        if own_file and self.path is None:
            raise ValueError(f"data.path is missing: data={self.name} reads your file; set data.path=FILE")
        if not own_file and self.path is not None:
            raise ValueError(
                f"data.path={self.path} means nothing for data={self.name}; "
                "for your own file: data=lines data.path=FILE"
            )
        for key in ("url", "sha256"):
            if not downloaded and getattr(self, key) is not None:
                raise ValueError(
                    f"data.{key}={getattr(self, key)} means nothing for data={self.name}, which is not downloaded"
                )
        if self.val is not None and self.split != "makemore":
            raise ValueError(f"data.val={self.val} belongs to data.split=makemore, not to data.split={self.split}")
        if self.is_text and self.dedup != "none":
            raise ValueError(f"data.dedup={self.dedup} drops documents, and data={self.name} is one running text")
        if self.is_text and self.split not in ("contiguous", "all"):
            raise ValueError(
                f"data.split={self.split} deals out documents, and data={self.name} is one running text; "
                "set data.split=contiguous or data.split=all"
            )
        return self


class OtherData(Settings):
    """Another text for a finished run; what is null stays as it was in the run."""

    name: Literal["names", "makemore", "shakespeare", "lines", "text"] | None
    path: FilePath | None = Field(description="the file to read")
    url: Text | None = Field(description="where makemore and shakespeare come from")
    sha256: Digest | None = Field(description="the digest a downloaded file must have")
    encoding: Encoding | None = Field(description="how the file's bytes become characters")
    normalize: Literal["none", "nfc", "nfkc"] | None = Field(description="Unicode normalisation")
    split: Literal["hash", "lecture", "makemore", "contiguous", "all"] | None = Field(
        description="how the text is dealt out; of another text the default is all"
    )
    val: Positive | None = Field(description="documents taken from the end of train as val (split=makemore)")
    dedup: Literal["none", "before_split"] | None = Field(description="before_split: of equal documents keep the first")
    unk: Literal["error", "skip"] | None = Field(
        description="characters unseen in train: refuse, or leave out and count"
    )
