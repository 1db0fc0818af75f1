"""A month's figures and their table."""

from decimal import Decimal
from typing import Any

import pytest

from infra.price_book import TokenPrice
from tasks.contracts import AnswerLength, Fate
from tasks.cost.month import outcome, report
from tasks.cost.month_words import WIDTH, in_words
from tests.unit.cost.bills import bill, kept, line

NIGHTS = [
    kept("promoted", line(amount=10.0), line("score", 4.0, pool="local", device="cpu", gpu_hours=0.0), version=3),
    kept("waiting", line(amount=3.0), version=4, started="2026-11-04T02:00:00+01:00"),
    kept("failing", line(amount=2.0), version=5, verdict="FAIL", started="2026-11-04T22:00:00+01:00"),
    kept("refused", line(amount=1.0), version=6, tenant="desk", started="2026-11-05T02:00:00+01:00"),
    kept("crashed", line(amount=0.5), version=None, verdict=None, state="OverBudget", tenant="desk"),
    kept("skipped", line("collect", 0.01), version=None, verdict=None, state="Skipped"),
    kept("october", line(amount=99.0), version=2, started="2026-10-30T02:00:00+01:00"),
]
FATES = [
    Fate(recipe="support", version=2, promoted="2026-10-30T09:00:00+00:00"),
    Fate(recipe="support", version=3, approval="approved", promoted="2026-11-03T09:00:00+00:00",
         newest="2026-11-02T21:00:00+00:00"),
    Fate(recipe="support", version=4, approval="requested"),
    Fate(recipe="support", version=6, approval="rejected: too terse"),
]  # fmt: skip


def november(**changes: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"month": "2026-11"} | changes
    return report(NIGHTS, FATES, **asked)


def amounts(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["name"]: row["amount"] for row in rows if row["nights"]}


def test_every_night_has_one_outcome() -> None:
    assert [outcome(one, FATES) for one in NIGHTS] == [
        "promoted", "waiting", "rejected", "rejected", "failed", "skipped", "promoted",
    ]  # fmt: skip


def test_a_month_adds_up_by_outcome_day_tenant_and_pool() -> None:
    (found,) = november()["currencies"]
    assert found["total"]["amount"] == "20.51"
    assert amounts(found["by_outcome"]) == {
        "promoted": "14.0", "waiting": "3.0", "rejected": "3.0", "failed": "0.5", "skipped": "0.01",
    }  # fmt: skip
    assert amounts(found["by_day"]) == {"2026-11-03": "14.51", "2026-11-04": "5.0", "2026-11-05": "1.0"}
    assert amounts(found["by_tenant"]) == {"desk": "1.5", "shop": "19.01"}
    assert amounts(found["by_pool"]) == {"cloud": "16.51", "local": "4.0"}
    for table in ("by_outcome", "by_day", "by_month", "by_tenant", "by_pool"):
        assert sum(Decimal(row["amount"]) for row in found[table]) == Decimal("20.51")


def test_what_a_receipt_held_is_no_failed_night_and_is_in_the_total() -> None:
    one = kept("r", line("train_first", 1.5), version=None, verdict=None, state="Receipt")
    (found,) = report([*NIGHTS, one], FATES, month="2026-11")["currencies"]
    assert outcome(one, FATES) == "receipt"
    assert amounts(found["by_outcome"])["receipt"] == "1.5"
    assert amounts(found["by_outcome"])["failed"] == "0.5"
    assert found["total"]["amount"] == "22.01"


def test_a_training_of_a_comparison_is_no_failed_night_either() -> None:
    one = kept("c", line("train_apart", 1.5), version=None, verdict=None, state="Comparison")
    (found,) = report([*NIGHTS, one], FATES, month="2026-11")["currencies"]
    assert outcome(one, FATES) == "comparison"
    assert amounts(found["by_outcome"])["comparison"] == "1.5"
    assert found["total"]["amount"] == "22.01"


def test_a_promoted_model_costs_everything_that_was_spent_for_it() -> None:
    (found,) = november()["currencies"]
    assert (found["promoted"], found["per_promoted_model"]) == (1, "20.51")
    (both,) = report(NIGHTS, FATES)["currencies"]
    assert both["per_promoted_model"] == str(Decimal("119.51") / 2)
    (none,) = november(tenant="desk")["currencies"]
    assert none["per_promoted_model"] is None
    assert "there is no cost of one" in in_words(november(tenant="desk"))


def test_a_pool_s_bill_has_that_pool_s_lines_alone() -> None:
    figures = november(pool="local")
    assert figures["nights"] == 1
    assert figures["currencies"][0]["total"]["amount"] == "4.0"


def test_amounts_of_two_currencies_are_never_added() -> None:
    dollars = kept("dollars", bill=bill(line(amount=7.0), currency="USD"))
    found = report([*NIGHTS, dollars], FATES, month="2026-11")["currencies"]
    assert [(one["currency"], one["total"]["amount"]) for one in found] == [("EUR", "20.51"), ("USD", "7.0")]


def test_the_way_to_serving_is_told_in_time_or_with_what_is_missing() -> None:
    (champion,) = november()["champions"]
    assert champion["seconds"] == 12 * 3600
    assert "12 h 00 min" in in_words(november())
    silent = [
        Fate(recipe="support", version=3, promoted="2026-11-03T09:00:00+00:00", missing="no preference has a time")
    ]
    assert "not known: no preference has a time" in in_words(report(NIGHTS, silent, month="2026-11"))


LENGTHS = [
    AnswerLength(recipe="support", version=4, role="candidate", answers=200, tokens=130.0),
    AnswerLength(recipe="support", version=4, role="champion", answers=200, tokens=100.0),
]


def test_serving_costs_an_answer_s_tokens_at_the_book_s_price() -> None:
    price = TokenPrice(rate=0.6, kind="list", source="a price list", date=None)
    one, two = november(lengths=LENGTHS, serving=(price, "EUR"))["serving"]
    # 130 tokens × 1,000 answers × 0.60 a million
    assert (one["a_thousand_answers"], two["a_thousand_answers"]) == ("0.078", "0.06")
    words = in_words(november(lengths=LENGTHS, serving=(price.model_copy(update={"kind": "example"}), "EUR")))
    words = " ".join(words.split())
    assert "130.0 tokens an answer (200 answers), 0.0780 EUR (example prices)" in words
    assert "no [serving] price in the book" in " ".join(in_words(november(lengths=LENGTHS)).split())


@pytest.mark.parametrize("chosen", [{}, {"month": None}, {"tenant": "desk"}, {"pool": "local"}])
def test_the_table_is_readable_at_a_hundred_columns(chosen: dict[str, Any]) -> None:
    marked = kept("a-night-of-a-recipe-with-a-very-long-name", line(amount=1_234_567.89, example=True), tenant="x" * 60)
    asked: dict[str, Any] = {"month": "2026-11", "lengths": LENGTHS} | chosen
    words = in_words(report([*NIGHTS, marked], FATES, **asked))
    assert all(len(row) <= WIDTH for row in words.splitlines())


def test_what_example_prices_went_into_is_marked_in_the_row_and_the_total() -> None:
    words = in_words(
        report([*NIGHTS, kept("x", line(amount=1.0, example=True), tenant="other")], FATES, month="2026-11")
    )
    assert "Total 21.51 EUR (example prices)" in words
    rows = {row.split()[0]: row for row in words.splitlines() if row}
    assert " *" in rows["other"]
    assert " *" not in rows["desk"]
    assert "nobody's prices" in words


def test_a_month_without_nights_says_so() -> None:
    assert "No night was billed" in in_words(report([], [], month="2026-12"))


def test_warnings_of_bills_are_told() -> None:
    old = kept("old", bill=bill(line(), warnings=("the price book is 91 days old",)))
    assert "warning: the price book is 91 days old" in in_words(report([old], []))
