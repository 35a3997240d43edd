"""TAB in bash: what it offers fits what was typed, nothing private is among it, and nothing slow is imported for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT, run_script

TABS = """
eval "$(python scripts/train.py -sc install=bash)"
while IFS= read -r COMP_LINE; do
    COMP_POINT=${#COMP_LINE}
    _nextchar
    printf '%s\\t' "${COMPREPLY[@]}"
    printf '\\n'
done
"""

OFFERED = {  # what was typed -> what stands there after TAB, of all that is offered
    "python scripts/train.py mo": {"model=", "model."},
    "python scripts/train.py model=": {"arpa ", "count ", "nn "},
    "python scripts/train.py model=n": {"nn "},
    "python3 ./scripts/train.py data.sp": {"data.split="},
    "python scripts/train.py data.split=": {"hash ", "lecture ", "makemore ", "contiguous ", "all "},
    "python scripts/train.py figures=": {"true ", "false "},
    "python scripts/train.py model=nn optim=adam optim.": {"optim.beta1=", "optim.beta2=", "optim.lr="},
    "python scripts/train.py model=nn optim.lr=": {"15 "},
    "python scripts/train.py optim": set(),  # a count has none
    "python scripts/train.py experiment=lecture_net smoothing.": {"smoothing.strength="},
    "python scripts/train.py data=lines data.path=": set(),  # bash goes on with file names
    "python scripts/train.py sweep": set(),
    "python scripts/train.py hydra": {"hydra."},
    "python scripts/train.py hydra.": {"hydra.run."},
    "python scripts/train.py -m model=count,": {"count,arpa", "count,nn"},
    "python scripts/train.py -m model=count,nn op": {"optim.", "optim="},
    "python scripts/train.py -m smoothing.k=0.1,1 sweep=": {"grid", "optuna", "search_k", "search_lr"},
    "python scripts/train.py -m sweep=optuna sweep.sampler=": {"tpe", "random"},
    "python scripts/train.py -m hydra/launcher=j": {"joblib"},
    "python scripts/train.py -m res": set(),
    "python scripts/train.py --m": {"--multirun "},
    "python scripts/train.py 'half": set(),
    "python scripts/train.py optim=null mo": {"model=", "model."},
    "python scripts/sample.py run=x to": {"top_k=", "top_p="},
    "python scripts/evaluate.py data.unk=": {"error ", "skip "},
    "python elsewhere.py mo": set(),
}


def bash(program: str, typed: str = "") -> str:
    """What a bash prints that has no settings of its own and finds this Python."""
    ended = subprocess.run(
        ["bash", "--norc", "-c", program],
        input=typed,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        timeout=120,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def tab(*lines: str) -> list[set[str]]:
    """What bash itself is given as the possible ends of its last word, for each line that is being typed."""
    told = bash(TABS, "".join(f"{line}\n" for line in lines))
    return [set(line.split("\t")) - {""} for line in told.split("\n")[:-1]]


def query(line: str, script: str = "train") -> list[str]:
    ended = run_script(script, "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def test_what_bash_is_told() -> None:
    assert dict(zip(OFFERED, tab(*OFFERED), strict=True)) == OFFERED


def test_at_first_it_offers_groups_and_settings_and_nothing_private() -> None:
    single, swept = query("python scripts/train.py "), query("python scripts/train.py -m seed=1 ")
    both = {
        "cluster.",
        "data.",
        "data=",
        "experiment=",
        "figures=",
        "json=",
        "model.",
        "model=",
        "smoothing.",
        "smoothing=",
    }
    assert set(single) == both | {"resume=", "seed="}
    assert set(swept) == both | {"sweep.", "sweep="}
    assert "sweep.space=" not in query("python scripts/train.py -m sweep.")  # which conf/sweep/ is for


def test_a_line_is_completed_where_the_cursor_stands() -> None:
    program = TABS.replace("COMP_POINT=${#COMP_LINE}", "COMP_POINT=26")
    assert bash(program, "python scripts/train.py mo seed=1\n") == "model.\tmodel=\t\n"


def test_it_can_be_taken_away() -> None:
    both = (f'eval "$(python scripts/train.py -sc {what}install=bash)"' for what in ("", "un"))
    assert bash("; ".join([*both, "complete -p", "declare -F"])) == ""


@pytest.mark.parametrize("words", [["install=fish"], ["install=zsh", "query=bash"], []])
def test_other_shells_are_refused(words: list[str]) -> None:
    ended = run_script("train", "-sc", *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.endswith(": must be install=bash, uninstall=bash or query=bash\n")


@pytest.mark.parametrize(
    "line", ["python scripts/train.py -m model=count,nn ", "python scripts/train.py -m hydra/launcher="]
)
def test_nothing_slow_is_imported(line: str) -> None:
    code = (
        "import atexit, runpy, sys\n"
        "slow = {'torch', 'lightning', 'matplotlib', 'optuna', 'joblib', 'submitit', 'PIL', 'tensorboardX', 'pandas'}\n"
        "atexit.register(lambda: print('SLOW', sorted(slow & set(sys.modules)), file=sys.stderr))\n"
        "sys.argv = ['train.py', '-sc', 'query=bash']\n"
        f"runpy.run_path({str(PROJECT / 'scripts' / 'train.py')!r}, run_name='__main__')"
    )
    environment = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert ended.returncode == 0
    assert ended.stdout
    assert ended.stderr == "SLOW []\n"
