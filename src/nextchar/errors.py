"""How a run ends badly: each end has one exception and one exit code."""

import os
import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any


class BadInput(ValueError):
    """Something the user typed or gave cannot be used. One line: what, where, what to do. Exit code 2."""

    exit_code = 2


def refuse_beyond_memory(what: str, need: int, remedy: str) -> None:
    """Raises BadInput, before memory is taken, where `need` bytes are more than half of what this machine has."""
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if need > have / 2:
        gib, of = f"{need / 2**30:,.0f} GiB", f"{have / 2**30:,.0f}"
        raise BadInput(f"{what} needs about {gib}, more than half of this machine's {of}; {remedy}")


class Diverged(RuntimeError):
    """Training went to nan or stayed worse than guessing uniformly. Exit code 3."""

    exit_code = 3


class Pruned(Exception):
    """A search gave the run up as hopeless."""


class Interrupted(BaseException):
    """A signal asked the run to stop. Exit code 128 + the signal's number (SIGINT 130, SIGTERM 143).

    Not an `Exception`, so that nothing which survives a failure takes a request to stop for one.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}")
        self.folder: Path | None = None  # of the run that can be gone on with
        self.exit_code = 128 + signum


class Stop:
    """Within it SIGINT and SIGTERM raise Interrupted, wherever the program is; once held back, only on leaving.

    Whatever the code that was hit makes of the exception, the request is not lost: the context is left as Interrupted.
    Only the main thread hears signals; in others `Stop` does nothing.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._held = False
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> Interrupted | None:
        """What was asked, if anything was."""
        return None if self.signum is None else Interrupted(self.signum)

    def hold(self) -> None:
        """From here on nothing is interrupted any more."""
        self._held = True

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            self._before = {signum: signal.signal(signum, self._hear) for signum in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        if self.signum is not None and not isinstance(error, Interrupted):
            raise Interrupted(self.signum) from error

    def _hear(self, signum: int, frame: FrameType | None) -> None:
        self.signum = self.signum or signum
        if not self._held:
            raise Interrupted(self.signum)
