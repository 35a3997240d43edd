"""Probabilities of nltk.lm 3.10.4 where its definitions are ours, kept in nltk_probabilities.json.

    python tests/oracles/nltk_probabilities.py  writes the file again (pip install nltk)

Settings of NLTK under which the definitions agree, method by method:
- Boundary: NLTK's vocabulary has `<s>`, `</s>` and `<UNK>`, two entries more than ours. A vocabulary of the characters
  alone whose `unk_label` is the boundary has V entries and reads everything unknown as the boundary.
- Padding: NLTK's padded_everygrams puts order - 1 boundaries at each end and counts them all. We put one at each end
  and do not count the first as a symbol.
- Laplace, Lidstone: equal, with contexts cut to order - 1 symbols and at the start. (MLE has probability 0 in an unseen
  context, where ours has 1 / V.)
- StupidBackoff: equal for symbols that occur; NLTK scores an unseen one 0.
- WittenBellInterpolated: the same recursion, but from unsmoothed unigrams, which are replaced here by
  (c + T / V) / (C + T).
- AbsoluteDiscountingInterpolated: equal with one discount at all orders and none on the unigrams.
- KneserNeyInterpolated: as before, on continuation counts. A context that starts at the boundary and is shorter than
  order - 1 has continuation counts in NLTK (none: it divides by zero) and raw counts here, as in KenLM. So only full
  contexts and those without the boundary are compared.
"""

import json
from itertools import product
from pathlib import Path

BOUNDARY, ORDER, DISCOUNT, LIDSTONE = ".", 3, 0.75, 0.25
STORED = Path(__file__).with_suffix(".json")
CONTEXTS = ["", ".", "a", "e", "n", "q", ".a", ".e", "an", "ar", "el", "ia", "la", "xx"]  # xx is never seen


def compared(method, context):
    """Whether NLTK defines the probabilities in a context."""
    return method != "kneser_ney" or len(context) in (0, ORDER - 1) or BOUNDARY not in context


def grams(document, order=ORDER):
    """All n-grams of a document and its boundaries, except the unigram of the first boundary."""
    line = [BOUNDARY, *document, BOUNDARY]
    return [tuple(line[i - n : i]) for n in range(1, order + 1) for i in range(max(n, 2), len(line) + 1)]


def models(documents):
    from nltk import lm

    def fitted(model):
        model.fit([grams(document) for document in documents])
        return model

    def vocabulary():
        return lm.Vocabulary("".join(documents), unk_label=BOUNDARY)

    witten_bell = fitted(lm.WittenBellInterpolated(ORDER, vocabulary=vocabulary()))
    unigrams, v = witten_bell.counts.unigrams, len(witten_bell.vocab)
    witten_bell.estimator.unigram_score = lambda y: (unigrams[y] + len(unigrams) / v) / (unigrams.N() + len(unigrams))
    return {
        "laplace": fitted(lm.Laplace(ORDER, vocabulary=vocabulary())),
        "lidstone": fitted(lm.Lidstone(LIDSTONE, ORDER, vocabulary=vocabulary())),
        "stupid_backoff": fitted(lm.StupidBackoff(0.4, ORDER, vocabulary=vocabulary())),
        "witten_bell": witten_bell,
        "absolute_discount": fitted(
            lm.AbsoluteDiscountingInterpolated(ORDER, discount=DISCOUNT, vocabulary=vocabulary())
        ),
        "kneser_ney": fitted(lm.KneserNeyInterpolated(ORDER, discount=DISCOUNT, vocabulary=vocabulary())),
    }


def names():
    path = Path(__file__).parents[2] / "src" / "nextchar" / "data" / "assets" / "ssa-names-2018.txt"
    return path.read_text(encoding="utf-8").split()[:100]


def rows():
    """{method: {context: the probabilities of the boundary and of each character, in order}}."""
    documents = names()
    symbols = [BOUNDARY, *sorted(set("".join(documents)))]
    found = {}
    for (method, model), context in product(models(documents).items(), CONTEXTS):
        if compared(method, context):
            row = [round(model.score(y, tuple(context)), 12) for y in symbols]
            found.setdefault(method, {})[context] = row
    return found


if __name__ == "__main__":
    lines = ",\n".join(
        f'"{method}": {{\n' + ",\n".join(f'"{c}": {json.dumps(row)}' for c, row in contexts.items()) + "}"
        for method, contexts in rows().items()
    )
    STORED.write_text("{" + lines + "}\n", encoding="utf-8")
