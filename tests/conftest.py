"""Fixtures of all tests: the project's folder, a script run as a user runs it, and runs in the test process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from methods import smoothing

from nextchar.cli import main
from nextchar.config.model_settings import Count
from nextchar.config.smoothing_settings import Smoothing
from nextchar.data.corpus import EMBEDDED
from nextchar.data.encoded import Block
from nextchar.data.vocabulary import Ids, Stream, Vocabulary
from nextchar.errors import SIGNALS
from nextchar.models.ngram import counts
from nextchar.models.ngram.counts import CountTable, TrainCounts, tables_by_order
from nextchar.models.ngram.estimation import estimate
from nextchar.models.ngram.fit import prune_by_count
from nextchar.models.ngram.keys import Packing
from nextchar.models.ngram.model import CountModel

PROJECT = Path(__file__).resolve().parents[1]

hypothesis.settings.register_profile("busy", deadline=None)  # a slow example on a busy machine is no failure
hypothesis.settings.load_profile("busy")

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: more threads fight over few cores


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Torch computes on one thread if a test has imported it."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder of the repository."""
    return PROJECT


@pytest.fixture(scope="session")
def run_script() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs scripts/NAME.py in a process of its own: run_script("train", "model=nn", COLUMNS="80")."""

    def run(name: str, *args: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, PROJECT / "scripts" / f"{name}.py", *map(str, args)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture(scope="session")
def runs() -> "Runs":
    """Trains in the test process, which imports torch once, and reads the files of a run folder."""
    return Runs()


class Runs:
    """Training, and the files that a run leaves."""

    def names(self, folder: Path, n: int = 400) -> str:
        """Writes a file of n names and returns the override that reads it; training on it takes 0.1 seconds."""
        path = folder / "names.txt"
        path.write_text("".join(EMBEDDED.read_text().splitlines(keepends=True)[:n]))
        return f"data.path={path}"

    def train(self, *argv: object) -> None:
        """scripts/train.py with these words; its exceptions are raised here."""
        main.run("train", list(map(str, argv)), "python scripts/train.py")

    def exit_code(self, *argv: object) -> int:
        """scripts/train.py with these words; its exceptions become exit codes, as for a user."""
        handlers = {signum: signal.getsignal(signum) for signum in SIGNALS}
        try:
            with pytest.raises(SystemExit) as end:
                main.exit_after(lambda: self.train(*argv))
        finally:
            for signum, handler in handlers.items():
                signal.signal(signum, handler)
        assert isinstance(end.value.code, int)
        return end.value.code

    def in_child(self, work: Callable[[], object]) -> int:
        """Starts `work` in a fork of this process, which prints nothing. Returns its pid."""
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
    def signal_after(self, seconds: float, signum: int) -> Iterator[None]:
        """Sends this process a signal after some seconds of CPU time, which a busy machine does not shorten."""
        before = signal.signal(signal.SIGPROF, lambda *_: signal.raise_signal(signum))
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    def record(self, folder: Path) -> dict[str, Any]:
        """run.json."""
        content: dict[str, Any] = json.loads((folder / "run.json").read_text())
        return content

    def without_times(self, folder: Path) -> dict[str, Any]:
        """run.json without the entries that differ between two equal runs."""
        return {key: value for key, value in self.record(folder).items() if key not in ("started", "seconds")}

    def weights(self, folder: Path) -> bytes:
        return (folder / "weights.safetensors").read_bytes()

    def checkpoint(self, folder: Path, name: str = "last") -> dict[str, Any]:
        import torch

        state: dict[str, Any] = torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)
        return state

    def curve(self, folder: Path, tag: str) -> list[tuple[int, float]]:
        """(step, value) of each point of a curve, as TensorBoard reads them."""
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        return [(point.step, point.value) for point in events.Scalars(tag)]

    def files(self, folder: Path) -> set[str]:
        """The files of a run folder; the event files under one name."""
        found = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        return {"events" if name.startswith("events.out.tfevents.") else name for name in found}


# --- counted models -------------------------------------------------------------------------------------------------

ADD_ONE = smoothing("add_k", k=1.0, tune=False)


def _count_ngrams(vocabulary: Vocabulary, documents: Sequence[str], order: int) -> CountTable:
    return counts.count_ngrams([Block(vocabulary.stream(documents), 1)], Packing(len(vocabulary)), order)


@pytest.fixture(scope="session")
def count_ngrams() -> Callable[..., CountTable]:
    """(vocabulary, documents, order) -> the n-grams of that order with their counts."""
    return _count_ngrams


@pytest.fixture(scope="session")
def counted() -> Callable[..., CountModel]:
    """Documents -> the n-gram model of them, by default a bigram with add-one smoothing."""

    def model(
        documents: Sequence[str],
        order: int = 2,
        smoothing: Smoothing = ADD_ONE,
        val: Sequence[str] = (),
        prune: Sequence[int] = (),
    ) -> CountModel:
        vocabulary = Vocabulary.of(documents)
        blocks = [Block(vocabulary.stream(documents), 1)]
        raw = tables_by_order(_count_ngrams(vocabulary, documents, order))
        train = TrainCounts(raw, lambda: counts.first_appearance(blocks, len(vocabulary)))
        method = estimate(smoothing, train, _count_ngrams(vocabulary, val, order) if val else None)
        settings = Count(name="count", order=order, prune=list(prune), prune_entropy=None)
        return CountModel(vocabulary, prune_by_count(method.tables(train), raw, settings), method)

    return model


@pytest.fixture(scope="session")
def bigram_of() -> Callable[..., CountModel]:
    """(vocabulary, a (V, V) table of counts, k) -> the bigram with k added to each count."""

    def model(vocabulary: Vocabulary, matrix: np.ndarray, k: float) -> CountModel:
        packing = Packing(len(vocabulary))
        found = np.argwhere(matrix)
        tables = tables_by_order(CountTable(packing.pack(found), matrix[tuple(found.T)], packing, 2))
        settings = smoothing("add_k", k=k, tune=False) if k else smoothing("none")
        return CountModel(vocabulary, tables, estimate(settings, TrainCounts(tables), None))

    return model


@pytest.fixture(scope="session")
def pairs() -> Callable[[Stream, int], Ids]:
    """(ids, V) -> how often each id follows each: (V, V)."""
    return lambda stream, vocab_size: counts.count_stream(stream, vocab_size, 2)[1].matrix(np.arange(vocab_size))
