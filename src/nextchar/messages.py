"""Words values for messages: the nearest known name, 'a, b or c', a value on one line."""

from collections.abc import Iterable, Mapping


def nearest(word: str, known: list[str]) -> str:
    """Returns ' Did you mean X?', or '' if no known word is near."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {close[0]}?" if close else ""


def one_of(words: Iterable[str]) -> str:
    """Returns 'a', 'a or b', 'a, b or c'."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def shown(value: object, most: int = 80) -> str:
    """Returns a value as it is typed, on one line, cut to `most` characters."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = one_line("{...}" if isinstance(value, Mapping) else str(value))
    return text if len(text) <= most else text[: most - 3] + "..."


def one_line(text: str) -> str:
    """Escapes newlines and all other characters that are not printable."""
    return printable(text, kept="")


def named(characters: Iterable[str]) -> str:
    """Names characters for an error: "'ñ' (U+00F1), 'ö' (U+00F6)"; of more than five, the first five."""
    ordered = sorted(characters)
    shown = ", ".join(f"'{one_line(c)}' (U+{ord(c):04X})" for c in ordered[:5])
    return f"{shown} and {len(ordered) - 5:,} more" if len(ordered) > 5 else shown


def printable(text: str, kept: str = "\n\t") -> str:
    """Escapes control and direction-changing characters but the `kept`, so that text is safe to print."""
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode("ascii") for c in text)


def html_table(head: Iterable[str], rows: Iterable[Iterable[object]], caption: str = "") -> str:
    """A table for a notebook. Its text may come from someone else's run: all of it is escaped."""
    import html

    def row(cells: Iterable[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(one_line(str(cell)))}</{tag}>" for cell in cells) + "</tr>"

    title = f"<caption>{html.escape(one_line(caption))}</caption>" if caption else ""
    body = "".join(row(cells, "td") for cells in rows)
    return f"<table>{title}<thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"
