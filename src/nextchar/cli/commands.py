"""The commands: the settings of each, and what --help says of it. Its module is nextchar.cli.NAME_command."""

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nextchar.config.fields import Settings


class Entry(NamedTuple):
    settings: str  # its class in nextchar.config
    about: str
    operands: str = ""  # words without a key, as --help names them


COMMANDS = {
    "train": Entry(
        "train_settings:TrainCommand",
        "Trains a model (model=nn optim.lr=15), or sweeps over several (-m smoothing.k=0.01,0.1,1,10).",
    ),
    "evaluate": Entry(
        "command_settings:EvaluateSettings", "Computes the loss of a finished run, on its own data or on another text."
    ),
    "sample": Entry("command_settings:SampleSettings", "Samples documents from a trained model, one per line."),
    "explain": Entry(
        "command_settings:ExplainSettings",
        "Explains how a model reads a document: the probability of each character, and the most probable ones.",
    ),
    "export": Entry("command_settings:ExportSettings", "Writes a counted model as a file for other programs (ARPA)."),
    "compare": Entry(
        "command_settings:CompareSettings",
        "Ranks finished runs by their test loss, and says which differences are significant. DIR is a run folder, or "
        "a folder with run folders at most two levels below, such as a sweep or outputs/ (the default). No code in "
        "them is run. Runs that differ in their seed only are one row. Two runs differ if their paired difference "
        "does, whose interval is far narrower than those of the losses. Writes compare.csv, compare.md, compare.png "
        "and compare.html, a page that needs no network.",
        "[DIR ...]",
    ),
    "bench": Entry(
        "command_settings:BenchSettings",
        "Measures speed as ratios to plain scripts and other libraries. Takes eight minutes, or less with only=scale.",
    ),
}


def settings_class(name: str) -> "type[Settings]":
    """Returns the settings of a command; nothing else is imported for it."""
    module, _, cls = COMMANDS[name].settings.partition(":")
    found: type[Settings] = getattr(import_module(f"nextchar.config.{module}"), cls)
    return found
