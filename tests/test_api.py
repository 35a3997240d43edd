"""`import nextchar as nc`: the same results as the command line, quiet, in threads and in notebooks."""

import doctest
import json
import math
import threading
from pathlib import Path

import numpy as np
import pytest

import nextchar as nc
from nextchar import api

NAMES = ["emma", "olivia", "ava", "isabella", "sophia", "charlotte", "mia", "amelia", "harper", "evelyn"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("text") / "names.txt"
    path.write_text("\n".join(NAMES * 20))
    return f"data.path={path}"


@pytest.fixture
def words(file: str, tmp_path: Path) -> list[str]:
    return ["data=lines", file, "data.split=all", "figures=false", f"hydra.run.dir={tmp_path / 'run'}"]


def test_its_examples_are_true(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("nextchar.training.train.PROJECT", tmp_path)
    failed, attempted = doctest.testmod(api)
    assert (failed, attempted > 4) == (0, True)


def test_everything_it_offers_exists() -> None:
    assert sorted(dir(nc)) == sorted(nc.__all__)
    assert all(callable(getattr(nc, name)) for name in nc.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        nc.trian  # noqa: B018


@pytest.mark.parametrize("model", ["model=count", "model=nn"])
def test_a_run_is_that_of_the_command_line(model, words, tmp_path, run_script, capfd) -> None:
    few = ["trainer.max_steps=20"] * (model == "model=nn")
    run = nc.train(model, *words, *few)
    said = capfd.readouterr()
    assert said.out + said.err == "", "the library is quiet"
    typed = [model, *words[:-1], *few, f"hydra.run.dir={tmp_path / 'typed'}", "json=true"]
    done = run_script("train", *typed)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"] == run.metrics
    assert run_script("sample", f"run={tmp_path / 'typed'}", "n=4").stdout.splitlines() == run.sample(4)
    assert ("val/loss" in run.curves) == (model == "model=nn")


def test_next_score_and_evaluate_agree(words: list[str]) -> None:
    run = nc.train("model.order=3", "smoothing=add_k", *words)
    probability = run.next("em")
    assert list(probability.values()) == sorted(probability.values(), reverse=True)
    assert sum(probability.values()) == pytest.approx(1)
    assert run.score(["emm"])[0][2] == pytest.approx(math.log(probability["m"]))
    scores = np.concatenate(run.score(NAMES * 20))
    assert -scores.mean() == pytest.approx(run.metrics["test/loss"], abs=1e-12)
    assert run.evaluate()["all/loss"] == pytest.approx(run.metrics["test/loss"], abs=1e-12)


def test_wrong_words_are_a_value_error_of_one_line(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^model=lstn: must be .*\. Did you mean lstm\?$") as refused:
        nc.train("model=lstn")
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="add -m to sweep"):
        nc.train("sweep.dry_run=true")


def test_a_sweep_and_a_comparison_show_as_tables(words: list[str], tmp_path: Path, capfd) -> None:
    done = nc.sweep(*words[:-1], "model.order=1,2,3", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert capfd.readouterr() == ("", "")
    table = done.table()
    assert sorted(row["model.order"] for row in table) == ["1", "2", "3"]
    assert [run.metrics["test/loss"] for run in done.runs] == sorted(row["test/loss"] for row in table)
    compared = nc.compare(done.runs)
    for shown in (done, compared, done.runs[0]):
        html = shown._repr_html_()
        assert html.count("<tr>") >= 3
        assert "<script" not in html


def test_what_a_notebook_shows_is_escaped(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "<img src=x>"
    run = nc.train("data=lines", file, "data.split=all", "figures=false", f"hydra.run.dir={folder}")
    assert "<img" not in run._repr_html_()


def test_ngram_is_the_model_of_a_run(words: list[str]) -> None:
    run = nc.train("model.order=3", "smoothing=kneser_ney", *words)
    model = nc.ngram(NAMES * 20, order=3, smoothing="kneser_ney")
    stream = model.vocabulary.stream(NAMES)
    assert np.array_equal(model.score(stream), run.model.score(stream))


def test_ngram_refuses_what_it_cannot_fit() -> None:
    with pytest.raises(ValueError, match="there are none"):
        nc.ngram([])
    with pytest.raises(ValueError, match="fitted on held-out documents"):
        nc.ngram(NAMES, smoothing="jelinek_mercer")
    assert nc.ngram(NAMES, smoothing="jelinek_mercer", val=NAMES[:3]).context == 2


def test_threads_train_the_same_models(words: list[str], tmp_path: Path) -> None:
    """Beside the main thread, and two at once."""
    alone = nc.train("model=nn", "trainer.max_steps=10", *words).metrics
    found: list[dict[str, float]] = []

    def work(number: int) -> None:
        found.append(
            nc.train("model=nn", "trainer.max_steps=10", *words[:-1], f"hydra.run.dir={tmp_path / str(number)}").metrics
        )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone, alone]
