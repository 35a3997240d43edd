"""Plans a sweep: the jobs of a grid, or the ranges of a search. All are checked before any folder is made."""

import copy
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from nextchar.config.compose import Command, parse_overrides, resolved
from nextchar.config.fields import absolute, every_setting, groups_of, typed_only, validated
from nextchar.config.quoting import quote
from nextchar.config.recorded import recorded_settings, refuse_unsafe_words
from nextchar.config.train_settings import Optuna, Sweep, TrainCommand, TrainSettings
from nextchar.config.trainer_settings import Ddp
from nextchar.errors import BadInput
from nextchar.sweeps.search import Study, require
from nextchar.sweeps.sweep_folder import Range, Search, SweepFolder

MOST_JOBS = 10_000  # sweep.json holds the settings of each
OF_THE_SWEEP = ("sweep", "hydra", "json")  # groups of keys that hold for the whole sweep, not for a job


def plan(command: Command[TrainCommand]) -> tuple[SweepFolder, Sweep]:
    """Returns a new sweep, without a folder, or the one to resume; and its settings. Raises BadInput for any wrong job.

    A resumed grid may get more values, a resumed search more trials.
    """
    typed = command.typed
    for key, right in (("resume", "sweep.resume=DIR"), ("hydra.run.dir", "hydra.sweep.dir=DIR")):
        if typed.get(key) is not None:
            raise BadInput(f"{key} is for one run; for a sweep there is {right}")
    path = command.path("sweep.resume")
    resumed = _resumed(path, typed) if path else None
    if resumed is not None and resumed.search is not None and "sweep" not in typed:
        command = replace(command, overrides=["sweep=optuna", *command.overrides])
    overrides = command.parsed
    settings = _sweep_settings(command, overrides)
    of_jobs = job_overrides(overrides, settings.space)
    if resumed is not None:
        if "sweep.metric" in typed:
            resumed.wanted_metric = settings.metric
        if resumed.search is not None:
            _extend_search(resumed, resumed.search, settings, typed)
        elif isinstance(settings, Optuna):
            raise BadInput(f"sweep.resume={settings.resume} is a grid; leave out sweep={settings.name}")
        elif any(override.key_or_group not in typed_only(TrainSettings) for override in of_jobs):
            shared = [word for word in resumed.shared() if word.partition("=")[0].lstrip("+") not in typed]
            resumed.add_all(jobs([*parse_overrides(quote(TrainCommand, shared, multirun=False)), *of_jobs]))
        return resumed, settings
    if not of_jobs:
        raise BadInput("-m sweeps over values, as in -m smoothing.k=0.1,1; there are none")
    if isinstance(settings, Optuna):
        require()
        fixed, varied = ranges(of_jobs)
        return SweepFolder(None, settings.metric, Search(settings=settings, fixed=fixed, ranges=varied), []), settings
    sweep = SweepFolder(None, settings.metric, None, [])
    sweep.add_all(jobs(of_jobs))
    return sweep, settings


def _resumed(path: Path, typed: Mapping[str, Any]) -> SweepFolder:
    """Opens the sweep to resume. What it holds may be a stranger's: see recorded.py. Raises BadInput."""
    sweep, where = SweepFolder.open(path), f"sweep.resume={path}"
    if (search := sweep.search) is not None:
        ends = [f"{key}={end}" for key, each in search.ranges.items() for end in each.ends]
        refuse_unsafe_words([*search.fixed, *ends], where)
    for number, job in enumerate(sweep.jobs):
        refuse_unsafe_words(job.overrides, where)
        settings = recorded_settings(job.settings.plain(), typed, where)
        sweep.jobs[number] = job.model_copy(update={"settings": settings})
    return sweep


def _extend_search(sweep: SweepFolder, search: Search, settings: Sweep, typed: Mapping[str, object]) -> None:
    """Gives a resumed search the number of trials that was typed. Raises BadInput for any other change."""
    allowed = {"sweep", "sweep.resume", "sweep.n_trials", "sweep.dry_run", "json", *typed_only(TrainSettings)}
    if wrong := [key for key in typed if key not in allowed and not key.startswith("hydra")]:
        raise BadInput(f"{wrong[0]}: only sweep.n_trials can change when a search is resumed")
    if sweep.jobs and len(Study(sweep.path, search).asked()) < len(sweep.jobs):
        raise BadInput(f"sweep.resume={settings.resume}: the study of this search has lost trials")
    if "sweep.n_trials" in typed and isinstance(settings, Optuna):
        kept = search.settings.model_copy(update={"n_trials": settings.n_trials})
        sweep.search = search.model_copy(update={"settings": kept})


def _sweep_settings(command: Command[TrainCommand], overrides: Sequence[Override]) -> Sweep:
    """The settings of the sweep itself, composed with the first value of each setting that varies."""
    for override in overrides:
        if _group(override) in OF_THE_SWEEP and override.is_sweep_override():
            raise BadInput(f"{override.input_line}: this holds for the whole sweep and takes one value")
    return command.read([_words(override)[0] for override in overrides]).sweep


def job_overrides(overrides: Sequence[Override], space: Mapping[str, object]) -> list[Override]:
    """The overrides that make jobs: those that were typed, and those of sweep.space for other keys."""
    last = {override.key_or_group: override for override in overrides}
    typed = [override for override in last.values() if _group(override) not in OF_THE_SWEEP]
    keys = {override.key_or_group for override in typed}
    words = [f"{key}={value}" for key, value in space.items() if key not in keys]
    in_space = parse_overrides(quote(TrainCommand, words, multirun=True))
    if wrong := [override for override in in_space if _group(override) in OF_THE_SWEEP]:
        raise BadInput(f"sweep.space: {wrong[0].input_line} is no setting of a run")
    return [*typed, *in_space]


def jobs(overrides: Sequence[Override]) -> list[tuple[list[str], TrainSettings]]:
    """Returns the words and settings of every combination of values. Raises BadInput for a wrong one."""
    choices = []
    for override in overrides:
        if override.is_sweep_override() and not override.is_discrete_sweep():
            example = f"{override.key_or_group}=1,2"
            raise BadInput(
                f"{override.input_line}: a range is searched with sweep=optuna; a grid takes values, as in {example}"
            )
        choices.append(_words(override))
    if (number := math.prod(map(len, choices))) > MOST_JOBS:
        raise BadInput(f"these values make {number:,} jobs, more than {MOST_JOBS:,}; sweep over fewer at a time")
    composer, parsed = Composer(), map(parse_overrides, choices)
    return [(list(map(as_typed, job)), composer.settings(job)) for job in product(*parsed)]


def ranges(overrides: Sequence[Override]) -> tuple[list[str], dict[str, Range]]:
    """Returns the overrides that all trials of a search share, and the range of each key that varies.

    Raises BadInput if an end of a range is no valid value.
    """
    fixed = [str(override.input_line) for override in overrides if not override.is_sweep_override()]
    varied = {override.key_or_group: _range(override) for override in overrides if override.is_sweep_override()}
    if not varied:
        examples = "'smoothing.k=interval(0.01,10)' or model=count,nn"
        raise BadInput(f"sweep=optuna searches ranges, as in {examples}; there are none")
    composer = Composer()
    first = {key: each.ends[0] for key, each in varied.items()}
    for key, each in varied.items():
        for end in each.ends:
            composer.settings(parse_overrides([*fixed, *(f"{k}={v}" for k, v in (first | {key: end}).items())]))
    return fixed, varied


def cautions(command: Command[TrainCommand], sweep: SweepFolder) -> list[str]:
    """Remarks to make before the jobs run."""
    at_once, cores = command.typed.get("hydra.launcher.n_jobs") or 1, os.cpu_count() or 1
    trainers = [job.settings.trainer for job in sweep.jobs if job.settings.trainer]
    threads = max((each.threads * getattr(each, "devices", 1) for each in trainers), default=1)  # of all its processes
    notes = []
    if at_once * threads > cores and at_once > 1:
        notes.append(f"{at_once} jobs of {threads} threads share {cores} cores, and will take turns")
    if any(key.partition(".")[0] == "data" for key in sweep.swept_keys()):
        notes.append("the jobs differ in their data: losses on different texts do not rank them")
    return notes


class Composer:
    """Composes the settings of jobs. Hydra composes once for all jobs that choose the same options of groups, which
    then differ in values alone.
    """

    def __init__(self) -> None:
        self._command = Command("train", TrainCommand, [], multirun=True)
        self._groups = set(groups_of(TrainCommand))
        self._composed: dict[tuple[str, ...], dict[str, Any]] = {}

    def settings(self, overrides: Sequence[Override]) -> TrainSettings:
        """The checked settings of a job. Raises BadInput."""
        options = tuple(str(each.input_line) for each in overrides if each.key_or_group in self._groups)
        settings = None
        try:
            if options not in self._composed:
                self._composed[options] = self._command.compose(list(options))
            values = copy.deepcopy(self._composed[options])
            if all(_put(values, each) for each in overrides if each.key_or_group not in self._groups):
                settings = validated(TrainCommand, values).run()
        except Exception:  # composing all words, below, raises the error that names the wrong one
            pass
        settings = settings or self._command.read([str(each.input_line) for each in overrides]).run()
        if isinstance(settings.trainer, Ddp) and settings.trainer.nodes > 1:
            raise BadInput(f"trainer.nodes={settings.trainer.nodes}: a job of a sweep runs on one machine")
        return settings


def _put(values: dict[str, Any], override: Override) -> bool:
    """Sets the value of an override as Hydra would. Returns False if Hydra would do more than that."""
    *path, leaf = override.key_or_group.split(".")
    value = override.value()
    references = isinstance(value, str) and "${" in value
    if override.is_add() or override.is_force_add() or override.is_delete() or references:
        return False
    for part in path:
        values = values.get(part, {})
        if not isinstance(values, dict):
            return False
    if leaf not in values or isinstance(value, Mapping | list) or isinstance(values[leaf], Mapping | list):
        return False
    values[leaf] = value
    return True


def as_typed(override: Override) -> str:
    """An override as a user types it, without the quotes that protect it from Hydra's grammar."""
    value = override.value()
    if not isinstance(value, str):
        return str(override.input_line)
    text = str(resolved(value))
    setting = every_setting(TrainCommand).get(override.key_or_group)
    return f"{override.get_key_element()}={absolute(text) if setting and setting.has('is_path') else text}"


def _group(override: Override) -> str:
    return override.key_or_group.lstrip("+~").partition(".")[0].partition("/")[0]


def _words(override: Override) -> list[str]:
    """The override with each of its values."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    return [f"{override.get_key_element()}={value}" for value in _values(override)]


def _values(override: Override) -> list[str]:
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [str(value.start), str(value.end)]
    try:
        values = list(override.sweep_string_iterator())
    except (HydraException, ValueError) as error:
        raise BadInput(f"{override.input_line}: {error}") from None
    if not values:
        raise BadInput(f"{override.input_line}: there is no such value")
    return values


def _range(override: Override) -> Range:
    value = override.value()
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        low, high, log = value.start, value.end, "log" in value.tags
        if unknown := value.tags - {"log"}:
            raise BadInput(f"{override.input_line}: there is no tag {min(unknown)}; log is the only one")
        setting = every_setting(TrainCommand).get(override.key_or_group)
        if isinstance(low, float) and setting and "integer" in setting.types and "number" not in setting.types:
            whole = f"int(interval({low:g},{high:g})) or range({low:g},{high:g})"
            raise BadInput(f"{override.input_line}: takes whole numbers, as in {whole}")
        if not low < high < math.inf or low == -math.inf or (log and low <= 0):
            raise BadInput(f"{override.input_line}: must go from low to high, both above 0 on a log scale")
        return Range(low=low, high=high, log=log)
    if getattr(value, "tags", None):
        raise BadInput(f"{override.input_line}: only an interval can have a tag, as in tag(log,interval(1,100))")
    if isinstance(value, RangeSweep) and not value.shuffle and value.step is not None and value.step > 0:
        values = [float(each) for each in _values(override)]
        are_whole = all(each.is_integer() for each in [*values, float(value.step)])
        kind: Callable[[float], float] = int if are_whole else float
        if len(values) > 1:
            low, high, step = map(kind, (values[0], values[-1], value.step))
            return Range(low=low, high=high, step=step)
    assert isinstance(value, ChoiceSweep | RangeSweep | Glob)
    return Range(choices=_values(override))
