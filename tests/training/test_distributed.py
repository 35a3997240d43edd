"""Several processes train the same net as one process, each on its share of a batch, and end together."""

import math
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as some
from safetensors.numpy import load

from nextchar.config.compose import run_settings
from nextchar.config.train_settings import TrainSettings
from nextchar.data.encoded import Split
from nextchar.data.vocabulary import Vocabulary
from nextchar.errors import BadInput, Pruned
from nextchar.models.nets.net import Net, build
from nextchar.models.ngram.counts import count_stream
from nextchar.training import train as training
from nextchar.training.batches import Batch, MergedPairs
from nextchar.training.data_module import NextCharDataModule
from nextchar.training.lightning_module import NextCharModule
from nextchar.training.progress import Progress

DDP = ["model=nn", "data=lines", "trainer=ddp", "figures=false"]
ENDLESS = ["trainer.max_steps=100000000", "trainer.checkpoint_seconds=0.05", "trainer.log_every=7"]


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """Kills the processes that a failing test leaves behind."""
    before = psutil.Process().children(recursive=True)
    yield
    for process in psutil.Process().children(recursive=True):
        if process not in before and "resource_tracker" not in " ".join(process.cmdline()):  # of multiprocessing
            process.kill()


# --- started by the test, as by torchrun or srun --------------------------------------------------------------------


def torchrun(rank: int, world: int) -> dict[str, str]:
    """The environment in which torchrun starts a process."""
    return {"TORCHELASTIC_RUN_ID": "1", "RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}


def srun(rank: int, world: int) -> dict[str, str]:
    """The environment in which srun does."""
    tasks = {"SLURM_NTASKS": str(world), "SLURM_NTASKS_PER_NODE": str(world), "SLURM_JOB_ID": "1"}
    return tasks | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_NODEID": "0"}


def launched(runs, start: Callable[[int, int], dict[str, str]], *argvs: list[str]) -> list[int]:
    """Starts a process for each command line, as torchrun or srun would; returns their pids.

    They are forks, for which torch is imported already, and in which what a test has patched is patched.
    """
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}

    def work(rank: int, argv: list[str]) -> None:
        os.environ.update(address | start(rank, len(argvs)))
        sys.exit(runs.exit_code(*argv))

    return [runs.in_child(lambda rank=rank, argv=argv: work(rank, argv)) for rank, argv in enumerate(argvs)]  # type: ignore[misc]


def free_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


def train_together(runs, world: int, *argv: str) -> None:
    """Trains in so many processes."""
    pids = launched(runs, torchrun, *[[*argv, f"trainer.devices={world}"]] * world)
    assert [exit_of(pid) for pid in pids] == [0] * world


def until(happens: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def exit_of(pid: int) -> int:
    """The exit code of a process, which must end soon."""
    until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# --- the share of each process --------------------------------------------------------------------------------------


def rows(batch: Batch) -> Counter[str]:
    return Counter(f"{x} {y}" for x, y in zip(batch.xs.tolist(), batch.ys.tolist(), strict=True))


def nn(*argv: str) -> TrainSettings:
    return run_settings(["model=nn", *argv])


NET = build(nn().model, 5, 64, seed=0).requires_grad_(False)


@given(n=some.integers(1, 30), world=some.integers(1, 9), length=some.integers(1, 3), merged=some.booleans())
def test_the_shares_are_the_batch(n: int, world: int, length: int, merged: bool) -> None:
    """Each row falls to one process, none is padded, and the weighted losses have the batch's mean."""
    dice = torch.Generator().manual_seed(n)
    xs = torch.randint(5, (n, length), generator=dice)
    ys = torch.randint(-1, 5, (n, length), generator=dice)  # -1: not to be predicted
    ys[:, 0] = xs[:, 0]
    if merged:
        ys = torch.rand((n, length, 5), generator=dice, dtype=torch.float64)
        ys /= ys.sum()
    shares = [Batch(xs, ys).share(rank, world) for rank in range(world)]
    dealt = [part for part, weight in shares if weight > 0]
    assert sum(map(rows, dealt), Counter()) == rows(Batch(xs, ys))
    assert len(dealt) == min(n, world)
    mean = sum(weight * float(NET(*part)[1]) for part, weight in shares) / world
    assert mean == pytest.approx(float(NET(xs, ys)[1]), rel=1e-12)


@pytest.mark.parametrize("size", ["all", 1, 7, 101])
@pytest.mark.parametrize("world", [2, 3])
def test_an_epoch_shows_every_pair_to_one_process(size: int | str, world: int) -> None:
    vocabulary = Vocabulary("abcdef")
    split = Split.of(vocabulary, ["".join("abcdef"[i] for i in np.random.default_rng(0).integers(0, 6, 100))])
    settings = nn(f"data.batch_size={size}", "data.merge=false")
    pairs = MergedPairs({"train": split}, count_stream(split.stream, 7, 2)[1], settings.data, torch.float64, 1)
    steps = 1 if size == "all" else -(-101 // int(size))
    seen: Counter[str] = Counter()
    for rank in range(world):
        chunks = list(NextCharDataModule(pairs, range(steps), 4, rank, world).chunks())
        assert sum(len(chunk.batches) for chunk in chunks) == steps
        for chunk in chunks:
            for batch, weight in zip(chunk.batches, chunk.weights, strict=True):
                seen += rows(batch) if weight else Counter()
    assert seen == rows(pairs.rows(torch.arange(101)))


# --- the same net ---------------------------------------------------------------------------------------------------

KINDS = {
    "merged": (2, []),
    "merged, add-k": (3, ["optim=adam", "smoothing=add_k", "smoothing.k=3"]),
    "full batch, l2": (2, ["data.merge=false", "optim.momentum=0.9", "smoothing=l2"]),
    "uneven batches": (2, ["data.batch_size=997", "optim=adam"]),
    "uneven batches, add-k": (3, ["data.batch_size=997", "optim=adamw", "smoothing=add_k"]),
    "a pair a step, l2": (2, ["data.batch_size=1", "smoothing=l2", "optim.lr=0.5"]),
    "two pairs a step": (3, ["data.batch_size=2", "optim=adam"]),
    "sequences": (2, ["model=lstm", "model.n_hidden=8", "model.dropout=0", "data.batch_size=31"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_net_of_one_process(kind: str, tmp_path: Path, runs) -> None:
    world, argv = KINDS[kind]
    model = [] if any(word.startswith("model=") for word in argv) else ["model=nn"]
    argv = [*model, *argv, *DDP[1:], runs.names(tmp_path)]
    argv += ["trainer.max_steps=40", "trainer.log_every=3", "trainer.precision=64"]
    argv += ["trainer.checkpoint_seconds=0"]
    alone, together = tmp_path / "alone", tmp_path / "together"
    train_together(runs, world, *argv, f"hydra.run.dir={together}")
    runs.train(*argv, "trainer=cpu", f"hydra.run.dir={alone}")
    ours, theirs = (load(runs.weights(folder)) for folder in (together, alone))
    for name, weight in ours.items():
        assert np.abs(weight - theirs[name]).max() < 1e-9, name
    ours, theirs = runs.record(together), runs.record(alone)
    for tag in ("train/loss", "val/loss"):
        assert ours["curves"][tag]["steps"] == theirs["curves"][tag]["steps"]
        assert ours["curves"][tag]["values"] == pytest.approx(theirs["curves"][tag]["values"], abs=1e-9)
    assert ours["metrics"] == pytest.approx(theirs["metrics"], abs=1e-9)
    for tag in ("train/loss", "train/grad_norm", *(["train/objective"] if any("smoothing" in a for a in argv) else [])):
        drawn = [dict(runs.curve(folder, tag)) for folder in (together, alone)]
        assert drawn[0] == pytest.approx(drawn[1], rel=1e-6)
    assert runs.files(together) == runs.files(alone)


def test_it_is_so_in_float32(tmp_path: Path, runs) -> None:
    argv = [*DDP, runs.names(tmp_path), "trainer.max_steps=100", "data.batch_size=100"]
    runs.train(*argv, "trainer=cpu", f"hydra.run.dir={tmp_path / 'cpu'}")
    train_together(runs, 2, *argv, f"hydra.run.dir={tmp_path / 'ddp'}")
    ours, theirs = (runs.record(tmp_path / trainer)["metrics"] for trainer in ("ddp", "cpu"))
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_all_processes_hold_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs) -> None:
    def keep(module: NextCharModule) -> None:
        torch.save(module.net.state_dict(), tmp_path / f"{dist.get_rank()}.pt")

    monkeypatch.setattr(NextCharModule, "on_train_end", keep)
    argv = ["data.batch_size=50", "trainer.max_steps=30", "optim=adam"]
    train_together(runs, 3, *DDP, runs.names(tmp_path), *argv, f"hydra.run.dir={tmp_path / 'run'}")
    weights = [torch.load(tmp_path / f"{rank}.pt")["W"] for rank in range(3)]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
    assert np.array_equal(load(runs.weights(tmp_path / "run"))["W"], weights[0].numpy())


# --- started by the run ---------------------------------------------------------------------------------------------


def test_a_run_starts_the_other_processes(tmp_path: Path, runs, run_script) -> None:
    """They print nothing, log nothing and leave no file; torch may use several threads."""
    argv = [*DDP, runs.names(tmp_path), "trainer.max_steps=20", "trainer.precision=64", "data.merge=false"]
    ended = run_script("train", *argv, "trainer.threads=2", f"hydra.run.dir={tmp_path / 'together'}", TMPDIR=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("run folder") == 1
    lines = (tmp_path / "together/train.log").read_text().splitlines()
    assert [line.split()[3] for line in lines] == ["settings", "data", "metrics", "samples"]
    runs.train(*argv, "trainer=cpu", f"hydra.run.dir={tmp_path / 'alone'}")
    ours, theirs = (runs.record(tmp_path / name)["metrics"] for name in ("together", "alone"))
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert {path.name for path in tmp_path.iterdir()} == {"names.txt", "together", "alone"}


def test_a_sweep_of_two_jobs_at_a_time(tmp_path: Path, runs, run_script) -> None:
    """Each job has two processes, and none of them runs the command of the sweep again."""
    sweep = tmp_path / "sweep"
    argv = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *DDP, runs.names(tmp_path), "seed=1,2"]
    ended = run_script("train", *argv, "trainer.max_steps=20", f"hydra.sweep.dir={sweep}")
    assert ended.returncode == 0, ended.stderr
    folders = sorted(path for path in sweep.iterdir() if path.is_dir())
    assert [runs.record(folder)["settings"]["seed"] for folder in folders] == [1, 2]
    assert [runs.record(folder)["status"] for folder in folders] == ["finished"] * 2


def test_divergence(tmp_path: Path, capsys: Any, runs) -> None:
    argv = [*DDP, runs.names(tmp_path), "optim.lr=1e6", "trainer.max_steps=300"]
    reasons = []
    for trainer in ("cpu", "ddp"):
        assert runs.exit_code(*argv, f"trainer={trainer}", f"hydra.run.dir={tmp_path / trainer}") == 3
        record = runs.record(tmp_path / trainer)
        assert record["status"] == "diverged"
        assert capsys.readouterr().err == f"error: {record['reason']}\n"
        reasons.append(record["reason"])
    assert reasons[0] == reasons[1]
    assert "Traceback" in (tmp_path / "ddp/train.log").read_text()
    assert not multiprocessing.active_children()


def test_a_search_prunes_a_run(tmp_path: Path, runs) -> None:
    argv = [*DDP, runs.names(tmp_path), "trainer.log_every=5"]
    settings = run_settings(argv)

    class Judge(Progress):
        def validated(self, step: int, loss: float) -> None:
            if step == 10:
                raise Pruned("worse than others")

    with pytest.raises(Pruned, match="worse than others"):
        training.train(settings, tmp_path / "run", Judge())
    assert (runs.record(tmp_path / "run")["status"], runs.record(tmp_path / "run")["reason"]) == (
        "pruned",
        "worse than others",
    )
    assert not multiprocessing.active_children()
    assert not dist.is_initialized()


def started(runs, folder: Path, *argv: object) -> tuple[int, list[psutil.Process]]:
    """Starts a run in a session of its own; returns, once it has saved a checkpoint, its pid and the others by rank."""

    def work() -> None:
        os.setsid()
        sys.exit(runs.exit_code(*argv))

    checkpoint = folder / "checkpoints/last.ckpt"
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    pid = runs.in_child(work)
    until(lambda: checkpoint.exists() and checkpoint.stat().st_mtime_ns > before)
    children = psutil.Process(pid).children(recursive=True)
    return pid, [process for process in children if "spawn_main" in " ".join(process.cmdline())]


def all_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=10)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_stopped_and_resumed(tmp_path: Path, runs, same) -> None:
    """By Ctrl-C, by a signal to the run alone, and by a kill, one after the other; then it is the uninterrupted run."""
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    argv = [*DDP, runs.names(tmp_path), *ENDLESS, "optim=adam", "data.batch_size=50"]
    typed = [*argv, f"hydra.run.dir={cut}"]
    for send, signum, code in [
        (os.killpg, signal.SIGINT, 130),
        (os.kill, signal.SIGTERM, 143),
        (os.kill, signal.SIGKILL, -9),
    ]:
        pid, others = started(runs, cut, *typed)
        assert len(others) == 1
        send(pid, signum)
        assert exit_of(pid) == code
        assert all_gone(others)
        assert signum == signal.SIGKILL or runs.record(cut)["status"] == "interrupted"
        typed = [f"resume={cut}"]
    steps = runs.checkpoint(cut)["step"] + 10
    runs.train(f"resume={cut}", f"trainer.max_steps={steps}")
    train_together(runs, 2, *argv, f"trainer.max_steps={steps}", f"hydra.run.dir={whole}")
    assert same(cut, whole)


def test_a_process_is_killed(tmp_path: Path, runs) -> None:
    folder = tmp_path / "run"
    argv = [*DDP, runs.names(tmp_path), *ENDLESS, "trainer.devices=3", f"hydra.run.dir={folder}"]
    pid, others = started(runs, folder, *argv)
    assert len(others) == 2
    others[1].kill()
    assert exit_of(pid) == 1
    assert all_gone(others)
    record = runs.record(folder)
    assert record["status"] == "failed"
    assert record["reason"] == "process 2 of this run was ended by SIGKILL"


FAILING = """
import sys
from pathlib import Path

import torch.distributed as dist

from nextchar.config.compose import run_settings
from nextchar.training.lightning_module import NextCharModule
from nextchar.training.train import train

gradient = NextCharModule._gradient


def fail(module, *args):
    if dist.get_rank() == 1:
        raise MemoryError("made to fail")
    return gradient(module, *args)


NextCharModule._gradient = fail
if __name__ == "__main__":  # the other processes import all that stands above
    try:
        train(run_settings(sys.argv[2:]), Path(sys.argv[1]))
    except ChildProcessError as error:
        print(error)
"""


def test_a_process_fails(tmp_path: Path, runs) -> None:
    folder, script = tmp_path / "run", tmp_path / "failing.py"
    script.write_text(FAILING)
    command = [sys.executable, script, folder, *DDP, runs.names(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "process 1 of this run failed: MemoryError: made to fail\n"
    assert runs.record(folder)["status"] == "failed"
    assert "in fail\n" in (folder / "train.log").read_text()


# --- started by torchrun or srun ------------------------------------------------------------------------------------


def test_two_machines(tmp_path: Path, runs, project) -> None:
    """Two torchruns of one process each. One folder, one who speaks, and the net of one process."""
    folder, alone = tmp_path / "run", tmp_path / "alone"
    words = [*DDP, runs.names(tmp_path), "trainer.max_steps=40", "trainer.precision=64", "data.batch_size=101"]
    machines = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", free_port()]
    processes = []
    for rank in range(2):
        torchrun = [sys.executable, "-m", "torch.distributed.run", *machines, "--node-rank", str(rank)]
        argv = [project / "scripts/train.py", *words, "trainer.devices=1", "trainer.nodes=2", f"hydra.run.dir={folder}"]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen([*torchrun, *argv], stdout=pipe, stderr=pipe, text=True))
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert str(folder) in said[0][0]
    assert said[1] == ("", "")
    runs.train(*words, "trainer=cpu", f"hydra.run.dir={alone}")
    assert runs.record(folder)["metrics"] == pytest.approx(runs.record(alone)["metrics"], abs=1e-9)
    assert dict(runs.curve(folder, "train/loss")) == pytest.approx(dict(runs.curve(alone, "train/loss")), rel=1e-6)


@pytest.mark.parametrize("start", [torchrun, srun])
@pytest.mark.parametrize(
    ("argv", "code"),
    [([], 0), (["optim.lr=1e6", "trainer.max_steps=300"], 3), (["data.path=/none"], 2), (["trainer.devices=3"], 2)],
)
def test_they_end_alike(
    start: Callable[[int, int], dict[str, str]], argv: list[str], code: int, tmp_path: Path, runs
) -> None:
    folder = tmp_path / "run"
    words = [*DDP, runs.names(tmp_path), "trainer.max_steps=20", *argv, f"hydra.run.dir={folder}"]
    assert [exit_of(pid) for pid in launched(runs, start, words, words)] == [code, code]
    assert folder.exists() == (code != 2)
    assert list(tmp_path.glob("*/run.json")) == ([folder / "run.json"] if code != 2 else [])


class Layers(Net):
    """A net of several tensors: the order in which their gradients are summed must not depend on where a run starts."""

    def __init__(self, settings: Any, vocab_size: int, generator: torch.Generator | None) -> None:
        super().__init__(settings, vocab_size, generator)
        for name, shape in {"wte": (vocab_size, 5), "bias": (vocab_size,), "lm_head": (5, vocab_size)}.items():
            self.register_parameter(name, torch.nn.Parameter(torch.randn(shape, generator=generator)))

    def get_block_size(self) -> int:
        return 1

    def logits(self, idx: torch.Tensor) -> torch.Tensor:
        return self.wte[idx] @ self.lm_head + self.bias


@pytest.mark.parametrize("start", [torchrun, srun])
def test_a_signal_ends_all(
    start: Callable[[int, int], dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs, same
) -> None:
    """Rank 0 may get it last; the run is interrupted all the same, and resumed it is the uninterrupted run."""
    monkeypatch.setattr("nextchar.models.nets.bigram.Bigram", Layers)
    folder, whole = tmp_path / "run", tmp_path / "whole"
    argv = [*DDP, runs.names(tmp_path), *ENDLESS, "trainer.devices=3", "optim=adam", "data.batch_size=50"]
    pids = launched(runs, start, *[[*argv, f"hydra.run.dir={folder}"]] * 3)
    until(lambda: (folder / "checkpoints/last.ckpt").exists())
    for pid in reversed(pids):
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.1)
    assert [exit_of(pid) for pid in pids] == [143] * 3
    assert runs.record(folder)["status"] == "interrupted"
    steps = runs.checkpoint(folder)["step"] + 10
    again = [f"resume={folder}", f"trainer.max_steps={steps}"]
    assert [exit_of(pid) for pid in launched(runs, start, *[again] * 3)] == [0] * 3
    train_together(runs, 3, *argv, f"trainer.max_steps={steps}", f"hydra.run.dir={whole}")
    assert same(folder, whole)


@pytest.mark.parametrize("start", [torchrun, srun])
def test_resumed_with_no_step_left(
    start: Callable[[int, int], dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs
) -> None:
    folder = tmp_path / "run"
    argv = [*DDP, runs.names(tmp_path), "trainer.max_steps=20", f"hydra.run.dir={folder}"]
    with monkeypatch.context() as patch:
        patch.setattr("nextchar.training.train.measure", lambda *_: signal.raise_signal(signal.SIGINT))
        assert [exit_of(pid) for pid in launched(runs, start, argv, argv)] == [130, 130]
    assert runs.checkpoint(folder)["step"] == 20
    again = [f"resume={folder}"]
    assert [exit_of(pid) for pid in launched(runs, start, again, again)] == [0, 0]
    assert runs.record(folder)["status"] == "finished"


def test_a_killed_one_ends_all(tmp_path: Path, runs) -> None:
    folder = tmp_path / "run"
    words = [*DDP, runs.names(tmp_path), *ENDLESS, f"hydra.run.dir={folder}"]
    pids = launched(runs, torchrun, words, words)
    until(lambda: (folder / "checkpoints/last.ckpt").exists())
    os.kill(pids[1], signal.SIGKILL)
    assert [exit_of(pid) for pid in pids] == [1, -9]
    assert runs.record(folder)["reason"] == "the connection to another process of this run broke"


def test_a_failing_one_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs) -> None:
    gradient = NextCharModule._gradient

    def fail(module: NextCharModule, *args: Any) -> Any:
        if not module.alone and dist.get_rank() == 1:
            raise MemoryError("made to fail")
        return gradient(module, *args)

    monkeypatch.setattr(NextCharModule, "_gradient", fail)
    folder = tmp_path / "run"
    words = [*DDP, runs.names(tmp_path), f"hydra.run.dir={folder}"]
    assert [exit_of(pid) for pid in launched(runs, torchrun, words, words)] == [1, 99]  # 99: it has raised MemoryError
    assert runs.record(folder)["reason"] == "the connection to another process of this run broke"


@pytest.mark.parametrize("other", ["seed=1", "text"])
def test_all_need_the_same_settings_and_text(other: str, tmp_path: Path, runs) -> None:
    folder = tmp_path / "run"
    words = [*DDP, runs.names(tmp_path), "trainer.max_steps=20", f"hydra.run.dir={folder}"]
    (tmp_path / "other").mkdir()
    strange = runs.names(tmp_path / "other", 401) if other == "text" else other
    assert [exit_of(pid) for pid in launched(runs, torchrun, words, [*words, strange])] == [2, 2]
    assert not folder.exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trainer.nodes=2"], r"trainer.nodes=2: on each machine .* torchrun --nnodes 2 --nproc-per-node 2 .* srun"),
        (["optim=lbfgs"], r"optim=lbfgs .*; set trainer=cpu"),
        (["trainer.devices=0"], r"trainer.devices=0: must be a whole number from 1 to 256"),
        (["trainer=cpu", "trainer.devices=2"], r"trainer.devices=2: trainer=cpu has no devices; trainer=ddp has"),
    ],
)
def test_refused_settings(words: list[str], line: str, tmp_path: Path, runs) -> None:
    with pytest.raises(BadInput, match=line):
        runs.train(*DDP, runs.names(tmp_path), *words, f"hydra.run.dir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


def test_one_process_needs_no_other(tmp_path: Path, runs) -> None:
    argv = [*DDP, runs.names(tmp_path), "trainer.max_steps=20"]
    runs.train(*argv, "trainer.devices=1", f"hydra.run.dir={tmp_path / 'ddp'}")
    runs.train(*argv, "trainer=cpu", f"hydra.run.dir={tmp_path / 'cpu'}")
    assert runs.weights(tmp_path / "ddp") == runs.weights(tmp_path / "cpu")
    assert math.isfinite(runs.record(tmp_path / "ddp")["metrics"]["test/loss"])
