"""What would make a recipe fit: changes that each, alone, do. Pure."""

from bisect import bisect_left
from collections.abc import Callable

from tasks.phases import METHODS, Phase
from tasks.plan.memory import TEMPLATE_TOKENS, Place, Shape, peak_bytes


def changes_that_fit(shape: Shape, phase: Phase, step: int, longest_pair: int, memory: int, place: Place) -> list[str]:
    """Recipe changes that each, alone, make the phase fit, the cheapest first; at most three.

    Cheap is what costs least of the night: fewer tokens at once cost little, recomputation a third of the time,
    shorter pairs some of the data, an adapter in place of the whole model something of what can be learnt.
    """
    pairs = -(-step // longest_pair)  # of a process's step

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
    if shorter := _most(lambda count: fits(count, pairs * count), 2 * TEMPLATE_TOKENS, longest_pair):
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
