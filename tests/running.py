"""Training in the test process, which imports torch once, and what a run leaves in its folder."""

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT

from nextchar.cli.parse import run_script
from nextchar.data.corpus import EMBEDDED

_spec = importlib.util.spec_from_file_location("train_script", PROJECT / "scripts" / "train.py")
assert _spec is not None
assert _spec.loader is not None
script = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(script)


def names(folder: Path, n: int = 400) -> str:
    """A file of n names, as an override: a run on it takes a tenth of a second."""
    path = folder / "names.txt"
    path.write_text("".join(EMBEDDED.read_text().splitlines(keepends=True)[:n]))
    return f"data.path={path}"


def train(*argv: object) -> None:
    """scripts/train.py as typed, without what turns exceptions into exit codes."""
    before, sys.argv = sys.argv, ["train.py", *map(str, argv)]
    try:
        script.main()
    finally:
        sys.argv = before


def exit_code(*argv: object) -> int:
    """scripts/train.py as typed, with what turns exceptions into exit codes."""
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as end:
            run_script(lambda: train(*argv))
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
    assert isinstance(end.value.code, int)
    return end.value.code


def in_child(work: Callable[[], object]) -> int:
    """Starts `work` in a fork of this process, silently. Returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        work()
        os._exit(0)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        os._exit(99)


@contextmanager
def signal_after(seconds: float, signum: int) -> Iterator[None]:
    """This process gets the signal after a while, whatever it is doing then."""
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signum))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def record(folder: Path) -> dict[str, Any]:
    """run.json."""
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


def without_times(folder: Path) -> dict[str, Any]:
    return {key: value for key, value in record(folder).items() if key not in ("started", "seconds")}


def weights(folder: Path) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


def checkpoint(folder: Path, name: str = "last") -> dict[str, Any]:
    import torch

    state: dict[str, Any] = torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)
    return state


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    """(step, value) of a curve, as TensorBoard shows it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [(point.step, point.value) for point in events.Scalars(tag)]


def files(folder: Path) -> set[str]:
    """The files of a run folder; the event files under one name."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {"events" if name.startswith("events.out.tfevents.") else name for name in found}
