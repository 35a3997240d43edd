"""Text and paths arrive as they were typed, although Hydra's grammar would read them otherwise."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextchar.config.compose import command_of
from nextchar.config.train_settings import TrainCommand
from nextchar.sweeps import plan as multirun

ODD = [
    "null", "1e3", "true", "1", "-1", " ", "a b (1)", "o'neil", 'say "hi"', "a=b", "=", "a,b", "#", "a#b", "[1", "{x}",
    "${x}", "${oc.env:HOME}", "\\", "a\\", "\\'", "\\\\'", "'", '"', "''a", "'a' and 'b'", "~/x", "ü.txt", "日本🎉",
    "$(id)", "a\nb", "\t", "\\${x}", "a:b", "*", "%", "\u202e", "\x1b[31m",
]  # fmt: skip


@pytest.mark.parametrize("typed", ODD)
def test_text_arrives_as_typed(typed: str, settings_of) -> None:
    assert settings_of("run=x", f"prefix={typed}", command="sample").prefix == typed


@pytest.mark.parametrize("typed", [odd for odd in ODD if odd not in ("null",)])
def test_a_path_arrives_as_typed(typed: str, settings_of) -> None:
    wanted = os.path.abspath(os.path.expanduser(typed))
    assert settings_of("data=lines", f"data.path={typed}").data.path == wanted
    assert settings_of(f"run={typed}", command="sample").run == wanted
    command = command_of("train", TrainCommand, [f"hydra.run.dir={typed}", f"resume={typed}"])
    assert command.typed["hydra.run.dir"] == typed == command.typed["resume"]


@settings(max_examples=60, deadline=None)
@given(typed=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
def test_any_text_arrives_as_typed(typed: str, settings_of) -> None:
    quoted = len(typed) >= 2 and typed[0] == typed[-1] and typed[0] in "'\""
    if not quoted and typed != "???":  # what stands in quotes is Hydra's to read, and ??? is what is missing
        assert settings_of("run=x", f"prefix={typed}", command="sample").prefix == typed


def test_what_is_in_quotes_is_hydras(settings_of) -> None:
    assert settings_of("run=x", "prefix='a b'", command="sample").prefix == "a b"
    assert settings_of("run=x", 'prefix="null"', command="sample").prefix == "null"


def test_null_means_none_only_where_none_is_allowed(settings_of) -> None:
    assert settings_of("run=x", "text=null", command="explain").text == "null"
    assert settings_of("data.path=null").data.path is None
    assert settings_of("resume=null").resume is None


def test_in_a_sweep_commas_separate_and_quotes_protect(tmp_path: Path) -> None:
    paths = f"{tmp_path}/a (1).txt,'{tmp_path}/b,c.txt',{tmp_path}/é.txt"
    command = command_of("train", TrainCommand, ["data=lines", f"data.path={paths}"], multirun=True)
    sweep, _ = multirun.plan(command)
    wanted = [f"{tmp_path}/{name}" for name in ("a (1).txt", "b,c.txt", "é.txt")]
    assert [job.settings.data.path for job in sweep.jobs] == wanted


def test_the_home_folder_is_expanded(settings_of) -> None:
    assert settings_of("data=lines", "data.path=~/x").data.path == os.path.expanduser("~/x")


def test_text_that_is_not_utf8_is_refused(refusal) -> None:
    said = refusal("run=x", "prefix=e\udcff", command="sample")
    assert said == "prefix=e\\udcff: not valid UTF-8"
    assert refusal("data.path=\udcff") == "data.path=\\udcff: not valid UTF-8; rename the file or the folder"
