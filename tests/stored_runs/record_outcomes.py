"""Records the outcomes of the stored commands: python record_outcomes.py CHECKOUT PYTHON [FILE]

CHECKOUT is a clone of this project, PYTHON the interpreter that has it installed, FILE the file that is written
(by default outcomes.json beside this script). Two cases run at a time.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import stored_texts as texts
from stored_cases import CASES, Case
from stored_outcome import ENVIRONMENT, comparable, run_case

OUTCOMES = Path(__file__).with_name("outcomes.json")
AT_ONCE = 2
WIDTH = 200  # characters of a line

# With other vector instructions numpy and torch round differently: a digest of some results tells them apart
CPU = """
import hashlib, json, numpy, torch
x = numpy.linspace(1e-9, 5, 10007)
results = numpy.log(x), numpy.exp(-x), numpy.log2(x), x[:10000].reshape(100, 100) @ x[-10000:].reshape(100, 100)
digest = hashlib.sha256(b"".join(each.tobytes() for each in results)).hexdigest()
print(json.dumps({"torch": torch.backends.cpu.get_cpu_capability(), "numpy": digest}))
"""


def cpu_of(python: str) -> dict[str, str]:
    """A fingerprint of the processor: equal where the same sums have the same last bits."""
    done = subprocess.run(
        [python, "-c", CPU], capture_output=True, text=True, check=True, env={**os.environ, **ENVIRONMENT}
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def record(checkout: Path, python: str) -> dict[str, Any]:
    """Runs all cases. Returns the outcome of each by its name."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(AT_ONCE) as pool:
        data = Path(name).resolve() / "data"
        data.mkdir()
        texts.write(data, checkout)

        def outcome(case: Case) -> dict[str, Any]:
            out = data.parent / case.name
            out.mkdir()
            begun = time.monotonic()
            found = run_case(case, checkout, python, out, data)
            print(f"{time.monotonic() - begun:5.1f} s  {case.name}", *_told(found), file=sys.stderr, flush=True)
            return comparable(found)

        return {case.name: found for case, found in zip(CASES, pool.map(outcome, CASES), strict=True)}


def _told(found: dict[str, Any]) -> list[str]:
    """Exit codes and refusals, as progress for the reader."""
    return [f"{each['code']} {each.get('stderr', '').rstrip()}" for each in found["commands"]]


def refuse_other_code(checkout: Path, python: str) -> None:
    """Raises SystemExit if the interpreter imports the package from another folder."""
    ask = "import nextchar; print(nextchar.__file__)"
    found = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    if not Path(found).resolve().is_relative_to(checkout):
        raise SystemExit(f"{python} imports {found}, which is not in {checkout}")


def compact(text: str) -> str:
    """Puts the innermost lists and objects of JSON on one line each if they are short."""

    def joined(found: re.Match[str]) -> str:
        line = (
            re.sub(r"\n *", " ", found[0]).replace("[ ", "[").replace(" ]", "]").replace("{ ", "{").replace(" }", "}")
        )
        return line if len(line) <= WIDTH else found[0]

    return re.sub(r"[\[{]\n[^\[\]{}]*[\]}]", joined, text)


def main() -> None:
    checkout, python = Path(sys.argv[1]).resolve(), sys.argv[2]
    refuse_other_code(checkout, python)
    outcomes = {"cpu": cpu_of(python), "cases": record(checkout, python)}
    file = Path(sys.argv[3]) if len(sys.argv) > 3 else OUTCOMES
    text = compact(json.dumps(outcomes, indent=1, sort_keys=True))
    assert json.loads(text) == outcomes
    file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
