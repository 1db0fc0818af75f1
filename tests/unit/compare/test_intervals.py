"""Intervals over seeds against references and simulated data."""

import math

import numpy as np
import pytest
from scipy import stats

from tasks.compare.intervals import ratio_of, spread, t_error, with_seeds


def test_the_half_width_is_the_t_intervals() -> None:
    values = [0.12, 0.19, 0.15, 0.09]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert t_error(values, 0.05) == pytest.approx((high - low) / 2)
    assert t_error([0.1], 0.05) is None
    # two values: 12.706 standard errors
    assert t_error([0.0, 2.0], 0.05) == pytest.approx(12.7062, abs=1e-4)


def test_without_a_spread_of_seeds_the_interval_over_items_stays_and_with_one_seed_there_is_none() -> None:
    assert with_seeds(0.1, 0.05, 0.2, [0.1, 0.1, 0.1], 0.05) == pytest.approx((0.05, 0.2))
    assert with_seeds(0.1, 0.05, 0.2, [0.1], 0.05) is None


def test_both_sources_add_in_squares_to_either_side() -> None:
    error = t_error([0.0, 0.2, 0.1], 0.05)
    assert error is not None
    found = with_seeds(0.1, 0.06, 0.18, [0.0, 0.2, 0.1], 0.05)
    assert found == pytest.approx((0.1 - math.hypot(0.04, error), 0.1 + math.hypot(0.08, error)))


def test_a_ratio_and_its_inverse_say_the_same() -> None:
    ours, theirs = [1.0, 1.2, 0.9], [5.0, 5.1, 4.4]
    one, other = ratio_of(ours, theirs, 0.05), ratio_of(theirs, ours, 0.05)
    assert one.ratio == pytest.approx(1 / other.ratio)
    assert one.lower is not None
    assert other.upper is not None
    assert one.lower == pytest.approx(1 / other.upper)
    logs = np.log(np.array(ours) / np.array(theirs))
    assert (math.log(one.lower), math.log(one.upper or 0)) == pytest.approx(
        stats.t.interval(0.95, 2, logs.mean(), stats.sem(logs))
    )


def test_one_seed_has_a_ratio_and_no_interval() -> None:
    assert ratio_of([1.0], [4.0], 0.05) == (0.25, None, None)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_quantity_that_is_none_has_no_ratio(bad: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ratio_of([bad], [1.0], 0.05)
    with pytest.raises(ValueError, match="have no ratio"):
        ratio_of([], [], 0.05)


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_a_ratios_interval_holds_the_truth_as_often_as_it_says(seeds: int) -> None:
    draw = np.random.default_rng(seeds)
    held = 0
    for _ in range(2000):
        machine = draw.normal(0, 0.5, seeds)  # what is peculiar to a seed's device is in both
        ours = np.exp(machine + draw.normal(0, 0.05, seeds))
        theirs = np.exp(machine + math.log(5) + draw.normal(0, 0.1, seeds))
        found = ratio_of(list(ours), list(theirs), 0.05)
        held += (found.lower or 0) <= 0.2 <= (found.upper or 0)
    assert held / 2000 == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("seeds", "between"), [(2, 0.02), (3, 0.02), (3, 0.0), (5, 0.1)])
def test_a_difference_of_methods_is_held_at_least_as_often_as_the_interval_says(seeds: int, between: float) -> None:
    draw, truth, items, held = np.random.default_rng(seeds), 0.03, 200, 0
    for _ in range(1000):
        own = draw.normal(0, between, seeds)  # a seed's luck
        item = draw.normal(0, 0.3, items)  # what items differ by, alike for all seeds
        rows = truth + own[:, None] + item + draw.normal(0, 0.1, (seeds, items))
        mean = rows.mean(0)
        error = stats.t.isf(0.025, items - 1) * stats.sem(mean)
        delta = float(mean.mean())
        found = with_seeds(delta, delta - error, delta + error, list(rows.mean(1)), 0.05)
        assert found is not None
        held += found[0] <= truth <= found[1]
    assert held / 1000 >= 0.935  # 0.95 less two standard errors of this simulation


def test_the_spread_is_over_n_minus_one() -> None:
    assert spread([1.0, 3.0]) == pytest.approx(math.sqrt(2))
    assert spread([1.0]) is None
