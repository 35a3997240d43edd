"""Texts of any size without a network: the Python sources on this machine, or the user's own file."""

import random
import re
import site
import sysconfig
from pathlib import Path

GATHERED = 64_000_000  # bytes of distinct lines; a longer text repeats them
CHANGED = 1e-3  # share of the characters changed in a repetition, so that it has new n-grams
HELD_OUT = 2_000_000  # bytes
MB = 1_000_000


def make(folder: Path, largest: int, own: Path | None) -> tuple[Path, Path]:
    """Writes a text of at most `largest` MB and a held-out text. Returns their files."""
    text, held_out = folder / "text", folder / "held_out"
    if own is not None:
        _cut(own, text, held_out, largest)
        return text, held_out
    lines, kept = _gathered()
    held_out.write_bytes(b"".join(kept)[:HELD_OUT])
    whole, rng = b"".join(lines), random.Random(0)
    with text.open("wb") as file:
        file.write(whole[: largest * MB])
        while (missing := largest * MB - file.tell()) > 0:
            again = bytearray(whole)
            for _ in range(int(CHANGED * len(whole))):
                again[rng.randrange(len(whole))] = whole[rng.randrange(len(whole))]
            file.write(again[:missing])
    return text, held_out


def first(text: Path, mb: int) -> Path:
    """The first `mb` MB of a text as a file of its own."""
    path = text.with_name(f"{mb}")
    with text.open("rb") as source, path.open("wb") as file:
        for _ in range(mb):
            file.write(source.read(MB))
    return path


def _cut(own: Path, text: Path, held_out: Path, largest: int) -> None:
    with own.open("rb") as source, text.open("wb") as file:
        size = own.stat().st_size
        source.seek(size - min(HELD_OUT, size // 10))
        held_out.write_bytes(source.read())
        end = min(size - held_out.stat().st_size, largest * MB)
        source.seek(0)
        while file.tell() < end:
            file.write(source.read(min(MB, end - file.tell())))


def _gathered() -> tuple[list[bytes], list[bytes]]:
    """The distinct ASCII lines of the Python sources, and those of every tenth file, which are held out."""
    folders = [sysconfig.get_path("stdlib"), *site.getsitepackages()]
    paths = sorted({path for folder in folders for path in Path(folder).rglob("*.py")})
    lines, held_out, size = dict[bytes, None](), dict[bytes, None](), 0
    for number, path in enumerate(paths):
        for line in path.read_bytes().splitlines():
            if line.isascii() and re.fullmatch(rb"[\t -~]+", line):
                known = lines if number % 10 else held_out
                size += (line not in known) * (len(line) + 1)
                known[line] = None
        if size > GATHERED:
            break
    return [line + b"\n" for line in lines], [line + b"\n" for line in held_out]
