"""The processes that train one net together: the run itself, which is rank 0, and the others, which only compute.

On one machine the run starts the others, as forks of itself where that is sound. Lightning's own launchers would make
rank 0 another process than the one that goes on with the run, or type the command line once more, a sweep's too.
Several machines have their processes started by torchrun or srun. The others have no folder and no terminal, and end
as rank 0 says.
"""

import hashlib
import json
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, NoReturn

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch._C._distributed_c10d import FileStore, PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.multiprocessing import _prctl_pr_set_pdeathsig  # type: ignore[attr-defined]

from nextchar.config.trainer_settings import Cpu, Ddp
from nextchar.errors import BadInput, Diverged

LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
GRACE = 2.0  # seconds in which a process that has lost another one learns why
BEREFT = 4  # exit code of a process that has lost another one
TO_HEAR = 3.0  # seconds for which rank 0 waits for the others to hear how the run ended
VERDICT, HEARD = "exit code", "heard"
STOPS = (signal.SIGINT, signal.SIGTERM)


class Place(NamedTuple):
    """A process's place among those that train together."""

    rank: int
    world: int


class Together(DDPStrategy):
    """DDP among processes that are there and have joined already."""

    def __init__(self, place: Place) -> None:
        cpus = [torch.device("cpu")] * place.world
        super().__init__(parallel_devices=cpus, cluster_environment=_Seat(place.rank), process_group_backend="gloo")

    def _configure_launcher(self) -> None:
        """Nothing is launched."""


class _Seat(LightningEnvironment):
    """To Lightning all processes are on one machine; on CPUs it makes no difference."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self._seat = rank

    def local_rank(self) -> int:
        return self._seat

    def node_rank(self) -> int:
        return 0

    def teardown(self) -> None:
        pass


def here() -> Place:
    """The place of this process."""
    return Place(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Place(0, 1)


# --- started by the run ---------------------------------------------------------------------------------------------


class _Other(NamedTuple):
    """A process that the run has started, and what it says: None when it is ready, a traceback when it fails."""

    rank: int
    process: BaseProcess
    pipe: Connection


@contextmanager
def joined(trainer: Cpu | Ddp, work: Callable[..., None], *args: Any) -> Iterator[Place]:
    """Within it this process and the others can talk; gives its place among them.

    The others are started here and do `work(*args)` meanwhile, unless torchrun or srun has started them (`company`).
    Raises ChildProcessError where one of them ends before its time.
    """
    world = trainer.devices if isinstance(trainer, Ddp) else 1
    if dist.is_initialized():
        with _losses_named([]):
            yield here()
    elif world == 1:
        yield Place(0, 1)
    else:
        place = Place(0, world)
        with (
            tempfile.TemporaryDirectory() as folder,
            _started(place, folder, work, args) as others,
            _losses_named(others),
        ):
            _join_on_this_machine(folder, place)
            yield place


@contextmanager
def _started(place: Place, folder: str, work: Callable[..., None], args: tuple[Any, ...]) -> Iterator[list[_Other]]:
    """The other processes, ready to join; whatever happens they end with this context, and the group with them."""
    others: list[_Other] = []
    try:
        with _signals_held():  # else one could end this process before it knows of its child
            context = _context()
            for rank in range(1, place.world):
                ours, theirs = context.Pipe()
                task = Place(rank, place.world), folder, theirs, work, args
                process = context.Process(target=_take_part, args=task, daemon=True)  # type: ignore[attr-defined]
                process.start()
                theirs.close()
                others.append(_Other(rank, process, ours))
        for other in others:
            if other.pipe not in wait([other.pipe, other.process.sentinel]) or other.pipe.recv() is not None:
                raise ChildProcessError(f"process {other.rank} of {place.world} could not be started")
        yield others
    finally:
        with _signals_held():
            for other in others:
                other.process.kill()  # it has nothing that would be missed
                other.process.join()
                other.pipe.close()
            if dist.is_initialized():
                dist.destroy_process_group()


def _context() -> BaseContext:
    """Fork costs nothing, but a fork has none of the threads that torch may have started, and would wait for them."""
    sound = sys.platform == "linux" and torch.get_num_threads() == 1 and not torch.accelerator.is_available()
    return multiprocessing.get_context("fork" if sound else "spawn")


def _take_part(
    place: Place, folder: str, pipe: Connection, work: Callable[..., None], args: tuple[Any, ...]
) -> NoReturn:
    """What another process does, from its first line to its last."""
    _prctl_pr_set_pdeathsig(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for rank 0, which ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    _mute()
    try:
        pipe.send(None)
        _join_on_this_machine(folder, place)
        work(*args)
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()  # which ends this process
    except BaseException as error:
        if _is_broken(error):
            os._exit(BEREFT)
        with suppress(OSError):
            pipe.send(traceback.format_exc())
    os._exit(1)


@contextmanager
def _losses_named(others: list[_Other]) -> Iterator[None]:
    """Where another process is lost: ChildProcessError with what became of it, not what the network noticed of that."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, Diverged):
            raise
        if (cause := _cause(others)) is not None:
            raise _loss(cause, error) from error
        if _is_broken(error):
            raise ChildProcessError("the connection to another process of this run broke") from error
        raise


def _cause(others: list[_Other]) -> _Other | None:
    """The first of these processes to end, those left out that ended because they had lost another one."""
    running, until = {other.process.sentinel: other for other in others}, time.monotonic() + GRACE
    while running and (ended := wait(list(running), max(0.0, until - time.monotonic()))):
        for sentinel in ended:
            assert isinstance(sentinel, int)
            other = running.pop(sentinel)
            other.process.join()
            if other.process.exitcode != BEREFT:
                return other
    return None


def _loss(other: _Other, error: BaseException) -> ChildProcessError:
    code = other.process.exitcode
    if code is not None and code < 0:
        return ChildProcessError(f"process {other.rank} of this run was ended by {signal.Signals(-code).name}")
    with suppress(EOFError, OSError):
        said: str = other.pipe.recv()
        error.add_note(f"The traceback of process {other.rank}:\n{said}")
        return ChildProcessError(f"process {other.rank} of this run failed: {said.strip().splitlines()[-1]}")
    return ChildProcessError(f"process {other.rank} of this run ended with exit code {code}")


def _join_on_this_machine(folder: str, place: Place) -> None:
    """Nothing listens to the network, and no port needs to be free."""
    ours = {"GLOO_SOCKET_IFNAME": LOOPBACK} if "GLOO_SOCKET_IFNAME" not in os.environ else {}
    os.environ.update(ours)
    try:
        dist.init_process_group(
            "gloo", store=FileStore(f"{folder}/store", place.world), rank=place.rank, world_size=place.world
        )
    finally:
        for name in ours:
            del os.environ[name]


# --- started by torchrun or srun ------------------------------------------------------------------------------------


def called(trainer: Ddp) -> Place | None:
    """The place of a process that torchrun or srun has started among others, None for any other. Raises BadInput."""
    elsewhere = _elsewhere()
    wanted = trainer.devices * trainer.nodes
    if elsewhere is None:
        if trainer.nodes > 1:
            start = f"torchrun --nnodes {trainer.nodes} --nproc-per-node {trainer.devices}"
            raise BadInput(
                f"trainer.nodes={trainer.nodes}: on each machine start the processes with {start} "
                "--rdzv-backend c10d --rdzv-endpoint HOST:29500 scripts/train.py ..., or all with srun"
            )
        return None
    place = Place(elsewhere.global_rank(), elsewhere.world_size())
    if place.world != wanted:
        if place.rank > 0:
            raise SystemExit(BadInput.exit_code)
        raise BadInput(
            f"trainer.devices={trainer.devices} on trainer.nodes={trainer.nodes} makes {wanted} processes, "
            f"but {place.world} were started"
        )
    os.environ |= {"MASTER_ADDR": elsewhere.main_address, "MASTER_PORT": str(elsewhere.main_port)}
    os.environ |= {"RANK": str(place.rank), "WORLD_SIZE": str(place.world)}
    return place


def _elsewhere() -> TorchElasticEnvironment | SLURMEnvironment | None:
    """Who has started this process among others; a batch script that runs on one processor has not."""
    with warnings.catch_warnings(action="ignore"):  # of a machine that has srun, where it was not used
        if TorchElasticEnvironment.detect():
            return TorchElasticEnvironment()
        if not (SLURMEnvironment.detect() and int(os.environ["SLURM_NTASKS"]) > 1):
            return None
        try:
            return SLURMEnvironment(auto_requeue=False)
        except RuntimeError as error:
            raise BadInput(str(error)) from None


@contextmanager
def company(place: Place) -> Iterator[None]:
    """Joins processes that were started elsewhere. On leaving, rank 0 says how it ended, and the others end likewise.

    So for these the context is left by SystemExit; but an error that is theirs alone is raised.
    """
    before = [signal.signal(signum, signal.SIG_DFL) for signum in STOPS]  # as long as it waits for the others
    try:
        store, _, _ = next(rendezvous("env://"))
    except RuntimeError as unreachable:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ChildProcessError(f"the other processes of this run cannot be reached at {where}") from unreachable
    error: BaseException | None = None
    try:
        with _losses_named([]):
            group = PrefixStore("group", store)
            dist.init_process_group("gloo", store=group, rank=place.rank, world_size=place.world)
        for signum, handler in zip(STOPS, before, strict=True):
            signal.signal(signum, handler if place.rank == 0 else signal.SIG_IGN)
        yield
    except BaseException as raised:
        error = raised
        if place.rank == 0:
            raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()  # who still waits for this process gives up
        if place.rank == 0:
            _tell(store, place, _exit_code(error))
        else:
            code = _hear(store)
            if error is not None and not _is_broken(error) and _exit_code(error) != code:
                raise error
            raise SystemExit(code)


def _tell(store: Store, place: Place, code: int) -> None:
    """Says with which exit code the run ends, and waits until the others have heard, as their store may end with us."""
    with suppress(RuntimeError):  # of a store that is gone, and those who would hear with it
        store.set(VERDICT, str(code))
        until = time.monotonic() + TO_HEAR
        while store.add(HEARD, 0) < place.world - 1 and time.monotonic() < until:
            time.sleep(0.01)


def _hear(store: Store) -> int:
    """The exit code of rank 0, which may still have to measure and to draw; 1 where it cannot be asked any more."""
    try:
        store.wait([VERDICT], timedelta(days=7))
        code = int(store.get(VERDICT))
        store.add(HEARD, 1)
    except RuntimeError:
        return 1
    return code


def _is_broken(error: BaseException) -> bool:
    """Whether all that is known is that another process is not there any more."""
    return isinstance(error, ChildProcessError) or "gloo" in str(error)


def _exit_code(error: BaseException | None) -> int:
    return 0 if error is None else getattr(error, "exit_code", 1)


def agree(*values: object) -> None:
    """Raises BadInput, on all processes at once, where one has other settings or another text than the others.

    A process that is alone agrees with itself.
    """
    if not dist.is_initialized():
        return
    digest = hashlib.sha256(json.dumps(values).encode()).hexdigest()
    digests: list[Any] = [None] * dist.get_world_size()
    with _losses_named([]):
        dist.all_gather_object(digests, digest)
    if strange := [rank for rank, other in enumerate(digests) if other != digests[0]]:
        raise BadInput(f"process {strange[0]} has other settings or another text than process 0")


# --- small change ---------------------------------------------------------------------------------------------------


@contextmanager
def _signals_held() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _mute() -> None:
    """Only rank 0 has something to say."""
    logging.disable()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
