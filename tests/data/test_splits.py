"""train / val / test: the known recipes to the letter, and no leak by the default one."""

import random
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextchar.data.corpus import survey
from nextchar.data.encoded import Split, encode
from nextchar.data.load import Dataset, load
from nextchar.data.splits import NAMES as NAMES_OF_SPLITS
from nextchar.data.vocabulary import BOUNDARY, Vocabulary
from nextchar.errors import BadInput
from nextchar.runs.run import open_run

NAMES = [f"name{i:x}" for i in range(12_345)]


@pytest.fixture
def loaded(tmp_path: Path, data) -> Callable[..., Dataset]:
    """These documents, or the running text of them, written to a file and loaded in a vocabulary of all of them."""

    def written(documents: Sequence[str], name: str = "lines", **changed: object) -> Dataset:
        path = tmp_path / "documents.txt"
        path.write_text("\n".join(documents), encoding="utf-8", newline="")
        return load(data(path, name, **changed), Vocabulary.of(["\n", *documents] if name == "text" else documents))

    return written


@pytest.fixture
def split(loaded, texts) -> Callable[..., dict[str, list[str]]]:
    """The documents of each split of these documents."""

    def of(documents: Sequence[str], **changed: object) -> dict[str, list[str]]:
        return {name: texts(each) for name, each in loaded(documents, **changed).splits.items()}

    return of


@pytest.fixture
def encoded(tmp_path: Path, data) -> Callable[..., tuple[Vocabulary, dict[str, Split]]]:
    """Splits that are put together by hand, encoded: encoded(train=["ab"], val=["b"], unk="skip")."""

    def by_hand(given: Vocabulary | None = None, unk: str = "error", **splits: list[str]) -> object:
        path, numbers, total = tmp_path / "documents.txt", {}, 0
        path.write_text("\n".join(document for documents in splits.values() for document in documents))
        for name, documents in splits.items():
            numbers[name] = np.arange(total, total + len(documents))
            total += len(documents)
        settings = data(path, split="contiguous", unk=unk)
        return encode(survey(settings), numbers, settings, given)

    return by_hand


@pytest.mark.parametrize("n", [10, 11, 999, 12_345])
@pytest.mark.parametrize("val", [None, 3])
def test_makemore_is_makemore_py(split, n: int, val: int | None) -> None:
    import torch

    torch.manual_seed(3407)  # as makemore.py does
    words = NAMES[:n]
    test_set_size = min(1000, int(len(words) * 0.1))
    rp = torch.randperm(len(words)).tolist()
    train_words = [words[i] for i in rp[:-test_set_size]]
    test_words = [words[i] for i in rp[-test_set_size:]]

    found = split(words, split="makemore", val=val)
    assert found["test"] == test_words
    assert found["train"] + found.get("val", []) == train_words
    assert len(found.get("val", [])) == (val or 0)


def test_lecture_is_the_lectures_code(split) -> None:
    words = list(NAMES)
    random.seed(42)  # nn-zero-to-hero, part 2
    random.shuffle(words)
    n1, n2 = int(0.8 * len(words)), int(0.9 * len(words))
    random.seed(7)  # whatever the global state is
    assert split(NAMES, split="lecture") == {"train": words[:n1], "val": words[n1:n2], "test": words[n2:]}


def test_hash_assigns_80_10_10_and_equal_lines_together(loaded, texts) -> None:
    documents = NAMES + NAMES[::3] + NAMES[::7]
    splits = loaded(documents, split="hash").splits
    found = {name: texts(split) for name, split in splits.items()}
    assert Counter(documents) == sum((Counter(split) for split in found.values()), Counter())
    for name, share in {"train": 0.8, "val": 0.1, "test": 0.1}.items():
        sigma = (len(NAMES) * share * (1 - share)) ** 0.5
        distinct = set(found[name])
        assert abs(len(distinct) - share * len(NAMES)) < 4 * sigma
        assert found[name] == [d for d in documents if d in distinct], "in the order of the file"
    assert not splits["val"].in_train.any()
    assert not splits["test"].in_train.any()


def test_hash_is_geron(split) -> None:
    """Hands-On Machine Learning, ch. 2: test where crc32(id) is at or above 0.9 * 2**32."""
    found = split(NAMES, split="hash")
    assert found["test"] == [name for name in NAMES if zlib.crc32(name.encode()) >= 0.9 * 2**32]
    assert found["train"] == [name for name in NAMES if zlib.crc32(name.encode()) < 0.8 * 2**32]


def test_hash_does_not_move_a_document_when_others_come(split) -> None:
    few, many = split(NAMES[:2000], split="hash"), split(NAMES, split="hash")
    for name, documents in few.items():
        assert set(documents) <= set(many[name])


@pytest.mark.parametrize("how", ["hash", "lecture", "makemore", "contiguous", "all"])
def test_of_equal_lines_only_the_first_is_assigned(split, how: str) -> None:
    """As if the others were not in the file."""
    repeated = [n for pair in zip(NAMES, NAMES[5:], strict=False) for n in pair]
    once = split(repeated, split=how, dedup="before_split")
    assert once == split(list(dict.fromkeys(repeated)), split=how)


@pytest.mark.parametrize("how", ["lecture", "contiguous"])
def test_the_documents_of_a_split_that_are_in_train_are_known(loaded, texts, how: str) -> None:
    splits = loaded(NAMES[:300] * 2, split=how).splits
    train = set(texts(splits["train"]))
    for name in ("val", "test"):
        assert splits[name].in_train.tolist() == [document in train for document in texts(splits[name])]
        assert splits[name].in_train.any()
    assert splits["train"].in_train is None


@given(st.text("ab\n", min_size=10, max_size=80).filter(lambda t: t.strip("\n")))
def test_a_running_text_is_cut_without_boundaries(
    tmp_path_factory: pytest.TempPathFactory, data, texts, running: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "running.txt"
    path.write_text(running, newline="")
    settings = data(path, "text")
    assert settings.split == "contiguous", "the default for a running text"
    dataset = load(settings, Vocabulary("\nab"))
    assert "".join(texts(split)[0] for split in dataset.splits.values()) == running
    train, val, test = (dataset.splits[name].stream for name in NAMES_OF_SPLITS)
    # put together again, each split but its first id (context only), they are the text between two boundaries
    assert [*train, *val[1:], *test[1:]] == [BOUNDARY, *dataset.vocabulary.encode(running), BOUNDARY]
    assert val[0] == train[-1]
    assert test[0] == val[-1], "the character before the cut is the context"


def test_all_is_everything_three_times(loaded, texts) -> None:
    splits = loaded(["ab", "c"], split="all").splits
    assert splits["train"] is splits["val"] is splits["test"]
    assert texts(splits["train"]) == ["ab", "c"]


def test_unseen_characters_are_refused_or_left_out_and_counted(encoded, texts) -> None:
    documents = {"train": ["ab", "ba"], "val": ["ab", "año", "ñ"], "test": ["b"]}
    with pytest.raises(BadInput) as refusal:
        encoded(**documents)
    assert str(refusal.value) == (
        "val: 2 of its 3 documents contain characters unseen in train: 'o' (U+006F), 'ñ' (U+00F1) "
        "(as in 'año'). data.unk=skip leaves them out and counts them"
    )
    vocabulary, splits = encoded(unk="skip", **documents)
    assert vocabulary.characters == "ab", "the vocabulary is that of train alone"
    assert splits["val"].skipped == 3
    assert texts(splits["val"]) == ["ab", "a", ""]
    assert splits["val"].stream.tolist() == [0, 1, 2, 0, 1, 0, 0]
    assert splits["val"].in_train.tolist() == [True, False, False]
    assert splits["train"].skipped == splits["test"].skipped == 0


def test_what_is_left_of_a_document_may_be_in_train(encoded) -> None:
    _, splits = encoded(unk="skip", train=["ab", "b"], test=["abñ", "ñb", "a"])
    assert splits["test"].in_train.tolist() == [True, True, False]


def test_a_split_of_which_nothing_is_left_is_refused(tmp_path: Path, data) -> None:
    (tmp_path / "x").write_text("aaaaaaaabc")
    with pytest.raises(BadInput, match=r"^val: all of its 1 characters are unseen in train; nothing is left"):
        load(data(tmp_path / "x", "text", unk="skip"))


def test_unseen_characters_of_a_running_text(tmp_path: Path, data) -> None:
    (tmp_path / "x").write_text("aaaaaaaabc")
    with pytest.raises(BadInput) as refusal:
        load(data(tmp_path / "x", "text"))
    assert str(refusal.value) == (
        "val: it contains characters unseen in train: 'b' (U+0062). data.unk=skip leaves them out and counts them"
    )


def test_a_newline_is_a_character_of_a_running_text(tmp_path: Path, data) -> None:
    (tmp_path / "x").write_text("aaaaaaaa\na")
    with pytest.raises(BadInput, match=r"^val: it contains characters unseen in train: '\\n' \(U\+000A\)"):
        load(data(tmp_path / "x", "text"))


def test_a_models_vocabulary_is_not_called_that_of_train(encoded) -> None:
    with pytest.raises(BadInput, match=r"^all: 1 of its 2 documents contain characters unknown to the model: 'x'"):
        encoded(Vocabulary("a"), all=["ax", "a"])


@pytest.mark.parametrize(
    ("documents", "name", "split", "says"),
    [
        (["emma"], "lines", "lecture", "1 line gives 0/0/1 train/val/test; set data.split=all"),
        (["emma", "ava"], "lines", "makemore", "2 lines give 2/0/0 train/val/test"),
        (["ab"], "text", "contiguous", "2 characters give 1/0/1 train/val/test"),
    ],
)
def test_too_little_to_split_is_refused(loaded, documents: list[str], name: str, split: str, says: str) -> None:
    with pytest.raises(BadInput) as refusal:
        loaded(documents, name, split=split)
    assert says in str(refusal.value)


def test_val_larger_than_train_is_refused(loaded) -> None:
    with pytest.raises(BadInput, match=r"^data.val=100: train has 45 documents, which val cannot all take$"):
        loaded(NAMES[:50], split="makemore", val=100)


def test_documents_that_are_in_train_too_can_be_dropped_or_told_apart(tmp_path: Path, runs) -> None:
    """The loss on the others, against one model scored by hand; without repetitions there are no such documents."""
    path = tmp_path / "names.txt"
    path.write_text("\n".join((NAMES[:300]) * 2))
    argv = ["data=lines", f"data.path={path}", "data.split=lecture", "figures=false"]
    runs.train(*argv, f"hydra.run.dir={tmp_path / 'a'}")
    runs.train(*argv, "data.dedup=before_split", f"hydra.run.dir={tmp_path / 'b'}")
    kept, dropped = (runs.record(tmp_path / name) for name in "ab")
    assert kept["data"]["in_train"]["test"] > 0
    assert dropped["data"]["in_train"] == {"val": 0, "test": 0}
    assert sum(dropped["data"]["documents"].values()) == len(set(NAMES[:300]))
    assert "test/loss_unseen" not in dropped["metrics"]
    model = open_run(tmp_path / "a").model
    shuffled = (NAMES[:300]) * 2
    random.Random(42).shuffle(shuffled)
    new = [name for name in shuffled[540:] if name not in set(shuffled[:480])]
    expected = -model.score(model.vocabulary.stream(new)).mean()
    assert kept["metrics"]["test/loss_unseen"] == pytest.approx(expected, abs=1e-12)
