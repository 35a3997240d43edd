"""Runs beside one another: which are ranked, how they are grouped, what is said of them, and what is left out."""

import csv
import io
import json
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from nextchar.comparison import files as report
from nextchar.comparison import find as found_runs
from nextchar.comparison.find import LeftOut
from nextchar.comparison.ranking import compare
from nextchar.comparison.sentences import cells, plus_minus
from nextchar.errors import BadInput
from nextchar.evaluation.loss import Loss
from nextchar.runs.reading import open_losses
from nextchar.runs.record import LOSSES, Record
from nextchar.training import outputs

DOCUMENTS = 3277  # of the embedded names' test part


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, runs) -> dict[str, Path]:
    """A counted run and a learned one, on the embedded names."""
    folder = tmp_path_factory.mktemp("trained")
    runs.train("figures=false", f"hydra.run.dir={folder / 'count'}")
    runs.train("model=nn", "optim.lr=15", "trainer.max_steps=200", "figures=false", f"hydra.run.dir={folder / 'nn'}")
    return {name: folder / name for name in ("count", "nn")}


@pytest.fixture
def count(trained: dict[str, Path]) -> Path:
    return trained["count"]


@pytest.fixture
def nn(trained: dict[str, Path]) -> Path:
    return trained["nn"]


# --- what a run keeps -----------------------------------------------------------------------------------------------


def test_a_run_keeps_the_sums_of_its_test_documents(count: Path, runs, copies) -> None:
    """A loss and a length for each document, in 8 bytes."""
    kept = copies.losses(count)
    assert {name: (tensor.dtype.name, tensor.shape) for name, tensor in kept.items()} == {
        "nll": ("float32", (DOCUMENTS,)),
        "chars": ("uint32", (DOCUMENTS,)),
    }
    record = runs.record(count)
    assert kept["chars"].sum() == record["data"]["predicted"]["test"]
    loss = kept["nll"].sum(dtype=float) / kept["chars"].sum()
    assert loss == pytest.approx(record["metrics"]["test/loss"], rel=1e-7)
    assert record["files"][LOSSES]["size"] == (count / LOSSES).stat().st_size < 8 * DOCUMENTS + 300


# --- two runs -------------------------------------------------------------------------------------------------------


def test_a_real_pair_against_a_bootstrap_by_hand(count: Path, nn: Path, copies) -> None:
    compared = compare([count, nn])
    a, b = copies.losses(count), copies.losses(nn)
    random, drawn = np.random.default_rng(0), []
    for _ in range(2000):
        i = random.integers(0, DOCUMENTS, DOCUMENTS)
        drawn.append((b["nll"][i].sum(dtype=float) - a["nll"][i].sum(dtype=float)) / a["chars"][i].sum())
    low, high = np.percentile(drawn, [2.5, 97.5])
    best, other = compared.rows
    assert (best.label, other.label) == ("model=count", "model=nn")
    estimate = other.to_best
    assert estimate is not None
    assert estimate.value - estimate.half_width == pytest.approx(low, abs=0.1 * estimate.half_width)
    assert estimate.value + estimate.half_width == pytest.approx(high, abs=0.1 * estimate.half_width)
    assert best.interval is not None
    assert 2 * estimate.half_width < (best.interval[1] - best.interval[0]) / 2, "pairs tell more"
    (said,) = compared.sentences
    numbers = plus_minus(estimate)
    assert said == (
        f"model=count is better than model=nn by {numbers} nats per character "
        "(they also differ in smoothing; seed-to-seed variance of model=nn is not included (one seed))"
    )


def test_a_known_difference(tmp_path: Path, count: Path, copies) -> None:
    """Every document of b is worse by about 0.05 nats a character: the sentence says so."""
    kept, random = copies.losses(count), np.random.default_rng(0)
    worse = copies.copy(count, tmp_path / "b", copies.setting("smoothing.k", 3.0))
    copies.with_nll(worse, kept["nll"] + kept["chars"] * (0.05 + 0.1 * random.normal(size=DOCUMENTS)))
    compared = compare([count, worse])
    (said,), estimate = compared.sentences, compared.rows[1].to_best
    assert estimate is not None
    assert abs(estimate.value - 0.05) <= estimate.half_width < 0.01
    assert said.startswith("smoothing.k=1 is better than smoothing.k=3 by 0.0")
    assert said.endswith(" nats per character"), "counting has no seeds to speak of"


def test_runs_that_are_one_and_the_same(tmp_path: Path, count: Path, copies) -> None:
    """A second run with the same seed is a row of its own."""
    compared = compare([count, copies.copy(count, tmp_path / "again")])
    assert [len(row.runs) for row in compared.rows] == [1, 1]
    assert sorted(row.label.rsplit("/")[-1] for row in compared.rows) == ["again", "count"]
    (said,) = compared.sentences
    first, second = (row.label for row in compared.rows)
    assert said == f"{first} and {second} give every document the same loss"


def test_an_infinite_loss_ranks_last(tmp_path: Path, count: Path, runs, copies) -> None:
    runs.train("smoothing=none", "figures=false", f"hydra.run.dir={tmp_path / 'none'}")
    compared = compare([tmp_path / "none", count])
    assert [row.label for row in compared.rows] == ["smoothing=add_k", "smoothing=none"]
    assert compared.rows[1].to_best is None
    (said,) = compared.sentences
    assert "is better than smoothing=none, which gives probability 0 to a character of test" in said
    both = compare([tmp_path / "none", copies.copy(tmp_path / "none", tmp_path / "none2")])
    assert both.sentences[0].startswith("neither ")


def test_few_documents_and_missing_sums_have_no_interval(tmp_path: Path, count: Path, runs, copies) -> None:
    for k in (1, 2):
        text = runs.names(tmp_path, 60)
        argv = ["data=lines", text, "data.unk=skip", f"smoothing.k={k}", "figures=false"]
        runs.train(*argv, f"hydra.run.dir={tmp_path / f'few{k}'}")
    few = compare([tmp_path / "few1", tmp_path / "few2"])
    assert few.rows[1].to_best is None
    assert few.sentences[0].endswith("no interval: 8 documents are too few")

    bare = copies.copy(count, tmp_path / "bare", copies.setting("smoothing.k", 2.0))
    (bare / LOSSES).unlink()
    compared = compare([count, bare])
    assert len(compared.rows) == 2
    assert f"smoothing.k=2 has no {LOSSES}" in compared.sentences[0]


def test_a_running_text(tmp_path: Path, runs) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 3000)
    for k in (1, 50):
        argv = ["data=text", f"data.path={text}", f"smoothing.k={k}", "figures=false"]
        runs.train(*argv, f"hydra.run.dir={tmp_path / f'k{k}'}")
    compared = compare([tmp_path / "k1", tmp_path / "k50"])
    assert compared.units == "14 blocks of 1,000 characters"
    (said,) = compared.sentences
    assert said.startswith("smoothing.k=1 is ahead of smoothing.k=50 by 0.28")
    assert said.endswith("nats per character; no interval: 14 blocks of 1,000 characters are too few")


# --- seeds and labels -----------------------------------------------------------------------------------------------


def seeds_of(copies, nn: Path, folder: Path, shift: float = 0.0) -> None:
    """Three seeds of a net, whose losses are off by -0.01, 0 and 0.01."""
    kept = copies.losses(nn)
    for seed, shift_of_seed in ((1, -0.01), (2, 0.0), (3, 0.01)):
        run = copies.copy(nn, folder / f"seed={seed}", copies.setting("seed", seed))
        copies.with_nll(run, kept["nll"] + (shift + shift_of_seed) * kept["chars"])


def test_seeds_are_one_row(tmp_path: Path, count: Path, nn: Path, runs, copies) -> None:
    """Their mean, and t of two degrees of freedom; the interval of the difference includes the variance over seeds."""
    seeds_of(copies, nn, tmp_path)
    for i, path in enumerate(sorted(tmp_path.iterdir())):  # neither changes a result
        copies.edit(path, copies.setting("trainer.log_every", 10 + i))
        copies.edit(path, copies.setting("figures", i == 0))
    compared = compare([count, tmp_path])
    count_row, nn_row = compared.rows
    assert [run.seed for run in nn_row.runs] == [1, 2, 3]
    assert nn_row.loss == pytest.approx(runs.record(nn)["metrics"]["test/loss"])
    assert nn_row.over_seeds is not None
    assert nn_row.over_seeds.half_width == pytest.approx(4.302653 * 0.01 / 3**0.5, rel=1e-4)
    single = compare([count, nn]).rows[1].to_best
    assert nn_row.to_best is not None
    assert single is not None
    assert nn_row.to_best.value == pytest.approx(single.value)
    assert nn_row.to_best.sources[0] == pytest.approx(single.sources[0])
    assert nn_row.to_best.sources[1] == pytest.approx((0.01**2 / 3, 2), rel=1e-4)
    assert "seed-to-seed" not in compared.sentences[0]
    assert count_row.over_seeds is None


def test_two_groups_of_seeds(tmp_path: Path, nn: Path, copies) -> None:
    seeds_of(copies, nn, tmp_path / "a")
    seeds_of(copies, nn, tmp_path / "b", shift=0.5)
    for path in (tmp_path / "b").iterdir():
        copies.edit(path, copies.setting("optim.lr", 1.0))
    compared = compare([tmp_path])
    assert [(row.label, len(row.runs)) for row in compared.rows] == [("optim.lr=15", 3), ("optim.lr=1", 3)]
    estimate = compared.rows[1].to_best
    assert estimate is not None
    assert estimate.value == pytest.approx(0.5, abs=1e-6)
    assert 3.9 < estimate.sources[1][1] < 4.1, "Welch and Satterthwaite, of two equal groups of three"


def test_a_single_seed_is_given_the_variance_of_the_other_model(tmp_path: Path, nn: Path, copies) -> None:
    """One seed shows no variance."""
    seeds_of(copies, nn, tmp_path / "a")
    single = copies.copy(nn, tmp_path / "b", copies.setting("optim.lr", 1.0))
    copies.with_nll(single, copies.losses(nn)["nll"] + 0.5 * copies.losses(nn)["chars"])
    compared = compare([tmp_path])
    estimate = compared.rows[1].to_best
    assert estimate is not None
    assert estimate.sources[1] == pytest.approx((0.01**2 * (1 + 1 / 3), 2), rel=1e-3)
    assert compared.sentences[0].endswith(
        "(optim.lr=1 has one seed; its seed-to-seed variance is taken from the other model)"
    )


def test_a_few_documents_that_decide(tmp_path: Path, count: Path, copies) -> None:
    nll = copies.losses(count)["nll"].copy()
    nll[:3] += 200
    worse = copies.with_nll(copies.copy(count, tmp_path / "b", copies.setting("smoothing.k", 0.001)), nll)
    (said,) = compare([count, worse]).sentences
    assert said.startswith("smoothing.k=1 is ahead of smoothing.k=0.001 by 0.0")
    assert said.endswith("no interval: a few of the 3,277 documents account for most of the variance")


def test_labels_name_only_settings_that_differ(tmp_path: Path, count: Path, nn: Path, copies) -> None:
    copies.copy(count, tmp_path / "k", copies.setting("smoothing.k", 0.5))
    copies.copy(nn, tmp_path / "lr", copies.setting("optim.lr", 2.5))
    copies.copy(nn, tmp_path / "elsewhere", copies.setting("data.path", None))
    labels = {row.label for row in compare([tmp_path, count, nn]).rows}
    assert {label.split(" ")[0] for label in labels} == {"model=count", "model=nn"}
    assert {"model=count smoothing.k=0.5", "model=count smoothing.k=1", "model=nn optim.lr=2.5"} <= labels


def test_the_sentence_names_all_that_differs(tmp_path: Path, nn: Path, copies) -> None:
    """One setting distinguishes the labels of two runs; another one may cause the difference."""

    def change(record: dict) -> None:
        copies.setting("optim.lr", 3.0)(record)
        copies.setting("trainer.max_steps", 999)(record)
        copies.setting("trainer.precision", 64)(record)

    worse = copies.copy(nn, tmp_path / "b", change)
    copies.with_nll(worse, copies.losses(nn)["nll"] + copies.losses(nn)["chars"])
    (said,) = compare([nn, worse]).sentences
    assert said.startswith("optim.lr=15 is better than optim.lr=3 by ")
    assert said.endswith(
        "nats per character (they also differ in trainer.max_steps, trainer.precision; "
        "seed-to-seed variance of optim.lr=15 and optim.lr=3 is not included (one seed))"
    )


def test_ties_with_the_best_are_named(tmp_path: Path, count: Path, copies) -> None:
    kept, random = copies.losses(count), np.random.default_rng(0)
    for k, worse in ((2.0, 0.0), (3.0, 0.0), (4.0, 0.5)):
        run = copies.copy(count, tmp_path / f"k={k}", copies.setting("smoothing.k", k))
        copies.with_nll(run, kept["nll"] + kept["chars"] * (worse + 0.1 * np.abs(random.normal(size=DOCUMENTS))))
    compared = compare([tmp_path])
    ties = [row.label for row in compared.rows if row.ties_with_best]
    assert compared.sentences[1] == f"statistically indistinguishable from the best: {', '.join(ties)}"
    assert ties == [compared.rows[1].label]
    shutil.rmtree(tmp_path / f"k={compared.rows[1].settings['smoothing.k']}")
    copies.copy(tmp_path / "k=4.0", tmp_path / "k=5", copies.setting("smoothing.k", 5.0))
    assert compare([tmp_path]).sentences[1] == "the best is significantly better than each of the 2 others"


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda record: record["data"].update(test_sha256="0" * 64), "test data by sha256 ("),
        (lambda record: record["settings"]["data"].update(split="lecture"), "data.split (hash and lecture)"),
        (lambda record: record.update(vocabulary="ABCDEFGHIJKLMNOPQRSTUVWXYZ"), "vocabulary (abcdefghij"),
        (lambda record: record["settings"]["data"].update(unk="skip"), "data.unk (error and skip)"),
        (lambda record: record["data"].update(left_out={"test": 3}), "out-of-vocabulary characters of test (0 and 3)"),
    ],
)
def test_runs_with_different_tests_are_not_ranked(tmp_path: Path, count: Path, change, why: str, copies) -> None:
    other = copies.copy(count, tmp_path / "other", change)
    with pytest.raises(BadInput) as error:
        compare([count, other])
    said = str(error.value)
    assert f"{count} and {other} cannot be ranked together; they differ in {why}" in said
    assert said.endswith(f" Name the folders of one group alone: {count}, or {other}")
    assert len(said.splitlines()) == 1


def test_documents_of_other_lengths_are_not_paired(tmp_path: Path, count: Path, copies) -> None:
    """Even if everything in run.json is equal."""
    kept, other = copies.losses(count), copies.copy(count, tmp_path / "other")
    copies.put(other, LOSSES, safetensors.numpy.save({"nll": kept["nll"], "chars": kept["chars"][::-1].copy()}))
    with pytest.raises(BadInput, match=r"differ in lengths of the documents\. Name"):
        compare([count, other])


def test_a_refusal_says_which_folders_go_together(tmp_path: Path, count: Path, copies) -> None:
    """As words that can be pasted; a run without losses of its documents fits into any group."""
    for name in ("a", "b c", "d", "e"):
        copies.copy(count, tmp_path / name, copies.setting("data.split", "lecture" if name < "d" else "hash"))
    (tmp_path / "a" / LOSSES).unlink()
    for i in range(7):
        copies.copy(count, tmp_path / f"x{i}", copies.setting("data.unk", "skip"))
    with pytest.raises(BadInput) as error:
        compare([tmp_path])
    groups = str(error.value).partition("alone: ")[2].split(", or ")
    assert groups[0] == f"'{tmp_path / 'b c'}' {tmp_path / 'a'}"
    assert groups[1] == f"{tmp_path / 'd'} {tmp_path / 'e'}"
    assert groups[2].endswith(f"{tmp_path / 'x5'} and 1 more")


def test_where_there_is_nothing_to_rank(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no finished run in"):
        compare([tmp_path])
    with pytest.raises(BadInput, match="no such folder"):
        compare([tmp_path / "nowhere"])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.json").write_text("{}")
    with pytest.raises(BadInput, match=r"no finished run in .*/run: holds no run\.json: the run has not ended"):
        compare([tmp_path])


# --- what is left out -----------------------------------------------------------------------------------------------


def drop_dedup(record: dict) -> None:
    del record["settings"]["data"]["dedup"]


def damaged(copies, count: Path, folder: Path) -> dict[str, str]:
    """Folders that cannot be ranked, each with a part of the reason."""
    reasons = {}

    def add(name: str, reason: str) -> Path:
        reasons[name] = reason
        return copies.copy(count, folder / name)

    (add("not-json", "not valid JSON") / "run.json").write_text("{")
    copies.edit(add("diverged", "the run ended as 'diverged'"), lambda record: record.update(status="diverged"))
    (add("killed", "the run has not ended, or was killed") / "run.json").unlink()
    copies.edit(add("from-the-future", "schema_version"), lambda record: record.update(schema_version=9))
    copies.edit(add("code", "Python has no such encoding"), copies.setting("data.encoding", "${oc.env:HOME}"))
    copies.edit(add("no-loss", "test/loss is null"), lambda record: record["metrics"].pop("test/loss"))
    copies.edit(add("huge", "test/loss is 1e+300"), lambda record: record["metrics"].update({"test/loss": 1e300}))
    odd = {"test/loss_low": 5.0, "test/loss_high": -5.0}
    copies.edit(add("odd", "the interval of test/loss is 5.0 .. -5.0"), lambda record: record["metrics"].update(odd))
    copies.edit(add("older", "run.json: settings.data.dedup: the run was made by another version"), drop_dedup)
    copies.edit(
        add("newer", "run.json: settings.data.x: the run was made by another version"), copies.setting("data.x", 1)
    )
    copies.edit(add("text", "run.json: metrics=abc: must be a mapping"), lambda record: record.update(metrics="abc"))
    copies.edit(add("no-data", "no data report"), lambda record: record.update(data=None))
    (add("other-sums", "not the file recorded in run.json") / LOSSES).write_bytes(b"x" * 26360)
    copies.edit(
        add("liar", "do not add up to the test/loss"), lambda record: record["metrics"].update({"test/loss": 2.446})
    )
    kept = copies.losses(count)
    for name, nll, chars, reason in (
        ("nan", np.full(DOCUMENTS, np.nan, np.float32), kept["chars"], "holds nan or inf"),
        ("minus-inf", np.full(DOCUMENTS, -np.inf, np.float32), kept["chars"], "holds nan or inf"),
        ("short", kept["nll"][:-1], kept["chars"][:-1], "this model has F32 [3277]"),
        ("doubles", kept["nll"].astype(np.float64), kept["chars"], "nll is F64"),
        (
            "negative",
            np.append(-kept["nll"][:1], kept["nll"][1:]),
            kept["chars"],
            "a sum is negative",
        ),
        ("empty-documents", kept["nll"], np.zeros_like(kept["chars"]), "the characters are not the"),
    ):
        copies.put(add(name, reason), LOSSES, safetensors.numpy.save({"nll": nll, "chars": chars}))
    linked = add("linked", "a symbolic link is not followed")
    (linked / "run.json").unlink()
    (linked / "run.json").symlink_to(count / "run.json")
    return reasons


def test_damaged_runs_are_left_out_by_name(tmp_path: Path, count: Path, copies) -> None:
    reasons = damaged(copies, count, tmp_path)
    copies.copy(count, tmp_path / "sound")
    compared = compare([tmp_path])
    assert [row.runs[0].path.name for row in compared.rows] == ["sound"]
    left_out = {Path(each.folder).name: each.reason for each in compared.left_out}
    assert left_out.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in left_out[name], name
        assert len(left_out[name].splitlines()) == 1
        assert str(tmp_path) not in left_out[name], "the folder is named once"


def test_any_error_leaves_out_one_run(tmp_path: Path, count: Path, monkeypatch: pytest.MonkeyPatch, copies) -> None:
    """Also one that no test has thought of."""
    for name in ("odd", "sound"):
        copies.copy(count, tmp_path / name)
    original = found_runs.open_record

    def open_record(path: Path) -> Record:
        if path.name == "odd":
            raise ZeroDivisionError("division by zero")
        return original(path)

    monkeypatch.setattr(found_runs, "open_record", open_record)
    compared = compare([tmp_path])
    assert [row.runs[0].path.name for row in compared.rows] == ["sound"]
    assert [each.reason for each in compared.left_out] == ["ZeroDivisionError: division by zero"]


def test_scores_are_not_ranked_among_probabilities(tmp_path: Path, count: Path, copies) -> None:
    scores = copies.copy(count, tmp_path / "scores", lambda record: record["settings"].update(
        smoothing={"name": "stupid_backoff", "alpha": 0.4}
    ))  # fmt: skip
    compared = compare([count, scores])
    assert [row.runs[0].path for row in compared.rows] == [count]
    reason = "smoothing=stupid_backoff gives scores that do not sum to 1; its loss is not comparable"
    assert compared.left_out == [LeftOut(str(scores), "finished", reason)]


def test_a_file_of_holes_takes_no_memory(tmp_path: Path, count: Path, copies) -> None:
    """run.json claims more documents than a run of ours may have: no memory is taken for them."""
    size = 10_000_000_000

    def change(record: dict) -> None:
        record["data"]["documents"]["test"] = record["data"]["predicted"]["test"] = size // 8
        record["files"][LOSSES] = {"size": size + 100, "sha256": "0" * 64}

    holes = copies.copy(count, tmp_path / "holes", change)
    os.truncate(holes / LOSSES, size + 100)
    tracemalloc.start()
    compared = compare([tmp_path, count])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000
    assert "1,250,000,000 documents in test; there may be 1 to 4,194,304" in compared.left_out[0].reason


def test_a_run_that_does_not_fit_into_memory_is_left_out(
    tmp_path: Path, count: Path, monkeypatch: pytest.MonkeyPatch, copies
) -> None:
    def load(path: Path, record: Record) -> Loss | None:
        if path.name == "large":
            raise MemoryError
        return open_losses(path, record)

    monkeypatch.setattr(found_runs, "open_losses", load)
    compared = compare([count, copies.copy(count, tmp_path / "large")])
    assert compared.left_out == [LeftOut(str(tmp_path / "large"), "damaged", "takes more memory than there is")]


def test_very_many_documents_have_no_kept_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs) -> None:
    monkeypatch.setattr(outputs, "MOST_UNITS", 10)
    runs.train("data=lines", runs.names(tmp_path), "figures=false", f"hydra.run.dir={tmp_path / 'run'}")
    assert LOSSES not in runs.record(tmp_path / "run")["files"]
    assert len(compare([tmp_path / "run"]).rows) == 1


def test_a_seed_that_did_not_finish_is_not_forgotten(tmp_path: Path, count: Path, nn: Path, runs, copies) -> None:
    """Diverged and killed seeds are counted as unfinished; a killed seed that was run again is not."""
    for seed in (1, 2, 3):
        copies.copy(nn, tmp_path / f"{seed}", copies.setting("seed", seed))
    copies.edit(tmp_path / "2", lambda record: record.update(status="diverged", reason="training diverged at step 50"))
    for name, seed in (("3", 3), ("1", 1)):
        settings = runs.record(tmp_path / name)["settings"]
        killed = tmp_path / f"{name} killed"
        killed.mkdir()
        (killed / "settings.json").write_text(json.dumps(settings | {"seed": seed if name == "3" else 4}))
    compared = compare([tmp_path, count])
    (row,) = (row for row in compared.rows if row.is_net)
    assert row.seeds == "2 of 4"
    assert compared.sentences[-1] == "not all seeds finished, and only those that did are averaged: model=nn (2 of 4)"
    reasons = {(Path(each.folder).name, each.status): each.reason for each in compared.left_out}
    assert reasons.keys() == {("2", "diverged"), ("1 killed", "not ended"), ("3 killed", "not ended")}
    said = "the run ended as 'diverged' and left no weights: training diverged at step 50"
    assert said in reasons["2", "diverged"]
    assert "2 of 4" in cells(row)[2]
    assert said in report.markdown(compared)
    rows = list(csv.DictReader(io.StringIO(report.csv_table(compared))))
    assert [each["status"] for each in rows] == ["finished", "finished", "not ended", "diverged", "not ended"]
    assert [each["test/loss"] == "" for each in rows] == [False, False, True, True, True]
    assert rows[3]["reason"].endswith(said)
    assert "2 of 4" in report.page(compared)


def test_where_runs_are_found(tmp_path: Path, count: Path, copies) -> None:
    """Up to two levels below, each once; a link is followed only where it is named itself."""
    for name in ("run", "sweep/0_smoothing.k=0.1", "sweep/1_smoothing.k=1", "a/b/c/too-deep", "run/figures/inside"):
        copies.copy(count, tmp_path / "outputs" / name)
    (tmp_path / "outputs" / "link").symlink_to(tmp_path / "outputs" / "run")
    (tmp_path / "typed").symlink_to(tmp_path / "outputs")
    for folders in ([tmp_path / "outputs"], [tmp_path / "typed"], [tmp_path / "outputs", tmp_path / "outputs/run"]):
        assert [path.name for path in found_runs.find(folders)] == ["run", "0_smoothing.k=0.1", "1_smoothing.k=1"]


# --- the script -----------------------------------------------------------------------------------------------------


def test_the_script(tmp_path: Path, count: Path, nn: Path, run_script, copies) -> None:
    """Table and sentence on stdout, what was left out and the files on stderr; a folder's name may hold '='."""
    odd = copies.copy(count, tmp_path / "3_smoothing.k=0.1", copies.setting("smoothing.k", 0.1))
    broken = copies.copy(count, tmp_path / "broken")
    (broken / "run.json").write_text("{")
    ended = run_script("compare", str(odd), str(nn), str(tmp_path), f"out={tmp_path / 'new' / 'out'}", COLUMNS="80")
    assert ended.returncode == 0, ended.stderr
    assert "model=count is better than model=nn by 0.0" in ended.stdout
    assert max(map(len, ended.stdout.splitlines()[:8])) <= 80
    assert f"note: left out {broken}: run.json: not valid JSON" in ended.stderr
    files = {path.name for path in (tmp_path / "new" / "out").iterdir()}
    assert files == {"compare.csv", "compare.md", "compare.png", "compare.html"}
    assert all(f"new/out/{name}" in ended.stderr for name in files)


def test_the_script_prints_json(tmp_path: Path, count: Path, nn: Path, run_script) -> None:
    ended = run_script("compare", str(count), str(nn), "json=true", f"out={tmp_path}")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert [row["settings"]["model"] for row in said["rows"]] == ["count", "nn"]
    assert said["rows"][1]["to_best"] > said["rows"][1]["to_best_half_width"] > 0
    assert said["sentences"][0].startswith("model=count is better than model=nn")


def test_files_beside_folders_are_ignored(tmp_path: Path, count: Path, run_script) -> None:
    """As when a shell makes words of sweep/*; a file alone is refused, and so is a word that is empty or misspelt."""
    (tmp_path / "sweep.csv").write_text("")
    ended = run_script("compare", str(count), str(tmp_path / "sweep.csv"), f"out={tmp_path / 'out'}")
    assert ended.returncode == 0
    assert f"note: ignored {tmp_path / 'sweep.csv'}: a run is a folder" in ended.stderr
    for words, said in (
        ([str(tmp_path / "sweep.csv")], "sweep.csv: is a file; name run folders"),
        ([""], "'': no such folder, nor a setting."),
        ([str(count), "jsn=true"], "'jsn=true': no such folder, nor a setting. Did you mean json?"),
    ):
        ended = run_script("compare", *words, f"out={tmp_path / 'out'}")
        assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
        assert said in ended.stderr


@pytest.mark.parametrize("word", ["jsn=true", "nowhere", "~nobody/runs", "x" * 5000, "out="])
def test_the_script_refuses_in_one_line(word: str, run_script) -> None:
    ended = run_script("compare", word)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert len(ended.stderr.splitlines()) == 1


def test_help_says_that_it_takes_folders(run_script) -> None:
    assert run_script("compare", "--help").stdout.startswith("usage: python scripts/compare.py [DIR ...] [key=value]\n")


def test_a_folder_that_cannot_be_written(tmp_path: Path, run_script) -> None:
    """It is refused at once, before any run is read."""
    (tmp_path / "file").write_text("")
    (tmp_path / "out" / "compare.png").mkdir(parents=True)
    for name in ("file", "file/below", "out"):
        ended = run_script("compare", str(tmp_path / "no runs"), f"out={tmp_path / name}")
        assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
        assert ended.stderr.startswith(f"error: out={tmp_path / name} cannot be written")


def test_comparing_imports_neither_torch_nor_lightning(tmp_path: Path, count: Path, run_script) -> None:
    ended = run_script("compare", str(count), f"out={tmp_path}", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in ended.stderr.splitlines() if "|" in line}
    assert ended.returncode == 0
    assert "numpy" in imported
    assert not imported & {"torch", "lightning", "pooch"}
