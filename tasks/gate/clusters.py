"""Comparisons of items that come in families: paraphrases and template twins stand or fall together. Pure.

The difference is the mean over items; its variance is the sandwich of the family sums of residuals (Liang & Zeger 1986,
Biometrika 73:13; with G/(G−1) for G families), and G−1 are the degrees of freedom. ``Comparison.n`` counts families,
and ``spread`` is per family, so that spread/√n is the standard error, as everywhere else.

With every item in a family of its own, these are the plain comparisons of statistics.py, to the last digit.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from tasks.gate.statistics import (
    Comparison,
    Discordant,
    compare_graded,
    compare_right,
    graded_differences,
    hall_bound,
    hall_p_harm,
    right_differences,
    tango_bounds,
    tango_statistic,
)

# a bound nobody can hold against a margin, for one family: its variance can't be known
UNKNOWN = (-1.0, 1.0)


def family_contributions(x: np.ndarray, families: Sequence[str]) -> np.ndarray:
    """One value a family, in the order of first appearance, whose mean is the mean of ``x`` over items.

    The value is x̄ + (G/n)·Σ(x − x̄) over the family's items: its variance over G−1, divided by G, is the sandwich
    variance of x̄. Of single items it is ``x`` itself.
    """
    if len(families) != len(x):
        raise ValueError(f"{len(x)} items have {len(families)} families")
    numbers = {family: number for number, family in enumerate(dict.fromkeys(families))}
    count = len(numbers)
    if count == len(x):
        return x
    mean = x.mean()
    residuals = np.bincount([numbers[family] for family in families], x - mean, count)
    return mean + residuals * (count / len(x))


def compare_graded_families(
    candidate: Sequence[float], baseline: Sequence[float], families: Sequence[str], alpha: float
) -> Comparison:
    """Graded results: Hall's skew-corrected t with G−1 degrees of freedom on the families' contributions.

    Below MIN_GRADED families the skewness is noise, as below as many single items.
    """
    x = graded_differences(candidate, baseline)
    u = family_contributions(x, families)
    if len(u) == len(x):
        return compare_graded(candidate, baseline, alpha)
    if len(u) == 1:
        return Comparison(1, float(x.mean()), *UNKNOWN, 1.0, 0.0)
    return Comparison(
        len(u),
        float(x.mean()),
        hall_bound(u, alpha, lower=True),
        hall_bound(u, alpha, lower=False),
        hall_p_harm(u),
        float(u.std()),
    )


def compare_right_families(
    candidate: Sequence[bool], baseline: Sequence[bool], families: Sequence[str], alpha: float
) -> Comparison:
    """Right/wrong results: the cluster-robust t on differences in {−1, 0, 1}, and never narrower than Tango's score.

    The t alone has no width where nothing disagrees, and too little where little does (type-I error up to 12 % in 200
    families). So counts divided by the design effect go through Tango's score with t(G−1) too (after Rao & Scott 1992,
    Biometrics 48:577), and the wider bound counts.
    """
    x = right_differences(candidate, baseline)
    u = family_contributions(x, families)
    count, n, delta = len(u), len(x), float(x.mean())
    if count == n:
        return compare_right(candidate, baseline, alpha)
    if count == 1:
        return Comparison(1, delta, *UNKNOWN, 1.0, 0.0)
    error = float(u.std(ddof=1)) / math.sqrt(count)
    pairs = _effective(x, error, count)
    quantile = float(t.isf(alpha, count - 1))
    lower, upper = tango_bounds(pairs, quantile)
    # at a difference of zero the score is always the weaker of the two
    p_harm = float(t.cdf(tango_statistic(pairs, 0.0), count - 1)) if delta < 0 else 1.0
    return Comparison(
        count,
        delta,
        min(lower, delta - quantile * error),
        max(upper, delta + quantile * error),
        p_harm,
        float(u.std()),
    )


def _effective(x: np.ndarray, error: float, count: int) -> Discordant:
    """The counts of as many independent items as these are worth.

    The design effect is the sandwich variance over the independent one: at least 1, since families can't be proven to
    help, and the mean family size where there is nothing to see it from.
    """
    independent = math.sqrt(x.var() / len(x))
    effect = max(1.0, (error / independent) ** 2) if independent > 0 else len(x) / count
    b, c = int((x > 0).sum()) / effect, int((x < 0).sum()) / effect
    return Discordant(b, c, max(len(x) / effect, b + c))
