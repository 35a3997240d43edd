"""Folders that a stranger wrote: runs, checkpoints, sweeps, studies and ARPA files, mutated.

Each is refused in one line, or opens to what was written; nothing outside of its folder is read, nothing is imported.
"""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mutations
import numpy as np
from audit import outcome

from nextchar.cli import main
from nextchar.config.compose import run_settings
from nextchar.data.corpus import EMBEDDED
from nextchar.models.ngram import arpa_reader
from nextchar.models.ngram.backoff import MOST_SUM, BackoffModel
from nextchar.runs.reading import open_losses
from nextchar.runs.record import RECORD, SETTINGS, SWEEP, WEIGHTS
from nextchar.runs.run import open_run
from nextchar.sweeps.search import STORAGE, Study
from nextchar.sweeps.sweep_folder import SweepFolder

KINDS = {
    "bigram": [],
    "trigram": ["model.order=3"],
    "pruned": ["model.order=3", "model.prune=[0,0,1]"],
    "buckets": ["model.order=3", "smoothing=jelinek_mercer"],
    "by entropy": ["model.order=3", "model.prune_entropy=1e-3"],
    "net": ["model=nn", "trainer.max_steps=4"],
}
TEST_LOSSES = "test_losses.safetensors"


def trained(folder: Path, *words: str) -> Path:
    text = folder.parent / "names.txt"
    text.parent.mkdir(exist_ok=True)
    text.write_text("\n".join(EMBEDDED.read_text().split()[:150]))
    main.run("train", ["data=lines", f"data.path={text}", "figures=false", *words, f"hydra.run.dir={folder}"], "train")
    return folder


# --- runs -----------------------------------------------------------------------------------------------------------


def runs(folder: Path, seed: int) -> Iterator[str]:
    dice = random.Random(seed)
    sound = {kind: trained(folder / kind, *words) for kind, words in KINDS.items()}
    wanted = {kind: opened(path) for kind, path in sound.items()}
    here = folder / "mutated"
    while True:
        kind = dice.choice(list(KINDS))
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        for name in (RECORD, WEIGHTS, TEST_LOSSES, SETTINGS):
            (here / name).write_bytes((sound[kind] / name).read_bytes())
        name = dice.choice((RECORD, RECORD, WEIGHTS, WEIGHTS, TEST_LOSSES))
        before = (here / name).read_bytes()
        change = mutations.of_json if name == RECORD and dice.random() < 0.7 else mutations.of_bytes
        after = change(before, dice)
        (here / name).write_bytes(after)
        vouched = name != RECORD and dice.random() < 0.5  # a stranger gives the digest of what he wrote
        if vouched:
            record = json.loads((here / RECORD).read_text())
            record["files"][name] = {"size": len(after), "sha256": hashlib.sha256(after).hexdigest()}
            (here / RECORD).write_text(json.dumps(record))
        found, bad = outcome(lambda: opened(here), here)
        if not bad and found is not None:
            bad = disagreement(kind, found, wanted[kind], written=name if vouched else "", record=name == RECORD)
        yield f"{kind}, {name} {'vouched for' if vouched else ''}: {bad}" if bad else ""


def opened(folder: Path) -> tuple[np.ndarray, bool, np.ndarray, dict[str, float]]:
    """Probabilities after some contexts, whether they sum to 1, the sums of test's documents, and the metrics."""
    run = open_run(folder)
    model = run.model
    ids = np.arange(3 * model.context).reshape(3, -1) % len(model.vocabulary)
    losses = open_losses(folder, run.record)
    sums = np.array([]) if losses is None else losses.nll
    return np.exp(model.log_probs(ids)), model.sums_to_one, sums, run.metrics


def disagreement(kind: str, found: Any, wanted: Any, written: str, record: bool) -> str:
    """Says how an opened run differs from the sound one beyond what its writer may have written."""
    probabilities, sums_to_one, sums, metrics = found
    if kind == "by entropy" and written == WEIGHTS:  # its file holds the probabilities themselves
        return "probabilities sum to more than 1" if probabilities.sum(1).max() > MOST_SUM else ""
    if sums_to_one and np.abs(probabilities.sum(1) - 1).max() > 1e-9:
        return "probabilities do not sum to 1"
    if not record and written != WEIGHTS and not np.array_equal(probabilities, wanted[0]):
        return "other probabilities"
    if not record and written != TEST_LOSSES and not np.array_equal(sums, wanted[2]):
        return "other losses"
    return "" if record or metrics == wanted[3] else "other metrics"


# --- other files ----------------------------------------------------------------------------------------------------


def others(folder: Path, seed: int) -> Iterator[str]:
    from nextchar.training.checkpoints import LAST, load_checkpoint

    dice = random.Random(seed)
    net = trained(folder / "net", "model=nn", "trainer.max_steps=4")
    counted = trained(folder / "counted", "model.order=3")
    grid, search = folder / "grid", folder / "search"
    text = [f"data.path={folder / 'names.txt'}", "data=lines", "figures=false"]
    main.run("train", ["-m", "smoothing.k=1,2", *text, f"hydra.sweep.dir={grid}"], "train")
    space = ["sweep=optuna", "sweep.n_trials=2", "smoothing.k=interval(1,2)"]
    main.run("train", ["-m", *space, *text, f"hydra.sweep.dir={search}"], "train")
    main.run("export", [f"run={counted}", f"out={folder / 'model.arpa'}"], "export")
    settings, digest = open_run(net).settings, str(open_run(net).record.data.sha256)  # type: ignore[union-attr]
    study = SweepFolder.open(search).search
    assert study is not None
    last = load_checkpoint(net, digest, settings)
    kinds: list[tuple[Path, Callable[[bytes, random.Random], bytes], Callable[[], object], object]] = [
        (net / LAST, mutations.of_bytes, partial(load_checkpoint, net, digest, settings), last),
        (grid / SWEEP, mutations.of_json, partial(SweepFolder.open, grid), None),
        (search / SWEEP, mutations.of_json, partial(SweepFolder.open, search), None),
        (search / STORAGE, mutations.of_bytes, lambda: Study(search, study).asked(), None),
        (folder / "model.arpa", mutations.of_bytes, partial(read_arpa, folder / "model.arpa"), None),
    ]
    for path, _, read, _ in kinds:
        outcome(read, path.parent)  # imports all that reading needs
    while True:
        path, change, read, wanted = dice.choice(kinds)
        sound = path.read_bytes()
        changed = change(sound, dice)
        path.write_bytes(changed)
        found, bad = outcome(read, path.parent)
        path.write_bytes(sound)
        if path.name == STORAGE:  # SQLite keeps a journal beside its file, and Optuna imports as it goes
            bad = "" if bad.startswith("leaves the folder") else bad
            for left in path.parent.glob(f"{STORAGE}-*"):
                left.unlink()
        if not bad and wanted is not None and found is not None and changed != sound:
            bad = "a checkpoint with other bytes was loaded"
        yield f"{path.name}: {bad}" if bad else ""


def read_arpa(path: Path) -> str:
    vocabulary, tables = arpa_reader.read(path, lambda part: None)
    model = BackoffModel(vocabulary, tables)
    p = model.log_probs(np.arange(3 * model.context).reshape(3, -1) % len(vocabulary))
    assert not np.isnan(p).any(), "nan"
    return ""


run_settings([])  # composes once, so that Hydra's imports are not taken for an attempt's
