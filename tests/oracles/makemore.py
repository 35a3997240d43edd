"""The bigram counts of karpathy/makemore's names.txt (a 27 x 27 table), and a text that has exactly these counts.

The names are not needed: a bigram model trained and tested on all of them depends on the table alone, so any text with
this table gives the same numbers.
"""

import csv
from pathlib import Path

import numpy as np

SYMBOLS, *_ROWS = csv.reader((Path(__file__).parent / "makemore_bigram_counts.csv").read_text().splitlines())
COUNTS = np.array(_ROWS, dtype=np.int64)  # (27, 27), row and column 0 the boundary


def documents(counts: np.ndarray = COUNTS, symbols: list[str] = SYMBOLS) -> list[str]:
    """Documents with these bigram counts: an Eulerian circuit through the table (Hierholzer), cut at the boundaries.

    Needs a table whose row sums equal its column sums, without empty documents.
    """
    left = [[y for y, n in enumerate(row) for _ in range(n)] for row in counts.tolist()]
    path, circuit = [0], []
    while path:
        if left[path[-1]]:
            path.append(left[path[-1]].pop())
        else:
            circuit.append(path.pop())
    circuit.reverse()
    text = "".join("\n" if i == 0 else symbols[i] for i in circuit)
    return text.strip("\n").split("\n")
