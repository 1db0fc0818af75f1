"""The gate's statistics against published and golden values, and as properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.gate.statistics import (
    Discordant,
    compare_graded,
    compare_right,
    hall_bound,
    hall_p_harm,
    holm,
    items_to_settle,
    minimum_detectable,
    tango_bounds,
    tango_statistic,
    z_of,
)

GOLDEN = [
    (0, 1, 44, 0.95, -0.118077, 0.059393),
    (1, 7, 21, 0.95, -0.517232, -0.026003),
    (6, 16, 161, 0.95, -0.124023, -0.005433),
    (40, 20, 160, 0.95, 0.030865, 0.218064),
    (0, 0, 300, 0.90, -0.008938, 0.008938),
    (8, 16, 300, 0.90, -0.055564, 0.000204),
    (0, 9, 300, 0.90, -0.050866, -0.017535),
    (0, 50, 50, 0.95, -1.0, -0.857305),
]

counts = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 200)).map(
    lambda t: Discordant(t[0], t[1], t[0] + t[1] + t[2] + 1)
)


@pytest.mark.parametrize(("b", "c", "n", "confidence", "lower", "upper"), GOLDEN)
def test_tango_interval_has_the_golden_values(
    b: int, c: int, n: int, confidence: float, lower: float, upper: float
) -> None:
    found = tango_bounds(Discordant(b, c, n), z_of((1 - confidence) / 2))
    assert found == pytest.approx((lower, upper), abs=1.5e-6)


@pytest.mark.parametrize(("b", "c", "n", "expected"), [(12, 12, 300, 1.747905), (40, 40, 1000, 3.191223)])
def test_tango_statistic_has_the_golden_values(b: int, c: int, n: int, expected: float) -> None:
    assert tango_statistic(Discordant(b, c, n), -0.03) == pytest.approx(expected, abs=1e-6)


def test_tango_of_two_equal_models_is_zero_and_divides_by_nothing() -> None:
    assert tango_statistic(Discordant(0, 0, 50), 0.0) == 0.0
    lower, upper = tango_bounds(Discordant(0, 0, 50), 1.645)
    assert -0.06 < lower < 0 < upper < 0.06


@given(counts, st.floats(0.5, 4))
def test_tango_interval_holds_the_observed_difference_and_mirrors_when_models_swap(pairs: Discordant, z: float) -> None:
    lower, upper = tango_bounds(pairs, z)
    assert -1 <= lower <= (pairs.b - pairs.c) / pairs.n <= upper <= 1
    assert tango_bounds(Discordant(pairs.c, pairs.b, pairs.n), z) == pytest.approx((-upper, -lower), abs=1e-6)


@given(counts, st.floats(0.5, 3))
def test_tango_bound_is_where_the_score_test_turns(pairs: Discordant, z: float) -> None:
    lower, _ = tango_bounds(pairs, z)
    if lower > -1 + 1e-6:
        assert tango_statistic(pairs, lower) == pytest.approx(z, abs=1e-4)


@pytest.mark.parametrize("pairs", [(1, 1, 0), (-1, 0, 5), (3, 3, 5)])
def test_tango_refuses_impossible_counts(pairs: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="impossible counts"):
        tango_bounds(Discordant(*pairs), 1.645)


def test_hall_bounds_have_the_golden_values() -> None:
    symmetric = np.array([((7 * i % 11) - 5) / 50 for i in range(100)])
    skewed = np.array([0.01] * 96 + [-0.99] * 4)
    assert hall_bound(symmetric, 0.05, lower=True) == pytest.approx(-0.0116259, abs=5e-8)
    assert hall_bound(skewed, 0.05, lower=True) == pytest.approx(-0.0834852, abs=5e-8)


def test_hall_bound_of_few_heavy_losses_is_wider_than_a_plain_t() -> None:
    skewed = np.array([0.01] * 96 + [-0.99] * 4)
    plain = skewed.mean() - 1.660391 * skewed.std(ddof=1) / 10
    assert hall_bound(skewed, 0.05, lower=True) < plain


@given(st.lists(st.floats(-1, 1), min_size=10, max_size=60), st.floats(0.001, 0.2))
def test_hall_bounds_mirror_when_models_swap(values: list[float], alpha: float) -> None:
    x = np.array(values)
    assert hall_bound(x, alpha, lower=True) == pytest.approx(-hall_bound(-x, alpha, lower=False), abs=1e-9)


def test_hall_type_one_error_of_harm_is_near_alpha_for_a_skewed_truth() -> None:
    rng = np.random.default_rng(1)
    # mean exactly 0, skewness near -2: the case in which a plain t errs most
    draws = 1.0 - rng.exponential(1.0, size=(4000, 120))
    rate = np.mean([hall_p_harm(x) <= 0.05 for x in draws])
    assert 0.035 < rate < 0.065


def test_equal_models_show_no_harm_in_either_measure() -> None:
    right = compare_right([True, False] * 60, [True, False] * 60, 0.05)
    graded = compare_graded([0.3, 0.6] * 60, [0.3, 0.6] * 60, 0.05)
    assert right.p_harm == graded.p_harm == 1.0
    assert right.delta == graded.delta == 0.0
    assert graded.lower == 0.0


def test_a_uniformly_worse_candidate_has_the_smallest_p_of_harm() -> None:
    assert compare_graded([0.4] * 120, [0.5] * 120, 0.05).p_harm == 0.0


@pytest.mark.parametrize("bad", [math.nan, -0.01, 1.01, math.inf])
def test_a_graded_result_outside_its_range_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        compare_graded([0.5] * 99 + [bad], [0.5] * 100, 0.05)


def test_results_of_different_lengths_are_not_paired() -> None:
    with pytest.raises(ValueError, match="can't be paired"):
        compare_right([True], [True, False], 0.05)


def test_holm_steps_down_and_stops_at_the_first_that_holds() -> None:
    assert holm([0.01, 0.04, 0.03], 0.05) == [True, False, False]
    assert holm([0.01, 0.02, 0.03], 0.05) == [True, True, True]
    assert holm([math.nan, 0.001], 0.05) == [False, True]


def test_minimum_detectable_effect_is_the_textbook_one() -> None:
    # 2.4865·√(ψ/n) for disagreement ψ = 0.1 and n = 400 at z = 1.645 and 80 % power
    assert minimum_detectable(math.sqrt(0.1), 400, 0.05) == pytest.approx(2.4865 * math.sqrt(0.1 / 400), rel=1e-4)


def test_items_to_settle_names_a_size_at_which_the_bound_would_clear() -> None:
    needed = items_to_settle(-0.01, 0.3, 0.05, -0.03)
    assert needed is not None
    assert -0.01 - (1.6449 + 0.8416) * 0.3 / math.sqrt(needed) == pytest.approx(-0.03, abs=1e-4)
    assert items_to_settle(-0.04, 0.3, 0.05, -0.03) is None
