"""compare: finished runs, ranked."""

import os
from pathlib import Path

from nextchar.cli.parse import Called
from nextchar.cli.printing import dropped_if_unread, note, print_json, say, short
from nextchar.cli.tables import leaderboard
from nextchar.cli.terminal_progress import phase
from nextchar.comparison import files as report
from nextchar.comparison import ranking as comparison
from nextchar.config.command_settings import CompareSettings
from nextchar.errors import BadInput
from nextchar.runs.atomic import write_atomically
from nextchar.runs.folder import new_folder
from nextchar.runs.record import PROJECT

MOST_LEFT_OUT = 10  # named on the terminal; the page names all


def run(called: Called[CompareSettings]) -> None:
    settings = called.settings
    folders = _without_files([Path(os.path.expanduser(word)) for word in called.operands])
    if settings.out:
        _refuse_unwritable(Path(settings.out))
    with phase("reading the runs"):
        compared = comparison.compare(folders or [PROJECT / "outputs"])
    for each in compared.left_out[:MOST_LEFT_OUT]:
        note(f"left out {each.folder}: {each.reason}")
    if (more := len(compared.left_out) - MOST_LEFT_OUT) > 0:
        note(f"left out {more:,} more; {report.PAGE} names more")
    with dropped_if_unread():
        if settings.json_:
            print_json(report.plain(compared))
        else:
            leaderboard(compared)
    with phase("drawing"):
        _write(
            report.files(compared), Path(settings.out) if settings.out else new_folder(PROJECT / "outputs", "compare")
        )


def _without_files(paths: list[Path]) -> list[Path]:
    """Drops files beside folders: sweep/* also names the tables of a sweep."""
    files = [path for path in paths if os.path.isfile(path)]
    if not files or len(files) == len(paths):
        return paths
    more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
    note(f"ignored {files[0]}{more}: a run is a folder, not a file")
    return [path for path in paths if path not in files]


def _refuse_unwritable(folder: Path) -> None:
    """Raises BadInput before the runs are read."""
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not os.path.isdir(existing) or not os.access(existing, os.W_OK | os.X_OK):
        raise BadInput(f"out={folder} cannot be written: {existing} is not a folder that can be written to")
    for name in report.NAMES:
        if os.path.isdir(folder / name):
            raise BadInput(f"out={folder} cannot be written: its {name} is a folder")


def _write(files: dict[str, bytes], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(folder / name, content)
            say(f"{Path(name).suffix[1:]:12} {short(folder / name)}")
    except OSError as error:
        raise BadInput(f"out={folder} cannot be written: {error.strerror}") from None
