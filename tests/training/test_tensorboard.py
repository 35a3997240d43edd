"""What a real TensorBoard says of runs: everything is there, under its name, once, and true."""

import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from benchmarks import screenshots
from nextchar.config.compose import run_settings
from nextchar.config.fields import flat
from nextchar.errors import Interrupted
from nextchar.training import tensorboard
from nextchar.training import train as training
from nextchar.training.checkpoints import Checkpoints
from nextchar.training.progress import Progress

STEPS = list(range(0, 60, 5))  # where trainer.log_every=5 puts the points of 60 steps
NET = ["model=nn", "optim=adam", "optim.lr=0.3", "trainer.max_steps=60", "trainer.log_every=5"]
NET += ["smoothing=add_k", "smoothing.k=0.5"]
LOSSES = [f"{part}/{unit}" for part in ("train", "val", "test") for unit in ("loss", "bits_per_char", "perplexity")]
OF_NETS = ["train/lr", "train/grad_norm", "train/objective", "train/loss_counted"]
OVER_ORDERS = ["train_loss"]
OVER_ORDERS += [f"{part}_{what}" for part in ("val", "test") for what in ("loss", "contexts_seen", "ngrams_seen")]
OVER_ORDERS += ["smoothing_k", *(f"ngrams_occurring_{i}x" for i in (1, 2, 3, 4))]
OVER_ORDERS = [f"x_is_order/{tag}" for tag in OVER_ORDERS]
TAGS = {"count": {*LOSSES, *OVER_ORDERS}, "nn": {*LOSSES, *OF_NETS}, "resumed": {*LOSSES, *OF_NETS}}

# past any proxy that the environment names
ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


class StoppedAt(Progress):
    """Stops a run once it has come to a step."""

    def __init__(self, stop_at: int | None) -> None:
        self.stop_at = stop_at

    @contextmanager
    def steps(self, first: int, last: int) -> Iterator[Any]:
        def advance(step: int) -> None:
            if self.stop_at is not None and step >= self.stop_at:
                raise Interrupted(15)

        yield advance


def train(at: Path, *words: str, stop_at: int | None = None, figures: bool = False) -> None:
    """A run in this process, which a signal stops once it has come to a step."""
    training.train(run_settings([*words, f"figures={figures}"]), at, StoppedAt(stop_at))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, runs) -> Path:
    """Three runs: counted, learned, and learned after an interruption."""
    path = tmp_path_factory.mktemp("board")
    data = ["data=lines", runs.names(path)]
    logdir = path / "runs"
    train(logdir / "count", "model=count", "smoothing.k=2", *data, figures=True)
    train(logdir / "nn", *NET, *data, figures=True)
    with pytest.MonkeyPatch.context() as patch:  # points up to step 40 were written, weights only of step 30
        save = Checkpoints.save
        patch.setattr(Checkpoints, "save", lambda self, step: save(self, step) if step <= 30 else None)
        with pytest.raises(Interrupted):
            train(logdir / "resumed", *NET, "trainer.checkpoint_seconds=0", *data, stop_at=45)
    assert runs.checkpoint(logdir / "resumed")["step"] == 30
    runs.train(f"resume={logdir / 'resumed'}")
    return logdir


class Api:
    """TensorBoard's JSON over HTTP."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **query: object) -> Any:
        with ask(f"{self.address}/data/{path}?{urllib.parse.urlencode(query)}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, **body: object) -> Any:
        request = urllib.request.Request(
            f"{self.address}/data/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with ask(request, timeout=30) as answer:
            return json.load(answer)

    def curve(self, run: str, tag: str) -> list[tuple[int, float]]:
        return [(step, value) for _, step, value in self.get("plugin/scalars/scalars", run=run, tag=tag)]

    def text(self, run: str, tag: str) -> dict[int, str]:
        """Step -> text, without the HTML around it. A step that comes twice fails."""
        shown = self.get("plugin/text/text", run=run, tag=f"{tag}/text_summary")
        assert len({each["step"] for each in shown}) == len(shown)
        return {each["step"]: unescape(re.sub(r"<[^>]*>", " ", each["text"])) for each in shown}


@pytest.fixture(scope="module", params=["auto", "false"])
def api(request: pytest.FixtureRequest, folder: Path) -> Iterator[Api]:
    """The server with its fast reader of files, which hides what is doubled, and with the slow one, which does not."""
    with screenshots.serving(folder, f"--load_fast={request.param}") as address:
        server, deadline = Api(address), time.monotonic() + 60
        while not all("visuals/breakdown" in server.get("plugin/images/tags").get(run, {}) for run in ("count", "nn")):
            assert time.monotonic() < deadline, "TensorBoard has not read the runs"
            time.sleep(0.1)
        yield server


def test_runs_and_tags(api: Api) -> None:
    assert api.get("runs") == ["count", "nn", "resumed"]
    scalars = api.get("plugin/scalars/tags")
    assert {run: set(tags) for run, tags in scalars.items()} == TAGS  # no hp_metric, no epoch
    text = {run: {f"{tag}/text_summary" for tag in ("data", "samples", "settings")} for run in TAGS}
    assert {run: set(tags) for run, tags in api.get("plugin/text/tags").items()} == text
    pictures = {
        "count": {f"visuals/{name}" for name in ("counts", "probabilities", "breakdown")},
        "nn": {f"visuals/{name}" for name in ("counts", "probabilities", "breakdown", "loss")},
    }
    assert {run: set(tags) for run, tags in api.get("plugin/images/tags").items()} == pictures
    weights = {"count": {"weights/counts"}, "nn": {"weights/W"}, "resumed": {"weights/W"}}
    assert {run: set(tags) for run, tags in api.get("plugin/histograms/tags").items()} == weights


@pytest.mark.parametrize("run", ["nn", "resumed"])
def test_curves_of_a_net(api: Api, folder: Path, run: str, runs) -> None:
    """Each step once, from first to last, also where a run was resumed."""
    metrics = runs.record(folder / run)["metrics"]
    for tag in sorted(TAGS[run]):
        curve = api.curve(run, tag)
        steps = [60] if tag.startswith("test/") else [*STEPS, 60]
        if tag in ("train/lr", "train/grad_norm", "train/objective"):  # of an update; after the last there is none
            steps = STEPS
        assert [step for step, _ in curve] == steps, tag
        if tag in metrics:
            assert curve[-1][1] == pytest.approx(metrics[tag], rel=1e-6), tag
    assert [value for _, value in api.curve(run, "train/lr")] == pytest.approx([0.3] * len(STEPS))
    loss, bits = dict(api.curve(run, "val/loss")), dict(api.curve(run, "val/bits_per_char"))
    assert bits == pytest.approx({step: value / 0.6931471805599453 for step, value in loss.items()}, rel=1e-6)


def test_counted_optimum_is_a_line_that_the_loss_ends_at(api: Api) -> None:
    """The net learns what the counted model with the same k is told."""
    (counted,) = {value for _, value in api.curve("nn", "train/loss_counted")}
    losses = [value for _, value in api.curve("nn", "train/loss")]
    assert losses[-1] == pytest.approx(counted, abs=0.01)
    assert losses[0] > counted + 1


def test_curves_of_a_count(api: Api, folder: Path, runs) -> None:
    metrics = runs.record(folder / "count")["metrics"]
    for tag in LOSSES:
        assert api.curve("count", tag) == [(0, pytest.approx(metrics[tag], rel=1e-6))]


def test_curves_over_orders(api: Api, folder: Path, runs) -> None:
    """In place of a step stands the order; the highest is the model."""
    metrics = runs.record(folder / "count")["metrics"]
    for tag in OVER_ORDERS:
        assert [step for step, _ in api.curve("count", tag)] == [1, 2], tag
    assert api.curve("count", "x_is_order/test_loss")[1][1] == pytest.approx(metrics["test/loss"], rel=1e-6)
    assert api.curve("count", "x_is_order/smoothing_k") == [(1, 2), (2, 2)]
    weights = safetensors.numpy.load_file(folder / "count" / "weights.safetensors")
    once = [(order, int((weights[f"counts_{order}"] == 1).sum())) for order in (1, 2)]
    assert api.curve("count", "x_is_order/ngrams_occurring_1x") == once


def test_resumed_run_is_the_run_that_was_not_interrupted(api: Api) -> None:
    for tag in TAGS["nn"]:
        assert api.curve("resumed", tag) == api.curve("nn", tag), tag
    assert api.text("resumed", "samples") == api.text("nn", "samples")


def test_pictures(api: Api, folder: Path) -> None:
    for run, step in {"count": 0, "nn": 60}.items():
        for tag in ("visuals/counts", "visuals/probabilities", "visuals/breakdown"):
            (image,) = api.get("plugin/images/images", run=run, tag=tag, sample=0)
            assert image["step"] == step
            with ask(f"{api.address}/data/plugin/images/individualImage?{image['query']}", timeout=30) as answer:
                shown = np.array(Image.open(io.BytesIO(answer.read())))
            kept = np.array(Image.open(folder / run / "figures" / f"{tag.partition('/')[2]}.png"))
            assert np.array_equal(shown, kept)


def test_text(api: Api, folder: Path, runs) -> None:
    samples = api.text("nn", "samples")
    assert 5 < len(samples) <= 10  # more TensorBoard would drop at random
    assert {0, 60} <= set(samples)
    assert samples[60].split() == (folder / "nn/samples.txt").read_text().split()
    assert samples[0] != samples[60]
    for run in TAGS:
        record = runs.record(folder / run)
        (report,) = api.text(run, "data").values()
        for value in (f"{record['data']['characters']:,}", record["data"]["sha256"], record["data"]["source"]):
            assert value in report
        settings = api.text(run, "settings")
        assert list(settings) == ([0, 30] if run == "resumed" else [0])
        rows = dict(re.findall(r"(\S+)\s+(\S+)", settings[0].partition("setting")[2]))
        assert rows["smoothing.k"] == str(record["settings"]["smoothing"]["k"])
        assert rows["seed"] == "2147483647"
        assert rows["resume"] == "null"


def test_histograms(api: Api, folder: Path) -> None:
    learned = api.get("plugin/histograms/histograms", run="nn", tag="weights/W")
    (counted,) = api.get("plugin/histograms/histograms", run="count", tag="weights/counts")
    assert [step for _, step, _ in learned] == list(api.text("nn", "samples"))
    assert {sum(count for _, _, count in bins) for _, _, bins in learned} == {27 * 27}
    weights = safetensors.numpy.load_file(folder / "count" / "weights.safetensors")
    assert sum(count for _, _, count in counted[2]) == len(weights["counts_2"])


def test_page_of_curves(api: Api) -> None:
    (category,) = api.get("plugin/custom_scalars/layout")["category"]
    charts = {chart["title"]: chart["multiline"]["tag"] for chart in category["chart"]}
    assert set(charts) == {"loss, nats per character", "objective: loss plus penalty"}
    found = {}
    for expression in charts["loss, nats per character"]:
        answer = api.get("plugin/custom_scalars/scalars", run="nn", tag=expression)
        assert answer["regex_valid"]
        found |= answer["tag_to_events"]
    assert set(found) == {"train/loss", "val/loss", "train/loss_counted"}


def test_page_of_orders(tmp_path: Path, runs) -> None:
    """A run of three orders has a page of its own, and each of its charts has curves."""
    words = ["model=count", "model.order=3", "smoothing=modified_kneser_ney", "data=lines", runs.names(tmp_path)]
    train(tmp_path / "runs" / "three", *words, figures=True)
    with reading(tmp_path / "runs", 1) as server:
        categories = server.get("plugin/custom_scalars/layout")["category"]
        assert len(categories) == 2
        assert categories[0]["title"] == "nextchar"
        found = {}
        for chart in categories[1]["chart"]:
            (expression,) = chart["multiline"]["tag"]
            answer = server.get("plugin/custom_scalars/scalars", run="three", tag=expression)
            assert answer["regex_valid"]
            assert answer["tag_to_events"], chart["title"]
            found |= answer["tag_to_events"]
        over_orders = {tag for tag in server.get("plugin/scalars/tags")["three"] if tag.startswith("x_is_order/")}
        assert set(found) == over_orders
        assert {f"x_is_order/smoothing_{name}" for name in ("D1", "D2", "D3+")} < over_orders
        assert "x_is_order/smoothing_strength" not in over_orders  # 0 at all orders
        assert "visuals/orders" in server.get("plugin/images/tags")["three"]


def test_hparams_of_all_runs_in_one_table(api: Api, folder: Path, runs) -> None:
    experiment = api.post("plugin/hparams/experiment", experimentName="", hparamsLimit=1000)
    columns = {info["name"]: info["type"] for info in experiment["hparamInfos"]}
    assert list(columns)[:5] in (
        ["model.name", "optim.lr", "optim.name", "smoothing.k", "smoothing.name"],
        ["model.name", "optim.name", "smoothing.k", "smoothing.name", "data.batch_size"],
    )
    assert set(columns) == set(tensorboard.columns())
    assert {"optim.momentum", "optim.history_size", "model.init", "smoothing.strength", "seed"} < set(columns)
    assert not {"data.sha256", "figures", "resume", "trainer.log_every"} & set(columns)
    metrics = [info["name"]["tag"] for info in experiment["metricInfos"]]
    assert metrics == ["test/loss", "val/loss", "train/loss", "test/bits_per_char", "test/perplexity"]

    rows = table(api, [*columns], metrics)
    assert set(rows) == {"count", "nn", "resumed"}
    for run, (values, measured) in rows.items():
        record = runs.record(folder / run)
        own = flat(record["settings"])
        for key, kind in columns.items():
            absent = "-" if kind == "DATA_TYPE_STRING" else None
            expected = absent if own.get(key) is None else own[key]
            assert values.get(key) == (str(expected) if kind == "DATA_TYPE_STRING" else expected), key
        assert measured == pytest.approx({tag: record["metrics"][tag] for tag in metrics}, rel=1e-6)


@pytest.mark.parametrize("key", ["optim.lr", "smoothing.k", "model.init"])
def test_hparams_sort(api: Api, key: str) -> None:
    """TensorBoard's answer to a click on a column fails where a text stands among numbers."""
    assert len(table(api, [key], [], order="ORDER_DESC")) == 3


def table(api: Api, columns: list[str], metrics: list[str], order: str = "ORDER_UNSPECIFIED") -> dict[str, Any]:
    """Run -> (its settings, its metrics), as the page of HParams shows them."""
    asked = [{"hparam": key, "order": order} for key in columns] + [{"metric": {"tag": tag}} for tag in metrics]
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    answer = api.post(
        "plugin/hparams/session_groups", startIndex=0, sliceSize=1000, allowedStatuses=statuses, colParams=asked
    )
    return {
        group["sessions"][0]["name"]: (
            group["hparams"],
            {
                metric["name"]["tag"]: metric["value"]
                for metric in group["metricValues"]
                if metric["name"]["tag"] in metrics
            },
        )
        for group in answer["sessionGroups"]
    }


# --- a sweep --------------------------------------------------------------------------------------------------------


@contextmanager
def reading(logdir: Path, number: int) -> Iterator[Api]:
    """TensorBoard over a folder, once it has read so many runs to their ends."""
    with screenshots.serving(logdir) as address:
        server, deadline = Api(address), time.monotonic() + 60
        while sum("test/loss" in tags for tags in server.get("plugin/scalars/tags").values()) < number:
            assert time.monotonic() < deadline, "TensorBoard has not read the runs"
            time.sleep(0.1)
        yield server


def ticked(server: Api) -> set[str]:
    """The columns that are there before one asks for others."""
    experiment = server.post("plugin/hparams/experiment", experimentName="", hparamsLimit=1000)
    infos = experiment["hparamInfos"]
    assert {info["name"] for info in infos} == set(tensorboard.columns())
    first = {info["name"] for info in infos[:5]}
    assert first == {info["name"] for info in infos if info["differs"]}
    return first


def check(runs, server: Api, sweep: Path, differing: set[str]) -> None:
    """All runs are in the table, as run.json has them, and each has a value in all columns that are there at first."""
    jobs = {job["folder"]: job for job in json.loads((sweep / "sweep.json").read_text())["jobs"]}
    first = ticked(server)
    assert differing <= first
    assert set(server.get("runs")) == set(jobs)
    rows = table(server, [*tensorboard.columns()], list(tensorboard.METRICS))
    assert set(rows) == set(jobs)
    for folder, (values, measured) in rows.items():
        own = flat(jobs[folder]["settings"])
        for key in first:  # an empty column would keep the run out of the parallel coordinates
            assert values[key] == ("-" if own.get(key) is None else own[key])
        metrics = runs.record(sweep / folder)["metrics"]
        if jobs[folder]["status"] == "finished":
            assert measured == pytest.approx({tag: metrics[tag] for tag in tensorboard.METRICS}, rel=1e-6)


def sweep(runs, run_script, folder: Path, *words: str) -> Path:
    """train.py -m, on 400 names."""
    folder.parent.mkdir(exist_ok=True)
    data = ["data=lines", runs.names(folder.parent), "figures=false"]
    where = f"sweep.resume={folder}" if folder.exists() else f"hydra.sweep.dir={folder}"
    ended = run_script("train", "-m", *words, *data, where)
    assert ended.returncode == 0, ended.stderr
    return folder


def test_a_grid_of_counts_and_nets(tmp_path: Path, runs, run_script) -> None:
    """Runs are named by the settings that differ. Those of a resumed sweep are in the table with the others."""
    folder = sweep(runs, run_script, tmp_path / "s", "model=count,nn", "smoothing=add_k", "smoothing.k=0.1,1")
    with reading(folder, 4) as server:
        check(runs, server, folder, {"model.name", "smoothing.k"})
        differing = product(("count", "nn"), ("0.1", "1"))
        assert server.get("runs") == [f"{n}_model={model},smoothing.k={k}" for n, (model, k) in enumerate(differing)]
    sweep(runs, run_script, folder, "model=nn", "smoothing=none", "optim=adam", "seed=1,2")
    with reading(folder, 6) as server:
        assert server.get("runs")[-1] == "5_seed=2"
        rows = table(server, ["seed"], ["test/loss"])
        assert {run: measured["test/loss"] for run, (_, measured) in rows.items()} == {
            run: pytest.approx(runs.record(folder / run)["metrics"]["test/loss"]) for run in server.get("runs")
        }


def test_a_search(tmp_path: Path, runs, run_script) -> None:
    words = ["model=nn", "optim=sgd,adam", "optim.lr=tag(log,interval(0.1,3))", "trainer.max_steps=5"]
    folder = sweep(runs, run_script, tmp_path / "s", "sweep=optuna", "sweep.n_trials=11", "sweep.prune=false", *words)
    with reading(folder, 11) as server:
        check(runs, server, folder, {"optim.name", "optim.lr"})
        names = list(table(server, ["seed"], []))
    assert [int(name.partition("_")[0]) for name in names] == list(range(11))  # in their order
    assert all(re.fullmatch(r"\d\d_optim=(sgd|adam),optim\.lr=[\d.]{1,6}", name) for name in names), names


def test_a_thousand_runs(tmp_path: Path) -> None:
    """All of them are in the table, with the column that differs in front."""
    settings = run_settings([])
    for number in range(1000):
        (tmp_path / str(number)).mkdir()
        writer = tensorboard.TensorBoardWriter(tmp_path / str(number))
        smoothing = settings.smoothing.model_copy(update={"k": float(number)})
        writer.describe(settings.model_copy(update={"smoothing": smoothing}), {}, ["smoothing.k"])
        writer.scalars({"test/loss": 2 + number / 1000}, 0)
        writer.close()
    with reading(tmp_path, 1000) as server:
        assert "smoothing.k" in ticked(server)
        rows = table(server, ["smoothing.k"], ["test/loss"])
        assert {run: values["smoothing.k"] for run, (values, _) in rows.items()} == {str(n): n for n in range(1000)}
        assert rows["7"][1] == pytest.approx({"test/loss": 2.007})


def test_markdown_finds_nothing_to_interpret() -> None:
    odd = "a|b*c*_d_`e`<i>&amp;[x](y)\\ \n \x1b[0m"
    row = tensorboard._table("head", {odd: "1"}).splitlines()[2]
    assert row.count("|") - row.count("\\|") == 3
    assert "\x1b" not in row
    assert "<" not in row


def test_odd_values_reach_the_page_as_they_are(tmp_path: Path, runs) -> None:
    """Infinities are left out of curves, a second point of a step too; settings and samples show odd text as text."""
    writer = tensorboard.TensorBoardWriter(tmp_path)
    writer.scalars({"val/loss": float("inf"), "train/loss": 1.0}, 3)
    writer.scalars({"val/loss": 2.0, "train/loss": 5.0}, 3)
    writer.samples(["<b>", "a\nb", "\x1b[31m"], 0)
    writer.close()
    assert runs.curve(tmp_path, "train/loss") == [(3, 1.0)]
    assert runs.curve(tmp_path, "val/loss") == [(3, 2.0)]


def test_server_is_stopped_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(KeyError), screenshots.serving(tmp_path) as address:
        raise KeyError
    with pytest.raises(OSError, match="refused"):
        ask(address, timeout=5)


def test_pictures_of_the_readme_without_a_browser(tmp_path: Path, project) -> None:
    command = [sys.executable, project / "benchmarks" / "screenshots.py"]
    process = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": str(tmp_path)})
    assert process.returncode == 2
    assert process.stderr.startswith("error: no browser found; install one of chromium, ")
    assert process.stderr.count("\n") == 1


def test_ci_knows_the_same_browsers(project) -> None:
    assert f"command -v {' '.join(screenshots.BROWSERS)} " in (project / ".ci/run").read_text()


def test_samples_of_several_lines_are_separated_by_rules(tmp_path: Path) -> None:
    texts = {}
    board = tensorboard.TensorBoardWriter.__new__(tensorboard.TensorBoardWriter)
    board._text = lambda tag, text, step: texts.update({step: text})  # type: ignore[method-assign]
    board.samples(["ab", "cd"], 1)
    board.samples(["a\nb", "cd"], 2)
    assert texts[1] == "    ab\n    cd"
    assert texts[2] == f"    a\n    b\n    {'─' * 40}\n    cd"


def test_the_kinds_of_the_columns() -> None:
    kinds = tensorboard.columns()
    assert (kinds["model.name"], kinds["optim.lr"], kinds["smoothing.tune"]) == (str, float, bool)
    assert None not in kinds.values()
