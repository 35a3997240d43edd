"""ARPA files against KenLM: it reads the files that we write, and we read files that it wrote."""

import gzip
import math
import os
import random
import re
import stat
import sys
import unicodedata

import kenlm
import numpy as np
import pytest
from backing_off import dictionaries, model_of, witten_bell
from hypothesis import given
from hypothesis import strategies as st
from kenlm_models import ODD, TEXTS, by_kenlm
from kenlm_models import path as path_of

from nextchar.data import textfile
from nextchar.data.corpus import EMBEDDED
from nextchar.data.vocabulary import Vocabulary
from nextchar.errors import BadInput
from nextchar.models.ngram import arpa_reader
from nextchar.models.ngram import arpa_writer as arpa
from nextchar.models.ngram.backoff import BackoffModel, prune_by_entropy
from nextchar.runs.atomic import write_atomically


def names(n=400):
    return EMBEDDED.read_text().split()[:n]


def written(model, path):
    content = arpa.arpa_file(model.tables, model.vocabulary, compressed=path.suffix == ".gz")
    path.write_bytes(b"".join(content))
    return path


# --- written --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("documents", [names(), [ODD]], ids=["names", "odd"])
@pytest.mark.parametrize("threshold", [None, 1e-5, 1e-3])
def test_kenlm_scores_our_file_as_we_do(order, documents, threshold, tmp_path):
    model = witten_bell(documents, order)
    if threshold is not None:
        model = BackoffModel(model.vocabulary, prune_by_entropy(model.tables, threshold))
    others = [document[::-1] for document in documents] + ["".join(sorted(documents[0]))]
    path = written(model, tmp_path / "model.arpa")
    stream = model.vocabulary.stream([*documents, *others])
    assert by_kenlm(path, [*documents, *others]) == pytest.approx(model.score(stream) / math.log(10), abs=1e-5)


def test_kenlm_splits_a_line_of_our_tokens_where_we_do(tmp_path):
    """KenLM reads a text here, as its `query` does, not single tokens."""
    model = witten_bell([ODD], 3)
    loaded = kenlm.Model(str(written(model, tmp_path / "model.arpa")))
    line = b" ".join(map(arpa.token, ODD)).decode()
    scores = list(loaded.full_scores(line))
    assert not any(unknown for _, _, unknown in scores)
    ours = model.score(model.vocabulary.stream([ODD])) / math.log(10)
    assert [score for score, _, _ in scores] == pytest.approx(ours, abs=1e-5)
    assert loaded.score(line) == pytest.approx(ours.sum(), rel=1e-5)


@pytest.mark.parametrize("order", [1, 2, 4, 6])
def test_a_file_that_is_read_and_written_again_has_the_same_bytes(order, tmp_path):
    model = witten_bell([ODD, *names(50)], order)
    first = written(model, tmp_path / "1.arpa")
    vocabulary, tables = arpa_reader.read(first)
    assert vocabulary.characters == model.vocabulary.characters
    assert b"".join(arpa.arpa_file(tables, vocabulary)) == first.read_bytes()
    stream = vocabulary.stream([ODD])
    assert BackoffModel(vocabulary, tables).score(stream) == pytest.approx(model.score(stream), abs=1e-6)
    for ours, read in zip(model.tables, tables, strict=True):
        assert (ours.keys == read.keys).all()
        assert np.abs(ours.log_probs - read.log_probs).max() < 1.2e-7


def test_gz_is_written_by_request_and_recognized_by_its_content(tmp_path):
    model = witten_bell(names(), 4)
    plain, packed = written(model, tmp_path / "m.arpa"), written(model, tmp_path / "m.arpa.gz")
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    again = written(model, tmp_path / "again.arpa.gz")
    assert again.read_bytes() == packed.read_bytes()  # it contains no time
    renamed = packed.rename(tmp_path / "packed.txt")
    assert arpa_reader.read(renamed)[0].characters == model.vocabulary.characters
    assert (arpa_reader.read(renamed)[1][3].log_probs == arpa_reader.read(plain)[1][3].log_probs).all()
    assert by_kenlm(again, names(5)) == pytest.approx(by_kenlm(plain, names(5)))


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.arpa"
    path.write_text("old")
    rounded = arpa._rounded
    calls = iter([rounded, rounded, rounded])
    monkeypatch.setattr(arpa, "_rounded", lambda values: next(calls)(values))
    model = witten_bell(names(5), 2)
    with pytest.raises(RuntimeError, match="StopIteration"):
        write_atomically(path, arpa.arpa_file(model.tables, model.vocabulary))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["m.arpa"]


def test_the_block_size_changes_nothing(tmp_path, monkeypatch):
    model = witten_bell([ODD], 3)
    path = written(model, tmp_path / "1.arpa")
    monkeypatch.setattr(arpa, "WRITTEN_AT_ONCE", 7)
    assert written(model, tmp_path / "2.arpa").read_bytes() == path.read_bytes()
    whole = arpa_reader.read(path)[1]
    monkeypatch.setattr(textfile, "BLOCK_BYTES", 100)
    for once, again in zip(whole, arpa_reader.read(path)[1], strict=True):
        assert (once.keys == again.keys).all()
        assert (once.log_probs == again.log_probs).all()
        assert (once.log_backoffs == again.log_backoffs).all()


def test_a_context_without_a_row_gets_one_that_changes_nothing(tmp_path):
    """A weight is stored in the row of its context, and KenLM requires the context of every n-gram."""
    full = witten_bell(names(100), 4)
    rows, weights = dictionaries(full)
    a, n = full.vocabulary.encode("an").tolist()
    some = {g: math.exp(p) for g, p in rows.items() if g not in ((a, n), (0, a))}
    model = model_of(full.vocabulary, some, {h: math.exp(w) for h, w in weights.items()}, 4)
    path = written(model, tmp_path / "m.arpa")
    stream = full.vocabulary.stream(names(200))
    assert by_kenlm(path, names(200)) == pytest.approx(model.score(stream) / math.log(10), abs=1e-5)


def test_how_numbers_are_written(tmp_path):
    vocabulary = Vocabulary("ab")
    rows = {(0,): 0.25, (1,): 0.5, (2,): 1e-150, (0, 1): 1.0, (1, 2): 0.1}
    model = model_of(vocabulary, rows, {(0,): 1e-3, (1,): 2.0, (2,): 1.0}, 2)
    assert written(model, tmp_path / "m.arpa").read_text() == (
        "\\data\\\nngram 1=5\nngram 2=2\n\n\\1-grams:\n-99\t<unk>\n-99\t<s>\t-3\n-0.6020600\t</s>\n"
        "-0.3010300\ta\t0.3010300\n-150\tb\n\n\\2-grams:\n0\t<s> a\n-1\ta b\n\n\\end\\\n"
    )


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_every_unicode_character_has_a_token_of_its_own():
    characters = [chr(i) for i in range(sys.maxunicode + 1) if not 0xD800 <= i < 0xE000]
    tokens = list(map(arpa.token, characters))
    assert len(set(tokens)) == len(tokens)
    assert list(map(arpa.character, tokens)) == characters
    assert max(map(len, tokens)) <= arpa_reader.LONGEST_TOKEN
    assert not any(re.search(rb"[\s\0]", token) or token.decode().isspace() for token in tokens)
    assert {c for c in characters if arpa.token(c) != c.encode()} == {
        c for c in characters if c == "\\" or c.isspace() or unicodedata.category(c)[0] in "CZ"
    }
    assert arpa.token("<") == b"<"


@given(st.binary(max_size=9))
def test_other_bytes_are_no_character(said):
    char = arpa.character(said)
    if char is not None:
        assert arpa.character(arpa.token(char)) == char
        assert said == char.encode() or said.startswith(b"\\")


# --- read -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [path_of(text) for text in TEXTS], ids=lambda path: path.stem)
def test_a_file_of_lmplz_scores_the_same_here_as_in_kenlm(path, tmp_path):
    vocabulary, tables = arpa_reader.read(path)
    model = BackoffModel(vocabulary, tables)
    known = set(vocabulary.characters)
    documents = [name for name in names(2000) if set(name) <= known]
    documents += ["".join(random.Random(i).choices(vocabulary.characters, k=20)) for i in range(100)]
    ours = model.score(vocabulary.stream(documents)) / math.log(10)
    assert by_kenlm(path, documents) == pytest.approx(ours, abs=1e-5)
    assert by_kenlm(written(model, tmp_path / "m.arpa"), documents) == pytest.approx(ours, abs=1e-5)


OF_SRILM = """
\\data\\
ngram 1=6
ngram 2=4
ngram 3=3

\\1-grams:
-0.7\t</s>
-99\t<s>\t-0.4
-0.9\ta\t-0.3
-1.1\tb\t-0.2
-2e-1\tc
-1\t<unk>\t-0.1

\\2-grams:
-0.5\t<s> a\t-0.15
-0.6\ta b\t0.11
-0.8 b </s>
-1.1\t<unk> a

\\3-grams:
-0.25\t<s> a c
-0.125\ta b a
-0.1\ta <unk> b

\\end\\
"""


def test_a_file_as_srilm_writes_it(tmp_path):
    """It has <unk>, missing weights and weights above 1, and lacks the bigrams `a c` and `b a` of its trigrams."""
    path = tmp_path / "m.arpa"
    path.write_text("# a comment\n\n" + OF_SRILM)
    vocabulary, tables = arpa_reader.read(path)
    assert vocabulary.characters == "abc"
    assert [len(table) for table in tables] == [4, 3, 2]
    model = BackoffModel(vocabulary, tables)
    wanted = {"aba": [-0.5, -0.15 - 0.6, -0.125, -0.3 - 0.7], "ac": [-0.5, -0.25, -0.7], "": [-0.4 - 0.7]}
    wanted |= {"abb": [-0.5, -0.75, 0.11 - 0.2 - 1.1, -0.8]}
    for document, scores in wanted.items():
        assert model.score(vocabulary.stream([document])) / math.log(10) == pytest.approx(scores, abs=1e-9), document


def test_line_ends_and_separators_of_both_kinds_are_read(tmp_path):
    (tmp_path / "lf").write_bytes(OF_SRILM.encode())
    (tmp_path / "crlf").write_bytes(OF_SRILM.replace("\n", "\r\n").replace("a b", "a\tb").encode())
    (tmp_path / "no_newline").write_bytes(OF_SRILM.rstrip().encode())
    wanted = arpa_reader.read(tmp_path / "lf")[1]
    for name in ("crlf", "no_newline"):
        for one, other in zip(wanted, arpa_reader.read(tmp_path / name)[1], strict=True):
            assert (one.keys == other.keys).all()
            assert (one.log_backoffs == other.log_backoffs).all()


def test_a_single_backslash_is_a_backslash(tmp_path):
    path = tmp_path / "m.arpa"
    path.write_text("\\data\\\nngram 1=3\n\n\\1-grams:\n-0.5\t\\\n-1\t</s>\n-1\t\\u0061\n\n\\end\\\n")
    assert arpa_reader.read(path)[0].characters == "\\a"


CHANGES = [
    ("\\data\\\n", "", "line 2: 'ngram 1=6' before \\data\\; this is no ARPA file"),
    ("ngram 1=6\n", "", "line 3: the count of order 2 where that of 1 should stand"),
    ("ngram 2=4\n", "", "line 4: the count of order 3 where that of 2 should stand"),
    ("ngram 3=3\n", "", "line 15: a weight on a row of order 2, the highest that \\data\\ gives"),
    ("ngram 2=4", "ngram 2=5", "line 21: 4 rows of order 2, and \\data\\ gives 5"),
    ("ngram 2=4", "ngram 2=3", "line 19: more rows of order 2 than the 3 that \\data\\ gives"),
    ("ngram 2=4", "ngram 2=-4", "line 4: 'ngram 2=-4' where 'ngram 2=...' should stand"),
    ("ngram 2=4", "ngram 2=99999999999999999999", "line 4: 'ngram 2=99999999999999999999' where 'ngram 2=...'"),
    ("ngram 2=4", "2-grams: 4", "line 4: '2-grams: 4' where 'ngram 2=...' should stand"),
    ("\\1-grams:", "\\2-grams:", "line 7: '\\2-grams:' where \\1-grams: should stand"),
    ("\\2-grams:", "\\bi-grams:", "line 15: '\\bi-grams:' where \\2-grams: should stand"),
    ("\\end\\\n", "", "ends without \\end\\; the file is cut off"),
    ("\n\\3-grams:", "\n\\end\\", "line 21: '\\end\\' where \\3-grams: should stand"),
    ("\\end\\\n", "\\end\\\nmore\n", "line 27: 'more' after \\end\\"),
    ("\\end\\\n", "\\end\\\n\\data\\\n", "line 27: '\\data\\' where nothing should stand"),
    ("-0.9\ta", "0.9\ta", "line 10: a log-probability above 0: the probability is above 1"),
    ("-0.9\ta", "nan\ta", "line 10: 'nan' is no finite number, and no log-probability"),
    ("-0.9\ta", "-inf\ta", "line 10: '-inf' is no finite number"),
    ("-0.9\ta", "-1e999\ta", "line 10: '-1e999' is no finite number"),
    ("-0.9\ta", "0-9\ta", "line 10: '0-9' is no finite number"),
    ("-0.9\ta", "0x9\ta", "line 10: '0x9' is no finite number"),
    ("-0.9\ta", "1_0\ta", "line 10: '1_0' is no finite number"),
    ("-0.9\ta", "-0." + "9" * 40 + "\ta", "line 10: '-0.9999999999999999999999999999999999...' is no finite number"),
    ("a\t-0.3", "a\tinf", "line 10: 'inf' is no finite number, and no weight"),
    ("a\t-0.3", "a\tx", "line 10: 'x' is no finite number, and no weight"),
    ("-0.9\ta\t-0.3", "-0.9", "line 10: '-0.9' is no row of order 1: a number, a token, and maybe a weight"),
    ("a b\t0.11", "a\t0.11 9 9", "line 17: '-0.6 a 0.11 9 9' is no row of order 2: a number, 2 tokens, and maybe"),
    ("a b a", "a b", "line 23: '-0.125 a b' is no row of order 3: a number, 3 tokens"),
    ("a b a", "a b a\t-0.5", "line 23: a weight on a row of order 3, the highest that"),
    ("b\t-0.2", "the\t-0.2", "line 11: 'the' is more than one character; this is a model of words, not of characters"),
    ("b\t-0.2", "antidisestablish\t-0.2", "line 11: 'antidisestablish' is more than one character; this is a model"),
    ("b\t-0.2", "\\q\t-0.2", "line 11: '\\q' is more than one character"),
    ("b\t-0.2", "\\ud800\t-0.2", "line 11: '\\ud800' is more than one character"),
    ("b\t-0.2", "\\u110000\t-0.2", "line 11: '\\u110000' is more than one character"),
    ("b\t-0.2", "a\t-0.2", "line 11: 'a' stands among the unigrams twice"),
    ("b\t-0.2", "\\u0061\t-0.2", "line 11: 'a' stands among the unigrams twice"),
    ("b\t-0.2", "</s>\t-0.2", "line 11: '</s>' stands among the unigrams twice"),
    ("b\t-0.2", "\0\t-0.2", "line 11: a NUL byte; this is no text"),
    ("a b\t0.11", "a d\t0.11", "line 17: 'd' is not among the unigrams"),
    ("a b\t0.11", "a antidisestablish\t0.11", "line 17: 'antidisestablish' is not among the unigrams"),
    ("a b\t0.11", "<s> a\t0.11", "line 17: an n-gram that line 16 has already"),
    ("<s> a c", "a b a", "line 23: an n-gram that line 22 has already"),
    ("a b a", "a <s> a", "line 23: <s> begins an n-gram, and </s> ends it; neither stands elsewhere"),
    ("a b a", "a </s> a", "line 23: <s> begins an n-gram, and </s> ends it"),
    ("a b\t0.11", "<s> <s>\t0.11", "line 17: <s> begins an n-gram, and </s> ends it"),
]


@pytest.mark.parametrize(("old", "new", "said"), CHANGES)
@pytest.mark.parametrize("at_once", [64, 1 << 20])
def test_one_wrong_line_is_refused_with_its_number(old, new, said, at_once, tmp_path, monkeypatch):
    monkeypatch.setattr(textfile, "BLOCK_BYTES", at_once)
    path = tmp_path / "m.arpa"
    assert OF_SRILM.count(old) >= 1
    path.write_text(OF_SRILM.replace(old, new, 1))
    with pytest.raises(BadInput) as refused:
        arpa_reader.read(path)
    assert str(refused.value).startswith(f"{path}: {said}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no \\data\\ in it; this is no ARPA file"),
        (b"\n\n", "no \\data\\ in it"),
        (
            b"mmap lm http://kheafield.com/code format version 5\n\0",
            "line 1: 'mmap lm http://kheafield.com/code for...",
        ),
        (OF_SRILM.encode("utf-16"), "line 1: "),
        (b"\\data\\\n\\1-grams:\n", "line 2: no 'ngram 1=...' after \\data\\"),
        (b"\\data\\\nngram 1=0\n\\1-grams:\n\\end\\\n", "line 4: no characters among the unigrams"),
        (b"\\data\\\nngram 1=1\n\\1-grams:\n-1 </s>\n\\end\\\n", "line 5: no characters among the unigrams"),
        (b"\\data\\\n" + b"".join(b"ngram %d=1\n" % k for k in range(1, 100)), "line 66: more orders than the 64"),
        (b"\\data\\\nngram 1=1\n\\1-grams:\n-1 \xff\n\\end\\\n", "line 4: '\\xff' is more than one character"),
        (gzip.compress(OF_SRILM.encode())[:-20], "the .gz file is damaged or cut off"),
        (gzip.compress(OF_SRILM.encode())[:100] + b"\0" * 50, "the .gz file is damaged or cut off"),
        (gzip.compress(OF_SRILM.encode()) + b"more", "the .gz file is damaged or cut off"),
        (b"x" * (1 << 25), "a line of more than 8,388,608 bytes; this is no ARPA file"),
    ],
)
def test_other_files_are_refused(content, said, tmp_path):
    path = tmp_path / "m.arpa"
    path.write_bytes(content)
    with pytest.raises(BadInput) as refused:
        arpa_reader.read(path)
    assert str(refused.value).startswith(f"{path}: {said}")


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    for path, said in [
        (tmp_path, " is a folder; name a file in it"),
        (tmp_path / "pipe", " is not a regular file (a pipe or a device); save the text to a file"),
        (tmp_path / "none", " cannot be read: No such file or directory"),
    ]:
        with pytest.raises(BadInput, match=f"^{re.escape(str(path) + said)}$"):
            arpa_reader.read(path)


@given(st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path_factory, data):
    content = bytearray(OF_SRILM.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        how = data.draw(st.sampled_from(["change", "drop", "double"]))
        piece = slice(at, at + data.draw(st.integers(1, 30)))
        content[piece] = {
            "change": data.draw(st.binary(min_size=1, max_size=3)),
            "drop": b"",
            "double": content[piece] * 2,
        }[how]
    path = tmp_path_factory.getbasetemp() / "damaged.arpa"
    path.write_bytes(bytes(content))
    try:
        vocabulary, tables = arpa_reader.read(path)
    except BadInput as refused:
        said = str(refused)
        if not said.startswith(str(path)) or "\n" in said:
            raise AssertionError(said) from refused
    else:
        stream = np.random.default_rng(0).integers(0, len(vocabulary), 50)
        assert not np.isnan(BackoffModel(vocabulary, tables).score(stream)).any()
