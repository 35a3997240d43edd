"""A run folder from a stranger opens as the model that was saved or is refused in one line, and never runs code."""

import copy
import hashlib
import json
import os
import pickle
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import safetensors.numpy
from audit import watched
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nextchar.config.compose import run_settings
from nextchar.errors import BadInput
from nextchar.models.base import LanguageModel
from nextchar.runs.reading import open_losses, open_record
from nextchar.runs.record import FileRecord
from nextchar.runs.run import open_run
from nextchar.training import train as training

WEIGHTS, RECORD = "weights.safetensors", "run.json"
ALPHABET = 3  # distinct characters; V is one more

# --- run folders ----------------------------------------------------------------------------------------------------


def count_run(folder: Path) -> None:
    text = folder.parent / f"{folder.name}.txt"
    text.write_text("abc\ncab\nbb\n" * 7)
    argv = ["data=lines", f"data.path={text}", "data.split=all", "figures=false"]
    trained = run_settings(argv)
    training.train(trained, folder)


def nn_run(folder: Path, count: Path) -> None:
    """A run of a net without training: the record of a counted run with a net's settings and weights."""
    folder.mkdir()
    record = json.loads((count / RECORD).read_text())
    text = record["settings"]["data"]["path"]
    argv = ["model=nn", "data=lines", f"data.path={text}", "data.split=all"]
    record["settings"] = run_settings(argv).plain()
    weights = np.arange((ALPHABET + 1) ** 2, dtype=np.float32).reshape(ALPHABET + 1, ALPHABET + 1)
    write_run(folder, record, safetensors.numpy.save({"W": weights}))


def write_run(folder: Path, record: dict[str, Any], weights: bytes) -> None:
    """A run folder whose record has the digest of these weights."""
    (folder / WEIGHTS).write_bytes(weights)
    record["files"][WEIGHTS] = {"size": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}
    (folder / RECORD).write_text(json.dumps(record))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A sound run of each kind; tests work on copies."""
    folder = tmp_path_factory.mktemp("runs")
    count_run(folder / "count")
    nn_run(folder / "nn", folder / "count")
    for kind in ("count", "nn"):  # imports all that opening needs, so that later imports are suspicious
        predictions(folder / kind)
    return {kind: folder / kind for kind in ("count", "nn")}


@pytest.fixture
def run(runs: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs["count"], tmp_path / "run"))


@pytest.fixture
def net(runs: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs["nn"], tmp_path / "net"))


def opened(folder: Path) -> LanguageModel:
    return open_run(folder).model


def predictions(folder: Path) -> np.ndarray:
    """(V, V) log-probabilities."""
    model = opened(folder)
    return model.log_probs(np.arange(len(model.vocabulary))[:, None])


def refusal(folder: Path) -> str:
    """The line that refuses to open the folder. Checks that only files were read."""
    with watched() as seen, pytest.raises(BadInput) as error:
        opened(folder)
    assert all(what.startswith("read ") for what in seen), seen
    assert len(str(error.value).splitlines()) == 1
    return str(error.value).replace(str(folder), "RUN")


def edited(folder: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """The folder with its record changed."""
    record = json.loads((folder / RECORD).read_text())
    edit(record)
    (folder / RECORD).write_text(json.dumps(record))
    return folder


def with_tensors(folder: Path, **tensors: np.ndarray) -> Path:
    write_run(folder, json.loads((folder / RECORD).read_text()), safetensors.numpy.save(tensors))
    return folder


def with_header(folder: Path, header: bytes, data: bytes = b"") -> Path:
    content = len(header).to_bytes(8, "little") + header + data
    write_run(folder, json.loads((folder / RECORD).read_text()), content)
    return folder


# --- it opens -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["count", "nn"])
def test_a_sound_run_opens_and_only_two_files_are_read(runs: dict[str, Path], kind: str) -> None:
    with watched() as seen:
        log_probs = predictions(runs[kind])
    assert seen == [f"read {runs[kind] / RECORD}", f"read {runs[kind] / WEIGHTS}"]
    assert np.exp(log_probs).sum(1) == pytest.approx(1, abs=1e-12)
    if kind == "nn":
        assert (np.argmax(log_probs, 1) == ALPHABET).all(), "the weights are those that were written"


def test_a_counted_run_opens_to_the_counts_of_its_text(runs: dict[str, Path]) -> None:
    # after a: b 7, end 0, c 0 ... of abc, cab, bb: (a, b) 14 of 14; add-one with V = 4
    after_a = np.exp(predictions(runs["count"])[1])
    assert after_a == pytest.approx([1 / 18, 1 / 18, 15 / 18, 1 / 18])


# --- no code --------------------------------------------------------------------------------------------------------


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("where", [WEIGHTS, RECORD])
def test_a_pickle_is_not_loaded(run: Path, where: str) -> None:
    bomb = pickle.dumps(Bomb(run / "exploded"))
    if where == WEIGHTS:
        write_run(run, json.loads((run / RECORD).read_text()), bomb)
    else:
        (run / RECORD).write_bytes(bomb)
    assert where in refusal(run)
    assert not (run / "exploded").exists()


def test_a_pickled_checkpoint_is_not_loaded_either(net: Path, runs: dict[str, Path], run_script) -> None:
    """Users resume their own runs, but may mistake a folder for their own."""
    (net / "settings.json").write_text(json.dumps(json.loads((net / RECORD).read_text())["settings"]))
    (net / RECORD).unlink()
    (net / "checkpoints").mkdir()
    (net / "checkpoints" / "last.ckpt").write_bytes(pickle.dumps(Bomb(net / "exploded"), protocol=2))
    ended = run_script("train", f"resume={net}")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("error: ")
    assert not (net / "exploded").exists()


@pytest.mark.parametrize(
    ("place", "value", "key"),
    [
        ((), {"_target_": "os.system"}, "_target_"),
        (("settings",), {"_target_": "os.system"}, "settings._target_"),
        (("settings", "model"), {"_target_": "os.system"}, "settings.model._target_"),
        (("settings", "model"), {"net": "os:system"}, "settings.model.net"),
        (("settings", "model"), {"name": "os.system"}, "settings.model"),
        (("settings", "smoothing"), {"name": "none", "k": 1}, "settings.smoothing.k"),
    ],
)
def test_a_config_can_name_nothing_but_ours(run: Path, place: tuple[str, ...], value: dict[str, Any], key: str) -> None:
    def edit(record: dict[str, Any]) -> None:
        for part in place:
            record = record[part]
        record.update(value)

    assert refusal(edited(run, edit)).startswith(f"RUN/run.json: {key}")


def test_a_reference_to_the_environment_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")

    def edit(record: dict[str, Any]) -> None:
        record["settings"]["data"]["path"] = "/x/${oc.env:SECRET}"

    said = refusal(edited(run, edit))
    assert said == "RUN/run.json: settings are plain values, not references like ${oc.env:SECRET}"


def test_evaluate_shows_nothing_of_a_file_that_a_stranger_names(run: Path, tmp_path: Path, run_script) -> None:
    """The record names a file of the reader. The stranger does not know its digest, so it is not read."""
    secret = tmp_path / "secret.txt"
    secret.write_text("s3cr3t ü\n" * 20)
    folder = edited(run, lambda record: record["settings"]["data"].update(name="lines", path=str(secret), split="all"))
    ended = run_script("evaluate", f"run={folder}")
    assert ended.returncode == 2
    assert "has changed since the run was trained on it" in ended.stderr
    assert "s3cr3t" not in ended.stdout + ended.stderr
    typed = run_script("evaluate", f"run={folder}", f"data.path={secret}")
    assert "unknown to the model" in typed.stderr


# --- run.json -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "schema_version is missing"),
        (b'{"a": 1, "a": 2}', "a key occurs twice"),
        (b'{"a": {"b": 1, "b": 1}}', "a key occurs twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a":' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not valid JSON"),
        (b"\xff\xfe\xff", "not valid JSON"),
        (b"\0" * 100, "not valid JSON"),
    ],
    ids=range(11),
)
def test_a_record_that_is_no_record(run: Path, content: bytes, says: str) -> None:
    (run / RECORD).write_bytes(content)
    assert says in refusal(run)


def test_a_huge_record_is_not_read(run: Path) -> None:
    with (run / RECORD).open("wb") as file:
        file.truncate(1 << 40)  # a sparse file of 1 TiB
    said, peak = refusal_and_peak(run)
    assert said == "RUN/run.json: 1,099,511,627,776 bytes; the limit is 16,777,216"
    assert peak < 1 << 20


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("schema_version", 2, "schema_version=2: must be 1."),
        ("status", "great", "status=great: must be finished, pruned, diverged, interrupted or failed."),
        ("status", "diverged", "run=RUN: the run ended as 'diverged' and left no weights"),
        ("vocabulary", "aa", "the vocabulary contains a character twice"),
        ("vocabulary", "ab", "keys_1 are out of order or range"),
        ("vocabulary", ["a", "b", "c"], "vocabulary=['a', 'b', 'c']: must be text."),
        ("files", {}, "run.json lists no weights"),
        ("files", {WEIGHTS: {"size": 0, "sha256": ""}}, "0 bytes do not fit this model"),
        ("files", {WEIGHTS: {"size": -1, "sha256": ""}}, "-1 bytes do not fit this model"),
        ("files", {WEIGHTS: {"size": 10**15, "sha256": ""}}, "more than half of this machine's"),
        ("files", {WEIGHTS: {"size": "1", "sha256": ""}}, "files"),
        ("files", {"../x": {"size": 1, "sha256": ""}}, "files: ../x is not in the run folder"),
        ("vocabulary", "ab\ud800", "half a character"),
        ("status", "\ud800", "half a character"),
        ("metrics", {"test/loss": 10**400}, "an integer of 401 digits"),
        ("files", {WEIGHTS: {"size": 10**20 - 1, "sha256": ""}}, "more than half of this machine's"),
        ("files", {WEIGHTS: {"size": 10**400, "sha256": ""}}, "an integer of 401 digits"),
        ("surprise", 1, "there is no setting surprise"),
    ],
)
def test_a_wrong_record_is_refused_by_key(run: Path, key: str, value: Any, says: str) -> None:
    assert says in refusal(edited(run, lambda record: record.update({key: value})))


def test_what_is_no_run_folder(tmp_path: Path, run: Path) -> None:
    assert refusal(tmp_path / "nothing") == "run=RUN does not exist; name a run folder, such as one under outputs/"
    assert refusal(run / RECORD) == "run=RUN is not a folder; name the run folder, not a file in it"
    assert refusal(tmp_path) == "run=RUN is no run folder: it holds no run.json"
    assert "File name too long" in refusal(tmp_path / ("a" * 300))
    (run / RECORD).unlink()
    assert refusal(run) == "run=RUN holds no run.json: the run has not ended, or was killed; resume=RUN goes on with it"
    (run / WEIGHTS).unlink()


@pytest.mark.parametrize("name", [RECORD, WEIGHTS])
def test_links_and_pipes_are_not_followed(run: Path, tmp_path: Path, name: str) -> None:
    (run / name).rename(tmp_path / "elsewhere")
    (run / name).symlink_to(tmp_path / "elsewhere")
    assert refusal(run) == f"RUN/{name}: a symbolic link is not followed"
    (run / name).unlink()
    (run / name).symlink_to("/dev/zero")
    assert refusal(run) == f"RUN/{name}: a symbolic link is not followed"
    (run / name).unlink()
    os.mkfifo(run / name)
    assert refusal(run) == f"RUN/{name}: not a regular file"
    (run / name).unlink()
    (run / name).mkdir()
    assert refusal(run) == f"RUN/{name}: not a regular file"


# --- weights.safetensors --------------------------------------------------------------------------------------------


def refusal_and_peak(folder: Path) -> tuple[str, int]:
    """The refusal, and the most bytes that Python and numpy held."""
    tracemalloc.start()
    try:
        return refusal(folder), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_weights_with_another_digest_than_in_the_record(run: Path) -> None:
    content = bytearray((run / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (run / WEIGHTS).write_bytes(content)
    assert refusal(run) == f"RUN/{WEIGHTS} is not the file recorded in run.json (size or sha256 differ)"
    (run / WEIGHTS).write_bytes(content + b"x")
    assert "the limit is" in refusal(run)
    (run / WEIGHTS).unlink()
    assert refusal(run) == f"RUN/{WEIGHTS}: No such file or directory"


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"W": np.zeros((4, 5), np.float32)}, "W is F32 [4, 5]; this model has F32 [4, 4]"),
        ({"W": np.zeros((16,), np.float32)}, "W is F32 [16]; this model has F32 [4, 4]"),
        ({"W": np.zeros((4, 4), np.float64)}, "W is F64 [4, 4]; this model has F32 [4, 4]"),
        ({"W": np.zeros((4, 4), np.int64)}, "W is I64 [4, 4]; this model has F32 [4, 4]"),
        ({"w": np.zeros((4, 4), np.float32)}, "holds ['w'], this model has ['W']"),
        ({"W": np.zeros((4, 4), np.float32), "x": np.zeros(1)}, "holds ['W', 'x'], this model has ['W']"),
        ({"W": np.full((4, 4), np.nan, np.float32)}, "W holds nan or inf"),
        ({"W": np.full((4, 4), np.inf, np.float32)}, "W holds nan or inf"),
    ],
)
def test_wrong_tensors_of_a_net(net: Path, tensors: dict[str, np.ndarray], says: str) -> None:
    assert refusal(with_tensors(net, **tensors)) == f"RUN/{WEIGHTS}: {says}"


SOUND = {
    "parameters": np.ones((2, 1)),
    "keys_1": np.array([0, 1, 2, 3], np.uint8),
    "counts_1": np.array([1, 1, 1, 1], np.uint8),
    "keys_2": np.array([0b0001, 0b0110, 0b1011, 0b1100], np.uint8),
    "counts_2": np.array([1, 1, 1, 1], np.uint8),
}
NOT_COUNTS, NOT_KEYS = "counts_2 are not the positive counts of keys_2", "keys_2 are out of order or range"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"counts_2": np.array([1, 1, 1, 0], np.uint8)}, NOT_COUNTS),
        ({"counts_2": np.array([1, 1, 1, 2**64 - 1], np.uint64)}, NOT_COUNTS),
        ({"counts_2": np.full(4, 2**62, np.uint64)}, NOT_COUNTS),  # more than an int64 can sum
        ({"counts_2": np.array([1, 1, 1], np.uint8)}, NOT_COUNTS),
        ({"keys_2": np.array([1, 3, 2, 4], np.uint8)}, NOT_KEYS),
        ({"keys_2": np.array([1, 2, 2, 4], np.uint8)}, NOT_KEYS),
        ({"keys_1": np.zeros(0, np.uint8), "counts_1": np.zeros(0, np.uint8)}, "keys_1 holds nothing"),
        ({"parameters": np.full((2, 1), -1.0)}, "parameters are not those of the smoothing method"),
        ({"parameters": np.full((2, 1), 1e300)}, "parameters are not those of the smoothing method"),
        ({"parameters": np.ones((2, 2))}, "parameters are not those of the smoothing method"),
        ({"parameters": np.full((2, 1), np.nan)}, "parameters holds nan or inf"),
    ],
)
def test_counts_that_no_text_has(run: Path, changed: dict[str, np.ndarray], says: str) -> None:
    assert refusal(with_tensors(run, **SOUND | changed)) == f"RUN/{WEIGHTS}: {says}"


def test_keys_beyond_the_vocabulary(run: Path) -> None:
    """Three ids take two bits each, which could hold a fourth."""
    folder = edited(with_tensors(run, **SOUND), lambda record: record.update(vocabulary="ab"))
    assert refusal(folder) == f"RUN/{WEIGHTS}: keys_1 are out of order or range"


HUGE = 10**18
FULL = b'{"U":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}}'


NOT_VALID = "not a valid safetensors file"


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b'{"W":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}', NOT_VALID),
        (b'{"W":{"dtype":"F32","shape":[%d,0],"data_offsets":[0,0]}}' % HUGE, NOT_VALID),
        (b'{"W":{"dtype":"F32","shape":[%d,%d],"data_offsets":[0,0]}}' % (HUGE, HUGE), NOT_VALID),
        (b'{"W":{"dtype":"F32","shape":[%d,0],"data_offsets":[0,0]},' % HUGE + FULL[1:], "holds ['U', 'W']"),
        (b'{"W":{"dtype":"F32","shape":[4,4],"data_offsets":[0,%d]}}' % HUGE, NOT_VALID),
        (b'{"W":{"dtype":"F32","shape":[4,4],"data_offsets":[64,0]}}', NOT_VALID),
        (b'{"W":{"dtype":"F32","shape":[4,4],"data_offsets":[-1,63]}}', NOT_VALID),
        (b'{"W":{"dtype":"F32","shape":[4.0,4],"data_offsets":[0,64]}}', NOT_VALID),
        (b'{"W":{"dtype":"F32","shape":[true,4],"data_offsets":[0,64]}}', NOT_VALID),
        (b'{"W":{"dtype":"BF16","shape":[8,4],"data_offsets":[0,64]}}', "W is BF16 [8, 4]; this model has F32 [4, 4]"),
        (b'{"W":{"dtype":"F32","shape":"4,4","data_offsets":[0,64]}}', NOT_VALID),
        (b'{"W":[1,2]}', NOT_VALID),
        (b'{"W":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]},"W":{}}', NOT_VALID),
        (b"[" * 50_000, NOT_VALID),
        (b'"W"', NOT_VALID),
    ],
    ids=range(15),
)
def test_hostile_headers(net: Path, header: bytes, says: str) -> None:
    said, peak = refusal_and_peak(with_header(net, header, bytes(64)))
    assert says in said
    assert peak < 4 << 20, "no memory is taken for what a header claims"


def test_a_header_that_names_a_tensor_twice_opens_as_one_of_them(net: Path) -> None:
    """safetensors takes the last one. The digest fixes the bytes, so every reader of this file sees the same model."""
    twice = b'{"W":{"dtype":"F32","shape":[2,8],"data_offsets":[0,64]},"W":%s' % FULL.partition(b":")[2]
    assert np.allclose(np.exp(predictions(with_header(net, twice, bytes(64)))), 0.25)


def test_a_header_longer_than_the_file(net: Path) -> None:
    for size in (2**63, 2**64 - 1, 100, 65_537):
        content = size.to_bytes(8, "little") + b"{}"
        write_run(net, json.loads((net / RECORD).read_text()), content)
        assert f"RUN/{WEIGHTS}: {NOT_VALID}" in refusal(net)


def test_a_huge_vocabulary_does_not_take_the_memory_of_its_table(net: Path) -> None:
    characters = "".join(map(chr, range(0xE000, 0xE000 + 200_000)))  # a table of 149 GiB
    said, peak = refusal_and_peak(edited(net, lambda record: record.update(vocabulary=characters)))
    assert "W is F32 [4, 4]; this model has F32 [200001, 200001]" in said
    assert peak < 64 << 20


def test_a_huge_file_is_not_read(net: Path) -> None:
    characters = "".join(map(chr, range(0xE000, 0xE000 + 500_000)))
    size = 4 * 500_001**2  # what a table of so many characters takes: 931 GiB, of holes
    with (net / WEIGHTS).open("wb") as file:
        file.truncate(size)
    files = {WEIGHTS: {"size": size, "sha256": "0" * 64}}
    said, peak = refusal_and_peak(edited(net, lambda record: record.update(vocabulary=characters, files=files)))
    assert f"RUN/{WEIGHTS} needs about 931 GiB, more than half of" in said
    assert peak < 64 << 20


# --- anything at all ------------------------------------------------------------------------------------------------

FUZZ = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MUTATION = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "insert", "copy"]), st.floats(0, 1), st.binary(min_size=1, max_size=8)),
    min_size=1,
    max_size=3,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9) | st.just("count"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def mutated(content: bytes, mutations: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, junk in mutations:
        at = int(where * len(content))
        if kind == "flip":
            content = content[:at] + junk + content[at + len(junk) :]
        elif kind == "cut":
            content = content[:at]
        elif kind == "insert":
            content = content[:at] + junk + content[at:]
        else:
            content = content[:at] + content[at // 2 : at] + content[at:]
    return content


def opens_or_is_refused(folder: Path) -> np.ndarray | None:
    """The predictions if the folder opens, None if it is refused in one line; anything else is an error."""
    log_probs = None
    with watched() as seen:
        try:
            log_probs = predictions(folder)
        except BadInput as error:
            said = str(error)
    codecs = "import encodings."  # Python looks up the encoding that is named
    fuzzer = f"read {Path(hypothesis.__file__).parent}"
    assert all(what.startswith((f"read {folder}", codecs, fuzzer)) for what in seen), seen
    assert log_probs is not None or len(said.splitlines()) == 1
    return log_probs


@FUZZ
@given(kind=st.sampled_from(["count", "nn"]), mutations=MUTATION)
def test_mutated_weights_are_refused_or_unchanged(
    runs: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    mutations: list[tuple[str, float, bytes]],
) -> None:
    sound = runs[kind]
    folder = tmp_path_factory.getbasetemp() / f"mutated-{kind}"
    shutil.copytree(sound, folder, dirs_exist_ok=True)
    content = (sound / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(changed := mutated(content, mutations))
    log_probs = opens_or_is_refused(folder)
    assert (log_probs is not None) == (changed == content)
    if log_probs is not None:
        assert (log_probs == predictions(sound)).all()


@FUZZ
@given(kind=st.sampled_from(["count", "nn"]), mutations=MUTATION)
def test_mutated_weights_with_their_digest_are_refused_or_a_model(
    runs: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    mutations: list[tuple[str, float, bytes]],
) -> None:
    """A stranger would do so: run.json has the digest of the changed file."""
    sound = runs[kind]
    folder = tmp_path_factory.getbasetemp() / f"digest-{kind}"
    shutil.copytree(sound, folder, dirs_exist_ok=True)
    write_run(folder, json.loads((sound / RECORD).read_text()), mutated((sound / WEIGHTS).read_bytes(), mutations))
    log_probs = opens_or_is_refused(folder)
    if log_probs is not None:
        assert np.exp(log_probs).sum(1) == pytest.approx(1, abs=1e-9)


@FUZZ
@given(kind=st.sampled_from(["count", "nn"]), mutations=MUTATION)
@example(kind="count", mutations=[("flip", 0.1663787067515439, b"\\")])  # a key that holds a backspace
def test_mutated_bytes_of_the_record(
    runs: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    mutations: list[tuple[str, float, bytes]],
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"bytes-{kind}"
    shutil.copytree(runs[kind], folder, dirs_exist_ok=True)
    (folder / RECORD).write_bytes(mutated((runs[kind] / RECORD).read_bytes(), mutations))
    opens_or_is_refused(folder)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value in a tree of JSON."""
    yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places(inner, (*at, key))


@FUZZ
@given(data=st.data(), kind=st.sampled_from(["count", "nn"]), value=JSON, what=st.sampled_from(["put", "drop", "add"]))
def test_mutated_values_of_the_record(
    runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, data: Any, kind: str, value: Any, what: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"values-{kind}"
    shutil.copytree(runs[kind], folder, dirs_exist_ok=True)
    record = json.loads((runs[kind] / RECORD).read_text())
    *way, last = data.draw(st.sampled_from([at for at in places(record) if at]))
    here = record
    for key in way:
        here = here[key]
    if what == "put" or not isinstance(here, dict):
        here[last] = copy.copy(value)
    elif what == "drop":
        del here[last]
    else:
        here[f"{last}x"] = value
    (folder / RECORD).write_text(json.dumps(record))
    opens_or_is_refused(folder)


def test_a_run_of_another_version_is_called_so(run: Path) -> None:
    edited(run, lambda record: record["settings"]["data"].pop("merge"))
    assert refusal(run) == "RUN/run.json: settings.data.merge: the run was made by another version of nextchar"


@pytest.mark.parametrize("more", [[], ["data=text"], ["smoothing=none", "model.order=6"]])
def test_the_losses_of_the_test_split_open_as_they_were_written(tmp_path: Path, more: list[str]) -> None:
    """Of documents, of the blocks of a running text, and where one is infinite."""
    dice = np.random.default_rng(0)
    lines = ["".join(dice.choice(list("abcdefgh"), dice.integers(1, 9))) for _ in range(1500)]
    (tmp_path / "x.txt").write_text("\n".join(lines))
    path = f"data.path={tmp_path / 'x.txt'}"
    trained = training.train(run_settings(["data=lines", path, "figures=false", *more]), tmp_path / "run")
    record = open_record(tmp_path / "run")
    loss = open_losses(tmp_path / "run", record)
    assert loss is not None
    assert loss.value == pytest.approx(trained.metrics["test/loss"], rel=1e-6)
    assert ("smoothing=none" in more) == np.isinf(loss.value)
    assert loss.chars.sum() == record.data.predicted["test"]  # type: ignore[union-attr]


def test_a_document_without_characters_is_refused(run: Path) -> None:
    record = open_record(run)
    tensors = safetensors.numpy.load_file(run / "test_losses.safetensors")
    tensors["chars"][:2] = [0, tensors["chars"][:2].sum()]
    content = safetensors.numpy.save(tensors)
    (run / "test_losses.safetensors").write_bytes(content)
    record.files["test_losses.safetensors"] = FileRecord(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(BadInput, match="the characters are not the"):
        open_losses(run, record)
