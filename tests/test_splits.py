"""train / val / test: the known recipes to the letter, and no leak by the default one."""

import random
from collections import Counter
from pathlib import Path

import pytest
import runs
from hypothesis import given
from hypothesis import strategies as st

from nextchar import experiment, splits
from nextchar.errors import BadInput
from nextchar.knobs import read
from nextchar.settings import Data
from nextchar.vocabulary import BOUNDARY, Vocabulary

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
    return read(Data, values | {"name": name} | path | changed)


@pytest.mark.parametrize("n", [10, 11, 999, 12_345])
@pytest.mark.parametrize("val", [None, 3])
def test_makemore_is_makemore_py(n: int, val: int | None) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(3407)  # as makemore.py does
    words = NAMES[:n]
    test_set_size = min(1000, int(len(words) * 0.1))
    rp = torch.randperm(len(words)).tolist()
    train_words = [words[i] for i in rp[:-test_set_size]]
    test_words = [words[i] for i in rp[-test_set_size:]]

    parts = splits.deal(words, data(split="makemore", val=val))
    assert parts["test"] == test_words
    assert parts["train"] + parts.get("val", []) == train_words
    assert len(parts.get("val", [])) == (val or 0)


def test_lecture_is_the_lectures_code() -> None:
    words = list(NAMES)
    random.seed(42)  # nn-zero-to-hero, part 2
    random.shuffle(words)
    n1, n2 = int(0.8 * len(words)), int(0.9 * len(words))
    random.seed(7)  # whatever the global state is
    assert splits.deal(NAMES, data(split="lecture")) == {
        "train": words[:n1],
        "val": words[n1:n2],
        "test": words[n2:],
    }


def test_hash_deals_80_10_10_and_equal_lines_together() -> None:
    documents = NAMES + NAMES[::3] + NAMES[::7]
    parts = splits.deal(documents, data(split="hash"))
    assert Counter(documents) == sum((Counter(part) for part in parts.values()), Counter())
    assert splits.overlap(parts["val"], parts["train"]) == splits.overlap(parts["test"], parts["train"]) == 0
    for name, share in {"train": 0.8, "val": 0.1, "test": 0.1}.items():
        sigma = (len(NAMES) * share * (1 - share)) ** 0.5
        assert abs(len(set(parts[name])) - share * len(NAMES)) < 4 * sigma


def test_hash_does_not_move_a_document_when_others_come() -> None:
    few = splits.deal(NAMES[:2000], data(split="hash"))
    many = splits.deal(NAMES, data(split="hash"))
    for name, part in few.items():
        assert set(part) <= set(many[name])


def test_overlap_counts_the_documents_of_a_part_that_train_has() -> None:
    assert splits.overlap(["a", "b", "b", "c"], ["b", "d"]) == 2


@given(st.text("ab\n", min_size=10, max_size=80))
def test_a_running_text_is_cut_without_boundaries(text: str) -> None:
    settings = data("text")
    assert settings.split == "contiguous", "the default for a running text"
    dealt = splits.deal([text], settings)
    assert "".join(part[0] for part in dealt.values()) == text
    vocabulary, parts = splits.encode(dealt, settings, Vocabulary("\nab"))
    train, val, test = (parts[name].stream for name in splits.NAMES)
    # put together again, each part but its first id (context only), they are the text between two boundaries
    assert [*train, *val[1:], *test[1:]] == [BOUNDARY, *vocabulary.encode(text), BOUNDARY]
    assert val[0] == train[-1]
    assert test[0] == val[-1], "the character before the cut is the context"


def test_all_is_everything_three_times() -> None:
    _, parts = splits.encode(splits.deal(["ab", "c"], data(split="all")), data(split="all"))
    assert parts["train"] is parts["val"] is parts["test"]
    assert parts["train"].documents == ["ab", "c"]


def test_unseen_characters_are_refused_or_left_out_and_counted() -> None:
    dealt = {"train": ["ab", "ba"], "val": ["ab", "año", "ñ"], "test": ["b"]}
    with pytest.raises(BadInput) as refusal:
        splits.encode(dealt, data())
    assert str(refusal.value) == (
        "val: 2 of its 3 documents hold characters that train has never seen: 'o' (U+006F), 'ñ' (U+00F1) "
        "(as in 'año'). data.unk=skip leaves them out and counts them"
    )
    vocabulary, parts = splits.encode(dealt, data(unk="skip"))
    assert vocabulary.characters == "ab", "the vocabulary is that of train alone"
    assert parts["val"].skipped == 3
    assert parts["val"].documents == ["ab", "a", ""]
    assert parts["val"].stream.tolist() == [0, 1, 2, 0, 1, 0, 0]
    assert parts["train"].skipped == parts["test"].skipped == 0


def test_a_part_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(BadInput, match="val: train has seen none of its 1 characters"):
        splits.encode(splits.deal(["aaaaaaaabc"], data("text")), data("text", unk="skip"))


def test_a_models_vocabulary_is_not_called_that_of_train() -> None:
    with pytest.raises(BadInput, match="that the model has never seen: 'x'"):
        splits.encode({"all": ["ax", "a"]}, data(split="all"), Vocabulary("a"))


@pytest.mark.parametrize(
    ("documents", "name", "split", "says"),
    [
        (["emma"], "names", "lecture", "1 line gives 0/0/1 train/val/test; set data.split=all"),
        (["emma", "ava"], "names", "makemore", "2 lines give 2/0/0 train/val/test"),
        (["ab"], "text", "contiguous", "2 characters give 1/0/1 train/val/test"),
    ],
)
def test_too_little_to_deal_out_is_refused(documents: list[str], name: str, split: str, says: str) -> None:
    with pytest.raises(BadInput) as refusal:
        splits.deal(documents, data(name, split=split))
    assert says in str(refusal.value)


def test_val_larger_than_train_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^data.val=100: train has 45 documents, which val cannot all take$"):
        splits.deal(NAMES[:50], data(split="makemore", val=100))


def test_documents_that_stand_in_train_too_can_be_dropped_or_told_apart(tmp_path: Path) -> None:
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
    _, model = experiment.open_model(tmp_path / "a")
    shuffled = (NAMES[:300]) * 2
    random.Random(42).shuffle(shuffled)
    new = [name for name in shuffled[540:] if name not in set(shuffled[:480])]
    expected = -model.score(model.vocabulary.stream(new)).mean()
    assert kept["metrics"]["test/loss_unseen"] == pytest.approx(expected, abs=1e-12)
