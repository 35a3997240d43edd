"""The processes that train one net together: rank 0 is the run itself, the others compute their share of each batch.

torchrun or srun may have started all of them, on one machine or several (`launched`). Where neither has, the run
starts the others on its own machine (`connected`) with torch.multiprocessing.spawn, on which Lightning's `ddp_spawn`
is built too. So rank 0 stays the process that was asked for the run, also in a sweep and in Python, and keeps its exit
code; torchrun ends with 1 however the run ended, and stops rank 0 before it can say which process failed.

Each started process imports torch and Lightning anew, a few seconds before the first step.
"""

import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch.multiprocessing import ProcessContext, ProcessExitedException, ProcessRaisedException, spawn

from nextchar.config.trainer_settings import Cpu, Ddp
from nextchar.errors import BadInput, Diverged

LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
TO_END = 10.0  # seconds that rank 0 waits for the end of a process whose connection broke
TO_HEAR = 3.0  # seconds that rank 0 waits until the others know its exit code, and they until it has failed like them


def trainer_options(trainer: Cpu | Ddp) -> dict[str, Any]:
    """Returns the arguments of Lightning's Trainer for the processes that are connected."""
    if isinstance(trainer, Cpu) or not dist.is_initialized():
        return {"devices": 1}
    strategy = DDPStrategy(cluster_environment=_cluster() or _OneMachine())
    return {"devices": trainer.devices, "num_nodes": trainer.nodes, "strategy": strategy}


class _OneMachine(LightningEnvironment):
    """Tells Lightning that the processes on this machine have been started."""

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return dist.get_rank()

    def node_rank(self) -> int:
        return 0


def agree(*values: object) -> None:
    """Raises BadInput, in all processes at once, if they do not have the same values: settings, digests."""
    if not dist.is_initialized():
        return
    by_rank: list[Any] = [None] * dist.get_world_size()
    with _lost_process_named():
        dist.all_gather_object(by_rank, values)
    if different := [rank for rank, other in enumerate(by_rank) if other != by_rank[0]]:
        raise BadInput(f"process {different[0]} has other settings or another text than process 0")


# --- started by the run ---------------------------------------------------------------------------------------------


@contextmanager
def connected(trainer: Cpu | Ddp, work: Callable[..., None], *args: Any) -> Iterator[None]:
    """Connects the processes of a run.

    Unless torchrun or srun has started the others, they are started here, do `work(*args)`, and end with this context.
    Raises ChildProcessError if one of them ends too early.
    """
    world = trainer.devices if isinstance(trainer, Ddp) else 1
    if world == 1 or dist.is_initialized():
        with _lost_process_named():
            yield
        return
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # its remarks on processes that it ends
    # A worker of joblib has the start method "loky", which a new process would be asked to set and does not know
    multiprocessing.set_start_method("spawn", force=True)
    with tempfile.TemporaryDirectory() as folder:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # inherited: Ctrl-C must not interrupt their imports
        try:
            others = spawn(_take_part, (folder, world, work, args), nprocs=world - 1, join=False, daemon=True)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        try:
            with _lost_process_named(others):
                store = dist.FileStore(f"{folder}/store", world)
                while not store.check([str(rank) for rank in range(1, world)]):
                    others.join(timeout=0.02)
                _connect(store, 0, world)
                yield
        finally:
            for process in others.processes:
                process.kill()  # it has nothing to save
                process.join()
            if dist.is_initialized():
                dist.destroy_process_group()


def _take_part(index: int, folder: str, world: int, work: Callable[..., None], args: tuple[Any, ...]) -> None:
    """Runs in each process that `connected` starts. Its errors are reported by rank 0."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # spawn has it sent when rank 0 dies
    logging.disable()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    rank, store, parent = index + 1, dist.FileStore(f"{folder}/store", world), multiprocessing.parent_process()
    store.set(str(rank), "has started")
    assert parent is not None
    if parent.is_alive():  # else it would wait for the connection
        _connect(store, rank, world)
        try:
            work(*args)
        except RuntimeError as error:
            if not _is_broken(error):
                raise
        parent.join()


def _connect(store: dist.Store, rank: int, world: int) -> None:
    """Connects the processes of this machine by a file and the loopback interface: other machines find no open port."""
    ours = {"GLOO_SOCKET_IFNAME": LOOPBACK} if "GLOO_SOCKET_IFNAME" not in os.environ else {}
    os.environ.update(ours)
    try:
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    finally:
        for name in ours:
            del os.environ[name]


@contextmanager
def _lost_process_named(others: ProcessContext | None = None) -> Iterator[None]:
    """Raises ChildProcessError, which says what happened to a process, for the network's error on losing it."""
    try:
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, Diverged):
                raise
            if others is not None:
                others.join(timeout=TO_END if _is_broken(error) else 0)  # raises what ended one of them
            if _is_broken(error):
                raise ChildProcessError("the connection to another process of this run broke") from error
            raise
    except (ProcessRaisedException, ProcessExitedException) as lost:
        if isinstance(lost, ProcessRaisedException):
            end = f"failed: {lost.msg.strip().splitlines()[-1]}"
        else:
            end = f"was ended by {lost.signal_name}" if lost.signal_name else f"ended with exit code {lost.exit_code}"
        raise ChildProcessError(f"process {lost.error_index + 1} of this run {end}") from lost


def _is_broken(error: BaseException) -> bool:
    """Whether the error says only that another process cannot be reached any more."""
    return isinstance(error, ChildProcessError) or "gloo" in str(error).lower()


# --- started by torchrun or srun ------------------------------------------------------------------------------------


@contextmanager
def launched(trainer: Ddp) -> Iterator[int]:
    """Connects the processes that torchrun or srun has started; yields the rank of this one, 0 where neither has.

    The others end when rank 0 leaves, with the same exit code; but an error that they alone have is raised. Raises
    BadInput where the settings ask for other processes than were started.
    """
    cluster = _cluster()
    if cluster is None:
        if trainer.nodes > 1:
            start = f"torchrun --nnodes {trainer.nodes} --nproc-per-node {trainer.devices}"
            raise BadInput(
                f"trainer.nodes={trainer.nodes}: on each machine start the processes with {start} "
                "--rdzv-backend c10d --rdzv-endpoint HOST:29500 scripts/train.py ..., or all with srun"
            )
        yield 0
        return
    rank, world, wanted = cluster.global_rank(), cluster.world_size(), trainer.devices * trainer.nodes
    if world != wanted:
        if rank > 0:
            raise SystemExit(BadInput.exit_code)
        raise BadInput(
            f"trainer.devices={trainer.devices} on trainer.nodes={trainer.nodes} makes {wanted} processes, "
            f"but {world} were started"
        )
    # while it waits for the others, a signal ends it
    handlers = {signum: signal.signal(signum, signal.SIG_DFL) for signum in (signal.SIGINT, signal.SIGTERM)}
    where = f"{cluster.main_address}:{cluster.main_port}"
    try:
        store: dist.Store = next(dist.rendezvous(f"tcp://{where}", rank, world))[0]
    except RuntimeError as error:
        raise ChildProcessError(f"the other processes of this run cannot be reached at {where}") from error
    ended: list[int] = []  # the exit code of this process, once it has an error of its own
    listener = threading.Thread(target=_end_like_rank_0, args=(store, ended), daemon=True)
    try:
        with _lost_process_named():
            dist.init_process_group("gloo", store=dist.PrefixStore("group", store), rank=rank, world_size=world)
        for signum, handler in handlers.items():
            signal.signal(signum, handler if rank == 0 else signal.SIG_IGN)
        if rank > 0:
            listener.start()
        yield rank
    except BaseException as error:
        if rank == 0 or not _is_broken(error):
            ended.append(getattr(error, "exit_code", 1))
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        if rank == 0:
            with suppress(RuntimeError):  # the store is gone, and with it all who use it
                store.set("exit code", str(ended[0] if ended else 0))
                until = time.monotonic() + TO_HEAR  # this process may hold the store: it waits until all have read it
                while store.add("heard", 0) < world - 1 and time.monotonic() < until:
                    time.sleep(0.01)
        elif listener.is_alive():
            listener.join(TO_HEAR if ended else None)


def _cluster() -> ClusterEnvironment | None:
    """The processes among which torchrun or srun has started this one; None where neither has. Raises BadInput."""
    with warnings.catch_warnings(action="ignore"):  # on a machine that has srun: that it was not used
        if TorchElasticEnvironment.detect():
            return TorchElasticEnvironment()
        # a batch script runs in one task of its job
        if not (SLURMEnvironment.detect() and int(os.environ["SLURM_NTASKS"]) > 1):
            return None
        try:
            return SLURMEnvironment(auto_requeue=False)
        except RuntimeError as error:
            raise BadInput(str(error)) from None


def _end_like_rank_0(store: dist.Store, ended: list[int]) -> None:
    """Ends this process, whatever it waits for, when rank 0 ends and with its exit code; with 1 if rank 0 is lost.

    But a process whose own error has another exit code goes on, to report it.
    """
    code = 1
    with suppress(RuntimeError):
        store.wait(["exit code"], timedelta(days=7))
        code = int(store.get("exit code"))
        store.add("heard", 1)
    if ended in ([], [code]):
        os._exit(code)
