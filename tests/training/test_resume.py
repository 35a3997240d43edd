"""An interrupted run, resumed, is the run that was never interrupted: the same weights and losses, bit for bit."""

import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nextchar.errors import BadInput, Diverged, Interrupted
from nextchar.runs import atomic as run_module
from nextchar.runs.atomic import write_atomically
from nextchar.runs.folder import RunFolder, lock

QUICK = ["model=nn", "data=lines", "figures=false", "trainer.log_every=1"]
OFTEN = "trainer.checkpoint_seconds=0.02"

KINDS = {
    "sgd": [],
    "momentum": ["optim.momentum=0.9", "optim.lr=2", "smoothing=add_k", "data.merge=false"],
    "adam": ["optim=adam", "data.batch_size=32", "trainer.precision=64"],
    "adamw": ["optim=adamw", "data.batch_size=100", "smoothing=l2"],
    "lbfgs": ["optim=lbfgs", "smoothing=add_k", "smoothing.k=0.01", "trainer.max_steps=100"],
    "lbfgs64": ["optim=lbfgs", "trainer.precision=64", "smoothing=l2", "trainer.max_steps=100"],
    "cosine": ["optim.schedule=cosine", "optim.warmup=0.1", "optim.clip=0.1", "data.batch_size=32"],
    "lstm": ["model=lstm", "model.n_hidden=16", "data.batch_size=16"],
    "wavenet": ["model=wavenet", "model.n_hidden=16", "data.batch_size=16"],
    "transformer": ["model=transformer", "model.n_embd=16", "model.n_layer=1", "data.batch_size=16"],
    "ema": ["model=gru", "model.n_hidden=16", "data.batch_size=16", "optim.ema=0.95"],
    "early": ["model=mlp", "data.batch_size=16", "optim.lr=0.05", "trainer.patience=2", "trainer.log_every=20"],
    "chunks": ["trainer.log_every=7", "data.batch_size=32"],
}


def kill_once_saved(runs, folder: Path, *argv: object) -> bool:
    """Trains in a fork, which is killed some time after its first checkpoint. Returns whether that was in time."""
    before = (folder / "checkpoints/last.ckpt").stat().st_mtime_ns if (folder / "checkpoints/last.ckpt").exists() else 0
    pid = runs.in_child(lambda: runs.train(*argv))
    last = folder / "checkpoints/last.ckpt"
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if last.exists() and last.stat().st_mtime_ns > before:
            time.sleep(random.uniform(0, 0.1))
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.001)
    os.waitpid(pid, 0)
    return not (folder / "run.json").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_killed_twice_and_resumed(kind: str, tmp_path: Path, runs, same) -> None:
    model = [] if any(word.startswith("model=") for word in KINDS[kind]) else ["model=nn"]
    argv = [*model, *QUICK[1:], runs.names(tmp_path), "trainer.max_steps=400", *KINDS[kind]]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    runs.train(*argv, f"hydra.run.dir={whole}")
    if kill_once_saved(runs, killed, *argv, OFTEN, f"hydra.run.dir={killed}") and kill_once_saved(
        runs, killed, f"resume={killed}"
    ):
        assert 0 < runs.checkpoint(killed)["step"] <= 400
        runs.train(f"resume={killed}")
    assert same(killed, whole)


# A signal may come while some object is being deleted, where Python reports what is raised and goes on; the run ends
# as interrupted all the same, at the next place where it looks
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupted_at_many_moments(tmp_path: Path, runs, same) -> None:
    """Signals hit anywhere: in the optimizer, in a checkpoint, in an import, in a log line."""
    argv = [*QUICK, runs.names(tmp_path), "trainer.max_steps=1500", "optim=adam", "data.batch_size=16"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    runs.train(*argv, f"hydra.run.dir={whole}")
    first = [*argv, OFTEN, f"hydra.run.dir={cut}"]
    dice, interrupts, typed = random.Random(0), 0, first
    for _ in range(200):
        if (cut / "run.json").exists() and runs.record(cut)["status"] == "finished":
            assert same(cut, whole)
            if interrupts > 3:
                break
            shutil.rmtree(cut)
            typed = first
        try:
            with runs.signal_after(dice.uniform(0.05, 0.25), dice.choice([signal.SIGINT, signal.SIGTERM])):
                runs.train(*typed)
        except (Interrupted, KeyboardInterrupt, _Terminated):  # the latter two where no run was going on
            interrupts += 1
        if (cut / "settings.json").exists():
            typed = [f"resume={cut}"]
        if (cut / "checkpoints/last.ckpt").exists():
            runs.checkpoint(cut)
    else:
        raise AssertionError(f"not finished after {interrupts} interrupts")


class _Terminated(BaseException):
    pass


@pytest.fixture(autouse=True)
def _terminated() -> object:
    """SIGTERM outside of a run must not end the tests."""

    def refuse(signum: int, frame: object) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, refuse)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_schedule_keeps_its_last_step(tmp_path: Path, runs) -> None:
    folder = tmp_path / "run"
    argv = [*QUICK, runs.names(tmp_path), "trainer.max_steps=100000", "optim.schedule=linear", OFTEN]
    assert kill_once_saved(runs, folder, *argv, f"hydra.run.dir={folder}")
    with pytest.raises(BadInput, match=r"settings have changed since .*: trainer\.max_steps=200000 was 100000$"):
        runs.train(f"resume={folder}", "trainer.max_steps=200000")


def test_killed_as_a_user_would(tmp_path: Path, runs, same, project) -> None:
    """A process of its own, kill -9, and a larger budget: as many steps in one go give the same."""
    argv = [*QUICK, runs.names(tmp_path), "data.batch_size=32"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    endless = [*argv, OFTEN, "trainer.max_steps=100000000", f"hydra.run.dir={killed}"]
    process = subprocess.Popen([sys.executable, project / "scripts/train.py", *endless])
    while not (killed / "checkpoints/last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    steps = runs.checkpoint(killed)["step"] + 100
    runs.train(f"resume={killed}", f"trainer.max_steps={steps}")
    runs.train(*argv, f"trainer.max_steps={steps}", f"hydra.run.dir={whole}")
    assert same(killed, whole)


def test_more_steps_than_planned(tmp_path: Path, runs) -> None:
    argv = [*QUICK, runs.names(tmp_path), "trainer.log_every=20", "optim=adam"]
    longer, whole = tmp_path / "longer", tmp_path / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nextchar.training.outputs.write", _fail)  # trained to the end, but not finished
        with pytest.raises(RuntimeError):
            runs.train(*argv, "trainer.max_steps=50", f"hydra.run.dir={longer}")
    runs.train(f"resume={longer}", "trainer.max_steps=130")
    runs.train(*argv, "trainer.max_steps=130", f"hydra.run.dir={whole}")
    assert runs.weights(longer) == runs.weights(whole)
    own, planned = dict(runs.curve(longer, "train/loss")), dict(runs.curve(whole, "train/loss"))
    assert planned.items() <= own.items()  # the longer has one point more, where it went on
    assert runs.record(longer)["settings"]["trainer"]["max_steps"] == 130
    assert (longer / "settings.json").read_text() == (whole / "settings.json").read_text()


def _fail(*_: object) -> None:
    raise RuntimeError("made to fail")


def test_killed_before_the_first_checkpoint(tmp_path: Path, runs, same) -> None:
    argv = [*QUICK, runs.names(tmp_path), "trainer.max_steps=30"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "nextchar.training.callbacks.Validation.validate", lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        )
        pid = runs.in_child(lambda: runs.train(*argv, f"hydra.run.dir={killed}"))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert runs.files(killed) == {"settings.json", "train.log", "events"}
    (killed / ".old.tmp").touch()
    runs.train(f"resume={killed}")
    runs.train(*argv, f"hydra.run.dir={whole}")
    assert same(killed, whole)


def test_a_counted_run_is_counted_again(tmp_path: Path, runs) -> None:
    argv = ["model=count", "data=lines", "figures=false", runs.names(tmp_path)]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nextchar.runs.folder.RunFolder.finish", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        pid = runs.in_child(lambda: runs.train(*argv, f"hydra.run.dir={killed}"))
    os.waitpid(pid, 0)
    assert "run.json" not in runs.files(killed)
    runs.train(f"resume={killed}")
    runs.train(*argv, f"hydra.run.dir={whole}")
    assert runs.without_times(killed) == runs.without_times(whole)
    assert runs.curve(killed, "test/loss") == runs.curve(whole, "test/loss")
    with pytest.raises(BadInput, match=r"this run has finished"):
        runs.train(f"resume={killed}")


def interrupted(runs, folder: Path, *argv: object) -> None:
    """A run that was interrupted after some checkpoints."""
    import nextchar.training.gradient  # noqa: F401  # now: a module first imported below would keep the patch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nextchar.training.outputs.sample", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Interrupted):
            runs.train(*argv, f"hydra.run.dir={folder}")


def test_a_killed_run_has_no_run_json(tmp_path: Path, runs) -> None:
    """Not even that of an earlier attempt, which says how that one ended."""
    folder = tmp_path / "run"
    interrupted(runs, folder, *QUICK, runs.names(tmp_path), "trainer.max_steps=20")
    assert runs.record(folder)["status"] == "interrupted"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "nextchar.training.callbacks.Validation.validate", lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        )
        os.waitpid(runs.in_child(lambda: runs.train(f"resume={folder}")), 0)
    assert "run.json" not in runs.files(folder)
    runs.train(f"resume={folder}")
    assert runs.record(folder)["status"] == "finished"


def test_refusals_leave_the_folder_as_it_was(tmp_path: Path, runs) -> None:
    folder, text = tmp_path / "run", tmp_path / "names.txt"
    interrupted(runs, folder, *QUICK, runs.names(tmp_path), "trainer.max_steps=20")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def refused(match: str, *argv: object) -> None:
        with pytest.raises(BadInput, match=match):
            runs.train(f"resume={folder}", *argv)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    refused(r"trainer.max_steps=19: .* is already at step 20", "trainer.max_steps=19")
    refused(r"optim.lr: a resumed run keeps its settings", "optim.lr=1")
    handle = lock(folder)
    refused(r"still running")
    os.close(handle)
    names = text.read_text()
    text.write_text(names + "ada\n")
    refused(r"the data has changed")
    text.write_text(names)
    last = folder / "checkpoints/last.ckpt"
    last.write_bytes(before[last][:-100])
    before[last] = last.read_bytes()
    refused(r"last.ckpt: not a sound checkpoint")
    last.write_bytes(b"")
    before[last] = b""
    refused(r"last.ckpt: not a sound checkpoint")


def test_one_flipped_bit_of_a_checkpoint_is_refused(tmp_path: Path, runs) -> None:
    folder, dice = tmp_path / "run", random.Random(1)
    interrupted(runs, folder, *QUICK, runs.names(tmp_path), "optim=adam", "trainer.max_steps=20")
    last = folder / "checkpoints/last.ckpt"
    sound = last.read_bytes()
    for _ in range(60):
        flipped = bytearray(sound)
        flipped[dice.randrange(len(sound))] ^= 1 << dice.randrange(8)
        last.write_bytes(flipped)
        with pytest.raises(BadInput, match=r"last.ckpt: not a sound checkpoint of this run \(ValueError: its SHA-256"):
            runs.train(f"resume={folder}")
    last.write_bytes(sound)
    runs.train(f"resume={folder}")


@pytest.mark.parametrize("content", [[], {}, {"step": "x"}, {"step": 1, "data_sha256": "", "settings": 1}], ids=str)
def test_a_checkpoint_that_holds_anything_else_is_refused(tmp_path: Path, runs, content: object) -> None:
    """With a digest that fits, as a stranger can write it."""
    import torch

    folder = tmp_path / "run"
    interrupted(runs, folder, *QUICK, runs.names(tmp_path), "trainer.max_steps=20")
    torch.save(content, buffer := io.BytesIO())
    saved = buffer.getvalue()
    (folder / "checkpoints/last.ckpt").write_bytes(saved + hashlib.sha256(saved).digest())
    with pytest.raises(BadInput, match=r"last.ckpt: not a sound checkpoint of this run"):
        runs.train(f"resume={folder}")


def test_edited_settings_are_refused(tmp_path: Path, runs) -> None:
    folder = tmp_path / "run"
    interrupted(runs, folder, *QUICK, runs.names(tmp_path), "optim.lr=0.1", "trainer.max_steps=20")
    path = folder / "settings.json"
    sound = json.loads(path.read_text())
    assert sound["optim"]["lr"] == 0.1
    path.write_text(json.dumps(sound | {"seed": 7, "optim": sound["optim"] | {"lr": 0.5}}))
    with pytest.raises(BadInput, match=r"since the last checkpoint: seed=7 was 2147483647, optim.lr=0.5 was 0.1$"):
        runs.train(f"resume={folder}")
    path.write_text(json.dumps(sound))
    runs.train(f"resume={folder}")


def test_a_diverged_run_diverges_again(tmp_path: Path, runs) -> None:
    """At the same step, and with the same words."""
    folder = tmp_path / "run"
    argv = [*QUICK, runs.names(tmp_path), "optim.lr=1e6", "trainer.checkpoint_seconds=0", "trainer.log_every=40"]
    with pytest.raises(Diverged) as first:
        runs.train(*argv, f"hydra.run.dir={folder}")
    assert runs.checkpoint(folder)["step"] == 80
    with pytest.raises(Diverged) as again:
        runs.train(f"resume={folder}")
    assert str(again.value) == str(first.value)
    assert runs.record(folder)["status"] == "diverged"


# --- files are old or new -------------------------------------------------------------------------------------------

OLD, NEW = b"old" * 300_000, b"new" * 500_000


def test_killed_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs) -> None:
    """The temporary file lies beside the target: from $TMPDIR on another disk a rename would be a copy."""
    monkeypatch.setattr("tempfile.tempdir", "/dev/shm" if os.path.isdir("/dev/shm") else str(tmp_path))
    target, seen = tmp_path / "file", set()
    write_atomically(target, OLD)

    def write_for_ever() -> None:
        while True:
            for content in (NEW, OLD):
                write_atomically(target, content)

    for number in range(2000):
        if number >= 60 and len(seen) == 2:  # a busy machine takes more
            break
        pid = runs.in_child(write_for_ever)
        time.sleep(random.uniform(0, 0.02))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        seen.add(target.read_bytes())
    assert seen == {OLD, NEW}
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["file"]


@pytest.mark.parametrize("call", ["os.fsync", "os.replace", "os.fchmod", "tempfile.mkstemp"])
def test_a_failing_disk_leaves_the_old_file(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_atomically(target, OLD)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"{run_module.__name__}.{call}", fail)
    with pytest.raises(OSError, match=rf"No space left on device: '{target}'"):
        write_atomically(target, NEW)
    assert target.read_bytes() == OLD
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_ends_the_run_and_does_not_hang_it(tmp_path: Path, runs) -> None:
    folder = tmp_path / "run"

    def on_a_full_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        target = tmp_path / "file"
        write_atomically(target, b"old")
        with pytest.raises(OSError, match=str(target)):
            write_atomically(target, NEW)
        assert target.read_bytes() == b"old"
        with pytest.raises(OSError, match=r"File too large"):
            runs.train(*QUICK, runs.names(tmp_path), "trainer.max_steps=10000", f"hydra.run.dir={folder}")

    pid = runs.in_child(on_a_full_disk)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert runs.record(folder)["status"] == "failed"
    assert not list(tmp_path.rglob(".*.tmp"))


def test_a_full_disk_is_said_once_and_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], runs
) -> None:
    """Met by the event file, whose error names no file, when train.log and run.json cannot be written either."""
    folder = tmp_path / "run"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def from_now_on(*_: object, **__: object) -> None:
        monkeypatch.setattr("logging.StreamHandler.flush", full)
        monkeypatch.setattr(RunFolder, "finish", full)
        full()

    monkeypatch.setattr("nextchar.training.outputs.write", from_now_on)
    argv = ["model=count", "data=lines", runs.names(tmp_path), "figures=false", f"hydra.run.dir={folder}"]
    with pytest.raises(OSError, match=rf"No space left on device: '{folder}'"):
        runs.train(*argv)
    monkeypatch.undo()
    assert capsys.readouterr().err == ""
    assert not (folder / "run.json").exists()


def test_run_json_holds_the_curves(tmp_path: Path, runs) -> None:
    """As TensorBoard shows them."""
    words = ["model=nn", "data=lines", runs.names(tmp_path), "trainer.max_steps=400", "figures=false"]
    runs.train(*words, f"hydra.run.dir={tmp_path / 'whole'}")
    whole = runs.record(tmp_path / "whole")["curves"]
    assert set(whole) == {"train/loss", "val/loss"}
    for tag in whole:
        drawn = dict(runs.curve(tmp_path / "whole", tag))
        assert [drawn[step] for step in whole[tag]["steps"]] == pytest.approx(whole[tag]["values"], rel=1e-6)
    assert whole["train/loss"]["steps"] == list(range(0, 400, 50))
    assert whole["val/loss"]["steps"] == list(range(0, 401, 50))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_keeps_the_steps_that_it_took(tmp_path: Path, runs, signum: int) -> None:
    """The signal comes within step 7 of a chunk of 20, long before a checkpoint is due."""
    from nextchar.training.lightning_module import NextCharModule

    argv = [*QUICK[:-1], runs.names(tmp_path), "optim=adam", "trainer.max_steps=30", "trainer.log_every=20"]
    runs.train(*argv, f"hydra.run.dir={tmp_path / 'whole'}")
    gradient, calls = NextCharModule._gradient, []

    def signalled(*args):
        calls.append(args)
        if len(calls) == 7:
            signal.raise_signal(signum)
        return gradient(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NextCharModule, "_gradient", signalled)
        with pytest.raises(Interrupted):
            runs.train(*argv, f"hydra.run.dir={tmp_path / 'cut'}")
    assert len(calls) == 7
    assert runs.checkpoint(tmp_path / "cut")["step"] == 7
    runs.train(f"resume={tmp_path / 'cut'}")
    assert runs.weights(tmp_path / "cut") == runs.weights(tmp_path / "whole")
    assert runs.record(tmp_path / "cut")["curves"] == runs.record(tmp_path / "whole")["curves"]
