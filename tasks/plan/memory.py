"""Memory that a training takes at its peak, from the model's shape: a sum of parts, each with its reason. Pure.

Checked against peaks measured by benchmarks/memory.py (benchmarks/results/memory.md): within 10 % on the sizes there.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from infra.digest import Record
from tasks.phases import METHODS, Phase

# interpreter and libraries of the training program; on an accelerator its context, and a share of it the driver keeps
PROGRAM = {False: 0.50e9, True: 0.9e9}
# the C library's allocator keeps holes among tensors of many sizes; PyTorch's on accelerators hardly does
HOLES = {False: 1.68, True: 1.1}
# a CPU keeps keys and values of every branch behind its own copy of the prefix, for all heads
BRANCH_COPIES = 1.45
GRADIENT_AND_ADAM = 3 * 4  # bytes a trained parameter: gradient and two moments, fp32


class Shape(Record):
    """A decoder's sizes, from its configuration and weight files."""

    parameters: int
    hidden: int
    intermediate: int
    layers: int
    query_width: int  # attention heads × width of one
    key_width: int  # key-value heads × width of one
    vocabulary: int


class Place(NamedTuple):
    """Where and how a phase runs, as far as its memory goes."""

    accelerator: bool
    sharing: int = 1  # processes that share weights, gradients and optimizer (FSDP2)
    prompts: int = 1  # how often a pair's prompt goes through the model: twice where nothing is packed


TEMPLATE_TOKENS = 32  # roles and turn marks of a chat template, about; data's bounds count the words


def training_bytes(shape: Shape, phase: Phase, tokens: int, place: Place) -> int:
    """Peak memory of a phase whose largest part has ``tokens`` tokens (packed where the method packs)."""
    accelerator = place.accelerator
    full = phase.adapter == "full"
    trained = shape.parameters if full else adapter_parameters(shape, phase.lora.r)
    weight = _weight_bytes(phase, accelerator)
    number = 2 if accelerator else 4  # bytes of an activation
    weights = shape.parameters * weight + (0 if full else trained * 4)
    state = trained * GRADIENT_AND_ADAM
    kept = tokens * saved_a_token(shape, phase, accelerator=accelerator) * number
    logits = 0 if METHODS[phase.method].packed else 3 * tokens * shape.vocabulary * 4
    # the head's gradient is made anew for each part, beside the sum so far, and once more while it is added
    head = 2 * shape.vocabulary * shape.hidden * 4 if full else 0
    return int(PROGRAM[accelerator] + (weights + state + head) / place.sharing + HOLES[accelerator] * kept + logits)


def _weight_bytes(phase: Phase, accelerator: bool) -> float:
    if phase.adapter == "qlora":
        return 0.6  # four bits, their scales, and what is left unquantised
    return 2 if accelerator and phase.adapter != "full" else 4


def saved_a_token(shape: Shape, phase: Phase, *, accelerator: bool) -> float:
    """Numbers that the backward pass keeps of a token: counted from what autograd saves in a Llama layer.

    Two norms keep their input and the layers behind them their output; attention keeps queries, keys, values, its
    output and the copy that the output projection reads; the MLP keeps gate, its activation, up, and their product;
    an adapter keeps its inner values.
    """
    copies, keys = (1, shape.key_width) if accelerator else (BRANCH_COPIES, shape.query_width)
    adapter = 0 if phase.adapter == "full" else 7 * phase.lora.r
    layer = 4 * shape.hidden + 3 * shape.query_width + 2 * copies * keys + 4 * shape.intermediate + adapter
    if not phase.gradient_checkpointing:
        return shape.layers * layer
    return shape.layers * shape.hidden + layer  # every layer's input, and one layer that is computed again


def adapter_parameters(shape: Shape, r: int) -> int:
    """Of LoRA on all linear layers."""
    attention = 2 * (shape.hidden + shape.query_width) + 2 * (shape.hidden + shape.key_width)
    return shape.layers * r * (attention + 3 * (shape.hidden + shape.intermediate))


def peak_bytes(shape: Shape, phase: Phase, step: int, longest_pair: int, place: Place) -> int:
    """Peak memory of a phase, whose steps go through the model in parts where its method cuts them.

    Args:
        step: tokens of a whole step, at most.
        longest_pair: tokens; one that is longer than a part is recomputed rather than kept.
    """
    if not METHODS[phase.method].packed:
        return training_bytes(shape, phase, step, place)
    part = min(phase.tokens_at_once(accelerator=place.accelerator), step)
    peak = training_bytes(shape, phase, part, place)
    if longest_pair > part:
        lighter = phase.model_copy(update={"gradient_checkpointing": True})
        peak = max(peak, training_bytes(shape, lighter, longest_pair, place))
    return peak


def changes_that_fit(shape: Shape, phase: Phase, step: int, longest_pair: int, memory: int, place: Place) -> list[str]:
    """Recipe changes that each, alone, make the phase fit, the cheapest first; at most three.

    Cheap is what costs least of the night: fewer tokens at once cost little, recomputation a third of the time,
    shorter pairs some of the data, an adapter in place of the whole model something of what can be learnt.
    """

    def fits(longest: int = longest_pair, tokens: int = step, **fields: object) -> bool:
        changed = phase.model_copy(update=fields)
        return peak_bytes(shape, changed, tokens, longest, place) <= memory

    found = []
    if METHODS[phase.method].packed:
        now = min(phase.tokens_at_once(accelerator=place.accelerator), step)
        if fewer := _most(lambda count: fits(max_tokens=count), 32, now):
            found.append(f"phase.max_tokens = {fewer}")
    if not phase.gradient_checkpointing and fits(gradient_checkpointing=True):
        found.append("phase.gradient_checkpointing = true")
    if shorter := _most(lambda count: fits(count, phase.batch_size * count), 2 * TEMPLATE_TOKENS, longest_pair):
        prompt = "data.max_prompt_tokens" if place.prompts == 1 else "2 × data.max_prompt_tokens"
        found.append(f"{prompt} + 2 × data.max_answer_tokens ≤ {shorter - TEMPLATE_TOKENS}")
    if phase.adapter == "full" and fits(adapter="lora"):
        found.append('phase.adapter = "lora"')
    if place.accelerator and phase.adapter in ("lora", "dora", "rslora") and fits(adapter="qlora"):
        found.append('phase.adapter = "qlora"')
    return found[:3]


def _most(fits: Callable[[int], bool], least: int, most: int) -> int | None:
    """The most tokens in [least, most) that fit, as ``least`` and a multiple of 32; None where ``least`` doesn't."""
    if least >= most or not fits(least):
        return None
    # what fits, fits with less: so the number of those that fit is the place of the first that doesn't
    counts = range(least, most, 32)
    return counts[bisect_left(counts, True, key=lambda count: not fits(count)) - 1]
