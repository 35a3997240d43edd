"""make mutants: changes the code in small ways, at random, and runs the tests of its wing, which must fail.

python tests/campaigns/mutants.py [drawn=300] [seed=0] [wings=data,models/ngram,...] [out=docs/reliability.md]

mutmut makes the mutants, such as `<` for `<=` or None for an argument, in a copy of the project. A mutant that no test
of its own wing catches has survived, unless it is listed in equivalent_mutants.txt: equivalent, with the reason.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from campaign import as_table, write_page

PROJECT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
LEFT_BEHIND = shutil.ignore_patterns(".git", ".venv", "outputs", "mutants", "__pycache__", ".*_cache", ".hypothesis")

TRAINING = ["batches", "early_stopping", "endings", "lightning_module", "objective", "presets", "resume", "tensorboard"]
# Wing -> its tests, without those that start processes: these import the package that nobody changed.
WINGS = {
    "data": ["tests/data"],
    "models/ngram": ["tests/models/ngram"],
    "evaluation": ["tests/evaluation"],
    "runs": ["tests/runs"],
    "comparison": ["tests/comparison"],
    "training": [f"tests/training/test_{name}.py" for name in TRAINING],
}
MOST_SURVIVORS = 0.05  # of the mutants that are drawn
COPIED = [".ci", "conf", "scripts", "benchmarks", "docs", "README.md"]


def main() -> None:
    words = dict(word.split("=") for word in sys.argv[1:])
    wanted, seed = int(words.get("drawn", 300)), int(words.get("seed", 0))
    wings = words["wings"].split(",") if "wings" in words else list(WINGS)
    with tempfile.TemporaryDirectory() as folder:
        copies = {wing: copy_of_project(wing, Path(folder) / wing.replace("/", "_")) for wing in wings}
        every = sorted((wing, mutant) for wing, copy in copies.items() for mutant in exit_codes(copy))
        drawn = random.Random(seed).sample(every, min(wanted, len(every)))
        rows = [row(wing, copies[wing], sorted(name for of, name in drawn if of == wing)) for wing in wings]
    in_all = [sum(column) for column in zip(*(counts for _, *counts in rows), strict=True)]
    table = as_table(("wing", "drawn", "caught", "equivalent", "survived"), [*rows, ("all", *in_all)])
    print(table)
    if "out" in words:
        command = f"make mutants (drawn={len(drawn)} of {len(every):,}, seed={seed})"
        write_page(Path(words["out"]), "mutants", table, command)
    sys.exit(in_all[-1] > MOST_SURVIVORS * len(drawn))


def row(wing: str, copy: Path, names: list[str]) -> tuple[str, int, int, int, int]:
    """Runs the tests for these mutants of a wing, and prints those that survived."""
    print(f"{wing}: {len(names)} mutants ...", file=sys.stderr, flush=True)
    listed, survived = equivalents(), {name: change(copy, name) for name in caught_by_none(copy, names)}
    equivalent = [name for name, lines in survived.items() if lines in listed]
    for name, lines in survived.items():
        print("equivalent:" if name in equivalent else "survived:", name, lines, "", sep="\n", flush=True)
    return wing, len(names), len(names) - len(survived), len(equivalent), len(survived) - len(equivalent)


def copy_of_project(wing: str, copy: Path) -> Path:
    """Makes the mutants of a wing, in a copy, and measures which test runs which function."""
    print(f"{wing} ...", file=sys.stderr, flush=True)
    shutil.copytree(PROJECT, copy, ignore=LEFT_BEHIND)
    settings = {
        "source_paths": ["src/"],
        "only_mutate": [f"src/nextchar/{wing}/*"],
        "also_copy": COPIED,
        "pytest_add_cli_args_test_selection": WINGS[wing],
    }
    with open(copy / "pyproject.toml", "a") as file:
        file.write("\n[tool.mutmut]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    said = mutmut(copy, "run", "no mutant of this name")  # ends, as it must, when there is none to run
    if not (copy / "mutants" / "mutmut-stats.json").exists():
        sys.exit(f"{wing}: mutmut could not run the tests: {said}")
    return copy


def mutmut(copy: Path, *words: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    command = [Path(sys.executable).with_name("mutmut"), *words]
    return subprocess.run(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    ).stdout


def exit_codes(copy: Path) -> dict[str, int | None]:
    """The exit code of the tests for each mutant; None if it was not run."""
    found: dict[str, int | None] = {}
    for path in (copy / "mutants").rglob("*.py.meta"):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def caught_by_none(copy: Path, names: list[str]) -> list[str]:
    """Runs the tests for these mutants. Returns those with which no test failed, or that no test runs."""
    if names:
        mutmut(copy, "run", *names)
    codes = exit_codes(copy)
    if lost := [name for name in names if codes[name] is None]:
        sys.exit(f"mutmut did not run the tests for {', '.join(lost)}")
    return [name for name in names if codes[name] in (0, 33)]


def change(copy: Path, name: str) -> str:
    """The function, and the lines that a mutant removes and adds: a form that does not depend on its number."""
    lines = [line for line in mutmut(copy, "show", name).splitlines() if not line.startswith(("---", "+++"))]
    changed = [f"{line[0]} {line[1:].strip()}" for line in lines if line[:1] in ("-", "+")]
    return "\n".join([name.partition("__mutmut")[0], *changed])


def equivalents() -> set[str]:
    """The changes listed as equivalent: paragraphs of `# reason` and the lines of `change`."""
    paragraphs = EQUIVALENT.read_text().strip().split("\n\n")
    return {"\n".join(line for line in each.splitlines() if not line.startswith("#")) for each in paragraphs}


if __name__ == "__main__":
    main()
