"""The bill, by hand: rented and owned devices, killed attempts, measured and estimated energy."""

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.attempts import Attempt, Device
from infra.errors import PriceError
from infra.price_book import DevicePrice, PriceBook
from tasks.cost.bill import bill_metrics, make_bill

PRICES = PriceBook(
    date=datetime.date(2026, 11, 1),
    currency="EUR",
    source="figures of this test",
    tariff_per_kwh=0.5,
    device={
        "cpu": DevicePrice(capex=8766, years=1, utilisation=1, watts=100, pays_power=True),  # 1 EUR an hour
        "h200": DevicePrice(rate=4.0, watts=700, pays_power=False),
    },
)
CPU = Device(pool="local", kind="cpu", count=1, accelerator=False)
GPU = Device(pool="cloud", kind="h200", count=2, accelerator=True)


def attempt(step: str, device: Device, seconds: float, **changes: Any) -> Attempt:
    values = {"id": "a", "step": step, "run": "r", "device": device, "started": 0.0, "seconds": seconds,
              "state": "Completed", "kwh": None}  # fmt: skip
    return Attempt.model_validate({**values, **changes})


def test_an_owned_device_costs_its_hours_and_its_power() -> None:
    bill = make_bill([attempt("collect", CPU, 1800)], PRICES, "book")
    # half an hour at 1 EUR, 0.05 kWh at 0.5 EUR
    assert bill.amount == pytest.approx(0.5 + 0.025)
    assert (bill.kwh, bill.device_hours, bill.gpu_hours) == (pytest.approx(0.05), 0.5, 0.0)
    assert bill.estimated


def test_a_rented_device_costs_its_rate_for_each_of_its_devices_and_no_power() -> None:
    bill = make_bill([attempt("align", GPU, 3600, kwh=1.3)], PRICES, "book")
    assert bill.amount == pytest.approx(8.0)
    assert (bill.gpu_hours, bill.kwh) == (2.0, 1.3)
    assert not bill.estimated


def test_one_attempt_without_a_meter_makes_its_line_and_the_bill_estimated() -> None:
    bill = make_bill([attempt("align", GPU, 3600, kwh=1.3), attempt("score", GPU, 3600)], PRICES, "book")
    assert [line.estimated for line in bill.lines] == [False, True]
    assert bill.estimated
    assert bill.kwh == pytest.approx(1.3 + 1.4)


def test_failed_and_killed_attempts_are_paid_too() -> None:
    tries = [
        attempt("align", CPU, 600, state="Killed"),
        attempt("align", CPU, 300, state="Failed", started=700.0),
        attempt("align", CPU, 900, started=1100.0),
    ]
    (line,) = make_bill(tries, PRICES, "book").lines
    assert (line.attempts, line.failed, line.seconds) == (3, 2, 1800)


def test_a_device_without_a_price_stops_the_bill() -> None:
    other = Device(pool="x", kind="mi355x", count=1, accelerator=True)
    with pytest.raises(PriceError, match="mi355x"):
        make_bill([attempt("align", other, 1)], PRICES, "book")


def test_no_attempts_cost_nothing() -> None:
    bill = make_bill([], PRICES, "book")
    assert (bill.amount, bill.lines, bill.estimated) == (0, (), False)


def test_the_bill_quotes_its_book_and_source() -> None:
    bill = make_bill([], PRICES, "2026-11.toml")
    assert bill.price_book == "2026-11.toml of 2026-11-01"
    assert bill.source == "figures of this test"


@given(
    st.lists(st.tuples(st.sampled_from(["collect", "align", "score"]), st.sampled_from([CPU, GPU]), st.floats(0, 1e5)))
)
def test_lines_add_up_to_the_total_and_splitting_an_attempt_changes_nothing(tries: list[Any]) -> None:
    whole = make_bill([attempt(*one) for one in tries], PRICES, "book")
    assert whole.amount == pytest.approx(sum(line.amount for line in whole.lines))
    halves = [attempt(step, device, seconds / 2) for step, device, seconds in tries for _ in range(2)]
    assert make_bill(halves, PRICES, "book").amount == pytest.approx(whole.amount)


def test_lines_come_in_the_order_the_steps_began_and_reach_mlflow_by_step() -> None:
    bill = make_bill([attempt("score", CPU, 60, started=9.0), attempt("align", CPU, 60, started=5.0)], PRICES, "book")
    assert [line.step for line in bill.lines] == ["align", "score"]
    metrics = bill_metrics(bill)
    assert metrics["cost/align/seconds"] == 60
    assert metrics["cost/amount"] == bill.amount
