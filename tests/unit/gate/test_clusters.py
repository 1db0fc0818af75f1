"""Families of items: the sandwich by hand, singletons, type-I error where one ignores them and where one doesn't."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from tasks.gate.clusters import compare_graded_families, compare_right_families, family_contributions
from tasks.gate.statistics import Discordant as Pairs
from tasks.gate.statistics import compare_graded, compare_right, hall_bound, tango_bounds, z_of

FAMILIES = ["a", "a", "b", "b", "c", "c"]


def sandwich(x: np.ndarray, families: list[str]) -> float:
    """Standard error of the mean, straight from the textbook."""
    names = sorted(set(families))
    sums = [sum(x[i] - x.mean() for i in range(len(x)) if families[i] == name) for name in names]
    return math.sqrt(len(names) / (len(names) - 1) * sum(one**2 for one in sums)) / len(x)


def test_the_sandwich_has_the_value_worked_out_by_hand() -> None:
    # residual sums 5/3, −1/3, −4/3; variance (3/2)·(42/9)/36 = 7/36
    u = family_contributions(np.array([1.0, 1.0, 0.0, 0.0, -1.0, 0.0]), FAMILIES)
    assert u.mean() == pytest.approx(1 / 6)
    assert u.std(ddof=1) / math.sqrt(3) == pytest.approx(math.sqrt(7) / 6)


def test_single_items_contribute_what_they_are_to_the_last_digit() -> None:
    x = np.array([0.1, 0.7, 0.2])
    assert family_contributions(x, ["a", "b", "c"]).tolist() == x.tolist()


families_of = st.lists(st.tuples(st.floats(-1, 1), st.sampled_from("abcdefgh")), min_size=3, max_size=40)


@given(families_of)
def test_contributions_have_the_mean_over_items_and_the_sandwich_variance(rows: list[tuple[float, str]]) -> None:
    x, families = np.array([value for value, _ in rows]), [family for _, family in rows]
    u = family_contributions(x, families)
    assert u.mean() == pytest.approx(x.mean(), abs=1e-12)
    assert len(u) == len(set(families))
    if len(u) > 1:
        assert u.std(ddof=1) / math.sqrt(len(u)) == pytest.approx(sandwich(x, families), abs=1e-12)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=40))
def test_single_items_are_the_plain_graded_comparison_to_the_last_digit(rows: list[tuple[float, float]]) -> None:
    new, old = [a for a, _ in rows], [b for _, b in rows]
    assert compare_graded_families(new, old, [str(i) for i in range(len(rows))], 0.05) == compare_graded(new, old, 0.05)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=3, max_size=40))
def test_single_items_are_the_plain_right_comparison_to_the_last_digit(rows: list[tuple[bool, bool]]) -> None:
    new, old = [a for a, _ in rows], [b for _, b in rows]
    assert compare_right_families(new, old, [str(i) for i in range(len(rows))], 0.05) == compare_right(new, old, 0.05)


def test_one_twin_among_many_items_hardly_moves_the_bound() -> None:
    rng = np.random.default_rng(0)
    new, old = rng.uniform(0, 1, 300).tolist(), rng.uniform(0, 1, 300).tolist()
    families = [str(max(i, 1)) for i in range(300)]
    alone, twin = compare_graded(new, old, 0.05), compare_graded_families(new, old, families, 0.05)
    assert twin.n == 299
    assert twin.lower == pytest.approx(alone.lower, abs=2e-3)


def test_copies_of_every_item_bring_nothing() -> None:
    rng = np.random.default_rng(1)
    new, old = rng.uniform(0, 1, 120).tolist(), rng.uniform(0, 1, 120).tolist()
    once = compare_graded(new, old, 0.05)
    five = compare_graded_families(new * 5, old * 5, [str(i) for i in range(120)] * 5, 0.05)
    assert five == pytest.approx(once, abs=1e-12)
    new_right, old_right = (rng.random(200) < 0.8).tolist(), (rng.random(200) < 0.8).tolist()
    single = compare_right(new_right, old_right, 0.05)
    copied = compare_right_families(new_right * 5, old_right * 5, [str(i) for i in range(200)] * 5, 0.05)
    assert copied.n == 200
    assert copied.lower == pytest.approx(single.lower, abs=2e-3)
    assert compare_right(new_right * 5, old_right * 5, 0.05).lower > copied.lower + 0.03


def test_families_that_never_disagree_are_worth_one_item_each() -> None:
    found = compare_right_families([True] * 300, [True] * 300, [str(i // 2) for i in range(300)], 0.05)
    quantile = float(t.isf(0.05, 149))
    assert (found.lower, found.upper) == pytest.approx(tango_bounds(Pairs(0, 0, 150), quantile))
    assert found.p_harm == 1.0


def test_right_bounds_are_never_narrower_than_the_plain_t_or_independent_items() -> None:
    rng = np.random.default_rng(2)
    for _ in range(60):
        sizes = rng.choice([1, 2, 3, 6], 80)
        families = np.repeat(np.arange(80), sizes).astype(str).tolist()
        new, old = (rng.random(len(families)) < 0.9).tolist(), (rng.random(len(families)) < 0.9).tolist()
        found = compare_right_families(new, old, families, 0.05)
        x = np.array(new, float) - np.array(old, float)
        reach = float(t.isf(0.05, 79)) * sandwich(x, families)
        assert found.lower <= x.mean() - reach + 1e-12
        assert found.upper >= x.mean() + reach - 1e-12
        plain = compare_right(new, old, 0.05)
        assert found.lower <= plain.lower + 1e-9
        assert found.upper >= plain.upper - 1e-9
        assert found.p_harm >= plain.p_harm - 1e-12


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abcde")), min_size=2, max_size=30))
def test_right_bounds_mirror_when_models_swap_and_hold_the_difference(rows: list[tuple[bool, bool, str]]) -> None:
    new, old, families = [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]
    one, other = compare_right_families(new, old, families, 0.05), compare_right_families(old, new, families, 0.05)
    assert one.lower == pytest.approx(-other.upper, abs=1e-6)
    assert one.lower <= one.delta + 1e-9 <= one.upper + 2e-9


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abcde")), min_size=2, max_size=30))
def test_the_order_of_items_and_the_names_of_families_change_nothing(rows: list[tuple[bool, bool, str]]) -> None:
    def found(rows: list[tuple[bool, bool, str]]) -> tuple[float, ...]:
        return compare_right_families([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], 0.05)

    renamed = [(a, b, f"family {family}") for a, b, family in rows]
    assert found(rows) == pytest.approx(found(renamed[::-1]), abs=1e-9)


def test_one_family_proves_nothing() -> None:
    right = compare_right_families([False] * 50, [True] * 50, ["a"] * 50, 0.05)
    graded = compare_graded_families([0.1] * 50, [0.9] * 50, ["a"] * 50, 0.05)
    for found in (right, graded):
        assert (found.n, found.lower, found.upper, found.p_harm, found.spread) == (1, -1.0, 1.0, 1.0, 0.0)


def test_harm_is_mcnemars_over_the_design_effect_with_families_less_one() -> None:
    # 40 pairs of twins, 6 pairs lost and 1 won: twins count once, so z = −5/√7; 39 degrees of freedom
    old = [True] * 12 + [False] * 2 + [True] * 66
    new = [False] * 12 + [True] * 2 + [True] * 66
    families = [str(i // 2) for i in range(80)]
    x = np.array(new, float) - np.array(old, float)
    effect = sandwich(x, families) ** 2 / (x.var() / 80)
    assert effect == pytest.approx(2.0, rel=0.03)
    expected = float(t.cdf(-10 / math.sqrt(14 * effect), 39))
    assert compare_right_families(new, old, families, 0.05).p_harm == pytest.approx(expected, rel=1e-9)
    assert expected == pytest.approx(float(t.cdf(-5 / math.sqrt(7), 39)), rel=0.06)


@pytest.mark.parametrize("won", range(1, 30))
def test_items_that_all_disagree_are_no_impossible_counts(won: int) -> None:
    new = [True] * won + [False] * (60 - won)
    found = compare_right_families(new, [not one for one in new], [str(i // 7) for i in range(60)], 0.05)
    assert found.lower <= found.delta <= found.upper


def test_every_item_lost_is_harm_for_certain() -> None:
    found = compare_right_families([False] * 200, [True] * 200, [str(i // 2) for i in range(200)], 0.05)
    assert found.delta == -1.0
    assert found.p_harm < 1e-10


def test_families_of_another_number_of_items_are_refused() -> None:
    with pytest.raises(ValueError, match="3 items have 2 families"):
        compare_right_families([True] * 3, [True] * 3, ["a", "b"], 0.05)
    with pytest.raises(ValueError, match="3 items have 4 families"):
        compare_right_families([True] * 3, [True] * 3, ["a", "b", "c", "c"], 0.05)


@pytest.mark.parametrize("bad", [math.nan, 1.5])
def test_a_graded_result_outside_its_range_is_refused_in_families_too(bad: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        compare_graded_families([0.5, bad], [0.5, 0.5], ["a", "a"], 0.05)


def paired(
    rng: np.random.Generator, groups: int, size: int, shared: float, margin: float, disagreement: float
) -> tuple:
    """Right/wrong differences of −margin in truth, ``shared`` of which are the family's."""
    shares = [(disagreement - margin) / 2, (disagreement + margin) / 2, 1 - disagreement]
    whole = np.repeat(rng.choice([1, -1, 0], groups, p=shares), size)
    own = rng.choice([1, -1, 0], groups * size, p=shares)
    x = np.where(rng.random(groups * size) < shared, whole, own)
    return (x >= 0).tolist(), (x <= 0).tolist()


@pytest.mark.parametrize(("size", "shared", "disagreement"), [(2, 0.7, 0.08), (2, 0.7, 0.04), (5, 0.5, 0.08)])
def test_type_one_error_of_right_results_in_families(size: int, shared: float, disagreement: float) -> None:
    rng = np.random.default_rng(3)
    families = np.repeat(np.arange(150), size).astype(str).tolist()
    passes = [
        compare_right_families(new, old, families, 0.05).lower > -0.03
        for new, old in (paired(rng, 150, size, shared, 0.03, disagreement) for _ in range(800))
    ]
    assert 0.025 < np.mean(passes) < 0.072


def test_ignoring_families_would_pass_twice_as_often_as_allowed() -> None:
    rng = np.random.default_rng(3)
    pairs = (paired(rng, 150, 5, 0.7, 0.03, 0.08) for _ in range(800))
    passes = [compare_right(new, old, 0.05).lower > -0.03 for new, old in pairs]
    assert np.mean(passes) > 0.1


def test_type_one_error_of_skewed_graded_results_in_families() -> None:
    rng = np.random.default_rng(5)
    families = np.repeat(np.arange(120), 3).astype(str).tolist()
    below, above = 0, 0
    for _ in range(1500):
        shared, own = np.repeat(1 - rng.exponential(1, 120), 3), 1 - rng.exponential(1, 360)
        u = family_contributions(0.05 * (0.6 * shared + 0.4 * own), families)
        below += hall_bound(u, 0.05, lower=True) > 0
        above += hall_bound(u, 0.05, lower=False) < 0
    assert 0.035 < below / 1500 < 0.066
    assert 0.035 < above / 1500 < 0.072


def test_degrees_of_freedom_are_families_less_one() -> None:
    # a symmetric sample: Hall's bound is the plain t, so its quantile can be read off
    x = np.array([0.1, 0.1, -0.1, -0.1, 0.2, 0.2, -0.2, -0.2])
    found = compare_graded_families((0.5 + x).tolist(), [0.5] * 8, list("aabbccdd"), 0.05)
    assert -found.lower == pytest.approx(float(t.isf(0.05, 3)) * sandwich(x, list("aabbccdd")), rel=1e-6)
    assert found.spread / math.sqrt(found.n) == pytest.approx(sandwich(x, list("aabbccdd")) * math.sqrt(3 / 4))
    assert z_of(0.05) < float(t.isf(0.05, 3))
