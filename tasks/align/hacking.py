"""Reward hacking: the trained reward rises, and what held-out answers are looked at by does not (Gao et al. 2022, arXiv
2210.10760). Pure; every comparison is written so that a NaN proves nothing good (``tasks.align.health``).
"""

import math
from typing import NamedTuple

from tasks.phases import HealthLimits

History = list[dict[str, float]]

# looks whose answers say how far answers were apart at first
_FIRST = 5


class _Look(NamedTuple):
    """A look at held-out answers, and the rollouts since the one before: means, and deviations of single answers."""

    reward: float
    reward_spread: float
    watch: float
    watch_spread: float


def hacked(history: History, limits: HealthLimits) -> str | None:
    """What shows it, in a sentence; None where nothing does.

    Trends over the last looks, each with its error: either the watch falls while the reward rises, both proven, or the
    reward rises by much while the watch is proven not to. Much and not are measured in the deviations that answers had
    at first, so that a policy which has learned all there is, and rises no more in either, is left alone. A watch that
    has not told one answer from another yet proves nothing.
    """
    looks = _looks(history)
    last = looks[-limits.hacking_window :]
    if len(last) < limits.hacking_window:
        return None
    spread = _mean([look.reward_spread for look in looks[:_FIRST]])
    seen = max(look.watch_spread for look in looks)
    if seen == 0 or spread == 0:
        return None
    reward, reward_error = _rise([look.reward for look in last])
    watch, watch_error = _rise([look.watch for look in last])
    errors = limits.hacking_errors
    least, most = reward - errors * reward_error, watch + errors * watch_error
    parted = not (most >= 0 or least <= 0)
    flat = not (most >= limits.hacking_flat * seen or least <= limits.hacking_rise * spread)
    if not parted and not flat:
        return None
    return (
        f"over the last {len(last)} looks the trained reward rose by {reward:.3g} ± {reward_error:.2g}, while held-out"
        f" answers {'fell' if watch < 0 else 'rose'} by {abs(watch):.3g} ± {watch_error:.2g} in what they are watched"
        f" by (limits: {errors:g} standard errors; a rise below {limits.hacking_flat * seen:.2g} counts as none)"
    )


def _looks(history: History) -> list[_Look]:
    """All looks; none where the newest step has none. TRL tells a reward with each rollout only."""
    if not history or "probe_watch" not in history[-1]:
        return []
    found: list[_Look] = []
    rewards: list[float] = []
    spreads: list[float] = []
    for step in history:
        if "reward" in step and "reward_std" in step:
            rewards.append(step["reward"])
            spreads.append(step["reward_std"])
        if "probe_watch" in step and "probe_watch_spread" in step and rewards:
            found.append(_Look(_mean(rewards), _mean(spreads), step["probe_watch"], step["probe_watch_spread"]))
            rewards, spreads = [], []
    return found


def _rise(values: list[float]) -> tuple[float, float]:
    """What a straight line through the values rises by from the first to the last, and its standard error."""
    count, mean = len(values), _mean(values)
    places = [place - (count - 1) / 2 for place in range(count)]
    width = sum(place * place for place in places)
    slope = sum(place * value for place, value in zip(places, values, strict=True)) / width
    left = sum((value - mean - slope * place) ** 2 for place, value in zip(places, values, strict=True))
    return slope * (count - 1), math.sqrt(left / (count - 2) / width) * (count - 1)


def _mean(values: list[float]) -> float:
    # not statistics.fmean: that raises on inf − inf, where NaN is the answer
    return sum(values) / len(values)
