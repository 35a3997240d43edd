"""A Dask cluster gives the same counts as one machine, even if a worker dies; its failures are one line each."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster

from nextchar.config.compose import run_settings
from nextchar.data.corpus import EMBEDDED
from nextchar.data.encoded import Block, Split
from nextchar.data.load import load
from nextchar.errors import BadInput
from nextchar.models.ngram import dask_counts
from nextchar.models.ngram.counts import CountTable, count_ngrams
from nextchar.models.ngram.dask_counts import check_cluster, count_on_cluster
from nextchar.models.ngram.keys import Packing

LINES = EMBEDDED.read_text().splitlines(keepends=True)
SMALL = ["figures=false", "model=count", "model.order=4"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A scheduler in this process, and two workers in processes of their own."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local:
        yield local.scheduler_address


def files(folder: Path, data: str) -> list[str]:
    """Five files of names, of very different sizes."""
    (folder / "text").mkdir()
    for number, (start, end) in enumerate([(0, 10), (10, 3000), (3000, 3001), (3001, 5000), (5000, 9000)]):
        (folder / f"text/{number}.txt").write_text("".join(LINES[start:end]))
    return [f"data={data}", f"data.path={folder}/text"]


def train_part(argv: list[str]) -> Split:
    return load(run_settings(argv).data).splits["train"]


def same(one: CountTable, other: CountTable) -> bool:
    return np.array_equal(one.keys, other.keys) and np.array_equal(one.counts, other.counts)


@pytest.mark.parametrize("data", ["lines", "text"])
def test_a_cluster_trains_the_same_model_to_the_bit(address: str, data: str, tmp_path: Path, runs) -> None:
    argv = [*SMALL, *files(tmp_path, data)]
    assert len(train_part(argv[3:]).shards()) > 3
    runs.train(*argv, f"hydra.run.dir={tmp_path}/here")
    runs.train(*argv, f"cluster.address={address}", f"hydra.run.dir={tmp_path}/there")
    assert runs.weights(tmp_path / "here") == runs.weights(tmp_path / "there")
    assert runs.record(tmp_path / "here")["metrics"] == runs.record(tmp_path / "there")["metrics"]


@pytest.mark.parametrize("data", ["names", "lines"])
def test_one_shard_is_enough(address: str, data: str, tmp_path: Path, runs) -> None:
    argv = [f"data={data}"]
    if data == "lines":
        argv.append(runs.names(tmp_path))
    part, packing = train_part([*argv, "data.split=lecture"]), Packing(30)
    assert same(count_on_cluster(part, packing, 3, address), count_ngrams(part.blocks(2), packing, 3))


@dataclass
class Deadly:
    """A shard whose first readers are killed in the middle, one for each mark."""

    shard: Split
    marks: list[Path]

    def blocks(self, context: int) -> Iterator[Block]:
        for piece in self.shard.blocks(context):
            yield Block(*piece)
            for mark in self.marks:
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class OfDeadly:
    each: list[Deadly]

    def shards(self) -> list[Deadly]:
        return self.each


@pytest.fixture
def part(tmp_path: Path) -> Split:
    return train_part(files(tmp_path, "lines"))


def with_deaths(part: Split, folder: Path, deaths: int) -> tuple[OfDeadly, list[Path]]:
    marks = [folder / f"mark{number}" for number in range(deaths)]
    return OfDeadly([Deadly(shard, marks if i == 3 else []) for i, shard in enumerate(part.shards())]), marks


def test_a_worker_that_is_killed_is_replaced(address: str, part: Split, tmp_path: Path) -> None:
    deadly, marks = with_deaths(part, tmp_path, 1)
    counted = count_on_cluster(deadly, Packing(30), 5, address)  # type: ignore[arg-type]
    assert marks[0].exists()
    assert same(counted, count_ngrams(part.blocks(4), Packing(30), 5))


def test_a_file_that_kills_every_worker(address: str, part: Split, tmp_path: Path) -> None:
    deadly, marks = with_deaths(part, tmp_path, 9)
    with pytest.raises(BadInput, match="a file killed one worker after another, at last tcp://"):
        count_on_cluster(deadly, Packing(30), 5, address)  # type: ignore[arg-type]
    assert marks[1].exists()
    assert not marks[8].exists()


def test_a_file_that_differs_on_a_worker(address: str, part: Split, tmp_path: Path) -> None:
    (tmp_path / "text" / "3.txt").unlink()
    with pytest.raises(BadInput, match=r"3\.txt.*No such file.*must see the same files under the same paths"):
        count_on_cluster(part, Packing(30), 3, address)
    (tmp_path / "text" / "3.txt").write_text("anna\n")
    with pytest.raises(BadInput, match=r"3\.txt.*chang.*must see the same files under the same paths"):
        count_on_cluster(part, Packing(30), 3, address)


# --- refusals -------------------------------------------------------------------------------------------------------


def test_without_a_cluster_no_folder_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str], runs) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        assert runs.exit_code(*SMALL, f"cluster.address={address}", f"hydra.run.dir={tmp_path}/run") == 2
    said = capsys.readouterr().err
    assert f"cluster.address={address}: no scheduler can be reached (Connection refused)" in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@contextmanager
def answering(greeting: bytes) -> Iterator[str]:
    """A server that sends a greeting and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            connection.sendall(greeting)
            connections.append(connection)

        connections: list[socket.socket] = []
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join()
            for connection in connections:
                connection.close()


def test_a_server_that_is_no_scheduler(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        answering(b"SSH-2.0-OpenSSH_9.6\r\n") as other,
        pytest.raises(BadInput, match="server there is no scheduler"),
    ):
        check_cluster(other)
    monkeypatch.setattr(dask_counts, "ANSWER_TIMEOUT", 0.2)
    with answering(b"") as silent, pytest.raises(BadInput, match=r"no answer within 0\.2 seconds"):
        check_cluster(silent)


def test_a_cluster_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_counts, "FIRST_WORKER_TIMEOUT", 0.3)
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(BadInput, match=f"no workers; start some: dask worker {empty.scheduler_address}"),
    ):
        check_cluster(empty.scheduler_address)


WITHOUT_US = """
import sys
sys.modules["nextchar"] = None
from distributed import LocalCluster
with LocalCluster(n_workers=1, processes=False, host="127.0.0.1", protocol="tcp", dashboard_address=":0") as cluster:
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


def test_a_cluster_that_lacks_this_package() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", WITHOUT_US], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as other:
        assert other.stdout is not None
        with pytest.raises(BadInput, match=r"lacks nextchar.*; install nextchar for its scheduler"):
            check_cluster(other.stdout.readline().strip())
        other.communicate()


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadInput, match=r"pip install 'dask\[distributed\]'"):
        check_cluster("tcp://127.0.0.1:8786")


@pytest.mark.parametrize("argv", [["cluster.address=here:1"], ["model=nn", "cluster.address=tcp://here:1"]])
def test_a_cluster_that_is_invalid_or_has_no_effect(argv: list[str]) -> None:
    with pytest.raises(BadInput, match=r"cluster\.address"):
        run_settings(argv)
