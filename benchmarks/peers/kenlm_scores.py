"""ARPA HELD_OUT: each character of a text scored by the kenlm module."""

import sys
from pathlib import Path

import kenlm
from costs import Costs

from nextchar.models.ngram import arpa_writer as arpa

held_out = Path(sys.argv[2]).read_text()
tokens = b" ".join(map(arpa.token, held_out)).decode()
model = kenlm.Model(sys.argv[1])
costs = Costs()
scored = sum(1 for _ in model.full_scores(tokens))
costs.lap("score")
costs.tell(scored=scored)
