"""Starting costs little: CPU seconds of `import nextchar`, of --help and of a refusal, and none of them imports torch.

CPU seconds, because another process may be running. A busy machine is slower in these too, so each limit is the
larger of its seconds and of its share of `import torch`, which takes 1.4 CPU seconds on an idle machine.
"""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

IMPORT_TORCH = 1.4  # CPU seconds
SLOW = {
    "torch",
    "lightning",
    "matplotlib",
    "PIL",
    "tensorboard",
    "tensorboardX",
    "pooch",
    "requests",
    "scipy",
    "pandas",
}
LISTED = "import atexit, sys; atexit.register(lambda: print('MODULES', *sys.modules, file=sys.stderr))\n"


def cpu(code: str, *, exit_code: int = 0) -> tuple[float, set[str]]:
    """CPU seconds of a Python process that runs this code, and the libraries that it has imported."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", LISTED + code]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == exit_code, done.stderr
    modules = done.stderr.rpartition("MODULES")[2].split()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, {m.partition(".")[0] for m in modules}


def slowness() -> float:
    """How much more CPU time this machine takes now than an idle one; at least 1."""
    return max(1.0, cpu("import torch")[0] / IMPORT_TORCH)


def test_ten_imports_take_a_fifth_of_a_second() -> None:
    cpu("import nextchar")  # compiles what has changed
    seconds = sum(cpu("import nextchar")[0] - cpu("")[0] for _ in range(10))
    assert seconds <= 0.2 * slowness()
    assert not cpu("import nextchar")[1] & {*SLOW, "numpy", "hydra", "pydantic", "rich"}


@pytest.mark.parametrize(
    ("words", "exit_code", "limit"),
    [
        (["--help"], 0, 0.5),
        (["optim.lrr=1"], 2, 0.5),
        (["data=lines", "data.path=/no/such/file"], 2, 0.6),  # numpy is imported before a file is read
    ],
)
def test_help_and_a_refusal_take_half_a_second(words: list[str], exit_code: int, limit: float, project: Path) -> None:
    script = str(project / "scripts" / "train.py")
    code = f"import runpy, sys; sys.argv = ['train.py', *{words!r}]; runpy.run_path({script!r}, run_name='__main__')"
    assert not cpu(code, exit_code=exit_code)[1] & SLOW
    # Each beside an import of torch: the speed of a busy machine changes within seconds
    assert any(cpu(code, exit_code=exit_code)[0] / slowness() <= limit for _ in range(8))


def test_a_run_is_prepared_without_torch() -> None:
    """training/train.py imports torch only for a net."""
    assert not cpu("import nextchar.training.train")[1] & SLOW
