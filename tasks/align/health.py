"""Health of a preference training: conditions that end it early, judged after every step from the steps so far.

Pure: numbers in, a reason to stop or nothing out. Rewards are TRL's beta × log(policy / reference) of a whole answer,
so reward / beta is in nats. Every guard asks for proof of health (``if x <= limit: return None``): a NaN proves nothing
and lets the condition fire. A condition whose metrics the newest step doesn't carry is silent.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from infra.digest import Record
from tasks.align.hacking import hacked
from tasks.phases import HealthLimits

Condition = Literal[
    "not_finite",
    "gradient_spike",
    "kl_too_large",
    "length_growth",
    "likelihood_displacement",
    "accuracy_saturated",
    "loss_not_moving",
    "no_signal",
    "reward_hacking",
]
History = list[dict[str, float]]

# TRL's name: the share of a rollout's prompts whose answers all earned the same
_NO_SIGNAL = "frac_reward_zero_std"

# steps whose mean is the loss a run began with
_START = 5


class Stop(Record):
    """Why a training should end now."""

    name: Condition
    step: int
    what: str  # one sentence with the offending values and their limit
    do: str  # one sentence: what to change in the recipe


class _Fault(NamedTuple):
    what: str
    do: str


_Check = Callable[[History, HealthLimits, float], _Fault | None]


def judge_health(history: History, limits: HealthLimits, beta: float) -> Stop | None:
    """The first condition that fires at the newest step; None: healthy as far as these can tell.

    Args:
        history: one dict a step, oldest first, TRL's names with "/" replaced by "_".
        beta: the phase's beta, which turns rewards into nats.
    """
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}")
    if not history:
        return None
    for name, check in _CHECKS.items():
        if fault := check(history, limits, beta):
            return Stop(name=name, step=_step(history), what=fault.what, do=fault.do)
    return None


def _not_finite(history: History, limits: HealthLimits, beta: float) -> _Fault | None:
    broken = [f"{key} is {value}" for key, value in sorted(history[-1].items()) if not math.isfinite(value)]
    if not broken:
        return None
    return _Fault(
        f"{', '.join(broken)}, which is no finite number",
        "lower phase.learning_rate or phase.max_grad_norm, or look for odd pairs in this night's data",
    )


def _gradient_spike(history: History, limits: HealthLimits, beta: float) -> _Fault | None:
    """Gradients far above the usual ones: twice within a few steps, or once beyond any doubt.

    TRL logs the norm before it is clipped, and one odd batch, clipped, does no harm; hence twice.
    """
    # a policy's gradient follows its rewards: next to none while all answers earn the same, many times that once one
    # doesn't
    if _NO_SIGNAL in history[0]:
        return None
    norms = [step["grad_norm"] for step in _after_warmup(_carrying(history, "grad_norm"))]
    earlier = norms[:-1]
    if len(earlier) < limits.spike_min_steps:
        return None
    # a pair already learned has next to no gradient, so late in a run one wrong label is many times the running
    # median; it is no more than the gradients of the beginning, though, when every pair was still to be learned
    usual = max((_median(earlier), _median(earlier[: limits.spike_min_steps])), key=_nan_first)
    if usual == 0 or norms[-1] <= limits.spike_factor * usual:
        return None
    times = norms[-1] / usual
    before = [norm for norm in earlier[1 - limits.spike_window :] if not norm <= limits.spike_factor * usual]
    if not before and times <= limits.spike_factor_alone:
        return None
    limit = f"{limits.spike_factor:g}x twice in {limits.spike_window} steps"
    if not before:
        limit = f"{limits.spike_factor_alone:g}x"
    return _Fault(
        f"the gradient norm is {norms[-1]:.3g}, {times:.0f}x the usual {usual:.3g} (limit {limit})",
        "lower phase.learning_rate or phase.max_grad_norm, or raise phase.warmup_steps",
    )


def _kl_too_large(history: History, limits: HealthLimits, beta: float) -> _Fault | None:
    """The policy has left the reference further than reward gains pay for (Gao et al. 2022, arXiv 2210.10760)."""
    if not _carrying(history, "probe_kl"):
        return None
    kl = history[-1]["probe_kl"]
    if kl <= limits.max_kl:
        return None
    return _Fault(
        f"on its own answers the policy is {kl:.3g} nats a token away from the reference (limit {limits.max_kl:g})",
        "lower phase.learning_rate or phase.max_steps, or raise phase.beta",
    )


def _length_growth(history: History, limits: HealthLimits, beta: float) -> _Fault | None:
    """DPO takes length for quality: up to twice the reference's is common (Park et al. 2024, arXiv 2403.19159)."""
    if not _carrying(history, "probe_tokens", "probe_base_tokens"):
        return None
    tokens, base = history[-1]["probe_tokens"], history[-1]["probe_base_tokens"]
    ratio = tokens / base if base > 0 else math.inf
    if limits.min_length_ratio <= ratio <= limits.max_length_ratio:
        return None
    return _Fault(
        f"the policy's answers have {tokens:.4g} tokens, {ratio:.2f}x the reference's {base:.4g}"
        f" (limits {limits.min_length_ratio:g} to {limits.max_length_ratio:g})",
        "raise phase.beta, lower phase.max_steps, or set phase.loss to sigmoid_norm, which divides by the length",
    )


def _likelihood_displacement(history: History, limits: HealthLimits, beta: float) -> _Fault | None:
    """The margin grows while the chosen answers themselves grow less likely, almost as fast as the rejected ones.

    Razin et al. 2024 (arXiv 2410.08847), Pal et al. 2024 (arXiv 2402.13228). A mild fall is normal: about half of the
    rejected answers' in well-known healthy models. So it takes nats and share together.
    """
    window = limits.displacement_window
    steps = _carrying(history[-2 * window :], "rewards_chosen", "rewards_rejected")
    if len(steps) < 2 * window:
        return None
    was_chosen, chosen = (_mean_of(part, "rewards_chosen") / beta for part in (steps[:window], steps[window:]))
    was_rejected, rejected = (_mean_of(part, "rewards_rejected") / beta for part in (steps[:window], steps[window:]))
    if chosen >= -limits.displacement_nats or chosen >= was_chosen:
        return None
    # without a rising margin it's another fault, and these remedies are not its own
    if chosen - rejected <= was_chosen - was_rejected:
        return None
    if -chosen <= limits.displacement_share * -rejected:
        return None
    return _Fault(
        f"the chosen answers lost {-chosen:.1f} nats (limit {limits.displacement_nats:g}) where the rejected ones lost"
        f" {-rejected:.1f} (limit {limits.displacement_share:.0%} of it), and still fall while the margin grows",
        "set phase.loss to apo_zero, which holds the chosen answers up, or lower phase.learning_rate, or raise"
        " phase.beta",
    )


def _accuracy_saturated(history: History, limits: HealthLimits, beta: float) -> _Fault | None:
    """Nothing is left to learn: further steps only push the likelihoods apart."""
    window = limits.saturated_window
    first = _carrying(history[:_START], "loss")
    steps = _carrying(history[-window:], "loss", "rewards_accuracies")
    if len(first) < _START or len(steps) < window or len(history) < _START + window:
        return None
    accuracy, loss, start = _mean_of(steps, "rewards_accuracies"), _mean_of(steps, "loss"), _mean_of(first, "loss")
    # a loss that begins at or below zero has no share to fall to
    if accuracy < limits.saturated_accuracy or start <= 0 or loss >= limits.saturated_loss * start:
        return None
    return _Fault(
        f"over the last {window} steps {accuracy:.2%} of the pairs were ranked right and the loss was {loss:.2g},"
        f" {loss / start:.2%} of its start (limit {limits.saturated_loss:.2%})",
        f"lower phase.max_steps to about {max(_step(history) - window, 1)}, or bring pairs that are harder to tell"
        " apart",
    )


def _loss_not_moving(history: History, limits: HealthLimits, beta: float) -> _Fault | None:
    """Neither the margin nor the loss can be told from those of a model that learns nothing."""
    window, errors = limits.not_moving_window, limits.not_moving_errors
    if len(history) < 2 * window or len(_after_warmup(history)) < limits.not_moving_min_steps:
        return None
    latest = _carrying(history[-window:], "loss", "rewards_margins")
    first = _carrying(history[:window], "loss", "rewards_margins")
    if len(latest) < window or len(first) < window:
        return None
    margin, margin_error = _mean_and_error(latest, "rewards_margins")
    loss, loss_error = _mean_and_error(latest, "loss")
    start, start_error = _mean_and_error(first, "loss")
    if abs(margin) > errors * margin_error or abs(loss - start) > errors * math.hypot(loss_error, start_error):
        return None
    # one window of a slow learner may look like noise; all its steps together don't
    whole, whole_error = _mean_and_error(_carrying(history, "rewards_margins"), "rewards_margins")
    if abs(whole) > errors * whole_error:
        return None
    # the accuracy, too, for it knows no scale: margins of the first steps, tiny, count for nothing beside later noise.
    # Only upwards: TRL calls equal rewards wrong, so a dead model has 0
    ranked = _carrying(history, "rewards_accuracies")
    accuracy, accuracy_error = _mean_and_error(ranked, "rewards_accuracies") if ranked else (0.0, 0.0)
    if accuracy - 0.5 > errors * accuracy_error:
        return None
    return _Fault(
        f"after {len(history)} steps the reward margin is {margin:.2g} ± {margin_error:.2g} and the loss {loss:.4g},"
        f" as at the start {start:.4g} (limit: {errors:g} standard errors)",
        "raise phase.learning_rate, or lower phase.warmup_steps; if neither helps, look whether the pairs' preferences"
        " can be told from their text",
    )


def _no_signal(history: History, limits: HealthLimits, beta: float) -> _Fault | None:
    """All answers to a prompt earn the same, for all prompts, for long: there is nothing to learn from, or no more."""
    window = limits.no_signal_window
    rollouts = _carrying(history, _NO_SIGNAL, "reward")[-window:]
    if len(rollouts) < window or any(step[_NO_SIGNAL] < 1 for step in rollouts):
        return None
    return _Fault(
        f"in the last {window} rollouts (limit {window}) all answers to a prompt earned the same,"
        f" {rollouts[-1]['reward']:.3g} on average: nothing tells better ones from worse",
        "choose a phase.reward that tells this model's answers apart, or raise phase.temperature or phase.group_size;"
        f" where they all earn the most, lower phase.max_steps to about {max(_step(history) - window, 1)}",
    )


def _reward_hacking(history: History, limits: HealthLimits, beta: float) -> _Fault | None:
    found = hacked(history, limits)
    if found is None:
        return None
    return _Fault(
        found,
        "look at the answers of the last checkpoint: they earn the reward without being better. Mend phase.reward, or"
        " add one that they lose by (length_penalty, not_refused); or raise phase.beta, or lower phase.max_steps",
    )


# in order: causes before their consequences, so that a person reads of the cause
_CHECKS: dict[Condition, _Check] = {
    "not_finite": _not_finite,
    "gradient_spike": _gradient_spike,
    "kl_too_large": _kl_too_large,
    "length_growth": _length_growth,
    "likelihood_displacement": _likelihood_displacement,
    "accuracy_saturated": _accuracy_saturated,
    "loss_not_moving": _loss_not_moving,
    "no_signal": _no_signal,
    "reward_hacking": _reward_hacking,
}


def _step(history: History) -> int:
    """The newest step's number; its place where it has none."""
    step = history[-1].get("step", math.nan)
    return int(step) if math.isfinite(step) else len(history)


def _carrying(steps: History, *keys: str) -> History:
    """The steps that carry all of ``keys``; none where the newest doesn't."""
    found = [step for step in steps if all(key in step for key in keys)]
    return found if found and found[-1] is steps[-1] else []


def _after_warmup(steps: History) -> History:
    """The steps from the peak learning rate on: before it, gradients and margins grow along with the rate."""
    rates = [step.get("learning_rate", 0.0) for step in steps]
    return steps[rates.index(max(rates)) :] if rates else []


def _mean(values: list[float]) -> float:
    # not statistics.fmean: that raises on inf − inf, where NaN is the answer
    return sum(values) / len(values)


def _mean_of(steps: History, key: str) -> float:
    return _mean([step[key] for step in steps])


def _mean_and_error(steps: History, key: str) -> tuple[float, float]:
    """Mean and its standard error, for steps that don't depend on each other."""
    values = [step[key] for step in steps]
    mean = _mean(values)
    squares = sum((value - mean) * (value - mean) for value in values)
    return mean, math.sqrt(squares / max(len(values) - 1, 1) / len(values))


def _median(values: list[float]) -> float:
    """The median; NaN where any value is, for NaN has no place in an order."""
    if any(math.isnan(value) for value in values):
        return math.nan
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _nan_first(value: float) -> float:
    return math.inf if math.isnan(value) else value
