"""When a recipe's nights are: days without one, the latest start, the hour by which one must be over. Pure.

Decides only about times it is given; who starts a night at them is Prefect (``flows/schedules.py``). A blackout day is
told by the local date of the *scheduled* time: a night of Friday 23:30 that waits past midnight is Friday's.
"""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from infra.cron import checked
from infra.digest import Record

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LEAP_YEAR = 2000  # in which 02-29 is a day


class ScheduleSpec(Record):
    """When nights start by themselves (docs/guides/schedule.md)."""

    cron: str = Field(description="when: minute hour day month weekday, in `timezone`; `0 2 * * *` is every night at 2")
    timezone: str = Field(default="UTC", description="IANA name, e.g. `Europe/Berlin`, of every time and day here")
    overlap: Literal["skip", "wait"] = Field(
        default="wait", description="where a night still runs at the next one's time: that one is left out, or waits"
    )
    start_within_hours: float = Field(
        default=4.0, gt=0, le=168, description="a night that could not start so long after its time is skipped"
    )
    deadline: str | None = Field(
        default=None,
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="local time, `HH:MM`: what holds a pool then keeps a checkpoint and ends; unset: none",
    )
    blackout: tuple[str, ...] = Field(
        default=(),
        description="days without a night: `2026-12-24`, `2026-12-24..2026-12-26`, each year `12-24` or "
        "`12-24..01-02`, a weekday `sat`",
    )

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        return checked(value)

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no timezone {value!r}; give an IANA name such as Europe/Berlin") from None

    @field_validator("blackout")
    @classmethod
    def _are_days(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            named(entry, date(_LEAP_YEAR, 1, 1))
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def starts(self) -> str:
        """What decides when nights start: a change of it renews the schedule on the server."""
        return f"{self.cron} {self.timezone}"


# --- days ---


def named(entry: str, day: date) -> bool:
    """Whether an entry of ``blackout`` names the day.

    Raises:
        ValueError: the entry names no day at all.
    """
    if entry in WEEKDAYS:
        return WEEKDAYS[day.weekday()] == entry
    first, sign, last = entry.partition("..")
    last = last if sign else first
    if re.fullmatch(r"\d\d-\d\d", first) and re.fullmatch(r"\d\d-\d\d", last):
        begin, end, this = _yearly(first, entry), _yearly(last, entry), (day.month, day.day)
        return begin <= this <= end if begin <= end else this >= begin or this <= end
    try:
        begin, end = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        raise ValueError(
            f"{entry!r} names no day: write 2026-12-24, 12-24, a range of either with `..`, or one of "
            f"{', '.join(WEEKDAYS)}"
        ) from None
    if end < begin:
        raise ValueError(f"{entry!r} ends before it begins")
    return begin <= day <= end


def _yearly(text: str, entry: str) -> tuple[int, int]:
    try:
        found = date.fromisoformat(f"{_LEAP_YEAR}-{text}")
    except ValueError:
        raise ValueError(f"{entry!r} names no day: there is no {text} in any year") from None
    return found.month, found.day


def blacked_out(spec: ScheduleSpec, scheduled: datetime) -> str | None:
    """The entry of ``blackout`` that names the local date of a scheduled time (with its zone), or None."""
    day = scheduled.astimezone(spec.zone).date()
    return next((entry for entry in spec.blackout if named(entry, day)), None)


# --- times ---


def ends_by(spec: ScheduleSpec, after: datetime) -> datetime | None:
    """The first ``deadline`` on the zone's clocks after a moment, in UTC; None where there is none.

    A time that the clocks jump over counts as if they had not jumped (02:30 is then 03:30, as in RFC 5545); one they
    show twice comes twice.
    """
    if spec.deadline is None:
        return None
    at = time.fromisoformat(spec.deadline)
    today = after.astimezone(spec.zone).date()
    # two days on: a zone that changed its side of the date line left out a whole one
    days = (today + timedelta(days=count) for count in range(-1, 4))
    found = (moment for day in days for moment in _moments(day, at, spec.zone))
    return min(moment for moment in found if moment > after.astimezone(UTC))


def _moments(day: date, at: time, zone: ZoneInfo) -> list[datetime]:
    """When the zone's clocks show it on that day, in UTC: once or twice; in a gap, as if there were none."""
    wall = datetime.combine(day, at)
    both = [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    shown = [moment for moment in both if moment.astimezone(zone).replace(tzinfo=None) == wall]
    return sorted(set(shown)) or [both[0]]


def latest_start(spec: ScheduleSpec, scheduled: datetime) -> datetime:
    """After which a scheduled night is no longer begun, in UTC: within one zone, Python counts hours on its clocks."""
    limit = scheduled.astimezone(UTC) + timedelta(hours=spec.start_within_hours)
    end = ends_by(spec, scheduled)
    return limit if end is None else min(limit, end)


def why_not(spec: ScheduleSpec, scheduled: datetime, now: datetime) -> str | None:
    """Why a night that Prefect started by its schedule must not run, in a sentence; None where it may.

    Args:
        scheduled: the time it was to start at, ``now``: at which it could. Both with a zone.
    """
    local, now = in_words(scheduled, spec), now.astimezone(UTC)
    if (entry := blacked_out(spec, scheduled)) is not None:
        return f"the night of {local} falls on a blackout day ({entry!r} in schedule.blackout)"
    if now <= latest_start(spec, scheduled):
        return None
    end = ends_by(spec, scheduled)
    if end is not None and now > end:
        return f"the night of {local} could not start before its deadline ({spec.deadline}, schedule.deadline)"
    return (
        f"the night of {local} could not start within {spec.start_within_hours:g} h of its time "
        "(schedule.start_within_hours)"
    )


def in_words(moment: datetime, spec: ScheduleSpec) -> str:
    """A moment on the schedule's clocks, to the minute, e.g. ``Sat 2026-11-28 02:00 CET``."""
    return f"{moment.astimezone(spec.zone):%a %Y-%m-%d %H:%M %Z}"


__all__ = ["WEEKDAYS", "ScheduleSpec", "blacked_out", "ends_by", "in_words", "latest_start", "named", "why_not"]
