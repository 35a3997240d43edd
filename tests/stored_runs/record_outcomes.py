"""Records the outcomes of the stored commands: python record_outcomes.py [FILE]

The interpreter has this project installed. FILE is the file that is written (by default outcomes.json beside this
script). Two cases run at a time.
"""

import hashlib
import json
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import stored_texts as texts
import torch
from stored_cases import CASES, Case
from stored_outcome import comparable, run_case

import nextchar

PROJECT = Path(__file__).resolve().parents[2]
OUTCOMES = Path(__file__).with_name("outcomes.json")
AT_ONCE = 2
WIDTH = 200  # characters of a line


def cpu() -> dict[str, str]:
    """A fingerprint of the processor: equal where the same sums have the same last bits.

    With other vector instructions numpy and torch round differently: a digest of some results tells them apart.
    """
    x = np.linspace(1e-9, 5, 10007)
    results = np.log(x), np.exp(-x), np.log2(x), x[:10000].reshape(100, 100) @ x[-10000:].reshape(100, 100)
    weights = torch.from_numpy(x[:1024].astype(np.float32).reshape(32, 32)).requires_grad_()
    torch.nn.functional.cross_entropy(weights @ weights.tanh(), torch.arange(32)).backward()
    return {
        "numpy": _digest(*(each.tobytes() for each in results)),
        "torch": f"{torch.backends.cpu.get_cpu_capability()} {_digest(weights.grad.numpy().tobytes())}",
    }


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


def record() -> dict[str, Any]:
    """Runs all cases. Returns the outcome of each by its name."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(AT_ONCE) as pool:
        data = Path(name).resolve() / "data"
        data.mkdir()
        texts.write(data, PROJECT)

        def outcome(case: Case) -> dict[str, Any]:
            out = data.parent / case.name
            out.mkdir()
            begun = time.monotonic()
            found = run_case(case, PROJECT, out, data)
            print(f"{time.monotonic() - begun:5.1f} s  {case.name}", *_told(found), file=sys.stderr, flush=True)
            return comparable(found)

        return {case.name: found for case, found in zip(CASES, pool.map(outcome, CASES), strict=True)}


def _told(found: dict[str, Any]) -> list[str]:
    """Exit codes and refusals, as progress for the reader."""
    return [f"{each['code']} {each.get('stderr', '').rstrip()}" for each in found["commands"]]


def refuse_other_code() -> None:
    """Raises SystemExit if the interpreter imports the package of another checkout."""
    if not Path(nextchar.__file__).resolve().is_relative_to(PROJECT):
        raise SystemExit(f"{sys.executable} imports {nextchar.__file__}, which is not in {PROJECT}")


def compact(text: str) -> str:
    """Puts the innermost lists and objects of JSON on one line each if they are short."""

    def joined(found: re.Match[str]) -> str:
        line = (
            re.sub(r"\n *", " ", found[0]).replace("[ ", "[").replace(" ]", "]").replace("{ ", "{").replace(" }", "}")
        )
        return line if len(line) <= WIDTH else found[0]

    return re.sub(r"[\[{]\n[^\[\]{}]*[\]}]", joined, text)


def main() -> None:
    refuse_other_code()
    outcomes = {"cpu": cpu(), "cases": record()}
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTCOMES
    text = compact(json.dumps(outcomes, indent=1, sort_keys=True))
    assert json.loads(text) == outcomes
    file.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
