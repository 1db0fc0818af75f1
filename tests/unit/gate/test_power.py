"""Probabilities to pass: exact enumeration against the product's own tests, and limits of what is approximated."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multivariate_normal, norm

from tasks.gate.power import (
    both_pass,
    bound_passes,
    graded_passes,
    items_without_disagreement,
    least_wins,
    reachable_margin,
    right_passes,
    smooth_score,
    unharmed,
)
from tasks.gate.sequential import boundaries
from tasks.gate.statistics import Discordant, compare_graded, minimum_detectable, tango_bounds, tango_statistic, z_of

Z = z_of(0.05)

# n: type-I error at −3 points, and power of an equal model, margin 3 points, disagreement 8 %, by exact enumeration
EXACT = {
    100: (0.04117, 0.23446),
    200: (0.04714, 0.41576),
    300: (0.04913, 0.55443),
    500: (0.04858, 0.74673),
    1000: (0.04908, 0.95160),
    2000: (0.04954, 0.99883),
}


@pytest.mark.parametrize("n", EXACT)
def test_type_one_error_and_power_of_tangos_test_by_exact_enumeration(n: int) -> None:
    error, power = EXACT[n]
    assert right_passes(n, 0.08, 0.03, Z, delta=-0.03) == pytest.approx(error, abs=5e-6)
    assert right_passes(n, 0.08, 0.03, Z) == pytest.approx(power, abs=5e-6)
    assert error < 0.05


def test_the_issues_figures_to_their_last_digit() -> None:
    assert [round(100 * right_passes(300, 0.08, 0.03, Z, delta=d), 2) for d in (-0.03, 0.0)] == [4.91, 55.44]
    assert [round(100 * right_passes(1000, 0.08, 0.03, Z, delta=d), 2) for d in (-0.03, 0.0)] == [4.91, 95.16]


@pytest.mark.parametrize(("n", "delta"), [(100, 0.0), (100, -0.03), (160, 0.01)])
def test_the_enumeration_is_that_of_every_outcome_through_the_products_bound(n: int, delta: float) -> None:
    wins, losses = (0.08 + delta) / 2, (0.08 - delta) / 2
    total = 0.0
    for c in range(30):
        for b in range(30):
            likely = binom.pmf(c, n, losses) * binom.pmf(b, n - c, wins / (1 - losses))
            if likely > 1e-9 and tango_bounds(Discordant(b, c, n), Z)[0] > -0.03:
                total += float(likely)
    assert right_passes(n, 0.08, 0.03, Z, delta) == pytest.approx(total, abs=1e-5)


@given(st.integers(1, 60), st.floats(-0.3, 0.3), st.floats(0.5, 4))
@settings(max_examples=60, deadline=None)
def test_least_wins_is_where_the_score_test_turns(n: int, d0: float, z: float) -> None:
    least = least_wins(n, d0, z)
    for c in range(n + 1):
        passing = [b for b in range(n - c + 1) if tango_statistic(Discordant(b, c, n), d0) > z]
        assert least[c] == (passing[0] if passing else n + 1)
        assert not passing or passing == list(range(passing[0], n - c + 1))


def test_even_without_disagreement_428_items_are_not_enough_at_the_anchors_z() -> None:
    assert z_of(0.05 / 365) == pytest.approx(3.64, abs=0.002)
    assert items_without_disagreement(0.03, 3.64) == pytest.approx(428.4, abs=0.01)
    assert tango_bounds(Discordant(0, 0, 428), 3.64)[0] < -0.03 < tango_bounds(Discordant(0, 0, 429), 3.64)[0]


@given(st.floats(0.005, 0.2), st.floats(0.5, 4))
def test_the_floor_is_tangos_own(margin: float, z: float) -> None:
    floor = items_without_disagreement(margin, z)
    for n in (math.floor(floor), math.floor(floor) + 2):
        if n > 0 and abs(n - floor) > 1e-6:
            assert (tango_statistic(Discordant(0, 0, n), -margin) > z) == (n > floor)


def test_minimum_detectable_effect_at_z_1_645_is_2_4865_errors() -> None:
    assert minimum_detectable(1.0, 1, 0.05) == pytest.approx(2.4865, abs=5e-5)


@pytest.mark.parametrize(("disagreement", "delta"), [(0.01, 0.02), (0.08, -0.09), (1.1, 0.0), (math.nan, 0.0)])
def test_a_difference_larger_than_the_disagreement_is_refused(disagreement: float, delta: float) -> None:
    with pytest.raises(ValueError, match="needs a disagreement"):
        right_passes(100, disagreement, 0.03, Z, delta)


def test_models_that_never_disagree_pass_from_the_floor_on() -> None:
    assert right_passes(428, 0.0, 0.03, 3.64) == 0.0
    assert right_passes(429, 0.0, 0.03, 3.64) == pytest.approx(1.0)
    assert graded_passes(100, 0.0, 0.03, 0.05) == 1.0


def test_a_model_that_loses_every_disagreement_is_enumerated_too() -> None:
    # the worst case of the type-I error: Tango's test is close to its α, not always below
    assert right_passes(300, 0.03, 0.03, Z, delta=-0.03) == pytest.approx(0.05243, abs=1e-5)
    assert right_passes(300, 0.03, 0.03, Z, delta=0.03) == pytest.approx(1.0, abs=1e-9)
    assert right_passes(50, 1.0, 0.03, Z, delta=-1.0) == 0.0


def test_graded_power_is_what_the_products_bound_gives_in_simulation() -> None:
    rng = np.random.default_rng(0)
    passes = []
    for _ in range(1500):
        noise = rng.normal(0, 0.1 / math.sqrt(2), (2, 150))
        new, old = (0.5 + noise).tolist()
        passes.append(compare_graded(new, old, 0.05).lower > -0.02)
    assert np.mean(passes) == pytest.approx(graded_passes(150, 0.1, 0.02, 0.05), abs=0.035)


def test_graded_type_one_error_is_alpha() -> None:
    for n in (100, 300, 2000):
        assert graded_passes(n, 0.1, 0.02, 0.05, delta=-0.02) == pytest.approx(0.05, abs=1e-6)


def test_p_correct_needs_eight_times_fewer_items_at_an_eighth_of_the_variance() -> None:
    few, many = graded_passes(200, 0.1, 0.03, 0.05), right_passes(1600, 0.08, 0.03, Z)
    assert few == pytest.approx(many, abs=0.01)


@pytest.mark.parametrize("measure", ["right", "probability"])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 365])
@pytest.mark.parametrize("n", [300, 600, 1500])
def test_the_smooth_score_is_near_the_exact_probability(measure: str, alpha: float, n: int) -> None:
    spread = math.sqrt(0.08) if measure == "right" else 0.15
    exact = bound_passes(measure, n, spread, 0.04, alpha)  # pyright: ignore[reportArgumentType]
    smooth = float(norm.cdf(smooth_score(measure, n, spread, 0.04, alpha)))  # pyright: ignore[reportArgumentType]
    assert smooth == pytest.approx(exact, abs=0.035)


@pytest.mark.parametrize(("measure", "spread"), [("right", 0.0), ("probability", 0.0)])
def test_without_any_spread_the_smooth_score_is_certain(measure: str, spread: float) -> None:
    assert smooth_score(measure, 500, spread, 0.03, 0.05) == math.inf  # pyright: ignore[reportArgumentType]


def test_without_any_spread_right_results_below_the_floor_never_pass() -> None:
    assert smooth_score("right", 428, 0.0, 0.03, 0.05 / 365) == -math.inf


@pytest.mark.parametrize(("measure", "spread"), [("right", math.sqrt(0.08)), ("probability", 0.1)])
def test_the_reachable_margin_is_the_smallest_that_passes(measure: str, spread: float) -> None:
    found = reachable_margin(measure, 400, spread, 0.05, 0.9)  # pyright: ignore[reportArgumentType]
    assert found is not None
    assert bound_passes(measure, 400, spread, found, 0.05) >= 0.9  # pyright: ignore[reportArgumentType]
    assert bound_passes(measure, 400, spread, found - 0.001, 0.05) < 0.9  # pyright: ignore[reportArgumentType]


def test_a_handful_of_items_reaches_no_margin() -> None:
    assert reachable_margin("right", 5, 0.3, 0.05 / 365, 0.9) is None


def test_looks_for_harm_cost_an_equal_model_at_most_their_alpha() -> None:
    assert unharmed(1.0, 0.0125) == pytest.approx(1 - 0.0125, abs=1e-6)
    assert unharmed(0.0, 0.0125) == pytest.approx(0.0, abs=1e-12)
    for passes in (0.3, 0.8, 0.95, 0.99):
        assert passes - 0.0125 <= unharmed(passes, 0.0125) <= min(passes, 1 - 0.0125) + 1e-9


def test_looks_and_bound_together_agree_with_simulated_walks() -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(size=(60000, 4)).cumsum(1) / np.sqrt([1, 2, 3, 4])
    crossed = (-z >= np.array(boundaries(0.05))).any(1)
    below = z[:, 3] > norm.ppf(1 - 0.9)
    assert float((below & ~crossed).mean()) == pytest.approx(unharmed(0.9, 0.05), abs=0.005)


@given(st.floats(0.01, 0.999), st.floats(0.01, 0.999))
@settings(max_examples=40, deadline=None)
def test_both_comparisons_lie_between_independence_and_one_deciding_for_both(champion: float, anchor: float) -> None:
    found = both_pass(champion, anchor)
    assert found.low == pytest.approx(champion * anchor)
    assert found.high == min(champion, anchor)
    assert found.low <= found.likely <= found.high
    assert found.low >= champion + anchor - 1


def test_the_likely_value_is_a_correlation_of_one_half() -> None:
    # P(both positive) at ρ = ½ is 1/4 + asin(½)/2π = 1/3
    assert both_pass(0.5, 0.5).likely == pytest.approx(1 / 3, abs=1e-6)
    at = norm.ppf([0.9, 0.95])
    expected = multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).cdf(at)  # pyright: ignore[reportArgumentType]
    assert both_pass(0.9, 0.95).likely == pytest.approx(expected, abs=1e-7)


def test_three_models_with_noise_of_their_own_correlate_by_one_half() -> None:
    rng = np.random.default_rng(3)
    candidate, champion, anchor = rng.normal(size=(3, 20000))
    assert np.corrcoef(candidate - champion, candidate - anchor)[0, 1] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("champion", "anchor"), [(0.0, 0.9), (1.0, 0.9), (1.0, 1.0)])
def test_certainties_stay_certain(champion: float, anchor: float) -> None:
    found = both_pass(champion, anchor)
    assert found == pytest.approx((champion * anchor,) * 2 + (min(champion, anchor),))
