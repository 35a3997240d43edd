"""The files of a text counted by the workers of a Dask cluster, and merged there: the same counts as on one machine.

Dask sends code from process to process: name only a cluster that is yours.
"""

import logging
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from nextchar.data.encoded import Split
from nextchar.errors import BadInput
from nextchar.models.ngram import counts
from nextchar.models.ngram.counts import Counted
from nextchar.models.ngram.keys import Packing

if TYPE_CHECKING:  # Dask is optional, and takes time to import
    from distributed import Client, Future

ANSWERS_WITHIN = 5.0  # seconds; a scheduler's first bytes come at once
FIRST_WORKER_WITHIN = 30.0  # seconds; a cluster may start workers only when it has work
LONGEST_GREETING = 1 << 16  # bytes


def reach(address: str) -> None:
    """Raises BadInput where Dask is not installed, none of its schedulers answers, or the cluster cannot count."""
    with _client(address):
        pass


def count(part: Split, packing: Packing, order: int, address: str) -> Counted:
    """Like `counts.count` of the part's pieces, each file by one of the cluster's workers; merged pair by pair there.

    What a dead worker had is done again by others. Raises BadInput where the cluster cannot be reached, where a worker
    lacks this package or cannot read a file as it was read here, and where workers die of a file again and again.
    """
    with _client(address) as client:
        futures = [client.submit(_counted, shard, packing, order, pure=False) for shard in part.shards()]
        while len(futures) > 1:
            futures = [_merged(client, futures[i : i + 2]) for i in range(0, len(futures), 2)]
        counted: Counted = futures[0].result()
    return counted


def _counted(shard: Split, packing: Packing, order: int) -> Counted:
    """What a worker does with one file. Raises BadInput where the file is not there, or is not the one read here."""
    return counts.count(shard.blocks(order - 1), packing, order, threads=1)


def _merged(client: "Client", pair: Sequence["Future[Counted]"]) -> "Future[Counted]":
    return client.submit(counts.merge, pair, pure=False) if len(pair) == 2 else pair[0]


@contextmanager
def _client(address: str) -> Iterator["Client"]:
    try:
        from distributed import Client
        from distributed.versions import VersionMismatchWarning
    except ModuleNotFoundError:
        raise BadInput("cluster.address needs Dask; pip install 'dask[distributed]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is raised
    _greeted(address)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # what cannot be understood is refused later
            client = Client(address, timeout=ANSWERS_WITHIN, set_as_default=False)
    except Exception as error:  # whatever comes to the mind of a server that speaks Dask and is no scheduler
        raise BadInput(f"cluster.address={address}: no scheduler of Dask ({type(error).__name__})") from None
    with client, _failures_named(address):
        _able(client)
        yield client


def _able(client: "Client") -> None:
    """Whatever has this package finds the function; whatever lacks it, and was sent a part, would lose its head."""
    name = f"{__name__}:{_counted.__name__}"
    client.submit(resolve_name, name, pure=False).result(FIRST_WORKER_WITHIN)
    client.run_on_scheduler(resolve_name, name)
    client.run(resolve_name, name)


def _greeted(address: str) -> None:
    """Raises BadInput where nobody answers, or somebody does who does not begin as Dask does, with a short frame.

    Dask's own client tries a closed port until its time is up, and waits for ever for other servers.
    """
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWERS_WITHIN) as connection:
            greeting = connection.recv(8, socket.MSG_WAITALL)
    except TimeoutError:
        raise BadInput(f"cluster.address={address}: no answer within {ANSWERS_WITHIN:g} seconds") from None
    except OSError as error:
        raise BadInput(f"cluster.address={address}: no scheduler can be reached ({error.strerror})") from None
    if len(greeting) < 8 or int.from_bytes(greeting, "little") > LONGEST_GREETING:
        raise BadInput(f"cluster.address={address}: who answers there is no scheduler of Dask")


@contextmanager
def _failures_named(address: str) -> Iterator[None]:
    """What goes wrong on the cluster, in one line."""
    from distributed import CancelledError, KilledWorker

    where = f"cluster.address={address}"
    try:
        yield
    except BadInput as error:
        raise BadInput(
            f"{error} (on a worker of {where}, which must see the same files under the same paths)"
        ) from None
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{where}: it lacks {error.name}; install nextchar where its scheduler and its workers run"
        ) from None
    except TimeoutError:
        raise BadInput(f"{where}: it has no workers; start some: dask worker {address}") from None
    except KilledWorker as error:
        raise BadInput(f"{where}: workers died again and again, the last one {error.last_worker.address}; "
                       "give them more memory, or cut the text into smaller files") from None  # fmt: skip
    except (CancelledError, OSError) as error:
        raise BadInput(f"{where}: the scheduler is gone ({type(error).__name__})") from None
