"""make campaign: attempts to break nextchar, many at random, within a time limit. Prints one table: tried, bad.

python tests/campaigns/campaign.py [minutes=30] [seed=0] [out=docs/reliability.md]

An attempt yields "" if it ended well, or a line that says what went wrong. Two processes work at a time. A campaign
ends after its number of attempts or its share of the time; the table says how many there were.
"""

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import faults
import fuzz_folders
import fuzz_texts
import kills
import settings_at_random
import starts

Attempts = Callable[[Path, int], Iterator[str]]  # (an empty folder, seed): endless, or ends when all cases are tried
PROCESSES = 2
SHOWN = 20  # bad attempts that are printed


@dataclass(frozen=True)
class Campaign:
    name: str
    attempts: Attempts
    wanted: int
    share: float  # of the time


CAMPAIGNS = [
    Campaign("text files, mutated and read", fuzz_texts.attempts, 200_000, 0.3),
    Campaign("run folders, mutated and opened", fuzz_folders.runs, 200_000, 0.25),
    Campaign("checkpoints, sweep.json, optuna.db, ARPA files, mutated and read", fuzz_folders.others, 20_000, 0.05),
    Campaign("calls of write, fsync, rename, link, open that fail, one after the other", faults.attempts, 4_000, 0.12),
    Campaign("kills in this process's forks, then resumed to the same result", kills.in_forks, 5_000, 0.13),
    Campaign("kills of whole commands, then run again to the same result", kills.of_commands, 5_000, 0.05),
    Campaign("settings of all groups at random: a result or one line", settings_at_random.attempts, 1_000, 0.08),
    Campaign("folders for a hundred runs that start at once", starts.attempts, 50, 0.01),
    Campaign("runs killed and resumed fifty times in a chain", kills.in_chains, 20, 0.01),
]


def main() -> None:
    words = dict(word.split("=") for word in sys.argv[1:])
    minutes, seed = float(words.get("minutes", 30)), int(words.get("seed", 0))
    rows = [(each.name, *run(each, minutes * 60 * each.share, seed)) for each in CAMPAIGNS]
    table = as_table(("attempts", "tried", "bad"), [(name, tried, len(bad)) for name, tried, bad in rows])
    print(table)
    for name, _, bad in rows:
        for line in bad[:SHOWN]:
            print(f"{name}: {line}", file=sys.stderr)
    if "out" in words:
        write_page(Path(words["out"]), "campaign", table, f"make campaign (minutes={minutes:g}, seed={seed})")
    sys.exit(any(bad for _, _, bad in rows))


def run(campaign: Campaign, seconds: float, seed: int, processes: int = PROCESSES) -> tuple[int, list[str]]:
    """Returns how many attempts were made, and the bad ones."""
    print(f"{campaign.name} ...", file=sys.stderr, flush=True)
    jobs = [(campaign.attempts, seconds, campaign.wanted // processes, seed + i) for i in range(processes)]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:  # nothing of one campaign is left in the next
        results = list(pool.map(_work, jobs))
    return sum(tried for tried, _ in results), [line for _, bad in results for line in bad]


def _work(job: tuple[Attempts, float, int, int]) -> tuple[int, list[str]]:
    attempts, seconds, wanted, seed = job
    folder, bad, tried, end = Path(tempfile.mkdtemp(prefix="campaign")), list[str](), 0, time.monotonic() + seconds
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
        try:
            for says in attempts(folder, seed):
                tried += 1
                bad += [says] if says else []
                if tried >= wanted or time.monotonic() > end:
                    break
        except Exception as error:  # bad too, and the table must say so
            tried, bad = tried + 1, [*bad, f"attempt {tried + 1}: {type(error).__name__}: {error}"]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return tried, bad


def as_table(headings: Sequence[str], rows: Sequence[tuple[str | int, ...]]) -> str:
    lines = [headings, [":--", *["--:"] * (len(headings) - 1)]]
    lines += [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_page(path: Path, name: str, table: str, command: str) -> None:
    """Puts the table between the marks of its name on the page, with the command, the commit and the machine."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = path.read_text().partition(start)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    made = f"`{command}` at commit {commit.strip()} on {machine}:"
    path.write_text(f"{before}{start}\n{made}\n\n{table}\n{end}{rest.partition(end)[2]}")


if __name__ == "__main__":
    main()
