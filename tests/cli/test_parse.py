"""argv -> settings: what is typed arrives as typed, and what makes no sense is refused in one line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextchar.cli import parse as cli
from nextchar.config.command_settings import (
    BenchSettings,
    CompareSettings,
    EvaluateSettings,
    ExplainSettings,
    SampleSettings,
)
from nextchar.config.compose import command_of
from nextchar.config.fields import Setting, Settings, every_setting
from nextchar.config.train_settings import TrainCommand
from nextchar.errors import BadInput
from nextchar.sweeps import plan as multirun

SCRIPTS: dict[str, tuple[type[Settings], list[str]]] = {  # and the least that must be typed
    "train": (TrainCommand, []),
    "evaluate": (EvaluateSettings, ["run=x"]),
    "sample": (SampleSettings, ["run=x"]),
    "explain": (ExplainSettings, ["run=x", "text=emma"]),
    "compare": (CompareSettings, []),
    "bench": (BenchSettings, []),
}


def parse(*argv: str, script: str = "train") -> Any:
    """The settings that a script would make of argv."""
    tree, _ = SCRIPTS[script]
    return cli.parse(script, tree, argv, job=script == "train").settings()


def refusal(*argv: str, script: str = "train") -> str:
    with pytest.raises(BadInput) as error:
        parse(*argv, script=script)
    return str(error.value)


def takes_text(setting: Setting) -> bool:
    return "string" in setting.types and not setting.choices


# --- refused --------------------------------------------------------------------------------------------------------

ONLY = (
    ": of Hydra's settings only hydra.run.dir or hydra.sweep.dir can be set "
    "(and, in a sweep, hydra/launcher with its settings)"
)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ("optim.lrr=1", "optim.lrr=1: there is no setting optim.lrr. Did you mean optim.lr?"),
        ("model=nn optim.lrr=1", "optim.lrr=1: there is no setting optim.lrr. Did you mean optim.lr?"),
        ("+optim.lrr=1", "optim.lrr=1: there is no setting optim.lrr. Did you mean optim.lr?"),
        ("model=nn +optim.lrr=1", "optim.lrr=1: there is no setting optim.lrr. Did you mean optim.lr?"),
        ("optm.lr=1", "optm.lr=1: there is no setting optm.lr. Did you mean optim.lr?"),
        ("sede=1", "sede=1: there is no setting sede. Did you mean seed?"),
        ("zzz=1", "zzz=1: there is no setting zzz. There are seed, figures, json, resume."),
        ("model=nnn", "model=nnn: must be arpa, count or nn. Did you mean nn?"),
        ("model=null", "model=null: must be arpa, count or nn."),
        ("model=nn optim=null", "optim=null: must be adam, adamw, lbfgs or sgd."),
        (
            "smoothing=addk",
            "smoothing=addk: must be absolute_discount, add_k, dirichlet, jelinek_mercer, katz, kneser_ney, "
            "l2, modified_kneser_ney, none, pitman_yor, stupid_backoff, usual or witten_bell. Did you mean add_k?",
        ),
        ("model=count optim.lr=15", "optim.lr=15: model=count has no group optim"),
        ("model=count +optim.lr=15", "optim.lr=15: model=count has no group optim"),
        ("model=count optim=adam", "optim=adam: model=count has no group optim"),
        ("trainer.max_steps=4", "trainer.max_steps=4: model=count has no group trainer"),
        ("smoothing.strength=1", "smoothing.strength=1: smoothing=usual has no strength; smoothing=l2 has"),
        ("model=nn optim.beta1=0.5", "optim.beta1=0.5: optim=sgd has no beta1; optim=adam or optim=adamw has"),
        ("model.prune=3", "model.prune=3: must be a list of whole numbers."),
        (
            "model.prune=[1]",
            "model.prune=[1]: unigrams are never left out, and no n-gram that a longer one needs: begin with 0, and "
            "let no number be below the one before it",
        ),
        (
            "smoothing=jelinek_mercer data.split=makemore",
            "smoothing=jelinek_mercer is fitted on val, and data.split=makemore has none; set data.val=1000",
        ),
        (
            "model.order=3 model.prune=[0,1] smoothing=katz",
            "model.prune=[0, 1]: smoothing=katz mixes no lower orders in, which would stand in for what is left out; "
            "choose modified_kneser_ney, or another that does",
        ),
        (
            "smoothing=l2",
            "smoothing=l2 does not work for model=count, which takes none, add_k, jelinek_mercer, "
            "witten_bell, absolute_discount, kneser_ney, modified_kneser_ney, katz, "
            "stupid_backoff, dirichlet or pitman_yor",
        ),
        ("smoothing.k=-1", "smoothing.k=-1: must be a number of at least 0."),
        ("smoothing.k=nan", "smoothing.k=nan: must be a number of at least 0."),
        ("smoothing.k=inf", "smoothing.k=inf: must be a number of at least 0."),
        ("smoothing.k=1e300", "smoothing.k=1e+300: must be at most 1e+12"),
        ("smoothing.k=abc", "smoothing.k=abc: must be a number of at least 0."),
        ("smoothing.k=", "smoothing.k=: must be a number of at least 0."),
        ("smoothing.k=[1,2]", "smoothing.k=[1, 2]: must be a number of at least 0."),
        ("smoothing.k=true", "smoothing.k=true: must be a number of at least 0."),
        ("smoothing.k=1,2", "smoothing.k=1,2: several values; add -m to sweep"),
        ("seed=1.5", "seed=1.5: must be a whole number of at least 0."),
        ("seed=4294967296", "seed=4294967296: must be at most 4294967295"),
        ("seed={a:1}", "seed={...}: must be a whole number of at least 0."),
        ("model=nn trainer.threads=999", "trainer.threads=999: must be a whole number from 1 to 256."),
        ("model=nn data.batch_size=0", "data.batch_size=0: must be all or a whole number of at least 1."),
        ("figures=1", "figures=1: must be true or false."),
        ("data.split=hahs", "data.split=hahs: must be hash, lecture, makemore, contiguous or all. Did you mean hash?"),
        ("data.encoding=rot13", "data.encoding=rot13: rot13 does not turn bytes into text"),
        ("data.sha256=abc", "data.sha256=abc: must be 64 hexadecimal digits or null."),
        ("data=lines", "data.path is missing: data=lines reads your file; set data.path=FILE"),
        ("data.url=x", "data.url=x means nothing for data=names, which is not downloaded"),
        ("modle=nn", "modle=nn: there is no group modle. Did you mean model?"),
        ("hydra.verbose=true", f"hydra.verbose{ONLY}"),
        ("experiment=lecture_net model=count", "optim.lr=50: the model that was chosen takes no optim"),
        ("data=lines data.path=", "data.path=: must be a path or null."),
        ("resume=http://x/y", "resume=http://x/y: a URL is not opened; download it, and give the path of your copy"),
        ("model.name=nn", "model.name=nn: set model=nn instead, which also loads its settings"),
        ("hydra.run.dri=x", f"hydra.run.dri{ONLY}"),
        ("seed", "'seed' is not key=value (no spaces around the '=')."),
        ("=1", "'=1' is not key=value (no spaces around the '=')."),
        ("help", "'help' is not key=value (no spaces around the '='). For help: --help"),
        ("seed==1", "seed==1: Hydra's grammar cannot read this value; put it in quotes"),
        ("smoothing.k=[1", "smoothing.k=[1: Hydra's grammar cannot read this value; put it in quotes"),
        ("~smoothing", "~smoothing: a setting cannot be deleted; choose another option, as in smoothing=none"),
        ("seed=${nope}", "Interpolation key 'nope' not found"),
        ("--frobnicate", "--frobnicate: scripts/train.py does not take this flag; see --help"),
        ("--experimental-rerun x", "--experimental-rerun: scripts/train.py does not take this flag; see --help"),
        (
            "--config-dir /tmp",
            "--config-dir: scripts/train.py does not take this flag; the configuration is read from conf/ only; "
            "see --help",
        ),
        (
            "-m --config-name=x seed=1",
            "--config-name=x: scripts/train.py does not take this flag; the configuration is read from conf/ only; "
            "see --help",
        ),
        ("--cfg jb", "argument --cfg/-c: invalid choice: 'jb' (choose from 'job', 'hydra', 'all'); see --help"),
    ],
)
def test_refusals(argv: str, says: str) -> None:
    assert refusal(*argv.split()) == says


def test_combinations_that_mean_nothing() -> None:
    assert "belongs to data.split=makemore" in refusal("data.val=3")
    assert "optim=lbfgs needs the full batch" in refusal("model=nn", "optim=lbfgs", "data.batch_size=32")
    assert "data.merge=false means nothing for model=count" in refusal("data.merge=false")
    assert "data.path=/x means nothing for data=names; for your own file: data=lines" in refusal("data.path=/x")
    assert "is one running text" in refusal("data=text", "data.path=x", "data.split=hash")


def test_only_train_can_be_swept_or_asked_by_hydra() -> None:
    for flags in (["-m"], ["--cfg", "job"], ["--info", "all"]):
        assert refusal(*flags, "run=x", script="sample").endswith(
            "scripts/sample.py does not take this flag; see --help"
        )


def test_a_sweep_is_refused_for_its_first_wrong_job() -> None:
    command = command_of("train", TrainCommand, ["smoothing.k=1,-2,3", "seed=1,2"], multirun=True)
    with pytest.raises(BadInput, match=r"smoothing\.k=-2: must be a number of at least 0"):
        multirun.plan(command)


@pytest.mark.parametrize("script", ["evaluate", "sample", "explain"])
def test_what_is_missing_is_named(script: str) -> None:
    assert refusal(script=script) == "run is missing; set run=... (the run folder)"


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_leaf_refuses_wrong_values_and_names_itself(script: str) -> None:
    tree, least = SCRIPTS[script]
    checked = 0
    for setting in every_setting(tree):
        group = setting.key.partition(".")[0]
        chosen = [f"{group}={setting.option}"] if setting.option else []
        needed = ["model=nn"] if group in ("optim", "trainer") or setting.option in ("l2", "nn") else []
        if setting.is_name:
            continue  # the group chooses it
        for value in ("abc", "nan", "inf", "-1", "", "ünï日", "null"):
            argv = [*least, *dict.fromkeys([*needed, *chosen]), f"{setting.key}={value}"]
            try:
                made = parse(*argv, script=script)
            except BadInput as error:
                said = str(error)
                assert said.isprintable(), argv
                assert setting.key in said, f"{argv}: {said}"
                assert "\n" not in said
                checked += 1
                continue
            for part in setting.key.split("."):
                made = getattr(made, {"json": "json_"}.get(part, part))
            none = value == "null" and ("null" in setting.types or setting.key == "data.split")
            assert takes_text(setting) or none, f"{setting.key}={value} was taken"
            if takes_text(setting) and made is not None:
                assert str(made).endswith(value), f"{setting.key}={value} became {made}"
    assert checked >= 6 * sum(not takes_text(setting) for setting in every_setting(tree) if not setting.option)


# --- what is typed arrives as typed ---------------------------------------------------------------------------------

ODD = [
    "null", "1e3", "true", "1", "-1", " ", "a b (1)", "o'neil", 'say "hi"', "a=b", "=", "a,b", "#", "a#b", "[1", "{x}",
    "${x}", "${oc.env:HOME}", "\\", "a\\", "\\'", "\\\\'", "'", '"', "''a", "'a' and 'b'", "~/x", "ü.txt", "日本🎉",
    "$(id)", "a\nb", "\t", "\\${x}", "a:b", "*", "%", "\u202e", "\x1b[31m",
]  # fmt: skip


@pytest.mark.parametrize("typed", ODD)
def test_text_arrives_as_typed(typed: str) -> None:
    assert parse("run=x", f"prefix={typed}", script="sample").prefix == typed


@pytest.mark.parametrize("typed", [odd for odd in ODD if odd not in ("null",)])
def test_a_path_arrives_as_typed(typed: str) -> None:
    wanted = os.path.abspath(os.path.expanduser(typed))
    assert parse("data=lines", f"data.path={typed}").data.path == wanted
    assert parse(f"run={typed}", script="sample").run == wanted
    command = command_of("train", TrainCommand, [f"hydra.run.dir={typed}", f"resume={typed}"])
    assert command.typed["hydra.run.dir"] == typed == command.typed["resume"]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
def test_any_text_arrives_as_typed(typed: str) -> None:
    quoted = len(typed) >= 2 and typed[0] == typed[-1] and typed[0] in "'\""
    if not quoted and typed != "???":  # what stands in quotes is Hydra's to read, and ??? is what is missing
        assert parse("run=x", f"prefix={typed}", script="sample").prefix == typed


def test_what_is_in_quotes_is_hydras() -> None:
    assert parse("run=x", "prefix='a b'", script="sample").prefix == "a b"
    assert parse("run=x", 'prefix="null"', script="sample").prefix == "null"


def test_null_means_none_only_where_none_is_allowed() -> None:
    assert parse("run=x", "text=null", script="explain").text == "null"
    assert parse("data.path=null").data.path is None
    assert parse("resume=null").resume is None


def test_in_a_sweep_commas_separate_and_quotes_protect(tmp_path: Path) -> None:
    paths = f"{tmp_path}/a (1).txt,'{tmp_path}/b,c.txt',{tmp_path}/é.txt"
    command = command_of("train", TrainCommand, ["data=lines", f"data.path={paths}"], multirun=True)
    sweep, _ = multirun.plan(command)
    wanted = [f"{tmp_path}/{name}" for name in ("a (1).txt", "b,c.txt", "é.txt")]
    assert [job.settings.data.path for job in sweep.jobs] == wanted


def test_the_home_folder_is_expanded() -> None:
    assert parse("data=lines", "data.path=~/x").data.path == os.path.expanduser("~/x")


def test_text_that_is_not_utf8_is_refused() -> None:
    said = refusal("run=x", "prefix=e\udcff", script="sample")
    assert said == "prefix=e\\udcff: not valid UTF-8"
    assert refusal("data.path=\udcff") == "data.path=\\udcff: not valid UTF-8; rename the file or the folder"


# --- help -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("columns", [40, 80, 100, 300])
def test_help_names_every_knob_and_group_and_fits(
    script: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as end:
        parse("--help", script=script)
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= min(max(columns, 80), 110)
    for setting in every_setting(SCRIPTS[script][0]):
        if not setting.is_name:
            assert f"  {setting.key} " in shown
            assert setting.help, f"{setting.key} says nothing of itself"
    assert ("-m" in shown) == (script == "train")


# --- as a user runs it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "argv"),
    [
        ("train", ["optim.lrr=1"]),
        ("train", ["data=lines", "data.path=/no/such/file"]),
        ("train", ["--cfg", "job", "optim.lrr=1"]),
        ("train", ["-m", "seed=1,-1"]),
        ("train", ["-m", "seed=1", "hydra.sweep.dir=/proc/no"]),
        ("train", ["hydra.run.dir=/proc/no"]),
        ("train", ["hydra.sweep.dir=/tmp"]),
        ("train", ["resume="]),
        ("train", ["resume=/no/such/folder"]),
        ("train", ["resume=/no/such/folder", "seed=1"]),
        ("sample", ["run=/no/such\nfolder"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(script: str, argv: list[str], run_script, project) -> None:
    outputs = project / "outputs"
    before = set(outputs.iterdir()) if outputs.exists() else set()
    ended = run_script(script, *argv)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert (set(outputs.iterdir()) if outputs.exists() else set()) == before, "a folder was made"


def test_bytes_that_are_not_utf8_are_refused_in_one_line(project) -> None:
    ended = subprocess.run(
        [sys.executable, project / "scripts/sample.py", b"run=x", b"prefix=\xff"], capture_output=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr == b"error: prefix=\\udcff: not valid UTF-8\n"


def test_odd_paths_work_from_end_to_end(tmp_path: Path, run_script) -> None:
    folder = tmp_path / "a b (1)" / "é'\"=,#${x}[bold]日"
    folder.mkdir(parents=True)
    (folder / "n (é).txt").write_text("emma\nolivia\nava\n")
    where = [f"data.path={folder}/n (é).txt", f"hydra.run.dir={folder}/run"]
    ended = run_script("train", "data=lines", "data.split=all", "figures=false", *where)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "[bold]" in ended.stdout, "what looks like markup is a name here"
    ended = run_script("sample", f"run={folder}/run", "n=3")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(ended.stdout.splitlines()) == 3
