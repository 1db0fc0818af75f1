"""A rack's own meter: a job pays for its share of what the counter grew while it held devices."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.attempts import Allocation
from infra.errors import MeterError
from infra.pools.slurm import AmdSlurmPool
from infra.rack_meter import RackMeter, Reading, await_readings, by_rack, counter_at, read_readings

NIGHT = [Reading(0.0, 100.0), Reading(60.0, 100.5), Reading(120.0, 102.0), Reading(180.0, 102.0)]


def held(started: float = 0.0, ended: float | None = 120.0, devices: int = 8) -> Allocation:
    return Allocation(
        id="7",
        queued=0.0,
        started=started,
        ended=ended,
        nodes=1,
        devices=devices,
        state="COMPLETED",
        kwh=0.9,
        meter="zeus",
    )


def rack(path: Path | str = "unread", devices: int = 16) -> RackMeter:
    return RackMeter(file=str(path), devices=devices, wait_seconds=0)


def test_a_job_pays_for_its_share_of_the_rack() -> None:
    found = by_rack(held(), rack(), NIGHT)
    assert (found.kwh, found.meter) == (1.0, "rack")  # 2 kWh, half of the devices


def test_between_two_readings_the_counter_grows_evenly() -> None:
    assert counter_at(NIGHT, 90.0) == 101.25
    assert by_rack(held(30.0, 90.0, 16), rack(), NIGHT).kwh == pytest.approx(1.0)


@given(
    grown=st.lists(st.floats(0, 50), min_size=2, max_size=20),
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=5),
    devices=st.lists(st.integers(1, 8), min_size=1, max_size=4),
)
def test_all_that_a_full_rack_s_jobs_pay_is_what_it_drew(
    grown: list[float], cuts: list[float], devices: list[int]
) -> None:
    total, readings = 0.0, []
    for number, kwh in enumerate(grown):
        total += kwh
        readings.append(Reading(60.0 * number, total))
    end = readings[-1].at
    moments = [0.0, *sorted(cut * end for cut in cuts), end]
    paid = sum(
        by_rack(held(start, stop, count), rack(devices=sum(devices)), readings).kwh or 0.0
        for start, stop in pairwise(moments)
        for count in devices
    )
    assert paid == pytest.approx(readings[-1].kwh - readings[0].kwh, abs=1e-9)


@pytest.mark.parametrize(
    ("readings", "allocation"),
    [
        (NIGHT, held(ended=181.0)),  # the last reading is before the end
        (NIGHT[1:], held()),
        ([], held()),
        ([Reading(0.0, 1.0), Reading(700.0, 2.0)], held()),  # eleven minutes without a reading
    ],
)
def test_readings_that_do_not_reach_over_a_job_are_not_stretched(
    readings: list[Reading], allocation: Allocation
) -> None:
    with pytest.raises(MeterError, match="held its devices from 0 to"):
        by_rack(allocation, rack(), readings)


def test_what_is_held_now_has_no_energy_yet() -> None:
    assert by_rack(held(ended=None), rack(), NIGHT) == held(ended=None)


def test_more_devices_than_the_rack_has_are_refused() -> None:
    with pytest.raises(MeterError, match="7 held 17 devices, the rack meter counts 16"):
        by_rack(held(devices=17), rack(), NIGHT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1\n60,x\n", r"line 2 of .* is '60,x', not time,kWh"),
        ("0,1\n60\n", "line 2"),
        ("0,1\n\n", "line 2"),
        ("60,1\n0,2\n", "line 2 of .* runs backwards: 0,2"),
        ("0,5\n60,1\n", "runs backwards: 60,1"),  # a meter that was reset
        ("60,1\n60,2\n", "runs backwards: 60,2"),
        ("0,nan\n", "is '0,nan', not time,kWh"),
        ("0,1e999\n", "is '0,1e999', not time,kWh"),
        ("-1,1\n", "is '-1,1', not time,kWh"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rack.csv").write_text(text)
    with pytest.raises(MeterError, match=message):
        read_readings(tmp_path / "rack.csv")


def test_a_job_that_just_ended_waits_for_the_reading_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rack.csv"
    path.write_text("0,100\n60,100.5\n")
    slept: list[float] = []

    def next_reading(seconds: float) -> None:
        slept.append(seconds)
        with path.open("a") as file:
            file.write(f"{60 * (len(slept) + 1)},{101 + len(slept)}\n")

    monkeypatch.setattr("infra.rack_meter.time.sleep", next_reading)
    meter = rack(path).model_copy(update={"wait_seconds": 60})
    assert await_readings(meter, 150.0)[-1] == Reading(180.0, 103.0)
    assert len(slept) == 2
    assert await_readings(meter, 999.0, wait=False)[-1].at == 180.0
    assert len(slept) == 2


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "rack.csv").write_text("0,1\n60,2\n120,2.")
    assert read_readings(tmp_path / "rack.csv") == [Reading(0, 1), Reading(60, 2)]


def test_a_pool_takes_its_rack_s_meter_and_does_without_it_where_it_can_t(tmp_path: Path) -> None:
    said: list[dict[str, Any]] = []
    path = tmp_path / "rack.csv"
    pool = AmdSlurmPool(rack=rack(path))
    assert pool._metered((held(),), said.append, wait=True) == [held()]
    assert "can't be read" in said[0]["text"]
    assert "until then energy is estimated" in said[0]["text"]
    path.write_text("".join(f"{at},{kwh}\n" for at, kwh in NIGHT))
    found, late = pool._metered((held(), held(ended=500.0)), said.append, wait=False)
    assert (found.kwh, found.meter) == (1.0, "rack")
    # of one alone the meter has nothing: it keeps what it had
    assert late == held(ended=500.0)
    assert "held its devices from 0 to 500" in said[1]["text"]
    assert AmdSlurmPool()._metered((held(),), said.append, wait=True) == [held()]
