"""What a night takes in operations, and so in hours, energy and money. Pure.

Hours are operations (tasks/lm/flops.py) over a device's rate (tasks/lm/speed.py); sampled answers wait for memory: each
token of a batch reads all weights once.
"""

from typing import NamedTuple

from infra.attempts import Device
from infra.hardware import Hardware
from infra.price_book import PriceBook
from tasks.lm.flops import Work, forward_flops, training_flops
from tasks.lm.speed import BANDWIDTH_SHARE, Rate
from tasks.phases import METHODS, Phase
from tasks.plan.memory import Shape

PPO_EPOCHS = 4  # passes over the sampled answers (arXiv 1707.06347 takes 3 to 15, TRL's former trainer 4)


class Lengths(NamedTuple):
    """Mean tokens of a prompt and of an answer."""

    prompt: float
    answer: float


class Effort(NamedTuple):
    """Operations that are spread over all processes, those of one process alone, and seconds spent sampling."""

    tokens: float  # that are trained on, as they go through the model
    spread: float
    alone: float
    sampling: float = 0.0

    def seconds(self, rate: Rate, devices: int) -> float:
        return self.spread / (rate.flops * devices) + self.alone / rate.flops + self.sampling / devices


def pair_work(lengths: Lengths, prompts: int) -> Work:
    """A mean pair's work: the prompt once (packed) or with each answer. Of mean lengths: attention is a little more."""
    prompt, answer = lengths
    own = prompt * prompt / 2
    return Work(
        tokens=prompts * prompt + 2 * answer,
        seen=prompts * own + 2 * prompt * answer + answer * answer,
        scored=2 * answer,
    )


def offline_effort(shape: Shape, phase: Phase, pairs: int, lengths: Lengths, prompts: int, scored: float) -> Effort:
    """A night that trains on pairs it is given.

    Args:
        prompts: how often a pair's prompt goes through the model.
        scored: tokens that score the candidate, one forward pass each, by one process.
    """
    work = _times(pair_work(lengths, prompts), pairs)
    if phase.method == "reward":  # its head is one number wide; what is held out goes through once
        work = _unscored(work)
        share = phase.used_share
        spread, measured = _training(shape, phase, _times(work, share)), _forward(shape, _times(work, 1 - share))
        return Effort(work.tokens, spread, measured)  # it makes no candidate to score
    training = _training(shape, phase, work)
    # every pair's reference is computed once, as if no earlier night had left it in the cache
    reference = _forward(shape, work) if METHODS[phase.method].reference else 0.0
    return Effort(work.tokens, training + reference, _forward(shape, Work(scored, 0, scored)))


def online_effort(
    shape: Shape, phase: Phase, pairs: int, lengths: Lengths, scored: float, rate: Rate, hardware: Hardware | None
) -> Effort:
    """PPO on as many prompts as there are pairs, an answer each: sampled, scored by four models, trained on.

    Policy, reference, reward and value each see an answer once; then policy and value are trained ``PPO_EPOCHS`` times.
    """
    prompt, answer = lengths
    length = prompt + answer
    work = _times(Work(length, length * length / 2, answer), pairs)
    training = 2 * PPO_EPOCHS * _training(shape, phase, work)
    sampling = sampling_seconds(shape, phase, pairs, lengths, rate, hardware)
    return Effort(work.tokens, training + 4 * _forward(shape, work), _forward(shape, Work(scored, 0, scored)), sampling)


def drawing_effort(
    shape: Shape, phase: Phase, prompts: int, lengths: Lengths, scored: float, rate: Rate, hardware: Hardware | None
) -> Effort:
    """Our PPO, GRPO or RLOO: ``group_size`` answers a prompt, drawn, scored by policy and reference, trained on; and
    judged by a reward model where there is one.

    Online DPO trains on two of a prompt's answers, which the reference alone scores.

    Args:
        lengths: an answer's is the longest that may be drawn, for how long they will be nobody knows.
    """
    prompt, answer = lengths
    length, answers = prompt + answer, prompts * phase.group_size
    whole = Work(length, length * length / 2, answer)
    work = _times(whole, prompts * phase.trained_answers)
    training = phase.epochs * _training(shape, phase, work)
    looks = 1 if METHODS[phase.method].ranks else 2
    sampling = sampling_seconds(shape, phase, answers, lengths, rate, hardware)
    scorers = looks * _forward(shape, work) + _judging(shape, phase, _times(whole, answers))
    return Effort(work.tokens, training + scorers, _forward(shape, Work(scored, 0, scored)), sampling)


def rejection_effort(
    shape: Shape,
    phase: Phase,
    prompts: int,
    rows: int,
    lengths: Lengths,
    times: int,
    scored: float,
    rate: Rate,
    hardware: Hardware | None,
) -> Effort:
    """Rejection sampling: ``group_size`` answers to every prompt, drawn and judged, and a training on what is kept.

    Args:
        prompts: that may be drawn for.
        rows: that the steps are trained on.
        lengths: an answer's is the longest that may be drawn.
        times: how often a pair's prompt goes through the model.
    """
    prompt, answer = lengths
    length, answers = prompt + answer, prompts * phase.group_size
    judged = _judging(shape, phase, _times(Work(length, length * length / 2, answer), answers))
    sampling = sampling_seconds(shape, phase, answers, lengths, rate, hardware)
    if phase.train_as == "dpo":
        work = _times(pair_work(lengths, times), rows)
        training = _training(shape, phase, work) + _forward(shape, work)  # no earlier night knows these answers
    else:
        work = _times(Work(length, length * length / 2, answer), rows)
        training = _training(shape, phase, work)
    return Effort(work.tokens, training, judged + _forward(shape, Work(scored, 0, scored)), sampling)


def _judging(shape: Shape, phase: Phase, work: Work) -> float:
    """A reward model's forward pass over answers, where the phase has one: its head is one number wide."""
    return _forward(shape, _unscored(work)) if phase.needs_model else 0.0


def sampling_seconds(
    shape: Shape, phase: Phase, prompts: int, lengths: Lengths, rate: Rate, hardware: Hardware | None
) -> float:
    """One device's time to sample an answer for each prompt, in batches of a step: by memory, or by arithmetic."""
    by_arithmetic = prompts * lengths.answer * 2 * shape.parameters / rate.flops
    if hardware is None:
        return by_arithmetic
    at_once = min(phase.batch_size * (phase.group_size if METHODS[phase.method].draws else 1), prompts)
    kv = at_once * (lengths.prompt + lengths.answer / 2) * 4 * shape.layers * shape.key_width  # bf16, keys and values
    read = 2 * shape.parameters + kv
    steps = prompts / max(at_once, 1) * lengths.answer
    return max(by_arithmetic, steps * read / (hardware.bandwidth_tb_s * 1e12 * BANDWIDTH_SHARE))


def _sizes(shape: Shape) -> dict[str, int]:
    return {
        "layers": shape.layers,
        "layer_parameters": shape.layers * shape.layer_parameters,
        "head_parameters": shape.vocabulary * shape.hidden,
        "heads_width": shape.query_width,
    }


def _training(shape: Shape, phase: Phase, work: Work) -> float:
    full, recomputed = phase.adapter == "full", phase.gradient_checkpointing
    return training_flops(work, _sizes(shape), full=full, recomputed=recomputed)


def _forward(shape: Shape, work: Work) -> float:
    return forward_flops(work, **_sizes(shape))


def _unscored(work: Work) -> Work:
    return Work(work.tokens, work.seen, 0.0)


def _times(work: Work, count: float) -> Work:
    return Work(count * work.tokens, count * work.seen, count * work.scored)


class Money(NamedTuple):
    """``kwh`` is board power × time: an estimate. ``example``: the price is nobody's."""

    kwh: float
    amount: float
    example: bool


def money(prices: PriceBook, device: Device, hours: float, devices: int, hardware: Hardware | None) -> Money:
    """What so many hours of so many of these devices cost on their pool, as the bill counts it.

    Their power is the hardware book's, of a CPU the price book's.

    Raises:
        PriceError: the book has no price for the device.
    """
    price, power = prices.price(device.kind, device.pool), prices.power(device.pool)
    watts = price.watts if hardware is None else hardware.board_watts
    kwh = hours * devices * watts / 1000
    paid = kwh * power.pue * power.tariff_per_kwh if price.pays_power else 0.0
    return Money(kwh, hours * devices * price.per_hour + paid, prices.marks(price))
