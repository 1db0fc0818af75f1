"""Clock times: chains of durations, time zones, timetables.

Times are minutes since midnight. The structure says what the chain is made of, what is asked, and whether noon or
midnight lies between.
"""

from collections.abc import Sequence
from random import Random

from expectations.model.reasoning.surface import ORDINALS, PLACES, Draft, named, numeric, people

DAY = 24 * 60


def clock(minutes: int, twelve: bool = False) -> str:
    hour, minute = divmod(minutes % DAY, 60)
    if not twelve:
        return f"{hour}:{minute:02d}"
    return f"{(hour - 1) % 12 + 1}:{minute:02d} {'am' if hour < 12 else 'pm'}"


def spoken(minutes: int) -> str:
    """``2 hours 5 minutes``."""
    hours, rest = divmod(minutes, 60)
    parts = [f"{hours} hour{'s' if hours > 1 else ''}"] * (hours > 0) + [f"{rest} minute{'s' if rest > 1 else ''}"] * (
        rest > 0
    )
    return " ".join(parts)


def at(
    rng: Random, structure: str, prompt: str, minutes: int, slips: Sequence[int], twelve: bool = False
) -> Draft | None:
    """A draft whose answer is a time; slips of the hour and of minutes fill up."""
    more = rng.sample((60, -60, 10, -10, 5, -5, 30, -30), 5)
    wrong = [clock(minutes + slip, twelve) for slip in [*slips, *more] if slip % DAY]
    return named(rng, structure, prompt, clock(minutes, twelve), list(dict.fromkeys(wrong))[:3])


ACTS = (
    ("reads", "reading"), ("cooks", "cooking"), ("paints", "painting"), ("walks", "walking"), ("rests", "rest"),
    ("cleans", "cleaning"), ("writes", "writing"), ("drives", "driving"), ("plays", "play"), ("studies", "study"),
)  # fmt: skip


def draw_length(rng: Random) -> tuple[str, int, str]:
    """How a duration is made up, its minutes, and its words."""
    kind = rng.choice(("minutes", "hours", "both", "half"))
    hours = rng.randint(2, 4)
    if kind == "minutes":
        minutes = 5 * rng.randint(3, 19)
        return kind, minutes, f"{minutes} minutes"
    if kind == "half":
        return "both", 60 * hours - 30, f"{hours - 1} and a half hours" if hours > 2 else "an hour and a half"
    minutes = 60 * hours if kind == "hours" else 60 * (hours - 1) + 5 * rng.randint(1, 11)
    return kind, minutes, spoken(minutes)


def day_plan(rng: Random) -> Draft | None:
    """One to three activities after each other; end, start, total or the last length is asked."""
    (name,), acts = people(rng, 1), rng.sample(ACTS, 3)
    start, twelve = 5 * rng.randrange(12 * 5, 12 * 23), rng.randrange(2) == 1
    drawn = [draw_length(rng) for _ in range(rng.choice((1, 2, 2, 3)))]
    told = [f"{act} for {words}" for (act, _), (_, _, words) in zip(acts, drawn, strict=False)]
    lengths, kinds = [length for _, length, _ in drawn], [kind for kind, _, _ in drawn]
    total, last = sum(lengths), lengths[-1]
    end = start + total
    border = " noon" if start < 720 <= end else " midnight" if end >= DAY else ""
    carry = 40 if total % 60 + start % 60 >= 60 else 10
    ask = rng.choice(("end", "end", "start", "total", "length"))
    chain, first, done = ", then ".join(told), clock(start, twelve), clock(end, twelve)
    structure = f"{'+'.join(kinds)} {ask}{border}"
    if ask == "end":
        question = rng.choice(("What time is it then?", "When does that end?"))
        return at(rng, structure, f"From {first}, {name} {chain}. {question}", end, [60, -60, -last, carry], twelve)
    if ask == "start":
        question = rng.choice(("When did it start?", "At what time was the start?"))
        prompt = f"{name} {chain}, and is done at {done}. {question}"
        return at(rng, structure, prompt, start, [60, -60, last, -carry], twelve)
    if ask == "total" and len(lengths) > 1:
        prompt = f"{name} {chain}. How many minutes is that in all?"
        wrong = [total + 60, total - 60, total - last, total + 40, total - 40]
        return numeric(rng, f"{'+'.join(kinds)} total", prompt, total, wrong, "minutes")
    if ask == "length":
        act, noun = acts[len(told) - 1]
        known = f"{', then '.join(told[:-1])}, and then {act}" if len(told) > 1 else act
        prompt = f"From {first}, {name} {known} until {done}. How many minutes does the {noun} take?"
        wrong = [last + 60, last - 60, last + 40, last - 40, total, last + 10]
        return numeric(rng, f"{'+'.join([*kinds[:-1], 'gap'])} length{border}", prompt, last, wrong, "minutes")
    return None


def time_zones(rng: Random) -> Draft | None:
    """Places whose clocks differ as the text says: local times, and flights with their durations."""
    (name,), (a, b, c) = people(rng, 1), rng.sample(PLACES, 3)
    ahead, other = rng.choice((-1, 1)) * rng.randint(2, 9), rng.choice((-1, 1)) * rng.randint(2, 6)
    now, flight = 15 * rng.randrange(96), 15 * rng.randint(5, 40)
    moment = 60 * rng.randint(max(1, 1 - ahead), min(22, 22 - ahead))  # both times on one day: which is ahead is plain
    said, direction = rng.choice(("ahead", "moment")), "east" if ahead > 0 else "west"
    rule = f"When it is {clock(moment)} in {a}, it is {clock(moment + 60 * ahead)} in {b}."
    if said == "ahead":
        rule = f"{b} is {abs(ahead)} hours {'ahead of' if ahead > 0 else 'behind'} {a}."
    ask = rng.choice(("there", "back", "arrival", "departure", "third", "length"))
    there = now + 60 * ahead
    arrival = there + flight

    def form(extra: str, time: int) -> str:
        return f"{ask} {said} {extra}{'' if 0 <= time < DAY else ' other day'}"

    if ask in ("there", "back"):
        known, asked, time, answer = (a, b, now, there) if ask == "there" else (b, a, there, now)
        fact = f"{name} in {known} calls {asked} at {clock(time)} local time."
        fact = rng.choice((fact, f"In {known}, where {name} lives, it is {clock(time)}."))
        slips = [2 * (time - answer), time - answer, 60, -60]
        return at(rng, form(direction, there), f"{rule} {fact} What time is it in {asked}?", answer, slips)
    if ask == "third":
        if ahead + other == 0:
            return None
        rule_c = f"{c} is {abs(other)} hours {'ahead of' if other > 0 else 'behind'} {b}."
        answer = there + 60 * other
        prompt = f"{rule} {rule_c} In {a}, where {name} lives, it is {clock(now)}. What time is it in {c}?"
        way = f"{direction} {'same' if ahead * other > 0 else 'turned'}"
        return at(rng, form(way, answer), prompt, answer, [-60 * other, -120 * other, -60 * ahead, -120 * ahead])
    if ask == "arrival":
        prompt = (
            f"{rule} At {clock(now)} {name} takes off in {a} for {spoken(flight)}. What is the time in {b} on landing?"
        )
        return at(rng, form(direction, arrival), prompt, arrival, [-60 * ahead, -120 * ahead, 60])
    if ask == "departure":
        lands = f"After {spoken(flight)} in the air {name} lands in {b} at {clock(arrival)} local time."
        prompt = f"{rule} {lands} What was {a}'s time at take-off?"
        return at(rng, form(direction, arrival), prompt, now, [60 * ahead, 120 * ahead, 60])
    if not (0 <= there < arrival < DAY and now + flight < DAY and now < arrival):
        return None
    trip = f"{name} leaves {a} at {clock(now)} and lands in {b} at {clock(arrival)}, local times of one day."
    wrong = [arrival - now, flight + 60, flight - 60, flight + 120 * ahead]
    prompt = f"{rule} {trip} How many minutes is the flight?"
    return numeric(rng, f"{ask} {said} {direction}", prompt, flight, wrong, "minutes")


def timetable(rng: Random) -> Draft | None:
    """Something that comes every so many minutes: the next, the n-th, how many, how long to wait, two together."""
    place, (name,) = rng.choice(PLACES), people(rng, 1)
    first, every = 5 * rng.randrange(60, 130), rng.choice((6, 7, 8, 9, 12, 14, 15, 18, 20, 25, 35, 40, 45))
    other = rng.choice([k for k in (4, 6, 8, 9, 10, 12, 15, 16, 20, 24, 30) if k != every])
    nth, later = rng.randint(3, 9), rng.randint(25, 190)
    vehicle = rng.choice(("bus", "tram", "ferry", "train", "shuttle", "cable car"))
    base = f"From {clock(first)} on, a {vehicle} leaves {place} every {every} minutes."
    ask = rng.choice(("nth", "next", "wait", "count", "together", "last"))
    arrival, coming = first + later, first + -(-later // every) * every
    if ask == "nth":
        answer = first + every * (nth - 1)
        question = f"When does the {ORDINALS[nth - 1]} one leave?"
        question = rng.choice((question, f"{name} takes the {ORDINALS[nth - 1]} one. When is that?"))
        hours = f"nth {min(answer // 60 - first // 60, 2)} hours on"
        return at(rng, hours, f"{base} {question}", answer, [every, -every, 60])
    if ask == "count":
        count = later // every + 1
        prompt = f"{base} How many leave up to and including {clock(arrival)}?"
        wrong = [count - 1, count + 1, -(-later // every) + 1, count + 2]
        return numeric(rng, f"count{' exact' if later % every == 0 else ''}", prompt, count, wrong)
    if ask == "together":
        common = next(k for k in range(every, every * other + 1, every) if k % other == 0)
        kind = "multiple" if common == max(every, other) else "coprime" if common == every * other else "shared"
        if first + common >= DAY:
            return None
        both = f"Another leaves every {other} minutes, also first at {clock(first)}."
        slips = [every * other - common, every + other - common, max(every, other) - common, common]
        return at(rng, f"{ask} {kind}", f"{base} {both} When do both leave together again?", first + common, slips)
    if later % every == 0:
        return None
    there, hours = f"{base} {name} gets there at {clock(arrival)}.", f"{min(coming // 60 - first // 60, 2)} hours on"
    if ask == "next":
        slips = [every, -every, arrival + every - coming]
        return at(rng, f"next {hours}", f"{there} When does the next one leave?", coming, slips)
    if ask == "wait":
        wait = coming - arrival
        wrong = [every - wait, every, wait + 5, wait + 10, later % every]
        return numeric(rng, f"wait {hours}", f"{there} How many minutes is the wait?", wait, wrong, "minutes")
    need = rng.randint(5, 20)
    told = f"{name} must leave by {clock(arrival)} and walks {need} minutes to the stop."
    answer = coming - every - need
    return at(
        rng, f"last {hours}", f"{base} {told} When must {name} set out at the latest?", answer, [need, every, -every]
    )
