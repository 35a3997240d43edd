"""Parts that are walked through: every window once, the same ones whether held, read again, or file by file."""

import gzip
import hashlib
import io
import pickle
import shutil
import tracemalloc
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from nextchar.config.data_settings import Data
from nextchar.data import corpus as text
from nextchar.data import encoded as splits
from nextchar.data import textfile as blocks
from nextchar.data.encoded import Split
from nextchar.data.load import Dataset, load
from nextchar.data.vocabulary import Vocabulary
from nextchar.errors import BadInput
from nextchar.models.base import contexts_before

Window = tuple[tuple[int, ...], int]

CHARACTERS = st.sampled_from("aaaaabbbb\n\n\ncdeé日🎉")
FILES = st.lists(st.text(CHARACTERS, max_size=80), min_size=1, max_size=4).filter(lambda t: "".join(t).strip("\n"))


@pytest.fixture(autouse=True)
def sizes_as_they_were() -> Iterator[None]:
    before = blocks.BLOCK, splits.PIECE, text.KEPT
    yield
    blocks.BLOCK, splits.PIECE, text.KEPT = before


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


def write(folder: Path, files: list[str]) -> Path:
    """A folder of these files, every second one packed."""
    shutil.rmtree(folder / "x", ignore_errors=True)
    (folder / "x").mkdir()
    for number, content in enumerate(files):
        raw = content.encode()
        (folder / "x" / f"{number}.txt").write_bytes(gzip.compress(raw) if number % 2 else raw)
    return folder / "x"


def of(ids: list[int], context: int, starts: int = 0) -> list[Window]:
    """The windows of a list of ids, from the one on that predicts the id after `starts`; short ones padded with 0."""
    padded = [0] * (context - 1) + ids
    return [(tuple(padded[i : i + context]), padded[i + context]) for i in range(starts, len(ids) - 1)]


def seen(parts: list[Split], context: int) -> list[Window]:
    """The windows of all pieces of all these parts."""
    found: list[Window] = []
    for part in parts:
        for ids, lead in part.blocks(context):
            assert 1 <= lead <= context
            before = contexts_before(ids, context)[lead - 1 :]
            found += zip(map(tuple, before.tolist()), ids[lead:].tolist(), strict=True)
    return found


def dropped(document: str, vocabulary: Vocabulary) -> str:
    return "".join(c for c in document if c in vocabulary.characters)


def large_enough(chosen: Data) -> Dataset:
    """The text, if it can be dealt out and train holds characters of each part."""
    try:
        return load(chosen)
    except BadInput as refused:
        if "set data.split=all" in str(refused) or "nothing is left to measure" in str(refused):
            reject()
        raise


SIZES = [st.integers(1, 20), st.integers(1, 9), st.sampled_from([0, 40, 1 << 26]), st.integers(1, 12)]


@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(FILES, *SIZES, st.sampled_from(["contiguous", "all"]))
def test_of_a_running_text(
    data, folder: Path, files: list[str], block: int, piece: int, kept: int, context: int, split: str
) -> None:
    """The characters of all files one after the other between two boundaries, cut in three."""
    blocks.BLOCK, splits.PIECE, text.KEPT = block, piece, kept
    chosen, whole = data(write(folder, files), "text", split=split, unk="skip"), "".join(files)
    n1, n2 = int(0.8 * len(whole)), int(0.9 * len(whole))
    loaded = large_enough(chosen)
    ranges = [(0, len(whole))] if split == "all" else [(0, n1), (n1, n2), (n2, len(whole))]
    documents = [dropped(whole[start:end], loaded.vocabulary) for start, end in ranges]
    ids = [0, *loaded.vocabulary.encode("".join(documents)).tolist(), 0]
    edges = list(accumulate(map(len, documents), initial=0))
    edges[-1] += 1  # the end is predicted too
    for (start, end), document, part in zip(pairwise(edges), documents, loaded.splits.values(), strict=False):
        expected = of(ids, context, start)[: end - start]
        assert seen([part], context) == expected
        assert seen(part.shards(), context) == expected
        assert seen(pickle.loads(pickle.dumps(part.shards())), context) == expected
        assert list(part.texts()) == [document]
        assert (part.predicted, part.documents) == (end - start, 1)
        assert part.stream.tolist() == ids[start : end + 1]
        assert part.opening(3) == document[:3]
    assert (
        loaded.report.sha256
        == hashlib.sha256(b"".join(p.read_bytes() for p in sorted((folder / "x").iterdir()))).hexdigest()
    )
    assert loaded.report.test_sha256 == hashlib.sha256(documents[-1].encode()).hexdigest()
    assert loaded.report.lines == whole.count("\n") + (not whole.endswith("\n"))


@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(FILES, *SIZES, st.sampled_from(["hash", "lecture", "makemore", "contiguous", "all"]), st.booleans())
def test_of_documents(
    data, folder: Path, files: list[str], block: int, piece: int, kept: int, context: int, split: str, dedup: bool
) -> None:
    """Each line of each file between boundaries of its own, whatever part it falls to."""
    blocks.BLOCK, splits.PIECE, text.KEPT = block, piece, kept
    how = "before_split" if dedup else "none"
    chosen = data(write(folder, files), "lines", split=split, unk="skip", dedup=how)
    lines = [line for content in files for line in content.split("\n") if line]
    loaded = large_enough(chosen)
    assert (loaded.report.kept, loaded.report.duplicates) == (len(lines), len(lines) - len(set(lines)))
    distinct = list(dict.fromkeys(lines)) if dedup else lines
    every = [document for part in dict.fromkeys(loaded.splits.values()) for document in part.texts()]
    assert sorted(every) == sorted(dropped(line, loaded.vocabulary) for line in distinct)
    for name, part in loaded.splits.items():
        documents = list(part.texts())
        ids = [[0, *loaded.vocabulary.encode(document).tolist(), 0] for document in documents]
        expected = [window for document in ids for window in of(document, context)]
        assert seen([part], context) == expected
        assert seen(part.shards(), context) == expected
        assert seen(pickle.loads(pickle.dumps(part.shards())), context) == expected
        assert (part.predicted, part.documents) == (len(expected), len(documents))
        assert part.stream.tolist() == loaded.vocabulary.stream(documents).tolist()
        if part.in_train is not None:
            train = set(loaded.splits["train"].texts())
            assert part.in_train.tolist() == [document in train for document in documents], name
        if split in ("hash", "contiguous", "all"):
            place = iter(dropped(line, loaded.vocabulary) for line in distinct)
            assert all(document in place for document in documents), "in the order of the files"
    joined = "\n".join(loaded.splits["test"].texts()).encode()
    assert loaded.report.test_sha256 == hashlib.sha256(joined).hexdigest()


def test_a_text_that_is_too_large_to_be_held_is_read_again(tmp_path: Path, data) -> None:
    text.KEPT = 10
    file = tmp_path / "x.txt"
    file.write_text("abcabcabca" * 10)
    parts = load(data(file, "text")).splits
    assert [part.held for part in parts.values()] == [None] * 3
    first = seen([parts["test"]], 3)
    assert first == seen([parts["test"]], 3)
    file.write_text("abcabcabcb" * 10)
    with pytest.raises(BadInput, match="changed while it was read"):
        seen([parts["test"]], 3)


def test_a_small_text_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data) -> None:
    file = tmp_path / "x.txt"
    file.write_text("abcabcabca" * 10)
    opened: list[Path] = []

    def counted(path: Path, mode: str, buffering: int) -> io.IOBase:
        opened.append(path)
        return open(path, mode, buffering)

    monkeypatch.setattr(blocks, "open", counted, raising=False)
    loaded = load(data(file, "text"))
    file.unlink()
    assert len(seen(list(loaded.splits.values()), 3)) == 101
    assert opened == [file, file], "once to see how it lies there, once to read it"


def test_a_long_lead_is_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data) -> None:
    monkeypatch.setattr(splits, "LONGEST_LEAD", 7)
    file = tmp_path / "x.txt"
    file.write_text("abcdefghij" * 10)
    for text.KEPT in (0, 1 << 26):
        part = load(data(file, "text")).splits["val"]
        for context, lead in ((1, 1), (6, 6), (7, 7), (20, 7)):
            first = next(part.blocks(context))
            assert first.n_context == lead
            assert part.vocabulary.decode(first.ids[:lead]) == "defghij"[-lead:]


def peak(chosen: Data) -> int:
    """Bytes that loading the text and walking through all its parts takes at most."""
    tracemalloc.start()
    try:
        for part in set(load(chosen).splits.values()):
            assert sum(len(ids) - lead for ids, lead in part.blocks(5)) == part.predicted
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packed", [False, True])
def test_the_memory_that_a_running_text_takes_does_not_grow_with_it(tmp_path: Path, packed: bool, data) -> None:
    blocks.BLOCK, splits.PIECE, text.KEPT = 1 << 16, 1 << 16, 0
    line, peaks = b"the quick brown fox jumps over the lazy dog\n", []
    for times in (20_000, 200_000):  # 0.9 and 9 MB
        (tmp_path / "x").write_bytes(gzip.compress(line * times, 1) if packed else line * times)
        peaks.append(peak(data(tmp_path / "x", "text")))
    assert peaks[1] < peaks[0] + (1 << 16)


def test_documents_take_a_few_bytes_each(tmp_path: Path, data) -> None:
    blocks.BLOCK, splits.PIECE, text.KEPT = 1 << 16, 1 << 16, 0
    peaks = []
    for documents in (20_000, 120_000):
        (tmp_path / "x").write_text("".join(f"document number {number}\n" for number in range(documents)))
        peaks.append(peak(data(tmp_path / "x")))
    assert peaks[1] < peaks[0] + 30 * 100_000


# --- several files --------------------------------------------------------------------------------------------------


def test_a_folder_and_a_pattern_are_one_corpus(tmp_path: Path, data) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "b.txt").write_text("emma\nava")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"olivia\n"))
    (tmp_path / "empty.txt").touch()
    (tmp_path / ".hidden").write_text("hidden")
    raw = (tmp_path / "a.txt.gz").read_bytes() + b"emma\nava"
    corpus = text.read(data(tmp_path))
    assert list(corpus.texts()) == ["olivia", "emma", "ava"], "by name, and no line goes on in another file"
    assert (corpus.source, corpus.size, corpus.lines) == (str(tmp_path), len(raw), 3)
    assert corpus.sha256 == hashlib.sha256(raw).hexdigest()
    assert corpus.notes == ["2 folders or hidden files beside the 3 files were not read"]
    assert list(text.read(data(tmp_path / "*.txt*")).texts()) == ["olivia", "emma", "ava"]
    assert text.read(data(tmp_path / "*.txt*")).notes == []
    assert list(text.read(data(tmp_path / "[b].txt")).texts()) == ["emma", "ava"]
    assert list(text.read(data(tmp_path, "text")).texts()) == ["olivia\nemma\nava"]
    (tmp_path / "[b].txt").write_text("mia")
    assert list(text.read(data(tmp_path / "[b].txt")).texts()) == ["mia"], "a file that has this name"


def test_what_is_wrong_in_one_of_several_files_names_it(tmp_path: Path, data) -> None:
    (tmp_path / "a.txt").write_text("emma\n")
    (tmp_path / "b.txt").write_bytes(b"ava\n\xff")
    with pytest.raises(BadInput) as refused:
        text.read(data(tmp_path))
    assert str(refused.value).startswith(f"data.path={tmp_path / 'b.txt'}: line 2, byte 1: not valid utf-8 (0xff)")
    (tmp_path / "b.txt").write_text("ava\rmia")
    with pytest.raises(BadInput, match=r"b\.txt: the lines end in a lone CR"):
        text.read(data(tmp_path))


def test_a_pattern_that_fits_nothing(tmp_path: Path, data) -> None:
    (tmp_path / "inner").mkdir()
    with pytest.raises(BadInput, match=r"\*\.txt: no such file\.$"):
        text.read(data(tmp_path / "*.txt"))
    with pytest.raises(BadInput, match=r"names no file, but folders; to read what is in them, end it in /\*$"):
        text.read(data(tmp_path / "in*"))


def test_line_ends_are_settled_file_by_file(tmp_path: Path, data) -> None:
    (tmp_path / "a.txt").write_bytes(b"emma\r\nava\r\n")
    (tmp_path / "b.txt").write_bytes(b"mia\r\nzoe\n")
    (tmp_path / "c.txt").write_bytes("\ufeffava\n".encode())
    corpus = text.read(data(tmp_path))
    assert list(corpus.texts()) == ["emma", "ava", "mia\r", "zoe", "ava"]
    assert corpus.notes == [
        "dropped the byte order mark at the start of 1 of 3 files",
        "2 lines ended in CRLF; the CR was taken off",
        "1 of 2 lines end in CRLF and 0 CR stand elsewhere; all were kept",
    ]


def test_a_strangers_text_is_not_looked_at_before_it_is_known_to_be_the_runs(tmp_path: Path, data) -> None:
    (tmp_path / "a.txt").write_bytes(b"secret\xff")
    with pytest.raises(BadInput, match=r"has changed since the run was trained on it") as refused:
        text.read(data(tmp_path), download=False, expected="0" * 64)
    assert "line" not in str(refused.value)
    right = hashlib.sha256(b"secret\xff").hexdigest()
    with pytest.raises(BadInput, match="line 1, byte 7"):
        text.read(data(tmp_path), download=False, expected=right)
