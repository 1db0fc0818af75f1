"""Solves problems of clock times from their text alone, by counting minutes and departures."""

import re
from collections.abc import Callable

from tests.unit.gate.solve_dates import NTH
from tests.unit.gate.solve_words import Answer, find, ints


def minutes(time: str) -> int:
    found = re.fullmatch(r"(\d+):(\d+)( [ap]m)?", time)
    assert found
    hour = int(found[1]) % 12 + 12 * (found[3] == " pm") if found[3] else int(found[1])
    return hour * 60 + int(found[2])


def clocks(text: str) -> list[int]:
    return [minutes(time) for time in re.findall(r"\d+:\d+(?: [ap]m)?", text)]


def shown(minute: int, like: str = "") -> str:
    """A time written as the times of a text are."""
    hour, rest = divmod(minute % 1440, 60)
    if re.search(r"\d [ap]m", like):
        return f"{hour % 12 or 12}:{rest:02d} {'pm' if hour >= 12 else 'am'}"
    return f"{hour}:{rest:02d}"


def spans(text: str) -> list[int]:
    """Durations in the text, in minutes."""
    found = []
    for half, hour, hours, rest, alone in re.findall(
        r"(\d+) and a half hours|(an hour and a half)|(\d+) hours?((?: \d+ minutes?)?)|(\d+) minutes", text
    ):
        found.append(
            int(half) * 60 + 30 if half else 90 if hour else int(hours) * 60 + sum(ints(rest)) if hours else int(alone)
        )
    return found


def day_plan(text: str) -> Answer:
    told, _, question = text.partition(". ")
    times, lengths = clocks(told), spans(told)
    if "in all" in question:
        return sum(lengths)
    if " until " in told:
        return (times[1] - times[0] - sum(lengths)) % 1440
    return shown(times[0] - sum(lengths) if "is done at" in told else times[0] + sum(lengths), text)


def time_zones(text: str) -> Answer:
    ahead: dict[str, int] = {}
    for b, hours, way, a in re.findall(r"(\w+) is (\d+) hours (ahead of|behind) (\w+)", text):
        ahead[b] = ahead.setdefault(a, 0) + 60 * int(hours) * (1 if way == "ahead of" else -1)
    same = re.search(r"When it is (\d+:\d+) in (\w+), it is (\d+:\d+) in (\w+)\.", text)
    rest = text
    if same:
        ahead = {same[2]: 0, same[4]: minutes(same[3]) - minutes(same[1])}
        rest = text[same.end() :]
        for c, hours, way, b in re.findall(r"(\w+) is (\d+) hours (ahead of|behind) (\w+)", rest):
            ahead[c] = ahead[b] + 60 * int(hours) * (1 if way == "ahead of" else -1)
    times, towns = clocks(rest), [town for town in re.findall(r"[A-Z]\w+", rest) if town in ahead]
    if "How many minutes is the flight" in text:
        a, b = towns[-2:]
        return times[1] - ahead[b] - (times[0] - ahead[a])
    if "takes off" in text:
        a, b = towns[-2:]
        return shown(times[0] - ahead[a] + spans(rest)[-1] + ahead[b])
    if "take-off" in text:
        b, a = towns[-2:]
        return shown(times[0] - ahead[b] - spans(rest)[-1] + ahead[a])
    known, asked = (towns[-3], towns[-1]) if "calls" in text else towns[-2:]
    return shown(times[0] - ahead[known] + ahead[asked])


def timetable(text: str) -> Answer:
    first, every = clocks(text)[0], int(find(r"every (\d+) minutes", text)[1])
    departures = range(first, 3000, every)
    if other := re.search(r"Another leaves every (\d+)", text):
        return shown(next(time for time in departures if time > first and (time - first) % int(other[1]) == 0))
    if nth := re.search(rf"the ({'|'.join(NTH)}) one", text):
        return shown(departures[NTH[nth[1]] - 1])
    there = clocks(text)[1]
    if "up to and including" in text:
        return sum(time <= there for time in departures)
    if walk := re.search(r"walks (\d+) minutes", text):
        return shown(max(time for time in departures if time <= there) - int(walk[1]))
    coming = min(time for time in departures if time >= there)
    return coming - there if "wait" in text else shown(coming)


def wrong_clock(text: str) -> Answer:
    if stands := re.search(r"is (\d+) minutes (fast|slow) and shows (\d+:\d+)", text):
        later = re.search(r"(\d+) minutes later", text)
        true = minutes(stands[3]) - int(stands[1]) * (1 if stands[2] == "fast" else -1)
        return shown(true + (int(later[1]) if later else 0))
    way, rate = find(r"(gains|loses) (\d+) minutes", text).groups()
    off = [0]
    for _ in range(24):
        off.append(off[-1] + int(rate))
    if "After how many hours" in text:
        return off.index(ints(text)[-1])
    times = clocks(text)
    if "At what true time" in text:
        return shown(times[0] + 60 * off.index(ints(text)[-1]))
    wrong = off[(times[1] - times[0]) // 60]
    return wrong if "By how many" in text else shown(times[1] + (wrong if way == "gains" else -wrong))


def shifts(text: str) -> Answer:
    start, end = clocks(text)
    pause, days = re.search(r"break of (\d+)", text), re.search(r"on (\d+) days", text)
    assert days
    worked = [end - start - (int(pause[1]) if pause else 0)] * int(days[1])
    if extra := re.search(r", and (.*?) on one more", text):
        worked += spans(extra[1])
    hours = sum(worked) // 60
    if pay := re.search(r"at (\d+) dollars", text):
        return hours * int(pay[1])
    if agreed := re.search(r"agreed (\d+)", text):
        return hours - int(agreed[1])
    return hours // len(worked) if "average" in text else hours


def free_time(text: str) -> Answer:
    told, question = text.split(". ")

    def free(part: str) -> set[int]:
        return {minute for a, b in re.findall(r"(\d+:\d+)-(\d+:\d+)", part) for minute in range(minutes(a), minutes(b))}

    x, y = re.split(r", [A-Z]", told)
    both = free(x) & free(y)
    if "How many minutes" in question:
        return len(both)
    need = ints(question)[0]
    starts = [minute for minute in range(1440) if all(minute + k in both for k in range(need))]
    return shown(starts[0] if "earliest" in question else starts[-1] + need)


SOLVERS: dict[str, Callable[[str], Answer]] = {
    "day-plan": day_plan, "time-zones": time_zones, "timetable": timetable, "wrong-clock": wrong_clock,
    "shifts": shifts, "free-time": free_time,
}  # fmt: skip
