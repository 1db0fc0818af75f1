"""Rounding: the parts' sum is the whole, none is off by a cent, and nothing is lost over a month."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tasks.cost.money import apportion, rounded, said, total

AMOUNTS = st.lists(st.decimals(0, 10**6, places=9, allow_nan=False), max_size=40)


@given(AMOUNTS, st.sampled_from([2, 4, 6]))
def test_the_parts_sum_is_the_rounded_whole_and_no_part_is_off_by_a_unit(amounts: list[Decimal], digits: int) -> None:
    parts = apportion(amounts, digits)
    assert sum(parts, Decimal(0)) == rounded(sum(amounts, Decimal(0)), digits)
    for part, amount in zip(parts, amounts, strict=True):
        assert abs(part - amount) < Decimal(1).scaleb(-digits)
        assert part >= 0


@given(st.lists(st.decimals(0, 10**6, places=2, allow_nan=False), max_size=40))
def test_amounts_without_a_fraction_stay_as_they_are(amounts: list[Decimal]) -> None:
    assert apportion(amounts, 2) == amounts


def test_thirds_of_a_cent_go_to_those_that_lost_most_and_then_to_the_first() -> None:
    third = Decimal(1) / 3
    assert apportion([third] * 3, 2) == [Decimal("0.34"), Decimal("0.33"), Decimal("0.33")]
    assert apportion([Decimal("0.004"), Decimal("0.0083")], 2) == [Decimal("0.00"), Decimal("0.01")]


def test_halves_of_a_cent_are_rounded_away_from_zero() -> None:
    assert rounded(Decimal("2.675"), 2) == Decimal("2.68")
    assert rounded(Decimal("2.685"), 2) == Decimal("2.69")


def test_a_thousand_nights_of_ten_cents_are_a_hundred() -> None:
    assert total([0.1] * 1000) == Decimal(100)


def test_an_amount_of_example_prices_says_so() -> None:
    assert said(1234.5, 2, "EUR", example=True) == "1,234.50 EUR (example prices)"
    assert said(0.0012, 4, "EUR") == "0.0012 EUR"
