"""A file in blocks: wherever it is cut, what comes out is the whole text, or the same refusal."""

import gzip
import os
import pickle
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nextchar.data import textfile
from nextchar.data.textfile import Findings, TextFile
from nextchar.errors import BadInput

# What may become one with what stands before it, or looks so: accents, Hangul jamo, halfwidth kana, Indic vowels.
NASTY = "eaA\u0301\u0300\u0323\u0327éᄀ가각\u1161\u1175\u11a8\u11c2かガｶﾞﾟ\u3099\u09c7\u09be\u09d7\u0dd9\u0dca\u0dcf"
NASTY += "\u1025\u102e\U00011099\U000110baﬁ\u0344\u0345\u212b\u00a8\u1e9b\u0f71\u0f72\u0f74日🎉 \r\n\ufeff"
NASTY_TEXT = st.text(st.sampled_from(NASTY) | st.characters(codec="utf-8"), max_size=40)
SIZES = st.integers(1, 64)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blocks") / "x.txt"


@pytest.fixture(autouse=True)
def block_as_it_was() -> Iterator[None]:
    before = textfile.BLOCK_BYTES
    yield
    textfile.BLOCK_BYTES = before


def whole(raw: bytes, encoding: str, normalize: str, crlf: bool) -> str:
    """The text of a file, by what Python does with all of it at once."""
    text = (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode(encoding).removeprefix("\ufeff")
    text = text.replace("\r\n", "\n") if crlf else text
    return text if normalize == "none" else unicodedata.normalize(normalize.upper(), text)


@given(NASTY_TEXT, SIZES, st.sampled_from(["NFC", "NFKC"]))
@example("e\u0301", 1, "NFC")
@example("ｶﾞ a" * 3, 3, "NFKC")
@example("가\u11a8각\n\u1100\u1161\u11a8", 2, "NFC")
def test_normalised_in_blocks_is_normalised(text: str, size: int, form: str) -> None:
    cut = [text[i : i + size] for i in range(0, len(text), size)]
    blocks = [unicodedata.normalize(form, block) for block in textfile._cut(cut, textfile._before_last_ascii)]
    assert "".join(blocks) == unicodedata.normalize(form, text)
    assert all(blocks)


@pytest.mark.parametrize("form", ["NFC", "NFKC"])
def test_an_ascii_character_never_combines_with_what_is_before_it(form: str) -> None:
    """By the definition, for every code point: no composition has an ASCII character second."""
    for code in range(sys.maxunicode + 1):
        apart = unicodedata.normalize("NFD", chr(code))
        if len(apart) > 1 and unicodedata.normalize("NFC", apart) == chr(code):
            assert not apart[-1].isascii(), hex(code)
        for ascii_ in "\na":
            both = unicodedata.normalize(form, chr(code) + ascii_)
            assert both == unicodedata.normalize(form, chr(code)) + ascii_, hex(code)


@pytest.mark.parametrize("normalize", ["none", "nfc"])
@pytest.mark.parametrize("line", [b"GATTACA ", "été ".encode()])
def test_a_text_without_a_newline_is_read_in_flat_memory(
    path: Path, line: bytes, normalize: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be cut before any ASCII character; only a text without one is joined."""
    path.write_bytes(line * 1000)
    textfile.BLOCK_BYTES = 64
    monkeypatch.setattr(textfile, "SNIFFED_BYTES", 64)
    assert max(map(len, TextFile(path, "x", "utf-8", normalize).blocks(Findings()))) <= 64 + len(line)
    path.write_bytes("日".encode() * 1000)
    assert len(list(TextFile(path, "x", "utf-8", normalize).blocks(Findings()))) == 1


@given(
    NASTY_TEXT,
    SIZES,
    st.sampled_from(["none", "nfc", "nfkc"]),
    st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-32", "gb18030", "utf-7", "unicode_escape"]),
    st.sampled_from(["plain", "gz", "two members"]),
    st.booleans(),
)
def test_where_a_file_is_cut_says_nothing(
    path: Path, text: str, size: int, normalize: str, encoding: str, packed: str, crlf: bool
) -> None:
    raw = text.encode(encoding)
    half = len(raw) // 2
    if packed != "plain":
        raw = gzip.compress(raw) if packed == "gz" else gzip.compress(raw[:half]) + gzip.compress(raw[half:])
    path.write_bytes(raw)
    textfile.BLOCK_BYTES = size
    expected = whole(raw, encoding, normalize, crlf)
    found, seen = Findings(), bytearray()
    file = TextFile(path, "x", encoding, normalize, crlf)
    pieces = list(file.blocks(found, seen.extend))
    assert "".join(pieces) == expected
    assert all(pieces)
    assert bytes(seen) == raw, "of what lies on disk all is seen, once"
    kept = text.removeprefix("\ufeff")
    assert found.has_mark == text.startswith("\ufeff")
    assert found.newlines == kept.count("\n")
    assert (found.crlf, found.lone_cr) == (kept.count("\r\n"), kept.count("\r") - kept.count("\r\n"))
    if normalize == "none":
        assert found.is_nfc == unicodedata.is_normalized("NFC", expected)
    assert "".join(pickle.loads(pickle.dumps(file)).blocks()) == expected, "elsewhere, and a second time"


@given(
    st.binary(max_size=60) | NASTY_TEXT.map(str.encode),
    SIZES,
    st.sampled_from(["utf-8", "ascii", "utf-16-le", "shift_jis", "euc_kr", "gb18030", "cp1252", "utf-7", "hz"]),
)
@example("é".encode("latin-1"), 1, "utf-8")
@example("ab\né".encode()[:-1], 2, "utf-8")
@example(b"abc", 1, "utf-16-le")
def test_what_is_no_text_is_refused_at_the_same_place(path: Path, raw: bytes, size: int, encoding: str) -> None:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b")):
        return
    path.write_bytes(raw)
    textfile.BLOCK_BYTES = size
    try:
        expected, where = raw.decode(encoding), ""
    except UnicodeDecodeError as error:
        line, column = raw.count(b"\n", 0, error.start) + 1, error.start - raw.rfind(b"\n", 0, error.start)
        where = f"x: line {line}, byte {column}: not valid {encoding} (0x{raw[error.start]:02x}). "
    try:
        said = "".join(TextFile(path, "x", encoding, "none", crlf=False).blocks())
    except BadInput as refused:
        said = str(refused)
    if where:
        assert said.startswith((where, "x looks like UTF-16") if 0 in raw else where)
    else:
        assert said == expected.removeprefix("\ufeff") or (0 in raw and said.startswith("x looks like UTF-16"))


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_gz_that_is_cut_off_says_so_even_where_its_text_is_bad_too(path: Path, size: int) -> None:
    path.write_bytes(gzip.compress(b"emma\n\xff" * 99)[:-5])
    textfile.BLOCK_BYTES = size
    with pytest.raises(BadInput, match=r"^x: the .gz file is damaged or cut off"):
        list(TextFile(path, "x", "utf-8", "none").blocks())


@pytest.mark.parametrize("how", ["grows", "shrinks", "is rewritten"])
def test_a_file_that_changes_between_two_walks_is_refused(path: Path, how: str) -> None:
    path.write_text("emma\n" * 9)
    file = TextFile(path, "x", "utf-8", "none")
    assert "".join(file.blocks()) == "emma\n" * 9
    if how == "is rewritten":
        path.write_text("anna\n" * 9)
        os.utime(path, ns=(1, 1))
    else:
        path.write_text("emma\n" * (10 if how == "grows" else 8))
    with pytest.raises(BadInput) as refused:
        list(file.blocks())
    assert str(refused.value) == "x changed while it was read; start again when nothing writes to it any more"


@pytest.mark.parametrize("size", [0, 3, 4000])
def test_a_file_that_changes_while_it_is_read_is_refused(path: Path, size: int) -> None:
    path.write_text("emma\n" * 50_000)  # more than what is looked at before anything comes out
    textfile.BLOCK_BYTES = 1000
    walk = TextFile(path, "x", "utf-8", "none").blocks()
    next(walk)
    os.truncate(path, size)
    with pytest.raises(BadInput, match=r"^x changed while it was read"):
        list(walk)


def test_a_mark_at_the_start_of_a_later_block_is_a_character(path: Path) -> None:
    textfile.BLOCK_BYTES = textfile.SNIFFED_BYTES
    text = "a" * textfile.SNIFFED_BYTES + "\ufeffb"
    path.write_text(text, encoding="utf-8")
    found = Findings()
    assert "".join(TextFile(path, "x", "utf-8", "none").blocks(found)) == text
    assert not found.has_mark
