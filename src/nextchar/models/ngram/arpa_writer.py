r"""Back-off tables written as ARPA files, which KenLM, SRILM and others read.

A token is a character, or the boundary: `<s>` as the oldest symbol, `</s>` as the predicted one. White space,
characters that do not print and the escape character itself are escaped:

    space \s    newline \n    tab \t    carriage return \r    backslash \\    others \u and 4 to 6 hexadecimal digits

All other characters stand for themselves, `<` too: `<s>`, `</s>` and `<unk>` are longer than a character. A single
backslash, as other programs write it, is read as a backslash.

Rows are written in blocks, with array operations on their bytes; arpa_reader.py reads them.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from nextchar.data.vocabulary import BOUNDARY, Ids, Vocabulary
from nextchar.models.base import Floats
from nextchar.models.ngram.backoff import BackoffTable, score_ngrams
from nextchar.models.ngram.keys import Bools, Keys, look_up

ZERO = -99.0  # written for log10 of 0, as by SRILM
START, END, UNKNOWN = b"<s>", b"</s>", (b"<unk>", b"<UNK>")

WRITTEN_AT_ONCE = 1 << 17  # rows
DECIMALS = 7  # of a logarithm; readers keep them in float32, which has no more
INTEGERS = 3  # digits before the point; log10 of the smallest float64 is -323

Bytes = npt.NDArray[np.uint8]

_ESCAPES = {" ": r"\s", "\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\"}
_UNESCAPED = {token.encode(): char for char, token in _ESCAPES.items()}


def token(char: str) -> bytes:
    """Returns the token of a character."""
    if char in _ESCAPES:
        return _ESCAPES[char].encode()
    if char.isspace() or not char.isprintable():
        return f"\\u{ord(char):04x}".encode()
    return char.encode()


def character(token: bytes) -> str | None:
    """Returns the character of a token, or None: the inverse of `token`."""
    if token in _UNESCAPED:
        return _UNESCAPED[token]
    if escaped := re.fullmatch(rb"\\u([0-9a-fA-F]{4,6})", token):
        code = int(escaped[1], 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else None
    try:
        text = token.decode()
    except UnicodeDecodeError:
        return None
    return text if len(text) == 1 else None


def arpa_file(tables: Sequence[BackoffTable], vocabulary: Vocabulary, compressed: bool = False) -> Iterator[bytes]:
    """Yields the bytes of the file in parts, as .gz if `compressed`; the same tables give the same bytes.

    Logarithms are rounded to 7 decimals. `<unk>` has probability 0, since the model has no unknown characters.
    """
    if compressed:
        packer = zlib.compressobj(wbits=31)  # gzip, without a name or a time in it
        for content in arpa_file(tables, vocabulary):
            yield packer.compress(content)
        yield packer.flush()
        return
    tables = _completed(tables)
    sizes = [len(table) + 2 * (table.order == 1) for table in tables]
    yield b"\\data\\\n" + b"".join(b"ngram %d=%d\n" % (k, size) for k, size in enumerate(sizes, 1))
    tokens = [token(char) for char in vocabulary.characters]
    older, newest = _padded([START, *tokens]), _padded([END, *tokens])
    for table, above in zip(tables, [*tables[1:], None], strict=True):  # the weights of a context stand on its own row
        yield b"\n\\%d-grams:\n" % table.order
        if table.order == 1:  # <unk> and <s> are never predicted
            never, opening = np.array([-np.inf]), table.packing.pack(np.array([[BOUNDARY]]))
            weight = None if above is None else _weights(above, opening, np.array([True]))
            yield _joined(never, [_padded([UNKNOWN[0]])]) + _joined(never, [_padded([START])], weight)
        for start in range(0, len(table), WRITTEN_AT_ONCE):
            part = slice(start, start + WRITTEN_AT_ONCE)
            ids = table.packing.unpack(table.keys[part], table.order)
            fields = [*(older[column] for column in ids.T[:-1]), newest[ids[:, -1]]]
            weights = None if above is None else _weights(above, table.keys[part], ids[:, -1] != BOUNDARY)
            yield _joined(table.log_probs[part], fields, weights)
    yield b"\n\\end\\\n"


def _completed(tables: Sequence[BackoffTable]) -> list[BackoffTable]:
    """Adds rows for all contexts, which carry the weights, and for all shorter n-grams, which KenLM expects.

    An added row has the probability that backing off gives, so that none changes.
    """
    complete = [tables[-1]]
    for k in range(len(tables) - 1, 0, -1):
        table, above = tables[k - 1], complete[-1]
        contexts = np.concatenate([above.contexts, above.packing.context(above.keys, k + 1)])
        contexts = contexts[table.packing.newest(contexts, k) != BOUNDARY]  # <s> has no row but its own
        missing = np.setdiff1d(np.concatenate([contexts, above.packing.shorter(above.keys, k + 1)]), table.keys)
        keys = np.concatenate([table.keys, missing])
        log_probs = np.concatenate([table.log_probs, score_ngrams(tables[:k], missing)])
        order = np.argsort(keys, kind="stable")
        complete.append(replace(table, keys=keys[order], log_probs=log_probs[order]))
    return complete[::-1]


def _weights(above: BackoffTable, contexts: Keys, is_context: Bools) -> Bytes:
    """Returns the fields of the back-off weights, empty for a weight of 1 and after the end of a document."""
    values = np.where(is_context, look_up(above.contexts, above.log_backoffs, contexts, 0), 0)
    field = np.pad(_number(values), [(0, 0), (1, 0)], constant_values=ord("\t"))
    field[_rounded(values) == 0] = 0
    return field


def _rounded(values: Floats) -> Ids:
    """(N,) natural logarithms -> (N,) int64, log10 in units of the last decimal."""
    largest = 10**INTEGERS - 10.0**-DECIMALS
    decimal = np.where(np.isneginf(values), ZERO, np.clip(values / np.log(10), -largest, largest))
    units: Ids = np.rint(decimal * 10**DECIMALS).astype(np.int64)
    return units


def _number(values: Floats) -> Bytes:
    """(N,) natural logarithms -> (N, width) bytes, log10 as decimal text between zero bytes."""
    units = _rounded(values)
    rest = np.abs(units)
    field = np.zeros((len(values), 2 + INTEGERS + DECIMALS), dtype=np.uint8)
    for column in range(field.shape[1] - 1, 0, -1):
        if column == 1 + INTEGERS:
            field[:, column] = ord(".")
            continue
        is_shown = (rest > 0) | (column >= INTEGERS)
        rest, digit = np.divmod(rest, 10)
        field[:, column] = np.where(is_shown, digit + ord("0"), 0)
    field[units < 0, 0] = ord("-")
    field[units % 10**DECIMALS == 0, 1 + INTEGERS :] = 0
    return field


def _padded(tokens: Sequence[bytes]) -> Bytes:
    """Returns (N, longest) bytes, shorter tokens padded with zero bytes."""
    table = np.array(tokens)
    return np.ascontiguousarray(table).view(np.uint8).reshape(len(tokens), table.itemsize)


def _joined(log_probs: Floats, tokens: Sequence[Bytes], weights: Bytes | None = None) -> bytes:
    """Joins the columns to lines, without the zero bytes, which no token contains."""
    tab, space, newline = (np.full((len(log_probs), 1), ord(char), dtype=np.uint8) for char in "\t \n")
    columns = [_number(log_probs), tab, tokens[0]]
    for field in tokens[1:]:
        columns += [space, field]
    columns += [newline] if weights is None else [weights, newline]
    flat = np.concatenate(columns, axis=1).ravel()
    lines: bytes = flat[flat != 0].tobytes()
    return lines
