"""The files of a fitted model in its run folder: weights, test losses, samples, pictures; the same on TensorBoard."""

from typing import TYPE_CHECKING

import safetensors.numpy

from nextchar.config.train_settings import TrainSettings
from nextchar.data.load import Dataset
from nextchar.evaluation import by_order as orders
from nextchar.evaluation import sampling
from nextchar.evaluation.loss import Loss
from nextchar.messages import printable
from nextchar.models.base import LanguageModel
from nextchar.plots.model_pictures import BREAKDOWN_CHARS, picture_of_orders, pictures
from nextchar.runs.folder import WEIGHTS, RunFolder
from nextchar.runs.record import LOSSES, MOST_UNITS, SAMPLES, losses_file
from nextchar.training.progress import Result
from nextchar.training.strategies import Fitted

if TYPE_CHECKING:
    from nextchar.training.tensorboard import TensorBoardWriter

SAMPLED = 10  # documents, or passages of a running text
SAMPLE_CHARS = {False: 1000, True: 100}  # at most, of a document, of a running text


def sample(model: LanguageModel, settings: TrainSettings) -> list[str]:
    """Samples, each time drawn with the same random numbers, so that they differ only as far as the model does."""
    return list(sampling.sample(model, SAMPLED, settings.seed, max_chars=SAMPLE_CHARS[settings.data.is_text]))


def write(
    folder: RunFolder, board: "TensorBoardWriter", dataset: Dataset, fitted: Fitted, result: Result, tested: Loss
) -> None:
    """Writes the files and closes the board. The curves over orders go into run.json too."""
    folder.write(WEIGHTS, safetensors.numpy.save(fitted.model.tensors()))
    if len(tested.nll) <= MOST_UNITS:
        folder.write(LOSSES, losses_file(tested))
    folder.write(SAMPLES, ("\n".join(map(printable, result.samples)) + "\n").encode())
    values = {key: value for key, value in result.metrics.items() if not key.endswith(("low", "high"))}
    board.scalars(values, fitted.step)
    board.samples(result.samples, fitted.step)
    by_order = _by_order(fitted, dataset)
    if by_order is not None:
        board.curves_by_order(by_order.curves())
        folder.facts.curves |= {tag: list(enumerate(loss.tolist(), 1)) for tag, loss in by_order.losses().items()}
    if folder.settings.figures:
        _write_pictures(folder, board, dataset, fitted, by_order)
    board.close()


def _write_pictures(
    folder: RunFolder, board: "TensorBoardWriter", dataset: Dataset, fitted: Fitted, by_order: orders.OrderReport | None
) -> None:
    from nextchar.plots.drawing import png

    train, opening = dataset.splits["train"], dataset.splits["test"].opening(BREAKDOWN_CHARS + 1)
    drawn = list(pictures(fitted.model, fitted.counting.pairs, train, opening))
    if by_order is not None and by_order.highest > 2:  # a curve over two orders shows nothing
        drawn.append(("orders", picture_of_orders(by_order, fitted.model)))
    for name, picture in drawn:
        file = png(picture)  # compressed once for both: a large one takes 0.1 s
        folder.write(f"figures/{name}.png", file)
        board.image(name, file, picture.shape, fitted.step)


def _by_order(fitted: Fitted, dataset: Dataset) -> orders.OrderReport | None:
    """The loss of each order of an n-gram model on each split; None for other models."""
    model, windows = fitted.model, fitted.counting.train
    if not orders.has_orders(model):
        return None
    measured: dict[int, orders.OrderMetrics] = {}  # split=all is one split under three names
    for name, split in dataset.splits.items():
        if id(split) not in measured:
            is_counted = name == "train" and windows.order == model.context + 1
            counted = windows if is_counted else orders.count_for(model, split.blocks(model.context))
            measured[id(split)] = orders.measure_orders(model, counted)
    by_split = {name: measured[id(split)] for name, split in dataset.splits.items()}
    return orders.OrderReport(by_split, fitted.parameters, fitted.counting.counts_of_counts)
