"""The recipes that assign documents, or the characters of a running text, to train, val and test."""

import random
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nextchar.config.data_settings import Data
from nextchar.data.vocabulary import END, Ids
from nextchar.errors import BadInput
from nextchar.rng import randperm

NAMES = ("train", "val", "test")
SHUFFLING = ("lecture", "makemore")  # recipes that put documents in an order of their own
SplitIndices = npt.NDArray[np.uint8]  # (documents,) places in NAMES
Numbers = Ids | range  # of documents, or of characters of a running text


def by_hash(documents: Sequence[str]) -> SplitIndices:
    """Returns the split of each document by the hash of its text: (documents,) places in NAMES.

    The CRC-32, as a fraction of its range, is below .8, .9 or above (as in Géron, Hands-On Machine Learning, ch. 2).
    So equal documents are in one split, and a document's split does not depend on the other documents.
    """
    encoded = END.join(documents).encode("utf-8", "surrogatepass").split(END.encode())
    codes = np.fromiter(map(zlib.crc32, encoded), np.int64, len(documents))
    return np.searchsorted([0.8, 0.9], codes / 2**32, side="right").astype(np.uint8)


def assign(data: Data, total: int, hashes: Ids, split_indices: SplitIndices) -> dict[str, Numbers]:
    """Returns the numbers of the documents, of `total`, that each split consists of, in its order.

    `val` may be absent; with data.split=all there is one split, "all". Of a running text they are numbers of
    characters. `hashes` and `split_indices` are those of a Corpus. Raises BadInput if a split would be empty.
    """
    if data.is_text:
        whole = range(total)
        splits: dict[str, Numbers] = {"all": whole} if data.split == "all" else _eighty_ten_ten(whole)
    else:
        documents = np.arange(total)
        if data.dedup == "before_split":  # the first one of equal documents
            documents = np.sort(np.unique(hashes, return_index=True)[1])
        total = len(documents)
        splits = _assign_documents(data, documents, split_indices)
    if not all(map(len, splits.values())):
        unit = "character" if data.is_text else "line"
        sizes = "/".join(str(len(splits.get(name, ()))) for name in NAMES)
        raise BadInput(
            f"data.split={data.split}: {total:,} {unit}{'s give' if total > 1 else ' gives'} {sizes} train/val/test; "
            "set data.split=all to train and test on everything, or bring more text"
        )
    return splits


def _assign_documents(data: Data, documents: Ids, split_indices: SplitIndices) -> dict[str, Numbers]:
    match data.split:
        case "all":
            return {"all": documents}
        case "contiguous":
            return _eighty_ten_ten(documents)
        case "hash":
            return {name: documents[split_indices[documents] == index] for index, name in enumerate(NAMES)}
        case "lecture":
            return _lecture(documents)
        case "makemore":
            return _makemore(documents, data.val)


def _lecture(documents: Ids) -> dict[str, Numbers]:
    """nn-zero-to-hero, part 2: random.seed(42), shuffle, 80/10/10."""
    shuffled = documents.tolist()
    random.Random(42).shuffle(shuffled)
    return _eighty_ten_ten(np.array(shuffled, dtype=np.int64))


def _makemore(documents: Ids, n_val: int | None) -> dict[str, Numbers]:
    """makemore.py: torch.manual_seed(3407), randperm; the last 1,000 (at most a tenth) are test, the others train."""
    shuffled = documents[randperm(len(documents), seed=3407)]
    n_test = min(1000, len(shuffled) // 10)
    train, test = shuffled[: len(shuffled) - n_test], shuffled[len(shuffled) - n_test :]
    if n_val is None:
        return {"train": train, "test": test}
    if n_val >= len(train):
        raise BadInput(f"data.val={n_val:,}: train has {len(train):,} documents, which val cannot all take")
    return {"train": train[:-n_val], "val": train[-n_val:], "test": test}


def _eighty_ten_ten(numbers: Numbers) -> dict[str, Numbers]:
    n1, n2 = int(0.8 * len(numbers)), int(0.9 * len(numbers))
    return {"train": numbers[:n1], "val": numbers[n1:n2], "test": numbers[n2:]}
