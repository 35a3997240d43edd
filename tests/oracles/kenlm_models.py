"""Models that KenLM's lmplz estimated, the texts it estimated them from, and a text scored by the kenlm module."""

import re
from pathlib import Path

import kenlm

from nextchar.data.corpus import EMBEDDED
from nextchar.models.ngram import arpa_writer as arpa

NAMES = EMBEDDED.read_text(encoding="utf-8").split()

TEXTS = {  # name: documents; kenlm/README.md makes the same texts by commands
    "names_3": NAMES[:200],
    "names_4": NAMES[:100],
    "names_5": NAMES[:30],
    "few_types_4": [name for name in NAMES if re.fullmatch("ab?b?a|an+a|[ane]+", name)],
    "unequal_6": ["".join(NAMES[:40]), "a", *NAMES[40:60]],
}

# Control characters, white space of every kind, and words that mean something in an ARPA file
ODD = (
    "First, a line.\n\tThen <b>another</b> \\ with \\n in it,\r\nand <s>, </s>, <unk> & \\u0041;  "
    "naïve Ωμέγα 𝔘 👍🏽 日本語\n"
    "\0\x0b\x0c\x1c\x85\xa0\u2028\u2029\u3000\ufeff\u200b\u00ad\u2581 e\u0301 a_b|c #1 \\data\\ \\end\\ -99\n"
) * 3


def path(name: str) -> Path:
    """The ARPA file of one of the texts; the order is the last digit of its name."""
    return Path(__file__).parent / "kenlm" / f"{name}.arpa"


def by_kenlm(path, documents):
    """log10 of each character and document end, by KenLM's states, which splits no text at white space."""
    model, scores = kenlm.Model(str(path)), []
    for document in documents:
        state, after = kenlm.State(), kenlm.State()
        model.BeginSentenceWrite(state)
        for token in [*map(arpa.token, document), arpa.END]:
            assert token.decode() in model
            scores.append(model.BaseScore(state, token.decode(), after))
            state, after = after, state
    return scores
