"""Runs a case and returns the part of its outcome that must never change, as plain values for JSON.

Times, versions, paths, the git commit and the wording of errors are no part of it.
"""

import csv
import gzip
import hashlib
import json
import os
import runpy
import sys
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file
from stored_cases import Case, Command

SAID = ("sample", "explain", "evaluate", "export", "compare")  # scripts whose standard output is kept
VARYING = {"seconds", "started", "bytes", "sentences"}  # times; sizes of .gz by zlib's version; wording
PATIENCE = 300  # seconds for one command
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "COLUMNS": "100", "PYTHONUTF8": "1"}

# A command is a fork of a process that has imported the costly libraries, which saves their imports
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(
    ["nextchar.cli.train_command", "nextchar.cli.compare_command", "nextchar.training.gradient"]
)


def run_case(case: Case, checkout: Path, out: Path, data: Path) -> dict[str, Any]:
    """Runs the commands of a case in its empty folder `out`. Returns the outcome to compare with the stored."""
    places = {"{out}": str(out), "{data}": str(data)}
    commands = [_run(command, checkout, out, places) for command in case.commands]
    return _without_paths({"commands": commands, **left_behind(out)}, places)


# --- a command ------------------------------------------------------------------------------------------------------


def _run(command: Command, checkout: Path, out: Path, places: dict[str, str]) -> dict[str, Any]:
    words = [_replaced(word, places) for word in command.words]
    script = checkout / "scripts" / f"{command.script}.py"
    said = {name: out.with_name(f"{out.name}.{name}") for name in ("stdout", "stderr")}  # not among the case's files
    process = FORKS.Process(target=_be_a_command, args=(script, words, out, *said.values()))
    process.start()
    try:
        if command.is_killed:
            _kill_after_a_checkpoint(process, out)
        process.join(PATIENCE)
        if process.is_alive():
            raise TimeoutError(f"{script.name} {' '.join(words)} has not ended after {PATIENCE} seconds")
    finally:
        process.kill()
        process.join()
    stdout, stderr = (path.read_text(encoding="utf-8") for path in said.values())
    outcome: dict[str, Any] = {"code": process.exitcode}
    if process.exitcode == 2:
        outcome["one_error_line"] = stderr.startswith("error: ") and len(stderr.splitlines()) == 1 and not stdout
        outcome["stderr"] = stderr  # to be read by a person; see `comparable`
    elif command.script in SAID:
        printed = _json_or_lines(stdout)
        if command.script == "sample" or not isinstance(printed, list):  # a table for people may be worded anew
            outcome["stdout"] = printed
    return outcome


def _be_a_command(script: Path, words: list[str], folder: Path, stdout: Path, stderr: Path) -> None:
    """Runs a script as `python SCRIPT WORDS` does in a folder, with its output in two files."""
    for descriptor, path in ((1, stdout), (2, stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.environ.update(ENVIRONMENT)
    os.chdir(folder)
    sys.argv = [str(script), *words]
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        if "joblib" in sys.modules:  # its workers end with a script, but not with a process of multiprocessing
            sys.modules["joblib"].externals.loky.get_reusable_executor().shutdown()


def _kill_after_a_checkpoint(process: ForkServerProcess, out: Path) -> None:
    """Kills a process as soon as the folder holds a checkpoint, unless it ends before."""
    while process.is_alive() and not any(out.rglob("last.ckpt")):
        process.join(0.005)
    process.kill()


def _json_or_lines(text: str) -> Any:
    try:
        return _without_varying(json.loads(text))
    except json.JSONDecodeError:
        return [line.rstrip() for line in text.split("\n")]


# --- the folder of a case -------------------------------------------------------------------------------------------


def left_behind(out: Path) -> dict[str, Any]:
    """The runs, sweeps and other files under a folder."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    runs = [path.parent for path in files if path.name == "settings.json"]
    others = [path for path in files if not any(run in path.parents for run in runs)]
    found: dict[str, Any] = {
        "runs": {_name(run, out): read_run(run) for run in runs},
        "others": [_name(path, out) for path in others],
    }
    for path in others:
        if path.name.endswith((".arpa", ".arpa.gz")):
            found[_name(path, out)] = _digest(_unpacked(path))
        elif path.suffix == ".csv":
            found[_name(path, out)] = _table(path)
        elif path.name == "sweep.json":
            found[_name(path, out)] = _jobs(path)
    return found


def read_run(folder: Path) -> dict[str, Any]:
    """The values of a run folder that are compared. If run.json renames a key, this function follows."""
    found: dict[str, Any] = {"files": _files(folder)}
    if (folder / "run.json").exists():
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        report = dict(record["data"] or {})
        report.pop("notes", None)
        found |= {
            "status": record["status"],
            "settings": " ".join(_settings(record["settings"])),
            "vocabulary": record["vocabulary"],
            "metrics": record["metrics"],
            "curves": {tag: _curve(curve) for tag, curve in record["curves"].items()},
            "data": report,
            "ngrams": record["ngrams"],
            "smoothing": record["smoothing"],
            "seeds": record["seeds"],
        }
    for name in ("weights", "test_losses"):
        if (path := folder / f"{name}.safetensors").exists():
            found[name] = _tensors(path)
    if (path := folder / "samples.txt").exists():
        found["samples"] = _digest(path.read_bytes())
    return found


def _files(folder: Path) -> list[str]:
    """The names of the files in a run folder; those of TensorBoard's events, which hold the time, under one name."""
    names = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted({"events" if name.startswith("events.out.tfevents.") else name for name in names})


def _settings(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Settings as words: data.split=hash."""
    found = []
    for key, value in values.items():
        found += _settings(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}={value}"]
    return sorted(found)


def _curve(curve: dict[str, list[float]]) -> dict[str, Any]:
    return {
        "points": len(curve["steps"]),
        "last": curve["values"][-1] if curve["values"] else None,
        "sha256": _digest(json.dumps([curve["steps"], curve["values"]]).encode()),
    }


def _tensors(path: Path) -> str:
    """The digest of the names, types, shapes and numbers, not of the file's header."""
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(path).items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape} ".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _jobs(path: Path) -> list[str]:
    """Number, status, folder and overrides of the jobs of a sweep."""
    jobs = json.loads(path.read_text(encoding="utf-8"))["jobs"]
    return [f"{job['number']} {job['status']} {job['folder']}: {' '.join(job['overrides'])}" for job in jobs]


def _table(path: Path) -> list[str]:
    """The rows of a table without the columns that hold seconds or sentences."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [{key: value for key, value in row.items() if key not in {"seconds", "reason"}} for row in rows]
    return [" ".join(f"{key}={value}" for key, value in row.items()) for row in kept]


def _unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _name(path: Path, out: Path) -> str:
    return str(path.relative_to(out))


# --- parts left out --------------------------------------------------------------------------------------------------


def comparable(outcome: dict[str, Any]) -> dict[str, Any]:
    """The outcome without the wording of errors, which may change."""
    commands = [{key: value for key, value in each.items() if key != "stderr"} for each in outcome["commands"]]
    return {**outcome, "commands": commands}


def _replaced(text: str, places: dict[str, str]) -> str:
    for name, path in places.items():
        text = text.replace(name, path)
    return text


def _without_paths(value: Any, places: dict[str, str]) -> Any:
    """The value with the names {out} and {data} in place of the two folders' paths."""
    if isinstance(value, dict):
        return {_without_paths(key, places): _without_paths(each, places) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_paths(each, places) for each in value]
    return _replaced(value, {path: name for name, path in places.items()}) if isinstance(value, str) else value


def _without_varying(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_varying(each) for key, each in value.items() if key not in VARYING}
    return [_without_varying(each) for each in value] if isinstance(value, list) else value
