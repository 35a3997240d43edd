"""The base class of all nets, with the notes' and makemore's `forward`, and a net as a LanguageModel."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nextchar.config.fields import Settings
from nextchar.data.vocabulary import BOUNDARY, Ids, Stream, Vocabulary
from nextchar.models.base import Floats, LanguageModel, Mask, State, Tensors, TensorSpec

IDS_AT_ONCE = 1 << 16  # that `score` reads in one pass; bounds the (ids, V) array of logits


class Net(nn.Module, ABC):
    """An architecture. A subclass writes `logits` and says how much it reads; the loss and batches follow from that.

    reads = "windows": it predicts one id from the `get_block_size()` ids before it, padded on the left with the
    boundary 0 at the start of a document: logits (B, T) -> (B, 1, V).
    reads = "sequences": it predicts after every id of a document, which begins with its boundary, from at most
    `get_block_size()` ids up to there: logits (B, T) -> (B, T, V). T varies; shorter rows are padded on the right.
    """

    reads: ClassVar[Literal["windows", "sequences"]] = "windows"

    @abstractmethod
    def __init__(self, settings: Any, vocab_size: int, generator: torch.Generator | None) -> None:
        """Draws the first weights from `generator`, or by torch's modules from its global stream, seeded alike."""
        super().__init__()

    @abstractmethod
    def logits(self, idx: Tensor) -> Tensor:
        """(B, T) int64 ids -> (B, 1, V) or (B, T, V), see the class: the logits of the next id."""

    @abstractmethod
    def get_block_size(self) -> int:
        """Returns the number of ids, the last ones, from which the next id is predicted."""

    def step(self, idx: Tensor, past: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        """(B, T) the next ids of documents -> logits (B, T, V), and all that it keeps of the documents up to there.

        For nets that read sequences. `past`: tensors that it returned for the ids before, B their first dimension;
        none before the first id. T is 1 if there are any. The default reads all ids again.
        """
        read = torch.cat([*past, idx], dim=1)  # (B, T)
        return self.logits(read), [read]

    def put_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Takes these tensors, of all its names, as its weights."""
        state = self.state_dict()  # knows of which version the names of each layer are
        state.update(weights)
        self.load_state_dict(state, assign=True)

    def forward(
        self, idx: Tensor, targets: Tensor | None = None, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(B, T) ids -> logits and, if there are targets, the mean cross-entropy in nats.

        targets int64, of the shape of the logits without V: the next ids, -1 ignored; `weights` of that shape, or
        (B, 1), weighs them. Or targets (B, T, V) float, for equal contexts merged into one row: the share of each
        possible next id among all pairs, summing to 1; the loss is then computed in the precision of the shares.
        """
        logits = self.logits(idx)
        if targets is None:
            return logits, None
        if targets.is_floating_point():
            log_probs = F.log_softmax(logits, dim=-1, dtype=targets.dtype)  # (B, T, V)
            return logits, -torch.dot(targets.flatten(), log_probs.flatten())
        flat = logits.flatten(0, 1)  # (B * T, V)
        if weights is None:
            return logits, F.cross_entropy(flat, targets.flatten(), ignore_index=-1)
        nll = F.cross_entropy(flat, targets.flatten(), ignore_index=-1, reduction="none")
        counted = (weights * (targets != -1)).flatten()  # (B * T,): padding weighs nothing
        return logits, (nll * counted).sum() / counted.sum()


class NetModel(LanguageModel):
    """Any net as a LanguageModel; probabilities are normalised in float64, whatever precision the net computes in."""

    def __init__(self, vocabulary: Vocabulary, net: Net) -> None:
        self.vocabulary, self.net, self.context = vocabulary, net.eval(), net.get_block_size()

    @torch.inference_mode()
    def log_probs(self, contexts: Ids) -> Floats:
        idx = torch.from_numpy(contexts)
        if self.net.reads == "windows":
            return self._normalized(idx)[:, -1]
        # a sequence begins with one boundary; those before it are padding
        padding = np.maximum(np.argmax(contexts != BOUNDARY, axis=1) - 1, 0)
        padding[(contexts == BOUNDARY).all(axis=1)] = self.context - 1
        log_probs = np.empty((len(contexts), len(self.vocabulary)))
        for n in np.unique(padding):
            rows = padding == n
            log_probs[rows] = self._normalized(idx[torch.from_numpy(rows), n:])[:, -1]
        return log_probs

    @torch.inference_mode()
    def score(self, stream: Stream) -> Floats:
        """As for all models; a net that reads sequences scores many ids in one pass.

        It reads a document longer than its block size T in pieces of T ids that overlap by half, so that each id is
        predicted from at least T / 2 ids; `log_probs` always reads T.
        """
        if self.net.reads == "windows":
            return super().score(stream)
        ids, scores = torch.from_numpy(stream.astype(np.int64)), np.empty(len(stream) - 1)
        pieces = cut(stream, 1, self.context, overlap=self.context // 2)
        for xs, ys, places in pieces.batches(ids, IDS_AT_ONCE):
            predicted = ys != -1
            log_probs = self._normalized(xs)[predicted.numpy()]
            scores[places[predicted].numpy()] = log_probs[np.arange(len(log_probs)), ys[predicted].numpy()]
        return scores

    def new_state(self, rows: int) -> State | None:
        return NetState(self.net, rows) if self.net.reads == "sequences" else None

    def _normalized(self, idx: Tensor) -> Floats:
        return _normalize(self.net.logits(idx))

    def tensors(self) -> Tensors:
        return {name: tensor.detach().numpy() for name, tensor in self.net.state_dict().items()}


def _normalize(logits: Tensor) -> Floats:
    log_probs: Floats = F.log_softmax(logits.double(), dim=-1).numpy()
    return log_probs


class NetState(State):
    """The state of a net that reads sequences: hidden states of its cells, or keys and values of its attention.

    A document longer than the block size T is predicted from its last T ids, read anew each time: the ids that leave
    the block are in the state, and cannot be taken out of it.
    """

    def __init__(self, net: Net, rows: int) -> None:
        self.net, self.past = net, list[Tensor]()
        self.ids = torch.zeros((rows, 0), dtype=torch.int64)

    @torch.inference_mode()
    def read(self, ids: Ids) -> Floats:
        new, block_size = torch.from_numpy(ids), self.net.get_block_size()
        self.ids = torch.cat([self.ids, new], dim=1)
        if self.ids.shape[1] > block_size:
            self.past = []
            return _normalize(self.net.logits(self.ids[:, -block_size:])[:, -1])
        logits, past = self.net.step(new, self.past)
        self.past = list(past)
        return _normalize(logits[:, -1])

    def keep(self, rows: Mask) -> None:
        if not rows.all():
            chosen = torch.from_numpy(np.flatnonzero(rows))
            self.ids = self.ids.index_select(0, chosen)
            self.past = [tensor.index_select(0, chosen) for tensor in self.past]


class Pieces(NamedTuple):
    """Documents, or pieces of longer ones, as places in a stream of ids, (P,) each."""

    start: Ids  # the first id that is read
    length: Ids  # how many are read
    first: Ids  # how many of these, at the beginning, are only context

    def rows(self, ids: Tensor, numbers: Ids) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T) ids, padded on the right with 0; (B, T) the next ids, -1 where none is predicted; places of these."""
        start, length, first = (torch.from_numpy(each[numbers])[:, None] for each in self)
        at = torch.arange(int(length.max()))
        places = (start + at).clamp(max=len(ids) - 2)
        xs = ids[places].where(at < length, BOUNDARY)
        return xs, ids[places + 1].where((at >= first) & (at < length), -1), places

    def batches(self, ids: Tensor, at_once: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """`rows` of all pieces, the shortest first, at most so many ids at once."""
        order = np.argsort(self.length, kind="stable")
        rows = np.maximum(at_once // max(1, int(self.length.max(initial=1))), 1)
        return [self.rows(ids, order[start : start + rows]) for start in range(0, len(order), rows)]


def cut(stream: Stream, n_context: int, block_size: int, overlap: int) -> Pieces:
    """Cuts a stream into its documents, and documents of more than `block_size` ids into pieces that overlap.

    The first `n_context` ids of the stream are context only. Each later id is predicted in one piece.
    """
    start = np.union1d([0], np.flatnonzero(stream[:-1] == BOUNDARY))
    end = np.append(start[1:], len(stream) - 1)
    stride = block_size - overlap
    pieces = 1 + np.maximum(-(-(end - start - block_size) // stride), 0)
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)  # within its document
    start, end = np.repeat(start, pieces) + number * stride, np.repeat(end, pieces)
    length = np.minimum(end - start, block_size)
    first = np.maximum(np.where(number > 0, overlap, 0), n_context - 1 - start)
    return Pieces(*(each[first < length] for each in (start, length, first)))


def build(settings: Settings, vocab_size: int, precision: int, seed: int | None) -> Net:
    """Returns the net of a model's settings, its first weights drawn from `seed`; precision: 32 or 64 bits.

    Without a seed it is on torch's meta device, where weights have shapes and types but take no memory.
    """
    module, name = settings.net.split(":")  # type: ignore[attr-defined]  # the settings of every net name its class
    architecture: type[Net] = getattr(import_module(f"nextchar.models.nets.{module}"), name)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.device("meta" if seed is None else "cpu"):
        torch.manual_seed(seed or 0)
        return architecture(settings, vocab_size, generator).to(getattr(torch, f"float{precision}"))


def spec(settings: Settings, vocab_size: int, precision: int) -> dict[str, TensorSpec]:
    """Returns the dtypes and shapes of that net's weights."""
    weights = build(settings, vocab_size, precision, None).state_dict()
    return {name: (f"float{precision}", tuple(tensor.shape)) for name, tensor in weights.items()}


def restore(settings: Settings, vocabulary: Vocabulary, tensors: Tensors) -> NetModel:
    """Returns a net with these weights, of their precision, as a LanguageModel."""
    net = build(settings, len(vocabulary), 32, None)
    net.put_weights({name: torch.from_numpy(tensor.copy()) for name, tensor in tensors.items()})
    return NetModel(vocabulary, net)
