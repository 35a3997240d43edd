"""Every stored command gives today the outcome that it gave when it was recorded.

Outcomes are equal to the last bit on a processor of the same kind, and within a tolerance on another. stored_cases.py
lists the commands. After an intended change record_outcomes.py records the outcomes again, and the diff of
outcomes.json shows the change.
"""

import json
import math
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import stored_texts as texts
from record_outcomes import OUTCOMES, cpu
from stored_cases import CASES, Case
from stored_outcome import comparable, run_case

PROJECT = Path(__file__).resolve().parents[2]
STORED = json.loads(OUTCOMES.read_text(encoding="utf-8"))
MOST_SHOWN = 30  # differences of a case

# On another processor sums are added in another order. Tolerance of a number by the bits of gradient descent
TOLERANCE = {32: 1e-4, 64: 1e-6, None: 1e-9}
# Adam at a learning rate of 26 multiplies rounding errors: its losses are compared on the same processor only
CHAOTIC = {"search_of_rates"}
# Strings that are equal on every processor; the others are digests, samples or numbers in a table
FIXED = {"status", "settings", "vocabulary", "files", "others", "source"}

Outcome = dict[str, Any]


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """The outcomes of the selected cases, which run on all cores; each test waits for its own case."""
    place = tmp_path_factory.mktemp("stored_runs").resolve()
    (data := place / "data").mkdir()
    texts.write(data, PROJECT)

    def run(case: Case) -> Outcome:
        (out := place / case.name).mkdir()
        return run_case(case, PROJECT, out, data)

    selected = {item.callspec.params["case"].name for item in request.session.items if _is_a_case(item)}
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        yield {case.name: pool.submit(run, case) for case in CASES if case.name in selected}
    finally:
        pool.shutdown(cancel_futures=True)


def _is_a_case(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and getattr(item, "originalname", "") == test_a_stored_run.__name__


@pytest.fixture(scope="module")
def same_cpu() -> bool:
    """Whether numpy and torch compute with the instructions with which the outcomes were recorded."""
    return cpu() == STORED["cpu"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_stored_run(case: Case, outcomes: dict[str, Future[Outcome]], same_cpu: bool) -> None:
    outcome = outcomes[case.name].result()
    stored, got = STORED["cases"][case.name], json.loads(json.dumps(comparable(outcome)))
    tolerance = 0.0 if same_cpu else math.inf if case.name in CHAOTIC else TOLERANCE[case.precision]
    if found := list(differences(stored, got, tolerance)):
        more = [f"and {len(found) - MOST_SHOWN} more"] * (len(found) > MOST_SHOWN)
        said = [each["stderr"].rstrip() for each in outcome["commands"] if "stderr" in each]
        pytest.fail("\n".join([case.name, *case.typed, *found[:MOST_SHOWN], *more, *said]), pytrace=False)


def differences(stored: Any, got: Any, tolerance: float, key: str = "", fixed: bool = False) -> Iterator[str]:
    """The values that differ, one a line. With a tolerance, numbers may differ by it and only `fixed` strings count."""
    if isinstance(stored, dict) and isinstance(got, dict):
        for name in sorted({*stored, *got}):
            here = f"{key}/{name}" if key else name
            if name not in stored or name not in got:
                yield f"{here}: only {'got' if name in got else 'stored'}"
            else:
                yield from differences(stored[name], got[name], tolerance, here, fixed or name in FIXED)
    elif isinstance(stored, list) and isinstance(got, list) and len(stored) == len(got):
        for i, (ours, theirs) in enumerate(zip(stored, got, strict=True)):
            yield from differences(ours, theirs, tolerance, f"{key}[{i}]", fixed)
    elif not _equal(stored, got, tolerance, fixed):
        yield f"{key}: stored {_shown(stored)}, got {_shown(got)}"


def _equal(stored: Any, got: Any, tolerance: float, fixed: bool) -> bool:
    if tolerance and isinstance(stored, float) and isinstance(got, float):
        return math.isclose(stored, got, rel_tol=tolerance, abs_tol=tolerance)
    if tolerance and isinstance(stored, str) and isinstance(got, str) and not fixed:
        return True
    return type(stored) is type(got) and bool(stored == got)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}..."


RESUMED = [name for name, outcome in STORED["cases"].items() if "whole" in outcome["runs"]]


@pytest.mark.parametrize("name", RESUMED)
def test_a_stored_run_that_was_interrupted_equals_a_whole_one(name: str) -> None:
    runs = STORED["cases"][name]["runs"]
    resumed, whole = ({**runs[each], "settings": ""} for each in ("run", "whole"))  # one saved checkpoints more often
    assert list(differences(whole, resumed, tolerance=0)) == []


def test_a_refused_command_says_one_line_and_makes_nothing() -> None:
    for name, outcome in STORED["cases"].items():
        refused = [each for each in outcome["commands"] if each["code"] == 2]
        assert all(each["one_error_line"] for each in refused), name
        if len(refused) == len(outcome["commands"]):
            assert not outcome["runs"], name
            assert not outcome["others"], name


def test_each_case_has_one_stored_outcome() -> None:
    names = [case.name for case in CASES]
    assert sorted(names) == sorted(STORED["cases"])
    assert len(names) == len(set(names)) >= 60
    assert sum(name.startswith("refused_") for name in names) >= 15


def test_differences_are_found() -> None:
    stored = {"a": {"loss": 1.0, "n": 3, "status": "finished"}, "digest": "ab", "list": [1, 2]}
    got = {"a": {"loss": 1.00001, "n": 4, "status": "diverged"}, "digest": "cd", "list": [1], "more": 1}
    found = list(differences(stored, got, tolerance=0))
    assert [line.partition(":")[0] for line in found] == ["a/loss", "a/n", "a/status", "digest", "list", "more"]
    assert found[0] == "a/loss: stored 1.0, got 1.00001"
    found = list(differences(stored, got, tolerance=1e-4))
    assert [line.partition(":")[0] for line in found] == ["a/n", "a/status", "list", "more"]
    assert not list(differences(stored, stored, tolerance=0))
