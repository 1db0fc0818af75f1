"""What attempts held, from allocation to release: intervals of device time, each once. Pure."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from infra.attempts import Allocation, Attempt
from infra.price_book import exact
from tasks.errors import BillError

# a scheduler's clock may be so far from ours before one of them is wrong
SKEW_SECONDS = 60.0


class Held(NamedTuple):
    """Devices for some time. ``kwh`` is None where nothing measured it."""

    started: Decimal  # seconds since the epoch
    seconds: Decimal
    devices: int
    kwh: float | None
    meter: str | None
    busy: float | None
    peak_memory_bytes: int | None

    @property
    def device_seconds(self) -> Decimal:
        return self.devices * self.seconds


class Holding(NamedTuple):
    """One attempt's part of the bill."""

    attempt: Attempt
    held: tuple[Held, ...]
    queue_seconds: Decimal
    warnings: tuple[str, ...]


def holdings(attempts: Sequence[Attempt], now: float | None = None) -> list[Holding]:
    """What each attempt held. An allocation that two attempts name (a night that was started again) counts once.

    Args:
        now: up to when what is held still is billed, seconds since the epoch; None: up to its attempt's last word.

    Raises:
        BillError: something ended before it began: a clock was set back, and no amount would be right.
    """
    last: dict[tuple[str, str], Allocation] = {}
    owner: dict[tuple[str, str], str] = {}
    for attempt in sorted(attempts, key=lambda one: one.started):
        for allocation in attempt.allocations:
            key = (attempt.device.pool, allocation.id)
            owner.setdefault(key, attempt.id)
            if key not in last or allocation.ended is not None or last[key].ended is None:
                last[key] = allocation
    found = []
    for attempt in attempts:
        mine = [
            last[key]
            for allocation in attempt.allocations
            if owner[key := (attempt.device.pool, allocation.id)] == attempt.id
        ]
        found.append(_holding(attempt, mine, now))
    return found


def _holding(attempt: Attempt, allocations: list[Allocation], now: float | None) -> Holding:
    if attempt.allocations:
        pieces = [_held(attempt, one, now) for one in allocations]
        queue = sum((_queue(attempt, one) for one in allocations), Decimal(0))
        open_ = [one.id for one in allocations if one.ended is None and attempt.state == "Killed"]
        warnings = [
            f"{attempt.step}: nobody recorded when the allocation {id_} of {attempt.device.pool} ended: it is billed "
            "up to the night's last sign of life; compare with the scheduler's accounting"
            for id_ in open_
        ]
        return Holding(attempt, tuple(pieces), queue, tuple(warnings))
    seconds = exact(attempt.seconds)
    if seconds < 0:
        raise _clock(attempt, f"its attempt {attempt.id} lasted {attempt.seconds} s")
    if not attempt.scheduled:
        one = attempt
        piece = Held(exact(one.started), seconds, one.device.count, one.kwh, one.meter, one.busy, one.peak_memory_bytes)
        return Holding(attempt, (piece,), Decimal(0), ())
    lost = (
        f"{attempt.step}: the night was killed before anybody recorded what {attempt.device.pool} gave it: nothing "
        "of it is billed; compare with the scheduler's accounting"
    )
    return Holding(attempt, (), seconds, (lost,) if attempt.state == "Killed" else ())


def _held(attempt: Attempt, one: Allocation, now: float | None) -> Held:
    ended = one.ended if one.ended is not None else _until(attempt, one, now)
    seconds = exact(ended) - exact(one.started)
    if seconds < 0:
        raise _clock(attempt, f"the allocation {one.id} started at {one.started:.0f} and ended at {ended:.0f}")
    # of a pool without accelerators, nodes are held
    devices = one.devices if attempt.device.accelerator else one.devices or one.nodes
    return Held(exact(one.started), seconds, devices, one.kwh, one.meter, one.busy, one.peak_memory_bytes)


def _until(attempt: Attempt, one: Allocation, now: float | None) -> float:
    """Up to when an allocation that nobody ended is billed."""
    last = now if now is not None and attempt.state == "Running" else attempt.started + attempt.seconds
    return one.started if one.started - SKEW_SECONDS <= last < one.started else last


def _queue(attempt: Attempt, one: Allocation) -> Decimal:
    waited = exact(one.started) - exact(one.queued)
    if waited < -exact(SKEW_SECONDS):
        raise _clock(attempt, f"{one.id} was queued at {one.queued:.0f} and started at {one.started:.0f}")
    return max(waited, Decimal(0))


def _clock(attempt: Attempt, what: str) -> BillError:
    return BillError(
        f"{attempt.step} on {attempt.device.pool} can't be billed: {what}; a clock was set back",
        do="mend the clocks (NTP), and the times in the night's attempts.jsonl by the scheduler's accounting",
    )
