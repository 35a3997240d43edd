"""The LightningDataModule of a run. A Lightning batch is a chunk of steps, because a Trainer step costs half a ms."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import lightning as L
import torch

from nextchar.training.batches import Batch, Batches

LONGEST_CHUNK = 1000  # steps: between two chunks there is time for a checkpoint, a signal, the progress bar


@dataclass
class Chunk:
    """The batches of successive steps from `step` on, and the weights of their losses: one batch to Lightning.

    `is_log_point`: the losses of the first of them, and those of val before it, are points of the curves.
    """

    step: int
    batches: list[Batch]
    weights: list[float]
    is_log_point: bool


class NextCharDataModule(L.LightningDataModule):
    """Chunks of train, each of the steps up to the next log point; in DDP the share of one process. Val in blocks."""

    def __init__(self, batches: Batches, steps: range, log_every: int, rank: int = 0, world: int = 1) -> None:
        super().__init__()
        self.batches, self.steps, self.log_every = batches, steps, log_every
        self.rank, self.world = rank, world
        self._all = batches.batch(0).share(rank, world) if batches.settings.batch_size == "all" else None

    def train_dataloader(self) -> "Loader":
        return Loader(self.chunks)

    def val_dataloader(self) -> "Loader":
        return Loader(lambda: iter(self.batches.val))

    def chunks(self) -> Iterator[Chunk]:
        """The chunks of the run; one begins at every multiple of `log_every`, and after 1,000 steps."""
        first, every = self.steps.start, self.log_every
        while first < self.steps.stop:
            end = min((first // every + 1) * every, first + LONGEST_CHUNK, self.steps.stop)
            shares = (self._all or self.batches.batch(step).share(self.rank, self.world) for step in range(first, end))
            batches, weights = zip(*shares, strict=True)
            yield Chunk(first, list(batches), list(weights), first % every == 0)
            first = end

    def transfer_batch_to_device(self, batch: Chunk, device: torch.device, dataloader_idx: int) -> Chunk:
        return batch  # it is where the net is; Lightning would walk through every tensor of the chunk


@dataclass
class Loader:
    """An iterable that Lightning takes for one dataloader."""

    make: Callable[[], Iterator[object]]

    def __iter__(self) -> Iterator[object]:
        return self.make()
