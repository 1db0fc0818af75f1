"""When nights are: days without one, the latest start and the deadline, across clock changes and turns of the year."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.settings import ROOT
from tasks.recipe import load_recipe
from tasks.schedule import WEEKDAYS, ScheduleSpec, blacked_out, ends_by, latest_start, named, why_not

# both sides of the date line, half hours, a half-hour summer time, a day left out (Samoa 2011), changes at midnight
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"),
    *("Australia/Lord_Howe", "Pacific/Apia", "America/Santiago", "Asia/Beirut"),
)
BERLIN = ZoneInfo("Europe/Berlin")
MOMENTS = st.datetimes(datetime(2010, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC))
CLOCKS = st.tuples(st.integers(0, 23), st.integers(0, 59)).map(lambda at: f"{at[0]:02}:{at[1]:02}")


def spec(**values: object) -> ScheduleSpec:
    return ScheduleSpec.model_validate({"cron": "0 2 * * *", "timezone": "Europe/Berlin", **values})


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


# --- what may be written ---


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"timezone": "Mars/Base"}, "there is no timezone 'Mars/Base'"),
        ({"timezone": ""}, "there is no timezone"),
        ({"timezone": "../../etc/passwd"}, "there is no timezone"),
        ({"cron": "every night"}, "cron"),
        ({"cron": "61 2 * * *"}, "cron"),
        ({"deadline": "24:00"}, "deadline"),
        ({"deadline": "6:00"}, "deadline"),
        ({"overlap": "both"}, "overlap"),
        ({"start_within_hours": 0}, "start_within_hours"),
        ({"blackout": ["caturday"]}, "'caturday' names no day"),
        ({"blackout": ["02-30"]}, "there is no 02-30 in any year"),
        ({"blackout": ["2027-02-29"]}, "'2027-02-29' names no day"),
        ({"blackout": ["2026-12-26..2026-12-24"]}, "ends before it begins"),
        ({"blackout": ["2026-12-24..12-26"]}, "names no day"),
        ({"blackout": ["sat..sun"]}, "names no day"),
    ],
)
def test_what_names_no_time_or_day_is_refused_by_its_value(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        spec(**values)


def test_when_a_night_is_does_not_change_what_it_makes() -> None:
    demo = load_recipe(ROOT / "recipes" / "demo.toml")
    assert demo.schedule is None
    nightly = demo.model_copy(update={"schedule": spec(blackout=["sat"])})
    assert nightly.digest == demo.digest


# --- blackout days ---


@pytest.mark.parametrize(
    ("entry", "day", "is_named"),
    [
        ("2026-12-24", "2026-12-24", True),
        ("2026-12-24", "2027-12-24", False),
        ("12-24", "2027-12-24", True),
        ("2026-12-24..2026-12-26", "2026-12-26", True),
        ("2026-12-24..2026-12-26", "2026-12-27", False),
        ("12-24..01-02", "2026-12-31", True),
        ("12-24..01-02", "2027-01-02", True),
        ("12-24..01-02", "2027-01-03", False),
        ("12-24..01-02", "2026-12-23", False),
        ("02-29", "2028-02-29", True),
        ("02-29..03-01", "2027-03-01", True),
        ("sat", "2026-11-28", True),
        ("sat", "2026-11-29", False),
    ],
)
def test_an_entry_names_its_days(entry: str, day: str, is_named: bool) -> None:
    assert named(entry, date.fromisoformat(day)) is is_named


@given(st.dates(date(2000, 1, 1), date(2040, 12, 31)), st.dates(date(2000, 1, 1), date(2000, 12, 31)), st.data())
def test_a_yearly_range_and_its_complement_name_every_day_once(day: date, first: date, data: st.DataObject) -> None:
    last = data.draw(st.dates(date(2000, 1, 1), date(2000, 12, 31)))
    after, before = last + timedelta(days=1), first - timedelta(days=1)
    assume((after.month, after.day) != (first.month, first.day))  # the whole year has no complement
    inside = named(f"{first:%m-%d}..{last:%m-%d}", day)
    outside = named(f"{after:%m-%d}..{before:%m-%d}", day)
    assert inside is not outside


@settings(max_examples=40)
@given(st.dates(date(2000, 1, 1), date(2040, 12, 31)))
def test_every_day_is_one_weekday_and_one_date(day: date) -> None:
    assert [weekday for weekday in WEEKDAYS if named(weekday, day)] == [f"{day:%a}".lower()]
    assert named(day.isoformat(), day)
    assert named(f"{day:%m-%d}", day)


@settings(max_examples=25)
@given(MOMENTS, st.sampled_from(ZONES), st.floats(0, 4))
def test_a_blackout_day_is_the_local_date_of_the_scheduled_time_and_not_of_the_start(
    scheduled: datetime, zone: str, late: float
) -> None:
    day = scheduled.astimezone(ZoneInfo(zone)).date()
    dark = spec(timezone=zone, blackout=[day.isoformat()])
    light = spec(timezone=zone, blackout=[(day + timedelta(days=1)).isoformat(), (day - timedelta(days=1)).isoformat()])
    now = scheduled + timedelta(hours=late)
    assert blacked_out(dark, scheduled) == day.isoformat()
    assert "blackout day" in (why_not(dark, scheduled, now) or "")
    assert why_not(light, scheduled, now) is None


def test_a_night_of_friday_that_waits_past_midnight_is_fridays() -> None:
    friday, saturday = at("2026-11-27T23:30"), at("2026-11-28T01:00")
    assert why_not(spec(blackout=["sat"]), friday, saturday) is None
    assert why_not(spec(blackout=["fri"]), friday, saturday) == (
        "the night of Fri 2026-11-27 23:30 CET falls on a blackout day ('fri' in schedule.blackout)"
    )


# --- too late ---


def test_a_night_may_start_until_its_hours_are_over_and_not_after() -> None:
    two = at("2026-11-28T02:00")
    limit = two + timedelta(hours=4)
    assert latest_start(spec(), two) == limit
    assert why_not(spec(), two, limit) is None
    assert why_not(spec(), two, limit + timedelta(seconds=1)) == (
        "the night of Sat 2026-11-28 02:00 CET could not start within 4 h of its time (schedule.start_within_hours)"
    )


def test_hours_to_start_in_are_hours_and_not_the_clocks() -> None:
    night = at("2026-03-28T23:30")  # summer time begins at 02:00
    limit = latest_start(spec(), night)
    assert (limit - night.astimezone(UTC), f"{limit.astimezone(BERLIN):%H:%M}") == (timedelta(hours=4), "04:30")


def test_a_night_whose_deadline_came_first_is_not_begun() -> None:
    two = at("2026-11-28T02:00")
    early = spec(deadline="05:00")
    assert why_not(early, two, at("2026-11-28T04:59")) is None
    assert "before its deadline (05:00" in (why_not(early, two, at("2026-11-28T05:01")) or "")


# --- the deadline ---


@settings(max_examples=25)
@given(MOMENTS, st.sampled_from(ZONES), CLOCKS)
@example(datetime(2011, 12, 29, 20, tzinfo=UTC), "Pacific/Apia", "10:00")  # the 30th was left out there
@example(datetime(2026, 3, 28, 23, tzinfo=UTC), "Europe/Berlin", "02:30")  # jumped over
@example(datetime(2026, 10, 25, 0, 40, tzinfo=UTC), "Europe/Berlin", "02:30")  # between its two 02:30
def test_the_deadline_is_the_first_such_time_on_the_clocks_after_the_start(
    start: datetime, zone: str, clock: str
) -> None:
    end = ends_by(spec(timezone=zone, deadline=clock), start)
    assert end is not None
    assert start < end <= start + timedelta(days=2, hours=2)
    shown = f"{end.astimezone(ZoneInfo(zone)):%H:%M}"
    if shown != clock:  # only where the clocks jumped over it that day: no moment near shows it
        near = (end - timedelta(minutes=count) for count in range(-120, 240))
        assert clock not in {f"{moment.astimezone(UTC).astimezone(ZoneInfo(zone)):%H:%M}" for moment in near}
    # none of the clocks' minutes between start and end shows it
    first = (start.astimezone(UTC) + timedelta(minutes=1)).replace(second=0, microsecond=0)
    minutes = int((end.astimezone(UTC) - first).total_seconds() // 60)
    between = (first + timedelta(minutes=count) for count in range(0, minutes))
    assert all(f"{moment.astimezone(ZoneInfo(zone)):%H:%M}" != clock for moment in between)


@settings(max_examples=25)
@given(MOMENTS, st.timedeltas(timedelta(0), timedelta(days=2)), st.sampled_from(ZONES), CLOCKS)
def test_who_starts_later_ends_no_earlier(start: datetime, later: timedelta, zone: str, clock: str) -> None:
    one = spec(timezone=zone, deadline=clock)
    first, second = ends_by(one, start), ends_by(one, start + later)
    assert first is not None
    assert second is not None
    assert first <= second


def test_a_deadline_that_the_clocks_jump_over_is_as_if_they_had_not() -> None:
    assert ends_by(spec(deadline="02:30"), at("2026-03-29T01:00")) == at("2026-03-29T03:30").astimezone(UTC)


def test_a_deadline_that_the_clocks_show_twice_comes_twice() -> None:
    one = spec(deadline="02:30")
    assert ends_by(one, at("2026-10-25T01:00")) == at("2026-10-25T02:30", fold=0).astimezone(UTC)
    assert ends_by(one, at("2026-10-25T02:40", fold=0)) == at("2026-10-25T02:30", fold=1).astimezone(UTC)


def test_without_a_deadline_there_is_none() -> None:
    assert ends_by(spec(), at("2026-11-28T02:00")) is None
