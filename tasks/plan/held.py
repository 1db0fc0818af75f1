"""What phases hold and take on so many devices: memory of one device, time of all. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from infra.attempts import Device
from infra.digest import Record
from infra.hardware import Hardware
from infra.store import Blob
from tasks.lm.speed import Rate
from tasks.phases import METHODS, Phase
from tasks.plan.effort import (
    Effort,
    Lengths,
    drawing_effort,
    offline_effort,
    online_effort,
    rejection_effort,
)
from tasks.plan.memory import ROOM, TEMPLATE_TOKENS, Memory, Models, Place, Shape, drawing_memory, models_of, peak
from tasks.recipe import Recipe


class Facts(Record):
    """What decide and the forecast of a pool look at."""

    new_pairs: int
    train_pairs: int
    house_items: int
    gate_items: int
    shape: Shape
    context: int  # positions the model was made for
    mean_item_tokens: float  # of a gate item, about
    mean_prompt_tokens: float
    mean_answer_tokens: float
    max_prompt_tokens: int = 0
    max_pair_tokens: int  # prompt, chosen and rejected, as they go through the model
    max_sequence_tokens: int  # prompt and the longer answer
    memory_bytes: int
    device: Device
    hardware: Hardware | None = None
    rate: Rate
    shares_weights: bool = False  # among training processes (FSDP2)
    prompts_a_pair: int = 1  # how often a pair's prompt goes through the model
    pool_problems: tuple[str, ...] = ()  # what the pool says is wrong with it
    earlier: Blob | None = None  # what the champion was trained on, where the recipe replays some of it
    unfit_labels: int = 0  # training rows that the method learns nothing from
    without_truth: int = 0  # training rows that lack the truth which a reward compares with
    month_left: float | None = None  # money left of this month's budget; None: no limit
    later: tuple["Facts", ...] = ()  # of the phases after the first, each on the same pool


class Way(NamedTuple):
    """A way to train: a phase, and what it holds beside the model; ``online``: on answers that it samples."""

    phase: Phase
    models: Models
    online: bool = False


class Held(NamedTuple):
    """A night on so many devices."""

    devices: int
    memory: Memory
    effort: Effort
    seconds: float


def parts_of(recipe: Recipe, facts: Facts) -> list[tuple[Recipe, Facts]]:
    """Each phase alone: the recipe with it, and its facts."""
    every = (facts.model_copy(update={"later": ()}), *facts.later)
    return [(recipe.alone(number), one) for number, one in enumerate(every, start=1)]


def steps_of(recipe: Recipe, facts: Facts) -> int:
    """Whole batches that the first phase's pairs fill, as many as the recipe wants."""
    return recipe.phase[0].steps_of(facts.train_pairs)


def taken(recipe: Recipe, facts: Facts) -> tuple[int, int]:
    """Steps and pairs of all phases."""
    steps = [(one.phase[0], steps_of(one, own)) for one, own in parts_of(recipe, facts)]
    return sum(count for _, count in steps), sum(phase.pairs_of(count) for phase, count in steps)


def tonight(recipe: Recipe) -> Way:
    """The recipe's own way."""
    phase = recipe.phase[0]
    return Way(phase, models_of(phase), METHODS[phase.method].online)


def place_of(facts: Facts, devices: int) -> Place:
    accelerator, several = facts.device.accelerator, facts.device.accelerator and devices > 1
    return Place(
        accelerator=accelerator,
        sharing=devices if facts.shares_weights else 1,
        prompts=facts.prompts_a_pair,
        ddp=several and not facts.shares_weights,
    )


def whole_step(phase: Phase, facts: Facts, devices: int) -> int:
    """Tokens of a process's step, at most. Devices without an accelerator are one process's."""
    processes = devices if facts.device.accelerator else 1
    return -(-phase.batch_size // processes) * facts.max_pair_tokens


def on_devices(recipe: Recipe, facts: Facts, devices: int, way: Way | None = None) -> Held:
    """Memory of one device and time of all, for the steps that the pairs fill; of several phases the most, and the sum.

    Args:
        way: another one than the recipe's, for its first phase.
    """
    if way is None and facts.later:
        return added([on_devices(one, own, devices) for one, own in parts_of(recipe, facts)])
    way = way or tonight(recipe)
    phase, pairs = way.phase, recipe.phase[0].pairs_of(steps_of(recipe, facts))
    lengths = Lengths(facts.mean_prompt_tokens, facts.mean_answer_tokens)
    scored = facts.gate_items * facts.mean_item_tokens
    if METHODS[phase.method].online:
        longest = facts.max_prompt_tokens + TEMPLATE_TOKENS + phase.max_new_tokens
        step = phase.batch_size * phase.trained_answers * longest
        models = way.models._replace(sampled=max(longest, min(ROOM, phase.batch_size * phase.group_size * longest)))
        together = 2 * longest if METHODS[phase.method].ranks else longest
        memory = peak(facts.shape, phase, step, together, place_of(facts, devices), models)
        drawn = Lengths(facts.mean_prompt_tokens, phase.max_new_tokens)
        effort = drawing_effort(facts.shape, phase, pairs, drawn, scored, facts.rate, facts.hardware)
    elif METHODS[phase.method].draws:
        return _rejection(recipe, facts, devices)
    elif way.online:
        longest, step = facts.max_sequence_tokens, whole_step(phase, facts, devices) // facts.max_pair_tokens
        models = sampling_models(step, longest)._replace(bf16=way.models.bf16)
        memory = peak(facts.shape, phase, step * longest, longest, place_of(facts, devices), models)
        effort = online_effort(facts.shape, phase, pairs, lengths, scored, facts.rate, facts.hardware)
    else:
        step = whole_step(phase, facts, devices)
        memory = peak(facts.shape, phase, step, facts.max_pair_tokens, place_of(facts, devices), way.models)
        effort = offline_effort(facts.shape, phase, pairs, lengths, facts.prompts_a_pair, scored)
    return Held(devices, memory, effort, effort.seconds(facts.rate, devices))


def _rejection(recipe: Recipe, facts: Facts, devices: int) -> Held:
    """Rejection sampling: the larger of what drawing and training hold, and the time of both."""
    phase, steps = recipe.phase[0], steps_of(recipe, facts)
    place, answer = place_of(facts, devices), phase.max_new_tokens
    prompt = facts.max_prompt_tokens + TEMPLATE_TOKENS
    at_once = phase.batch_size * phase.group_size * (prompt + answer)
    drawing = drawing_memory(facts.shape, phase, max(prompt + answer, min(ROOM, at_once)), place)
    row = facts.prompts_a_pair * prompt + 2 * answer if phase.train_as == "dpo" else prompt + answer
    training = peak(facts.shape, phase.trained, phase.batch_size * row, row, place)
    effort = rejection_effort(
        facts.shape,
        phase,
        phase.pairs_of(steps),
        phase.rows_of(steps),
        Lengths(facts.mean_prompt_tokens, answer),
        facts.prompts_a_pair,
        facts.gate_items * facts.mean_item_tokens,
        facts.rate,
        facts.hardware,
    )
    memory = max(drawing, training, key=lambda one: one.total)
    return Held(devices, memory, effort, effort.seconds(facts.rate, devices))


def added(phases: Sequence[Held]) -> Held:
    """Phases one after another on the same devices."""
    fullest = max(phases, key=lambda one: one.memory.total)
    effort = Effort(*(sum(values) for values in zip(*(one.effort for one in phases), strict=True)))
    return Held(fullest.devices, fullest.memory, effort, sum(one.seconds for one in phases))


def sampling_models(rows: int, longest: int) -> Models:
    """PPO's four models, and keys and values of the answers sampled at once, as tasks/lm/generate.py has room."""
    return Models(reference=True, reward=True, value=True, sampled=max(longest, min(ROOM, rows * longest)))
