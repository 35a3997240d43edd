"""A run folder belongs to one run, holds the files it should and no others, and is complete with run.json."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nextchar.data.corpus
from nextchar.config.compose import run_settings
from nextchar.config.train_settings import TrainSettings
from nextchar.errors import BadInput, Stop
from nextchar.runs import atomic
from nextchar.runs.folder import RunFolder, logging_to, new_folder
from nextchar.runs.record import RunFacts
from nextchar.training import train as training

COUNT = ["model=count", "data=lines"]
NN = ["model=nn", "data=lines", "trainer.max_steps=20"]


def settings(seed: int = 0) -> TrainSettings:
    return run_settings([f"seed={seed}"])


def together(runs, n: int, work: Any) -> list[int]:
    """Runs work(0), ..., work(n - 1) in n processes that start at the same moment. Returns their exit codes."""
    reads, writes = os.pipe()

    def wait_and_work(number: int) -> None:
        os.close(writes)
        os.read(reads, 1)  # returns in all processes when the pipe has no writer left
        work(number)

    pids = [runs.in_child(lambda number=i: wait_and_work(number)) for i in range(n)]
    os.close(writes)
    os.close(reads)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def test_twenty_runs_at_once_make_twenty_folders(tmp_path: Path, runs) -> None:
    parent = tmp_path / "outputs"
    tries = [settings(seed) for seed in range(20)]
    assert (
        together(runs, 20, lambda i: RunFolder.create(new_folder(parent, "nn"), tries[i], RunFacts(), Stop()))
        == [0] * 20
    )
    folders = list(parent.iterdir())
    assert len(folders) == 20
    assert all(runs.files(folder) == {"settings.json"} for folder in folders)
    written = {(folder / "settings.json").read_text() for folder in folders}
    assert len(written) == 20  # each its own seed


def test_of_twenty_runs_in_one_folder_one_gets_it(tmp_path: Path, runs) -> None:
    one = tmp_path / "here"

    def create(seed: int) -> None:
        try:
            RunFolder.create(one, tries[seed], RunFacts(), Stop())
        except BadInput:
            os._exit(2)

    tries = [settings(seed) for seed in range(20)]
    assert sorted(together(runs, 20, create)) == [0] + [2] * 19
    assert runs.files(one) == {"settings.json"}


def test_names_tell_time_and_model(tmp_path: Path) -> None:
    paths = [new_folder(tmp_path, "count") for _ in range(3)]
    assert len(set(paths)) == 3
    assert all(time.strptime(path.name.split("_count")[0], "%Y-%m-%d_%H-%M-%S") for path in paths)


def test_two_whole_runs_share_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs) -> None:
    monkeypatch.setattr("nextchar.training.train.PROJECT", tmp_path)
    monkeypatch.chdir("/")
    text = runs.names(tmp_path)
    for _ in range(2):
        runs.train(*COUNT, text, "figures=false")
    folders = list((tmp_path / "outputs").iterdir())
    assert [runs.record(folder)["status"] for folder in folders] == ["finished"] * 2


EXPECTED = {
    "count": {"figures/breakdown.png", "figures/counts.png", "figures/probabilities.png"},
    "nn": {"figures/breakdown.png", "figures/counts.png", "figures/loss.png", "figures/probabilities.png"}
    | {"checkpoints/last.ckpt", "checkpoints/best.ckpt"},
}
EXPECTED["mlp"] = EXPECTED["nn"] | {"figures/embeddings.png"}


@pytest.mark.parametrize("model", EXPECTED)
def test_what_a_run_leaves(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs) -> None:
    """settings.json first, run.json last, and no file of any other name."""
    order = []
    for function in (os.link, os.replace):
        monkeypatch.setattr(
            f"nextchar.runs.atomic.os.{function.__name__}",
            lambda source, target, do=function: (order.append(Path(target).name), do(source, target)),
        )
    folder = tmp_path / "deep" / "down"
    steps = [] if model == "count" else ["trainer.max_steps=20"]
    runs.train(f"model={model}", "data=lines", *steps, runs.names(tmp_path), f"hydra.run.dir={folder}")
    usual = {"settings.json", "run.json", "weights.safetensors", "test_losses.safetensors", "samples.txt"}
    usual |= {"train.log", "events"}
    assert runs.files(folder) == usual | EXPECTED[model]
    assert (order[0], order[-1]) == ("settings.json", "run.json")
    times = {path.name: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert times["settings.json"] == min(times.values())
    assert times["run.json"] == max(times.values())
    listed = runs.record(folder)["files"]
    assert set(listed) == {"weights.safetensors", "test_losses.safetensors", "samples.txt"} | {
        f for f in EXPECTED[model] if "figures" in f
    }
    assert all(os.stat(folder / name).st_size == file["size"] for name, file in listed.items())
    for path in folder.rglob("*"):
        assert oct(path.stat().st_mode & 0o777) == oct((0o777 if path.is_dir() else 0o666) & ~atomic._umask())


def test_a_taken_folder_is_refused(tmp_path: Path, runs) -> None:
    """It makes no difference whether its run has ended, was killed, or is just starting."""
    folder, text = tmp_path / "run", runs.names(tmp_path)
    runs.train(*COUNT, text, "figures=false", f"hydra.run.dir={folder}")
    record, settings_file = folder / "run.json", folder / "settings.json"
    for leave in ({record, settings_file}, {settings_file}, {record}):
        content = {path: path.read_bytes() for path in (record, settings_file) if path.exists()}
        for path in content.keys() - leave:
            path.unlink()
        before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
        with pytest.raises(BadInput, match="already holds a run"):
            runs.train(*COUNT, text, "figures=false", f"hydra.run.dir={folder}")
        assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before
        for path, kept in content.items():
            path.write_bytes(kept)


def test_a_folder_without_a_run_is_taken_as_it_is(tmp_path: Path, runs) -> None:
    """But for the half-written settings.json of a run that was killed as it began."""
    (tmp_path / "notes.md").write_text("mine")
    (tmp_path / ".mine.tmp").write_text("mine")
    (tmp_path / ".settings.json.6bhzraar.tmp").write_text("{")
    runs.train(*COUNT, runs.names(tmp_path), "figures=false", f"hydra.run.dir={tmp_path}")
    assert runs.files(tmp_path) >= {"notes.md", "names.txt", "run.json"}
    assert [path.name for path in tmp_path.glob(".*")] == [".mine.tmp"]
    assert (tmp_path / "notes.md").read_text() == "mine"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for at in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadInput, match=rf"the run folder {at} cannot be made: (File exists|Not a directory)"):
            RunFolder.create(at, settings(), RunFacts(), Stop())
    with pytest.raises(BadInput, match="no run folder can be made in"):
        new_folder(tmp_path / "file", "nn")


def test_bad_input_makes_no_folder(tmp_path: Path, runs) -> None:
    text = runs.names(tmp_path, n=1)
    for argv in (["data.path=/none.txt"], [text], ["optim.lr=-1", "data.split=all", text]):
        with pytest.raises(BadInput):
            runs.train(*NN, *argv, f"hydra.run.dir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


def test_an_event_file_never_replaces_another(tmp_path: Path) -> None:
    """The later file has the later name, also within a second and after the clock was set back."""
    from nextchar.training.tensorboard import TensorBoardWriter

    (tmp_path / "events.out.tfevents.4000000000.elsewhere").touch()
    for _ in range(3):
        TensorBoardWriter(tmp_path).close()
    names = sorted(path.name.split(".")[3] for path in tmp_path.iterdir())
    assert names == ["4000000000", "4000000001", "4000000002", "4000000003"]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_large_train_is_measured_by_its_counts(order, tmp_path, monkeypatch):
    """A train that was counted is not read again: the same loss, without interval."""
    text = tmp_path / "text.txt"
    text.write_text(" ".join(nextchar.data.corpus.EMBEDDED.read_text().split()[:2000]))
    words = ["data=text", f"data.path={text}", f"model.order={order}", "smoothing=witten_bell", "figures=false"]
    held, large = ({}, {})
    for values, kept in ((held, nextchar.data.corpus.HELD_AT_MOST), (large, 100)):
        monkeypatch.setattr(nextchar.data.corpus, "HELD_AT_MOST", kept)
        settings = run_settings(words)
        values |= training.train(settings, tmp_path / str(kept)).metrics
    assert large["train/loss"] == pytest.approx(held["train/loss"], rel=1e-12)
    assert {key: value for key, value in held.items() if not key.startswith("train/")} == {
        key: value for key, value in large.items() if not key.startswith("train/")
    }
    assert ("train/loss_low" in large) == (order == 1)  # which counts pairs, and is read again
    assert "train/loss_low" in held


def test_a_file_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut the name stands for the old content or for the new, and the folder knows it."""
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def noting(*args: Any, name: str = name, original: Any = original) -> Any:
            is_folder = name == "fsync" and os.path.isdir(f"/proc/self/fd/{args[0]}")
            calls.append(f"{name} of the folder" if is_folder else name)
            return original(*args)

        monkeypatch.setattr(os, name, noting)
    atomic.write_atomically(tmp_path / "file", b"content")
    assert calls == ["fsync", "replace", "fsync of the folder"]


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path, runs) -> None:
    """But not the file of a writer that is at work, nor those of other targets."""

    def writer() -> Iterator[bytes]:
        yield b"some"
        os.kill(os.getpid(), signal.SIGKILL)

    target = tmp_path / "model.arpa"
    for name in ("model.arpa", "other.arpa"):
        os.waitpid(runs.in_child(lambda name=name: atomic.write_atomically(tmp_path / name, writer())), 0)
    assert len(list(tmp_path.glob(".model.arpa.*.tmp"))) == 1
    with atomic.temporary_file(tmp_path, b"at work", ".model.arpa.") as at_work:
        atomic.write_atomically(target, b"whole")
        assert list(tmp_path.glob(".model.arpa.*.tmp")) == [Path(at_work)]
    assert target.read_bytes() == b"whole"
    assert len(list(tmp_path.glob(".other.arpa.*.tmp"))) == 1


def test_a_new_folder_comes_with_its_parents(tmp_path: Path) -> None:
    assert new_folder(tmp_path / "a" / "b", "nn").is_dir()


def test_a_run_json_that_cannot_be_written_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writer may have renamed it before the disk refused: the exit code says that the run failed."""

    def half(folder: RunFolder, record: Any) -> None:
        (folder.path / "run.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunFolder, "finish", half)
    with (
        pytest.raises(OSError, match="No space left"),
        RunFolder.create(tmp_path / "run", settings(), RunFacts(), Stop()),
    ):
        pass
    assert not (tmp_path / "run" / "run.json").exists()


def test_the_refusal_of_a_taken_folder_in_full(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", settings(), RunFacts(), Stop())
    with pytest.raises(BadInput) as refusal:
        RunFolder.create(tmp_path / "run", settings(), RunFacts(), Stop())
    taken = f"the run folder {tmp_path / 'run'} already holds a run; name another folder, or none"
    assert str(refusal.value) == taken


def test_an_error_of_the_program_in_a_message_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(tmp_path / "train.log"):
        logging.getLogger("nextchar").info("%d steps", "three")
    assert "Message: '%d steps'" in capsys.readouterr().err


def test_the_seconds_of_a_run_are_those_of_its_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 102.5, 103.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    facts = RunFacts(_began=time.perf_counter())
    facts.lap("read")
    facts.lap("learn")
    assert facts.seconds == {"read": 2.5, "learn": 0.5}
