"""The CPU seconds of a script by phase, as one line of JSON."""

import json
import resource
from pathlib import Path


class Costs:
    """CPU seconds of all threads by phase, counted from its construction: imports before it are free."""

    def __init__(self) -> None:
        self._since, self._cpu = spent(), dict[str, float]()

    def lap(self, phase: str) -> None:
        """Ends a phase."""
        now = spent()
        self._cpu[phase], self._since = now - self._since, now

    def tell(self, **more: float) -> None:
        """Prints the seconds, the peak of memory in MB (imports included) and these numbers."""
        print(json.dumps(self._cpu | {"mb": peak() / 1e6} | more))


def spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak() -> float:
    """Peak memory in bytes. Linux's ru_maxrss would start from the peak of the parent process."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
