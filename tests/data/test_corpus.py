"""Bytes -> documents: what is read as it stands, what is noted, what is refused, and in which words."""

import functools
import gzip
import hashlib
import http.server
import json
import os
import resource
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nextchar.config.compose import run_settings
from nextchar.data.corpus import Corpus, survey
from nextchar.data.load import load
from nextchar.errors import BadInput
from nextchar.training import train as training


@pytest.fixture
def corpus(tmp_path: Path, data):
    """Reads bytes as a file of the user's."""

    def read_as(content: bytes, name: str = "lines", **changed: object) -> Corpus:
        file = tmp_path / "x.txt"
        file.write_bytes(content)
        return survey(data(file, name, **changed))

    return read_as


def documents(corpus: Corpus) -> list[str]:
    if corpus.is_text:
        return ["".join(block for file in corpus.files for block in file.blocks())]
    return list(corpus.texts())


def refusal(data, path: Path | str, name: str = "lines", **changed: object) -> str:
    """What is said of a file that is refused, always on one line; the file is called FILE."""
    with pytest.raises(BadInput) as error:
        survey(data(path, name, **changed))
    said = str(error.value)
    assert len(said.splitlines()) == 1
    return said.replace(str(path), "FILE")


def refusal_of(data, tmp_path: Path, content: bytes, name: str = "lines", **changed: object) -> str:
    file = tmp_path / "x.txt"
    file.write_bytes(content)
    return refusal(data, file, name, **changed)


# --- what is read ---------------------------------------------------------------------------------------------------


def test_a_line_is_a_document_with_or_without_a_newline_at_the_end(corpus) -> None:  # type: ignore[no-untyped-def]
    whole, without = corpus(b"emma\nava\n"), corpus(b"emma\nava")
    assert documents(whole) == documents(without) == ["emma", "ava"]
    assert whole.lines == without.lines == 2
    assert whole.notes == without.notes == []
    assert whole.sha256 == hashlib.sha256(b"emma\nava\n").hexdigest()


def test_the_report_counts_lines_kept_skipped_characters_and_duplicates(corpus) -> None:  # type: ignore[no-untyped-def]
    read_ = corpus(b"emma\n\nava\n\n\nemma\n")
    assert (read_.lines, read_.documents, read_.skipped) == (6, 3, 3)
    assert (read_.characters, read_.duplicates, read_.bytes) == (11, 1, 17)


def test_a_running_text_keeps_its_newlines(corpus) -> None:  # type: ignore[no-untyped-def]
    assert documents(corpus(b"one\n\ntwo\n", "text")) == ["one\n\ntwo\n"]


def test_only_a_newline_ends_a_line(corpus) -> None:  # type: ignore[no-untyped-def]
    line = "a\u2028b\u2029c\u0085d\ve\ff\x1cg\x1dh\x1ei"  # str.splitlines would make nine of it
    assert documents(corpus(f"{line}\nj\n".encode())) == [line, "j"]


def test_a_dot_is_a_character_like_others(corpus) -> None:  # type: ignore[no-untyped-def]
    assert documents(corpus(b"a.b\n.\n")) == ["a.b", "."]


def test_crlf_throughout_becomes_lf(corpus) -> None:  # type: ignore[no-untyped-def]
    read_ = corpus(b"emma\r\nava\r\n")
    assert documents(read_) == ["emma", "ava"]
    assert read_.notes == ["2 lines ended in CRLF; the CR was removed"]


def test_mixed_line_ends_are_kept_and_counted(corpus) -> None:  # type: ignore[no-untyped-def]
    read_ = corpus(b"emma\r\nava\nmia\rzoe\n")
    assert documents(read_) == ["emma\r", "ava", "mia\rzoe"]
    assert "1 of 3 lines end in CRLF and 1 CR stand elsewhere; all were kept" in read_.notes


def test_a_mark_at_the_start_is_dropped_and_elsewhere_kept(corpus) -> None:  # type: ignore[no-untyped-def]
    start, inside = corpus("\ufeffemma\n".encode()), corpus("em\ufeffma\n".encode())
    assert documents(start) == ["emma"]
    assert start.notes == ["removed the byte order mark at the start of the file"]
    assert documents(inside) == ["em\ufeffma"]
    assert inside.notes == ["1 byte order marks inside the text were kept as characters"]


def test_nuls_are_kept_and_said(corpus) -> None:  # type: ignore[no-untyped-def]
    assert corpus(b"em\0ma\n" + b"emma\n" * 20).notes == ["1 NUL characters were kept"]
    many = corpus(b"ab\0\0\0\0cd\n")
    assert documents(many) == ["ab\0\0\0\0cd"]
    assert many.notes == ["4 NUL characters were kept (is this a binary file, or UTF-16?)"]
    assert documents(corpus(b"\0" * 64)) == ["\0" * 64], "zeros all over are no sign of UTF-16"


def test_white_space_is_kept_and_said(corpus) -> None:  # type: ignore[no-untyped-def]
    read_ = corpus(b"emma \nava\t\n  \nmia\n")
    assert documents(read_) == ["emma ", "ava\t", "  ", "mia"]
    assert read_.notes == [
        "2 lines end in a space or tab, which was kept: 'emma ' is not 'emma'",
        "1 lines contain only white space and were kept",
    ]


def test_unicode_is_kept_as_it_is_unless_asked(corpus) -> None:  # type: ignore[no-untyped-def]
    composed, apart = "é\n", "e\u0301\n"
    kept = corpus((composed + apart + "ﬁ\n").encode())
    assert documents(kept) == ["é", "e\u0301", "ﬁ"]
    assert any("data.normalize=nfc" in note for note in kept.notes)
    assert documents(corpus((composed + apart + "ﬁ\n").encode(), normalize="nfc")) == ["é", "é", "ﬁ"]
    assert documents(corpus((composed + apart + "ﬁ\n").encode(), normalize="nfkc")) == ["é", "é", "fi"]
    assert corpus(composed.encode()).notes == []


def test_a_family_is_seven_code_points(corpus) -> None:  # type: ignore[no-untyped-def]
    (family,) = documents(corpus("👨‍👩‍👧‍👦\n".encode()))
    assert len(family) == 7


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-32", "cp1252", "shift_jis"])
def test_other_encodings_when_named(corpus, encoding: str) -> None:  # type: ignore[no-untyped-def]
    word = "日本" if encoding == "shift_jis" else "été"
    assert documents(corpus(f"{word}\nava\n".encode(encoding), encoding=encoding)) == [word, "ava"]


def test_gz_is_known_by_its_first_bytes(tmp_path: Path, data) -> None:
    packed = gzip.compress(b"emma\n") + gzip.compress("olivia\né".encode())  # a .gz file may have several members
    for name in ("names.gz", "names.txt"):
        (tmp_path / name).write_bytes(packed)
        read_ = survey(data(tmp_path / name))
        assert documents(read_) == ["emma", "olivia", "é"]
        assert read_.sha256 == hashlib.sha256(packed).hexdigest(), "of the file as it lies there"


def test_the_embedded_names(data) -> None:
    names = survey(data(None, "names"))
    assert (names.documents, names.duplicates, len(set(names.texts()))) == (32_257, 32_257 - 29_693, 29_693)
    assert set("".join(names.texts())) == set("abcdefghijklmnopqrstuvwxyz")
    assert names.notes == []
    assert "/" not in names.source, "the report names no path of this machine"


@pytest.mark.parametrize("content", [b"a", b"aaaa\n", b"ab\nab\nab\n"])
def test_one_character_and_equal_lines_work(corpus, content: bytes) -> None:  # type: ignore[no-untyped-def]
    assert documents(corpus(content)) == content.decode().split()


def test_what_a_run_reports(tmp_path: Path, data) -> None:
    file = tmp_path / "x.txt"
    file.write_text("\n".join(["ab", "ba", ""] * 20) + "\n")
    report = load(data(file, split="lecture")).report
    assert (report.lines, report.kept, report.skipped, report.duplicates) == (60, 40, 20, 38)
    assert (report.characters, report.vocabulary) == (80, 2)
    assert report.documents == {"train": 32, "val": 4, "test": 4}
    assert report.predicted == {"train": 96, "val": 12, "test": 12}, "a document's end is predicted too"
    assert report.in_train == {"val": 4, "test": 4}, "the overlap between the parts"
    assert load(data(file, split="all")).report.left_out == {}


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "lines"), [(b"", 0), (b"\n\n\n", 3), (b"\xef\xbb\xbf", 0), (b"\r\n\r\n", 2)])
def test_no_text(tmp_path: Path, content: bytes, lines: int, data) -> None:
    said = f"data.path=FILE: no text: 0 non-empty lines in {lines} lines"
    assert refusal_of(data, tmp_path, content) == refusal_of(data, tmp_path, content, "text") == said


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"emma\nolivi\xffa\n", "line 2, byte 6: not valid utf-8 (0xff)"),
        ("emma\né\n".encode("latin-1"), "line 2, byte 1: not valid utf-8 (0xe9)"),
        (b"a\xed\xa0\x80\n", "line 1, byte 2: not valid utf-8 (0xed)"),  # an encoded surrogate
        (b"a\xc3", "line 1, byte 2: not valid utf-8 (0xc3)"),  # cut off inside a character
    ],
)
def test_invalid_utf8_is_named_by_line_and_byte(tmp_path: Path, content: bytes, where: str, data) -> None:
    remedy = "Save the file as UTF-8, or name its encoding, as in data.encoding=latin-1"
    assert refusal_of(data, tmp_path, content) == f"data.path=FILE: {where}. {remedy}"


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
    ],
)
def test_wide_encodings_are_recognised(tmp_path: Path, encoding: str, named: str, data) -> None:
    said = refusal_of(data, tmp_path, "emma\nolivia\n".encode(encoding))
    assert said == f"data.path=FILE looks like {named.upper()}; set data.encoding={named}"
    assert documents(survey(data(tmp_path / "x.txt", encoding=named))) == ["emma", "olivia"], "the advice helps"


def test_a_wrong_encoding_is_named(tmp_path: Path, data) -> None:
    assert "not valid ascii (0xc3)" in refusal_of(data, tmp_path, "é\n".encode(), encoding="ascii")
    assert "not valid utf-16" in refusal_of(data, tmp_path, b"abc", encoding="utf-16")


def test_what_is_no_character_is_refused(tmp_path: Path, data) -> None:
    said = refusal_of(data, tmp_path, rb"a\ud800b", encoding="unicode_escape")
    assert said == "data.path=FILE contains half a character (a lone surrogate, U+D800), which is not text"


def test_lone_cr(tmp_path: Path, data) -> None:
    assert "lines end in a lone CR" in refusal_of(data, tmp_path, b"emma\rolivia\r")


@pytest.mark.parametrize("cut", [5, -9, -1])
def test_a_damaged_gz(tmp_path: Path, cut: int, data) -> None:
    assert "the .gz file is damaged or cut off" in refusal_of(data, tmp_path, gzip.compress(b"emma\n" * 99)[:cut])
    assert "damaged" in refusal_of(data, tmp_path, gzip.compress(b"emma\n") + b"rubbish")


def test_a_folder(tmp_path: Path, data) -> None:
    said = "data.path=FILE is a folder without files; name a file, or a folder of files"
    assert refusal(data, tmp_path) == said
    (tmp_path / "inner").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert refusal(data, tmp_path) == said


def test_a_pipe_is_refused_at_once(tmp_path: Path, data) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "FILE is not a regular file (a pipe or a device)" in refusal(data, tmp_path / "pipe")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/stdin"])
def test_a_device_is_refused_at_once(device: str, data) -> None:
    assert "FILE" in refusal(data, device)


def test_a_missing_file_and_the_nearest_name(tmp_path: Path, data) -> None:
    (tmp_path / "names.txt").touch()
    assert refusal(data, tmp_path / "nmaes.txt") == "data.path=FILE: no such file. Did you mean names.txt?"
    assert refusal(data, tmp_path / "zzz") == "data.path=FILE: no such file."
    said = refusal(data, tmp_path / "no" / "names.txt")
    assert said == f"data.path=FILE: no such file. There is no folder {tmp_path / 'no'}"


@pytest.mark.parametrize("name", ["a" * 300, "x.txt/y", "a\nb"])
def test_odd_paths_are_one_line(tmp_path: Path, name: str, data) -> None:
    (tmp_path / "x.txt").touch()
    assert refusal(data, tmp_path / name).startswith("data.path=")


def test_a_file_that_cannot_be_opened(data, tmp_path: Path) -> None:
    """For want of file descriptors, because root may read everything."""
    (tmp_path / "x.txt").write_text("emma")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        said = refusal(data, tmp_path / "x.txt")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert said == "data.path=FILE cannot be read: Too many open files"


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "x.txt"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=80),
        st.text(max_size=20).flatmap(lambda t: st.sampled_from([t.encode(e) for e in ("utf-8", "utf-16", "utf-32")])),
        st.binary(max_size=40).map(lambda b: gzip.compress(b)[: 18 + len(b) // 2]),
        st.binary(max_size=40).map(gzip.compress),
    ),
    st.sampled_from(["lines", "text"]),
    st.sampled_from(["utf-8", "latin-1", "ascii", "utf-16", "utf-7", "idna", "unicode_escape", "undefined"]),
    st.sampled_from(["none", "nfc", "nfkc"]),
)
@example(b"\x1f\x8b", "lines", "utf-8", "none")
def test_any_bytes_are_a_corpus_or_one_line(
    data, fuzzed: Path, raw: bytes, name: str, encoding: str, form: str
) -> None:
    fuzzed.write_bytes(raw)
    try:
        corpus = survey(data(fuzzed, name, encoding=encoding, normalize=form))
    except BadInput as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert refused.isprintable()
        return
    assert corpus.characters > 0
    texts = documents(corpus)
    assert all(texts)
    assert len(texts) == corpus.documents
    assert all(note.isprintable() for note in corpus.notes)
    if name == "lines":
        assert not any("\n" in document for document in texts)
        assert corpus.documents + corpus.skipped == corpus.lines
    if form != "none":
        assert all(unicodedata.is_normalized(form.upper(), document) for document in texts)  # type: ignore[arg-type]


# --- a vocabulary of 100,000 characters -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many_characters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    characters = "".join(chr(code) for code in range(0x3400, 0x1C400) if not 0xD800 <= code <= 0xDFFF)[:100_000]
    file = tmp_path_factory.mktemp("many") / "x.txt"
    file.write_text("\n".join(characters[i : i + 20] for i in range(0, len(characters), 20)))
    return file


def test_counting_stores_only_the_pairs_that_occur(many_characters: Path, tmp_path: Path, project) -> None:
    """Pictures and samples included, in 2 GiB of address space; a table of all pairs would take 75 GiB."""
    argv = ["data=lines", f"data.path={many_characters}", "data.split=all", "smoothing.k=1e-6"]
    ended = subprocess.run(
        [sys.executable, project / "scripts" / "train.py", *argv, f"hydra.run.dir={tmp_path / 'run'}"],
        capture_output=True,
        timeout=600,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)),
    )
    assert ended.returncode == 0, ended.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["data"]["vocabulary"] == 100_000
    assert any(name.startswith("figures/") for name in record["files"])


def test_a_net_for_so_many_is_refused_before_there_is_a_folder(many_characters: Path, tmp_path: Path) -> None:
    argv = ["model=nn", "data=lines", f"data.path={many_characters}", "data.split=all"]
    settings = run_settings(argv)
    with pytest.raises(BadInput, match=r"^model=nn for 100,000 distinct characters needs about 261 GiB, more than"):
        training.train(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- what is downloaded ---------------------------------------------------------------------------------------------

NAMES = b"\n".join(b"name%d" % i for i in range(200)) + b"\n"
DIGEST = hashlib.sha256(NAMES).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.HTTPServer]:
    """Serves names.txt on loopback; the cache is an empty folder of the test's."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "names.txt").write_bytes(NAMES)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    handler = functools.partial(Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=[0.01])
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def url(server: http.server.HTTPServer, name: str = "names.txt") -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{name}"


@pytest.mark.parametrize("name", ["makemore", "shakespeare"])
def test_downloaded_once_and_then_kept(server: http.server.HTTPServer, tmp_path: Path, name: str, data) -> None:
    wanted = data(None, name, url=url(server), sha256=DIGEST)
    first = survey(wanted)
    assert first.sha256 == DIGEST
    assert documents(first) == ([NAMES.decode()] if name == "shakespeare" else NAMES.decode().split())
    assert list((tmp_path / "cache").rglob(f"{name}*")), "it lies in the user's cache"
    server.shutdown()
    server.server_close()
    assert documents(survey(wanted)) == documents(first), "the second time without the network"


def test_a_damaged_copy_in_the_cache_is_not_trusted(server: http.server.HTTPServer, tmp_path: Path, data) -> None:
    wanted = data(None, "makemore", url=url(server), sha256=DIGEST)
    survey(wanted)
    (copy,) = (tmp_path / "cache").rglob("makemore*")
    copy.write_bytes(NAMES + b"evil\n")
    assert survey(wanted).sha256 == DIGEST


def test_a_run_is_measured_on_the_copy_in_the_cache_if_that_is_sound(
    server: http.server.HTTPServer, tmp_path: Path, data
) -> None:
    wanted = data(None, "makemore", url=url(server), sha256=DIGEST)
    with pytest.raises(BadInput, match="the run's text is not in the cache"):
        survey(wanted, download=False)
    first = survey(wanted)
    assert documents(survey(wanted, download=False)) == documents(first)
    (copy,) = (tmp_path / "cache").rglob("makemore*")
    copy.write_bytes(NAMES + b"evil\n")
    with pytest.raises(BadInput, match="the run's text is not in the cache"):
        survey(wanted, download=False)


def test_another_digest_is_refused(server: http.server.HTTPServer, tmp_path: Path, data) -> None:
    with pytest.raises(BadInput, match="the file there has another sha256"):
        survey(data(None, "makemore", url=url(server), sha256="0" * 64))
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()], "nothing is left of it"


@pytest.mark.parametrize("name", ["makemore", "shakespeare"])
def test_offline_the_way_out_is_named(server: http.server.HTTPServer, name: str, data) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(BadInput) as error:
        survey(data(None, name, url=url(server), sha256=DIGEST))
    kind = "text" if name == "shakespeare" else "lines"
    assert str(error.value) == (
        f"data={name}: {url(server)} could not be downloaded (ConnectionError); "
        f"with a copy of the file at hand: data={kind} data.path=FILE"
    )


@pytest.mark.parametrize("where", ["missing.txt", ""])
def test_a_page_that_is_not_there(server: http.server.HTTPServer, where: str, data) -> None:
    with pytest.raises(BadInput, match=r"could not be downloaded .* data=lines data\.path=FILE$"):
        survey(data(None, "makemore", url=url(server, where), sha256=DIGEST))


@pytest.mark.parametrize("strange", ["file:///etc/passwd", "/etc/passwd", "nonsense", "doi:x", ""])
def test_only_the_web_is_downloaded_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strange: str, data) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(BadInput):
        survey(data(None, "makemore", url=strange, sha256=DIGEST))


def test_a_cache_that_cannot_be_written(
    server: http.server.HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BadInput, match="could not be downloaded"):
        survey(data(None, "makemore", url=url(server), sha256=DIGEST))
