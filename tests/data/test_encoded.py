"""Splits in ids: every window once, the same ones whether held, read again, or file by file."""

import gzip
import hashlib
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
from nextchar.data import corpus, encoded, textfile
from nextchar.data.corpus import survey
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
    before = textfile.BLOCK_BYTES, encoded.BLOCK_IDS, corpus.HELD_AT_MOST
    yield
    textfile.BLOCK_BYTES, encoded.BLOCK_IDS, corpus.HELD_AT_MOST = before


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("splits")


def write(folder: Path, files: list[str]) -> Path:
    """A folder of these files, every second one packed."""
    shutil.rmtree(folder / "x", ignore_errors=True)
    (folder / "x").mkdir()
    for number, content in enumerate(files):
        raw = content.encode()
        (folder / "x" / f"{number}.txt").write_bytes(gzip.compress(raw, mtime=0) if number % 2 else raw)
    return folder / "x"


def of(ids: list[int], context: int, starts: int = 0) -> list[Window]:
    """The windows of a list of ids, from the one on that predicts the id after `starts`; short ones padded with 0."""
    padded = [0] * (context - 1) + ids
    return [(tuple(padded[i : i + context]), padded[i + context]) for i in range(starts, len(ids) - 1)]


def seen(splits: list[Split], context: int) -> list[Window]:
    """The windows of all blocks of all these splits."""
    found: list[Window] = []
    for split in splits:
        for ids, n_context in split.blocks(context):
            assert 1 <= n_context <= context
            before = contexts_before(ids, context)[n_context - 1 :]
            found += zip(map(tuple, before.tolist()), ids[n_context:].tolist(), strict=True)
    return found


def dropped(document: str, vocabulary: Vocabulary) -> str:
    return "".join(c for c in document if c in vocabulary.characters)


def large_enough(chosen: Data) -> Dataset:
    """The text, if it can be split and train has characters of each split."""
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
    data, texts, folder: Path, files: list[str], block: int, ids_at_once: int, held: int, context: int, how: str
) -> None:
    """The characters of all files one after the other between two boundaries, cut in three."""
    textfile.BLOCK_BYTES, encoded.BLOCK_IDS, corpus.HELD_AT_MOST = block, ids_at_once, held
    chosen, whole = data(write(folder, files), "text", split=how, unk="skip"), "".join(files)
    n1, n2 = int(0.8 * len(whole)), int(0.9 * len(whole))
    loaded = large_enough(chosen)
    ranges = [(0, len(whole))] if how == "all" else [(0, n1), (n1, n2), (n2, len(whole))]
    assert loaded.vocabulary.characters == "".join(sorted(set(whole[: ranges[0][1]])))
    documents = [dropped(whole[start:end], loaded.vocabulary) for start, end in ranges]
    ids = [0, *loaded.vocabulary.encode("".join(documents)).tolist(), 0]
    edges = list(accumulate(map(len, documents), initial=0))
    edges[-1] += 1  # the end is predicted too
    for (start, end), document, split in zip(pairwise(edges), documents, loaded.splits.values(), strict=False):
        expected = of(ids, context, start)[: end - start]
        assert seen([split], context) == expected
        assert seen(split.shards(), context) == expected
        assert seen(pickle.loads(pickle.dumps(split.shards())), context) == expected
        assert texts(split) == [document]
        assert (split.predicted, split.documents) == (end - start, 1)
        assert split.stream.tolist() == ids[start : end + 1]
        assert split.opening(3) == document[:3]
    assert (
        loaded.report.sha256
        == hashlib.sha256(b"".join(p.read_bytes() for p in sorted((folder / "x").iterdir()))).hexdigest()
    )
    assert loaded.report.test_sha256 == hashlib.sha256(documents[-1].encode()).hexdigest()
    assert loaded.report.lines == whole.count("\n") + (not whole.endswith("\n"))


@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(FILES, *SIZES, st.sampled_from(["hash", "lecture", "makemore", "contiguous", "all"]), st.booleans())
def test_of_documents(
    data, texts, folder: Path, files: list[str], block: int, ids_at_once: int, held: int, context: int, how: str,
    dedup: bool,
) -> None:  # fmt: skip
    """Each line of each file between boundaries of its own, whatever split it is in."""
    textfile.BLOCK_BYTES, encoded.BLOCK_IDS, corpus.HELD_AT_MOST = block, ids_at_once, held
    chosen = data(write(folder, files), split=how, unk="skip", dedup="before_split" if dedup else "none")
    lines = [line for content in files for line in content.split("\n") if line]
    loaded = large_enough(chosen)
    assert (loaded.report.kept, loaded.report.duplicates) == (len(lines), len(lines) - len(set(lines)))
    assert loaded.vocabulary.characters == "".join(sorted(set("".join(texts(loaded.splits["train"])))))
    distinct = list(dict.fromkeys(lines)) if dedup else lines
    every = [document for split in dict.fromkeys(loaded.splits.values()) for document in texts(split)]
    assert sorted(every) == sorted(dropped(line, loaded.vocabulary) for line in distinct)
    for name, split in loaded.splits.items():
        documents = texts(split)
        ids = [[0, *loaded.vocabulary.encode(document).tolist(), 0] for document in documents]
        expected = [window for document in ids for window in of(document, context)]
        assert seen([split], context) == expected
        assert seen(split.shards(), context) == expected
        assert seen(pickle.loads(pickle.dumps(split.shards())), context) == expected
        assert (split.predicted, split.documents) == (len(expected), len(documents))
        assert split.stream.tolist() == loaded.vocabulary.stream(documents).tolist()
        assert split.opening(3) == documents[0][:3]
        if split.in_train is not None:
            train = set(texts(loaded.splits["train"]))
            assert split.in_train.tolist() == [document in train for document in documents], name
        if how in ("hash", "contiguous", "all"):
            place = iter(dropped(line, loaded.vocabulary) for line in distinct)
            assert all(document in place for document in documents), "in the order of the files"
    joined = "\n".join(texts(loaded.splits["test"])).encode()
    assert loaded.report.test_sha256 == hashlib.sha256(joined).hexdigest()


def test_a_text_that_is_too_large_to_be_held_is_read_again(tmp_path: Path, data) -> None:
    corpus.HELD_AT_MOST = 10
    file = tmp_path / "x.txt"
    file.write_text("abcabcabca" * 10)
    splits = load(data(file, "text")).splits
    assert [split.held for split in splits.values()] == [None] * 3
    first = seen([splits["test"]], 3)
    assert first == seen([splits["test"]], 3)
    file.write_text("abcabcabcb" * 10)
    with pytest.raises(BadInput, match="changed while it was read"):
        seen([splits["test"]], 3)


RECIPES = [("lines", how) for how in ("hash", "lecture", "makemore", "contiguous", "all")]
RECIPES += [("text", how) for how in ("contiguous", "all")]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were opened, once for each time."""
    opened: list[str] = []

    class Counted(textfile._Bytes):
        def __init__(self, file: textfile.TextFile, *args: object) -> None:
            opened.append(file.path.name)
            super().__init__(file, *args)

    monkeypatch.setattr(textfile, "_Bytes", Counted)
    return opened


@pytest.mark.parametrize(("name", "how"), RECIPES)
@pytest.mark.parametrize("normalize", ["none", "nfc"])
def test_a_text_is_read_twice_at_most(data, tmp_path: Path, reads, name: str, how: str, normalize: str) -> None:
    """Surveyed, then encoded: with characters unseen in train, and by a run's sha256 too. A small one is read once."""
    files = ["".join(f"{word}{i}\n" for i in range(60)) for word in ("émy", "olivia")]
    folder = write(tmp_path, [*files, "ab\nÿ\n日\n"])
    settings = data(folder, name, split=how, unk="skip", normalize=normalize)
    loaded = load(settings)
    assert reads == ["0.txt", "1.txt", "2.txt"]
    shutil.rmtree(folder)
    assert sum(len(seen([split], 3)) for split in loaded.splits.values()) > 300, "and never again"
    folder, corpus.HELD_AT_MOST = write(tmp_path, [*files, "ab\nÿ\n日\n"]), 0
    reads.clear()
    assert load(settings, expected=loaded.report.sha256).report == loaded.report
    assert reads == ["0.txt", "1.txt", "2.txt"] * 2


def test_mixed_line_ends_cost_one_more_survey(data, tmp_path: Path, reads) -> None:
    """Only the whole file shows that some of its lines end in CRLF and some do not."""
    (tmp_path / "x").write_bytes(b"emma\r\n" * 30 + b"ava\n")
    settings = data(tmp_path / "x", split="all")
    load(settings)
    assert len(reads) == 2
    corpus.HELD_AT_MOST = 0
    load(settings)
    assert len(reads) == 2 + 3


def test_a_long_lead_is_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data) -> None:
    monkeypatch.setattr(encoded, "LONGEST_CONTEXT", 7)
    file = tmp_path / "x.txt"
    file.write_text("abcdefghij" * 10)
    for corpus.HELD_AT_MOST in (0, 1 << 26):
        split = load(data(file, "text")).splits["val"]
        for context, known in ((1, 1), (6, 6), (7, 7), (20, 7)):
            first = next(split.blocks(context))
            assert first.n_context == known
            assert split.vocabulary.decode(first.ids[:known]) == "defghij"[-known:]


def peak(chosen: Data) -> int:
    """Bytes that loading the text and reading all its splits takes at most."""
    tracemalloc.start()
    try:
        for split in set(load(chosen).splits.values()):
            assert sum(len(ids) - n_context for ids, n_context in split.blocks(5)) == split.predicted
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packed", [False, True])
def test_the_memory_that_a_running_text_takes_does_not_grow_with_it(tmp_path: Path, packed: bool, data) -> None:
    textfile.BLOCK_BYTES, encoded.BLOCK_IDS, corpus.HELD_AT_MOST = 1 << 16, 1 << 16, 0
    line, peaks = b"the quick brown fox jumps over the lazy dog\n", []
    for times in (20_000, 200_000):  # 0.9 and 9 MB
        (tmp_path / "x").write_bytes(gzip.compress(line * times, 1) if packed else line * times)
        peaks.append(peak(data(tmp_path / "x", "text")))
    assert peaks[1] < peaks[0] + (1 << 16)


def test_documents_take_a_few_bytes_each(tmp_path: Path, data) -> None:
    textfile.BLOCK_BYTES, encoded.BLOCK_IDS, corpus.HELD_AT_MOST = 1 << 16, 1 << 16, 0
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
    found = survey(data(tmp_path))
    assert list(found.texts()) == ["olivia", "emma", "ava"], "by name, and no line goes on in another file"
    assert (found.source, found.bytes, found.lines) == (str(tmp_path), len(raw), 3)
    assert found.sha256 == hashlib.sha256(raw).hexdigest()
    assert found.notes == ["2 folders or hidden files beside the 3 files were not read"]
    assert list(survey(data(tmp_path / "*.txt*")).texts()) == ["olivia", "emma", "ava"]
    assert survey(data(tmp_path / "*.txt*")).notes == []
    assert list(survey(data(tmp_path / "[b].txt")).texts()) == ["emma", "ava"]
    running = survey(data(tmp_path, "text"))
    assert "".join(block for file in running.files for block in file.blocks()) == "olivia\nemma\nava"
    (tmp_path / "[b].txt").write_text("mia")
    assert list(survey(data(tmp_path / "[b].txt")).texts()) == ["mia"], "a file that has this name"


def test_what_is_wrong_in_one_of_several_files_names_it(tmp_path: Path, data) -> None:
    (tmp_path / "a.txt").write_text("emma\n")
    (tmp_path / "b.txt").write_bytes(b"ava\n\xff")
    with pytest.raises(BadInput) as refused:
        survey(data(tmp_path))
    assert str(refused.value).startswith(f"data.path={tmp_path / 'b.txt'}: line 2, byte 1: not valid utf-8 (0xff)")
    (tmp_path / "b.txt").write_text("ava\rmia")
    with pytest.raises(BadInput, match=r"b\.txt: the lines end in a lone CR"):
        survey(data(tmp_path))


def test_a_pattern_that_fits_nothing(tmp_path: Path, data) -> None:
    (tmp_path / "inner").mkdir()
    with pytest.raises(BadInput, match=r"\*\.txt: no such file\.$"):
        survey(data(tmp_path / "*.txt"))
    with pytest.raises(BadInput, match=r"names only folders; to read the files in them, end it in /\*$"):
        survey(data(tmp_path / "in*"))


def test_line_ends_are_settled_file_by_file(tmp_path: Path, data) -> None:
    (tmp_path / "a.txt").write_bytes(b"emma\r\nava\r\n")
    (tmp_path / "b.txt").write_bytes(b"mia\r\nzoe\n")
    (tmp_path / "c.txt").write_bytes("\ufeffava\n".encode())
    found = survey(data(tmp_path))
    assert list(found.texts()) == ["emma", "ava", "mia\r", "zoe", "ava"]
    assert found.notes == [
        "removed the byte order mark at the start of 1 of 3 files",
        "2 lines ended in CRLF; the CR was removed",
        "1 of 2 lines end in CRLF and 0 CR stand elsewhere; all were kept",
    ]


def test_a_strangers_text_is_not_looked_at_before_it_is_known_to_be_the_runs(tmp_path: Path, data) -> None:
    (tmp_path / "a.txt").write_bytes(b"secret\xff")
    with pytest.raises(BadInput, match=r"has changed since the run was trained on it") as refused:
        survey(data(tmp_path), download=False, expected="0" * 64)
    assert "line" not in str(refused.value)
    right = hashlib.sha256(b"secret\xff").hexdigest()
    with pytest.raises(BadInput, match="line 1, byte 7"):
        survey(data(tmp_path), download=False, expected=right)


def test_a_split_of_given_documents_predicts_every_id_once() -> None:
    split = Split.of(Vocabulary("ab"), ["ab", "", "b"])
    assert split.stream.tolist() == [0, 1, 2, 0, 0, 2, 0]
    (block,) = split.blocks(3)
    assert (block.ids.tolist(), block.n_context) == ([0, 1, 2, 0, 0, 2, 0], 1)
