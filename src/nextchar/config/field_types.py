"""Types of settings that several groups share: text, paths, seeds, positive numbers."""

import codecs
import os
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from nextchar.config.fields import A_PATH, AS_TYPED, LARGEST


def absolute(path: str) -> str:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
        raise ValueError("must be a path; download the URL first")
    return os.path.abspath(os.path.expanduser(path))


def _known_encoding(name: str) -> str:
    try:
        if not codecs.lookup(name)._is_text_encoding:
            raise ValueError(f"{name} does not decode bytes to text")
    except LookupError:
        raise ValueError("Python has no such encoding; common ones are utf-8, latin-1, cp1252 and utf-16") from None
    return name


Text = Annotated[str, Field(json_schema_extra=AS_TYPED)]
FilePath = Annotated[str, Field(min_length=1, json_schema_extra=A_PATH), AfterValidator(absolute)]
Digest = Annotated[
    str, Field(pattern="^[0-9a-f]{64}$", json_schema_extra=AS_TYPED | {"takes": "64 hexadecimal digits"})
]
Encoding = Annotated[
    str,
    Field(json_schema_extra=AS_TYPED | {"takes": "an encoding that Python knows (utf-8, latin-1, utf-16)"}),
    AfterValidator(_known_encoding),
]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Positive = Annotated[int, Field(ge=1, le=LARGEST)]
Rate = Annotated[float, Field(gt=0, le=1e38)]  # float32 ends at 3.4e38
Decay = Annotated[float, Field(ge=0, lt=1)]
