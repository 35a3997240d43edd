"""How a run ends badly: each end has one exception and one exit code."""


class BadInput(ValueError):
    """Something the user typed or gave cannot be used. One line: what, where, what to do. Exit code 2."""

    exit_code = 2


class Diverged(RuntimeError):
    """Training went to nan or stayed worse than guessing uniformly. Exit code 3."""

    exit_code = 3


class Interrupted(BaseException):
    """A signal asked the run to stop. Exit code 128 + the signal's number (SIGINT 130, SIGTERM 143).

    Not an `Exception`, so that nothing which survives a failure takes a request to stop for one.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}")
        self.exit_code = 128 + signum
