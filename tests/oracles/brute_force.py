"""Every smoothing method by brute force: dictionaries and loops, written from the papers and using nothing of src/.

A document is a string. Its symbols are its characters and END; START stands before them. The context of a symbol is the
order - 1 symbols before it, fewer near the start. `tables[k][context]` counts the symbols that follow a context of
exactly k - 1 symbols. Slow, and meant to be read beside the papers.
"""

import math
from collections import Counter, defaultdict
from fractions import Fraction

START = END = None  # the boundary: id 0 of a vocabulary, not a character


def positions(document, order):
    """(context, symbol) of each character of a document and of its end."""
    line = (START, *document, END)
    for i in range(1, len(line)):
        yield line[max(0, i - order + 1) : i], line[i]


def raw_tables(documents, order):
    tables = {k: defaultdict(Counter) for k in range(1, order + 1)}
    for k in tables:
        for document in documents:
            for context, symbol in positions(document, k):
                if len(context) == k - 1:
                    tables[k][context][symbol] += 1
    return tables


def continuation_tables(documents, order):
    """Below the highest order: the number of distinct symbols before an n-gram, raw counts at the start."""
    raw = raw_tables(documents, order)
    tables = {order: raw[order]}
    for k in range(1, order):
        tables[k] = defaultdict(Counter)
        for context, row in raw[k + 1].items():
            for symbol in row:
                tables[k][context[1:]][symbol] += 1
        tables[k].update({context: row for context, row in raw[k].items() if context[:1] == (START,)})
    return tables


def vocab_size(documents):
    return len(set("".join(documents))) + 1


def counts_of_counts(table):
    return Counter(count for row in table.values() for count in row.values())


def longest(context, order):
    return tuple(context)[max(0, len(context) - order + 1) :]


def mean_nll(p, documents, order):
    """Nats per character; the end of a document counts as one."""
    logs = [-math.log(p(context, symbol)) for document in documents for context, symbol in positions(document, order)]
    return math.fsum(logs) / len(logs)


def recursion(tables, base, step):
    """p(context, symbol) by P_k = step(k, row of the context, symbol, P_{k-1}), from P_0 = base."""
    order = max(tables)

    def p(context, symbol):
        context = longest(context, order)
        k = len(context) + 1
        below = p(context[1:], symbol) if context else base
        return step(k, tables[k][context], symbol, below) if context in tables[k] else below

    return p


# --- counts alone ---------------------------------------------------------------------------------------------------


def add_k(documents, order, k):
    """(c + k) / (C + k V) in the whole context; uniform in an unseen one. k = 0: maximum likelihood."""
    tables, v = raw_tables(documents, order), vocab_size(documents)

    def p(context, symbol):
        context = longest(context, order)
        row = tables[len(context) + 1].get(context)
        return (row[symbol] + k) / (row.total() + k * v) if row else 1 / v

    return p


def stupid_backoff(documents, order, alpha=0.4):
    """Brants et al. 2007, eq. 5: scores, which do not sum to 1. Below the unigrams stands 1 / V."""
    tables, v = raw_tables(documents, order), vocab_size(documents)

    def score(context, symbol):
        context = longest(context, order)
        row = tables[len(context) + 1].get(context, Counter())
        if row[symbol]:
            return row[symbol] / row.total()
        return alpha * (score(context[1:], symbol) if context else 1 / v)

    return score


def katz(documents, order, largest=5):
    """Katz 1987 with the Good-Turing discounts of Chen & Goodman 1998, section 2.4: counts up to 5 are discounted.

    A ratio outside (0, 1] is set to 1, and so are all ratios of an order that lacks one of n_1 .. n_6. A row in which
    every symbol occurs is normalised, for nothing is left to back off to; any other row that would leave no probability
    to back-off leaves .5 / (C + .5).
    """
    tables, v = raw_tables(documents, order), vocab_size(documents)
    ratios = {k: good_turing(counts_of_counts(tables[k]), largest) for k in tables}

    def p(context, symbol):
        context = longest(context, order)
        k = len(context) + 1

        def below(y):
            return p(context[1:], y) if context else 1 / v

        row = tables[k].get(context)
        if not row:
            return below(symbol)
        kept = {y: ratios[k].get(c, 1) * c / row.total() for y, c in row.items()}
        if len(row) == v:
            return kept[symbol] / sum(kept.values())
        if sum(kept.values()) > 1 - 1e-12:
            kept = {y: c / (row.total() + 0.5) for y, c in row.items()}
        if symbol in row:
            return kept[symbol]
        return below(symbol) * (1 - sum(kept.values())) / (1 - sum(below(y) for y in row))

    return p


def good_turing(n, largest):
    """{r: d_r} from the counts of counts n."""
    if not all(n[r] for r in range(1, largest + 2)):
        return {}
    cut, ratios = (largest + 1) * n[largest + 1] / n[1], {}
    for r in range(1, largest + 1):
        ratio = ((r + 1) * n[r + 1] / n[r] / r - cut) / (1 - cut) if cut != 1 else 1
        ratios[r] = ratio if 0 < ratio <= 1 else 1
    return ratios


# --- interpolated ---------------------------------------------------------------------------------------------------


def witten_bell(documents, order):
    def step(k, row, symbol, below):
        return (row[symbol] + len(row) * below) / (row.total() + len(row))

    return recursion(raw_tables(documents, order), 1 / vocab_size(documents), step)


def dirichlet(documents, order, strengths):
    """MacKay & Peto 1995. `strengths`: one per order, the lowest first."""

    def step(k, row, symbol, below):
        return (row[symbol] + strengths[k - 1] * below) / (row.total() + strengths[k - 1])

    return recursion(raw_tables(documents, order), 1 / vocab_size(documents), step)


def pitman_yor(documents, order, discounts, strengths):
    """Teh 2006 with one table per symbol and context: interpolated Kneser-Ney with a strength."""

    def step(k, row, symbol, below):
        d, theta = discounts[k - 1], strengths[k - 1]
        return (max(row[symbol] - d, 0) + (theta + d * len(row)) * below) / (row.total() + theta)

    return recursion(continuation_tables(documents, order), 1 / vocab_size(documents), step)


def discounted(tables, base, discounts, strength=0):
    """`discounts[k]`: D1, D2, D3+ of order k; a discount is at most the count."""

    def step(k, row, symbol, below):
        def d(count):
            return min(discounts[k][min(count, 3) - 1], count) if count else 0

        freed = sum(d(count) for count in row.values())
        return (row[symbol] - d(row[symbol]) + (freed + strength) * below) / (row.total() + strength)

    return recursion(tables, base, step)


def one_discount(table):
    """Ney, Essen & Kneser 1994: n1 / (n1 + 2 n2)."""
    n = counts_of_counts(table)
    return (n[1] / (n[1] + 2 * n[2]) if n[1] else 0.5,) * 3


def three_discounts(table):
    """Chen & Goodman 1998, eq. 26; where n_i = 0 or the discount is not positive: Y, the single discount."""
    n = counts_of_counts(table)
    y = Fraction(n[1], n[1] + 2 * n[2]) if n[1] else Fraction(1, 2)
    found = (i - (i + 1) * y * Fraction(n[i + 1], n[i]) if n[i] else y for i in (1, 2, 3))
    return tuple(float(d if d > 0 else y) for d in found)


def absolute_discount(documents, order):
    tables = raw_tables(documents, order)
    return discounted(tables, 1 / vocab_size(documents), {k: one_discount(tables[k]) for k in tables})


def kneser_ney(documents, order):
    tables = continuation_tables(documents, order)
    return discounted(tables, 1 / vocab_size(documents), {k: one_discount(tables[k]) for k in tables})


def modified_kneser_ney(documents, order):
    tables = continuation_tables(documents, order)
    return discounted(tables, 1 / vocab_size(documents), {k: three_discounts(tables[k]) for k in tables})


def modified_kneser_ney_of_kenlm(documents, order, as_counted_by_lmplz=False):
    """KenLM's lmplz --discount_fallback: <unk> is one more symbol; an order has three estimated discounts or none.

    `as_counted_by_lmplz` also repeats a bug of lm/builder/adjust_counts.cc (end of AdjustCounts::Run): the n-gram of
    each lower order that is sorted last enters the counts of counts with its raw count.
    """
    tables = continuation_tables(documents, order)
    n = {k: counts_of_counts(tables[k]) for k in tables}
    if as_counted_by_lmplz:
        for k, adjusted, raw in last_of_lmplz(documents, order):
            n[k][adjusted] -= 1
            n[k][raw] += 1
    base = 1 / (vocab_size(documents) + 1)
    return discounted(tables, base, {k: kenlm_discounts(n[k]) for k in tables})


def kenlm_discounts(n):
    """0.5, 1, 1.5 if n1, n2 or n3 is 0 or a discount lies outside [0, i] (StatCollector::CalculateDiscounts)."""
    if n[1] and n[2] and n[3]:
        y = Fraction(n[1], n[1] + 2 * n[2])
        discounts = [i - (i + 1) * y * Fraction(n[i + 1], n[i]) for i in (1, 2, 3)]
        if all(0 <= d <= i for i, d in enumerate(discounts, 1)):
            return tuple(map(float, discounts))
    return 0.5, 1, 1.5


def last_of_lmplz(documents, order):
    """(k, adjusted count, raw count) of the last k-gram of each lower order, sorted by their reversed symbols."""
    raw, adjusted = raw_tables(documents, order), continuation_tables(documents, order)
    age = {symbol: i for i, symbol in enumerate(dict.fromkeys("".join(documents)), 1)} | {END: 0}

    def read_backwards(position):
        context, symbol = position
        return age[symbol], [-1 if x is START else age[x] for x in reversed(context)]

    context, symbol = max((x for document in documents for x in positions(document, order)), key=read_backwards)
    for k in range(1, min(order, len(context) + 2)):
        shorter = longest(context, k)
        yield k, adjusted[k][shorter][symbol], raw[k][shorter][symbol]


def tuned(tables, documents, discounts, strength):
    """The same D1, D2, D3+ and strength at every order, on either kind of tables."""
    return discounted(tables, 1 / vocab_size(documents), dict.fromkeys(tables, discounts), strength)


# --- Jelinek-Mercer -------------------------------------------------------------------------------------------------


def jelinek_mercer(documents, val, order, bucketed=False):
    """P_k = l_k c / C + (1 - l_k) P_{k-1}, the weights by EM on `val`, lowest order first."""
    tables, weights, uniform = raw_tables(documents, order), {}, 1 / vocab_size(documents)

    def bucket(row):
        return min(row.total().bit_length() - 1, 9) if bucketed else None

    def step(k, row, symbol, below):
        weight = weights[k].get(bucket(row), weights[k][None])
        return weight * row[symbol] / row.total() + (1 - weight) * below

    p = recursion(tables, uniform, step)
    for k in range(1, order + 1):
        seen = defaultdict(list)  # by bucket: the two probabilities of each symbol of val
        for context, symbol in (pair for document in val for pair in positions(document, k)):
            if len(context) == k - 1 and context in tables[k]:
                row = tables[k][context]
                below = p(context[1:], symbol) if context else uniform
                seen[bucket(row)].append((row[symbol] / row.total(), below))
        pooled = [pair for pairs in seen.values() for pair in pairs]
        weights[k] = {b: em(pairs) for b, pairs in seen.items() if len(pairs) >= 20} | {None: em(pooled)}
    return p, weights


def em(pairs, rounds=60):
    """The maximum-likelihood weight of the first of two distributions, by EM (Jelinek & Mercer 1980).

    Starts at .5, takes sixty rounds and stays at most 1 - 1e-9, so that the second distribution keeps some weight.
    """
    weight, times = 0.5, Counter(pairs)
    for _ in range(rounds if pairs else 0):
        parts = [n * weight * a / (weight * a + (1 - weight) * b) for (a, b), n in times.items()]
        weight = min(math.fsum(parts) / len(pairs), 1 - 1e-9)
    return weight
