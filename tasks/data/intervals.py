"""95 % intervals of shares, of paired shares' differences, and of means. Pure: numbers in, numbers out."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

_Z = 1.959963984540054  # the normal distribution's 97.5 % quantile


class Interval(NamedTuple):
    value: float
    lower: float
    upper: float


def share(hits: int, n: int) -> Interval:
    """A share with Wilson's score interval (Wilson 1927, JASA 22:209); n > 0."""
    p, shrink = hits / n, 1 + _Z * _Z / n
    middle = (p + _Z * _Z / (2 * n)) / shrink
    half = _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n)) / shrink
    # at 0 and n the bound is the share itself, which rounding may miss
    return Interval(p, min(p, middle - half), max(p, middle + half))


def paired_difference(first: Sequence[bool], second: Sequence[bool]) -> Interval:
    """The difference of two shares over the same pairs, first minus second.

    Newcombe's method 10 (Newcombe 1998, Statistics in Medicine 17:2635): Wilson's intervals of both, squared and added
    with their correlation, which is corrected for continuity.
    """
    one, other = np.asarray(first, bool), np.asarray(second, bool)
    n = len(one)
    both, neither = int((one & other).sum()), int((~one & ~other).sum())
    only, only_other = int((one & ~other).sum()), int((~one & other).sum())
    p, q = share(both + only, n), share(both + only_other, n)
    product = both * neither - only * only_other
    if product > 0:
        product = max(product - n / 2, 0.0)
    spread = (both + only) * (only_other + neither) * (both + only_other) * (only + neither)
    phi = product / math.sqrt(spread) if spread else 0.0
    delta = p.value - q.value

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    down = reach(p.value - p.lower, q.upper - q.value)
    up = reach(p.upper - p.value, q.value - q.lower)
    return Interval(delta, max(-1.0, delta - down), min(1.0, delta + up))


def mean(values: Sequence[float] | np.ndarray) -> Interval:
    """A mean with Student's t interval; of one value alone the interval is infinite."""
    x = np.asarray(values, float)
    if len(x) < 2:
        return Interval(float(x.mean()), -math.inf, math.inf)
    half = float(stdtrit(len(x) - 1, 0.975)) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return Interval(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half)
