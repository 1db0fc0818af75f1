"""Intervals of shares, paired differences and means: against other routes to them, and by how often they hold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tasks.data.intervals import mean, paired_difference, share


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_shares_interval_is_scipys_wilson_interval(counts: tuple[int, int]) -> None:
    hits, n = counts
    known = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert share(hits, n)[1:] == pytest.approx((known.low, known.high), abs=1e-9)


def paired(both: int, only: int, other: int, neither: int) -> tuple[list[bool], list[bool]]:
    cells = [(True, True)] * both + [(True, False)] * only + [(False, True)] * other + [(False, False)] * neither
    return [one for one, _ in cells], [two for _, two in cells]


def by_scipy(both: int, only: int, other: int, neither: int) -> tuple[float, float]:
    """Newcombe's method 10 from scipy's Wilson bounds and numpy's correlation, corrected by hand."""
    n = both + only + other + neither
    a, b = paired(both, only, other, neither)
    (low, high), (low2, high2) = (stats.binomtest(sum(hits), n).proportion_ci(method="wilson") for hits in (a, b))
    phi = float(np.corrcoef(a, b)[0, 1])
    if phi > 0:
        determinant = both * neither - only * other
        phi *= max(determinant - n / 2, 0) / determinant
    p, q = sum(a) / n, sum(b) / n
    down = (p - low) ** 2 - 2 * phi * (p - low) * (high2 - q) + (high2 - q) ** 2
    up = (high - p) ** 2 - 2 * phi * (high - p) * (q - low2) + (q - low2) ** 2
    return p - q - math.sqrt(down), p - q + math.sqrt(up)


@pytest.mark.parametrize("cells", [(20, 12, 2, 16), (1, 9, 3, 87), (40, 30, 30, 900), (5, 1, 20, 24), (2, 30, 30, 2)])
def test_a_paired_differences_interval_is_newcombes(cells: tuple[int, int, int, int]) -> None:
    assert paired_difference(*paired(*cells))[1:] == pytest.approx(by_scipy(*cells))


def test_a_paired_differences_interval_holds_the_truth_in_some_95_of_100_samples() -> None:
    rng = np.random.default_rng(5)
    chances, n, rounds = [0.1, 0.2, 0.05, 0.65], 120, 1500
    held = 0
    for _ in range(rounds):
        _, lower, upper = paired_difference(*paired(*rng.multinomial(n, chances)))
        held += lower <= chances[1] - chances[2] <= upper
    assert 0.935 <= held / rounds <= 0.975


def test_without_a_single_difference_the_interval_still_has_a_width() -> None:
    value, lower, upper = paired_difference([False] * 50, [False] * 50)
    assert value == 0
    assert lower == pytest.approx(-upper)
    assert 0.05 < upper < 0.15


def test_a_means_interval_is_scipys_t_interval() -> None:
    x = np.array([0.2, 1.4, -0.3, 2.2, 0.9])
    known = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert mean(x) == pytest.approx((x.mean(), known.low, known.high))
    assert mean([1.0])[1:] == (-math.inf, math.inf)
