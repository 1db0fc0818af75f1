"""Several samples an item: the analysis of variance by hand, unbiased in simulation, and what more of each buys."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.gate.samples import (
    VarianceSplit,
    best_samples,
    sampling_share,
    split_variance,
    standard_error,
    what_more_buys,
)


def test_the_split_has_the_values_worked_out_by_hand() -> None:
    # means 1, 3, 5 of two samples each: within (2 + 2 + 2)/3 = 2, between 2·(4 + 0 + 4)/2 = 8, item (8 − 2)/2 = 3
    split = split_variance([[0, 2], [2, 4], [4, 6]])
    assert split == pytest.approx(VarianceSplit(3, 2.0, 3.0, 2.0))
    assert standard_error(split) == pytest.approx(math.sqrt(4 / 3))


def test_unequal_numbers_of_samples_have_the_textbook_divisor() -> None:
    # sizes 1, 2, 3: n0 = (6 − 14/6)/2 = 11/6; within (2 + 2)/3; between of means 0, 2, 4 around 16/6
    split = split_variance([[0.0], [1.0, 3.0], [3.0, 4.0, 5.0]])
    grand = 16 / 6
    between = (grand**2 + 2 * (2 - grand) ** 2 + 3 * (4 - grand) ** 2) / 2
    assert split.sampling == pytest.approx(4 / 3)
    assert split.item == pytest.approx((between - 4 / 3) / (11 / 6))
    assert split.samples == 2.0


def test_a_negative_item_part_is_zero() -> None:
    split = split_variance([[0, 1], [1, 0], [0, 1], [1, 0]])
    assert (split.item, split.sampling) == (0.0, 0.5)


def test_items_without_sampling_noise_have_none() -> None:
    assert split_variance([[0.2, 0.2], [0.8, 0.8]]).sampling == 0.0


def test_both_parts_are_unbiased_in_simulation() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, 200)
    splits = []
    for _ in range(200):
        effects = rng.normal(0, 0.3, 200)
        splits.append(
            split_variance([(e + rng.normal(0, 0.5, k)).tolist() for e, k in zip(effects, sizes, strict=True)])
        )
    assert np.mean([one.item for one in splits]) == pytest.approx(0.09, abs=0.006)
    assert np.mean([one.sampling for one in splits]) == pytest.approx(0.25, abs=0.005)


@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=2, max_size=20))
def test_with_equal_samples_the_standard_error_is_that_of_the_item_means(rows: list[list[float]]) -> None:
    split = split_variance(rows)
    plain = np.array(rows).mean(1).std(ddof=1) / math.sqrt(len(rows))
    # equal but where the item part was cut at zero: then it is larger
    assert standard_error(split) >= plain - 1e-9
    if split.item > 0:
        assert standard_error(split) == pytest.approx(plain, abs=1e-9)


def test_more_samples_help_less_than_more_items_and_end_at_the_items_part() -> None:
    split = VarianceSplit(items=100, samples=4, item=0.09, sampling=0.16)
    gain = what_more_buys(split)
    assert gain.now == pytest.approx(math.sqrt((0.09 + 0.04) / 100))
    assert gain.twice_samples == pytest.approx(math.sqrt((0.09 + 0.02) / 100))
    assert gain.twice_items == pytest.approx(gain.now / math.sqrt(2))
    assert gain.endless_samples == pytest.approx(0.03)


def test_the_best_number_of_samples_is_the_cheapest_of_all() -> None:
    split = VarianceSplit(items=100, samples=4, item=0.04, sampling=0.25)
    for item_cost in (0.1, 1.0, 5.0, 20.0):
        prices = {k: (item_cost + k) * (0.04 + 0.25 / k) for k in range(1, 200)}
        assert best_samples(split, item_cost) == min(prices, key=prices.__getitem__)


def test_where_items_do_not_differ_samples_are_as_good() -> None:
    assert best_samples(VarianceSplit(100, 4, 0.0, 0.25), 3.0) is None


@pytest.mark.parametrize("bad", [[], [[1.0, 2.0]], [[1.0], [2.0]], [[1.0, 2.0], []]])
def test_what_cannot_be_split_is_refused(bad: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="can't be told apart"):
        split_variance(bad)


def test_the_refusal_says_how_many_samples_the_first_items_have() -> None:
    with pytest.raises(ValueError, match=r"6 items with \[1, 1, 1, 1, 1\]… samples"):
        split_variance([[1.0]] * 6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_sample_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN"):
        split_variance([[0.1, bad], [0.2, 0.3]])


def test_the_samplings_share_of_the_squared_error_by_hand() -> None:
    # item part 3, sampling part 2 of two samples each: 1 of 3 + 1
    assert sampling_share([[0, 2], [2, 4], [4, 6]]) == pytest.approx(0.25)
    split = split_variance([[0.0], [1.0, 3.0], [3.0, 4.0, 5.0]])
    share = split.sampling / 2 / (split.item + split.sampling / 2)
    assert sampling_share([[0.0], [1.0, 3.0], [3.0, 4.0, 5.0]]) == pytest.approx(share)


def test_samples_that_all_agree_have_no_share_and_items_that_agree_have_no_other() -> None:
    assert sampling_share([[0.5, 0.5], [0.5, 0.5]]) == 0.0
    assert sampling_share([[0, 1], [1, 0], [0, 1]]) == 1.0


@pytest.mark.parametrize("few", [[], [[1.0, 2.0]], [[1.0], [2.0]], [[1.0, 2.0], []]])
def test_the_samplings_share_is_unknown_where_the_parts_cannot_be_told_apart(few: list[list[float]]) -> None:
    assert sampling_share(few) is None
