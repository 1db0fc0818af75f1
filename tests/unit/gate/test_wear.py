"""Bank wear: the formula, its limits against the margin, and the life that follows."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.gate.wear import MANY, Life, bank_life, bank_wear, wear_state


def test_wear_is_seven_tenths_of_an_error_for_every_factor_e_of_decisions() -> None:
    assert bank_wear(math.sqrt(0.08), 1000, 365) == pytest.approx(0.7 * math.sqrt(0.08 / 1000) * math.log(365))
    assert bank_wear(math.sqrt(0.08), 1000, 365) == pytest.approx(0.0369392, abs=1e-7)


@pytest.mark.parametrize("decisions", [0, 1])
def test_a_new_bank_has_no_wear(decisions: int) -> None:
    assert bank_wear(0.3, 100, decisions) == 0.0


def test_the_gate_warns_above_half_the_margin_and_stops_above_the_margin() -> None:
    assert wear_state(0.010, 0.02) == "fresh"
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
