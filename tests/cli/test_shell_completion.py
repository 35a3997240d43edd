"""TAB in a shell: Hydra answers, from conf/ and for every door, and a half-typed line is never a traceback."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nextchar.config.fields import options_of
from nextchar.config.optim_settings import Sgd

NEXTCHAR = [sys.executable, "-m", "nextchar"]


@pytest.fixture
def offered(project: Path) -> Callable[..., set[str]]:
    """The words that a shell is offered for a line: offered("python scripts/train.py mo")."""

    def ask(line: str, shell: str = "bash") -> set[str]:
        first, second = [*line.split(), "", ""][:2]
        program = [sys.executable, str(project / second)] if first == "python" else NEXTCHAR
        ended = subprocess.run(
            [*program, "-sc", f"query={shell}"],
            capture_output=True,
            text=True,
            env={**os.environ, "COMP_LINE": line},
            timeout=120,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        return set(ended.stdout.split())

    return ask


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("python scripts/train.py mo", {"model=", "model."}),
        ("python scripts/train.py model=", {f"model={name}" for name in options_of("model")}),
        ("python scripts/train.py data.sp", {"data.split="}),
        ("python scripts/train.py model=nn optim.", {f"optim.{key}=" for key in Sgd.model_fields}),
        ("python scripts/train.py -m smoothing.k=0.1,1 sw", {"sweep=", "sweep."}),
        ("python scripts/sample.py run=x to", {"top_k=", "top_p="}),
        ("nextchar tr", {"train"}),
        ("nextchar train data=la", set()),
        ("nextchar train data=ma", {"data=makemore"}),
    ],
)
def test_groups_options_and_keys_are_offered(line: str, words: set[str], offered) -> None:
    assert offered(line) == words


@pytest.mark.parametrize("line", ["", "python scripts/train.py optim=null mo", "nextchar 'half", "nextchar sample x=("])
def test_nothing_breaks(line: str, offered) -> None:
    assert offered(line) >= set()


def test_other_shells(offered) -> None:
    assert (
        offered("python scripts/train.py mo", "fish")
        == offered("python scripts/train.py mo", "zsh")
        == {
            "model=",
            "model.",
        }
    )


def test_bash_itself(project: Path) -> None:
    """As a user installs it: the function that Hydra defines fills what bash offers."""
    program = """
eval "$(python scripts/train.py -sc install=bash)"
COMP_LINE="python scripts/train.py smoothing=ka" COMP_POINT=36 COMP_CWORD=2
hydra_bash_completion
echo "${COMPREPLY[@]}"
"""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "--norc", "-c", program],
        capture_output=True,
        text=True,
        cwd=project,
        env={**os.environ, "PATH": path},
        timeout=120,
    )
    assert ended.stdout == "smoothing=katz\n"


@pytest.mark.parametrize("request_", ["install=fosh", "query", ""])
def test_another_request_is_refused_in_one_line(request_: str, run_script) -> None:
    ended = run_script("train", "-sc", *request_.split())
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"error: -sc {request_}: must be install=bash, uninstall=bash or query=bash; or zsh, or fish\n"
    )
