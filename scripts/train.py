"""Trains a model: python scripts/train.py model=nn optim.lr=15; a sweep of four: -m smoothing.k=0.01,0.1,1,10"""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nextchar import command_line, terminal, training
from nextchar.errors import BadInput
from nextchar.knobs import read
from nextchar.run import PROJECT, SETTINGS, SWEEP, claim, unfinished_settings
from nextchar.settings import TrainSettings

failures: list[str] = []


def main() -> None:
    command = command_line.parse("train", TrainSettings, sys.argv[1:], __doc__, job=True)
    if command.for_hydra:
        command.composes()
        sys.argv[1:] = [*command.for_hydra, *command.overrides]
        job()
    elif command.multirun:
        sweep(command)
    elif command.value("hydra.sweep.dir") is not None:
        raise BadInput("hydra.sweep.dir is the folder of a sweep (-m); the folder of one run is hydra.run.dir")
    else:
        settings = command.settings() if command.value("resume") is None else resumed(command)
        training.train(settings, printer(settings), folder(command, "hydra.run.dir"))


def resumed(command: command_line.Command[TrainSettings]) -> TrainSettings:
    """The settings that an interrupted run began with; only its budget may be another."""
    typed = command.typed()
    if strange := [key for key in typed if key not in ("resume", "json", "trainer.max_steps")]:
        raise BadInput(
            f"{strange[0]}: a resumed run keeps its settings; beside resume=DIR only trainer.max_steps may change"
        )
    path = folder(command, "resume")
    if path is None:
        raise BadInput("resume=: must be a path")
    values = unfinished_settings(path) | {"resume": str(path)}
    if "trainer.max_steps" in typed:
        if not isinstance(values.get("trainer"), dict):
            raise BadInput("trainer.max_steps: a counted run has no steps")
        values["trainer"] |= {"max_steps": typed["trainer.max_steps"]}
    if "json" in typed:
        values["json"] = typed["json"]
    return read(TrainSettings, values)


def folder(command: command_line.Command[TrainSettings], key: str) -> Path | None:
    """The folder that was typed for a key, None where none was."""
    typed = command.value(key)
    return Path(typed).expanduser().absolute() if typed else None


def sweep(command: command_line.Command[TrainSettings]) -> None:
    """Hands the jobs to Hydra, once the settings of every one are known to be sound."""
    if command.value("resume") is not None:
        raise BadInput("resume=DIR goes on with one run; leave out -m")
    if command.value("hydra.run.dir") is not None:
        raise BadInput("hydra.run.dir is the folder of one run; the folder of a sweep is hydra.sweep.dir")
    if not command.overrides:
        raise BadInput("-m sweeps over values, as in -m smoothing.k=0.1,1; there are none")
    command.jobs()
    at = folder(command, "hydra.sweep.dir") or claim(PROJECT / "outputs", "sweep")
    if (at / SWEEP).exists() or (at / SETTINGS).exists():
        raise BadInput(f"hydra.sweep.dir={at} already holds a run or a sweep; name another folder, or none")
    try:
        at.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"hydra.sweep.dir={at} cannot be made: {error.strerror}") from None
    others = [override for override in command.overrides if not override.startswith("hydra.sweep.dir=")]
    sys.argv[1:] = ["-m", *others, *command_line.quote(TrainSettings, [f"hydra.sweep.dir={at}"], multirun=False)]
    job()
    print(f"\nsweep folder {terminal.short(at)}", file=sys.stderr)
    print(f"curves       tensorboard --logdir {shlex.quote(terminal.short(at))}", file=sys.stderr)
    if failures:
        raise SystemExit(f"error: of the sweep's jobs these failed: {', '.join(failures)}")


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def job(config: DictConfig) -> float:
    """One job of a sweep. Returns what a sweeper minimises."""
    settings, to_hydra = read(TrainSettings, command_line.plain_values(config)), HydraConfig.get()
    print(f"\njob {to_hydra.job.num}: {' '.join(to_hydra.overrides.task)}", file=sys.stderr)
    try:
        metrics = training.train(settings, printer(settings), Path(to_hydra.runtime.output_dir))
    except Exception as error:  # the other jobs go on; the traceback stands in this one's train.log
        reason = str(error) or type(error).__name__
        print(f"error: {reason}", file=sys.stderr)
        failures.append(str(to_hydra.job.num))
        return float("nan")
    return metrics.get("val/loss", metrics["train/loss"])


def printer(settings: TrainSettings) -> Callable[[training.Result], None]:
    """Shows a result on the terminal, as a table or as JSON."""

    def show(result: training.Result) -> None:
        for text in result.notes:
            terminal.note(text)
        if settings.json_:
            terminal.print_json(
                {
                    "run": str(result.folder),
                    "metrics": result.metrics,
                    "samples": result.samples,
                    "seconds": result.seconds,
                }
            )
            return
        took = sum(result.seconds.values())
        terminal.losses(result.metrics, f"{settings.model.name} on {result.report.source}, {took:.2f} s")
        terminal.report(result.report, settings.data.is_text)
        terminal.samples(result.samples)
        print(f"\nrun folder   {terminal.short(result.folder)}")
        print(f"curves       tensorboard --logdir {shlex.quote(terminal.short(result.folder.parent))}")

    return show


if __name__ == "__main__":
    command_line.run_script(main)
