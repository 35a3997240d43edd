"""A run opened in Python gives the same numbers as its files and the commands."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from nextchar.data.corpus import EMBEDDED
from nextchar.errors import BadInput
from nextchar.runs.run import Run, open_run


@pytest.fixture(scope="module")
def run(runs, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A trigram of 400 names, Kneser-Ney."""
    folder = tmp_path_factory.mktemp("run")
    runs.train(
        "data=lines", runs.names(folder), "model.order=3", "smoothing=kneser_ney", f"hydra.run.dir={folder / 'a'}"
    )
    return open_run(folder / "a")


@pytest.fixture(scope="module")
def net(runs, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("net")
    words = ["model=nn", "data=lines", runs.names(folder), "trainer.max_steps=20", "trainer.log_every=10"]
    runs.train(*words, "figures=false", f"hydra.run.dir={folder / 'a'}")
    return open_run(str(folder / "a"))


def test_metrics_and_settings_are_those_of_the_record(run: Run, runs) -> None:
    assert run.metrics == runs.record(run.path)["metrics"]
    assert run.settings.model.name == "count"
    assert run.record.ngrams == runs.record(run.path)["ngrams"]


@pytest.mark.parametrize("prune", ["[0,0,1]", "[0,1]"])
def test_a_pruned_run_opens_with_the_same_losses(runs, tmp_path: Path, prune: str) -> None:
    words = ["data=lines", runs.names(tmp_path), "model.order=3", f"model.prune={prune}", "figures=false"]
    runs.train(*words, f"hydra.run.dir={tmp_path / 'a'}")
    run = open_run(tmp_path / "a")
    assert dict(run.evaluate()) == run.metrics


def test_sums_of_pruned_contexts_that_do_not_fit_are_refused(runs, tmp_path: Path) -> None:
    words = ["data=lines", runs.names(tmp_path), "model.order=3", "model.prune=[0,0,1]", "figures=false"]
    runs.train(*words, f"hydra.run.dir={tmp_path / 'a'}")
    path, record = tmp_path / "a/weights.safetensors", runs.record(tmp_path / "a")
    tensors = safetensors.numpy.load_file(path)
    for wrong in (tensors["pruned_3"][1:], -1 - tensors["pruned_3"]):
        content = safetensors.numpy.save(tensors | {"pruned_3": wrong})
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        record["files"]["weights.safetensors"] = {"size": len(content), "sha256": digest}
        (tmp_path / "a/run.json").write_text(json.dumps(record))
        with pytest.raises(BadInput, match="pruned_3 are not the sums that its contexts have lost"):
            _ = open_run(tmp_path / "a").model


def test_an_infinite_metric_is_a_number_again(runs, tmp_path: Path) -> None:
    words = ["data=lines", runs.names(tmp_path), "smoothing=none", "figures=false", f"hydra.run.dir={tmp_path / 'a'}"]
    runs.train(*words)
    assert open_run(tmp_path / "a").metrics["test/loss"] == float("inf")


def test_curves_are_those_of_the_record(net: Run, runs) -> None:
    recorded = runs.record(net.path)["curves"]
    assert net.curves == {name: [*zip(c["steps"], c["values"], strict=True)] for name, c in recorded.items()}
    assert [step for step, _ in net.curves["val/loss"]] == [0, 10, 20]


@pytest.mark.parametrize("kind", ["run", "net"])
def test_scores_add_up_to_the_loss(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run: Run = request.getfixturevalue(kind)
    names = EMBEDDED.read_text().split()[1000:1050]
    scores = run.score(names)
    assert [len(each) for each in scores] == [len(name) + 1 for name in names]
    other = tmp_path / "other.txt"
    other.write_text("\n".join(names))
    evaluation = run.evaluate(other)
    assert -np.concatenate(scores).mean() == pytest.approx(evaluation["all/loss"], abs=1e-12)
    assert evaluation.source == str(other)
    assert run.score("emma")[0].tolist() == pytest.approx([step.log_prob for step in run.explain("emma")])


@pytest.mark.parametrize("kind", ["run", "net"])
def test_the_next_character(kind: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(kind)
    for prefix in ("", "e", "emm", "emma"):
        after = run.next(prefix)
        assert sum(after.values()) == pytest.approx(1, abs=1e-12)
        assert list(after.values()) == sorted(after.values(), reverse=True)
        assert set(after) == {"", *run.record.vocabulary}
        steps = run.explain(f"{prefix}a")
        assert after["a"] == pytest.approx(steps[len(prefix)].probability, abs=1e-15)
    assert run.next("emma")[""] == pytest.approx(run.explain("emma")[-1].probability, abs=1e-15)


def test_samples_are_those_of_the_command(run: Run, run_script: Callable) -> None:
    for words, arguments in (
        (["n=5", "seed=3"], {"n": 5, "seed": 3}),
        (["n=4", "prefix=em", "temperature=0.5", "top_k=3"], {"n": 4, "prefix": "em", "temperature": 0.5, "top_k": 3}),
        (["n=3", "novel=true", "batched=true"], {"n": 3, "novel": True, "batched": True}),
    ):
        said = run_script("sample", f"run={run.path}", "json=true", *words)
        assert json.loads(said.stdout) == run.sample(**arguments)  # type: ignore[arg-type]
    known = set((run.path.parent / "names.txt").read_text().split())
    assert not known & set(run.sample(20, novel=True))


def test_evaluate_is_the_command(run: Run, run_script: Callable, tmp_path: Path) -> None:
    assert run.evaluate() == pytest.approx(run.metrics, abs=1e-12)
    text = tmp_path / "text.txt"
    text.write_text("emma\nolivia\nana\n" * 5)
    said = run_script("evaluate", f"run={run.path}", f"data.path={text}", "data.dedup=before_split", "json=true")
    assert json.loads(said.stdout) == pytest.approx(dict(run.evaluate(text, dedup="before_split")), abs=1e-12)


def test_figures(run: Run, net: Run) -> None:
    assert run.figure("counts") == (run.path / "figures/counts.png").read_bytes()
    with pytest.raises(BadInput, match=r"figure=loss: must be .*counts"):
        run.figure("loss")
    with pytest.raises(BadInput, match="has no figures"):
        net.figure("counts")


def test_bad_arguments_are_named(run: Run) -> None:
    for call, says in (
        (lambda: run.sample(temperature=-1), "temperature=-1: must be a number of at least 0"),
        (lambda: run.sample(prefix="É"), "not in the model's vocabulary"),
        (lambda: run.score(["É"]), "not in the model's vocabulary"),
        (lambda: run.evaluate("/none.txt"), "no such file"),
        (lambda: run.evaluate(splt="all"), "there is no setting splt"),
        (lambda: open_run("/none"), "run=/none does not exist"),
    ):
        with pytest.raises(BadInput, match=says):
            call()


def test_a_notebook_shows_the_losses(runs, tmp_path: Path) -> None:
    """All text that a stranger may have written is escaped."""
    odd = tmp_path / "<b>"
    odd.mkdir()
    runs.train("data=lines", runs.names(odd), "figures=false", f"hydra.run.dir={odd / 'a'}")
    shown = open_run(odd / "a")._repr_html_()
    assert "<b>" not in shown
    assert "&lt;b&gt;" in shown
    assert f"{open_run(odd / 'a').metrics['test/loss']:.6f}" in shown
    assert "test/loss" in repr(open_run(odd / "a"))
