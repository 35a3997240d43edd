"""Rules of the house: who imports whom, who prints, how long a module is, how it is named, and what conf/ may hold."""

import ast
import graphlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import pytest
import yaml

from nextchar.config.command_settings import (
    BenchSettings,
    CompareSettings,
    EvaluateSettings,
    ExplainSettings,
    ExportSettings,
    SampleSettings,
)
from nextchar.config.compose import command_of, run_settings
from nextchar.config.fields import Settings
from nextchar.config.train_settings import TrainCommand

PROJECT = Path(__file__).resolve().parents[1]
SOURCES = PROJECT / "src" / "nextchar"
CONF = PROJECT / "conf"

# The wings from bottom to top: wing -> wings that it may import. A new module needs no line here, a new wing one.
BASE = {"errors", "messages", "rng"}  # exits and exit codes; the wording of values; random numbers
FITTED = BASE | {"config", "data", "models", "evaluation"}
WINGS: dict[str, set[str]] = {
    "errors": set(),
    "messages": set(),
    "rng": set(),
    "config": BASE,
    "data": BASE | {"config"},
    "models": BASE | {"config", "data"},
    "evaluation": BASE | {"config", "data", "models"},
    "runs": FITTED,  # reads and writes folders; draws nothing
    "plots": FITTED,  # draws what it is given; knows no folder
    "comparison": FITTED | {"runs", "plots"},  # of finished runs, so it needs no training
    "training": FITTED | {"runs", "plots"},
    "sweeps": FITTED | {"runs", "plots", "training", "comparison"},
    "api": FITTED | {"runs", "plots", "training", "comparison", "sweeps"},
    "cli": FITTED | {"runs", "plots", "training", "comparison", "sweeps", "api"},
    "__init__": {"api"},  # the names of the Python interface, loaded when first used
    "__main__": {"cli"},  # python -m nextchar
}
APART = {("models.ngram", "models.nets"), ("models.nets", "models.ngram")}  # counting needs no torch, a net no counts

# Libraries that take long to import, or that must not spread -> the modules and wings that may import them
LIBRARIES = {
    "dask": {"models.ngram.dask_counts"},
    "distributed": {"models.ngram.dask_counts"},
    "hydra": {"config.compose", "sweeps.launch", "sweeps.plan"},  # composing; launchers; the grammar of sweeps
    "jinja2": {"comparison.page"},
    "lightning": {"models.nets", "training"},
    "matplotlib": {"plots"},
    "omegaconf": {"config.compose", "sweeps.launch"},  # a launcher takes a DictConfig
    "optuna": {"sweeps.search"},
    "pooch": {"data.corpus"},
    "rich": {"cli"},
    "tensorboard": {"training.tensorboard"},
    "tensorboardX": {"training.tensorboard"},
    "torch": {"models.nets", "training"},
}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "tools"}
LONGEST = 350  # lines of a module


@cache
def trees() -> dict[str, ast.Module]:
    """The syntax tree of each module by its name: 'models.nets.bigram', 'models.nets.__init__'."""
    paths = {".".join(path.relative_to(SOURCES).with_suffix("").parts): path for path in SOURCES.rglob("*.py")}
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in sorted(paths.items())}


def lines(module: str) -> int:
    return len((SOURCES / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8").splitlines())


def imports(tree: ast.Module) -> Iterator[str]:
    """The dotted names that a file imports anywhere in it, in functions and for types too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(tree: ast.Module) -> set[str]:
    """The modules of this package that a file imports: 'from nextchar.data import corpus' gives 'data.corpus'."""
    found = set()
    for name in imports(tree):
        if name.startswith("nextchar."):
            name = name.removeprefix("nextchar.")
            inside = [name, name.rpartition(".")[0]]  # a module, or something in it
            found |= {next((each for each in inside if each in trees()), f"{name}.__init__")}
    return found


def is_in(module: str, place: str) -> bool:
    return module == place or module.startswith(f"{place}.")


# --- imports --------------------------------------------------------------------------------------------------------


def test_a_wing_imports_only_wings_below_it() -> None:
    offenders = set()
    for module, tree in trees().items():
        wing = module.partition(".")[0]
        assert wing in WINGS, f"{wing}: a new wing needs a line in WINGS"
        for imported in imported_modules(tree):
            if imported.partition(".")[0] not in WINGS[wing] | {wing}:
                offenders.add(f"{module} imports {imported}")
            if any(is_in(module, one) and is_in(imported, other) for one, other in APART):
                offenders.add(f"{module} imports {imported}")
    assert not offenders


def test_the_table_of_wings_has_no_circle() -> None:
    assert set(graphlib.TopologicalSorter(WINGS).static_order()) == set(WINGS)


@pytest.mark.parametrize("wing", sorted({name.partition(".")[0] for name in trees() if "." in name}))
def test_no_circle_inside_a_wing(wing: str) -> None:
    inside = {name: imported_modules(tree) - {name} for name, tree in trees().items() if is_in(name, wing)}
    graph = {name: {each for each in imported if is_in(each, wing)} for name, imported in inside.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
        found: set[str] = set()
    except graphlib.CycleError as error:
        found = {" > ".join(error.args[1])}
    assert not found


def test_costly_libraries_are_imported_only_where_they_are_needed() -> None:
    offenders = set()
    for module, tree in trees().items():
        for library in {name.partition(".")[0] for name in imports(tree)} & set(LIBRARIES):
            if not any(is_in(module, place) for place in LIBRARIES[library]):
                offenders.add(f"{module} imports {library}")
    assert not offenders


def test_a_script_imports_no_costly_library() -> None:
    offenders = set()
    for script in (PROJECT / "scripts").glob("*.py"):
        libraries = {name.partition(".")[0] for name in imports(ast.parse(script.read_text(encoding="utf-8")))}
        offenders |= {f"{script.stem} imports {library}" for library in libraries & set(LIBRARIES)}
        assert script.stem not in sys.stdlib_module_names, "it would hide the standard library's"
    assert not offenders


def test_no_test_imports_another() -> None:
    """Test modules share fixtures (conftest.py) and oracles; so each has a name of its own."""
    files = [path for path in (PROJECT / "tests").rglob("*.py") if path.stem != "conftest"]
    assert not [name for name, times in Counter(path.stem for path in files).items() if times > 1]
    for path in files:
        imported = {name.partition(".")[0] for name in imports(ast.parse(path.read_text(encoding="utf-8")))}
        assert not [name for name in imported if name == "conftest" or name.startswith("test_")], path


# --- printing -------------------------------------------------------------------------------------------------------


def test_only_cli_prints() -> None:
    offenders = set()
    for module, tree in trees().items():
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id="print")):
                    offenders.add(module)
                case ast.Attribute(value=ast.Name(id="sys"), attr="stdout" | "stderr" | "__stdout__" | "__stderr__"):
                    offenders.add(module)
                case ast.ImportFrom(module="sys", names=names) if {"stdout", "stderr"} & {name.name for name in names}:
                    offenders.add(module)
    assert not {module for module in offenders if not is_in(module, "cli")}


# --- modules --------------------------------------------------------------------------------------------------------


def test_no_module_is_long() -> None:
    assert not {module for module in trees() if lines(module) > LONGEST}


def test_no_two_modules_have_one_name() -> None:
    names = Counter(module.rpartition(".")[2] for module in trees())
    assert not {name for name, times in names.items() if times > 1 and name != "__init__"}


def test_no_module_has_a_vague_name() -> None:
    files = [path for folder in ("src", "scripts", "tests", "benchmarks") for path in (PROJECT / folder).rglob("*.py")]
    assert not {str(path) for path in files if VAGUE & set(path.stem.split("_"))}


def test_the_first_page_of_a_wing_is_a_docstring_alone() -> None:
    pages = {name: tree for name, tree in trees().items() if name.endswith(".__init__")}
    whole = {name for name, tree in pages.items() if len(tree.body) == 1 and ast.get_docstring(tree)}
    assert not {name.removesuffix(".__init__") for name in set(pages) - whole}


def test_docstrings_begin_with_no_question_word() -> None:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    offenders = set()
    for module, tree in trees().items():
        for node in ast.walk(tree):
            text = ast.get_docstring(node) if isinstance(node, documented) else None
            if re.match(r"(What|Who|Where|Whatever)\b", text or ""):
                offenders.add(f"{module}: {(text or '').splitlines()[0]}")
    assert not offenders


# --- conf/ ----------------------------------------------------------------------------------------------------------

YAMLS = sorted(CONF.rglob("*.yaml"))
TREES: dict[str, tuple[type[Settings], list[str]]] = {
    "train": (TrainCommand, []),
    "evaluate": (EvaluateSettings, ["run=x"]),
    "sample": (SampleSettings, ["run=x"]),
    "explain": (ExplainSettings, ["run=x", "text=emma"]),
    "export": (ExportSettings, ["run=x"]),
    "compare": (CompareSettings, []),
    "bench": (BenchSettings, []),
}
NEEDED = {"data=lines": ["data.path=x"], "data=text": ["data.path=x"], "model=arpa": ["model.path=x"]}
OF_NETS = ("optim", "trainer")  # groups that only a net has


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(CONF)))
def test_a_yaml_names_no_code_and_reads_nothing_from_outside(path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    assert "_target_" not in content
    assert not re.search(r"\$\{\s*oc\.|!!python", content)
    assert yaml.safe_load(content) is not None


@pytest.mark.parametrize("script", [path.stem for path in CONF.glob("*.yaml")])
def test_every_script_composes_and_builds_its_settings(script: str) -> None:
    tree, least = TREES[script]
    assert command_of(script, tree, least).settings.plain()


@pytest.mark.parametrize("option", [f"{g}={o}" for g in ("data", "model", "experiment") for o in options(g)])
def test_every_option_composes_and_builds_settings(option: str) -> None:
    assert run_settings([option, *NEEDED.get(option, [])]).plain()


@pytest.mark.parametrize(
    "option", [f"{group}={option}" for group in (*OF_NETS, "smoothing") for option in options(group)]
)
def test_every_option_of_a_model_fits_some_model(option: str) -> None:
    fitting = []
    for model in options("model"):
        try:
            settings = run_settings([f"model={model}", option])
        except ValueError:
            continue
        group, name = option.split("=")
        assert getattr(settings, group).name == name or option == "smoothing=usual"
        fitting.append(model)
    assert fitting, f"{option} fits no model"


@pytest.mark.parametrize(("model", "data"), product(options("model"), options("data")))
def test_every_model_takes_every_data_set(model: str, data: str) -> None:
    argv = [each for option in (f"model={model}", f"data={data}") for each in (option, *NEEDED.get(option, []))]
    settings = run_settings(argv)
    assert (settings.model.name, settings.data.name) == (model, data)


@pytest.mark.parametrize("data", options("data"))
def test_evaluate_takes_every_data_set(data: str) -> None:
    assert command_of("evaluate", EvaluateSettings, ["run=x", f"data={data}"]).settings.data.name == data


def test_a_digest_is_pinned_for_all_that_is_downloaded() -> None:
    for path in (CONF / "data").glob("*.yaml"):
        values = yaml.safe_load(path.read_text())
        if "url" in values:
            assert values["url"].startswith("https://")
            assert re.fullmatch("[0-9a-f]{64}", values["sha256"]), path
            assert "/master/" not in values["url"], f"{path}: a branch may change"
