"""What all tests share: the clone's paths, and running a script as a user does."""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

PROJECT = Path(__file__).resolve().parents[1]

hypothesis.settings.register_profile("busy", deadline=None)  # a machine that does other things too is no failure
hypothesis.settings.load_profile("busy")

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: more threads fight over few cores


def run_script(name: str, *args: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs scripts/NAME.py as a user does; output as text."""
    return subprocess.run(
        [sys.executable, PROJECT / "scripts" / f"{name}.py", *map(str, args)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Torch on one thread, wherever a test has imported it."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
