"""The bigram net as users of Lightning write it: automatic optimisation, self.log, one step a batch.

python docs/lightning_bigram.py optim.lr=15 reaches the val/loss of python scripts/train.py model=nn optim.lr=15. Of the
settings it takes data's, seed, optim.lr, trainer.max_steps and trainer.log_every; the others have no effect.
"""

import sys

import lightning as L
import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from nextchar.config.compose import run_settings
from nextchar.data.load import load


class Bigram(L.LightningModule):
    def __init__(self, vocab_size: int, lr: float, seed: int) -> None:
        super().__init__()
        self.lr = lr
        self.W = torch.nn.Parameter(torch.randn((vocab_size, vocab_size), generator=Generator().manual_seed(seed)))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self.W[batch[0]], batch[1])  # (N, V) logits, (N,) next ids
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val/loss", F.cross_entropy(self.W[batch[0]], batch[1]), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), self.lr)


if __name__ == "__main__":
    settings = run_settings(["model=nn", *sys.argv[1:]])
    data = load(settings.data)
    streams = {name: torch.from_numpy(split.stream.astype("int64")) for name, split in data.splits.items()}
    train, val = (DataLoader([(ids[:-1], ids[1:])], batch_size=None) for ids in (streams["train"], streams["val"]))
    trainer = L.Trainer(
        max_epochs=settings.trainer.max_steps,  # an epoch is one step on all pairs
        check_val_every_n_epoch=settings.trainer.log_every,
        accelerator="cpu",
        default_root_dir="outputs",
    )
    net = Bigram(len(data.vocabulary), settings.optim.lr, settings.seed)
    trainer.fit(net, train, val)
    print(f"val/loss {trainer.validate(net, val, verbose=False)[0]['val/loss']:.6f}")
