"""Memory that a training takes of one device at its peak, by part, from the model's shape. Pure.

Every part is counted, not fitted: weights and states from the parameters, activations from what autograd keeps of a
Llama layer (tests/unit/plan/test_counts.py counts it again). Only what allocators add is measured: ``PROGRAM`` and
``HOLES``. Checked against measured peaks in benchmarks/results/memory.md.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from infra.digest import Record
from tasks.phases import METHODS, Phase

# interpreter and libraries of the training program; on an accelerator its context, and a share of it the driver keeps
PROGRAM = {False: 0.50e9, True: 0.9e9}
# the C library's allocator keeps holes among tensors of many sizes; PyTorch's on accelerators hardly does
HOLES = {False: 1.68, True: 1.1}
# a CPU keeps keys and values of every branch behind its own copy of the prefix, for all heads
BRANCH_COPIES = 1.45
TEMPLATE_TOKENS = 32  # roles and turn marks of a chat template, about; data's bounds count the words
ROOM = 8192  # tokens whose keys and values are held at once while answers are sampled (tasks.lm.generate.TOKENS)


class Shape(Record):
    """A decoder's sizes, from its configuration and weight files."""

    parameters: int
    hidden: int
    intermediate: int
    layers: int
    query_width: int  # attention heads × width of one
    key_width: int  # key-value heads × width of one
    vocabulary: int

    @property
    def layer_parameters(self) -> int:
        """Of one layer's linear maps."""
        attention = 2 * self.hidden * (self.query_width + self.key_width)
        return attention + 3 * self.hidden * self.intermediate


class Memory(Record):
    """Bytes of one device at the peak, by part.

    Attributes:
        weights: of all models that are trained, with the copies in bf16 that autocast makes of fp32 ones.
        gradients: of what is trained, and the LM head's in the making. Where a step goes through at once, they take the
            room that activations leave as the backward pass goes: then only what they need beyond it. With DDP twice.
        optimizer: Adam's two moments.
        reference: frozen models beside the trained ones: reference, and reward model in PPO.
        activations: what the backward pass keeps of the tokens that go through at once.
        logits: where a method's loss keeps them.
        kv: keys and values of answers that are being sampled.
        overhead: the program itself, and holes that the allocator leaves among the activations.
    """

    weights: int
    gradients: int
    optimizer: int
    reference: int
    activations: int
    logits: int
    kv: int
    overhead: int

    @property
    def total(self) -> int:
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in type(self).model_fields}

    @property
    def largest(self) -> str:
        """The part that takes most; of equal ones, the first."""
        parts = self.parts()
        return max(parts, key=lambda name: parts[name])


class Place(NamedTuple):
    """Where and how a phase runs, as far as its memory goes."""

    accelerator: bool
    sharing: int = 1  # processes that share weights, gradients and optimizer (FSDP2)
    prompts: int = 1  # how often a pair's prompt goes through the model: twice where nothing is packed
    ddp: bool = False  # several processes that hold all of it each: PyTorch's DDP sends gradients from a copy of them


class Models(NamedTuple):
    """What a method holds beside the model it trains.

    Attributes:
        reference: a frozen copy (else its log-probabilities are cached, or the adapter is switched off for them).
        reward: a frozen reward model of the same shape.
        value: a value model of the same shape, trained as the policy is; both losses in one backward pass.
        sampled: tokens whose keys and values are held at once while answers are sampled. They count beside the
            training's activations: an engine that samples in the same process keeps its room.
        bf16: weights, gradients and moments of a fully trained model in bf16. Ours are fp32; TRL trains so where a
            model is loaded in bf16.
    """

    reference: bool = False
    reward: bool = False
    value: bool = False
    sampled: int = 0
    bf16: bool = False


def models_of(phase: Phase) -> Models:
    """What the recipe's methods hold: TRL's KTO, GRPO and RLOO load a reference unless there is an adapter to switch
    off; PPO's values are a linear map on the policy itself, and a reward model is one of the policy's size."""
    online = METHODS[phase.method].online
    beside = phase.method == "kto" or online
    return Models(reference=beside and phase.adapter == "full", reward=online and phase.needs_model)


class Kept(NamedTuple):
    """Bytes a token that autograd keeps of one layer, by the width it is a multiple of."""

    hidden: float
    query: float
    key: float
    intermediate: float
    rank: float = 0.0

    def of(self, shape: Shape, r: int) -> float:
        widths = (shape.hidden, shape.query_width, shape.key_width, shape.intermediate, r)
        return sum(bytes_ * width for bytes_, width in zip(self, widths, strict=True))


# what a Llama layer keeps, by how numbers are held; counted again by tests/unit/plan/test_counts.py. In fp32 norms keep
# their input, the maps behind them their output, and a norm that is trained what it scales; attention keeps queries,
# keys, values and output; the MLP gate, its activation, up, and their product; an adapter its inner values. Under
# autocast norms still work in fp32, and every linear map keeps a bf16 copy of its own of what it reads.
KEPT: Mapping[str, Kept] = MappingProxyType(
    {
        "adapter, fp32": Kept(16, 8, 8, 16, 28),
        "full, fp32": Kept(24, 8, 8, 16),
        "adapter, autocast": Kept(18, 6, 4, 8, 14),
        "full, autocast": Kept(26, 4, 4, 8),
        "full, bf16": Kept(16, 4, 4, 8),
    }
)


def how_held(phase: Phase, models: Models, *, accelerator: bool) -> str:
    """The key of ``KEPT``."""
    numbers = "fp32" if not accelerator else "bf16" if models.bf16 and phase.adapter == "full" else "autocast"
    return f"{'full' if phase.adapter == 'full' else 'adapter'}, {numbers}"


def _layer(shape: Shape, phase: Phase, models: Models, *, accelerator: bool) -> tuple[float, float]:
    """Bytes a token that a layer keeps, and those of its input alone, which are of the embedding's type."""
    held = how_held(phase, models, accelerator=accelerator)
    r = 0 if phase.adapter == "full" else phase.lora.r
    stream = 2 if held in ("adapter, autocast", "full, bf16") else 4
    kept = KEPT[held]
    if not accelerator:
        # ours on a CPU: queries, output and the copy the output projection reads; keys and values for all heads
        kept = kept._replace(query=4 * (3 + 2 * BRANCH_COPIES), key=0)
    return kept.of(shape, r), stream * shape.hidden


def kept_a_token(shape: Shape, phase: Phase, models: Models, *, accelerator: bool) -> float:
    """Bytes a token that the backward pass keeps; recomputed: every layer's input, and one layer at a time."""
    layer, input_ = _layer(shape, phase, models, accelerator=accelerator)
    return shape.layers * input_ + layer if phase.gradient_checkpointing else shape.layers * layer


def adapter_parameters(shape: Shape, r: int) -> int:
    """Of LoRA on all linear layers."""
    attention = 2 * (shape.hidden + shape.query_width) + 2 * (shape.hidden + shape.key_width)
    return shape.layers * r * (attention + 3 * (shape.hidden + shape.intermediate))


def training_memory(
    shape: Shape, phase: Phase, tokens: int, place: Place, models: Models | None = None, *, cut: bool = True
) -> Memory:
    """The peak of a phase whose largest part has ``tokens`` tokens (packed where the method packs).

    Args:
        cut: a step has several parts, so that the gradient of one stands beside the activations of the next.
    """
    models = models_of(phase) if models is None else models
    full, accelerator = phase.adapter == "full", place.accelerator
    trained_models = 1 + models.value
    trained = shape.parameters if full else adapter_parameters(shape, phase.lora.r)
    number = 2 if models.bf16 else 4  # bytes of a trained weight, its gradient and its moments
    base = shape.parameters * _base_bytes(phase, models, accelerator=accelerator)
    weights = base + (0 if full else trained * number)
    # the head's gradient is made in fp32, anew for each part, and is held once more while it is added to the sum so far
    head = shape.vocabulary * shape.hidden * (4 + number) if full else 0
    kept = tokens * kept_a_token(shape, phase, models, accelerator=accelerator) * trained_models
    activation = 2 if accelerator else 4
    share = place.sharing

    gradients = trained * number / share * trained_models * (2 if place.ddp else 1)
    head = head / share * trained_models

    def held(bytes_: float) -> int:
        return int(_shared(shape, bytes_, share, activation) * trained_models)

    return Memory(
        weights=held(weights) + int(_cast_copies(shape, phase, models, place) * trained_models),
        gradients=int(gradients + head if cut else max(gradients + head - kept, head)),
        optimizer=int(trained * 2 * number / share * trained_models),
        reference=int(_shared(shape, base, share, activation) * (models.reference + models.reward)),
        activations=int(kept),
        logits=0 if METHODS[phase.method].fused else 3 * tokens * shape.vocabulary * 4,
        kv=int(models.sampled * 2 * shape.layers * shape.key_width * activation),
        overhead=int(PROGRAM[accelerator] + (HOLES[accelerator] - 1) * kept),
    )


def drawing_memory(shape: Shape, phase: Phase, sampled: int, place: Place) -> Memory:
    """The peak while answers are drawn and judged before a training: nothing is trained yet.

    Args:
        sampled: tokens whose keys and values are held at once.
    """
    number = 2 if place.accelerator else 4  # bytes of a weight, a key and a value
    return Memory(
        weights=shape.parameters * number,
        gradients=0,
        optimizer=0,
        reference=shape.parameters * number if phase.needs_model else 0,
        activations=0,
        logits=0,
        kv=sampled * 2 * shape.layers * shape.key_width * number,
        overhead=int(PROGRAM[place.accelerator]),
    )


def _base_bytes(phase: Phase, models: Models, *, accelerator: bool) -> float:
    """Bytes a parameter of the model itself."""
    if phase.adapter == "qlora":
        return 0.6  # four bits, their scales, and what is left unquantised
    if phase.adapter == "full":
        return 2 if models.bf16 else 4
    return 2 if accelerator else 4


def _shared(shape: Shape, bytes_: float, sharing: int, activation: int) -> float:
    """A process's share of weights, with what FSDP2 gathers at a time: two layers, and embedding and head."""
    if sharing == 1:
        return bytes_
    gathered = activation * (2 * shape.layer_parameters + 2 * shape.vocabulary * shape.hidden)
    return min(bytes_, bytes_ / sharing + gathered)


def _cast_copies(shape: Shape, phase: Phase, models: Models, place: Place) -> float:
    """Autocast keeps bf16 copies of fp32 weights until the forward pass is over; FSDP2 gathers in bf16 anyway."""
    if not place.accelerator or phase.adapter != "full" or models.bf16 or place.sharing > 1:
        return 0.0
    return 2 * shape.layers * shape.layer_parameters


def peak(
    shape: Shape, phase: Phase, step: int, longest_pair: int, place: Place, models: Models | None = None
) -> Memory:
    """Peak memory of a phase, whose steps go through the model in parts where its method cuts them.

    Args:
        step: tokens of a process's whole step, at most.
        longest_pair: tokens; one that is longer than a part is recomputed rather than kept.
    """
    if METHODS[phase.method].online:  # parts of whole answers, one at least
        part = max(longest_pair, min(phase.tokens_at_once(accelerator=place.accelerator), step))
        return training_memory(shape, phase, part, place, models, cut=step > part)
    if not METHODS[phase.method].packed:
        return training_memory(shape, phase, step, place, models, cut=False)
    part = min(phase.tokens_at_once(accelerator=place.accelerator), step)
    usual = training_memory(shape, phase, part, place, models, cut=step > part)
    if longest_pair <= part:
        return usual
    lighter = phase.model_copy(update={"gradient_checkpointing": True})
    long = training_memory(shape, lighter, longest_pair, place, models)
    return max(usual, long, key=lambda memory: memory.total)


def peak_bytes(shape: Shape, phase: Phase, step: int, longest_pair: int, place: Place) -> int:
    """The sum of ``peak``'s parts."""
    return peak(shape, phase, step, longest_pair, place).total


def training_bytes(shape: Shape, phase: Phase, tokens: int, place: Place) -> int:
    """The sum of ``training_memory``'s parts."""
    return training_memory(shape, phase, tokens, place).total
