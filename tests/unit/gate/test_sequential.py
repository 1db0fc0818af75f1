"""Looks for harm: boundaries against numerical and exact enumeration, sequential p-values, Holm over them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, multivariate_normal, norm

from tasks.gate.sequential import (
    FRACTIONS,
    LARGEST_P,
    Looks,
    boundaries,
    crossed_by,
    judge_harm,
    plan_looks,
    sequential_p,
    spent,
)

# as the issue gives the four looks
QUOTED = (3.75, 2.55, 2.02, 1.73)
FOUR = Looks(tuple(range(400)), (100, 200, 300, 400))

fractions = st.lists(st.integers(1, 40), min_size=1, max_size=4, unique=True).map(
    lambda parts: tuple(part / 40 for part in sorted(parts))
)


def test_the_boundaries_are_lan_and_demets_at_four_looks() -> None:
    assert boundaries(0.05) == pytest.approx((3.749552, 2.539943, 2.016070, 1.720177), abs=2e-6)
    assert boundaries(0.025) == pytest.approx((4.332634, 2.963132, 2.359044, 2.014090), abs=2e-6)
    assert boundaries(0.0125) == pytest.approx((4.859940, 3.344768, 2.670269, 2.281217), abs=2e-6)


def test_the_quoted_boundaries_are_ours_or_a_hundredth_more_and_spend_a_little_less() -> None:
    assert all(0 <= quoted - ours < 0.011 for quoted, ours in zip(QUOTED, boundaries(0.05), strict=True))
    assert crossed_by(QUOTED)[-1] == pytest.approx(0.0491106, abs=1e-7)


@pytest.mark.parametrize("bounds", [QUOTED, (2.0, 2.0, 2.0, 2.0), (3.0, 1.0, 2.5, 1.2)])
def test_crossing_probabilities_agree_with_the_multivariate_normal(bounds: tuple[float, ...]) -> None:
    t = np.array(FRACTIONS)
    correlations = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    found = crossed_by(bounds)
    for looks in (1, 2, 3, 4):
        stays = multivariate_normal(np.zeros(looks), correlations[:looks, :looks]).cdf(np.array(bounds[:looks]))  # pyright: ignore[reportArgumentType]
        assert found[looks - 1] == pytest.approx(1 - stays, abs=3e-5)


@given(st.floats(1e-6, LARGEST_P), fractions)
@settings(max_examples=50, deadline=None)
def test_the_looks_spend_what_the_spending_function_allows(alpha: float, looks: tuple[float, ...]) -> None:
    found = crossed_by(boundaries(alpha, looks), looks)
    assert found == pytest.approx([spent(alpha, look) for look in looks], rel=1e-6, abs=1e-12)
    assert found[-1] <= alpha * (1 + 1e-6)


def test_all_alpha_is_spent_at_the_end_and_one_look_is_the_plain_test() -> None:
    assert spent(0.05, 1.0) == pytest.approx(0.05, rel=1e-12)
    assert spent(0.05, 0.25) == pytest.approx(8.8575e-5, rel=1e-4)
    assert boundaries(0.05, (1.0,)) == pytest.approx((1.644854,), abs=1e-6)


def test_the_first_boundary_is_the_normal_quantile_of_what_is_spent_however_small() -> None:
    assert boundaries(1e-6, (0.0175, 1.0))[0] == pytest.approx(float(norm.isf(spent(1e-6, 0.0175))), rel=1e-12)
    assert 36 < boundaries(1e-6, (0.0175, 1.0))[0] < 38


def test_looks_at_which_nothing_is_spent_have_no_boundary() -> None:
    assert boundaries(1e-15, (0.01, 0.02, 1.0)) == (math.inf, math.inf, pytest.approx(float(norm.isf(1e-15))))
    # at the second 1e-309 is spent
    assert boundaries(1e-15, (0.01, 0.0455, 1.0)) == (math.inf, math.inf, pytest.approx(float(norm.isf(1e-15))))


def test_boundaries_are_worked_out_once() -> None:
    assert boundaries(0.0321) is boundaries(0.0321)


@given(st.floats(1e-6, 0.29), st.floats(1.001, 1.5), fractions)
@settings(max_examples=50, deadline=None)
def test_boundaries_fall_as_alpha_grows(alpha: float, factor: float, looks: tuple[float, ...]) -> None:
    larger = min(alpha * factor, LARGEST_P)
    assert all(a > b for a, b in zip(boundaries(alpha, looks), boundaries(larger, looks), strict=True))


@pytest.mark.parametrize("bad", [(), (0.5, 0.5), (0.0, 1.0), (0.5, 1.1), (math.nan,)])
def test_looks_out_of_order_are_refused(bad: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="growing fractions"):
        boundaries(0.05, bad)


def test_bounds_of_another_number_of_looks_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        crossed_by((2.0, 2.0))


@pytest.mark.parametrize("alpha", [0.0, -0.1, 0.31, math.nan])
def test_an_alpha_without_boundaries_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must lie"):
        boundaries(alpha)


@given(st.floats(1e-6, 0.25), st.integers(0, 3), fractions)
@settings(max_examples=50, deadline=None)
def test_a_sequential_p_is_the_alpha_whose_boundary_was_just_reached(
    alpha: float, look: int, looks: tuple[float, ...]
) -> None:
    look = min(look, len(looks) - 1)
    bound = boundaries(alpha, looks)[look]
    if bound < 30:
        z = [-math.inf] * look + [bound]
        assert sequential_p(z, looks) == pytest.approx(alpha, rel=1e-4)


@given(st.lists(st.floats(-2, 6), min_size=1, max_size=4), st.sampled_from([0.001, 0.0125, 0.05, 0.2]))
@settings(max_examples=60, deadline=None)
def test_a_sequential_p_is_below_alpha_exactly_where_the_looks_reject(z: list[float], alpha: float) -> None:
    rejects = any(value >= bound for value, bound in zip(z, boundaries(alpha), strict=False))
    assert (sequential_p(z) <= alpha * (1 + 1e-6)) == rejects


def test_a_sequential_p_never_rises_with_more_looks() -> None:
    z = (1.0, 2.6, 0.3, 1.75)
    found = [sequential_p(z[:looks]) for looks in range(5)]
    assert found[0] == found[1] == 1.0
    assert found[1:] == sorted(found[1:], reverse=True)
    assert found[2] == pytest.approx(0.0449, abs=1e-3)
    assert found[4] == found[2]  # the second look said more than the last


def test_nothing_for_harm_is_one_and_every_item_worse_is_zero() -> None:
    assert sequential_p([-math.inf] * 4) == 1.0
    assert sequential_p([0.0, 0.0]) == 1.0
    assert sequential_p([math.inf]) == 0.0
    assert 0 < sequential_p([40.0]) < 1e-14
    assert sequential_p([-math.inf, -math.inf, -math.inf, 9.0]) == 1e-15


def test_the_largest_sequential_p_is_three_tenths() -> None:
    bound = boundaries(LARGEST_P)[0]
    assert sequential_p([bound]) == pytest.approx(0.3, rel=1e-6)
    assert sequential_p([bound - 1e-6]) == 1.0


@pytest.mark.parametrize("z", [[math.nan], [1.0, math.nan], [0.0] * 5])
def test_a_z_that_is_none_is_not_taken_for_no_harm(z: list[float]) -> None:
    with pytest.raises(ValueError, match="can't be judged"):
        sequential_p(z)


def test_sequential_p_values_are_uniform_enough_under_no_harm() -> None:
    rng = np.random.default_rng(4)
    sums = rng.normal(size=(4000, 4)).cumsum(1) * 0.5
    z = sums / np.sqrt(FRACTIONS)
    limits = {alpha: np.array(boundaries(alpha)) for alpha in (0.01, 0.05, 0.2)}
    for alpha, bound in limits.items():
        rate = (z >= bound).any(1).mean()
        assert abs(rate - alpha) < 3.3 * math.sqrt(alpha * (1 - alpha) / 4000)


def exact_harm(n: int, disagreement: float, alpha: float, delta: float = 0.0) -> list[float]:
    """Exact probability that McNemar's z crosses by each look, over all paired counts at all looks."""
    wins, losses, step = (disagreement + delta) / 2, (disagreement - delta) / 2, n // 4
    most = int(n * disagreement / 2 + 8 * math.sqrt(n * disagreement / 2))
    k = np.arange(most)
    # new wins and losses of one look: [b, c]
    more = binom.pmf(k[None], step, losses) * np.array(
        [[binom.pmf(b, step - c, wins / (1 - losses)) for c in k] for b in k]
    )
    b, c = np.meshgrid(k, k, indexing="ij")
    z = (c - b) / np.sqrt(np.maximum(b + c, 1))
    state, total, found = np.zeros((most, most)), 0.0, []
    state[0, 0] = 1.0
    for bound in boundaries(alpha):
        spread = np.fft.irfft2(
            np.fft.rfft2(state, (2 * most, 2 * most)) * np.fft.rfft2(more, (2 * most, 2 * most)), (2 * most, 2 * most)
        )
        state = spread[:most, :most].clip(0)
        crossed = z >= bound
        total += float(state[crossed].sum())
        found.append(total)
        state[crossed] = 0
    return found


def test_type_one_error_of_the_looks_by_exact_enumeration() -> None:
    assert exact_harm(300, 0.08, 0.05)[-1] == pytest.approx(0.0486, abs=1e-4)
    assert exact_harm(300, 0.08, 0.0125)[-1] == pytest.approx(0.0119, abs=1e-4)
    assert exact_harm(500, 0.08, 0.05)[-1] == pytest.approx(0.0490, abs=1e-4)


def test_a_loss_of_five_points_is_found_early_by_exact_enumeration() -> None:
    by_look = exact_harm(500, 0.08, 0.0125, delta=-0.05)
    assert by_look == pytest.approx([0.0, 0.2604, 0.8141, 0.9711], abs=2e-4)


def test_the_order_is_random_by_digest_and_keeps_families_whole() -> None:
    families = [f"f{number // 3}" for number in range(300)]
    looks = plan_looks(families, "sha256:1")
    assert looks == plan_looks(families, "sha256:1")
    assert looks.order != plan_looks(families, "sha256:2").order
    assert sorted(looks.order) == list(range(300))
    assert looks.sizes == (75, 150, 225, 300)
    for size in looks.sizes:
        seen = {families[position] for position in looks.order[:size]}
        assert len(seen) == size // 3


def test_the_order_does_not_depend_on_where_items_stand() -> None:
    forward, backward = [f"item{number}" for number in range(50)], [f"item{number}" for number in reversed(range(50))]
    assert [forward[position] for position in plan_looks(forward, "s").order] == [
        backward[position] for position in plan_looks(backward, "s").order
    ]


def test_a_look_at_too_few_families_is_left_out_and_the_last_stays() -> None:
    families = [str(number) for number in range(160)]
    assert plan_looks(families, "s", floor=100).sizes == (120, 160)
    assert plan_looks(families, "s", floor=100).fractions == (0.75, 1.0)
    assert plan_looks(families[:60], "s", floor=100).sizes == (60,)
    assert plan_looks([str(number) for number in range(400)], "s", floor=100).sizes == (100, 200, 300, 400)
    assert plan_looks(list("abcd"), "s").sizes == (1, 2, 3, 4)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40), st.text(max_size=5))
def test_every_suite_is_looked_at_in_growing_parts_and_wholly(families: list[str], seed: str) -> None:
    looks = plan_looks(families, seed)
    assert list(looks.sizes) == sorted(set(looks.sizes))
    assert looks.sizes[-1] == len(families)
    for size in looks.sizes:
        inside = {families[position] for position in looks.order[:size]}
        assert not inside & {families[position] for position in looks.order[size:]}


def test_a_suite_without_items_is_not_looked_at() -> None:
    with pytest.raises(ValueError, match="no items"):
        plan_looks([], "s")


def p_of(*z: float) -> list[float]:
    return [float(norm.sf(value)) for value in z]


def test_one_suite_is_held_to_alpha_and_four_to_a_quarter_of_it() -> None:
    just = boundaries(0.05)[3] + 1e-6
    assert judge_harm([(FOUR, p_of(0, 0, 0, just))], 0.05)[0].proven
    quiet = (FOUR, p_of(0, 0, 0, 0))
    assert not any(one.proven for one in judge_harm([(FOUR, p_of(0, 0, 0, just)), quiet, quiet, quiet], 0.05))
    strict = boundaries(0.0125)[3] + 1e-6
    assert [one.proven for one in judge_harm([(FOUR, p_of(0, 0, 0, strict)), quiet, quiet, quiet], 0.05)] == [
        True, False, False, False,
    ]  # fmt: skip


def test_holm_gives_the_second_suite_what_the_first_leaves() -> None:
    first = (FOUR, p_of(0, 0, 0, boundaries(0.025)[3] + 1e-6))
    second = (FOUR, p_of(0, 0, 0, boundaries(0.05)[3] + 1e-6))
    assert [one.proven for one in judge_harm([first, second], 0.05)] == [True, True]
    assert [one.proven for one in judge_harm([second, second], 0.05)] == [False, False]


def test_harm_names_the_look_that_proved_it_and_stays_proven() -> None:
    z = (0.5, 3.5, 0.2, 0.1)
    for looks in (2, 3, 4):
        found = judge_harm([(FOUR, p_of(*z[:looks])), (FOUR, p_of(0.1))], 0.05)
        assert found[0].proven
        assert found[0].look == 1
        assert found[1] == (1.0, None, False)
    assert not judge_harm([(FOUR, p_of(0.5))], 0.05)[0].proven


def test_a_suite_not_yet_looked_at_proves_nothing() -> None:
    assert judge_harm([(FOUR, [])], 0.05) == [(1.0, None, False)]


def test_p_values_of_nought_and_one_are_judged() -> None:
    assert judge_harm([(FOUR, [0.0]), (FOUR, [1.0])], 0.05) == [(0.0, 0, True), (1.0, None, False)]


@pytest.mark.parametrize("p_values", [[math.nan], [-0.1], [1.1], [0.5] * 5])
def test_p_values_that_are_none_are_refused(p_values: list[float]) -> None:
    with pytest.raises(ValueError, match="can't be judged"):
        judge_harm([(FOUR, p_values)], 0.05)
