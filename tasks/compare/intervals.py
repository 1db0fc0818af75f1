"""Intervals over seeds: a difference's, beside the one over items, and a ratio's. Pure.

Few seeds make wide intervals: t with one degree of freedom is 12.7 times the standard error. That is no fault of the
method but what two trainings can say.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy.stats import t


class Ratio(NamedTuple):
    """A ratio of two positive quantities, over seeds; None where one seed has no interval."""

    ratio: float
    lower: float | None
    upper: float | None


def t_error(values: Sequence[float], alpha: float) -> float | None:
    """Half the width of the two-sided t interval of the mean at ``alpha``; None of fewer than two values."""
    count = len(values)
    if count < 2:
        return None
    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    return float(t.isf(alpha / 2, count - 1)) * math.sqrt(variance / count)


def with_seeds(
    delta: float, lower: float, upper: float, deltas: Sequence[float], alpha: float
) -> tuple[float, float] | None:
    """A difference's interval over items, widened by what seeds differ by; None of fewer than two seeds.

    Both sources move the mean independently, so the distances from it to each bound add in squares (MOVER, Zou & Donner
    2008, Statistics in Medicine 27:1693). What items add to the spread of the seeds counts twice: it is never too
    narrow for that.

    Args:
        deltas: one a seed; ``delta`` is their mean.
        alpha: two-sided, as of ``lower`` and ``upper``.
    """
    error = t_error(deltas, alpha)
    if error is None:
        return None
    return delta - math.hypot(delta - lower, error), delta + math.hypot(upper - delta, error)


def ratio_of(ours: Sequence[float], theirs: Sequence[float], alpha: float) -> Ratio:
    """The ratio of two positive quantities, each measured once a seed, in the same order of seeds.

    Mean and t interval of the logarithms of each seed's ratio: a seed's two trainings are on the same device with the
    same preferences, so what is peculiar to it cancels, and a ratio and its inverse say the same.

    Raises:
        ValueError: a quantity is not above 0, or there is none.
    """
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"{len(ours)} and {len(theirs)} values have no ratio")
    if not all(value > 0 and math.isfinite(value) for value in (*ours, *theirs)):
        raise ValueError("a ratio is of quantities above 0")
    logs = [math.log(one / other) for one, other in zip(ours, theirs, strict=True)]
    mean = sum(logs) / len(logs)
    error = t_error(logs, alpha)
    if error is None:
        return Ratio(math.exp(mean), None, None)
    return Ratio(math.exp(mean), _exp(mean - error), _exp(mean + error))


def _exp(value: float) -> float:
    """e to the power; of what no float holds, the largest or smallest."""
    return math.exp(min(max(value, -700.0), 700.0))


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation over n − 1; None of fewer than two."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
