"""Counting on a Dask cluster: each worker counts files, the workers merge; the counts are those of one machine.

Dask sends code between processes: name only a cluster that you trust.
"""

import logging
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from nextchar.data.encoded import Split
from nextchar.errors import BadInput
from nextchar.models.ngram.counts import CountTable, count_ngrams, merge
from nextchar.models.ngram.keys import Packing

if TYPE_CHECKING:  # Dask is optional, and takes time to import
    from distributed import Client

ANSWER_TIMEOUT = 5.0  # seconds; a scheduler greets at once
FIRST_WORKER_TIMEOUT = 30.0  # seconds; a cluster may start workers only when it has work
LONGEST_GREETING = 1 << 16  # bytes


def check_cluster(address: str) -> None:
    """Raises BadInput if Dask is not installed, no scheduler answers, or the cluster cannot run our functions."""
    with _client(address):
        pass


def count_on_cluster(split: Split, packing: Packing, order: int, address: str) -> CountTable:
    """Counts the n-grams of a split as `count_ngrams` does, each file on one worker.

    Dask repeats the tasks of a worker that dies. Raises BadInput if the cluster cannot be reached, if a worker lacks
    this package or cannot read the same file, or if a file kills one worker after another.
    """
    with _client(address) as client:
        parts = [client.submit(_count_file, shard, packing, order, pure=False) for shard in split.shards()]
        while len(parts) > 1:  # pairs of neighbours; merging one alone changes nothing
            parts = [client.submit(merge, parts[i : i + 2], pure=False) for i in range(0, len(parts), 2)]
        return parts[0].result()


def _count_file(shard: Split, packing: Packing, order: int) -> CountTable:
    """Runs on a worker. Raises BadInput if the file is missing there, or is not the one read here."""
    return count_ngrams(shard.blocks(order - 1), packing, order, threads=1)


@contextmanager
def _client(address: str) -> Iterator["Client"]:
    """Connects to a cluster that can run our functions; its failures become one line of BadInput."""
    where = f"cluster.address={address}"
    try:
        from distributed import CancelledError, Client, KilledWorker
        from distributed.versions import VersionMismatchWarning
    except ModuleNotFoundError:
        raise BadInput("cluster.address needs Dask; pip install 'dask[distributed]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # failures that matter are raised
    _check_greeting(address)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # a version that does not work fails below
            client = Client(address, timeout=ANSWER_TIMEOUT, set_as_default=False)
    except Exception as error:  # a server that is not a scheduler can fail in any way here
        raise BadInput(f"{where}: no scheduler of Dask ({type(error).__name__})") from None
    name = f"{__name__}:{_count_file.__name__}"
    with client:
        try:
            # scheduler and workers must be able to import our function: a worker that cannot unpickle its task dies
            client.submit(resolve_name, name, pure=False).result(FIRST_WORKER_TIMEOUT)
            client.run_on_scheduler(resolve_name, name)
            client.run(resolve_name, name)
            yield client
        except BadInput as error:
            place = f"on a worker of {where}, which must see the same files under the same paths"
            raise BadInput(f"{error} ({place})") from None
        except ModuleNotFoundError as error:
            remedy = "install nextchar for its scheduler and its workers too"
            raise BadInput(f"{where} lacks {error.name}; {remedy}") from None
        except TimeoutError:
            raise BadInput(f"{where}: it has no workers; start some: dask worker {address}") from None
        except KilledWorker as error:
            worker = error.last_worker.address
            remedy = "give them more memory, or cut the text into smaller files"
            raise BadInput(f"{where}: a file killed one worker after another, at last {worker}; {remedy}") from None
        except (CancelledError, OSError) as error:
            raise BadInput(f"{where}: the scheduler is gone ({type(error).__name__})") from None


def _check_greeting(address: str) -> None:
    """Raises BadInput if no server answers, or one that does not begin with a short frame as Dask does.

    Dask's own client retries a closed port until its timeout, and waits forever for other servers.
    """
    where, (host, _, port) = f"cluster.address={address}", address.removeprefix("tcp://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_TIMEOUT) as connection:
            greeting = connection.recv(8, socket.MSG_WAITALL)
    except TimeoutError:
        raise BadInput(f"{where}: no answer within {ANSWER_TIMEOUT:g} seconds") from None
    except OSError as error:
        raise BadInput(f"{where}: no scheduler can be reached ({error.strerror})") from None
    if len(greeting) < 8 or int.from_bytes(greeting, "little") > LONGEST_GREETING:
        raise BadInput(f"{where}: the server there is no scheduler of Dask")
