"""Runs exported as ARPA files, and ARPA files as runs: the model stays the same."""

import gzip
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from backing_off import witten_bell
from kenlm_models import by_kenlm

from nextchar.data.corpus import EMBEDDED
from nextchar.models.base import contexts_before
from nextchar.models.ngram.arpa_writer import arpa_file
from nextchar.runs.run import open_run

ALL_NAMES = EMBEDDED.read_text().split()
NAMES, OTHERS = ALL_NAMES[:500], [name for name in ALL_NAMES[3000:3300] if set(name) <= set("".join(ALL_NAMES[:500]))]


# --- scripts/export.py ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, runs) -> Path:
    folder = tmp_path_factory.mktemp("export")
    runs.train(
        "model=count", "model.order=4", "smoothing=witten_bell", "data=lines", runs.names(folder, 2000),
        "figures=false", f"hydra.run.dir={folder / 'run'}",
    )  # fmt: skip
    return folder / "run"


def test_a_run_as_a_file_and_the_file_as_a_run(run, tmp_path, runs, run_script):
    out = tmp_path / "model.arpa.gz"
    said = json.loads(run_script("export", f"run={run}", f"out={out}", "json=true").stdout)
    model = open_run(run).model
    assert said == {
        "out": str(out),
        "ngrams": [len(table) for table in model.backoff_tables()],
        "bytes": out.stat().st_size,
    }
    again = tmp_path / "again"
    text = f"data.path={run.parent / 'names.txt'}"
    runs.train("model=arpa", f"model.path={out}", "data=lines", text, f"hydra.run.dir={again}")
    metrics, wanted = runs.record(again)["metrics"], runs.record(run)["metrics"]
    assert metrics.keys() == wanted.keys()
    assert metrics == pytest.approx(wanted, abs=1e-6)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert runs.record(again)["model_file"] == {"size": out.stat().st_size, "sha256": digest}
    assert runs.record(run)["model_file"] is None
    assert (again / "samples.txt").read_text() == (run / "samples.txt").read_text()
    evaluated = [json.loads(run_script("evaluate", f"run={each}", "json=true").stdout) for each in (run, again)]
    assert evaluated[1] == pytest.approx(evaluated[0], abs=1e-6)
    drawn = [run_script("sample", f"run={each}", "n=20").stdout for each in (run, again)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0].splitlines()) == 20
    explained = [
        json.loads(run_script("explain", f"run={each}", "text=emma", "figures=false", "json=true").stdout)
        for each in (run, again)
    ]
    assert explained[1]["mean_nll"] == pytest.approx(explained[0]["mean_nll"], abs=1e-6)
    second = tmp_path / "second.arpa"
    assert run_script("export", f"run={again}", f"out={second}").returncode == 0
    assert second.read_bytes() == gzip.decompress(out.read_bytes())


def test_pruned_by_entropy_it_is_smaller_and_kenlm_reads_it(run, tmp_path, runs, run_script):
    """A run that was pruned opens as what it is, says how much is left, and its file scores as it does."""
    sizes = []
    for number, share in enumerate(("1e-6", "1e-4")):
        folder, out = tmp_path / str(number), tmp_path / f"{number}.arpa"
        text = f"data.path={run.parent / 'names.txt'}"
        runs.train(
            "model=count", "model.order=4", "smoothing=witten_bell", "data=lines", text,
            "figures=false", f"model.prune_entropy={share}", f"hydra.run.dir={folder}",
        )  # fmt: skip
        assert run_script("export", f"run={folder}", f"out={out}").returncode == 0
        model = open_run(folder).model
        stream = model.vocabulary.stream(OTHERS)
        assert np.array(by_kenlm(out, OTHERS)) == pytest.approx(model.score(stream) / math.log(10), abs=1e-5)
        left, whole = sum(runs.record(folder)["ngrams"]), sum(runs.record(run)["ngrams"])
        assert f"note: pruned: {left:,} of {whole:,} n-grams are left" in (folder / "train.log").read_text()
        every = np.exp(model.log_probs(contexts_before(stream, model.context)))
        assert np.abs(every.sum(1) - 1).max() < 1e-9
        sizes.append(left)
        metrics = runs.record(folder)["metrics"]
        assert metrics["train/loss"] == pytest.approx(runs.record(run)["metrics"]["train/loss"], abs=0.3)
        assert metrics["train/loss"] > runs.record(run)["metrics"]["train/loss"]
    assert whole > sizes[0] > sizes[1]


def test_what_export_refuses(run, tmp_path, runs, run_script):
    net = tmp_path / "net"
    runs.train(
        "model=nn", "trainer.max_steps=1", "data=lines", runs.names(tmp_path), "figures=false", f"hydra.run.dir={net}"
    )
    for argv, said in [
        ([f"run={net}"], f"error: run={net}: model=nn is a net; format=arpa takes n-grams, as of model=count"),
        ([f"run={run}", f"out={tmp_path}"], f"error: out={tmp_path}: must be a file in a folder that exists"),
        ([f"run={run}", "out=/none/m.arpa"], "error: out=/none/m.arpa: must be a file in a folder that exists"),
        ([f"run={run}", "format=hf"], "error: format=hf: must be arpa."),
        ([f"run={tmp_path / 'none'}"], f"error: run={tmp_path / 'none'} does not exist"),
    ]:
        ended = run_script("export", *argv)
        assert ended.returncode == 2
        assert ended.stderr.startswith(said)
        assert ended.stderr.count("\n") == 1


# --- model=arpa -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_few(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that knows some letters only."""
    path = tmp_path_factory.mktemp("few") / "few.arpa"
    model = witten_bell(["emma", "ava", "anna"], 3)
    path.write_bytes(b"".join(arpa_file(model.tables, model.vocabulary)))
    return f"model.path={path}"


def test_the_vocabulary_is_the_files(of_few, tmp_path, capsys, runs):
    given = ["model=arpa", of_few, "data=lines", runs.names(tmp_path), "figures=false"]
    assert runs.exit_code(*given, f"hydra.run.dir={tmp_path / 'no'}") == 2
    assert "characters unknown to the model" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    runs.train(*given, "data.unk=skip", f"hydra.run.dir={tmp_path / 'run'}")
    record = runs.record(tmp_path / "run")
    assert record["vocabulary"] == "aemnv"
    assert record["data"]["left_out"].keys() == {"train", "val", "test"}
    assert record["settings"]["smoothing"] is None
    assert record["smoothing"] == {}


def test_what_is_refused_before_there_is_a_folder(of_few, tmp_path, capsys, runs):
    bad = tmp_path / "bad.arpa"
    bad.write_text("\\data\\\nngram 1=1\n\n\\1-grams:\n-1\tthe\n\n\\end\\\n")
    scores = tmp_path / "scores.arpa"
    scores.write_text("\\data\\\nngram 1=2\n\n\\1-grams:\n-0.1\ta\n-0.2\t</s>\n\n\\end\\\n")
    for argv, said in [
        (["model=arpa"], "error: model.path is missing; set model.path="),
        (["model=arpa", f"model.path={tmp_path / 'none'}"], f"error: {tmp_path / 'none'} cannot be read: No such"),
        (["model=arpa", f"model.path={bad}"], f"error: {bad}: line 5: 'the' is more than one character"),
        (
            ["model=arpa", f"model.path={scores}"],
            f"error: model.path={scores}: the probabilities after '' sum to 1.425, not to 1",
        ),
        (["model=arpa", of_few, "smoothing=none"], "error: smoothing=none: model=arpa has no group smoothing"),
        (["model=arpa", of_few, "+smoothing.name=none"], "error: smoothing"),
        (["model=arpa", of_few, "data.merge=false"], "error: data.merge=false has no effect with model=arpa"),
    ]:
        assert runs.exit_code(*argv, f"hydra.run.dir={tmp_path / 'no'}") == 2
        assert capsys.readouterr().err.startswith(said)
        assert not (tmp_path / "no").exists()


def test_a_text_of_the_files_characters(of_few, tmp_path, runs):
    (tmp_path / "text.txt").write_text("emma ava anna ".replace(" ", "") * 200)
    given = ["model=arpa", of_few, "data=text", f"data.path={tmp_path / 'text.txt'}", "figures=false"]
    runs.train(*given, f"hydra.run.dir={tmp_path / 'run'}")
    model = open_run(tmp_path / "run").model
    stream = model.vocabulary.stream(["emmaavaanna" * 200])
    train = runs.record(tmp_path / "run")["metrics"]["train/loss"]
    assert train == pytest.approx(-model.score(stream[: int(2200 * 0.8) + 1]).mean(), abs=1e-9)
