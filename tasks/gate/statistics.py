"""Paired comparisons of two models on the same items. Pure: numbers in, numbers out, no I/O, nothing from the night.

Binary items (right or wrong): Tango's score test and interval for a difference of paired proportions (Tango 1998,
Statistics in Medicine 17:891). Graded items in [0, 1]: Hall's skewness-corrected t (Hall 1992, JRSS B 54:221). Neither
Wald nor the bootstrap: at n = 40 their type-I error reaches 25 %.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, t

# below this the skewness estimate is noise, and no graded suite may pass
MIN_GRADED = 100

_EDGE = 1e-12


class Discordant(NamedTuple):
    """Paired right/wrong counts: ``b`` candidate right and baseline wrong, ``c`` the reverse, of ``n`` items.

    Whole numbers, or such divided by a design effect (tasks/gate/clusters.py).
    """

    b: float
    c: float
    n: float


class Comparison(NamedTuple):
    """Candidate minus baseline, with one-sided bounds at the given α, and the evidence of harm.

    ``lower`` and ``upper`` are each one-sided bounds (together a two-sided interval of twice the α). ``p_harm`` is the
    one-sided p-value of "the candidate is worse", 1 where nothing speaks for it. ``spread`` is the standard deviation
    of the paired differences. ``n`` counts items, or families (tasks/gate/clusters.py).
    """

    n: int
    delta: float
    lower: float
    upper: float
    p_harm: float
    spread: float


def z_of(alpha: float) -> float:
    """Normal quantile of a one-sided α."""
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie in (0, 0.5), got {alpha}")
    return float(norm.isf(alpha))


def tango_statistic(pairs: Discordant, d0: float) -> float:
    """Tango's score statistic T(d0) of the hypothesis that the difference of proportions is ``d0``.

    Falls as ``d0`` grows. At b = c = 0 and d0 = 0 nothing speaks either way: 0.
    """
    b, c, n = pairs
    p = _restricted(pairs, d0)
    variance = n * (2 * p + d0 * (1 - d0))
    difference = b - c - n * d0
    if variance <= _EDGE:
        return 0.0 if abs(difference) <= _EDGE else math.copysign(math.inf, difference)
    return difference / math.sqrt(variance)


def _restricted(pairs: Discordant, d0: float) -> float:
    """The maximum-likelihood probability of a ``c`` item when the difference is held at ``d0``."""
    b, c, n = pairs
    two_a = 4.0 * n
    half_b = -b - c + (2 * n - b + c) * d0
    constant = -c * d0 * (1 - d0)
    root = max(half_b * half_b - 2 * two_a * constant, 0.0)
    # the smaller root's numerator cancels for positive half_b; this form doesn't. Only a positive d0 makes it positive,
    # and then the constant isn't, so neither form is below zero
    if half_b > 0:
        return -2 * constant / (math.sqrt(root) + half_b)
    return (math.sqrt(root) - half_b) / two_a


def tango_bounds(pairs: Discordant, z: float) -> tuple[float, float]:
    """The differences that the score test does not reject at ``z``: a lower and an upper one-sided bound."""
    b, c, n = pairs
    if n <= 0 or b < 0 or c < 0 or b + c > n:
        raise ValueError(f"impossible counts: b={b}, c={c}, n={n}")
    observed = (b - c) / n

    def root(sign: float, end: float) -> float:
        # T runs from +z to -z through 0 at the observed difference; at an end of [-1, 1] it may never get there
        if abs(observed - end) <= _EDGE or sign * tango_statistic(pairs, end * (1 - _EDGE)) <= z:
            return end
        return brentq(lambda d: sign * tango_statistic(pairs, d) - z, observed, end * (1 - _EDGE), xtol=1e-10)  # pyright: ignore[reportReturnType]

    return root(1.0, -1.0), root(-1.0, 1.0)


def compare_right(candidate: Sequence[bool], baseline: Sequence[bool], alpha: float) -> Comparison:
    """Compare right/wrong results on the same items, in the same order."""
    x = right_differences(candidate, baseline)
    pairs = Discordant(int((x > 0).sum()), int((x < 0).sum()), len(x))
    lower, upper = tango_bounds(pairs, z_of(alpha))
    delta = (pairs.b - pairs.c) / pairs.n
    p_harm = float(norm.cdf(tango_statistic(pairs, 0.0))) if delta < 0 else 1.0
    return Comparison(len(x), delta, lower, upper, p_harm, float(x.std()))


def right_differences(candidate: Sequence[bool], baseline: Sequence[bool]) -> np.ndarray:
    """Candidate minus baseline of right/wrong results: 1, 0 or −1 an item."""
    new, old = np.asarray(candidate, bool), np.asarray(baseline, bool)
    _same_length(new, old)
    return new.astype(float) - old.astype(float)


def hall_bound(x: np.ndarray, alpha: float, *, lower: bool) -> float:
    """One-sided bound of the mean of ``x`` from Hall's cubic transformation, exact to skewness.

    With W = (x̄ − μ)/s and skewness γ, Q(W) = W + γW²/3 + γ²W³/27 + γ/(6n) is normal to second order with standard
    deviation 1/√n; the bound is x̄ − s·Q⁻¹(±t/√n). t with n−1 degrees of freedom and s, γ over n−1: a little wider
    than the normal form at small n.
    """
    n = len(x)
    s, skew = _moments(x)
    if s <= _EDGE:
        return float(x.mean())
    quantile = float(t.isf(alpha, n - 1)) / math.sqrt(n)
    return float(x.mean()) - s * _hall_inverse(quantile if lower else -quantile, skew, n)


def _moments(x: np.ndarray) -> tuple[float, float]:
    """Standard deviation over n−1, and the skewness with it; (0, 0) where all values are equal."""
    if len(x) < 2:
        return 0.0, 0.0
    s = float(x.std(ddof=1))
    return (s, float(((x - x.mean()) ** 3).mean()) / s**3) if s > _EDGE else (0.0, 0.0)


def _hall_inverse(q: float, skew: float, n: int) -> float:
    if abs(skew) < 1e-8:
        return q
    inside = 1 + skew * (q - skew / (6 * n))
    return 3 / skew * (math.copysign(abs(inside) ** (1 / 3), inside) - 1)


def hall_p_harm(x: np.ndarray) -> float:
    """One-sided p-value that the mean of ``x`` is below zero, from the same transformation; 1 where the mean isn't."""
    n, mean = len(x), float(x.mean())
    if mean >= -_EDGE:
        return 1.0
    s, skew = _moments(x)
    if s <= _EDGE:
        return 0.0 if n > 1 else 1.0  # every item fell by the same amount; one item alone proves nothing
    w = mean / s
    q = w + skew * w**2 / 3 + skew**2 * w**3 / 27 + skew / (6 * n)
    return float(t.cdf(q * math.sqrt(n), n - 1))


def compare_graded(candidate: Sequence[float], baseline: Sequence[float], alpha: float) -> Comparison:
    """Compare graded results in [0, 1] on the same items, in the same order."""
    x = graded_differences(candidate, baseline)
    return Comparison(
        len(x),
        float(x.mean()),
        hall_bound(x, alpha, lower=True),
        hall_bound(x, alpha, lower=False),
        hall_p_harm(x),
        float(x.std()),
    )


def graded_differences(candidate: Sequence[float], baseline: Sequence[float]) -> np.ndarray:
    """Candidate minus baseline of graded results.

    Raises:
        ValueError: a value is NaN or outside [0, 1]: it is never taken for a score.
    """
    new, old = np.asarray(candidate, float), np.asarray(baseline, float)
    _same_length(new, old)
    for name, values in (("candidate", new), ("baseline", old)):
        if not bool(((values >= 0) & (values <= 1)).all()):
            raise ValueError(f"the {name} has a graded result outside [0, 1] or NaN")
    return new - old


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses Holm's step-down procedure rejects at family-wise ``alpha`` (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: (math.isnan(p_values[i]), p_values[i]))
    rejected = [False] * len(p_values)
    for rank, index in enumerate(order):
        if not p_values[index] <= alpha / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


def minimum_detectable(spread: float, n: int, alpha: float, power: float = 0.8) -> float:
    """The true difference that a one-sided test at ``alpha`` finds with ``power``."""
    return (z_of(alpha) + float(norm.ppf(power))) * spread / math.sqrt(n)


def items_to_settle(delta: float, spread: float, alpha: float, threshold: float, power: float = 0.8) -> int | None:
    """Items after which a lower bound clears ``threshold`` with ``power``, if the truth is as observed; None: never."""
    room = delta - threshold
    if room <= 0:
        return None
    return max(1, math.ceil(((z_of(alpha) + float(norm.ppf(power))) * spread / room) ** 2))


def _same_length(new: np.ndarray, old: np.ndarray) -> None:
    if new.shape != old.shape or new.ndim != 1 or len(new) == 0:
        raise ValueError(f"results of {new.shape} and {old.shape} items can't be paired")
