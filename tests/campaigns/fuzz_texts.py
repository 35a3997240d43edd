"""Text files, mutated, in any encoding: each is refused in one line, or read as Python's own decoder reads it."""

import gzip
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mutations
import numpy as np
from audit import outcome

from nextchar.config.compose import run_settings
from nextchar.config.data_settings import Data
from nextchar.config.fields import validated
from nextchar.data.corpus import EMBEDDED
from nextchar.data.load import Dataset, load
from nextchar.errors import BadInput
from nextchar.evaluation.loss import loss_on
from nextchar.models.ngram.fit import fit_ngrams

ENCODINGS = (
    "utf-8", "utf-8", "utf-8", "utf-8-sig", "ascii", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32",
    "shift_jis", "gb18030", "big5", "koi8-r", "utf-7",
)  # fmt: skip
SPLITS = {"lines": ("hash", "lecture", "makemore", "all"), "text": ("contiguous", "all")}
TOLERANCE = 1e-9  # nats


def attempts(folder: Path, seed: int) -> Iterator[str]:
    dice = random.Random(seed)
    names = EMBEDDED.read_text()[:600]
    texts = [
        names,
        "straße\r\nélan vital\r\nñandú\r\n" * 9,
        "漢字かな\n交じり文\n\n" * 12,
        "\ufeffa\n b\t\n" * 20,
        Path(__file__).read_text()[:900],
        "a\r b\r" * 30,
        "x",
        "",
    ]
    settings = {order: run_settings([f"model.order={order}"]) for order in (1, 2, 4)}
    plain = settings[2].data.plain()
    outcome(lambda: check(settings[2], validated(Data, plain)), folder)  # imports what reading needs
    number = 0
    while True:
        number += 1
        kind, encoding = dice.choice(("lines", "text")), dice.choice(ENCODINGS)
        content = dice.choice(texts).encode(encoding, "replace")
        if dice.random() < 0.9:
            content = mutations.of_bytes(content, dice)
        if dice.random() < 0.2:
            content = gzip.compress(content, 1)
            content = mutations.of_bytes(content, dice) if dice.random() < 0.5 else content
        path = folder / f"{number % 7}.txt"
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        values = plain | {
            "name": kind,
            "path": str(path),
            "encoding": encoding,
            "split": dice.choice(SPLITS[kind]),
            "normalize": dice.choice(("none", "none", "nfc", "nfkc")),
            "unk": dice.choice(("error", "skip")),
        }
        values["val"] = dice.choice((None, 1, 3)) if values["split"] == "makemore" else None
        run = settings[dice.choice((1, 2, 4))]
        try:
            data = validated(Data, values)
        except BadInput:  # an encoding that the settings do not take
            yield ""
            continue
        said, bad = outcome(lambda run=run, data=data: check(run, data), folder)
        bad = bad or said or ""
        yield f"{values}, {content!r}: {bad}" if bad else ""


def check(run: Any, data: Data) -> str:
    """Reads, counts and scores; returns what does not add up."""
    dataset = load(data)
    report = dataset.report
    if data.split != "all" and not data.is_text and sum(report.documents.values()) != report.kept:
        return f"{report.documents} documents of {report.kept}"
    model = fit_ngrams(run, dataset.vocabulary, dataset.splits).model
    split = dataset.splits["train"]
    loss = loss_on(model, split, data.is_text)
    if int(loss.chars.sum()) != split.predicted or not np.isfinite(loss.value):
        return f"scored {loss.chars.sum()} characters of {split.predicted}, loss {loss.value}"
    if data.unk == "error" and (bad := against_a_decoder(dataset, data)):
        return bad
    return ""


def against_a_decoder(dataset: Dataset, data: Data) -> str:
    """Compares the characters with those of a reader of three lines. (Normalised text it does not know.)"""
    content = Path(str(data.path)).read_bytes() if data.path else b""
    if not content or content[:2] == b"\x1f\x8b" or data.normalize != "none" or data.split != "all":
        return ""
    text = content.decode(data.encoding).removeprefix("\ufeff")
    ids = dataset.splits["train"].stream[1:]
    found = dataset.vocabulary.decode(ids, "\n")
    if data.is_text:
        same = found.replace("\r", "") == (text + "\n").replace("\r", "")
    else:
        same = documents(found) == documents(text)
    return "" if same else f"read as {found[:80]!r}, which is {text[:80]!r}"


def documents(text: str) -> list[str]:
    """Its lines; CRs may be a part of line ends, and are left to the tests of line ends."""
    return list(filter(None, text.replace("\r", "").split("\n")))
