"""Measures on names: runs, training steps and sampling beside the lecture's code; sweeps, compare.py, TensorBoard."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measures.rows import Options, Row, peer, row, row_alone, row_in_seconds, script, seconds
from benchmarks.screenshots import serving
from nextchar.config.compose import run_settings

if TYPE_CHECKING:
    from nextchar.models.ngram.model import CountModel

STEPS = 1024  # optimizer steps of the lecture's net
TIMED_STEPS = 20_000  # optimizer steps that are timed within a process
SAMPLED = 100_000  # names sampled in batches
LOOPED = 1000  # names sampled by the lecture's loop
COMPARED = 1000  # runs given to compare.py
SWEPT = 50  # jobs of a sweep
SHOWN = 1000  # runs shown by TensorBoard


# --- whole processes ------------------------------------------------------------------------------------------------


def processes(options: Options) -> list[Row]:
    """Whole processes of train.py, and the lecture's code as scripts."""
    data = ["data=lines", f"data.path={options.data}", "data.split=all"]
    net = ["model=nn", "optim.lr=15", f"trainer.max_steps={STEPS}", *data]
    counted, net_plain, net_pictured = [], [], []
    for _ in range(options.pairs):
        counted.append((train(data), seconds(peer("count_loop", options.data))))
        loop = seconds(peer("one_hot_loop", options.data, STEPS))
        net_plain.append((train([*net, "figures=false"]), loop))
        net_pictured.append((train(net), loop))
    loops = [b for _, b in counted]
    nets = [b for _, b in net_plain]
    return [
        row("model=count, result printed / counting loop", [a[0] for a, _ in counted], loops, 0.15),
        row("model=count, all files and figures / counting loop", [a[1] for a, _ in counted], loops, 0.6),
        row(f"model=nn, {STEPS:,} steps, figures=false / one-hot loop", [a[1] for a, _ in net_plain], nets, 0.10),
        row(f"model=nn, {STEPS:,} steps, with figures / one-hot loop", [a[1] for a, _ in net_pictured], nets, 0.14),
    ]


def train(overrides: list[str]) -> tuple[float, float]:
    """Seconds until the result and the samples are printed, and until the process has ended."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = list(map(str, script("train", *overrides, f"hydra.run.dir={folder}/run")))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        shown = [time.perf_counter() - began for line in process.stdout if line.startswith("run folder")]
        if process.wait():
            sys.exit(f"error: {' '.join(command)} failed")
        return shown[0], time.perf_counter() - began


def answers(options: Options) -> list[Row]:
    """--help and a refusal, beside a Python that imports torch and nothing else."""
    torch = [seconds([sys.executable, "-c", "import torch"]) for _ in range(options.pairs)]
    rows = []
    for measure, word, code in [("--help", "--help", 0), ("a refusal (optim.lrr=1)", "optim.lrr=1", 2)]:
        ours = [seconds(script("train", word), code) for _ in range(options.pairs)]
        rows.append(row_in_seconds(f"{measure} / import torch", ours, torch, 0.7))
    return rows


def sweeping(options: Options) -> list[Row]:
    """A sweep's process without its start-up, beside the same jobs in a process that has imported everything.

    With figures one pair is run: a job then takes half a second on both sides.
    """
    rows = []
    for figures, words, pairs in (("with figures", [], 1), ("figures=false", ["figures=false"], options.pairs)):
        data = ["data=lines", f"data.path={options.data}", *words]
        sweep = script("train", "-m", *data)
        ours, plain = [], []
        for _ in range(pairs):
            with tempfile.TemporaryDirectory() as folder:
                start = seconds([*sweep, "smoothing.k=1", "sweep.dry_run=true"])
                whole = seconds([*sweep, f"smoothing.k=range(1,{SWEPT + 1})", f"hydra.sweep.dir={folder}/sweep"])
                ours.append(whole - start)
                jobs = list(map(str, peer("jobs", SWEPT, folder, *data)))
                plain.append(float(subprocess.run(jobs, capture_output=True, text=True, check=True).stdout))
        rows.append(row(f"-m with {SWEPT} counted jobs, {figures} / jobs alone", ours, plain, 1.3))
    return rows


def comparing(options: Options) -> list[Row]:
    """compare.py on a thousand runs, beside a Python that only loads their run.json."""
    reading = "import glob, json, sys; [json.load(open(path)) for path in glob.glob(sys.argv[1] + '/*/run.json')]"
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        thousand_runs(options.data, runs)
        compare = script("compare", runs, f"out={folder}/out")
        ours = [seconds(compare) for _ in range(options.pairs)]
        plain = [seconds([sys.executable, "-c", reading, runs]) for _ in range(options.pairs)]
    return [row_in_seconds(f"compare.py on {COMPARED:,} runs / json.load of them", ours, plain, 3)]


def thousand_runs(data: Path, folder: Path) -> None:
    """Writes copies of one run, each with another k and with curves of the greatest length."""
    from nextchar.runs.record import CURVE_POINTS, LOSSES, RECORD, SAMPLES
    from nextchar.training import train as training

    words = ["figures=false", "data=lines", f"data.path={data}"]
    settings = run_settings(words)
    training.train(settings, folder / "0")
    record = json.loads((folder / "0" / RECORD).read_text())
    curve = {"steps": list(range(CURVE_POINTS)), "values": [2 + 1 / (step + 1) for step in range(CURVE_POINTS)]}
    record["curves"] = {"train/loss": curve, "val/loss": curve}
    for number in range(1, COMPARED):
        (folder / str(number)).mkdir()
        record["settings"]["smoothing"]["k"] = float(1 + number)
        (folder / str(number) / RECORD).write_text(json.dumps(record, indent=2))
        for name in (LOSSES, SAMPLES):
            shutil.copy(folder / "0" / name, folder / str(number))


def showing(options: Options) -> list[Row]:
    """TensorBoard, from its start until its HParams page shows a thousand runs with their losses."""
    took = []
    with tempfile.TemporaryDirectory() as folder:
        thousand_events(options.data, Path(folder))
        for _ in range(options.pairs):
            began = time.perf_counter()
            with serving(Path(folder) / "runs") as address:
                while shown(address) < SHOWN:
                    time.sleep(0.05)
                took.append(time.perf_counter() - began)
    return [row_alone(f"TensorBoard's HParams of {SHOWN:,} runs", took, 5)]


def thousand_events(data: Path, folder: Path) -> None:
    """Writes TensorBoard's files of counted runs, each with another k."""
    from nextchar.training import train as training
    from nextchar.training.tensorboard import TensorBoardWriter

    words = ["figures=false", "data=lines", f"data.path={data}"]
    settings = run_settings(words)
    result = training.train(settings, folder / "run")
    assert settings.smoothing is not None
    for number in range(SHOWN):
        smoothing = settings.smoothing.model_copy(update={"k": float(number)})
        (folder / "runs" / str(number)).mkdir(parents=True)
        board = TensorBoardWriter(folder / "runs" / str(number))
        board.describe(settings.model_copy(update={"smoothing": smoothing}), result.report.plain(), ["smoothing.k"])
        board.samples(result.samples, 0)
        board.scalars(result.metrics, 0)
        board.close()


def shown(address: str) -> int:
    """The number of runs in the table of HParams that have a test loss."""
    columns = [{"hparam": "smoothing.k"}, {"metric": {"tag": "test/loss"}}]
    asked = {"startIndex": 0, "sliceSize": SHOWN, "allowedStatuses": ["STATUS_UNKNOWN"], "colParams": columns}
    request = urllib.request.Request(
        f"{address}/data/plugin/hparams/session_groups",
        json.dumps(asked).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            groups = json.load(answer)["sessionGroups"]
    except urllib.error.HTTPError:  # TensorBoard has read nothing yet
        return 0
    return sum(any(metric["name"]["tag"] == "test/loss" for metric in group["metricValues"]) for group in groups)


# --- within a process -----------------------------------------------------------------------------------------------


def steps(options: Options) -> list[Row]:
    """A full-batch step under Lightning's Trainer, logging included, beside a step of plain PyTorch."""
    import torch

    torch.set_num_threads(1)
    words = options.data.read_text().split("\n")
    ours, ours_ten_times, plain = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        tenfold = Path(folder) / "tenfold.txt"
        tenfold.write_text("\n".join(words * 10))
        trainer_step(options.data, Path(folder) / "imports")  # so that no later run pays for them
        for number in range(options.pairs):
            ours.append(trainer_step(options.data, Path(folder) / f"a{number}"))
            plain.append(plain_step(words))
            ours_ten_times.append(trainer_step(tenfold, Path(folder) / f"b{number}"))
    return [
        row("a step under the Trainer / a plain PyTorch step", ours, plain, 1.5, "us"),
        row("a step on ten times the text / on the text", ours_ten_times, ours, 1.2, "us"),
    ]


def trainer_step(data: Path, folder: Path) -> float:
    """Microseconds a step: a long run minus a run of no steps, divided by the number of steps."""
    from nextchar.training import train as training

    def learning(steps: int) -> float:
        words = ["model=nn", "figures=false", "data=lines", f"data.path={data}", f"trainer.max_steps={steps}"]
        settings = run_settings(words)
        return training.train(settings, folder.with_name(f"{folder.name}-{steps}")).seconds["learn"]

    none = learning(0)
    return (learning(TIMED_STEPS) - none) / TIMED_STEPS * 1e6


def plain_step(words: list[str]) -> float:
    """Microseconds of the same step in plain PyTorch: weighted pairs, log-softmax, backward, SGD."""
    import torch
    import torch.nn.functional as F

    from nextchar.data.vocabulary import Vocabulary
    from nextchar.models.ngram.counts import count_stream

    vocabulary = Vocabulary.of(words)
    _, pairs = count_stream(vocabulary.stream([w for w in words if w]), len(vocabulary), 2)
    counts = torch.tensor(pairs.matrix(np.arange(len(vocabulary))))
    shares = (counts / counts.sum()).float()
    W = torch.nn.Parameter(torch.randn(counts.shape))
    optimizer = torch.optim.SGD([W], lr=15)
    began = time.perf_counter()
    for _ in range(TIMED_STEPS):
        optimizer.zero_grad()
        loss = -(shares * F.log_softmax(W, dim=1)).sum()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - began) / TIMED_STEPS * 1e6


def sampling(options: Options) -> list[Row]:
    """Microseconds a name: sampled in batches, beside the lecture's torch.multinomial for each character."""
    from nextchar.config.smoothing_settings import AddK
    from nextchar.data.vocabulary import Vocabulary
    from nextchar.evaluation.sampling import sample
    from nextchar.models.ngram.counts import TrainCounts, count_stream
    from nextchar.models.ngram.estimation import estimate
    from nextchar.models.ngram.model import CountModel

    words = [word for word in options.data.read_text().split("\n") if word]
    vocabulary = Vocabulary.of(words)
    tables = count_stream(vocabulary.stream(words), len(vocabulary), 2)
    add_one = AddK(name="add_k", k=1, tune=False)
    model = CountModel(vocabulary, tables, estimate(add_one, TrainCounts(tables), None))
    ours, loops = [], []
    for number in range(options.pairs):
        began = time.perf_counter()
        list(sample(model, SAMPLED, seed=number, batched=True))
        ours.append((time.perf_counter() - began) / SAMPLED * 1e6)
        loops.append(lecture_sampling(model, number))
    return [
        row(f"{SAMPLED:,} names in batches: the lecture's loop / ours", ours, loops, 50, "us", least=True),
        row_alone("... microseconds a name", ours, 2, "us"),
    ]


def lecture_sampling(model: "CountModel", seed: int) -> float:
    """Microseconds a name of the lecture's loop."""
    import torch

    P = (torch.tensor(model.tables[1].matrix(np.arange(len(model.vocabulary)))) + 1).float()
    P /= P.sum(1, keepdim=True)
    itos = dict(enumerate(model.vocabulary.symbols))
    generator = torch.Generator().manual_seed(seed)
    began = time.perf_counter()
    for _ in range(LOOPED):
        out: list[str] = []
        ix = 0
        while True:
            ix = int(torch.multinomial(P[ix], num_samples=1, replacement=True, generator=generator).item())
            out.append(itos[ix])
            if ix == 0:
                break
        "".join(out)
    return (time.perf_counter() - began) / LOOPED * 1e6


MEASURES = (processes, sweeping, steps, sampling, comparing, showing, answers)
