"""The files of a fitted model in its run folder: weights, test losses, samples, pictures; the same on TensorBoard."""

from typing import TYPE_CHECKING

import numpy as np
import safetensors.numpy

from nextchar.config.train_settings import TrainSettings
from nextchar.data.load import Dataset
from nextchar.evaluation import sampling
from nextchar.evaluation.by_order import order_report
from nextchar.evaluation.loss import Loss
from nextchar.messages import printable
from nextchar.models.base import LanguageModel
from nextchar.plots.model_pictures import BREAKDOWN_CHARS, picture_of_embeddings, picture_of_orders, pictures
from nextchar.runs.folder import RunFolder
from nextchar.runs.record import LOSSES, MOST_UNITS, SAMPLES, WEIGHTS
from nextchar.training.progress import Result
from nextchar.training.strategies import Fitted
from nextchar.training.tensorboard import TensorBoardWriter

if TYPE_CHECKING:  # Pillow takes time to import
    from nextchar.plots.drawing import Picture

SAMPLED = 10  # documents, or passages of a running text
SAMPLE_CHARS = {False: 1000, True: 100}  # at most, of a document, of a running text


def sample(model: LanguageModel, settings: TrainSettings) -> list[str]:
    """Samples, each time drawn with the same random numbers, so that they differ only as far as the model does."""
    return list(sampling.sample(model, SAMPLED, settings.seed, max_chars=SAMPLE_CHARS[settings.data.is_text]))


def write(
    folder: RunFolder, board: TensorBoardWriter, dataset: Dataset, fitted: Fitted, result: Result, tested: Loss
) -> None:
    """Writes the files and closes the board. The curves over orders go into run.json too."""
    folder.write(WEIGHTS, safetensors.numpy.save(fitted.model.tensors()))
    if len(tested.nll) <= MOST_UNITS:
        losses = {"nll": tested.nll.astype(np.float32), "chars": tested.chars.astype(np.uint32)}  # (D,) each
        folder.write(LOSSES, safetensors.numpy.save(losses))
    folder.write(SAMPLES, ("\n".join(map(printable, result.samples)) + "\n").encode())
    values = {key: value for key, value in result.metrics.items() if not key.endswith(("low", "high"))}
    board.scalars(values, fitted.step)
    board.samples(result.samples, fitted.step)
    is_counted = fitted.counting.model is fitted.model  # a net has no orders
    by_order = order_report(dataset.splits, fitted.counting) if is_counted else None
    if by_order is not None:
        for tag, curve in by_order.curves().items():
            for order, value in enumerate(curve.tolist(), 1):
                board.scalars({tag: value}, order)  # the order takes the place of the step
        folder.facts.curves |= {tag: list(enumerate(loss.tolist(), 1)) for tag, loss in by_order.losses().items()}
    if folder.settings.figures:
        from nextchar.plots.drawing import png

        train, opening = dataset.splits["train"], dataset.splits["test"].opening(BREAKDOWN_CHARS + 1)
        drawn = list(pictures(fitted.model, fitted.counting.pairs, train, opening))
        if by_order is not None and len(by_order.metrics["train"].loss) > 2:  # a curve over two orders shows nothing
            drawn.append(("orders", picture_of_orders(by_order, fitted.model)))
        if not is_counted:
            drawn += _pictures_of_net(folder, dataset, fitted)
        for name, picture in drawn:
            file = png(picture)  # compressed once for both: a large one takes 0.1 s
            folder.write(f"figures/{name}.png", file)
            board.image(name, file, picture.shape, fitted.step)
    board.close()


def _pictures_of_net(folder: RunFolder, dataset: Dataset, fitted: Fitted) -> list[tuple[str, "Picture"]]:
    """Draws the losses of a net over its steps and the embeddings of the characters, if it has any."""
    from nextchar.plots.charts import loss_chart  # imports matplotlib

    settings = folder.settings
    of_batch = "" if settings.data.batch_size == "all" else "; train/loss is that of one batch"
    aside, title = f"nats per character, lower is better{of_batch}", f"Loss of model={settings.model.name} in training"
    drawn = [("loss", loss_chart(folder.facts.curves, title, aside, fitted.optimum))]
    vectors = fitted.model.tensors().get("wte.weight")  # (V, n_embd)
    if vectors is not None:
        drawn.append(("embeddings", picture_of_embeddings(vectors, dataset.vocabulary.symbols, fitted.counting.pairs)))
    return drawn
