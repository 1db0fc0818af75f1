"""Clocks that go wrong, working hours, common free time. Times are minutes since midnight.

The structure says what is known, what is asked, and what lies between: breaks, extra days, several common times.
"""

from random import Random

from expectations.model.reasoning.surface import Draft, named, numeric, people
from expectations.model.reasoning.times import DAY, at, clock, spoken

DEVICES = ("watch", "clock", "kitchen clock", "alarm clock", "wall clock", "oven clock", "station clock")


def wrong_clock(rng: Random) -> Draft | None:
    """A clock that stands wrong or goes wrong: the true time, the shown time, or when it is off by so much."""
    (name,), start = people(rng, 1), 5 * rng.randrange(72, 160)
    rate, hours, fast = rng.randint(2, 8), rng.randint(3, 9), rng.choice((1, -1))
    way, device = "fast" if fast > 0 else "slow", rng.choice(DEVICES)
    ask = rng.choice(("true", "shown", "drift", "off-by", "when"))
    if ask == "true":
        off, elapsed = rng.randint(3, 25), 5 * rng.randint(2, 20)
        later = rng.randrange(2) == 1
        question = f"What will the right time be {elapsed} minutes later?" if later else "What is the right time?"
        prompt = f"{name}'s {device} is {off} minutes {way} and shows {clock(start + fast * off)}. {question}"
        answer = start + elapsed * later
        return at(rng, f"true{' later' if later else ''} {way}", prompt, answer, [fast * off, 2 * fast * off, 60])
    end, changed = start + 60 * hours, rate * hours
    goes = f"{name}'s {device} {'gains' if fast > 0 else 'loses'} {rate} minutes an hour"
    known = f"{goes} and is set right at {clock(start)}."
    if ask == "shown":
        prompt, shown = f"{known} What does it show when it is really {clock(end)}?", end + fast * changed
        return at(rng, f"shown {way}", prompt, shown, [-2 * fast * changed, -fast * changed, fast * rate])
    if ask == "drift":
        prompt = f"{known} By how many minutes is it wrong at {clock(end)}?"
        return numeric(rng, f"drift {way}", prompt, changed, [rate, changed + rate, changed - rate, hours], "minutes")
    if ask == "off-by":
        prompt = f"{goes}. After how many hours is it {changed} minutes wrong?"
        return numeric(rng, f"off-by {way}", prompt, hours, [changed, hours + 1, hours - 1, changed - rate], "hours")
    prompt = f"{known} At what true time is it {changed} minutes wrong?"
    return at(rng, f"when {way}", prompt, end, [fast * changed, changed - 60 * hours, 60])


def shifts(rng: Random) -> Draft | None:
    """Working hours with breaks over days, and what they pay."""
    (name,), start, length = people(rng, 1), 15 * rng.randint(24, 40), 30 * rng.randint(8, 18)
    pause, days, two = rng.choice((0, 30, 60)), rng.randint(2, 5), rng.randrange(2) == 1
    wage, second = rng.choice((8, 10, 12, 14, 16, 18, 20)), 30 * rng.randint(4, 10)
    extra = second if two else 0
    total, gross = (length - pause) * days + extra, (length * days + extra) / 60
    ask = rng.choice(("hours", "pay", "overtime", "average"))
    told = f"{name} works from {clock(start)} to {clock(start + length)}"
    told += f" with a break of {pause} unpaid minutes" if pause else ""
    told += f" on {days} days"
    told += f", and {spoken(second)} on one more" if two else ""
    structure = f"{ask}{' break' if pause else ''}{' extra day' if two else ''}"
    if total % 60:
        return None
    hours, regular = total // 60, (length - pause) * days / 60
    if ask == "hours":
        wrong = [gross, regular, hours + days, (length - pause) / 60]
        return numeric(rng, structure, f"{told}. How many hours are paid?", hours, wrong, "hours")
    if ask == "pay":
        wrong = [gross * wage, regular * wage, wage * days, (hours + 1) * wage]
        return numeric(
            rng, structure, f"{told}, at {wage} dollars an hour. How much is that?", hours * wage, wrong, "dollars"
        )
    if ask == "overtime":
        norm = max(2, hours - rng.randint(2, 12))
        question = f"By how many hours is that above the agreed {norm}?"
        return numeric(rng, structure, f"{told}. {question}", hours - norm, [gross - norm, hours, norm], "hours")
    count = days + two
    if total % (60 * count) or not (pause or two):
        return None
    wrong = [length / 60, gross / count, hours / days, hours / (count + 1)]
    question = "How many paid hours a working day is that on average?"
    return numeric(rng, structure, f"{told}. {question}", hours // count, wrong, "hours")


def free_time(rng: Random) -> Draft | None:
    """Two people's free times; how long both are free, or the first start or last end of a meeting that fits."""
    x, y = people(rng, 2)
    slots: list[list[tuple[int, int]]] = []
    for count in (rng.choice((1, 2)), rng.choice((1, 2))):
        points = sorted(rng.sample(range(16, 40), 2 * count))
        slots.append([(30 * points[k], 30 * points[k + 1]) for k in range(0, 2 * count, 2)])
    free = [
        any(a <= minute < b for a, b in slots[0]) and any(a <= minute < b for a, b in slots[1]) for minute in range(DAY)
    ]
    total, need = sum(free), rng.choice((30, 45, 60, 90))
    starts = [minute for minute in range(DAY - need) if all(free[minute : minute + need])]
    if not starts:
        return None
    parts = sum(free[minute] and not free[minute - 1] for minute in range(1, DAY))

    def say(times: list[tuple[int, int]]) -> str:
        return " and ".join(f"{clock(a)}-{clock(b)}" for a, b in times)

    told = f"{x} is free {say(slots[0])}, {y} {say(slots[1])}."
    ask = rng.choice(("total", "first", "last"))
    structure = f"{len(slots[0])}x{len(slots[1])} {parts} common {ask}"
    if ask == "total":
        lengths = [sum(b - a for a, b in one) for one in slots]
        wrong = [min(lengths), max(lengths), total + 30, total - 30, sum(lengths)]
        return numeric(rng, structure, f"{told} How many minutes are both free?", total, wrong, "minutes")
    if ask == "first":
        answer, short = starts[0], any(free[: starts[0]])
        times = [a for one in slots for a, _ in one] + [answer + 30, answer - 30]
        question = f"What is the earliest start for {need} minutes together?"
    else:
        answer, short = starts[-1] + need, any(free[starts[-1] + need :])
        times = [b for one in slots for _, b in one] + [answer + 30, answer - need]
        question = f"What is the latest end for {need} minutes together?"
    structure += " past one too short" if short else ""
    return named(rng, structure, f"{told} {question}", clock(answer), [clock(time) for time in times])
