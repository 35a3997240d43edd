"""Rules of this project that a reader relies on: who may import whom, and what conf/ may hold."""

import ast
import re
import sys
from collections.abc import Iterator
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

MAY_IMPORT = {  # a library that is dear, or that must not spread -> the modules that may import it
    "hydra": {"config.compose", "sweeps.plan"},
    "omegaconf": {"config.compose"},
    "optuna": {"sweeps.search"},
    "distributed": {"models.ngram.dask_counts"},
    "dask": {"models.ngram.dask_counts"},
    "torch": {"models.nets", "training"},
    "lightning": {"training"},
    "pooch": {"data.corpus"},
    "jinja2": {"comparison.page"},
    "matplotlib": {"plots.charts", "plots.matrices"},
}
SCRIPTS_WITH_HYDRA = {"train"}


def modules() -> list[str]:
    """All modules of the package, as 'models.bigram'."""
    paths = (path.relative_to(SOURCES).with_suffix("") for path in SOURCES.rglob("*.py"))
    return sorted(".".join(path.parts) for path in paths if path.name != "__init__")


def imports(path: Path) -> Iterator[str]:
    """What a file imports anywhere in it, for types too, with dots."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def file_of(module: str) -> Path:
    return SOURCES / (module.replace(".", "/") + ".py")


@pytest.mark.parametrize("module", modules())
def test_dear_libraries_stay_where_they_belong(module: str) -> None:
    known = next((wing for wing in ("models.nets", "training") if module.startswith(f"{wing}.")), module)
    for imported in imports(file_of(module)):
        allowed = MAY_IMPORT.get(imported.partition(".")[0])
        assert allowed is None or known in allowed, f"{module} imports {imported}"


@pytest.mark.parametrize("script", sorted((PROJECT / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_only_train_sees_hydra(script: Path) -> None:
    seen = {imported.partition(".")[0] for imported in imports(script)} & {"hydra", "omegaconf"}
    assert not seen or script.stem in SCRIPTS_WITH_HYDRA
    assert script.stem not in sys.stdlib_module_names, "it would hide the standard library's"


def test_no_module_is_called_by_what_it_does_not_say() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "tools"}
    files = [*SOURCES.rglob("*.py"), *(PROJECT / "scripts").rglob("*.py"), *(PROJECT / "tests").glob("*.py")]
    assert not [path for path in files if vague & set(path.stem.split("_"))]


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
    assert command_of(script, tree, least).settings().plain()


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
    assert command_of("evaluate", EvaluateSettings, ["run=x", f"data={data}"]).settings().data.name == data


def test_a_digest_is_pinned_for_all_that_is_downloaded() -> None:
    for path in (CONF / "data").glob("*.yaml"):
        values = yaml.safe_load(path.read_text())
        if "url" in values:
            assert values["url"].startswith("https://")
            assert re.fullmatch("[0-9a-f]{64}", values["sha256"]), path
            assert "/master/" not in values["url"], f"{path}: a branch may change"
