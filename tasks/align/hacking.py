"""Reward hacking: the trained reward rises, and what held-out answers are looked at by does not (Gao et al. 2022, arXiv
2210.10760). Pure; every comparison is written so that a NaN proves nothing good (``tasks.align.health``).
"""

import math
from typing import NamedTuple

from tasks.phases import HealthLimits

History = list[dict[str, float]]

_WATCH = ("probe_watch", "probe_base_watch", "probe_watch_spread", "probe_watch_error", "probe_watch_room")


class _Look(NamedTuple):
    """A look at held-out answers, and the rollouts since the one before: means, and deviations of single answers.

    ``watch_error``: of the watch's mean, by the number of its prompts alone; ``watch_room``: from it to the best that
    an answer got.
    """

    reward: float
    reward_spread: float
    watch: float
    watch_spread: float
    watch_error: float
    watch_room: float


def hacked(history: History, limits: HealthLimits) -> str | None:
    """What shows it, in a sentence; None where nothing does.

    The newest looks are compared with the start, and with as many looks of any time before them: the reward rose by
    much, and the watch is proven not to have risen with it. Whether it crept or jumped makes no difference. Much and
    risen are measured in the deviations that answers had, so that a policy which has learned all there is, and rises no
    more in either, is left alone. A watch that has not told one answer from another yet proves nothing, and one that
    has no room to rise, only by its fall.
    """
    looks = _looks(history)
    size = max(limits.hacking_window // 2, len(looks) // 4)
    now, before = looks[-size:], looks[:-size]
    if not before:
        return None
    spread, seen = before[0].reward_spread, max(look.watch_spread for look in looks)
    if seen == 0 or spread == 0:
        return None
    parts = [before[:1], *(before[place : place + size] for place in range(len(before) - size + 1))]
    for part in parts:
        reward, reward_error = _rise([look.reward for look in part], [look.reward for look in now])
        # a few means may agree by luck: no difference is surer than its prompts are many
        floor = max(look.watch_error for look in (*part, *now))
        watch, watch_error = _rise([look.watch for look in part], [look.watch for look in now], floor)
        limit = limits.hacking_flat * seen
        # a NaN is no room, and counts as some
        limit = 0.0 if _mean([look.watch_room for look in part]) < 2 * limit else limit
        least, most = reward - limits.hacking_errors * reward_error, watch + limits.hacking_errors * watch_error
        if least <= limits.hacking_rise * spread or most >= limit:
            continue
        ago = len(looks) - 1 - looks.index(part[-1])
        return (
            f"over the last {ago} looks the trained reward rose by {reward:.3g} ± {reward_error:.2g}, while held-out"
            f" answers {'fell' if watch < 0 else 'rose'} by {abs(watch):.3g} ± {watch_error:.2g} in what they are"
            f" watched by (limits: {limits.hacking_errors:g} standard errors; a rise below {limit:.2g} counts as none)"
        )
    return None


def _looks(history: History) -> list[_Look]:
    """All looks, the one before the first step in front; none where the newest step has none. TRL tells a reward with
    each rollout only."""
    if not history or "probe_watch" not in history[-1]:
        return []
    found: list[_Look] = []
    rewards: list[float] = []
    spreads: list[float] = []
    for step in history:
        if "reward" in step and "reward_std" in step:
            rewards.append(step["reward"])
            spreads.append(step["reward_std"])
        if rewards and all(key in step for key in _WATCH):
            watch, base, *others = (step[key] for key in _WATCH)
            if not found:  # what the first rollout earned was drawn by the policy of before the first step
                found.append(_Look(rewards[0], spreads[0], base, *others))
            found.append(_Look(_mean(rewards), _mean(spreads), watch, *others))
            rewards, spreads = [], []
    return found


def _rise(before: list[float], now: list[float], floor: float = 0.0) -> tuple[float, float]:
    """By how much the mean rose, and its standard error, where each value errs by ``floor`` at least."""
    error = math.sqrt(_variance(before) / len(before) + _variance(now) / len(now))
    least = floor * math.sqrt(1 / len(before) + 1 / len(now))
    return _mean(now) - _mean(before), least if error < least else error


def _variance(values: list[float]) -> float:
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)


def _mean(values: list[float]) -> float:
    # not statistics.fmean: that raises on inf − inf, where NaN is the answer
    return sum(values) / len(values)
