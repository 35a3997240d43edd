"""Probabilities of nltk.lm 3.10.4 where its definitions are ours, kept in nltk_probabilities.json.

    python tests/nltk_probabilities.py  writes the file anew (pip install nltk)

What must be told to NLTK for the two to speak of the same thing:
- One boundary. A vocabulary of the characters alone whose `unk_label` is the boundary has V entries, and takes for the
  boundary all it does not know. NLTK's own vocabulary has `<s>`, `</s>` and `<UNK>`, two entries more than ours.
- One boundary at each end, whatever the order, and no count of the first one as a symbol. NLTK's padded_everygrams puts
  order - 1 on each side and counts them all.
- Laplace, Lidstone: the same, of a context cut to order - 1 symbols and at the start. MLE gives an unseen context 0
  where we give 1 / V.
- StupidBackoff: the same for symbols that occur (an unseen one scores 0 there).
- WittenBellInterpolated: the same recursion from unigrams that are not smoothed; theirs are replaced by
  (c + T / V) / (C + T).
- AbsoluteDiscountingInterpolated: the same for one discount at all orders, and none on the unigrams.
- KneserNeyInterpolated: likewise, on continuation counts; but a context that starts at the boundary and is shorter than
  order - 1 has continuation counts there too (none: it divides by zero), where we keep raw counts as KenLM does. So it
  is compared only on full contexts and on those without the boundary.
"""

import json
from itertools import product
from pathlib import Path

BOUNDARY, ORDER, DISCOUNT, LIDSTONE = ".", 3, 0.75, 0.25
STORED = Path(__file__).with_suffix(".json")
CONTEXTS = ["", ".", "a", "e", "n", "q", ".a", ".e", "an", "ar", "el", "ia", "la", "xx"]  # xx is never seen


def compared(method, context):
    """Whether NLTK has a probability in a context."""
    return method != "kneser_ney" or len(context) in (0, ORDER - 1) or BOUNDARY not in context


def grams(document, order=ORDER):
    """All n-grams of a document between its boundaries, but not the first boundary by itself."""
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
