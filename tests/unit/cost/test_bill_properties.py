"""Random nights: retries, preemptions, requeues, clocks that are set back, steps that overlap."""

import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.attempts import Allocation, Attempt, Device, Use
from infra.price_book import Carbon, DevicePrice, PoolPrices, PriceBook, UnitPrice
from tasks.contracts import Bill
from tasks.cost.bill import bill_metrics, make_bill
from tasks.cost.money import total
from tasks.errors import BillError

PRICES = PriceBook(
    date=datetime.date(2026, 11, 1),
    currency="EUR",
    source="figures of this test",
    kind="list",
    tariff_per_kwh=0.31,
    co2=Carbon(kg_per_kwh=0.35, source="a figure of this test", date=datetime.date(2026, 1, 1)),
    device={
        "cpu": DevicePrice(capex=1234.5, years=3.3, utilisation=0.37, watts=65, pays_power=True),
        "h200": DevicePrice(rate=3.337, watts=700, pays_power=False),
    },
    pool={"slurm": PoolPrices(pue=1.27, egress_gb=UnitPrice(rate=0.087), storage_gb_month=UnitPrice(rate=0.021))},
)
CPU = Device(pool="local", kind="cpu", count=1, accelerator=False)
GPU = Device(pool="slurm", kind="h200", count=8, accelerator=True)

SECONDS = st.floats(0, 1e5, allow_nan=False)
NIGHT = 1.79e9


@st.composite
def allocation(draw: Any, index: int) -> Allocation:
    # wherever in the night: steps overlap, and a requeue may come before the attempt's end or after
    queued = NIGHT + draw(SECONDS)
    started = queued + draw(SECONDS)
    return Allocation(
        id=f"{draw(st.integers(1, 30))}.{index}",
        queued=queued,
        started=started,
        ended=draw(st.one_of(st.just(started), st.floats(started, started + 1e5))),
        nodes=draw(st.integers(1, 4)),
        devices=draw(st.integers(1, 32)),
        state=draw(st.sampled_from(["COMPLETED", "PREEMPTED", "NODE_FAIL", "TIMEOUT"])),
        kwh=draw(st.none() | st.floats(0, 500)),
        meter="zeus",
        busy=draw(st.none() | st.floats(0, 1)),
    )


@st.composite
def attempt(draw: Any) -> Attempt:
    scheduled = draw(st.booleans())
    given_ = draw(st.integers(0, 4)) if scheduled else 0
    return Attempt(
        id=draw(st.uuids().map(str)),
        step=draw(st.sampled_from(["collect", "align", "score", "judge"])),
        run="r",
        device=GPU if scheduled else draw(st.sampled_from([CPU, GPU])),
        started=NIGHT + draw(SECONDS),
        seconds=draw(SECONDS),
        state=draw(st.sampled_from(["Completed", "Failed", "Killed", "Running"])),
        kwh=draw(st.none() | st.floats(0, 500)),
        scheduled=scheduled,
        allocations=tuple(draw(allocation(index)) for index in range(given_)),
        uses=(Use(what="egress", gb=draw(st.floats(0, 1e4))), Use(what="storage", gb=3.0, hours=draw(SECONDS)))
        if scheduled and draw(st.booleans())
        else (),
    )


NIGHTS = st.lists(attempt(), max_size=12)


@settings(max_examples=200, deadline=None)
@given(NIGHTS)
def test_the_lines_add_up_to_the_bill_to_the_cent_and_nothing_is_negative(attempts: list[Attempt]) -> None:
    bill = make_bill(attempts, PRICES, "book")
    assert total([line.amount for line in bill.lines]) == total([bill.amount])
    assert all(line.amount >= 0 and line.seconds >= 0 and line.queue_seconds >= 0 for line in bill.lines)
    metrics = bill_metrics(bill)
    steps = {line.step for line in bill.lines}
    assert total([metrics[f"cost/{step}/amount"] for step in steps]) == total([metrics["cost/amount"]])


def unrounded(attempts: list[Attempt]) -> Decimal:
    return total([make_bill(attempts, PRICES.model_copy(update={"digits": 6}), "book").amount])


@settings(max_examples=100, deadline=None)
@given(NIGHTS, NIGHTS)
def test_two_nights_cost_what_they_cost_apart_but_for_half_a_unit_each(one: list[Attempt], two: list[Attempt]) -> None:
    # ids of allocations are a scheduler's: it gives none twice
    two = [
        night.model_copy(
            update={"allocations": tuple(a.model_copy(update={"id": f"b{a.id}"}) for a in night.allocations)}
        )
        for night in two
    ]
    together, apart = unrounded([*one, *two]), unrounded(one) + unrounded(two)
    assert abs(together - apart) <= Decimal("0.0000015")


@settings(max_examples=100, deadline=None)
@given(NIGHTS, st.randoms())
def test_the_order_of_the_log_changes_no_amount(attempts: list[Attempt], random: Any) -> None:
    # one start a moment: of attempts that began together, the first in the log goes first
    apart = [one.model_copy(update={"started": NIGHT + 7.0 * i}) for i, one in enumerate(attempts)]
    turned = apart[:]
    random.shuffle(turned)
    assert make_bill(turned, PRICES, "b").amount == make_bill(apart, PRICES, "b").amount


@given(st.floats(0.001, 1e6))
def test_a_clock_that_was_set_back_is_named_and_never_earns_money(back: float) -> None:
    ended = NIGHT - back
    held = Allocation(id="9", queued=NIGHT, started=NIGHT, ended=ended, nodes=1, devices=8, state="COMPLETED")
    one = Attempt(id="a", step="align", run="r", device=GPU, started=NIGHT, seconds=1.0, state="Completed", kwh=None,
                  scheduled=True, allocations=(held,))  # fmt: skip
    with pytest.raises(BillError, match=r"align on slurm can't be billed.*the allocation 9 .*a clock was set back"):
        make_bill([one], PRICES, "book")


@settings(max_examples=100, deadline=None)
@given(attempt(), st.integers(2, 5))
def test_an_allocation_that_several_attempts_name_is_billed_once(one: Attempt, times: int) -> None:
    again = [one.model_copy(update={"id": str(i), "started": one.started + i, "uses": ()}) for i in range(times)]
    distinct = {a.id: a for a in one.allocations}
    if one.allocations and len(distinct) == len(one.allocations):
        first = one.model_copy(update={"uses": ()})
        assert make_bill(again, PRICES, "b").amount == make_bill([first], PRICES, "b").amount


def test_every_marked_price_marks_its_lines_and_the_whole_bill() -> None:
    book = PRICES.model_copy(
        update={"device": PRICES.device | {"h200": PRICES.device["h200"].model_copy(update={"kind": "example"})}}
    )
    plain = Attempt(id="a", step="collect", run="r", device=CPU, started=1.0, seconds=9.0, state="Completed", kwh=None)
    marked = plain.model_copy(update={"id": "b", "step": "align", "device": GPU.model_copy(update={"pool": "local"})})
    bill: Bill = make_bill([plain, marked], book, "book")
    assert [line.example for line in bill.lines] == [False, True]
    assert bill.example
    assert not make_bill([plain, marked], PRICES, "book").example
