"""Budgets of a night and of a month, and the watch that ends a step that runs over."""

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.digest import digest_of
from infra.settings import ROOT
from tasks.cost.budget import money_left
from tasks.cost.meter_live import Limit, LiveMeter, Watch
from tasks.errors import BillError, OverBudget, PastDeadline
from tasks.recipe import Recipe, load_recipe
from tests.unit.cost.bills import bill, kept, line


def recipe(**budget: float) -> Recipe:
    demo = load_recipe(Path(ROOT / "recipes" / "demo.toml"))
    return demo.model_copy(update={"name": "support", "budget": demo.budget.model_copy(update=budget)})


MONTH = [
    kept("one", line(amount=10.0)),
    kept("failed", line(amount=2.5), state="Failed", verdict=None, version=None),
    kept("skipped", line(amount=0.05), state="Skipped", verdict=None, version=None),
    kept("other", line(amount=70.0), recipe="other"),
]


def test_a_month_without_a_limit_has_no_figure_for_what_is_left() -> None:
    assert money_left(MONTH, recipe(), "EUR") is None


def test_failed_and_skipped_nights_are_spent_and_other_recipes_are_not() -> None:
    assert money_left(MONTH, recipe(max_month_amount=20.0), "EUR") == Decimal("7.45")


def test_tonight_counts_once_as_it_is_now_and_not_as_it_was_kept() -> None:
    spec = recipe(max_month_amount=20.0)
    left = money_left(MONTH, spec, "EUR", night=digest_of("failed"), so_far=bill(line(amount=4.0)))
    assert left == Decimal("5.95")  # 20 − 10 − 0.05 − 4


def test_a_month_in_two_currencies_is_an_error_and_never_added() -> None:
    foreign = kept("foreign", bill=bill(line(), currency="USD"))
    with pytest.raises(BillError, match="foreign was billed in USD"):
        money_left([*MONTH, foreign], recipe(max_month_amount=20.0), "EUR")


# ---- while a step runs


MONEY = Limit("budget.max_amount", Decimal(10), Decimal(4), Decimal("0.01"), "EUR")
HOURS = Limit("budget.max_hours", Decimal(7200), Decimal(7000), Decimal(1), "s")


def test_a_step_is_over_from_the_second_that_passes_the_limit() -> None:
    meter = LiveMeter((MONEY,))
    assert meter.over(600.0) is None  # 4 + 600 × 0.01 = 10
    assert meter.over(600.1) == (
        "10.00 EUR of 10.00 EUR (budget.max_amount) are used up, 4.00 EUR of it before this step"
    )


def test_the_first_limit_that_is_used_up_is_named() -> None:
    assert "(budget.max_hours)" in str(LiveMeter((MONEY, HOURS)).over(201.0))
    assert "2.00 h of 2.00 h" in str(LiveMeter((HOURS,)).over(201.0))


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_what_is_over_stays_over(first: float, later: float) -> None:
    meter = LiveMeter((MONEY, HOURS))
    if meter.over(first) is not None:
        assert meter.over(max(first, later)) is not None


def test_the_watch_counts_from_a_job_s_first_word_and_not_from_the_queue() -> None:
    now = [0.0]
    watch = Watch(LiveMeter((MONEY,)), lambda: now[0])
    now[0] = 14_400.0  # four hours in the queue
    watch.look()
    now[0] += 600.0
    watch.look()
    now[0] += 1.0
    with pytest.raises(OverBudget, match=r"the budget is spent: 10\.01 EUR of 10\.00 EUR") as ended:
        watch.look()
    assert "goes on from what was kept" in ended.value.do


def test_a_night_that_has_spent_its_budget_before_ends_at_the_first_word() -> None:
    spent = MONEY._replace(before=Decimal("10.01"))
    with pytest.raises(OverBudget):
        Watch(LiveMeter((spent,)), lambda: 0.0).look()


def test_the_watch_ends_a_step_at_the_deadline_and_begins_none_after_it() -> None:
    ends_by = datetime(2026, 11, 28, 6, 0, tzinfo=timezone(timedelta(hours=1)))
    wall = [ends_by.timestamp() - 1]
    watch = Watch(LiveMeter((MONEY,)), lambda: 0.0, ends_by, lambda: wall[0])
    watch.look()
    watch.look_at_deadline()
    wall[0] += 1.0
    with pytest.raises(PastDeadline, match=r"2026-11-28 06:00 \+0100 \(schedule\.deadline\)") as ended:
        watch.look()
    assert "goes on from what was kept" in ended.value.do
    with pytest.raises(PastDeadline):
        watch.look_at_deadline()
