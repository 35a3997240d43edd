"""A model in the ARPA format of KenLM's lmplz: reading it, and the probability of an n-gram by back-off."""


def read(path):
    """{n-gram: log10 probability}, {n-gram: log10 back-off weight}, n-grams as tuples of words."""
    probabilities, backoffs, inside = {}, {}, False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("\\"):
            inside = line.endswith("-grams:")
        elif inside and line:
            log_p, words, *backoff = line.split("\t")
            gram = tuple(words.split(" "))
            probabilities[gram], backoffs[gram] = float(log_p), float(backoff[0]) if backoff else 0.0
    return probabilities, backoffs


def log10_p(model, gram):
    """log10 P of the last word given the others (Katz 1987): the longest listed n-gram, times the back-off weights."""
    probabilities, backoffs = model
    if gram in probabilities:
        return probabilities[gram]
    return backoffs.get(gram[:-1], 0.0) + log10_p(model, gram[1:])
