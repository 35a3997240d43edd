"""Trains a model: python scripts/train.py model=nn optim.lr=15; a sweep of four: -m smoothing.k=0.01,0.1,1,10"""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nextchar import command_line, experiment, terminal
from nextchar.errors import BadInput, Diverged
from nextchar.knobs import read
from nextchar.run import PROJECT, claim, unfinished_settings
from nextchar.settings import TrainSettings

failures: list[str] = []


def main() -> None:
    command = command_line.parse("train", TrainSettings, sys.argv[1:])
    if command.for_hydra:
        job()
    elif command.multirun:
        sweep(command)
    else:
        settings = resumed(command) if "resume" in command.typed() else command.settings()
        at = command.value("hydra.run.dir")
        experiment.train(
            settings, printer(settings), terminal.progress, Path(at).expanduser().absolute() if at else None
        )


def resumed(command: command_line.Command[TrainSettings]) -> TrainSettings:
    """The settings that an interrupted run began with; only its budget may be another."""
    may_change = ("resume", "json", "trainer.max_steps")
    if strange := [key for key in command.typed() if key not in may_change]:
        raise BadInput(
            f"{strange[0]}: a resumed run keeps its settings; beside resume=DIR only trainer.max_steps may change"
        )
    path = str(Path(command.value("resume")).expanduser().absolute())
    values = unfinished_settings(Path(path)) | {"resume": path}
    if steps := command.value("trainer.max_steps"):
        values["trainer"] = dict(values.get("trainer") or {}, max_steps=int(steps) if steps.isdigit() else steps)
    if typed := command.value("json"):
        values["json"] = typed == "True"
    return read(TrainSettings, values)


def sweep(command: command_line.Command[TrainSettings]) -> None:
    """Hands the jobs to Hydra, once the settings of every one are known to be sound."""
    command.jobs()
    folder = command.value("hydra.sweep.dir") or str(claim(PROJECT / "outputs", "sweep"))
    folder = str(Path(folder).expanduser().absolute())
    others = [override for override in command.overrides if not override.startswith("hydra.sweep.dir=")]
    sys.argv[1:] = ["-m", *others, *command_line.quote(TrainSettings, [f"hydra.sweep.dir={folder}"], multirun=False)]
    job()
    print(f"\nsweep folder {terminal.short(Path(folder))}")
    print(f"curves       tensorboard --logdir {terminal.short(Path(folder))}")
    if failures:
        raise SystemExit(f"error: {len(failures)} jobs failed: {'; '.join(failures)}")


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def job(config: DictConfig) -> float:
    """One job of a sweep. Returns what a sweeper minimises."""
    settings, to_hydra = read(TrainSettings, command_line.plain_values(config)), HydraConfig.get()
    print(f"\njob {to_hydra.job.num}: {' '.join(to_hydra.overrides.task)}")
    try:
        metrics = experiment.train(settings, printer(settings), terminal.progress, Path(to_hydra.runtime.output_dir))
    except (BadInput, Diverged) as error:
        print(f"error: {error}", file=sys.stderr)
        failures.append(f"job {to_hydra.job.num} ({error})")
        return float("nan")
    return metrics.get("val/loss", metrics["train/loss"])


def printer(settings: TrainSettings):  # type: ignore[no-untyped-def]
    """Shows a result on the terminal, as a table or as JSON."""

    def show(result: experiment.Result) -> None:
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
        report, learned = result.report, settings.model.name
        texts = f"{report.kept:,} documents" if not settings.data.is_text else f"{report.characters:,} characters"
        took = sum(result.seconds.values())
        terminal.losses(
            result.metrics,
            f"{learned} on {report.source}",
            f"{texts}, {report.vocabulary} distinct characters; {took:.2f} s",
        )
        terminal.samples(result.samples)
        print(f"\nrun folder   {terminal.short(result.folder)}")
        print(f"curves       tensorboard --logdir {terminal.short(result.folder.parent)}", flush=True)

    return show


if __name__ == "__main__":
    command_line.run_script(main)
