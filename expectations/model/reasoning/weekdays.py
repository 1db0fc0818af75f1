"""Weekdays: through chains of days, from one date to another, within a month, and counted without weekends.

The structure says from which day the chain starts, which way it goes, and which borders lie between.
"""

from datetime import date, timedelta
from random import Random

from expectations.model.reasoning.dates import DAYS, EVENTS, MONTHS, borders, draw_date, write
from expectations.model.reasoning.surface import ORDINALS, PLACES, Draft, named, numeric, people

ANCHORS = (
    (-3, "Three days ago it was {d}"),
    (-2, "The day before yesterday was {d}"),
    (-1, "Yesterday was {d}"),
    (0, "Today is {d}"),
    (1, "Tomorrow is {d}"),
    (2, "The day after tomorrow is {d}"),
    (3, "In three days it will be {d}"),
)
# how a day is named, whether it lies behind, and how many days from today it is
TARGETS = {
    "on": ("in {k} days", False, lambda k: k),
    "back": ("{k} days ago", True, lambda k: -k),
    "weeks on": ("{w} weeks and {k} days from now", False, lambda k: k),
    "weeks back": ("{w} weeks and {k} days ago", True, lambda k: -k),
    "after tomorrow": ("{k} days after tomorrow", False, lambda k: k + 1),
    "before tomorrow": ("{k} days before tomorrow", True, lambda k: 1 - k),
    "after yesterday": ("{k} days after yesterday", False, lambda k: k - 1),
    "before yesterday": ("{k} days before yesterday", True, lambda k: -1 - k),
    "day before": ("on the day before the one {k} days from now", False, lambda k: k - 1),
    "day after": ("on the day after the one {k} days ago", True, lambda k: 1 - k),
}
TASKS = ("visit", "exam", "flight", "meeting", "check-up", "match", "lesson", "delivery", "shift", "interview")


def around(day: int, slips: tuple[int, ...] = (1, -1, 2, -2)) -> list[str]:
    """Weekdays beside a weekday."""
    return [DAYS[(day + slip) % 7] for slip in slips]


def weekday_chain(rng: Random) -> Draft | None:
    """A weekday told through one of today's neighbours, asked through another way round."""
    (offset, anchor), kind = rng.choice(ANCHORS), rng.choice(tuple(TARGETS))
    given, weeks, (name,) = rng.randrange(7), rng.randint(2, 9), people(rng, 1)
    k = rng.randint(2, 6) if kind.startswith("weeks") else rng.randint(2, 30)
    words, behind, shift = TARGETS[kind]
    answer = (given - offset + shift(k)) % 7
    task = f"{name}'s {rng.choice(TASKS)} {'was' if behind else 'will be'} {words.format(k=k, w=weeks)}."
    prompt = f"{anchor.format(d=DAYS[given])}. {task} On which day of the week {'was' if behind else 'is'} it?"
    wrong = [*around(answer), DAYS[(given + shift(k)) % 7], DAYS[(given - offset - shift(k)) % 7]]
    size = "" if kind.startswith("weeks") else " short" if k < 7 else " long"
    return named(rng, f"{offset} {kind}{size}", prompt, DAYS[answer], wrong)


def weekday_of(rng: Random) -> Draft | None:
    """A date's weekday from another date's."""
    length = rng.choice((rng.randint(8, 31), rng.randint(32, 100), rng.choice((365, 366))))
    start, sign = draw_date(rng), rng.choice((1, -1))
    day, place, event = start + timedelta(days=sign * length), rng.choice(PLACES), rng.choice(EVENTS)
    known = DAYS[start.weekday()]
    prompt = rng.choice(
        (
            f"{write(start)} is a {known}. Which weekday is {write(day)}, when a {event} starts in {place}?",
            f"In {place} a {event} moves from {known}, {write(start)}, to {write(day)}. Which weekday is the new date?",
        )
    )
    slips = (1, -1, 2, -2, -2 * sign * length)
    structure = f"{'+' if sign > 0 else '-'} {'year ' if length > 364 else ''}{borders(start, day)}"
    return named(rng, structure, prompt, DAYS[day.weekday()], around(day.weekday(), slips))


def month_grid(rng: Random) -> Draft | None:
    """Weekdays within one month: the n-th, the last, how many, the month's last day."""
    month, year, place = rng.randrange(12), rng.randint(2001, 2039), rng.choice(PLACES)
    first = date(year, month + 1, 1)
    length = ((first + timedelta(days=31)).replace(day=1) - first).days
    wanted, other = rng.sample(range(7), 2)

    def dates_of(weekday: int) -> list[int]:
        return [k for k in range(1, length + 1) if (first.weekday() + k - 1) % 7 == weekday]

    dates, known = dates_of(wanted), rng.choice(("first", "other", "nth"))
    day, nth, rank = rng.randint(2, length), rng.randint(2, 4), rng.randint(2, 4)
    given = {
        "first": f"1 {MONTHS[month]} is a {DAYS[first.weekday()]}",
        "other": f"{day} {MONTHS[month]} is a {DAYS[(first.weekday() + day - 1) % 7]}",
        "nth": f"the {ORDINALS[nth - 1]} {DAYS[other]} of {MONTHS[month]} falls on day {dates_of(other)[nth - 1]}",
    }[known]
    begin = f"In {year}, {given}{f', and February has {length} days' if month == 1 else ''}."
    ask = rng.choice(("nth", "last", "count", "end"))
    structure = f"{known} {ask}{f' of {length}' if ask in ('last', 'count', 'end') else ''}"
    if ask == "count":
        prompt = f"{begin} How many {DAYS[wanted]}s does the market in {place} get that month?"
        return numeric(rng, structure, prompt, len(dates), [4, 5, 3, 6])
    if ask == "end":
        end = (first.weekday() + length - 1) % 7
        prompt = f"{begin} On which weekday does that month end in {place}?"
        return named(rng, structure, prompt, DAYS[end], around(end))
    which, answer = (ORDINALS[rank - 1], dates[rank - 1]) if ask == "nth" else ("last", dates[-1])
    prompt = rng.choice(
        (
            f"{begin} The market in {place} is on the {which} {DAYS[wanted]}. Which day of the month is that?",
            f"{begin} On which day of the month is {place}'s meeting, always the {which} {DAYS[wanted]}?",
        )
    )
    wrong = [f"Day {answer + slip}" for slip in (1, -1, 7, -7, 2) if 0 < answer + slip <= length]
    return named(rng, structure, prompt, f"Day {answer}", wrong)


def working_days(rng: Random) -> Draft | None:
    """Working days, perhaps with a holiday: when something is done, when it came, or how many days pass."""
    (name,), place = people(rng, 1), rng.choice(PLACES)
    start, count = rng.randrange(5), rng.randint(2, 12)
    holiday = rng.choice((None, None, rng.randint(1, 6)))  # so many days after the start
    if holiday is not None and (start + holiday) % 7 > 4:
        return None
    day, done, weekends = start, 0, 0
    while done < count:
        day += 1
        weekends += day % 7 == 5
        done += day % 7 < 5 and day - start != holiday
    if holiday is not None and holiday > day - start:
        return None
    off = f" The {DAYS[(start + holiday) % 7]} after that is a holiday." if holiday is not None else ""
    ask = rng.choice(("day", "days", "start"))
    thing = rng.choice(("order", "claim", "repair", "form", "permit", "report", "transfer", "sample"))
    closed = f"An office in {place} works from Monday to Friday."
    structure = f"{ask} {weekends} weekends{' holiday' if holiday is not None else ''}"
    comes = f"{closed} {name}'s {thing} comes in on a {DAYS[start]} and takes {count} more working days.{off}"
    if ask == "day":
        wrong = [*around(day % 7), DAYS[(start + count) % 7]]
        return named(rng, structure, f"{comes} On which weekday is it ready?", DAYS[day % 7], wrong)
    if ask == "days":
        slips = [count, day - start + 1, day - start - 1, count + 2]
        return numeric(rng, structure, f"{comes} How many days pass in all?", day - start, slips, "days")
    if off:
        return None
    ready = f"{closed} {name}'s {thing} was ready on a {DAYS[day % 7]}, {count} working days after it came in."
    wrong = [*around(start), DAYS[(day - count) % 7]]
    return named(rng, structure, f"{ready} On which weekday did it come in?", DAYS[start], wrong)
