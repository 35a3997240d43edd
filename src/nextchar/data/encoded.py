"""train / val / test in ids: what a model learns from, is tuned on, and is judged by, walked through piece by piece."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from nextchar.config.data_settings import Data
from nextchar.data.splits import END, Dealt, Passage, Share, Shuffled
from nextchar.data.vocabulary import BOUNDARY, Encoder, Stream, Vocabulary
from nextchar.errors import BadInput
from nextchar.messages import named, shown

PIECE = 1 << 20  # ids to be predicted; bounds the memory that a walk through a part takes
LONGEST_LEAD = 4096  # characters before a passage that are remembered for its context


class Block(NamedTuple):
    """Successive ids of a split. `ids[:n_context]` (one at least) are only context; the rest is to be predicted."""

    ids: Stream
    n_context: int


class Walked(NamedTuple):
    """What the first walk through one file's share of a part has found; `lead`: the ids before it."""

    documents: int
    predicted: int
    skipped: int
    lead: Stream


@dataclass(eq=False)
class Split:
    """One part of a split, in ids: documents, each between two boundaries, neighbours sharing one.

    A small one is `held`, (lead + predicted,), a larger one read again at every walk. Cheap to send elsewhere, where
    it is read again. `in_train` (documents,) bool: which of them stand in train too, where that says anything.
    """

    vocabulary: Vocabulary
    is_text: bool  # a passage of a running text
    walked: list[Walked]
    shares: list[Share] = field(default_factory=list)  # one for each of these; none where all is held
    held: Stream | None = None
    in_train: npt.NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, vocabulary: Vocabulary, documents: Sequence[str]) -> "Split":
        """A part that holds these documents. All characters must be in the vocabulary."""
        stream = vocabulary.stream(documents)
        return cls(vocabulary, False, [Walked(len(documents), len(stream) - 1, 0, stream[:1])], held=stream)

    @property
    def documents(self) -> int:
        return 1 if self.is_text else sum(walked.documents for walked in self.walked)

    @property
    def predicted(self) -> int:
        """Characters and document ends."""
        return sum(walked.predicted for walked in self.walked)

    @property
    def skipped(self) -> int:
        """Characters left out because the vocabulary lacks them."""
        return sum(walked.skipped for walked in self.walked)

    @cached_property
    def stream(self) -> Stream:
        """(predicted + 1,) all ids at once; the first is context only."""
        if self.held is not None:
            return self.held[len(self._lead) - 1 :]
        stream = np.empty(self.predicted + 1, dtype=self._lead.dtype)
        at = 0
        for ids, n_context in self.blocks(1):
            stream[at : at + len(ids)] = ids
            at += len(ids) - n_context
        return stream

    def blocks(self, context: int) -> Iterator[Block]:
        """A walk: every id to be predicted once, in order, with the `context` ids before it, or all that there are.

        What comes before a passage is known for 4,096 characters.
        """
        if self.held is not None:
            for start in range(len(self._lead), len(self.held), PIECE):
                first = max(0, start - context)
                yield Block(self.held[first : start + PIECE], start - first)
            return
        lead = self._lead[-context:]
        for ids in _evenly(self._ids()):
            both = np.concatenate([lead, ids])
            yield Block(both, len(lead))
            lead = both[-context:]

    def texts(self) -> Iterator[str]:
        """The documents, without the characters that were left out."""
        if self.is_text:
            yield "".join(self._text())
            return
        begun: list[str] = []
        for text in self._text():
            *whole, rest = text.split(END)
            if whole:
                whole[0] = "".join([*begun, whole[0]])
                begun = []
                yield from whole
            begun.append(rest)

    def opening(self, characters: int) -> str:
        """The first document, or so many characters of it."""
        begun = ""
        for text in self._text():
            begun += text
            if len(begun) >= characters or (END in begun and not self.is_text):
                break
        return (begun if self.is_text else begun.partition(END)[0])[:characters]

    @property
    def sha256(self) -> str:
        """Of the documents, joined by newlines."""
        digest, carried = hashlib.sha256(), ""
        for text in self._text():
            digest.update((carried + text[:-1]).encode("utf-8", "surrogatepass"))
            carried = text[-1:]
        if self.is_text:  # the last document of several has a newline after it
            digest.update(carried.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def shards(self) -> list["Split"]:
        """The part file by file. In their windows, put together, is all that is in the part's, each once."""
        if len(self.shares) <= 1:
            return [self]
        return [
            Split(self.vocabulary, self.is_text, [walked], [share])
            for walked, share in zip(self.walked, self.shares, strict=True)
        ]

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "stream"}
        return state | {"held": None} if self.shares else state

    @property
    def _lead(self) -> Stream:
        return self.walked[0].lead

    def _ids(self) -> Iterator[Stream]:
        """All ids to be predicted, cut anywhere."""
        encoder = Encoder(self.vocabulary, "" if self.is_text else END)
        for share, walked in zip(self.shares, self.walked, strict=True):
            for ids in map(encoder, share.blocks()):
                yield ids[ids != encoder.stranger] if walked.skipped else ids
            if _ends_text(share):
                yield np.full(1, BOUNDARY, dtype=encoder.dtype)

    def _text(self) -> Iterator[str]:
        """The documents, with END after each of several, cut anywhere; never an empty string."""
        for ids, n_context in self.blocks(1):
            if text := self.vocabulary.decode(ids[n_context:], "" if self.is_text else END):
                yield text


def encode(dealt: dict[str, Dealt], data: Data, given: Vocabulary | None = None) -> tuple[Vocabulary, dict[str, Split]]:
    """What falls to each part -> the vocabulary (that of train, or the given one of a model), and the parts.

    Raises BadInput where a part holds a character that the vocabulary lacks, unless data.unk=skip leaves it out.
    """
    end = "" if data.is_text else END
    vocabulary = given or Vocabulary.of((text for share in dealt["train"].shares for text in share.blocks()), end)
    walk = _FirstWalk(vocabulary, data, "train" if given is None else "the model")
    parts: dict[str, Split] = {}
    for name, each in dealt.items():
        same = name != "train" and each is dealt.get("train")  # split=all: the same documents again
        parts[name] = parts["train"] if same else walk.through(name, each)
    if "train" in parts and not data.is_text:
        _mark_repeated(parts, dealt)
    return vocabulary, parts


def _mark_repeated(parts: dict[str, Split], dealt: dict[str, Dealt]) -> None:
    hashes = {
        name: np.fromiter(map(hash, part.texts()), np.int64, part.documents) if part.skipped else dealt[name].hashes
        for name, part in parts.items()
    }
    known = np.sort(hashes["train"])
    for name, part in parts.items():
        if part is not parts["train"]:
            place = np.searchsorted(known, hashes[name]).clip(max=len(known) - 1)
            part.in_train = known[place] == hashes[name]


class _FirstWalk:
    """A first walk through part after part: a running text's parts follow upon each other."""

    def __init__(self, vocabulary: Vocabulary, data: Data, whose: str) -> None:
        self.vocabulary, self.data, self.whose = vocabulary, data, whose
        self.encoder = Encoder(vocabulary, "" if data.is_text else END)
        self.before = ""  # the last characters of what was walked through
        self.passed = 0  # characters

    def through(self, name: str, dealt: Dealt) -> Split:
        """The part. Raises BadInput for characters that the vocabulary lacks, where they are not to be left out."""
        keep = all(isinstance(share, Shuffled) or share.source.kept is not None for share in dealt.shares)
        held: list[Stream] = []
        walked: list[Walked] = []
        for share in dealt.shares:
            documents, lead, skipped, predicted = share.documents, self._lead(), 0, 0
            for text in share.blocks():
                ids = self.encoder(text)
                if unseen := self._unseen(ids):
                    if self.data.unk == "error":
                        self._refuse(name, dealt)
                    ids = ids[ids != self.encoder.stranger]
                    skipped += unseen
                predicted += len(ids)
                if keep:
                    held.append(ids)
                if self.data.is_text:
                    self.before = (self.before + text if len(text) < LONGEST_LEAD else text)[-LONGEST_LEAD:]
                    self.passed += len(text)
            if _ends_text(share):
                predicted += 1
                held.append(np.full(1, BOUNDARY, dtype=self.encoder.dtype))
            walked.append(Walked(documents, predicted, skipped, lead))
        skipped, ends = sum(each.skipped for each in walked), sum(map(_ends, dealt.shares))
        if skipped and skipped == (before := sum(each.predicted for each in walked) - ends + skipped):
            raise BadInput(
                f"{name}: {self.whose} has seen none of its {before:,} characters; nothing is left to measure"
            )
        shares: list[Share] = [share for share in dealt.shares if not isinstance(share, Shuffled)]
        whole = np.concatenate([walked[0].lead, *held]) if keep else None
        return Split(self.vocabulary, self.data.is_text, walked, shares, whole)

    def _unseen(self, ids: Stream) -> int:
        stranger = self.encoder.stranger
        return int(np.count_nonzero(ids == stranger)) if len(ids) and ids.max() == stranger else 0

    def _lead(self) -> Stream:
        """The ids before what comes next: the last characters, the boundary where these are all, or none is known."""
        ids = self.encoder(self.before)
        ids = ids[ids != self.encoder.stranger]
        begins = self.passed == len(self.before) or not len(ids)
        return np.concatenate([np.full(int(begins), BOUNDARY, dtype=self.encoder.dtype), ids])

    def _refuse(self, name: str, dealt: Dealt) -> NoReturn:
        is_text, known = self.data.is_text, set(self.vocabulary.characters)
        strangers, holders, first = set[str](), 0, ""
        for text in (text for share in dealt.shares for text in share.blocks()):
            if self._unseen(self.encoder(text)):
                strangers |= set(text) - known - set("" if is_text else END)
                holding = [] if is_text else [each for each in text.split(END) if not strangers.isdisjoint(each)]
                first, holders = first or (holding[0] if holding else ""), holders + len(holding)
        several = dealt.documents > 1 and not is_text
        where = (
            f"{holders:,} of its {dealt.documents:,} documents hold characters" if several else "it holds characters"
        )
        example = f" (as in '{shown(first)}')" if several else ""
        raise BadInput(
            f"{name}: {where} that {self.whose} has never seen: {named(strangers)}{example}. "
            "data.unk=skip leaves them out and counts them"
        )


def _ends_text(share: Share) -> bool:
    return isinstance(share, Passage) and share.is_last


def _ends(share: Share) -> int:
    """How many boundaries stand in a share."""
    return int(share.is_last) if isinstance(share, Passage) else share.documents


def _evenly(blocks: Iterable[Stream]) -> Iterator[Stream]:
    """The same ids, PIECE at a time, so that no sum over a piece depends on how the text was read."""
    begun: list[Stream] = []
    size = 0
    for ids in blocks:
        while size + len(ids) >= PIECE:
            yield np.concatenate([*begun, ids[: PIECE - size]])
            ids, begun, size = ids[PIECE - size :], [], 0
        if len(ids):
            begun.append(ids)
            size += len(ids)
    if begun:
        yield np.concatenate(begun)
