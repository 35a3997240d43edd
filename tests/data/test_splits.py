"""train / val / test: the known recipes to the letter, and no leak by the default one."""

import random
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextchar.config.data_settings import Data
from nextchar.config.fields import validated
from nextchar.data import corpus as text
from nextchar.data import encoded as splits
from nextchar.data.corpus import Corpus
from nextchar.data.splits import NAMES as NAMES_OF_PARTS
from nextchar.data.splits import Dealt, Shuffled, deal
from nextchar.data.vocabulary import BOUNDARY, Vocabulary
from nextchar.errors import BadInput
from nextchar.runs.open_run import open_model

NAMES = [f"name{i:x}" for i in range(12_345)]


def data(name: str = "names", **changed: object) -> Data:
    values = dict.fromkeys(("path", "url", "sha256", "split", "val")) | {
        "encoding": "utf-8",
        "normalize": "none",
        "dedup": "none",
        "unk": "error",
        "batch_size": "all",
        "merge": True,
    }
    path = {"path": "/x"} if name in ("lines", "text") else {}
    return validated(Data, values | {"name": name} | path | changed)


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """A corpus of these documents, or of one running text."""

    def written(documents: Sequence[str], name: str = "lines", **changed: object) -> Corpus:
        path = tmp_path / "documents.txt"
        path.write_text("\n".join(documents), encoding="utf-8", newline="")
        return text.read(data(name, **(changed | {"path": str(path)})))

    return written


def texts(dealt: Mapping[str, Dealt]) -> dict[str, list[str]]:
    """The documents that fell to each part."""
    return {name: "".join(t for s in part.shares for t in s.blocks()).split("\n")[:-1] for name, part in dealt.items()}


@pytest.mark.parametrize("n", [10, 11, 999, 12_345])
@pytest.mark.parametrize("val", [None, 3])
def test_makemore_is_makemore_py(corpus: Callable[..., Corpus], n: int, val: int | None) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(3407)  # as makemore.py does
    words = NAMES[:n]
    test_set_size = min(1000, int(len(words) * 0.1))
    rp = torch.randperm(len(words)).tolist()
    train_words = [words[i] for i in rp[:-test_set_size]]
    test_words = [words[i] for i in rp[-test_set_size:]]

    parts = texts(deal(corpus(words), data(split="makemore", val=val)))
    assert parts["test"] == test_words
    assert parts["train"] + parts.get("val", []) == train_words
    assert len(parts.get("val", [])) == (val or 0)


def test_lecture_is_the_lectures_code(corpus: Callable[..., Corpus]) -> None:
    words = list(NAMES)
    random.seed(42)  # nn-zero-to-hero, part 2
    random.shuffle(words)
    n1, n2 = int(0.8 * len(words)), int(0.9 * len(words))
    random.seed(7)  # whatever the global state is
    assert texts(deal(corpus(NAMES), data(split="lecture"))) == {
        "train": words[:n1],
        "val": words[n1:n2],
        "test": words[n2:],
    }


def test_hash_deals_80_10_10_and_equal_lines_together(corpus: Callable[..., Corpus]) -> None:
    documents = NAMES + NAMES[::3] + NAMES[::7]
    dealt = deal(corpus(documents), data(split="hash"))
    parts = texts(dealt)
    assert Counter(documents) == sum((Counter(part) for part in parts.values()), Counter())
    for name, share in {"train": 0.8, "val": 0.1, "test": 0.1}.items():
        sigma = (len(NAMES) * share * (1 - share)) ** 0.5
        assert abs(len(set(parts[name])) - share * len(NAMES)) < 4 * sigma
        assert parts[name] == [d for d in documents if d in set(parts[name])], "in the order of the file"
    _, encoded = splits.encode(dealt, data(unk="skip"))
    assert not encoded["val"].in_train.any()
    assert not encoded["test"].in_train.any()


def test_hash_is_geron(corpus: Callable[..., Corpus]) -> None:
    """Hands-On Machine Learning, ch. 2: test where crc32(id) is at or above 0.9 * 2**32."""
    parts = texts(deal(corpus(NAMES), data(split="hash")))
    assert parts["test"] == [name for name in NAMES if zlib.crc32(name.encode()) >= 0.9 * 2**32]
    assert parts["train"] == [name for name in NAMES if zlib.crc32(name.encode()) < 0.8 * 2**32]


def test_hash_does_not_move_a_document_when_others_come(corpus: Callable[..., Corpus]) -> None:
    few = texts(deal(corpus(NAMES[:2000]), data(split="hash")))
    many = texts(deal(corpus(NAMES), data(split="hash")))
    for name, part in few.items():
        assert set(part) <= set(many[name])


@pytest.mark.parametrize("split", ["hash", "lecture", "makemore", "contiguous", "all"])
def test_of_equal_lines_only_the_first_is_dealt_out(corpus: Callable[..., Corpus], split: str) -> None:
    """As if the others did not stand in the file."""
    name = "lines"
    repeated = corpus([n for pair in zip(NAMES, NAMES[5:], strict=False) for n in pair])
    once = texts(deal(repeated, data(name, split=split, dedup="before_split")))
    plain = texts(deal(corpus(list(dict.fromkeys(repeated.texts()))), data(name, split=split)))
    assert once == plain


@pytest.mark.parametrize("split", ["lecture", "contiguous"])
def test_the_documents_of_a_part_that_train_has_are_known(corpus: Callable[..., Corpus], split: str) -> None:
    settings = data("lines", split=split)
    _, parts = splits.encode(deal(corpus(NAMES[:300] * 2), settings), settings)
    train = set(parts["train"].texts())
    for name in ("val", "test"):
        assert parts[name].in_train.tolist() == [document in train for document in parts[name].texts()]
        assert parts[name].in_train.any()
    assert parts["train"].in_train is None


@given(st.text("ab\n", min_size=10, max_size=80).filter(lambda t: t.strip("\n")))
def test_a_running_text_is_cut_without_boundaries(tmp_path_factory: pytest.TempPathFactory, running: str) -> None:
    path = tmp_path_factory.getbasetemp() / "running.txt"
    path.write_text(running, newline="")
    settings = data("text", path=str(path))
    assert settings.split == "contiguous", "the default for a running text"
    vocabulary, parts = splits.encode(deal(text.read(settings), settings), settings, Vocabulary("\nab"))
    assert "".join(next(part.texts()) for part in parts.values()) == running
    train, val, test = (parts[name].stream for name in NAMES_OF_PARTS)
    # put together again, each part but its first id (context only), they are the text between two boundaries
    assert [*train, *val[1:], *test[1:]] == [BOUNDARY, *vocabulary.encode(running), BOUNDARY]
    assert val[0] == train[-1]
    assert test[0] == val[-1], "the character before the cut is the context"


def test_all_is_everything_three_times(corpus: Callable[..., Corpus]) -> None:
    settings = data("lines", split="all")
    _, parts = splits.encode(deal(corpus(["ab", "c"]), settings), settings)
    assert parts["train"] is parts["val"] is parts["test"]
    assert list(parts["train"].texts()) == ["ab", "c"]


def dealt_by_hand(**parts: list[str]) -> dict[str, Dealt]:
    return {name: Dealt([Shuffled(docs)], np.array(list(map(hash, docs)))) for name, docs in parts.items()}


def test_unseen_characters_are_refused_or_left_out_and_counted() -> None:
    dealt = dealt_by_hand(train=["ab", "ba"], val=["ab", "año", "ñ"], test=["b"])
    with pytest.raises(BadInput) as refusal:
        splits.encode(dealt, data())
    assert str(refusal.value) == (
        "val: 2 of its 3 documents hold characters that train has never seen: 'o' (U+006F), 'ñ' (U+00F1) "
        "(as in 'año'). data.unk=skip leaves them out and counts them"
    )
    vocabulary, parts = splits.encode(dealt, data(unk="skip"))
    assert vocabulary.characters == "ab", "the vocabulary is that of train alone"
    assert parts["val"].skipped == 3
    assert list(parts["val"].texts()) == ["ab", "a", ""]
    assert parts["val"].stream.tolist() == [0, 1, 2, 0, 1, 0, 0]
    assert parts["val"].in_train.tolist() == [True, False, False]
    assert parts["train"].skipped == parts["test"].skipped == 0


def test_what_is_left_of_a_document_may_stand_in_train() -> None:
    _, parts = splits.encode(dealt_by_hand(train=["ab", "b"], test=["abñ", "ñb", "a"]), data(unk="skip"))
    assert parts["test"].in_train.tolist() == [True, True, False]


def test_a_part_of_which_nothing_is_left_is_refused(corpus: Callable[..., Corpus]) -> None:
    settings = data("text", unk="skip")
    with pytest.raises(BadInput, match="val: train has seen none of its 1 characters"):
        splits.encode(deal(corpus(["aaaaaaaabc"], "text"), settings), settings)


def test_what_a_running_text_has_too_much(corpus: Callable[..., Corpus]) -> None:
    settings = data("text")
    with pytest.raises(BadInput) as refusal:
        splits.encode(deal(corpus(["aaaaaaaabc"], "text"), settings), settings)
    assert str(refusal.value) == (
        "val: it holds characters that train has never seen: 'b' (U+0062). "
        "data.unk=skip leaves them out and counts them"
    )


def test_a_models_vocabulary_is_not_called_that_of_train() -> None:
    with pytest.raises(BadInput, match="that the model has never seen: 'x'"):
        splits.encode(dealt_by_hand(all=["ax", "a"]), data(split="all"), Vocabulary("a"))


@pytest.mark.parametrize(
    ("documents", "name", "split", "says"),
    [
        (["emma"], "lines", "lecture", "1 line gives 0/0/1 train/val/test; set data.split=all"),
        (["emma", "ava"], "lines", "makemore", "2 lines give 2/0/0 train/val/test"),
        (["ab"], "text", "contiguous", "2 characters give 1/0/1 train/val/test"),
    ],
)
def test_too_little_to_deal_out_is_refused(
    corpus: Callable[..., Corpus], documents: list[str], name: str, split: str, says: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        deal(corpus(documents, name), data(name, split=split))
    assert says in str(refusal.value)


def test_val_larger_than_train_is_refused(corpus: Callable[..., Corpus]) -> None:
    with pytest.raises(BadInput, match=r"^data.val=100: train has 45 documents, which val cannot all take$"):
        deal(corpus(NAMES[:50]), data(split="makemore", val=100))


def test_documents_that_stand_in_train_too_can_be_dropped_or_told_apart(tmp_path: Path, runs) -> None:
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
    _, model = open_model(tmp_path / "a")
    shuffled = (NAMES[:300]) * 2
    random.Random(42).shuffle(shuffled)
    new = [name for name in shuffled[540:] if name not in set(shuffled[:480])]
    expected = -model.score(model.vocabulary.stream(new)).mean()
    assert kept["metrics"]["test/loss_unseen"] == pytest.approx(expected, abs=1e-12)
