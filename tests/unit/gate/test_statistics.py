"""The gate's statistics against published and golden values, and as properties."""

import math
import warnings
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, t

from tasks.gate.statistics import (
    MIN_GRADED,
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


def exact_tango(b: float, c: float, n: float, d0: float) -> Decimal:
    """T(d0) straight from its formula, with 50 digits."""
    with localcontext(prec=50):
        b_, c_, n_, d = Decimal(b), Decimal(c), Decimal(n), Decimal(d0)
        two_a, half = 4 * n_, -b_ - c_ + (2 * n_ - b_ + c_) * d
        p = ((half * half + 2 * two_a * c_ * d * (1 - d)).sqrt() - half) / two_a
        return (b_ - c_ - n_ * d) / (n_ * (2 * p + d * (1 - d))).sqrt()


# with effective counts (part of an item), and close to the upper end, where the textbook's root cancels
@pytest.mark.parametrize("pairs", [(3, 5, 20), (0, 9, 300), (9, 0, 300), (1, 0.25, 1.5), (2.3, 0.3, 2.7)])
@pytest.mark.parametrize("d0", [-0.5, -0.03, 0.03, 0.25, 0.5, 0.9, 1 - 2**-20, 1 - 2**-40])
def test_tango_statistic_is_its_formula_to_twelve_digits(pairs: tuple[float, float, float], d0: float) -> None:
    assert tango_statistic(Discordant(*pairs), d0) == pytest.approx(float(exact_tango(*pairs, d0)), rel=1e-12)


def test_tango_statistic_takes_a_root_of_nothing() -> None:
    # B² = 4AC: p is 0.1, the difference 4.5 below, the variance 55·(0.2 − 0.11)
    assert tango_statistic(Discordant(0, 10, 55), -0.1) == pytest.approx(-4.5 / math.sqrt(4.95), rel=1e-12)


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


def test_tango_bounds_end_at_the_ends() -> None:
    # where every item is lost no difference is too low, and where nearly every (effective) one is neither
    for lost in (50, 50 - 1e-9):
        assert tango_bounds(Discordant(0, lost, 50), 1.645)[0] == -1.0
        assert tango_bounds(Discordant(lost, 0, 50), 1.645)[1] == 1.0


IMPOSSIBLE = [(1, 1, 0), (0, 0, 0), (0, 0, -1), (-1, 0, 5), (-0.5, 1, 5), (1, -0.5, 5), (3, 3, 5)]


@pytest.mark.parametrize("pairs", IMPOSSIBLE)
def test_tango_refuses_impossible_counts(pairs: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="impossible counts"):
        tango_bounds(Discordant(*pairs), 1.645)


@pytest.mark.parametrize("alpha", [0.0, -0.05, 0.5, 0.95, math.nan])
def test_an_alpha_that_is_none_has_no_quantile(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must lie"):
        z_of(alpha)


def test_the_quantile_of_alpha_is_one_sided() -> None:
    assert z_of(0.05) == pytest.approx(1.6448536, abs=1e-7)


def test_right_results_are_compared_by_what_they_disagree_on() -> None:
    # 8 won, 16 lost, 300 items: the golden interval, McNemar's z = −8/√24
    new = [True] * 8 + [False] * 16 + [True, False] * 138
    old = [False] * 8 + [True] * 16 + [True, False] * 138
    found = compare_right(new, old, 0.05)
    assert found[:2] == (300, pytest.approx(-8 / 300))
    assert (found.lower, found.upper) == pytest.approx((-0.055564, 0.000204), abs=1.5e-6)
    assert found.p_harm == pytest.approx(float(norm.cdf(-8 / math.sqrt(24))), rel=1e-12)
    assert found.spread == pytest.approx(math.sqrt(24 / 300 - (8 / 300) ** 2))
    mirrored = compare_right(old, new, 0.05)
    assert (mirrored.delta, mirrored.p_harm) == (pytest.approx(8 / 300), 1.0)
    assert (mirrored.lower, mirrored.upper) == pytest.approx((-0.000204, 0.055564), abs=1.5e-6)


def test_a_single_lost_item_is_the_weakest_evidence_of_harm() -> None:
    found = compare_right([False] + [True] * 299, [True] * 300, 0.05)
    assert found.p_harm == pytest.approx(float(norm.cdf(-1)))


def test_hall_bounds_have_the_golden_values() -> None:
    symmetric = np.array([((7 * i % 11) - 5) / 50 for i in range(100)])
    skewed = np.array([0.01] * 96 + [-0.99] * 4)
    assert hall_bound(symmetric, 0.05, lower=True) == pytest.approx(-0.0116259, abs=5e-8)
    assert hall_bound(skewed, 0.05, lower=True) == pytest.approx(-0.0834852, abs=5e-8)


def test_hall_bound_of_few_heavy_losses_is_wider_than_a_plain_t() -> None:
    skewed = np.array([0.01] * 96 + [-0.99] * 4)
    plain = skewed.mean() - 1.660391 * skewed.std(ddof=1) / 10
    assert hall_bound(skewed, 0.05, lower=True) < plain


@pytest.mark.parametrize(
    "x", [[0.01] * 60 + [-0.99] * 4, [-0.02] * 60 + [0.2] * 4, [-0.3, 0.1, 0.1], [-0.5, -0.1, 0.2]]
)
def test_the_p_of_harm_is_the_alpha_at_which_the_upper_bound_reaches_zero(x: list[float]) -> None:
    p = hall_p_harm(np.array(x))
    assert 0.001 < p < 0.5
    assert hall_bound(np.array(x), p, lower=False) == pytest.approx(0.0, abs=1e-12)


def test_hall_bound_without_skewness_is_the_plain_t() -> None:
    # two items: s = √½, one degree of freedom, t = 6.3138
    reach = float(t.isf(0.05, 1)) / 2
    assert hall_bound(np.array([0.0, 1.0]), 0.05, lower=True) == pytest.approx(0.5 - reach, rel=1e-12)
    assert hall_bound(np.array([0.0, 1.0]), 0.05, lower=False) == pytest.approx(0.5 + reach, rel=1e-12)
    assert hall_p_harm(np.array([-1.0, 0.0])) == pytest.approx(float(t.cdf(-1, 1)), rel=1e-12)


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


def test_one_item_alone_proves_no_harm_and_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare_graded([0.4], [0.5], 0.05)
    assert found.p_harm == 1.0
    assert found.lower <= found.delta <= found.upper  # and no NaN


def test_a_loss_of_roundings_size_is_no_harm() -> None:
    assert hall_p_harm(np.array([-1e-12, -1e-12])) == 1.0


def test_two_items_that_fell_by_the_same_amount_are_harm_already() -> None:
    assert compare_graded([0.25, 0.5], [0.5, 0.75], 0.05).p_harm == 0.0


def test_graded_results_are_compared_by_halls_bounds_of_their_differences() -> None:
    old = [0.25] * 96 + [1.0] * 4
    new = [0.26] * 96 + [0.01] * 4
    x = np.array([0.01] * 96 + [-0.99] * 4)
    found = compare_graded(new, old, 0.05)
    assert found.n == 100
    assert found.delta == pytest.approx(-0.03)
    assert found.lower == pytest.approx(-0.0834852, abs=5e-8)
    assert found.upper == pytest.approx(hall_bound(x, 0.05, lower=False))
    assert found.lower < found.delta < found.upper
    assert found.p_harm == pytest.approx(hall_p_harm(x))
    assert found.spread == pytest.approx(math.sqrt(0.04 * 0.96))


def test_certainly_right_and_certainly_wrong_are_graded_results() -> None:
    assert compare_graded([0.0, 1.0] * 60, [1.0, 0.0] * 60, 0.05).delta == 0.0


def test_a_graded_suite_needs_a_hundred_items() -> None:
    assert MIN_GRADED == 100


@pytest.mark.parametrize("bad", [math.nan, -0.01, 1.01, math.inf])
def test_a_graded_result_outside_its_range_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        compare_graded([0.5] * 99 + [bad], [0.5] * 100, 0.05)


def test_results_of_different_lengths_are_not_paired() -> None:
    with pytest.raises(ValueError, match="can't be paired"):
        compare_right([True], [True, False], 0.05)
    with pytest.raises(ValueError, match="can't be paired"):
        compare_right([True, False], [True], 0.05)


@pytest.mark.parametrize("results", [[], [[True, False]], True])
def test_no_items_several_columns_and_a_single_value_are_not_paired(results: Any) -> None:
    with pytest.raises(ValueError, match="can't be paired"):
        compare_right(results, results, 0.05)


def test_holm_steps_down_and_stops_at_the_first_that_holds() -> None:
    assert holm([0.01, 0.04, 0.03], 0.05) == [True, False, False]
    assert holm([0.01, 0.02, 0.03], 0.05) == [True, True, True]
    assert holm([math.nan, 0.001], 0.05) == [False, True]
    assert holm([0.05], 0.05) == [True]
    assert holm([0.05, 0.025], 0.05) == [True, True]


def test_minimum_detectable_effect_is_the_textbook_one() -> None:
    # 2.4865·√(ψ/n) for disagreement ψ = 0.1 and n = 400 at z = 1.645 and 80 % power
    assert minimum_detectable(math.sqrt(0.1), 400, 0.05) == pytest.approx(2.4865 * math.sqrt(0.1 / 400), rel=1e-4)


def test_items_to_settle_names_a_size_at_which_the_bound_would_clear() -> None:
    needed = items_to_settle(-0.01, 0.3, 0.05, -0.03)
    assert needed is not None
    reach = (1.6448536 + 0.8416212) * 0.3
    assert -0.01 - reach / math.sqrt(needed) >= -0.03 > -0.01 - reach / math.sqrt(needed - 1)
    assert items_to_settle(-0.04, 0.3, 0.05, -0.03) is None
    assert items_to_settle(-0.03, 0.3, 0.05, -0.03) is None


def test_at_least_one_item_is_needed_to_settle_anything() -> None:
    assert items_to_settle(0.0, 0.0, 0.05, -0.03) == 1
    assert items_to_settle(0.0, 0.001, 0.05, -0.03) == 1
