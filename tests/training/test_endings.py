"""How a run ends: exit code, status in run.json and what train.log says agree, whatever happened and whenever."""

import logging
import math
import pkgutil
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nextchar.config.compose import run_settings
from nextchar.errors import Diverged
from nextchar.models.nets.net import build
from nextchar.training.batches import Batch
from nextchar.training.callbacks import Divergence, Validation
from nextchar.training.checkpoints import TrainingState

QUICK = ["model=nn", "data=lines", "trainer.max_steps=20", "trainer.log_every=5"]
GRADIENT = "nextchar.training.lightning_module.NextCharModule._gradient"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
ENDS = {
    signal.SIGINT: "interrupted (Ctrl-C)",
    signal.SIGTERM: "terminated (SIGTERM)",
    signal.SIGHUP: "the terminal was closed (SIGHUP)",
}


def before(patch: pytest.MonkeyPatch, name: str, happens: Callable[[], object]) -> None:
    """Lets something happen just before a function does its work."""
    original = pkgutil.resolve_name(name)

    def instead(*args: Any, **kwargs: Any) -> Any:
        happens()
        return original(*args, **kwargs)

    patch.setattr(name, instead)


# --- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", CODES)
@pytest.mark.parametrize(
    "moment",
    [
        "nextchar.training.gradient.GradientFit.fit",
        GRADIENT,
        "nextchar.training.checkpoints.Checkpoints.save",
        "nextchar.runs.atomic.os.replace",
        "nextchar.training.train.measure",
        "nextchar.evaluation.sampling.sample",
        "nextchar.plots.matrices.count_matrix",
        "nextchar.training.tensorboard.TensorBoardWriter.close",
    ],
)
def test_interrupted(
    moment: str, signum: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, runs
) -> None:
    folder = tmp_path / "run"
    handlers = list(map(signal.getsignal, CODES))
    signals = iter([signum]) if moment.endswith(".close") else repeat(signum)  # the file must be closed in the end
    before(monkeypatch, moment, lambda: [signal.raise_signal(each) for each in islice(signals, 1)])
    assert runs.exit_code(*QUICK, runs.names(tmp_path), f"hydra.run.dir={folder}") == CODES[signum]
    record = runs.record(folder)
    assert (record["status"], record["reason"]) == ("interrupted", ENDS[signum])
    assert record["metrics"] == {}
    assert ENDS[signum] in (folder / "train.log").read_text()
    assert "Traceback" in (folder / "train.log").read_text()
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {ENDS[signum]}"
    assert list(map(signal.getsignal, CODES)) == handlers


@pytest.mark.parametrize("signum", CODES)
def test_interrupted_while_reading(
    signum: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs
) -> None:
    before(monkeypatch, "nextchar.data.load.survey", lambda: signal.raise_signal(signum))
    folder = tmp_path / "run"
    assert runs.exit_code(*QUICK, runs.names(tmp_path), f"hydra.run.dir={folder}") == CODES[signum]
    assert not folder.exists()


@pytest.mark.parametrize("signum", CODES)
def test_a_swallowed_signal_is_not_lost(
    signum: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs
) -> None:
    """Python drops exceptions raised in a __del__; other code takes them for something else."""

    class Deaf:
        def __del__(self) -> None:
            signal.raise_signal(signum)

    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    before(monkeypatch, GRADIENT, lambda: Deaf() and None)
    folder = tmp_path / "run"
    assert runs.exit_code(*QUICK, runs.names(tmp_path), f"hydra.run.dir={folder}") == CODES[signum]
    assert runs.record(folder)["status"] == "interrupted"


def test_twice_does_not_lose_run_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs) -> None:
    """Once more while the first request is being carried out, and on every file that is written from then on."""
    before(
        monkeypatch,
        GRADIENT,
        lambda: signal.raise_signal(signal.SIGINT),
    )
    before(monkeypatch, "lightning.Trainer._teardown", lambda: signal.raise_signal(signal.SIGTERM))
    before(monkeypatch, "nextchar.runs.record.versions_and_commit", lambda: signal.raise_signal(signal.SIGINT))
    before(monkeypatch, "nextchar.runs.atomic.os.replace", lambda: signal.raise_signal(signal.SIGTERM))
    folder = tmp_path / "run"
    assert runs.exit_code(*QUICK, runs.names(tmp_path), f"hydra.run.dir={folder}") == 130
    assert runs.record(folder)["status"] == "interrupted"


def test_a_signal_at_the_very_end_waits_for_run_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs) -> None:
    before(monkeypatch, "nextchar.runs.record.versions_and_commit", lambda: signal.raise_signal(signal.SIGTERM))
    folder = tmp_path / "run"
    assert runs.exit_code(*QUICK, runs.names(tmp_path), f"hydra.run.dir={folder}") == 143
    assert runs.record(folder)["status"] == "finished"


def test_a_closed_terminal_does_not_stop_a_run_under_nohup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs
) -> None:
    before(monkeypatch, GRADIENT, lambda: signal.raise_signal(signal.SIGHUP))
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert runs.exit_code(*QUICK, runs.names(tmp_path), f"hydra.run.dir={tmp_path / 'run'}") == 0
    finally:
        signal.signal(signal.SIGHUP, ignored)


@pytest.mark.parametrize("seconds", [0.6, 1.5, 2.5])
def test_a_process_told_to_stop(seconds: float, tmp_path: Path, runs, project) -> None:
    """In its imports, and in training. Before the handlers stand, the system's own end has the same meaning."""
    folder = tmp_path / "run"
    argv = [*QUICK, "trainer.max_steps=100000000", runs.names(tmp_path), f"hydra.run.dir={folder}"]
    process = subprocess.Popen([sys.executable, project / "scripts/train.py", *argv], stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    error = process.communicate()[1]
    assert process.returncode in (143, -signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM or error.endswith(f"error: {ENDS[signal.SIGTERM]}\n")
    assert not folder.exists() or f"to resume this run: python scripts/train.py resume={folder}\n" in error
    assert not folder.exists() or runs.record(folder)["status"] == "interrupted"


# --- divergence -----------------------------------------------------------------------------------------------------

TOO_HIGH = {
    "full batch": ["optim.lr=1e6", "trainer.max_steps=300"],
    "mini-batch": ["optim.lr=1e6", "trainer.max_steps=300", "data.batch_size=32"],
    "few steps": ["optim.lr=1e6", "model.init=zeros"],
    "one step": ["optim.lr=1e38", "trainer.max_steps=1"],
    "1e30": ["optim.lr=1e30", "trainer.max_steps=1000"],
    "1e30 momentum": ["optim.lr=1e30", "optim.momentum=0.9"],
    "adam": ["optim=adam", "optim.lr=1e6", "data.batch_size=32"],
    "nan": ["optim.lr=1e30", "smoothing=l2"],
    "float64": ["optim.lr=1e38", "trainer.precision=64"],
}


@pytest.mark.parametrize("case", TOO_HIGH)
def test_divergence_is_named(case: str, tmp_path: Path, capsys: Any, runs) -> None:
    folder = tmp_path / "run"
    argv = [*QUICK, runs.names(tmp_path), "figures=false", "trainer.checkpoint_seconds=0", f"hydra.run.dir={folder}"]
    assert runs.exit_code(*argv, *TOO_HIGH[case]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    named = r"optim.lr=\S+ (or smoothing.strength=\S+ )?is likely too high"
    assert re.match(rf"error: training diverged at step \d+: (train|val)/loss is .* {named}", line)
    record = runs.record(folder)
    assert record["status"] == "diverged"
    assert f"error: {record['reason']}" == line
    assert "Traceback" in (folder / "train.log").read_text()
    assert "weights.safetensors" not in runs.files(folder)
    if (folder / "checkpoints/best.ckpt").exists():
        uniform = math.log(record["data"]["vocabulary"] + 1)
        assert runs.checkpoint(folder, "best")["loss"] < uniform


def test_nan_is_named_at_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, runs) -> None:
    from nextchar.training.lightning_module import NextCharModule

    step = NextCharModule._gradient
    asked: list[int] = []

    def nan_at_step_7(*args: Any, **kwargs: Any) -> Any:
        asked.append(0)
        loss, objective = step(*args, **kwargs)
        return loss * (math.nan if len(asked) == 8 else 1), objective

    monkeypatch.setattr(NextCharModule, "_gradient", nan_at_step_7)
    assert runs.exit_code(*QUICK, runs.names(tmp_path), f"hydra.run.dir={tmp_path / 'run'}") == 3
    assert "diverged at step 7: train/loss is nan, the last finite train/loss was 3." in capsys.readouterr().err


def test_best_is_never_worse_than_a_guess(tmp_path: Path, runs) -> None:
    """Untrained weights are worse than a uniform guess: they are kept to go on from, not as best, and it is said."""
    folder, text = tmp_path / "run", runs.names(tmp_path)
    runs.train(*QUICK, text, "trainer.max_steps=0", "figures=false", f"hydra.run.dir={folder}")
    record = runs.record(folder)
    uniform = math.log(record["data"]["vocabulary"] + 1)
    assert uniform < record["metrics"]["train/loss"] < uniform + 1
    assert runs.files(folder) >= {"checkpoints/last.ckpt", "weights.safetensors", "samples.txt"}
    assert "checkpoints/best.ckpt" not in runs.files(folder)
    assert "worse than a uniform guess" in (folder / "train.log").read_text()

    trained = tmp_path / "trained"
    runs.train(*QUICK, text, "trainer.max_steps=300", "figures=false", f"hydra.run.dir={trained}")
    best = runs.checkpoint(trained, "best")
    assert best["loss"] == pytest.approx(min(value for _, value in runs.curve(trained, "val/loss")), rel=1e-6)


# --- failure --------------------------------------------------------------------------------------------------------


def fail(*_: object, **__: object) -> None:
    raise RuntimeError("made to fail")


def test_a_failure_in_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs) -> None:
    """What was learned before is on disk; the run says that it failed, and where."""
    folder = tmp_path / "run"
    monkeypatch.setattr("nextchar.plots.matrices.count_matrix", fail)
    with pytest.raises(RuntimeError, match="made to fail"):
        runs.train(*QUICK, runs.names(tmp_path), f"hydra.run.dir={folder}")
    assert (runs.record(folder)["status"], runs.record(folder)["reason"]) == ("failed", "made to fail")
    log = (folder / "train.log").read_text()
    assert re.search(r"Traceback .*\n(.*\n)* .*in pictures\n(.*\n)*RuntimeError: made to fail", log)
    assert runs.files(folder) >= {"weights.safetensors", "samples.txt", "checkpoints/last.ckpt"}
    monkeypatch.undo()
    runs.train(f"resume={folder}")
    assert runs.record(folder)["status"] == "finished"


@pytest.mark.parametrize(
    ("argv", "patched", "code"), [(["optim.lr=1e6"], "", 3), ([], "nextchar.training.train.measure", 130)]
)
def test_an_unwritten_run_json_does_not_hide_why(
    argv: list[str], patched: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs
) -> None:
    folder = tmp_path / "run"
    if patched:
        before(monkeypatch, patched, lambda: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr("nextchar.runs.folder.RunFolder.finish", fail)
    assert runs.exit_code(*QUICK, runs.names(tmp_path), *argv, f"hydra.run.dir={folder}") == code
    log = (folder / "train.log").read_text()
    assert "run.json could not be written" in log
    assert "made to fail" in log


def test_an_unwritten_run_json_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs) -> None:
    monkeypatch.setattr("nextchar.runs.folder.RunFolder.finish", fail)
    with pytest.raises(RuntimeError, match="made to fail"):
        runs.train(*QUICK, runs.names(tmp_path), "figures=false", f"hydra.run.dir={tmp_path / 'run'}")


def test_a_log_that_cannot_be_written_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, runs
) -> None:
    """The run is whole, so it ends well."""
    emit = logging.StreamHandler.emit

    def full(handler: logging.StreamHandler, record: logging.LogRecord) -> None:
        stream, handler.stream = handler.stream, open("/dev/full", "w")  # noqa: SIM115
        with handler.stream:
            emit(handler, record)
            with suppress(OSError):
                handler.stream.close()
        handler.stream = stream

    monkeypatch.setattr(logging.FileHandler, "emit", full)
    argv = ["data=lines", runs.names(tmp_path), f"hydra.run.dir={tmp_path / 'run'}"]
    assert runs.exit_code(*argv) == 0
    said = "train.log lacks lines that could not be written: No space left on device"
    assert capsys.readouterr().err.count(said) == 1
    assert runs.record(tmp_path / "run")["status"] == "finished"


@pytest.mark.parametrize("has_val", [True, False])
def test_a_loss_that_is_nan_is_named_by_its_split(has_val: bool) -> None:
    settings = run_settings(["model=nn"])
    net = build(settings.model, 3, precision=64, seed=0)
    with torch.no_grad():
        next(net.parameters()).fill_(math.nan)
    batches = SimpleNamespace(val=[Batch(torch.tensor([[1]]), torch.tensor([[2]]))], has_val=has_val)
    state = TrainingState(best_loss=math.log(3))
    judge: Any = Validation(net, batches, Divergence(settings, 3, state), state, None, None, {}, math.inf)  # type: ignore[arg-type]
    with pytest.raises(Diverged, match=f"diverged at step 7: {'val' if has_val else 'train'}/loss is nan"):
        judge.validate(7)
