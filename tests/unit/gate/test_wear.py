"""Bank wear: the formula, its limits against the margin, and the life that follows."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.gate.wear import MANY, Life, bank_life, bank_wear, bank_wear_of, wear_state


def test_wear_is_seven_tenths_of_an_error_for_every_factor_e_of_decisions() -> None:
    assert bank_wear(math.sqrt(0.08), 1000, 365) == pytest.approx(0.7 * math.sqrt(0.08 / 1000) * math.log(365))
    assert bank_wear(math.sqrt(0.08), 1000, 365) == pytest.approx(0.0369392, abs=1e-7)


@pytest.mark.parametrize("decisions", [0, 1])
def test_a_new_bank_has_no_wear(decisions: int) -> None:
    assert bank_wear(0.3, 100, decisions) == 0.0


def test_the_gate_warns_above_half_the_margin_and_stops_above_the_margin() -> None:
    assert wear_state(0.0, 0.02) == wear_state(0.010, 0.02) == "fresh"
    assert wear_state(0.0101, 0.02) == "worn"
    assert wear_state(0.02, 0.02) == "worn"
    assert wear_state(0.0201, 0.02) == "spent"


def test_a_wear_that_is_no_number_is_spent() -> None:
    assert wear_state(math.nan, 0.02) == "spent"


def test_life_of_a_bank_of_a_thousand_items() -> None:
    assert bank_life(math.sqrt(0.08), 1000, 0.03) == Life(10, 120)


@given(st.floats(0.01, 1), st.integers(50, 5000), st.floats(0.005, 0.2))
def test_life_ends_where_wear_passes_the_margin(spread: float, n: int, margin: float) -> None:
    life = bank_life(spread, n, margin)
    for after, limit in ((life.warn_after, margin / 2), (life.end_after, margin)):
        assert after >= 1
        assert bank_wear(spread, n, after) <= limit * (1 + 1e-9)
        if after < MANY:
            assert bank_wear(spread, n, after + 1) > limit * (1 - 1e-9)


def test_models_that_never_disagree_wear_nothing() -> None:
    assert bank_life(0.0, 100, 0.02) == Life(MANY, MANY) == (1_000_000, 1_000_000)


def test_a_life_of_just_a_million_decisions_is_said_to_be_a_million() -> None:
    # an error of 1/0.7 wears one unit a factor e
    assert bank_life(1 / 0.7, 1, math.log(1_000_000)).end_after == 1_000_000


def test_items_of_one_age_are_worn_as_the_whole_bank_is() -> None:
    assert bank_wear_of(0.3, 400, [9] * 400) == pytest.approx(bank_wear(0.3, 400, 10), rel=1e-12)
    assert bank_wear_of(0.3, 400, [9] * 400) == pytest.approx(0.7 * 0.3 / 20 * math.log(10), rel=1e-12)


def test_fresh_items_add_no_wear_and_thin_that_of_the_others() -> None:
    assert bank_wear_of(0.3, 400, [0] * 400) == 0.0
    mixed = bank_wear_of(0.3, 400, [0] * 200 + [9] * 100 + [1] * 100)
    assert mixed == pytest.approx((bank_wear(0.3, 400, 10) + bank_wear(0.3, 400, 2)) / 4, rel=1e-12)


def test_a_bank_without_items_has_no_wear() -> None:
    assert bank_wear_of(0.3, 400, []) == 0.0
