"""Dates: days between, shifts, leap years, ages, days that come back.

The structure says what is asked of what, and which borders lie between: months, a February, the turn of a year.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from random import Random

from expectations.model.reasoning.surface import ORDINALS, PLACES, Draft, named, numeric, people

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
EVENTS = ("fair", "regatta", "course", "tour", "lease", "trial", "project", "contest", "strike", "voyage", "survey")
PAPERS = ("rent", "report", "parcel", "payment", "answer", "plan", "visa", "loan", "offer", "permit")
CHORES = (
    "waters the cactus",
    "cleans the pump",
    "checks the meter",
    "bakes rye bread",
    "mows the lawn",
    "sweeps the hall",
)


def write(day: date) -> str:
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def draw_date(rng: Random) -> date:
    return date(rng.randint(1996, 2039), 1, 1) + timedelta(days=rng.randrange(365))


def borders(start: date, end: date) -> str:
    """What lies between two dates: ends of months (three count as many), a February's end, turns of the year."""
    start, end = min(start, end), max(start, end)
    months = (end.year - start.year) * 12 + end.month - start.month
    february = ""
    for step in range((end - start).days):
        day = start + timedelta(days=step)
        if day.month == 2 and (day + timedelta(days=1)).month == 3:
            february = " leap" if day.day == 29 else " short"
    return f"{min(months, 3)} months{february}{' new year' if end.year > start.year else ''}"


def near(rng: Random, day: date, slips: Iterable[int]) -> list[str]:
    """Dates that are off by typical slips, filled up with days around."""
    more = rng.sample((1, -1, 2, -2, 7, -7), 4)
    return [write(day + timedelta(days=slip)) for slip in dict.fromkeys([*slips, *more]) if slip][:3]


def days_between(rng: Random) -> Draft | None:
    """Days from one date to another: plain, with both ends, to wait, or left over beyond whole weeks."""
    start, length = draw_date(rng), rng.choice((rng.randint(5, 40), rng.randint(25, 110)))
    end, event, place = start + timedelta(days=length), rng.choice(EVENTS), rng.choice(PLACES)
    mode = rng.choice(("plain", "both", "weeks", "until"))
    runs = f"A {event} in {place} runs from {write(start)} to {write(end)}."
    runs = rng.choice((runs, f"From {write(start)} to {write(end)} a {event} goes on in {place}."))
    prompt, answer = {
        "plain": (f"{runs} How many days is that, not counting the first day?", length),
        "both": (f"{runs} How many days is that with the first and last day counted?", length + 1),
        "weeks": (f"{runs} Beyond whole weeks, how many days are left, not counting the first day?", length % 7),
        "until": (
            f"It is {write(start)}. The {event} in {place} begins on {write(end)}. How many days off is it?",
            length,
        ),
    }[mode]
    as_thirties = (end.year - start.year) * 360 + (end.month - start.month) * 30 + end.day - start.day
    wrong = [as_thirties, answer + 1, answer - 1, answer + 2, answer - 2]
    if mode == "weeks":
        wrong = [length // 7, 7 - length % 7, (length + 1) % 7, as_thirties % 7]
    return numeric(rng, f"{mode} {borders(start, end)}", prompt, answer, wrong, "days")


def moved(day: date, count: int, unit: str) -> date | None:
    """A date some days, weeks or months on; None where a month has no such day for sure."""
    if unit != "months":
        return day + timedelta(days=count * (7 if unit == "weeks" else 1))
    month = day.year * 12 + day.month - 1 + count
    return None if day.day > 28 else date(month // 12, month % 12 + 1, day.day)


def date_shift(rng: Random) -> Draft | None:
    """A date some days, weeks or months before or after another, in one step or two."""
    (name,), start, thing = people(rng, 1), draw_date(rng), rng.choice(PAPERS)
    day, told, kinds = start, [], []
    for place in range(rng.choice((1, 2, 2))):
        unit, sign = rng.choice(("days", "weeks", "months")), rng.choice((1, 1, -1))
        count = rng.randint(4, 40) if unit == "days" else rng.randint(2, 5)
        after = moved(day, sign * count, unit)
        if after is None:
            return None
        day = after
        told.append(f"{count} {unit} {'after' if sign > 0 else 'before'} {'that' if place else write(start)}")
        kinds.append(f"{'+' if sign > 0 else '-'}{unit}")
    if abs((day - start).days) < 2:
        return None
    first = f"{name}'s {thing} {rng.choice(('is due', 'comes'))} {told[0]}."
    if len(told) == 1:
        prompt = f"{first} {rng.choice(('Which date is that?', 'On which date is it?'))}"
    else:
        prompt = f"{first} A notice goes out {told[1]}. {rng.choice(('What is its date?', 'When is the notice?'))}"
    wrong = near(rng, day, (1, -1, rng.choice((7, -7))))
    return named(rng, f"{' '.join(kinds)} {borders(start, day)}", prompt, write(day), wrong)


def leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def leap_years(rng: Random) -> Draft | None:
    """Leap years by the Gregorian rule, centuries included: counted, told apart, or how many days years have."""
    (name,), place = people(rng, 1), rng.choice(PLACES)
    kind = rng.choice(("count", "days", "birthdays", "which", "not", "next"))
    start = rng.choice((rng.randint(1880, 1902), rng.randint(1985, 2060), rng.randint(2088, 2105)))
    span = rng.randint(6, 30)
    inside = [year for year in range(start, start + span + 1) if leap(year)]
    century = " century" if any(year % 100 == 0 for year in range(start, start + span + 1)) else ""
    if kind == "count":
        log = f"{name}'s log in {place} covers {start} to {start + span}, both included."
        prompt = f"{log} How many of these are leap years?"
        wrong = [span // 4, span // 4 + 1, len(inside) + 1, len(inside) - 1]
        return numeric(rng, f"count{century}", prompt, len(inside), wrong)
    if kind == "days":
        years = rng.randint(2, 4)
        leaps = sum(leap(start + k) for k in range(years))
        end = start + years - 1
        prompt = f"{name}'s lease in {place} runs from 1 January {start} to 31 December {end}. How many days is that?"
        total = 365 * years + leaps
        wrong = [365 * years, 366 * years, total + 1, total - 1]
        return numeric(rng, f"days {years} years {leaps} leap", prompt, total, wrong, "days")
    if kind == "birthdays":
        if not inside:
            return None
        born, age = inside[0], rng.randint(9, 40)
        count = sum(leap(year) for year in range(born + 1, born + age + 1))
        century = " century" if any(year % 100 == 0 for year in range(born, born + age + 1)) else ""
        ask = f"How many times has that day come round again in {place} by the end of {born + age}?"
        wrong = [age // 4, age // 4 + 1, age, count - 1, count + 1]
        return numeric(rng, f"birthdays{century}", f"{name} was born on 29 February {born}. {ask}", count, wrong)
    if kind == "next":
        year = start + rng.randint(0, span)
        coming = next(k for k in range(year + 1, year + 9) if leap(k))
        prompt = f"{name}'s festival in {place} is held in leap years only. Which year is the first one after {year}?"
        slips = [str(year + slip) for slip in (1, 2, 3, 4, 5, 8)]
        return named(rng, f"next {coming - year}", prompt, str(coming), slips)
    pool = sorted({*range(start - 9, start + span), 1600, 1700, 1800, 1900, 2000, 2100, 2200, 2400})
    answer = rng.choice([year for year in pool if leap(year) == (kind == "which")])
    others = rng.sample([year for year in pool if leap(year) != (kind == "which")], 3)
    has, days = ("with", 366) if kind == "which" else ("without", 365)
    offered = ", ".join(str(year) for year in sorted([answer, *others]))
    prompt = rng.choice(
        (
            f"{name} in {place} looks for a year {has} a 29 February among {offered}. Which is one?",
            f"In {place}, {name} asks which of these years has {days} days: {offered}. Which one?",
        )
    )
    structure = f"{kind}{' century' if answer % 100 == 0 else ''} against {sum(year % 100 == 0 for year in others)}"
    return named(rng, structure, prompt, str(answer), [str(year) for year in others])


def years_before(first: date, second: date) -> int:
    """Whole years from one date to a later one."""
    return second.year - first.year - ((second.month, second.day) < (first.month, first.day))


def ages_on(rng: Random) -> Draft | None:
    """Ages from dates of birth: on a date, at the next birthday, of two together, when the other was born."""
    x, y = people(rng, 2)
    born, other, today = (draw_date(rng) for _ in range(3))
    born = date(rng.randint(1950, 2010), born.month, min(born.day, 28))
    other = date(born.year + rng.randint(2, 9), other.month, min(other.day, 28))
    today = date(rng.randint(2021, 2039), today.month, min(today.day, 28))
    if len({(day.month, day.day) for day in (born, other, today)}) < 3:
        return None
    age, other_age, then = years_before(born, today), years_before(other, today), years_before(born, other)
    kind = rng.choice(("age", "next", "turns", "sum", "when-born"))

    def order(day: date, birthday: date) -> str:
        same = " same month" if day.month == birthday.month else ""
        return f" {'before' if (day.month, day.day) < (birthday.month, birthday.day) else 'after'}{same}"

    was_born = f"{x} was born on {write(born)}"
    k = rng.randint(20, 70)
    if kind == "age":
        prompt = f"{was_born}. How old is {x} on {write(today)}?"
        return numeric(rng, kind + order(today, born), prompt, age, [today.year - born.year, age + 1, age - 1], "years")
    if kind == "next":
        prompt = f"{was_born}. It is {write(today)}. Which age will {x} reach at the next birthday?"
        return numeric(rng, kind + order(today, born), prompt, age + 1, [age, age + 2, today.year - born.year], "years")
    if kind == "turns":
        place, year = rng.choice(PLACES), born.year + k
        prompt = f"{was_born} and goes to {place} exactly a year before turning {k}. In which year is that?"
        return numeric(rng, kind, prompt, year - 1, [year, year + 1, year - 2])
    if kind == "sum":
        prompt = f"{was_born}, {y} on {write(other)}. How old are they together on {write(today)}?"
        both = age + other_age
        wrong = [2 * today.year - born.year - other.year, both + 1, both - 1, age]
        return numeric(rng, kind + order(today, born) + order(today, other), prompt, both, wrong, "years")
    prompt = f"{was_born}, {y} on {write(other)}. How old was {x} when {y} was born?"
    return numeric(rng, kind + order(other, born), prompt, then, [other.year - born.year, then + 1, then - 1], "years")


def recurring(rng: Random) -> Draft | None:
    """A day that comes back every so often: its n-th date or weekday, how often by a date, when it meets another."""
    start, place, (name,) = draw_date(rng), rng.choice(PLACES), people(rng, 1)
    step, unit = rng.choice(((rng.randint(3, 12), "days"), (rng.choice((2, 3, 4)), "weeks")))
    days = step * (7 if unit == "weeks" else 1)
    nth, chore = rng.randint(3, 6), rng.choice(CHORES)
    kind = rng.choice(("nth", "meet", "until", "weekday"))
    base = f"In {place}, {name} {chore} every {step} {unit}, first on {write(start)}."
    if kind == "nth":
        day = start + timedelta(days=days * (nth - 1))
        prompt = f"{base} On which date for the {ORDINALS[nth - 1]} time?"
        return named(rng, f"nth {unit} {borders(start, day)}", prompt, write(day), near(rng, day, (days, -days, 1)))
    if kind == "meet":
        other = rng.choice([k for k in (2, 3, 4, 5, 6, 8, 9, 10) if k != days])
        common = next(k for k in range(days, days * other + 1, days) if k % other == 0)
        both = f"The rubbish goes every {other} days, also first that day."
        prompt = f"{base} {both} After how many days do both fall together again?"
        nested = "multiple" if common == max(days, other) else "coprime" if common == days * other else "shared"
        wrong = [days * other, days + other, max(days, other), common + days, common * 2]
        return numeric(rng, f"meet {unit} {nested}", prompt, common, wrong, "days")
    if kind == "until":
        span = rng.randint(25, 75)
        day = start + timedelta(days=span)
        prompt = f"{base} How often by {write(day)}, that day and the first one included?"
        structure = f"until {unit} {borders(start, day)}{' exact' if span % days == 0 else ''}"
        return numeric(rng, structure, prompt, span // days + 1, [span // days, span // days + 2, span % days])
    if unit == "weeks":
        return None
    first = rng.randrange(7)
    day_of_week = (first + days * (nth - 1)) % 7
    base = f"In {place}, {name} {chore} every {days} days, first on a {DAYS[first]}."
    prompt = f"{base} On which weekday for the {ORDINALS[nth - 1]} time?"
    wrong_days = [DAYS[slip % 7] for slip in (day_of_week + 1, day_of_week - 1, first + days * nth, day_of_week + 3)]
    return named(rng, f"weekday {'long' if days > 7 else 'short'}", prompt, DAYS[day_of_week], wrong_days)
