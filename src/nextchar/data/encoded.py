"""Splits in ids: how a corpus is encoded into them, and how they are read in blocks, from memory or from disk."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress, islice
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from nextchar.config.data_settings import Data
from nextchar.data.corpus import Corpus
from nextchar.data.splits import SHUFFLING, Numbers
from nextchar.data.textfile import TextFile
from nextchar.data.vocabulary import BOUNDARY, END, Characters, Encoder, Ids, Stream, Vocabulary, selected
from nextchar.errors import BadInput
from nextchar.messages import named, shown

BLOCK_IDS = 1 << 20  # ids to be predicted; bounds the memory that reading a split takes
LONGEST_CONTEXT = 4096  # ids that are remembered before a part of a running text
DOCUMENTS_AT_ONCE = 1 << 14

Chosen = range | npt.NDArray[np.bool_]  # characters of a file, or a mask (documents of the file,)


class Block(NamedTuple):
    """Successive ids of a split. `ids[:n_context]` (one at least) are only context; the rest is to be predicted."""

    ids: Stream
    n_context: int


@dataclass
class Source:
    """A part of one file, from which a split is read again. `context`: the ids before it."""

    file: TextFile
    chosen: Chosen
    context: Stream
    ends_text: bool = False  # the boundary that ends a running text belongs to it


@dataclass(eq=False)
class Split:
    """One split in ids: documents between boundaries, neighbours sharing one; or a part of a running text.

    A small one is `held`, (context + predicted,); a large one is read from its sources each time, and so is one that
    was pickled. `context`: the ids before the first. `in_train` (documents,) bool: which documents are in train too;
    None for train, and for a running text. `sha256`: of the documents joined by newlines; only of test.
    """

    vocabulary: Vocabulary
    is_text: bool
    context: Stream
    documents: int
    predicted: int = 0  # characters and document ends
    skipped: int = 0  # characters left out because they are not in the vocabulary
    sources: list[Source] = field(default_factory=list)  # none: it is only in memory
    held: Stream | None = None
    in_train: npt.NDArray[np.bool_] | None = None
    sha256: str = ""

    @classmethod
    def of(cls, vocabulary: Vocabulary, documents: Sequence[str]) -> "Split":
        """Returns a split of these documents. All characters must be in the vocabulary."""
        stream = vocabulary.stream(documents)
        return cls(vocabulary, False, stream[:1], len(documents), len(stream) - 1, held=stream)

    @cached_property
    def stream(self) -> Stream:
        """(predicted + 1,) all ids at once; the first is only context."""
        if self.held is not None:
            return self.held[len(self.context) - 1 :]
        return np.concatenate([self.context[-1:], *self._ids()])

    def blocks(self, context: int) -> Iterator[Block]:
        """Yields each id to be predicted once, in order, with the `context` ids before it, or as many as there are.

        Of a running text 4,096 ids before the split are known.
        """
        if self.held is not None:
            for start in range(len(self.context), len(self.held), BLOCK_IDS):
                first = max(0, start - context)
                yield Block(self.held[first : start + BLOCK_IDS], start - first)
            return
        before = self.context[-context:]
        for ids in _evenly(self._ids()):
            both = np.concatenate([before, ids])
            yield Block(both, len(before))
            before = both[-context:]

    def opening(self, characters: int) -> str:
        """Returns the first document, or so many characters of it."""
        blocks = islice(self.blocks(1), -(-characters // BLOCK_IDS))
        ids = np.concatenate([ids[n_context:] for ids, n_context in blocks])[:characters]
        text = self.vocabulary.decode(ids, "" if self.is_text else END)
        return text if self.is_text else text.partition(END)[0]

    def shards(self) -> list["Split"]:
        """Returns the split file by file; together they have the same windows. Their counts are the whole split's."""
        if len(self.sources) <= 1:
            return [self]
        return [replace(self, context=source.context, sources=[source], held=None) for source in self.sources]

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "stream"}
        return state | {"held": None} if self.sources else state

    def _ids(self) -> Iterator[Stream]:
        """Reads the sources, and yields all ids to be predicted, in blocks of any size."""
        encoder = Encoder(self.vocabulary, "" if self.is_text else END)
        for source in self.sources:
            for _, text in _read(source.file, {"": source.chosen}):
                ids = encoder(text)
                yield ids[ids != encoder.unknown] if self.skipped else ids
            if source.ends_text:
                yield np.full(1, BOUNDARY, dtype=encoder.dtype)


def _evenly(blocks: Iterable[Stream]) -> Iterator[Stream]:
    """Yields the same ids, BLOCK_IDS at a time, so that no sum over a block depends on how the text was read."""
    begun: list[Stream] = []
    size = 0
    for ids in blocks:
        while size + len(ids) >= BLOCK_IDS:
            yield np.concatenate([*begun, ids[: BLOCK_IDS - size]])
            ids, begun, size = ids[BLOCK_IDS - size :], [], 0
        if len(ids):
            begun.append(ids)
            size += len(ids)
    if begun:
        yield np.concatenate(begun)


# --- encoding -------------------------------------------------------------------------------------------------------


def encode(
    corpus: Corpus, numbers: dict[str, Numbers], data: Data, given: Vocabulary | None = None
) -> tuple[Vocabulary, dict[str, Split]]:
    """Reads the corpus once more and encodes every split, the documents (or characters) with these numbers.

    The vocabulary is that of train, or the given one of a model. Raises BadInput for a character that is not in it,
    unless data.unk=skip.
    """
    is_text = data.is_text
    if data.split in SHUFFLING:
        corpus, numbers = _reordered(corpus, numbers)
    vocabulary = given or corpus.vocabulary(next(iter(numbers.values())))
    unseen = "unseen in train" if given is None else "unknown to the model"
    encoder = Encoder(vocabulary, "" if is_text else END)
    boundary = before = np.full(1, BOUNDARY, dtype=encoder.dtype)
    splits = {name: Split(vocabulary, is_text, boundary, documents=int(is_text)) for name in numbers}
    test, digest = splits.get("test") or splits["all"], hashlib.sha256()
    is_held, held = corpus.is_held, {name: list[Stream]() for name in numbers}
    hashes = {} if is_text else {name: corpus.hashes[each] for name, each in numbers.items()}
    for name, file, chosen, text in _texts(corpus, numbers):
        split, ids = splits[name], encoder(text)
        if not split.sources or split.sources[-1].chosen is not chosen:
            split.sources.append(Source(file, chosen, before))
        if ids.max() == encoder.unknown:
            if data.unk == "error":
                _refuse(corpus, numbers, vocabulary, unseen)
            known = ids != encoder.unknown
            split.skipped += len(ids) - int(np.count_nonzero(known))
            text, ids = selected(text, known), ids[known]
            if not is_text:  # a shortened document may equal one of train
                rest = text.split(END)[:-1]
                hashes[name][split.documents : split.documents + len(rest)] = list(map(hash, rest))
        if split is test:  # between documents a newline, after the last none
            joined = text if is_text else END * bool(split.documents) + text[:-1]
            digest.update(joined.encode("utf-8", "surrogatepass"))
        if is_held:
            held[name].append(ids)
        if is_text:
            before = np.concatenate([before, ids[-LONGEST_CONTEXT:]])[-LONGEST_CONTEXT:]
        else:
            split.documents += text.count(END)
        split.predicted += len(ids)
    for name, split in splits.items():
        if split.predicted == (0 if is_text else split.documents):
            raise BadInput(f"{name}: all of its {split.skipped:,} characters are {unseen}; nothing is left to measure")
        if "train" in hashes and name != "train":
            split.in_train = _are_in(hashes[name], hashes["train"])
    if is_text:  # after its last character, in the last split, its end is to be predicted
        split.sources[-1].ends_text = True
        split.predicted += 1
        held[name].append(boundary)
    for name, split in splits.items():
        split.context = split.sources[0].context
        if is_held:
            split.held = np.concatenate([split.context, *held[name]])
        if data.split in SHUFFLING:
            split.sources = []
    test.sha256 = digest.hexdigest()
    return vocabulary, splits


def _are_in(hashes: Ids, others: Ids) -> npt.NDArray[np.bool_]:
    """Returns for each hash whether it is among the others. Sorting once is ten times as fast as np.isin."""
    ordered = np.sort(others)
    place = np.searchsorted(ordered, hashes).clip(max=len(ordered) - 1)
    found: npt.NDArray[np.bool_] = ordered[place] == hashes
    return found


def _refuse(corpus: Corpus, numbers: dict[str, Numbers], vocabulary: Vocabulary, unseen: str) -> NoReturn:
    """Raises BadInput for the first split that contains characters outside the vocabulary."""
    known = {*vocabulary.characters, *("" if corpus.is_text else END)}
    for name, each in numbers.items():
        unknown, count, first = set[str](), 0, ""
        for *_, text in _texts(corpus, {name: each}):
            if new := set(text) - known:
                unknown |= new
                holding = [] if corpus.is_text else [line for line in text.split(END) if not new.isdisjoint(line)]
                count += len(holding)
                first = first or "".join(holding[:1])
        if unknown:
            several = len(each) > 1 and not corpus.is_text
            where = f"{count:,} of its {len(each):,} documents contain" if several else "it contains"
            example = f" (as in '{shown(first)}')" if several else ""
            raise BadInput(
                f"{name}: {where} characters {unseen}: {named(unknown)}{example}. "
                "data.unk=skip leaves them out and counts them"
            )
    raise AssertionError("no split contains such characters")


def _reordered(corpus: Corpus, numbers: dict[str, Numbers]) -> tuple[Corpus, dict[str, Numbers]]:
    """Returns the corpus in memory, with its documents in the order of the splits, and their new numbers."""
    documents, seen = list(corpus.texts()), Characters()
    blocks, moved, total = list[str](), dict[str, Numbers](), 0
    for name, each in numbers.items():
        numbered = list(each) if isinstance(each, range) else each.tolist()
        for start in range(0, len(each), DOCUMENTS_AT_ONCE):
            some = [documents[i] for i in numbered[start : start + DOCUMENTS_AT_ONCE]]
            blocks.append(END.join(some) + END)
            if name == "train":
                seen.new_in("".join(some))
        moved[name] = np.arange(total, total + len(each))
        total += len(each)
    hashes = corpus.hashes[np.concatenate(list(numbers.values()))]
    file = replace(corpus.files[0], held=blocks, documents=total)
    return replace(corpus, files=[file], hashes=hashes, first=dict.fromkeys(seen.characters, 0)), moved


def _texts(corpus: Corpus, numbers: dict[str, Numbers]) -> Iterator[tuple[str, TextFile, Chosen, str]]:
    """Reads each file once, and yields the text of all splits in blocks, with the split's name and where it stands."""
    start = 0
    for file in corpus.files:
        end = start + (file.characters if corpus.is_text else file.documents)
        chosen: dict[str, Chosen] = {}
        for name, each in numbers.items():
            if isinstance(each, range):
                chosen[name] = range(max(each.start, start) - start, min(each.stop, end) - start)
            else:
                mask = np.zeros(end - start, dtype=bool)
                mask[each[slice(*np.searchsorted(each, [start, end]))] - start] = True
                chosen[name] = mask
        for name, text in _read(file, chosen):
            yield name, file, chosen[name], text
        start = end


def _read(file: TextFile, chosen: dict[str, Chosen]) -> Iterator[tuple[str, str]]:
    """Reads a file, and yields in blocks the part of it that each split has; END stands after each document."""
    ends, at = [each.stop for each in chosen.values() if isinstance(each, range)], 0  # ends of a running text's splits
    blocks: Iterator[Any] = file.blocks() if ends else file.lines()
    for block in blocks:  # characters, or lines
        if ends and at >= max(ends):
            break
        for name, each in chosen.items():
            if isinstance(each, range):
                text = block[max(0, each.start - at) : max(0, each.stop - at)]
            else:
                text = END.join([*compress(block, each[at : at + len(block)].tolist()), ""])
            if text:
                yield name, text
        at += len(block)
