"""Names: whole runs beside the notes' scripts, sweeps, steps, sampling, comparing, and what TensorBoard shows."""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from measures.pairs import PEERS, SCRIPTS, Options, Row, alone, row
from screenshots import serving

from nextchar.config.compose import run_settings

if TYPE_CHECKING:
    from nextchar.models.ngram.model import CountModel

STEPS = 1024  # of the notes' net
TIMED_STEPS = 20_000  # of a step's price under the Trainer
SAMPLED = 100_000  # names side by side
LOOPED = 1000  # names in the notes' loop
COMPARED = 1000  # runs
SWEPT = 50  # jobs
SHOWN = 1000  # runs in TensorBoard


# --- whole processes ------------------------------------------------------------------------------------------------


def processes(options: Options) -> list[Row]:
    data = ["data=lines", f"data.path={options.data}", "data.split=all"]
    net = ["model=nn", "optim.lr=15", f"trainer.max_steps={STEPS}", *data]
    counted, net_plain, net_pictured = [], [], []
    for _ in range(options.pairs):
        counted.append((train(data), peer("count_loop", options.data)))
        loop = peer("one_hot_loop", options.data, STEPS)
        net_plain.append((train([*net, "figures=false"]), loop))
        net_pictured.append((train(net), loop))
    loops = [b for _, b in counted]
    nets = [b for _, b in net_plain]
    return [
        row("model=count: table on the screen / counting loop", [a[0] for a, _ in counted], loops, 0.15),
        row("model=count: all files and pictures / counting loop", [a[1] for a, _ in counted], loops, 0.6),
        row(f"model=nn, {STEPS:,} steps, figures=false / one-hot loop", [a[1] for a, _ in net_plain], nets, 0.10),
        row(f"model=nn, {STEPS:,} steps, pictures / one-hot loop", [a[1] for a, _ in net_pictured], nets, 0.14),
    ]


def train(overrides: list[str]) -> tuple[float, float]:
    """Seconds until the table and the samples are on the screen, and until the process has ended."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, SCRIPTS / "train.py", *overrides, f"hydra.run.dir={folder}/run"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        shown = [time.perf_counter() - began for line in process.stdout if line.startswith("run folder")]
        if process.wait():
            sys.exit(f"error: {' '.join(map(str, command))} failed")
        return shown[0], time.perf_counter() - began


def peer(name: str, *arguments: object) -> float:
    """Seconds of a plain script that does what the notes do."""
    return seconds([sys.executable, PEERS / f"{name}.py", *map(str, arguments)])


def seconds(command: list[object], exit_code: int = 0) -> float:
    began = time.perf_counter()
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False)
    if done.returncode != exit_code:
        sys.exit(f"error: {' '.join(map(str, command))} exited with {done.returncode}: {done.stderr.decode()}")
    return time.perf_counter() - began


def answers(options: Options) -> list[Row]:
    """--help and a refusal, beside a Python that does nothing but import torch."""
    train_py = [sys.executable, SCRIPTS / "train.py"]
    torch = [seconds([sys.executable, "-c", "import torch"]) for _ in range(options.pairs)]
    rows = []
    for what, words, code in [("--help", ["--help"], 0), ("a refusal (optim.lrr=1)", ["optim.lrr=1"], 2)]:
        ours = [seconds([*train_py, *words], code) for _ in range(options.pairs)]
        middle = statistics.median(ours)
        met = "yes" if middle <= 0.7 else "NO"
        ratio = statistics.median(a / b for a, b in zip(ours, torch, strict=True))
        rows.append(
            (
                f"{what} / import torch",
                f"{middle:.3g} s",
                f"{statistics.median(torch):.3g} s",
                f"{ratio:.3g}",
                "0.7 s",
                met,
            )
        )
    return rows


def sweeping(options: Options) -> list[Row]:
    """The process of a sweep less its start, and the same jobs in a process that has started.

    With pictures it is one pair: they take half a second a job, on both sides.
    """
    rows = []
    for what, words, pairs in (("pictures", [], 1), ("figures=false", ["figures=false"], options.pairs)):
        data = ["data=lines", f"data.path={options.data}", *words]
        sweep = [sys.executable, SCRIPTS / "train.py", "-m", *data]
        ours, plain = [], []
        for _ in range(pairs):
            with tempfile.TemporaryDirectory() as folder:
                start = seconds([*sweep, "smoothing.k=1", "sweep.dry_run=true"])
                whole = seconds([*sweep, f"smoothing.k=range(1,{SWEPT + 1})", f"hydra.sweep.dir={folder}/sweep"])
                ours.append(whole - start)
                jobs = [sys.executable, PEERS / "jobs.py", str(SWEPT), folder, *data]
                plain.append(float(subprocess.run(jobs, capture_output=True, text=True, check=True).stdout))
        rows.append(row(f"-m with {SWEPT} counted jobs, {what} / the jobs' own work", ours, plain, 1.3))
    return rows


def comparing(options: Options) -> list[Row]:
    """compare.py over a thousand runs, and a Python that does nothing but json.load their run.json."""
    reading = "import glob, json, sys; [json.load(open(path)) for path in glob.glob(sys.argv[1] + '/*/run.json')]"
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        thousand_runs(options.data, runs)
        compare = [sys.executable, SCRIPTS / "compare.py", runs, f"out={folder}/out"]
        ours = [seconds(compare) for _ in range(options.pairs)]
        plain = [seconds([sys.executable, "-c", reading, runs]) for _ in range(options.pairs)]
    middle, peers = statistics.median(ours), statistics.median(plain)
    ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
    met = "yes" if middle <= 3 else "NO"
    what = f"compare.py over {COMPARED:,} runs / json.load of them"
    return [(what, f"{middle:.3g} s", f"{peers:.3g} s", f"{ratio:.3g}", "3 s", met)]


def thousand_runs(data: Path, folder: Path) -> None:
    """Copies of one run, each with a k of its own and curves as long as they get."""
    from nextchar.runs.folder import RECORD
    from nextchar.runs.record import CURVE_POINTS, LOSSES, SAMPLES
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
    """TensorBoard, from its start until HParams shows a thousand runs with their losses."""
    took = []
    with tempfile.TemporaryDirectory() as folder:
        thousand_events(options.data, Path(folder))
        for _ in range(options.pairs):
            began = time.perf_counter()
            with serving(Path(folder) / "runs") as address:
                while shown(address) < SHOWN:
                    time.sleep(0.05)
                took.append(time.perf_counter() - began)
    return [alone(f"HParams over {SHOWN:,} runs", took, 5)]


def thousand_events(data: Path, folder: Path) -> None:
    """TensorBoard's files of counted runs, each with a k of its own."""
    from nextchar.training import train as training
    from nextchar.training.tensorboard import Board

    words = ["figures=false", "data=lines", f"data.path={data}"]
    settings = run_settings(words)
    result = training.train(settings, folder / "run")
    for number in range(SHOWN):
        smoothing = settings.smoothing.model_copy(update={"k": float(number)})
        (folder / "runs" / str(number)).mkdir(parents=True)
        board = Board(folder / "runs" / str(number))
        board.describe(settings.model_copy(update={"smoothing": smoothing}), result.report.plain())
        board.samples(result.samples, 0)
        board.scalars(result.metrics, 0)
        board.close()


def shown(address: str) -> int:
    """How many runs stand in the table with a loss on test."""
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
    except urllib.error.HTTPError:  # it has read nothing yet
        return 0
    return sum(any(metric["name"]["tag"] == "test/loss" for metric in group["metricValues"]) for group in groups)


# --- within a process -----------------------------------------------------------------------------------------------


def steps(options: Options) -> list[Row]:
    """One full-batch step under the Trainer with all that is written beside it, and a plain PyTorch step."""
    import torch

    torch.set_num_threads(1)
    words = options.data.read_text().split("\n")
    ours, ours_ten_times, plain = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        tenfold = Path(folder) / "tenfold.txt"
        tenfold.write_text("\n".join(words * 10))
        trainer_step(options.data, Path(folder) / "imports")  # which are not what is measured
        for number in range(options.pairs):
            ours.append(trainer_step(options.data, Path(folder) / f"a{number}"))
            plain.append(plain_step(words))
            ours_ten_times.append(trainer_step(tenfold, Path(folder) / f"b{number}"))
    return [
        row("a step under the Trainer, logging every 50 / plain PyTorch step", ours, plain, 1.5, "us"),
        row("the same on ten times the pairs / on the pairs", ours_ten_times, ours, 1.2, "us"),
    ]


def trainer_step(data: Path, folder: Path) -> float:
    """Microseconds: the difference between a long run and a run of no steps, by the number of steps."""
    from nextchar.training import train as training

    def learning(steps: int) -> float:
        words = ["model=nn", "figures=false", "data=lines", f"data.path={data}", f"trainer.max_steps={steps}"]
        settings = run_settings(words)
        return training.train(settings, folder.with_name(f"{folder.name}-{steps}")).seconds["learn"]

    none = learning(0)
    return (learning(TIMED_STEPS) - none) / TIMED_STEPS * 1e6


def plain_step(words: list[str]) -> float:
    """Microseconds of the same step in bare PyTorch: shares of pairs, log-softmax, backward, SGD."""
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
    """Microseconds a name: drawn side by side, and one character at a time with torch.multinomial as in the notes."""
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
        loops.append(notes_sampling(model, number))
    return [
        row(f"{SAMPLED:,} names side by side / the notes' loop", ours, loops, 50, "us", least=True),
        alone("... in microseconds a name", ours, 2, "us"),
    ]


def notes_sampling(model: "CountModel", seed: int) -> float:
    """Microseconds a name of the notes' loop."""
    import torch

    P = (torch.tensor(model.tables[1].matrix(np.arange(len(model.vocabulary)))) + 1).float()
    P /= P.sum(1, keepdim=True)
    itos = dict(enumerate(model.vocabulary.symbols))
    generator = torch.Generator().manual_seed(seed)
    began = time.perf_counter()
    for _ in range(LOOPED):
        out, ix = [], 0
        while True:
            ix = torch.multinomial(P[ix], num_samples=1, replacement=True, generator=generator).item()
            out.append(itos[ix])
            if ix == 0:
                break
        "".join(out)
    return (time.perf_counter() - began) / LOOPED * 1e6


MEASURES = (processes, sweeping, steps, sampling, comparing, showing, answers)
