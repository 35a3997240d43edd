"""Ranks finished runs that were tested alike, and says which differences are real: python scripts/compare.py DIR DIR.

DIR is a run folder, or holds run folders, or folders of these (a sweep, outputs/, which is taken where none is named).
Nothing in them is run. Runs that differ in the seed only are one row. The interval of a loss says how far it may be off
on other documents; whether two runs differ is told by the paired difference, whose interval is far narrower. Writes
compare.csv, compare.md, compare.png and compare.html, a page that needs no network.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from nextchar.cli import terminal
from nextchar.cli.parse import parse, run_script
from nextchar.comparison import files as report
from nextchar.comparison import ranking as comparison
from nextchar.config.command_settings import CompareSettings
from nextchar.config.fields import every_setting
from nextchar.errors import BadInput
from nextchar.messages import nearest, shown
from nextchar.runs.atomic import write_atomically
from nextchar.runs.folder import new_folder
from nextchar.runs.record import PROJECT

MOST_LEFT_OUT = 10  # named on the terminal; the page names all


def main() -> None:
    folders, words = apart(sys.argv[1:])
    settings = parse("compare", CompareSettings, words, __doc__, operands="[DIR ...]").settings()
    if settings.out:
        refuse_unwritable(Path(settings.out))
    with terminal.busy("reading the runs"):
        compared = comparison.compare(folders or [PROJECT / "outputs"])
    for each in compared.left_out[:MOST_LEFT_OUT]:
        terminal.note(f"left out {each.folder}: {each.reason}")
    if (more := len(compared.left_out) - MOST_LEFT_OUT) > 0:
        terminal.note(f"left out {more:,} more; {report.PAGE} names more")
    with terminal.even_if_nobody_reads():
        if settings.json_:
            terminal.print_json(report.plain(compared))
        else:
            terminal.leaderboard(compared)
    with terminal.busy("drawing"):
        write(
            report.files(compared), Path(settings.out) if settings.out else new_folder(PROJECT / "outputs", "compare")
        )


def apart(argv: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Folders, and what are settings: a folder may be called 3_smoothing.k=0.1, but not json=true."""
    keys = [setting.key for setting in every_setting(CompareSettings)]
    settings = [word for word in argv if word.startswith("-") or (word.partition("=")[0] in keys and "=" in word)]
    words = [word for word in argv if word not in settings]
    for word in words:
        key, is_setting, _ = word.partition("=")
        if not word or (is_setting and not os.path.lexists(os.path.expanduser(word))):
            raise BadInput(f"'{shown(word)}': no such folder, nor a setting.{nearest(key, keys)}")
    return without_files([Path(os.path.expanduser(word)) for word in words]), settings


def without_files(paths: list[Path]) -> list[Path]:
    """The folders, where there are some: of sweep/* the jobs, and not the tables that lie beside them."""
    files = [path for path in paths if os.path.isfile(path)]
    if not files or len(files) == len(paths):
        return paths
    more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
    terminal.note(f"passed over {files[0]}{more}: a run is a folder, not a file")
    return [path for path in paths if path not in files]


def refuse_unwritable(folder: Path) -> None:
    """Raises BadInput before the work is done, not after it."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        raise BadInput(f"out={folder} cannot be written: {there} is no folder that can be written to")
    for name in report.NAMES:
        if os.path.isdir(folder / name):
            raise BadInput(f"out={folder} cannot be written: its {name} is a folder")


def write(files: dict[str, bytes], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(folder / name, content)
            print(f"{Path(name).suffix[1:]:12} {terminal.short(folder / name)}", file=sys.stderr)
    except OSError as error:
        raise BadInput(f"out={folder} cannot be written: {error.strerror}") from None


if __name__ == "__main__":
    run_script(main)
