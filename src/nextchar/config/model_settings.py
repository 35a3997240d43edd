"""Settings of the models, and what goes with each. A new model: its class here, its name in Model."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from nextchar.config.fields import FilePath, Positive, Settings
from nextchar.config.smoothing_settings import methods_for
from nextchar.config.trainer_settings import Ddp
from nextchar.messages import one_of, shown


class ModelSettings(Settings):
    """Base of the settings of a model."""

    name: str

    net: ClassVar[str | None] = None  # MODULE:CLASS in nextchar.models.nets; None: the model is counted
    smoothings: ClassVar[tuple[str, ...]] = ()

    def refusals_in(self, run: Any) -> Iterator[str]:
        model, smoothing = f"model={self.name}", run.smoothing
        if smoothing and not self.smoothings:
            yield f"smoothing has no effect with {model}, whose file holds smoothed probabilities"
        if smoothing is None and self.smoothings:
            yield f"smoothing is missing: {model} takes {one_of(self.smoothings)}"
        if smoothing and smoothing.name not in self.smoothings:
            yield f"smoothing={smoothing.name} does not work with {model}, which takes {one_of(self.smoothings)}"
        if self.net:
            if smoothing.needs_val:
                yield f"smoothing.tune=true has no effect with {model}, which is not counted; set smoothing.k"
            for group in ("optim", "trainer"):
                if getattr(run, group) is None:
                    yield f"{group} is missing: {model} is trained by gradient descent"
            if run.cluster.address is not None:
                yield f"cluster.address has no effect with {model}, which is not counted; see trainer=ddp"
            return
        for group in ("optim", "trainer"):
            if getattr(run, group) is not None:
                yield f"{group} has no effect with {model}, which is counted; use model=nn"
        for key, default in (("batch_size", "all"), ("merge", True)):
            if (value := getattr(run.data, key)) != default:
                yield f"data.{key}={shown(value)} has no effect with {model}, which counts every pair once"


class Count(ModelSettings):
    name: Literal["count"]
    order: Annotated[int, Field(ge=1, le=64)] = Field(
        description="length of the n-grams: 1 unigrams, 2 bigrams; the context of a character is order - 1 characters"
    )
    prune: list[Annotated[int, Field(ge=0)]] = Field(
        description="prune n-grams that occur at most this often, by order, as in [0,0,1]; the last number holds for "
        "all higher orders"
    )
    prune_entropy: Annotated[float, Field(gt=0)] | None = Field(
        description="prune n-grams without which the perplexity changes by less than this share, as 1e-7"
    )

    smoothings = methods_for("counts")

    def refusals(self) -> Iterator[str]:
        if self.prune and (self.prune[0] or self.prune != sorted(self.prune)):
            yield f"model.prune={self.prune}: must start with 0 and never decrease, as in [0,0,1]"

    def refusals_in(self, run: Any) -> Iterator[str]:
        yield from super().refusals_in(run)
        pruned = {"prune": any(self.prune), "prune_entropy": self.prune_entropy is not None}
        for key in [key for key, is_set in pruned.items() if is_set and not run.smoothing.prunable]:
            yield (
                f"model.{key}={shown(getattr(self, key))}: smoothing={run.smoothing.name} gives pruned n-grams no "
                "probability from the lower orders; choose modified_kneser_ney or another method that does"
            )

    def threshold(self, order: int) -> int:
        """Returns the count up to which n-grams of an order are pruned."""
        return self.prune[min(order, len(self.prune)) - 1] if self.prune else 0


class NN(ModelSettings):
    name: Literal["nn"]
    init: Literal["normal", "zeros"] = Field(description="initial logits: standard normal, or all 0")

    net = "bigram:Bigram"
    smoothings = methods_for("nets")


class DeepNet(ModelSettings):
    """Base of the settings of the nets that read more than one character."""

    block_size: Positive = Field(description="most characters from which the next one is predicted")
    n_embd: Positive = Field(description="size of a character's embedding")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(description="share of the activations that a step drops")

    smoothings = ("none", "l2")


class MLP(DeepNet):
    name: Literal["mlp"]
    n_hidden: Positive = Field(description="units of the hidden layer")

    net = "mlp:MLP"


class AnyRecurrent(DeepNet):
    """Base of the settings of the recurrent nets."""

    n_hidden: Positive = Field(description="units of a layer")
    n_layer: Positive = Field(description="layers")

    net = "recurrent:Recurrent"


class RNN(AnyRecurrent):
    name: Literal["rnn"]


class GRU(AnyRecurrent):
    name: Literal["gru"]


class LSTM(AnyRecurrent):
    name: Literal["lstm"]


class WaveNet(DeepNet):
    name: Literal["wavenet"]
    n_hidden: Positive = Field(description="units of a layer")

    net = "wavenet:WaveNet"

    @property
    def n_layer(self) -> int:
        return self.block_size.bit_length() - 1

    def refusals(self) -> Iterator[str]:
        if self.block_size < 2 or self.block_size.bit_count() > 1:
            yield f"model.block_size={self.block_size}: must be 2, 4, 8 or another power of 2; each layer halves it"

    def refusals_in(self, run: Any) -> Iterator[str]:
        yield from super().refusals_in(run)
        if isinstance(run.trainer, Ddp):
            yield "trainer=ddp does not work with model=wavenet: its batch norm needs the whole batch; use trainer=cpu"


class AnyTransformer(DeepNet):
    """Base of the settings of the nets of attention."""

    n_head: Positive = Field(description="attention heads of a layer; must divide model.n_embd")
    n_layer: Positive = Field(description="layers")

    def refusals(self) -> Iterator[str]:
        if self.n_embd % self.n_head:
            yield f"model.n_head={self.n_head}: must divide model.n_embd={self.n_embd}"


class Transformer(AnyTransformer):
    name: Literal["transformer"]

    net = "transformer:Transformer"


class GPT2(AnyTransformer):
    name: Literal["gpt2"]

    net = "gpt2:GPT2"


class Arpa(ModelSettings):
    name: Literal["arpa"]
    path: FilePath = Field(description="the ARPA file, of another program's model or of ours; plain or .gz")


AnyNet = NN | MLP | RNN | GRU | LSTM | WaveNet | Transformer | GPT2
Model = Annotated[Count | AnyNet | Arpa, Field(discriminator="name")]
