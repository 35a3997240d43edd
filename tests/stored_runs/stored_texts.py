"""The small texts that the stored commands read, the same bytes on every machine: no library draws the numbers."""

import gzip
from collections.abc import Iterator
from pathlib import Path

LATIN = ("bcdfghjklmnprst", "aeiouy")
GREEK = ("βγδκλμνπρσ", "αεηιοω")
CYRILLIC = ("бвгдзклмнпрст", "аеиоуы")


def dice(seed: int) -> Iterator[int]:
    """An endless stream of integers below 2^31 from a linear congruential generator."""
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33


def words(seed: int, n: int, letters: tuple[str, str] = LATIN) -> list[str]:
    """n words of one to four syllables; letters differ in frequency, and some words come twice."""
    consonants, vowels = letters
    roll = dice(seed)

    def letter(of: str) -> str:
        return of[min(next(roll) % len(of), next(roll) % len(of))]

    def word() -> str:
        syllables = (letter(consonants) + letter(vowels) for _ in range(1 + next(roll) % 4))
        return "".join(syllables) + (letter(consonants) if next(roll) % 3 == 0 else "")

    return [word() for _ in range(n)]


def lines(each: list[str]) -> str:
    return "".join(f"{line}\n" for line in each)


def prose(names: list[str]) -> str:
    """Sentences made of names, as a running text of several paragraphs."""
    roll, parts = dice(7), []
    for name in names:
        end = next(roll) % 12
        parts.append(name + {0: ". ", 1: ",\n", 2: "!\n\n"}.get(end, " "))
    return "".join(parts)


def many_scripts() -> str:
    """Lines in several scripts: combining marks, ligatures, full-width letters, emoji, and odd separators."""
    marked = [word.replace("e", "e\u0301").replace("n", "n\u0303") for word in words(11, 300)]
    composed = [word.replace("e", "\u00e9") for word in words(12, 300)]
    wide = [word.replace("f", "\ufb01").replace("a", "\uff41") for word in words(13, 200)]
    others = words(14, 200, GREEK) + words(15, 200, CYRILLIC)
    odd = ["東京 大阪", "👩\u200d👧 ok", "a\tb", "a\u2028b", "form\x0cfeed", "next\x85line", '"quoted", =1+1', "."]
    return lines([*marked, *composed, *wide, *others, *odd * 12])


def with_rare_characters() -> str:
    """Sixty lines hold a character of their own each, so that val and test hold characters unseen in train."""
    rare = [f"{word}{chr(0x4E00 + i)}{word}" for i, word in enumerate(words(21, 60))]
    return lines([*words(22, 600), *rare])


def embedded_names(checkout: Path) -> list[str]:
    """The names embedded in the package, wherever their file is in the sources."""
    (path,) = (checkout / "src").rglob("ssa-names-2018.txt")
    return path.read_text(encoding="utf-8").splitlines()


def write(folder: Path, checkout: Path) -> None:
    """Writes all texts into a folder."""
    accented = lines([word.replace("e", "é").replace("u", "ü") for word in words(31, 500)])
    some = words(1, 2500)
    few = ["anna", "bob", "anna", "cara", "dan", "eve", "bob", "fay", "gus", "hal", "ida", "joe"]
    files = {
        "words.txt": lines(some).encode(),
        "other_words.txt": lines(words(2, 400)).encode(),
        "names.txt": lines(embedded_names(checkout)[:3000]).encode(),
        "prose.txt": prose(embedded_names(checkout)[:7000]).encode(),
        "other_prose.txt": prose(embedded_names(checkout)[9000:9500]).encode(),
        "scripts.txt": many_scripts().encode(),
        "rare.txt": with_rare_characters().encode(),
        "crlf.txt": "".join(f"{word}\r\n\r\n" if i % 5 == 0 else f"{word}\r\n" for i, word in enumerate(some)).encode(),
        "gaps.txt": ("\n\n" + lines(some[:400]).replace("a\n", "a\n\n\n") + "\n\nlast without an end").encode(),
        "bom.txt": b"\xef\xbb\xbf" + lines(some[:300]).encode(),
        "latin1.txt": accented.encode("latin-1"),
        "utf16.txt": accented.encode("utf-16"),
        "accented.txt": accented.encode(),
        "few.txt": lines(few).encode(),
        "one_letter.txt": lines(["a" * (1 + i % 7) for i in range(60)]).encode(),
        "empty.txt": b"",
        "no_arpa.txt": lines(some[:50]).encode(),
        "folder/a.txt": lines(some[:800]).encode(),
        "folder/b.txt": lines(some[800:1500]).encode(),
        "folder/deep/c.txt": lines(some[1500:1800]).encode(),
        "folder/d.txt.gz": gzip.compress(lines(words(3, 500)).encode(), mtime=0),
        "words.txt.gz": gzip.compress(lines(some).encode(), mtime=0),
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
