"""Bank wear: what a bank of items says too much of a model that was picked on it again and again. Pure.

Every decision looks at the same items, and what passes is kept: its luck on these items is kept with it. After k
decisions the bank flatters the champion by about 0.7·SE·ln k, SE being one comparison's standard error. The figure is
checked against simulated years by benchmarks/nights.py.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

PER_LOG_DECISION = 0.7

# no plan counts further
MANY = 1_000_000

State = Literal["fresh", "worn", "spent"]


class Life(NamedTuple):
    """Decisions a bank is good for: up to ``warn_after`` without a warning, up to ``end_after`` at all."""

    warn_after: int
    end_after: int


def bank_wear(spread: float, n: int, decisions: int) -> float:
    """Wear after this many decisions, in units of the score.

    Args:
        spread: standard deviation of the paired differences; √ψ for right/wrong with disagreement ψ.
        n: items, or families.
    """
    return PER_LOG_DECISION * spread / math.sqrt(n) * math.log(max(decisions, 1))


def wear_state(wear: float, margin: float) -> State:
    """Worn above half the margin: a warning. Spent above the margin: nothing passes until items are rotated."""
    if not wear <= margin:
        return "spent"
    return "worn" if wear > margin / 2 else "fresh"


def bank_life(spread: float, n: int, margin: float) -> Life:
    """How many decisions the bank is good for; at most a million is said."""
    return Life(_decisions(spread, n, margin / 2), _decisions(spread, n, margin))


def _decisions(spread: float, n: int, limit: float) -> int:
    unit = bank_wear(spread, n, 2) / math.log(2)
    if unit <= 0 or limit / unit >= math.log(MANY):
        return MANY
    return math.floor(math.exp(limit / unit))


def bank_wear_of(spread: float, n: int, ages: Sequence[int]) -> float:
    """Wear of a bank whose items have seen different numbers of decisions, tonight's counted.

    An item's luck counts for its share of the mean, so the logarithms are averaged: of items that all saw k − 1
    decisions before it is ``bank_wear(spread, n, k)``, and a fresh item adds none.

    Args:
        ages: decisions each item took part in before tonight's.
    """
    if not ages:
        return 0.0
    logarithms = sum(math.log(max(age + 1, 1)) for age in ages) / len(ages)
    return PER_LOG_DECISION * spread / math.sqrt(n) * logarithms
