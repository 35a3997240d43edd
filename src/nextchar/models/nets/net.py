"""What all nets share: the notes' and makemore's `forward`, and how a net becomes a LanguageModel."""

from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextchar.config.fields import Settings
from nextchar.data.vocabulary import Ids, Vocabulary
from nextchar.models.base import Floats, LanguageModel, Tensors, TensorSpec


class Net(nn.Module, ABC):
    """An architecture: it writes `logits` and says how far it sees; loss and the rest come from here."""

    @abstractmethod
    def __init__(self, settings: Any, vocab_size: int, generator: torch.Generator | None) -> None:
        """Draws the first weights from `generator`."""
        super().__init__()

    @abstractmethod
    def logits(self, idx: Tensor) -> Tensor:
        """(B, T) int64 ids -> (B, T, V): the logits of the character after each."""

    @abstractmethod
    def get_block_size(self) -> int:
        """How many ids a prediction sees at most."""

    def forward(
        self, idx: Tensor, targets: Tensor | None = None, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T) ids -> logits (B, T, V) and, where targets are given, the mean cross-entropy in nats.

        targets (B, T) int64: the next ids, -1 ignored; `weights` (B, T) weighs them. Or targets (B, T, V) float: the
        share of each possible next id among all pairs, summing to 1, for equal contexts merged into one; the loss
        is then computed in the precision of the shares.
        """
        logits = self.logits(idx)
        if targets is None:
            return logits, None
        if targets.is_floating_point():
            log_probs = F.log_softmax(logits, dim=-1, dtype=targets.dtype)
            return logits, -torch.dot(targets.flatten(), log_probs.flatten())
        flat, wanted = logits.flatten(0, 1), targets.flatten()
        if weights is None:
            return logits, F.cross_entropy(flat, wanted, ignore_index=-1)
        nll = F.cross_entropy(flat, wanted, ignore_index=-1, reduction="none")
        seen = weights.flatten() * (wanted != -1)
        return logits, (nll * seen).sum() / seen.sum()


class NetModel(LanguageModel):
    """Any net as a LanguageModel; probabilities are normalised in float64 whatever the net computes in."""

    def __init__(self, vocabulary: Vocabulary, net: Net) -> None:
        self.vocabulary, self.net, self.context = vocabulary, net, net.get_block_size()

    @torch.inference_mode()
    def log_probs(self, contexts: Ids) -> Floats:
        logits, _ = self.net(torch.from_numpy(contexts))
        normalized: Floats = F.log_softmax(logits[:, -1].double(), dim=-1).numpy()
        return normalized

    def tensors(self) -> Tensors:
        return {name: tensor.detach().numpy() for name, tensor in self.net.state_dict().items()}


def build(settings: Settings, vocab_size: int, precision: int, seed: int) -> Net:
    """The net that the settings of a model name, its first weights drawn from `seed`; precision in bits, 32 or 64."""
    return _architecture(settings)(settings, vocab_size, torch.Generator().manual_seed(seed)).to(_DTYPES[precision])


def spec(settings: Settings, vocab_size: int, precision: int) -> dict[str, TensorSpec]:
    """The tensors of that net, without the memory they would take."""
    with torch.device("meta"):
        net = _architecture(settings)(settings, vocab_size, None)
    return {name: (f"float{precision}", tuple(tensor.shape)) for name, tensor in net.state_dict().items()}


def restore(settings: Settings, vocabulary: Vocabulary, tensors: Tensors) -> NetModel:
    """A net of these weights, as a LanguageModel."""
    with torch.device("meta"):
        net = _architecture(settings)(settings, len(vocabulary), None)
    net.load_state_dict({name: torch.from_numpy(tensor.copy()) for name, tensor in tensors.items()}, assign=True)
    return NetModel(vocabulary, net)


_DTYPES = {32: torch.float32, 64: torch.float64}


def _architecture(settings: Settings) -> type[Net]:
    module, name = settings.net.split(":")  # type: ignore[attr-defined]  # the settings of every net name its class
    architecture: type[Net] = getattr(import_module(f"nextchar.models.nets.{module}"), name)
    return architecture
