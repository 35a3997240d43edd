"""Settings of all groups at random: each ends in a result, or in one line before anything is written."""

import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from nextchar.cli import main
from nextchar.config.compose import config_loader
from nextchar.config.fields import Setting, every_setting
from nextchar.config.train_settings import TrainCommand
from nextchar.data.corpus import EMBEDDED
from nextchar.errors import BadInput, Diverged
from nextchar.runs.run import open_run

LEFT_OUT = ("sweep", "cluster", "resume", "json", "data.name", "data.path", "data.url", "data.sha256")  # reach outside
GROUPS = {"model": 0.6, "smoothing": 0.7, "optim": 0.3, "experiment": 0.1}
NUMBERS = (
    "0",
    "1",
    "2",
    "3",
    "-1",
    "0.5",
    "1e-3",
    "7",
    "64",
    "1e9",
    "nan",
    "1e400",
    "null",
    "true",
    "x",
    "[0,1]",
    "''",
)


def attempts(folder: Path, seed: int) -> Iterator[str]:
    dice = random.Random(seed)
    text = folder / "names.txt"
    text.write_text("\n".join(EMBEDDED.read_text().split()[:200]))
    settings = [each for key, each in every_setting(TrainCommand).items() if not key.startswith(LEFT_OUT)]
    while True:
        words = [f"data={dice.choice(('lines', 'text'))}", f"data.path={text}"]
        for group, chance in GROUPS.items():
            if dice.random() < chance:
                words.append(f"{group}={dice.choice(config_loader().get_group_options(group))}")
        words += [word_of(dice.choice(settings), dice) for _ in range(dice.randint(0, 4))]
        if any(word in ("model=nn", "experiment=lecture_net") for word in words):
            words.append("trainer.max_steps=20")
        run = folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        bad = ""
        try:
            main.run("train", [*words, f"hydra.run.dir={run}"], "train")
        except BadInput as error:
            lines = str(error).splitlines()
            bad = f"{len(lines)} lines" if len(lines) != 1 else "a folder was made" if run.exists() else ""
        except Diverged:
            bad = "" if json.loads((run / "run.json").read_text())["status"] == "diverged" else "another status"
        except BaseException as error:
            bad = f"{type(error).__name__}: {error}"
        else:
            losses = [value for name, value in open_run(run).metrics.items() if name.endswith("/loss")]
            bad = "" if losses and not any(map(math.isnan, losses)) else f"losses {losses}"
        yield f"{' '.join(words)}: {bad}" if bad else ""


def word_of(setting: Setting, dice: random.Random) -> str:
    """A value that the setting takes, or any other."""
    taken = setting.choices
    return f"{setting.key}={dice.choice(taken) if taken and dice.random() < 0.7 else dice.choice(NUMBERS)}"
