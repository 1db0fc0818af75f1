"""Early stop for harm: a suite is looked at when 25, 50, 75 and 100 % of its items are scored, in random order. Pure.

These looks are the FAIL test: α is spent over them (Lan & DeMets 1983, Biometrika 70:659, their O'Brien-Fleming-like
function), so harm is not tested a second time at the end. There is no early PASS: a passer must be fully scored to be
the next baseline. Several suites: each gets a sequential p-value, the smallest α at which its looks would have
rejected; Holm's procedure over them is Holm's procedure at every moment, since a sequential p-value only falls.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from tasks.gate.statistics import holm

FRACTIONS = (0.25, 0.5, 0.75, 1.0)

# boundaries fall as α grows only up to α = 0.318; a p-value above this is none that speaks for harm, and is called 1
LARGEST_P = 0.3
SMALLEST_P = 1e-15

# of a look's quadrature; 64 already give 12 digits
_NODES = 96
_FAR = 9.0  # standard deviations below which nothing is left to integrate


class Looks(NamedTuple):
    """``order``: item positions in the order of scoring; ``sizes``: how many of them are scored at each look."""

    order: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def fractions(self) -> tuple[float, ...]:
        return tuple(size / len(self.order) for size in self.sizes)


class Harm(NamedTuple):
    """One suite's evidence of harm: sequential p-value, the look (from 0) that gave it, and what Holm makes of it."""

    p: float
    look: int | None
    proven: bool


def plan_looks(families: Sequence[str], seed: str, floor: int = 1) -> Looks:
    """The order in which a suite's items are scored, and when it is looked at.

    Families are shuffled whole: half a family is not a random part of the suite. A look at fewer than ``floor``
    families is left out, whatever the results are; the last look always stays.

    Args:
        families: each item's family; an item alone is its own family.
        seed: the suite's digest or the night's: the same digest, the same order.
    """
    if not families:
        raise ValueError("there is nothing to look at: the suite has no items")
    members: dict[str, list[int]] = {}
    for position, family in enumerate(families):
        members.setdefault(family, []).append(position)
    shuffled = sorted(members, key=lambda family: hashlib.sha256(f"{seed}\0{family}".encode()).digest())
    ends = np.cumsum([len(members[family]) for family in shuffled])
    # the first family end at which the share of items is reached
    counts = [int(np.searchsorted(ends, fraction * len(families) - 1e-9)) + 1 for fraction in FRACTIONS]
    kept = sorted({count for count in counts if count >= floor} | {len(shuffled)})
    order = tuple(position for family in shuffled for position in members[family])
    return Looks(order, tuple(int(ends[count - 1]) for count in kept))


def spent(alpha: float, fraction: float) -> float:
    """α spent once this fraction of the items is scored: 2(1 − Φ(z(α/2)/√fraction))."""
    return float(2 * norm.sf(norm.isf(alpha / 2) / math.sqrt(fraction)))


@lru_cache(maxsize=256)
def boundaries(alpha: float, fractions: tuple[float, ...] = FRACTIONS) -> tuple[float, ...]:
    """The z of harm that each look needs, for a one-sided ``alpha`` over all looks.

    With the four looks and α = 0.05: 3.750, 2.540, 2.016, 1.720. Of k suites each first gets α/k.

    Raises:
        ValueError: fractions that don't grow to at most 1, or an α outside (0, 0.3].
    """
    if not 0 < alpha <= LARGEST_P:
        raise ValueError(f"alpha must lie in (0, {LARGEST_P}], got {alpha}")
    _check(fractions)
    found: list[float] = []
    walk, before = _Walk(), 0.0
    for fraction in fractions:
        total = spent(alpha, fraction)
        bound = walk.bound(fraction, total - before)
        found.append(bound)
        walk, before = walk.advance(fraction, bound), total
    return tuple(found)


def crossed_by(bounds: Sequence[float], fractions: Sequence[float] = FRACTIONS) -> tuple[float, ...]:
    """Probability that an unchanged model has crossed by each look: exact, the looks' z being normal.

    The z of looks i < j correlate by √(fraction_i / fraction_j). Integrated look by look (Armitage, McPherson & Rowe
    1969, JRSS A 132:235), to 10 digits.
    """
    _check(fractions)
    found: list[float] = []
    walk, total = _Walk(), 0.0
    for fraction, bound in zip(fractions, bounds, strict=True):
        total += walk.tail(fraction, bound)
        found.append(total)
        walk = walk.advance(fraction, bound)
    return tuple(found)


def sequential_p(z: Sequence[float], fractions: Sequence[float] = FRACTIONS) -> float:
    """The smallest α at which the looks so far would have rejected (Liu & Anderson 2008, JASA 103:1621).

    Valid at any moment: under no harm it is below u with a probability of at most u, whenever one stops looking. Above
    0.3 it is given as 1.

    Args:
        z: of the looks done so far, from the first; −∞ where nothing speaks for harm.
        fractions: of all looks, done or not.

    Raises:
        ValueError: more looks than fractions, or a NaN: it is never taken for "no harm".
    """
    if len(z) > len(fractions) or any(math.isnan(value) for value in z):
        raise ValueError(f"z of harm {tuple(z)} at looks {tuple(fractions)} can't be judged")
    return min((_p_of_look(tuple(fractions), look, value) for look, value in enumerate(z)), default=1.0)


def judge_harm(suites: Sequence[tuple[Looks, Sequence[float]]], alpha: float) -> list[Harm]:
    """On which suites harm is proven by now: Holm over sequential p-values at family-wise ``alpha``.

    Ask after every look; what is proven stays proven. One proven suite is a FAIL, so scoring may stop there.

    Args:
        suites: each suite's looks, and the one-sided p-values of harm of those done so far.

    Raises:
        ValueError: more p-values than looks, or a NaN: it is never taken for "no harm".
    """
    found: list[tuple[float, int | None]] = []
    for looks, p_values in suites:
        if len(p_values) > len(looks.sizes) or not all(0 <= p <= 1 for p in p_values):
            raise ValueError(f"p-values of harm {tuple(p_values)} at looks of {looks.sizes} items can't be judged")
        each = [_p_of_look(looks.fractions, look, float(norm.isf(p))) for look, p in enumerate(p_values)]
        smallest = min(each, default=1.0)
        found.append((smallest, each.index(smallest) if smallest < 1 else None))
    proven = holm([p for p, _ in found], alpha)
    return [Harm(p, look, harmed) for (p, look), harmed in zip(found, proven, strict=True)]


def _p_of_look(fractions: tuple[float, ...], look: int, z: float) -> float:
    """The α whose boundary at this look is ``z``."""
    if z == math.inf:
        return 0.0
    done = fractions[: look + 1]
    if not z >= boundaries(LARGEST_P, done)[-1]:
        return 1.0
    if z >= boundaries(SMALLEST_P, done)[-1]:
        return SMALLEST_P
    low, high = math.log(SMALLEST_P), math.log(LARGEST_P)
    # boundaries fall with α; exp(log) may come out above the largest by a rounding
    root = brentq(lambda x: boundaries(min(math.exp(x), LARGEST_P), done)[-1] - z, low, high, xtol=1e-9)
    return math.exp(root)  # pyright: ignore[reportArgumentType]


class _Walk(NamedTuple):
    """Where the sum of differences may stand, in units of the whole suite's standard error, if no look has crossed."""

    fraction: float = 0.0
    points: np.ndarray = np.zeros(1)
    mass: np.ndarray = np.ones(1)

    def tail(self, fraction: float, bound: float) -> float:
        """Probability of crossing ``bound`` at ``fraction``, and not before."""
        step = math.sqrt(fraction - self.fraction)
        return float(self.mass @ norm.sf((bound * math.sqrt(fraction) - self.points) / step))

    def bound(self, fraction: float, probability: float) -> float:
        """The bound whose tail is ``probability``; infinite where that is nothing in floating point."""
        if probability <= 0:
            return math.inf
        if self.fraction == 0:
            return float(norm.isf(probability))
        # in logarithms: tails run over many powers of ten
        wanted = math.log(probability)
        if self.tail(fraction, 36.0) >= probability:
            return math.inf
        return brentq(lambda z: math.log(max(self.tail(fraction, z), 1e-320)) - wanted, -_FAR, 36.0, xtol=1e-11)  # pyright: ignore[reportReturnType]

    def advance(self, fraction: float, bound: float) -> "_Walk":
        """The walk at the next look, of those that stay below ``bound``."""
        root = math.sqrt(fraction)
        low = -_FAR * root
        high = max(low, min(bound, _FAR) * root)
        nodes, weights = _gauss()
        points = low + (high - low) * nodes
        step = math.sqrt(fraction - self.fraction)
        density = norm.pdf((points[:, None] - self.points[None, :]) / step) / step @ self.mass
        return _Walk(fraction, points, (high - low) * weights * density)


@lru_cache(maxsize=1)
def _gauss() -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2


def _check(fractions: Sequence[float]) -> None:
    if not fractions or not all(a < b for a, b in zip((0.0, *fractions), fractions, strict=False)) or fractions[-1] > 1:
        raise ValueError(f"looks must be at growing fractions in (0, 1], got {tuple(fractions)}")
