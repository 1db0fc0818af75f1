"""Solves problems of dates from their text alone, by counting day by day."""

import re
from collections.abc import Callable
from typing import NamedTuple

from tests.unit.gate.solve_words import Answer, find, ints

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NTH = {
    word: k + 1
    for k, word in enumerate(("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"))
}


class Day(NamedTuple):
    year: int
    month: int
    day: int

    def __str__(self) -> str:
        return f"{self.day} {MONTHS[self.month - 1]} {self.year}"


def length(year: int, month: int) -> int:
    """Thirty days hath September; February by Gregory's rule of 1582."""
    leap = year % 400 == 0 or (year % 4 == 0 and year % 100 != 0)
    return 28 + leap if month == 2 else 30 if month in (4, 6, 9, 11) else 31


def step(day: Day, by: int = 1) -> Day:
    """A date some days on, one day at a time."""
    year, month, date = day
    for _ in range(abs(by)):
        date += 1 if by > 0 else -1
        if date > length(year, month):
            date, month = 1, month + 1
        elif date < 1:
            month -= 1
        if month > 12:
            year, month = year + 1, 1
        elif month < 1:
            year, month = year - 1, 12
        date = date or length(year, month)
    return Day(year, month, date)


def between(start: Day, end: Day) -> int:
    count = 0
    while start < end:
        start, count = step(start), count + 1
    return count


def dates(text: str) -> list[Day]:
    found = re.findall(rf"(\d+) ({'|'.join(MONTHS)}) (\d{{4}})", text)
    return [Day(int(year), MONTHS.index(month) + 1, int(day)) for day, month, year in found]


def days_between(text: str) -> Answer:
    days = between(*dates(text))
    if "both" in text or "last day counted" in text:
        return days + 1
    return days % 7 if "whole weeks" in text else days


def date_shift(text: str) -> Answer:
    (day,) = dates(text)
    for count, unit, way in re.findall(r"(\d+) (days|weeks|months) (after|before)", text):
        sign = 1 if way == "after" else -1
        if unit == "months":
            for _ in range(int(count)):
                month = day.month + sign
                day = Day(day.year + (month > 12) - (month < 1), (month - 1) % 12 + 1, day.day)
        else:
            day = step(day, sign * int(count) * (7 if unit == "weeks" else 1))
    return str(day)


def leap_years(text: str, choices: list[str]) -> Answer:
    years = [number for number in ints(text) if number > 1000]
    if "come round" in text:
        return sum(length(year, 2) == 29 for year in range(years[0] + 1, years[1] + 1))
    if "How many of these" in text:
        return sum(length(year, 2) == 29 for year in range(years[0], years[1] + 1))
    if "runs from 1 January" in text:
        return between(Day(years[0], 1, 1), Day(years[1], 12, 31)) + 1
    if "leap years only" in text:
        return str(next(year for year in range(years[0] + 1, years[0] + 9) if length(year, 2) == 29))
    wanted = 28 if re.search(r"without|365", text) else 29
    fits = [choice for choice in choices if length(int(choice), 2) == wanted]
    return fits[0] if len(fits) == 1 else None


def birthdays(born: Day, today: Day) -> int:
    """Birthdays from the day after birth to a date, counted one by one."""
    return sum(Day(year, born.month, born.day) <= today for year in range(born.year + 1, today.year + 1))


def ages_on(text: str) -> Answer:
    days = dates(text)
    if "before turning" in text:
        return days[0].year + ints(text)[-1] - 1
    if "together" in text:
        return birthdays(days[0], days[2]) + birthdays(days[1], days[2])
    return birthdays(*days) + ("next birthday" in text)


def recurring(text: str) -> Answer:
    step_days = re.search(r"every (\d+) (days|weeks)", text)
    assert step_days
    days = int(step_days[1]) * (7 if step_days[2] == "weeks" else 1)
    if other := re.search(r"rubbish goes every (\d+)", text):
        return next(k for k in range(1, 999) if k % days == 0 and k % int(other[1]) == 0)
    nth = re.search(r"for the (\w+) time", text)
    if "weekday" in text and nth:
        weekday = WEEK.index(find(r"on a (\w+)\.", text)[1])
        return WEEK[(weekday + (NTH[nth[1]] - 1) * days) % 7]
    found = dates(text)
    if nth:
        return str(step(found[0], (NTH[nth[1]] - 1) * days))
    count, day = 0, found[0]
    while day <= found[1]:
        day, count = step(day, days), count + 1
    return count


def weekday_chain(text: str) -> Answer:
    offsets = {
        "Three days ago it was": -3, "The day before yesterday was": -2, "Yesterday was": -1, "Today is": 0,
        "Tomorrow is": 1, "The day after tomorrow is": 2, "In three days it will be": 3,
    }  # fmt: skip
    anchor, told, _ = text.split(". ")
    today = WEEK.index(anchor.split()[-1]) - next(
        offset for words, offset in offsets.items() if anchor.startswith(words)
    )
    number = r"(\d+)"
    for pattern, day in (
        (rf"{number} weeks and {number} days from now", lambda w, k: 7 * w + k),
        (rf"{number} weeks and {number} days ago", lambda w, k: -7 * w - k),
        (rf"day before the one {number} days from now", lambda k: k - 1),
        (rf"day after the one {number} days ago", lambda k: -k + 1),
        (rf"{number} days after tomorrow", lambda k: 1 + k), (rf"{number} days before tomorrow", lambda k: 1 - k),
        (rf"{number} days after yesterday", lambda k: -1 + k), (rf"{number} days before yesterday", lambda k: -1 - k),
        (rf"{number} days ago", lambda k: -k), (rf"in {number} days", lambda k: k),
    ):  # fmt: skip
        if found := re.search(pattern, told):
            return WEEK[(today + day(*map(int, found.groups()))) % 7]
    return None


def weekday_of(text: str) -> Answer:
    known, asked = dates(text)
    weekday = WEEK.index(find("|".join(WEEK), text)[0])
    days = between(known, asked) if known < asked else -between(asked, known)
    return WEEK[(weekday + days) % 7]


def month_grid(text: str) -> Answer:
    given, question = re.split(r"\. ", text, maxsplit=1)
    year, month = ints(text)[0], 1 + MONTHS.index(find("|".join(MONTHS), text)[0])
    for first in range(7):
        grid = {k: WEEK[(first + k - 1) % 7] for k in range(1, length(year, month) + 1)}
        named = re.search(r"the (\w+) (\w+day) of \w+ falls on day (\d+)|(\d+) \w+ is a (\w+day)", given)
        assert named
        nth, weekday, day, other_day, other = named.groups()
        if nth and [k for k in grid if grid[k] == weekday][NTH[nth] - 1] != int(day):
            continue
        if other and grid[int(other_day)] != other:
            continue
        if found := re.search(r"How many (\w+day)s", question):
            return list(grid.values()).count(found[1])
        if "does that month end" in question:
            return grid[max(grid)]
        which, wanted = find(r"the (\w+) (\w+day)", question).groups()
        days = [k for k in grid if grid[k] == wanted]
        return f"Day {days[-1] if which == 'last' else days[NTH[which] - 1]}"
    return None


def working_days(text: str) -> Answer:
    count = ints(text)[0]
    holiday = re.search(r"The (\w+) after that is a holiday", text)

    def ready(start: int) -> int:
        day, done, free = start, 0, [WEEK.index(holiday[1])] if holiday else []
        while done < count:
            day += 1
            if day % 7 in free:
                free = []
            else:
                done += day % 7 < 5
        return day

    if came := re.search(r"was ready on a (\w+)", text):
        days = [start for start in range(5) if ready(start) % 7 == WEEK.index(came[1])]
        return WEEK[days[0]] if len(days) == 1 else None
    start = WEEK.index(find(r"comes in on a (\w+)", text)[1])
    return ready(start) - start if "How many days" in text else WEEK[ready(start) % 7]


SOLVERS: dict[str, Callable[[str], Answer]] = {
    "days-between": days_between, "date-shift": date_shift, "ages-on": ages_on, "recurring": recurring,
    "weekday-chain": weekday_chain, "weekday-of": weekday_of, "month-grid": month_grid, "working-days": working_days,
}  # fmt: skip
CHOOSERS: dict[str, Callable[[str, list[str]], Answer]] = {"leap-years": leap_years}
