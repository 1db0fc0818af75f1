"""What a design can show before anything is scored: the probability that a model passes, suite by suite. Pure.

Right/wrong is exact: every outcome of the paired counts is put through the product's own Tango test. Graded results are
taken as normal, with Hall's bound as the plain t it is when nothing is skewed.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import binom, multivariate_normal, nct, norm, t

from tasks.contracts import Measure
from tasks.gate.sequential import FRACTIONS, boundaries, crossed_by
from tasks.gate.statistics import Discordant, tango_statistic, z_of

# binomial tails beyond this count for nothing
_TAIL = 1e-12


class Together(NamedTuple):
    """Probability that both comparisons of a suite pass, champion's and anchor's: they share the candidate's scores.

    ``low`` for independent comparisons, ``likely`` for a correlation of ½, ``high`` where one decides for both.
    """

    low: float
    likely: float
    high: float


def items_without_disagreement(margin: float, z: float) -> float:
    """Right/wrong items that must be exceeded for a lower bound above −margin: z²(1−m)/m, even if nothing disagrees.

    Tango's statistic of b = c = 0 at −m is √(n·m/(1−m)).
    """
    return z * z * (1 - margin) / margin


def least_wins(n: int, d0: float, z: float) -> np.ndarray:
    """For every number of losses c = 0…n, the fewest wins b whose lower bound is above ``d0``; n + 1 where none is.

    The bound is above d0 where Tango's statistic at d0 is above ``z``; it grows with b and falls with c.
    """
    least = np.full(n + 1, n + 1)
    b = 0
    for c in range(n + 1):
        while b + c <= n and not tango_statistic(Discordant(b, c, n), d0) > z:
            b += 1
        if b + c > n:
            break
        least[c] = b
    return least


def right_passes(n: int, disagreement: float, margin: float, z: float, delta: float = 0.0) -> float:
    """Exact probability that right/wrong results of ``n`` items give a lower bound above −margin.

    Args:
        disagreement: ψ, the share of items on which the two models differ.
        delta: the true difference, candidate minus baseline; −margin gives the type-I error.

    Raises:
        ValueError: no pair of models has such a difference with so little disagreement.
    """
    if not abs(delta) <= disagreement <= 1:
        raise ValueError(f"a difference of {delta} needs a disagreement of as much, not {disagreement}")
    wins, losses = (disagreement + delta) / 2, (disagreement - delta) / 2
    least = least_wins(n, -margin, z)
    low, high = int(binom.ppf(_TAIL, n, losses)), int(binom.isf(_TAIL, n, losses))
    c = np.arange(max(low, 0), min(high, n) + 1)
    # of the items that aren't lost, each is won with this probability
    share = min(wins / (1 - losses), 1.0) if losses < 1 else 0.0
    return float(np.sum(binom.pmf(c, n, losses) * binom.sf(least[c] - 1, n - c, share)))


def graded_passes(n: int, spread: float, margin: float, alpha: float, delta: float = 0.0) -> float:
    """Probability that graded results give a lower bound above −margin, the differences being normal."""
    room = margin + delta
    if spread <= 0:
        return 1.0 if room > 0 else 0.0
    return float(nct.sf(t.isf(alpha, n - 1), n - 1, room * math.sqrt(n) / spread))


def bound_passes(measure: Measure, n: int, spread: float, margin: float, alpha: float, delta: float = 0.0) -> float:
    """Probability of a lower bound above −margin in either measure; ``spread`` is √ψ for right/wrong."""
    if measure == "right":
        return right_passes(n, spread**2, margin, z_of(alpha), delta)
    return graded_passes(n, spread, margin, alpha, delta)


def smooth_score(measure: Measure, n: int, spread: float, margin: float, alpha: float) -> float:
    """Normal quantile of an equal model's probability to pass, smooth in ``n``.

    For right/wrong the test's own variance is at the limit −m, with the counts that are expected of an equal model.
    """
    z, at_limit = z_of(alpha), spread
    if spread <= 0:
        return math.inf if measure != "right" or n > items_without_disagreement(margin, z) else -math.inf
    if measure == "right":
        expected = Discordant(n * spread**2 / 2, n * spread**2 / 2, n)
        at_limit = margin * math.sqrt(n) / tango_statistic(expected, -margin)
    elif n > 1:
        z = float(t.isf(alpha, n - 1))
    return (margin * math.sqrt(n) - z * at_limit) / spread


def reachable_margin(
    measure: Measure, n: int, spread: float, alpha: float, probability: float, step: float = 0.001
) -> float | None:
    """The smallest margin, in whole steps, that an equal model passes with this probability on ``n`` items."""
    low, high = 1, math.floor(0.5 / step)
    if bound_passes(measure, n, spread, high * step, alpha) < probability:
        return None
    while low < high:
        middle = (low + high) // 2
        enough = bound_passes(measure, n, spread, middle * step, alpha) >= probability
        low, high = (low, middle) if enough else (middle + 1, high)
    return round(low * step, 9)


def unharmed(passes: float, alpha: float, fractions: tuple[float, ...] = FRACTIONS) -> float:
    """Probability that an equal model passes its bound against the champion *and* crosses no look for harm.

    Both are limits on one walk: the bound on its end, the looks on its way. In normal theory, with the bound put where
    it is passed with probability ``passes``; ``alpha`` is the suite's share.
    """
    *early, last = boundaries(alpha, fractions)
    return 1 - crossed_by((*early, min(last, float(norm.ppf(passes)))), fractions)[-1]


def both_pass(champion: float, anchor: float) -> Together:
    """Champion and anchor comparison together, from the probability of each.

    Their correlation is (s_c² + s_a² − s_ca²)/(2·s_c·s_a), from the spreads candidate–champion, candidate–anchor and
    champion–anchor: ½ for three models with as much noise each, 1 where champion and anchor are the same model. It is
    negative only where champion and anchor lie on either side of the candidate; then ``low`` doesn't hold. Positively
    correlated normals are associated (Pitt 1982, Annals of Probability 10:496), so the product is a lower limit.
    """
    low, high = champion * anchor, min(champion, anchor)
    if low <= 0 or high >= 1:
        return Together(low, low, high)
    corner = norm.ppf([champion, anchor])
    likely = float(multivariate_normal([0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]]).cdf(corner))  # pyright: ignore[reportArgumentType]
    # where one of them always passes, integration errors of 1e-8 mustn't leave the limits
    return Together(low, min(max(likely, low), high), high)
