"""No command connects, fetches or runs anything because a folder that a stranger wrote says so."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from audit import watched

from nextchar.cli import main
from nextchar.config.compose import run_settings
from nextchar.errors import BadInput
from nextchar.sweeps.search import STORAGE, STUDY

MAKEMORE = "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"  # of conf/data/makemore.yaml

OUTWARD = ("socket.", "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "pickle.", "urllib.")
FETCHING = ("import distributed", "import requests", "import joblib")


@contextmanager
def nothing_leaves() -> Iterator[None]:
    with watched() as seen:
        yield
    outward = [each for each in seen if each.startswith((*OUTWARD, *FETCHING))]
    assert [each for each in outward if not each.startswith("socket.gethostname")] == []  # names the event file


def refusal(name: str, *words: object) -> str:
    """The line with which a command refuses, during which nothing leaves this process."""
    with nothing_leaves(), pytest.raises(BadInput) as refused:
        main.run(name, list(map(str, words)), name)
    line = str(refused.value)
    assert "\n" not in line
    return line


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A port at which a stranger would answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.settimeout(0)
        with pytest.raises(BlockingIOError):  # nobody has connected
            server.accept()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for downloads."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "nextchar"


@pytest.fixture
def finished(tmp_path: Path, runs) -> Path:
    folder = tmp_path / "finished"
    runs.train("data=lines", runs.names(tmp_path), "figures=false", f"hydra.run.dir={folder}")
    return folder


Edit = Callable[[dict[str, Any]], object]


def edited(path: Path, edit: Edit) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def unfinished(folder: Path, edit: Edit) -> Path:
    (folder / "run.json").unlink()
    edited(folder / "settings.json", edit)
    return folder


def of_makemore(url: str, sha256: str) -> Edit:
    return lambda settings: settings["data"].update(name="makemore", path=None, url=url, sha256=sha256)


# --- runs -----------------------------------------------------------------------------------------------------------


def test_the_scheduler_of_a_run_to_resume(finished: Path, address: str, runs) -> None:
    tcp = f"tcp://{address}"
    folder = unfinished(finished, lambda settings: settings["cluster"].update(address=tcp))
    line = refusal("train", f"resume={folder}")
    assert f"add cluster.address={tcp}; otherwise add cluster.address=null" in line
    assert not (folder / "run.json").exists()
    with nothing_leaves():
        runs.train(f"resume={folder}", "cluster.address=null")
    assert runs.record(folder)["settings"]["cluster"] == {"address": None}


def test_a_scheduler_that_is_typed_is_used(finished: Path) -> None:
    folder = unfinished(finished, lambda settings: settings["cluster"].update(address="tcp://127.0.0.1:1"))
    with pytest.raises(BadInput, match="no scheduler can be reached"):
        main.run("train", [f"resume={folder}", "cluster.address=tcp://127.0.0.1:2"], "train")


@pytest.mark.parametrize("key", ["url", "sha256"])
def test_the_download_of_a_run_to_resume(finished: Path, address: str, cache: Path, key: str) -> None:
    conf = run_settings(["data=makemore"]).data
    value = {"url": f"http://{address}/names.txt", "sha256": MAKEMORE[:12] + "0" * 52}[key]
    own = {"url": conf.url, "sha256": conf.sha256}
    folder = unfinished(finished, of_makemore(**own | {key: value}))
    assert f"add data.{key}={value}; otherwise add data.{key}={own[key]}" in refusal("train", f"resume={folder}")


@pytest.mark.parametrize("words", [[], ["data.unk=skip"], ["data.split=all"], ["data.encoding=latin-1"]], ids=str)
def test_the_download_of_a_finished_run(finished: Path, address: str, cache: Path, words: list[str]) -> None:
    """Also where the cache holds a file whose digest begins as the recorded one."""
    sha256 = MAKEMORE[:12] + "0" * 52
    edit = of_makemore(f"http://{address}/names.txt", sha256)
    edited(finished / "run.json", lambda record: edit(record["settings"]))
    assert "is not in the cache" in refusal("evaluate", f"run={finished}", *words)
    cache.mkdir(parents=True)
    (cache / f"makemore-{sha256[:12]}.txt").write_text("anna\n")
    assert "is not in the cache" in refusal("evaluate", f"run={finished}", *words)
    assert "is not in the cache" in refusal("sample", f"run={finished}", "novel=true")


@pytest.mark.parametrize("name", ["evaluate", "sample", "explain", "export", "compare"])
def test_a_finished_run_opens_no_connection(
    finished: Path, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    def edit(record: dict[str, Any]) -> None:
        record["settings"]["cluster"]["address"] = f"tcp://{address}"

    edited(finished / "run.json", edit)
    words = {"explain": ["text=em"], "export": [f"out={tmp_path / 'model.arpa'}"], "compare": [f"out={tmp_path}"]}
    run = str(finished) if name == "compare" else f"run={finished}"
    with nothing_leaves():
        main.run(name, [run, *words.get(name, [])], name)


# --- sweeps ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def grid(tmp_path: Path, runs) -> Path:
    folder = tmp_path / "grid"
    names = runs.names(tmp_path)
    runs.train("-m", "smoothing.k=1,2", "data=lines", names, "figures=false", f"hydra.sweep.dir={folder}")
    return folder


@pytest.fixture
def search(tmp_path: Path, runs) -> Path:
    folder = tmp_path / "search"
    words = ["sweep=optuna", "sweep.n_trials=1", "smoothing.k=interval(1,2)", "data=lines", runs.names(tmp_path)]
    runs.train("-m", *words, "figures=false", f"hydra.sweep.dir={folder}")
    return folder


def test_the_scheduler_of_a_sweep_to_resume(grid: Path, address: str, runs) -> None:
    tcp = f"tcp://{address}"

    def edit(sweep: dict[str, Any]) -> None:
        sweep["jobs"][1]["settings"]["cluster"]["address"] = tcp

    edited(grid / "sweep.json", edit)
    (grid / "1_smoothing.k=2" / "run.json").unlink()
    line = refusal("train", "-m", f"sweep.resume={grid}")
    assert f"add cluster.address={tcp}; otherwise add cluster.address=null" in line
    with nothing_leaves():
        runs.train("-m", f"sweep.resume={grid}", "cluster.address=null")
    jobs = json.loads((grid / "sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["finished", "finished"]
    assert runs.record(grid / "1_smoothing.k=2")["settings"]["cluster"] == {"address": None}


def test_the_download_of_a_sweep_to_resume(grid: Path, address: str, cache: Path) -> None:
    edit = of_makemore(f"http://{address}/names.txt", MAKEMORE)
    edited(grid / "sweep.json", lambda sweep: edit(sweep["jobs"][1]["settings"]))
    assert "data.url=http://" in refusal("train", "-m", f"sweep.resume={grid}")


HYDRA_WORDS = ["hydra/launcher=joblib", "+hydra.searchpath=[file:///srv/conf]", "++hydra/launcher=submitit_slurm"]


@pytest.mark.parametrize("word", [*HYDRA_WORDS, "data.path=${oc.env:HOME}"])
def test_words_for_hydra_in_a_sweep_to_resume(grid: Path, word: str) -> None:
    edited(grid / "sweep.json", lambda sweep: [job["overrides"].append(word) for job in sweep["jobs"]])
    assert "is no override of a job" in refusal("train", "-m", f"sweep.resume={grid}", "smoothing.k=3")


@pytest.mark.parametrize("word", [*HYDRA_WORDS, "seed=${oc.env:UID}"])
def test_words_for_hydra_in_a_search_to_resume(search: Path, word: str) -> None:
    edited(search / "sweep.json", lambda sweep: sweep["search"]["fixed"].append(word))
    assert "is no override of a job" in refusal("train", "-m", f"sweep.resume={search}", "sweep.n_trials=2")


def fails_without_a_connection(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """A search asks for its trials while it runs; then the sweep ends with a remark and exit code 1."""
    with nothing_leaves(), pytest.raises(SystemExit) as end:
        main.run("train", ["-m", *words], "train")
    assert end.value.code == 1
    return capsys.readouterr().err


def test_the_scheduler_of_a_search_to_resume(search: Path, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    edited(search / "sweep.json", lambda sweep: sweep["search"]["fixed"].append(f"cluster.address=tcp://{address}"))
    error = fails_without_a_connection(f"sweep.resume={search}", "sweep.n_trials=2", capsys=capsys)
    assert "otherwise add cluster.address=null" in error


@pytest.mark.parametrize("key", ["cluster.address", "hydra/launcher"])
def test_the_study_of_a_search_to_resume(
    search: Path, address: str, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    """A trial that was asked for before the process was killed is in the study only."""
    study = optuna.load_study(study_name=STUDY, storage=f"sqlite:///{search / STORAGE}")
    value = {"cluster.address": f"tcp://{address}", "hydra/launcher": "joblib"}[key]
    study.enqueue_trial({key: value})
    study.ask({key: optuna.distributions.CategoricalDistribution([value])})
    error = fails_without_a_connection(f"sweep.resume={search}", "sweep.n_trials=2", capsys=capsys)
    assert "otherwise add cluster.address=null" in error or "is no override of a job" in error
