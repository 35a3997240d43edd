"""Smoothing methods: the settings of each, and the same method written by brute force."""

import brute_force as twin
from pydantic import TypeAdapter

from nextchar.config.smoothing_settings import Smoothing


def smoothing(name: str, **values: object) -> Smoothing:
    """The settings of a method, checked as those of conf/smoothing/."""
    settings: Smoothing = TypeAdapter(Smoothing).validate_python({"name": name, **values})
    return settings


METHODS = {  # name: (settings, (documents, order) -> p(context, symbol) by brute force)
    "none": (smoothing("none"), lambda d, n: twin.add_k(d, n, 0)),
    "add_k": (smoothing("add_k", k=0.3, tune=False), lambda d, n: twin.add_k(d, n, 0.3)),
    "witten_bell": (smoothing("witten_bell"), twin.witten_bell),
    "absolute_discount": (smoothing("absolute_discount", discount=None, tune=False), twin.absolute_discount),
    "kneser_ney": (smoothing("kneser_ney", discount=None, tune=False), twin.kneser_ney),
    "modified_kneser_ney": (smoothing("modified_kneser_ney", base="uniform", tune=False), twin.modified_kneser_ney),
    "katz": (smoothing("katz"), twin.katz),
    "dirichlet": (smoothing("dirichlet", concentration=3.0, tune=False), lambda d, n: twin.dirichlet(d, n, [3] * n)),
    "pitman_yor": (
        smoothing("pitman_yor", discount=0.6, concentration=1.5, tune=False),
        lambda d, n: twin.pitman_yor(d, n, [0.6] * n, [1.5] * n),
    ),
    "given discount": (
        smoothing("kneser_ney", discount=0.1, tune=False),
        lambda d, n: twin.discounted(
            twin.continuation_tables(d, n), 1 / twin.vocab_size(d), dict.fromkeys(range(1, n + 1), (0.1, 0.1, 0.1))
        ),
    ),
    "like kenlm": (
        smoothing("modified_kneser_ney", base="kenlm", tune=False),
        lambda d, n: twin.modified_kneser_ney_of_kenlm(d, n, as_counted_by_lmplz=True),
    ),
    "stupid_backoff": (smoothing("stupid_backoff", alpha=0.4), twin.stupid_backoff),
}
# KenLM keeps a probability for <unk>, and the scores of stupid back-off are no probabilities: rows do not sum to 1
SHORT = {"like kenlm", "stupid_backoff"}
