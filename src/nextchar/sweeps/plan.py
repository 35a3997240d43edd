"""What -m means: the jobs of a grid, or the ranges of a search, all of it checked before anything is made."""

import copy
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from nextchar.config.compose import Command, command_of, config_loader, parse_overrides, resolved
from nextchar.config.field_types import absolute
from nextchar.config.fields import every_setting, validated
from nextchar.config.groups import groups_of
from nextchar.config.quoting import quote
from nextchar.config.sweep_settings import Grid, Optuna, Sweep
from nextchar.config.train_settings import TrainCommand, TrainSettings
from nextchar.config.trainer_settings import Ddp
from nextchar.errors import BadInput
from nextchar.sweeps.folder import Job, Range, Search, SweepFolder
from nextchar.sweeps.search import Study, require

MOST_JOBS = 10_000  # sweep.json holds the settings of each
OF_THE_SWEEP = ("sweep", "hydra", "json")  # keys that are no part of a job


class Planned(NamedTuple):
    """A job that is to be: what was typed for it, and what that comes to."""

    overrides: list[str]
    settings: TrainSettings


def plan(command: Command[TrainCommand]) -> tuple[SweepFolder, Sweep]:
    """The sweep that was typed, or the one to go on with, and how it goes. Raises BadInput for any wrong job."""
    command = _of_a_search(command)
    settings = _how(command)
    swept = any(_group(override) not in OF_THE_SWEEP for override in command.parsed)
    if settings.resume is not None:
        return _resumed(command, settings, swept), settings
    if not (swept or settings.space):
        raise BadInput("-m sweeps over values, as in -m smoothing.k=0.1,1; there are none")
    if isinstance(settings, Optuna):
        require()
        fixed, varied = ranges(command, settings)
        search = Search(settings=settings, fixed=fixed, ranges=varied)
        return SweepFolder(None, settings.metric, search, []), settings
    sweep = SweepFolder(None, settings.metric, None, [])
    sweep.plan(jobs(command, settings))
    return sweep, settings


def _of_a_search(command: Command[TrainCommand]) -> Command[TrainCommand]:
    """A search that is gone on with takes the settings of searches, though nobody typed sweep=optuna again."""
    path, typed = command.typed.get("sweep.resume"), command.typed
    if not path or "sweep" in typed or SweepFolder.open(Path(path).expanduser().absolute()).search is None:
        return command
    return replace(command, overrides=["sweep=optuna", *command.overrides])


def _resumed(command: Command[TrainCommand], settings: Sweep, swept: bool) -> SweepFolder:
    """A sweep that is gone on with; a grid may be given more values, a search more trials."""
    assert settings.resume is not None
    sweep = SweepFolder.open(Path(settings.resume))
    if "sweep.metric" in command.typed:
        sweep.wanted_metric = settings.metric
    if isinstance(settings, Grid) and sweep.search is None:
        if swept:
            sweep.plan(jobs(_with_what_all_share(command, sweep), settings))
        return sweep
    if sweep.search is None:
        raise BadInput(f"sweep.resume={settings.resume} is a grid; leave out sweep={settings.name}")
    allowed = {"sweep", "sweep.resume", "sweep.n_trials", "sweep.dry_run", "json"}
    if strange := [key for key in command.typed if key not in allowed and not key.startswith("hydra")]:
        raise BadInput(f"{strange[0]}: a resumed search stays what it is; only sweep.n_trials may change")
    if sweep.jobs and Study(sweep.path, sweep.search).number < len(sweep.jobs):
        raise BadInput(f"sweep.resume={settings.resume}: the study of this search has lost trials")
    if "sweep.n_trials" in command.typed:
        assert isinstance(settings, Optuna)
        kept = sweep.search.settings.model_copy(update={"n_trials": settings.n_trials})
        sweep.search = sweep.search.model_copy(update={"settings": kept})
    return sweep


def _with_what_all_share(command: Command[TrainCommand], sweep: SweepFolder) -> Command[TrainCommand]:
    """More values for a grid: what is not typed again is as in all of its jobs."""
    typed = command.typed
    shared = [word for word in sweep.shared() if word.partition("=")[0].lstrip("+") not in typed]
    return replace(command, overrides=[*quote(TrainCommand, shared, multirun=False), *command.overrides])


def _how(command: Command[TrainCommand]) -> Sweep:
    """How the sweep goes: what was typed of it, with the first of all values in the place of the others."""
    overrides = _parsed(command.overrides)
    for override in overrides:
        if _group(override) in OF_THE_SWEEP and override.is_sweep_override():
            raise BadInput(f"{override.input_line}: this holds for the whole sweep and takes one value")
    return command.read([_words(override)[0] for override in overrides]).sweep


def cautions(command: Command[TrainCommand], sweep: SweepFolder) -> list[str]:
    """What is worth saying before the jobs run."""
    at_once, cores = command.typed.get("hydra.launcher.n_jobs") or 1, os.cpu_count() or 1
    threads = max((_threads(job.settings) for job in sweep.jobs), default=1)
    said = []
    if at_once * threads > cores and at_once > 1:
        said.append(f"{at_once} jobs of {threads} threads share {cores} cores, and will take turns")
    if any(key.partition(".")[0] == "data" for key in sweep.varied()):
        said.append("the jobs differ in their data: losses on different texts do not rank them")
    return said


def _threads(settings: TrainSettings) -> int:
    """How many threads a job computes with, in all its processes."""
    if settings.trainer is None:
        return 1
    return settings.trainer.threads * (settings.trainer.devices if isinstance(settings.trainer, Ddp) else 1)


def jobs(command: Command[TrainCommand], sweep: Grid) -> list[Planned]:
    """Every combination of the values that were typed. Raises BadInput for a wrong one."""
    choices = []
    for override in _of_jobs(command, sweep):
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise BadInput(
                f"{override.input_line}: a range is searched with sweep=optuna; a grid takes values, as in "
                f"{override.key_or_group}=1,2"
            )
        choices.append(_words(override))
    if (number := math.prod(map(len, choices))) > MOST_JOBS:
        raise BadInput(f"these values make {number:,} jobs, more than {MOST_JOBS:,}; sweep over fewer at a time")
    composed = Composer(command)
    return [Planned(as_typed(words), composed.settings(words)) for words in map(list, product(*choices))]


def ranges(command: Command[TrainCommand], sweep: Sweep) -> tuple[list[str], dict[str, Range]]:
    """What all trials of a search share, and what it varies. Raises BadInput where an end of a range is refused."""
    fixed, varied = [], {}
    for override in _of_jobs(command, sweep):
        if override.is_sweep_override():
            varied[override.key_or_group] = _range(override)
        else:
            fixed += _words(override)
    if not varied:
        raise BadInput(
            "sweep=optuna searches ranges, as in 'smoothing.k=interval(0.01,10)' or model=count,nn; there are none"
        )
    composed = Composer(command)
    middle = {key: each.ends[0] for key, each in varied.items()}
    for key, each in varied.items():
        for end in each.ends:
            composed.settings([*fixed, *(f"{k}={v}" for k, v in (middle | {key: end}).items())])
    return fixed, varied


def trials(sweep: SweepFolder, launched_at_once: int | None) -> Iterator[list[Job]]:
    """The jobs of a search, in batches to be launched: those that an earlier attempt left unfinished, then new ones.

    What became of a batch is told to the study before the next is chosen.
    """
    assert sweep.search is not None
    search, study = sweep.search, Study(sweep.path, sweep.search)
    composed = Composer(command_of("train", TrainCommand, []))
    at_once = search.settings.at_once or max(1, launched_at_once or 1)

    def planned(words: list[str]) -> Job:
        every = [*search.fixed, *words]
        return sweep.append(as_typed(every), composed.settings(every), as_typed(words))

    for words in study.asked()[len(sweep.jobs) :]:  # chosen, and then killed before it stood in the plan
        planned(words)
    for job in sweep.jobs:  # ended, and then killed before the study was told
        study.tell(job, sweep.wanted_metric)
    waiting = sweep.unfinished()
    while waiting or len(sweep.jobs) < search.settings.n_trials:
        batch, waiting = waiting[:at_once], waiting[at_once:]
        while not waiting and len(batch) < at_once and len(sweep.jobs) < search.settings.n_trials:
            batch.append(planned(study.ask()))
        sweep.save()
        yield batch
        sweep.look()
        for job in batch:
            study.tell(sweep.jobs[job.number], sweep.wanted_metric)


class Composer:
    """Composes jobs. Those that choose the same options differ in values alone: Hydra is asked once for all of them."""

    def __init__(self, command: Command[TrainCommand]) -> None:
        self.command, self.groups = command, set(groups_of(TrainCommand))
        self._composed: dict[tuple[str, ...], dict[str, Any]] = {}

    def settings(self, words: Sequence[str]) -> TrainSettings:
        """The checked settings of a job. Raises BadInput."""
        overrides = parse_overrides(words)
        options = tuple(str(o.input_line) for o in overrides if o.key_or_group in self.groups)
        try:
            if options not in self._composed:
                self._composed[options] = self.command.compose(list(options))
            values = copy.deepcopy(self._composed[options])
            if all(_put(values, o) for o in overrides if o.key_or_group not in self.groups):
                return _one_machine(validated(TrainCommand, values).run())
        except Exception:  # whatever it is, composing all of it says it best
            pass
        return _one_machine(self.command.read(list(words)).run())


def _one_machine(settings: TrainSettings) -> TrainSettings:
    """Raises BadInput for a job that asks for several machines: a launcher starts one process a job."""
    if isinstance(settings.trainer, Ddp) and settings.trainer.nodes > 1:
        raise BadInput(f"trainer.nodes={settings.trainer.nodes}: a job of a sweep runs on one machine")
    return settings


def as_typed(words: Sequence[str]) -> list[str]:
    """Overrides as a user would type them, without the quotes that protect them from Hydra's grammar."""
    paths = {setting.key for setting in every_setting(TrainCommand) if setting.is_path}

    def typed(override: Override) -> str:
        value = override.value()
        if not isinstance(value, str):
            return str(override.input_line)
        text = str(resolved(value))
        return f"{override.get_key_element()}={absolute(text) if override.key_or_group in paths else text}"

    return [typed(override) for override in parse_overrides(words)]


def _takes_whole_numbers(key: str) -> bool:
    types = [setting.types for setting in every_setting(TrainCommand) if setting.key == key]
    return any("integer" in each and "number" not in each for each in types)


def _put(values: dict[str, Any], override: Override) -> bool:
    """Puts a typed value where its key is. False where that is not all that Hydra would do."""
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


def _of_jobs(command: Command[TrainCommand], sweep: Sweep) -> list[Override]:
    """The overrides that make jobs: those that were typed, and what conf/sweep/ has for other keys."""
    last = {override.key_or_group: override for override in _parsed(command.overrides)}
    typed = [override for override in last.values() if _group(override) not in OF_THE_SWEEP]
    keys = {override.key_or_group for override in typed}
    words = [f"{key}={value}" for key, value in sweep.space.items() if key not in keys]
    space = _parsed(quote(TrainCommand, words, multirun=True))
    if wrong := [override for override in space if _group(override) in OF_THE_SWEEP]:
        raise BadInput(f"sweep.space: {wrong[0].input_line} is no setting of a run")
    return [*typed, *space]


def _parsed(words: Sequence[str]) -> list[Override]:
    """With what `glob(*)` needs to know: the options of the groups."""
    parse_overrides(words)  # which says what is wrong
    return OverridesParser.create(config_loader()).parse_overrides(list(words))


def _group(override: Override) -> str:
    return override.key_or_group.lstrip("+~").partition(".")[0].partition("/")[0]


def _words(override: Override) -> list[str]:
    """An override once for each of its values."""
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
        if isinstance(low, float) and _takes_whole_numbers(override.key_or_group):
            whole = f"{low:g},{high:g}"
            raise BadInput(
                f"{override.input_line}: takes whole numbers, as in int(interval({whole})) or range({whole})"
            )
        if not low < high < math.inf or low == -math.inf or (log and low <= 0):
            raise BadInput(f"{override.input_line}: must go from low to high, both above 0 on a log scale")
        return Range(low=low, high=high, log=log, step=None, choices=None)
    if getattr(value, "tags", None):
        raise BadInput(f"{override.input_line}: only an interval can have a tag, as in tag(log,interval(1,100))")
    if isinstance(value, RangeSweep) and not value.shuffle and value.step is not None and value.step > 0:
        values = [float(each) for each in _values(override)]
        are_whole = all(each.is_integer() for each in [*values, float(value.step)])
        kind: Callable[[float], float] = int if are_whole else float
        if len(values) > 1:
            low, high, step = map(kind, (values[0], values[-1], value.step))
            return Range(low=low, high=high, log=False, step=step, choices=None)
    assert isinstance(value, ChoiceSweep | RangeSweep | Glob)
    return Range(low=None, high=None, log=False, step=None, choices=_values(override))
