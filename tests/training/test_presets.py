"""Every preset of conf/experiment/ gives the number that its own comment says.

makemore's names are not here. Where a preset trains and tests on all of them, a text with the same counts of pairs
stands in for them; where it splits them, the comment says what the embedded names give, too.
"""

import re
from pathlib import Path

import pytest
import yaml
from makemore import documents

from nextchar.config.fields import CONF, options_of


@pytest.mark.parametrize("preset", options_of("experiment"))
def test_a_preset_gives_its_number(preset: str, tmp_path: Path, runs) -> None:
    text = (CONF / "experiment" / f"{preset}.yaml").read_text()
    comment = " ".join(line.strip("# ") for line in text.splitlines() if line.startswith("#"))
    values = yaml.safe_load(text)
    words = [f"experiment={preset}", "figures=false", f"hydra.run.dir={tmp_path / 'run'}"]
    if {"override /data": "makemore"} in values["defaults"]:
        if values["data"]["split"] == "all":
            (tmp_path / "names.txt").write_text("\n".join(documents()))
            words += ["data=lines", f"data.path={tmp_path / 'names.txt'}"]
        else:
            words += ["data=names"]
            comment = comment.partition("(data=names):")[2]
    said = {f"{part}/loss": float(loss) for part, loss in re.findall(r"\b(val|test) (\d\.\d{6})\b", comment)}
    assert "test/loss" in said
    runs.train(*words)
    metrics = runs.record(tmp_path / "run")["metrics"]
    assert {key: metrics[key] for key in said} == pytest.approx(said, abs=2e-6)
