"""The bill, by hand: rented and owned devices, killed attempts, measured and estimated energy."""

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.attempts import Allocation, Attempt, Device
from infra.errors import PriceError
from infra.price_book import DevicePrice, PriceBook
from tasks.cost.bill import bill_metrics, make_bill
from tasks.cost.money import total
from tasks.cost.words import energy_mark
from tasks.errors import BillError

PRICES = PriceBook(
    date=datetime.date(2026, 11, 1),
    currency="EUR",
    source="figures of this test",
    kind="list",
    digits=6,  # so that an amount shows what it was computed from
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
    assert total([whole.amount]) == total([line.amount for line in whole.lines])
    halves = [attempt(step, device, seconds / 2) for step, device, seconds in tries for _ in range(2)]
    assert make_bill(halves, PRICES, "book").amount == pytest.approx(whole.amount, abs=2e-6)


def test_lines_come_in_the_order_the_steps_began_and_reach_mlflow_by_step() -> None:
    bill = make_bill([attempt("score", CPU, 60, started=9.0), attempt("align", CPU, 60, started=5.0)], PRICES, "book")
    assert [line.step for line in bill.lines] == ["align", "score"]
    metrics = bill_metrics(bill)
    assert metrics["cost/align/seconds"] == 60
    assert metrics["cost/amount"] == bill.amount


# ---- what a scheduler gave

REMOTE = Device(pool="slurm", kind="h200", count=8, accelerator=True)


def allocation(id_: str, started: float, ended: float | None, **changes: Any) -> Allocation:
    values = {"id": id_, "queued": started - 60, "started": started, "ended": ended, "nodes": 1, "devices": 8,
              "state": "RUNNING" if ended is None else "COMPLETED"}  # fmt: skip
    return Allocation.model_validate({**values, **changes})


def remote(*given: Allocation, seconds: float = 10_000, **changes: Any) -> Attempt:
    return attempt("align", REMOTE, seconds, scheduled=True, allocations=given, **changes)


def test_time_in_a_queue_is_told_and_not_billed() -> None:
    bill = make_bill([remote(allocation("1", 1000, 4600))], PRICES, "book")
    assert (bill.amount, bill.gpu_hours, bill.queue_seconds) == (32.0, 8.0, 60.0)
    waiting = make_bill([remote(seconds=14_400, state="Failed")], PRICES, "book")
    assert (waiting.amount, waiting.gpu_hours, waiting.queue_seconds) == (0.0, 0.0, 14_400)
    assert waiting.lines[0].failed == 1


def test_what_is_held_still_is_billed_up_to_now() -> None:
    bill = make_bill([remote(allocation("1", 1000, None), state="Running")], PRICES, "book", now=2800.0)
    assert bill.gpu_hours == 4.0
    # a scheduler's clock that goes some seconds before ours holds nothing yet
    early = make_bill([remote(allocation("1", 1000, None), state="Running")], PRICES, "book", now=990.0)
    assert early.amount == 0.0
    with pytest.raises(BillError, match="a clock was set back"):
        make_bill([remote(allocation("1", 1000, None), state="Running")], PRICES, "book", now=900.0)


def test_an_allocation_that_a_killed_night_left_open_is_billed_to_its_last_sign_of_life_and_says_so() -> None:
    killed = remote(allocation("7", 1000, None), seconds=4600, state="Killed")
    bill = make_bill([killed], PRICES, "book", now=1e9)
    assert bill.lines[0].seconds == 3600
    (warning,) = bill.warnings
    assert "allocation 7 of slurm" in warning
    unknown = make_bill([remote(state="Killed")], PRICES, "book")
    assert unknown.amount == 0.0
    assert "compare with the scheduler" in unknown.warnings[0]


def test_a_night_started_again_pays_the_allocation_it_found_once_and_to_its_end() -> None:
    first = remote(allocation("7", 1000, None), seconds=2000, state="Killed")
    second = remote(allocation("7", 1000, 8200), id="b", started=5000.0)
    bill = make_bill([first, second], PRICES, "book")
    assert (bill.gpu_hours, bill.lines[0].attempts, bill.warnings) == (16.0, 2, ())


def test_an_end_that_was_recorded_is_not_taken_back_by_an_older_record() -> None:
    ended = remote(allocation("7", 1000, 4600), seconds=2000)
    stale = remote(allocation("7", 1000, None), id="b", started=5000.0, seconds=20_000, state="Killed")
    assert make_bill([ended, stale], PRICES, "book").gpu_hours == 8.0


def test_an_allocation_that_two_steps_name_is_the_first_one_s() -> None:
    align = remote(allocation("7", 1000, 4600))
    score = align.model_copy(update={"id": "b", "step": "score", "started": 5000.0})
    for attempts in ([align, score], [score, align]):
        assert [line.gpu_hours for line in make_bill(attempts, PRICES, "book").lines] == [8.0, 0.0]


def test_one_allocation_without_a_meter_makes_its_line_estimated_in_part() -> None:
    held = [allocation("1", 0, 3600, kwh=4.0, meter="zeus"), allocation("2", 4000, 7600)]
    bill = make_bill([remote(*held)], PRICES, "book")
    assert (bill.estimated, bill.lines[0].meter) == (True, "zeus")
    assert bill.kwh == pytest.approx(4.0 + 0.7 * 8)
    assert energy_mark(bill.lines[0]) == "in part estimated (zeus)"


def test_a_pool_without_accelerators_is_paid_by_its_nodes() -> None:
    nodes = Device(pool="slurm", kind="cpu", count=2, accelerator=False)
    held = attempt("align", nodes, 9, scheduled=True, allocations=(allocation("1", 0, 3600, nodes=2, devices=0),))
    assert make_bill([held], PRICES, "book").device_hours == 2.0


def test_the_energy_that_the_night_s_own_machine_metered_is_not_the_pool_s() -> None:
    bill = make_bill([remote(allocation("1", 0, 3600, kwh=2.5, meter="slurm"), kwh=99.0)], PRICES, "book")
    assert (bill.kwh, bill.estimated, bill.lines[0].meter) == (2.5, False, "slurm")


def test_a_bill_tells_how_busy_and_how_full_devices_were_beside_the_plan() -> None:
    held = [
        allocation("1", 0, 3600, busy=0.9, peak_memory_bytes=40),
        allocation("2", 4000, 14_800, busy=0.5, peak_memory_bytes=70),
        allocation("3", 20_000, 23_600),
    ]
    line = make_bill([remote(*held)], PRICES, "book", planned={"align": 64}).lines[0]
    assert line.busy == pytest.approx((0.9 * 1 + 0.5 * 3) / 4)  # of what was measured
    assert (line.peak_memory_bytes, line.planned_memory_bytes) == (70, 64)
    metrics = bill_metrics(make_bill([remote(*held)], PRICES, "book"))
    assert (metrics["cost/align/busy"], metrics["cost/align/peak_memory_bytes"]) == (pytest.approx(line.busy), 70)
    assert "cost/score/busy" not in metrics


def test_co2_has_no_figure_where_the_book_has_none() -> None:
    bill = make_bill([attempt("align", GPU, 3600)], PRICES, "book")
    assert bill.co2_kg is None
    assert not any("co2" in name for name in bill_metrics(bill))


def test_an_old_book_warns_on_the_bill() -> None:
    night = PRICES.date + datetime.timedelta(days=90)
    assert make_bill([], PRICES, "book", night=night).warnings == ()
    (warning,) = make_bill([], PRICES, "book", night=night + datetime.timedelta(days=1)).warnings
    assert "2026-11-01 is 91 days old" in warning
