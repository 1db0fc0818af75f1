"""A rack's own energy meter: the site writes its counter to a file, and a job pays for its share of the rack.

The file is CSV without a header, one reading a line, oldest first: seconds since the epoch, and the counter in kWh. Any
exporter of a PDU can append to it. A job that held some of the rack's devices gets that share of what the counter grew
meanwhile: neighbours that drew more or less than their share are averaged away, which no counter of a whole rack can
tell apart. Pure, but for what reads the file.
"""

import csv
import math
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from infra.attempts import Allocation
from infra.digest import Record
from infra.errors import MeterError

MAX_GAP_SECONDS = 600.0  # between the readings around a moment: over a longer one a line is a guess
METER = "rack"


class RackMeter(Record):
    """Where a rack's readings are, and how many devices draw from it."""

    file: str = Field(min_length=1, description="CSV of readings: seconds since the epoch, counter in kWh.")
    devices: int = Field(ge=1, description="Accelerators (of a pool of CPUs: nodes) that the meter counts.")
    wait_seconds: float = Field(default=120.0, ge=0, description="Longest wait for the reading after a job's end.")


class Reading(NamedTuple):
    at: float  # seconds since the epoch
    kwh: float  # of the counter


def read_readings(path: Path) -> list[Reading]:
    """All readings, in the file's order. A last line that is still being written is left out.

    Raises:
        MeterError: it can't be read, a line is no reading, or time or counter runs backwards.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise MeterError(f"the rack meter's file {path} can't be read: {error}", do=_DO) from None
    whole = text[: text.rfind("\n") + 1]
    found: list[Reading] = []
    for number, row in enumerate(csv.reader(whole.splitlines()), start=1):
        try:
            at, kwh = (float(cell) for cell in row)
            if not (0 <= at < math.inf and 0 <= kwh < math.inf):  # which no NaN is
                raise ValueError
        except ValueError:
            raise MeterError(f"line {number} of {path} is {','.join(row)!r}, not time,kWh", do=_DO) from None
        if found and (at <= found[-1].at or kwh < found[-1].kwh):
            raise MeterError(f"line {number} of {path} runs backwards: {','.join(row)}", do=_DO)
        found.append(Reading(at, kwh))
    return found


def await_readings(meter: RackMeter, moment: float, *, wait: bool = True) -> list[Reading]:
    """Readings that reach over a moment, or those there are when the wait (``wait_seconds``, or none) is over.

    Raises:
        MeterError: as ``read_readings``.
    """
    end = time.monotonic() + (meter.wait_seconds if wait else 0.0)
    while True:
        readings = read_readings(Path(meter.file))
        if (readings and readings[-1].at >= moment) or time.monotonic() >= end:
            return readings
        time.sleep(1.0)


_DO = "mend the file, or start a new one after a meter was reset; until then energy is estimated from board power"


def counter_at(readings: Sequence[Reading], moment: float) -> float | None:
    """The counter at a moment, on the line between the readings around it; None where none are near enough."""
    index = bisect_left(readings, moment, key=lambda one: one.at)
    if index < len(readings) and readings[index].at == moment:
        return readings[index].kwh
    if index in (0, len(readings)):
        return None
    before, after = readings[index - 1], readings[index]
    if after.at - before.at > MAX_GAP_SECONDS:
        return None
    return before.kwh + (after.kwh - before.kwh) * (moment - before.at) / (after.at - before.at)


def by_rack(allocation: Allocation, meter: RackMeter, readings: Sequence[Reading]) -> Allocation:
    """The allocation with its share of the rack's energy; of one that is held now, unchanged.

    Raises:
        MeterError: it held more devices than the rack has, or the readings don't reach over it.
    """
    if allocation.devices > meter.devices:
        raise MeterError(
            f"{allocation.id} held {allocation.devices} devices, the rack meter counts {meter.devices}",
            do="set `rack` in the pool's block to all devices of the pool's racks, and to their common counter",
        )
    if allocation.ended is None:
        return allocation
    first, last = counter_at(readings, allocation.started), counter_at(readings, allocation.ended)
    if first is None or last is None:
        reach = f"reach from {readings[0].at:.0f} to {readings[-1].at:.0f}" if readings else "are none"
        raise MeterError(
            f"{allocation.id} held its devices from {allocation.started:.0f} to {allocation.ended:.0f}, "
            f"the rack meter's readings {reach}, or leave more than {MAX_GAP_SECONDS:.0f} s out",
            do="see that a reading is written every minute; this energy is as another meter or board power has it",
        )
    kwh = (last - first) * allocation.devices / meter.devices
    return allocation.model_copy(update={"kwh": kwh, "meter": METER})
