"""What a script has cost, phase by phase, as one line of JSON."""

import json
import resource
from pathlib import Path


class Costs:
    """CPU seconds, of all threads, since it was made; imports before that do not count."""

    def __init__(self) -> None:
        self._since, self._cpu = spent(), dict[str, float]()

    def lap(self, phase: str) -> None:
        now = spent()
        self._cpu[phase], self._since = now - self._since, now

    def tell(self, **more: float) -> None:
        """Prints them, with the peak of the memory in MB, imports included."""
        print(json.dumps(self._cpu | {"mb": peak() / 1e6} | more))


def spent() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak() -> float:
    """Bytes. What Linux calls ru_maxrss begins with the peak of the process that started this one."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
