"""The exceptions that end a run, each with its exit code, and the context that turns signals into one of them."""

import os
import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any


class BadInput(ValueError):
    """A setting or a file of the user cannot be used. Exit code 2.

    The message is one line: the problem, its place, the remedy.
    """

    exit_code = 2


def refuse_beyond_memory(what: str, need: int, remedy: str) -> None:
    """Raises BadInput if `need` bytes are more than half of this machine's memory. Called before any is allocated."""
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if need > have / 2:
        gib, of = f"{need / 2**30:,.0f} GiB", f"{have / 2**30:,.0f}"
        raise BadInput(f"{what} needs about {gib}, more than half of this machine's {of}; {remedy}")


class Diverged(RuntimeError):
    """The loss became nan or stayed above that of a uniform guess. Exit code 3."""

    exit_code = 3


class Pruned(Exception):
    """A search stopped the run early because its loss was worse than the median of earlier trials."""


SIGNALS: dict[int, str] = {
    signal.SIGINT: "interrupted (Ctrl-C)",
    signal.SIGTERM: "terminated (SIGTERM)",
    signal.SIGHUP: "the terminal was closed (SIGHUP)",
}


def stop_signals() -> list[int]:
    """The signals that ask to stop; not SIGHUP where it is ignored, as under nohup."""
    return [each for each in SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]


class Interrupted(BaseException):
    """A signal stopped the run. Exit code 128 + the signal's number (SIGINT 130, SIGTERM 143, SIGHUP 129).

    Not an `Exception`, so that code which catches failures does not catch a request to stop.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(SIGNALS.get(signum, f"stopped by signal {signum}"))
        self.folder: Path | None = None  # of the run, if it can be resumed
        self.exit_code = 128 + signum


class Stop:
    """Within this context SIGINT, SIGTERM and SIGHUP raise Interrupted at once; after hold(), when the context exits.

    If the interrupted code swallows the exception, it is raised again when the context exits. Signals are delivered to
    the main thread only; in other threads the context does nothing.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._held = self._waits = False
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> Interrupted | None:
        """The exception for the signal received, None if there was none."""
        return None if self.signum is None else Interrupted(self.signum)

    def hold(self) -> None:
        """Delays the exception until the context exits."""
        self._held = True

    def wait(self) -> None:
        """From here to go_on() a signal only sets `asked`, so that a step can be finished; a second one raises."""
        self._waits = True

    def go_on(self) -> None:
        """Raises Interrupted if a signal came since wait()."""
        self._waits = False
        if self.asked:
            raise self.asked

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            self._before = {signum: signal.signal(signum, self._receive) for signum in stop_signals()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        if self.signum is not None and not isinstance(error, Interrupted):
            raise Interrupted(self.signum) from error

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        waits = self._waits and self.signum is None
        self.signum = self.signum or signum
        if not self._held and not waits:
            raise Interrupted(self.signum)
