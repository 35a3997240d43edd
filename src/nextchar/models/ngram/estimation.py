"""From settings and counts to a smoothing method with its parameters."""

from nextchar.config.smoothing_settings import SmoothingSettings
from nextchar.errors import BadInput
from nextchar.models.ngram import jelinek_mercer, katz, kneser_ney, smoothing
from nextchar.models.ngram.counts import CountTable, TrainCounts
from nextchar.models.ngram.smoothing import METHODS, HeldOut, Smoothing

BUILT_IN = (smoothing, jelinek_mercer, kneser_ney, katz)  # importing a module registers its methods


def method_of(settings: SmoothingSettings) -> type[Smoothing]:
    """Returns the class of the method that the settings choose."""
    return METHODS[type(settings)]


def estimate(settings: SmoothingSettings, counts: TrainCounts, val: CountTable | None) -> Smoothing:
    """Returns the method that the settings choose, with parameters estimated from train or fitted on val.

    `val`: its distinct n-grams of the highest order. Raises BadInput if val is needed and missing.
    """
    method = method_of(settings)
    estimated = method(settings, method.estimate(settings, counts))
    if not settings.needs_val:
        return estimated
    if val is None:
        raise BadInput(f"smoothing={settings.name} is fitted on val, and this split has none; set data.val=1000")
    return estimated.fit(HeldOut.of(val, method.tables(counts)))
