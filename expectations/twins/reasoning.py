"""Twins of the ``reasoning`` suite: short problems of its topics. See ``expectations.twins``."""

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from expectations.twins.draw import NAMES, THINGS, TOWNS, Draw, Twin, number, rows, word

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WAYS = ("north", "east", "south", "west")
COLOURS = ("violet", "amber", "teal", "crimson", "ivory", "copper")


def twins(seed: int, count: int, topics: Sequence[str]) -> list[Twin]:
    """Up to ``count`` rows of these topics; a topic that isn't here gives none."""
    return rows(DRAWS, seed, count, topics)


# ---- arithmetic-word ------------------------------------------------------------------------------------------------


def lent(rng: Random) -> Twin | None:
    town, thing = rng.choice(TOWNS), rng.choice(THINGS)
    held, out, back = rng.randint(120, 400), rng.randint(21, 90), rng.randint(5, 40)
    ask = rng.choice(("How many are on hand that evening?", "What is the count at closing time?"))
    prompt = f"The lending shed of {town} owns {held} {thing}; {out} go out on a morning and {back} are returned. {ask}"
    return number(rng, prompt, held - out + back, [held - out, held + out - back, held - out - back], thing)


def crates(rng: Random) -> Twin | None:
    thing, n, each, broken = rng.choice(THINGS), rng.randint(11, 29), rng.randint(6, 14), rng.randint(7, 45)
    ask = rng.choice(("How many arrive whole?", "How many of them can still be sold?"))
    prompt = f"A lorry carries {n} crates with {each} {thing} in every crate. On the way {broken} get damaged. {ask}"
    return number(rng, prompt, n * each - broken, [n * each, n + each - broken, n * each + broken], thing)


def shared(rng: Random) -> Twin | None:
    name, thing, heads, each = rng.choice(NAMES), rng.choice(THINGS), rng.randint(7, 16), rng.randint(8, 25)
    left = rng.randint(2, heads - 1)
    prompt = (
        f"{name} deals {heads * each + left} {thing} out fairly to {heads} helpers and puts aside what can't be dealt. "
        f"{rng.choice(('What does one helper get?', 'How many does every helper receive?'))}"
    )
    return number(rng, prompt, each, [each + 1, left, each + left], thing)


def twice(rng: Random) -> Twin | None:
    a, b = rng.sample(NAMES, 2)
    times, base, more = rng.randint(3, 6), rng.randint(13, 40), rng.randint(3, 12)
    thing = rng.choice(THINGS)
    prompt = (
        f"{a} repaired {base} {thing} this year. {b} repaired {times} times as many and another {more} besides. "
        f"How many did the two repair altogether?"
    )
    return number(rng, prompt, base * (times + 1) + more, [base * times + more, base + more, base * (times + 1)], thing)


# ---- money ----------------------------------------------------------------------------------------------------------


def handed_back(rng: Random) -> Twin | None:
    name, thing, n, price = rng.choice(NAMES), rng.choice(THINGS), rng.randint(3, 9), rng.randint(11, 38)
    note = rng.choice((200, 500))
    prompt = f"{name} takes {n} {thing} at {price} crowns apiece and lays down {note} crowns. What comes back?"
    return number(rng, prompt, note - n * price, [note - price, n * price, note - n - price], "crowns")


def per_cent(rng: Random) -> Twin | None:
    share, price = rng.choice((10, 20, 25, 30)), rng.randint(3, 30) * 20
    down = rng.random() < 0.5
    change = price * share // 100
    how = f"is marked {'down' if down else 'up'} by {share} per cent"
    prompt = f"In the market of {rng.choice(TOWNS)} a cart at {price} crowns {how}. What does it cost after that?"
    answer = price - change if down else price + change
    return number(rng, prompt, answer, [price + change if down else price - change, change, price - share], "crowns")


def saved(rng: Random) -> Twin | None:
    name, week, cost, have = rng.choice(NAMES), rng.randint(6, 24), rng.randint(9, 20), rng.randint(12, 60)
    prompt = (
        f"{name} already has {have} crowns and lays {week} aside every week for a loom of {have + week * cost} crowns. "
        f"After how many weeks is there enough?"
    )
    return number(rng, prompt, cost, [cost + 1, cost - 1, (have + week * cost) // week], "weeks")


# ---- direction ------------------------------------------------------------------------------------------------------


def turned(rng: Random) -> Twin | None:
    start, right, left = rng.randrange(4), rng.randint(1, 6), rng.randint(1, 5)
    side = rng.choice(("A crane", "A weathercock", "A toy tank", "A searchlight"))
    prompt = (
        f"{side} looks {WAYS[start]}. It makes {right} quarter turns to the right and after these {left} to the left. "
        f"Where does it look?"
    )
    return word(rng, prompt, WAYS[(start + right - left) % 4], WAYS)


def paces(rng: Random) -> Twin | None:
    there, back, way = rng.randint(40, 90), rng.randint(5, 35), rng.randrange(4)
    more = rng.randint(3, 30)
    prompt = (
        f"From the well of {rng.choice(TOWNS)} a surveyor counts {there} paces {WAYS[way]}, {back} paces "
        f"{WAYS[(way + 2) % 4]}, and {more} paces {WAYS[way]} again. How many paces away is the well?"
    )
    return number(rng, prompt, there - back + more, [there + back + more, there - back, there - back - more], "paces")


# ---- sequence -------------------------------------------------------------------------------------------------------


def steps(rng: Random) -> Twin | None:
    start, step, kind = rng.randint(30, 95), rng.randint(6, 17), rng.choice(("up", "down", "growing"))
    if kind == "down":
        start += 6 * step
    moves = {"up": [step] * 5, "down": [-step] * 5, "growing": [step + 2 * place for place in range(5)]}[kind]
    values = [start]
    for move in moves:
        values.append(values[-1] + move)
    *shown, answer = values
    listed = " / ".join(map(str, shown))
    ask = rng.choice(
        ("Continue the row by one number", "Which number is due after these", "Give the number that follows")
    )
    return number(rng, f"{ask}: {listed}", answer, [shown[-1] + moves[0], shown[-1] + moves[-1] + 1, shown[-1] + 1])


def factors(rng: Random) -> Twin | None:
    start, factor = rng.randint(3, 9), rng.choice((2, 3, 4))
    shown = [start * factor**place for place in range(4)]
    prompt = f"Each number of a row comes from the one before in the same way: {' then '.join(map(str, shown))}. Go on."
    return number(rng, prompt, shown[-1] * factor, [shown[-1] + shown[-2], shown[-1] + factor, shown[-1] * 5])


# ---- clock ----------------------------------------------------------------------------------------------------------


def _time(minutes: int) -> str:
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def ends_at(rng: Random) -> Twin | None:
    start, long = rng.randint(6 * 60, 20 * 60), rng.randint(35, 230)
    what = rng.choice(("rehearsal", "ferry crossing", "auction", "inspection", "night watch", "lecture"))
    prompt = (
        f"The {what} in {rng.choice(TOWNS)} opens at {_time(start)} and lasts {long} minutes. Give its end, as hh:mm."
    )
    wrong = [_time(start + long + 60), _time(start + long - 10), _time(start + long % 60)]
    return word(rng, prompt, _time(start + long), wrong)


def lasts(rng: Random) -> Twin | None:
    start, long = rng.randint(6 * 60, 18 * 60), rng.randint(45, 280)
    what = rng.choice(("kiln", "loom", "pump", "generator", "projector"))
    prompt = (
        f"A {what} is switched on at {_time(start)} and off at {_time(start + long)}. For how many minutes did it run?"
    )
    return number(rng, prompt, long, [long + 40, long - 60, long // 60 * 100 + long % 60], "minutes")


# ---- calendar -------------------------------------------------------------------------------------------------------


def weekday_later(rng: Random) -> Twin | None:
    start, day, later = rng.randrange(7), rng.randint(1, 9), rng.randint(8, 20)
    prompt = (
        f"In some month day {day} falls on a {DAYS[start]}. On what weekday does day {day + later} of this month fall?"
    )
    return word(rng, prompt, DAYS[(start + later) % 7], DAYS)


def weeks_in_days(rng: Random) -> Twin | None:
    weeks, days = rng.randint(5, 19), rng.randint(2, 6)
    what = rng.choice(("permit", "rental", "guarantee", "membership", "parking card"))
    prompt = f"{rng.choice(NAMES)}'s {what} holds for {weeks} full weeks plus {days} days. Say it in days."
    return number(rng, prompt, 7 * weeks + days, [7 * weeks, 5 * weeks + days, 7 * (weeks + days)], "days")


# ---- unit-conversion ------------------------------------------------------------------------------------------------

UNITS = (("kilometres", "metres", 1000), ("kilograms", "grams", 1000), ("hours", "minutes", 60), ("metres", "cm", 100))


def in_smaller(rng: Random) -> Twin | None:
    large, small, factor = rng.choice(UNITS)
    whole, rest = rng.randint(11, 48), rng.randint(2, min(factor - 1, 95))
    what = rng.choice(("A log reads", "The record is", "Someone noted", "The label shows"))
    prompt = f"{what} {whole} {large} {rest} {small}. Write this in {small} alone."
    return number(rng, prompt, whole * factor + rest, [whole * 10 + rest, whole + rest, whole * factor], small)


def invented(rng: Random) -> Twin | None:
    first, second, third = rng.sample(("plon", "garrick", "thole", "mibb", "quarn", "sizzel", "brod", "wenk"), 3)
    a, b, n = rng.randint(3, 9), rng.randint(3, 9), rng.randint(4, 12)
    prompt = (
        f"The islanders trade {a} {second}s for one {first}, and {b} {third}s for one {second}. "
        f"How many {third}s would {n} {first}s bring?"
    )
    return number(rng, prompt, n * a * b, [n * a, n * b, n * (a + b)], f"{third}s")


# ---- ordering -------------------------------------------------------------------------------------------------------

SCALES = (("heavier", "lightest", "heaviest"), ("older", "youngest", "oldest"), ("taller", "shortest", "tallest"))


def chain(rng: Random) -> Twin | None:
    more, least, most = rng.choice(SCALES)
    names = rng.sample(NAMES, rng.choice((3, 4, 4)))
    facts = [f"{one} is {more} than {other}." for one, other in pairwise(names)]
    rng.shuffle(facts)
    low = rng.random() < 0.5
    prompt = f"{' '.join(facts)} Then who is the {least if low else most} of these?"
    return word(rng, prompt, names[-1] if low else names[0], names)


def shelf(rng: Random) -> Twin | None:
    things = rng.sample(THINGS, 4)
    told = f"{things[1]} directly left of {things[2]}, {things[0]} at the far left, {things[3]} at the far right"
    place = rng.randrange(4)
    ask = ("first", "second", "third", "fourth")[place]
    prompt = f"Four drawers in a row, one kind each: {told}. What is in the {ask} from the left?"
    return word(rng, prompt, things[place], things)


# ---- if-then --------------------------------------------------------------------------------------------------------

FACTS = (
    ("the horn sounds", "the bridge is up"),
    ("the flag is raised", "the harbour is closed"),
    ("the kettle sings", "the stove is lit"),
    ("the sluice is open", "the mill turns"),
    ("the seal is broken", "the alarm rings"),
    ("the vault is locked", "the guard has gone home"),
    ("the well runs dry", "the cart brings water"),
    ("the beacon burns", "a ship is near"),
)


def _not(fact: str) -> str:
    return f"it is not so that {fact}"


def follows(rng: Random) -> Twin | None:
    (a, b), (c, _) = rng.sample(FACTS, 2)
    town = rng.choice(TOWNS)
    known, answer = rng.choice(
        (
            (a, b),
            (_not(b), _not(a)),
            (b, f"nothing about whether {a}"),
            (_not(a), f"nothing about whether {b}"),
        )
    )
    prompt = f"At {town} this always holds: whenever {a}, {b}. Today {known}. What can be concluded?"
    return word(rng, prompt, answer, [one for one in (a, b, _not(a), _not(b), c) if one != known])


def two_rules(rng: Random) -> Twin | None:
    (a, b), (c, d) = rng.sample(FACTS, 2)
    prompt = (
        f"Two rules of {rng.choice(TOWNS)}: whenever {a}, {b}; whenever {b}, {c}. Now {a}. Does it follow that {c}?"
    )
    if rng.random() < 0.5:
        return word(rng, prompt, "Yes", ("Yes", "No"))
    prompt = (
        f"Two rules of {rng.choice(TOWNS)}: whenever {a}, {b}; whenever {c}, {d}. Now {b}. Does it follow that {a}?"
    )
    return word(rng, prompt, "No", ("Yes", "No"))


# ---- table-reading --------------------------------------------------------------------------------------------------


def grid(rng: Random) -> Twin | None:
    towns = rng.sample(TOWNS, 4)
    rain, wind = rng.sample(range(31, 99), 4), rng.sample(range(31, 99), 4)
    lines = "\n".join(f"{town} | {one} | {other}" for town, one, other in zip(towns, rain, wind, strict=True))
    head = f"town | rain | wind\n{lines}\n"
    kind = rng.choice(("most", "least", "sum", "gap"))
    column, values = rng.choice((("rain", rain), ("wind", wind)))
    if kind in ("most", "least"):
        best = (max if kind == "most" else min)(values)
        return word(rng, f"{head}Name the town with the {kind} {column}.", towns[values.index(best)], towns)
    one, other = rng.sample(range(4), 2)
    if kind == "sum":
        prompt = f"{head}Add up the {column} of {towns[one]} and {towns[other]}."
        return number(rng, prompt, values[one] + values[other], [values[one], sum(values), values[one] + 10])
    high, low = max(values[one], values[other]), min(values[one], values[other])
    prompt = f"{head}How far apart are {towns[one]} and {towns[other]} in {column}?"
    return number(rng, prompt, high - low, [high + low, high, high - low + 10])


# ---- set-category ---------------------------------------------------------------------------------------------------

SKILLS = ("row", "weave", "juggle", "whistle", "fence", "knit", "sail", "paint")


def neither(rng: Random) -> Twin | None:
    one, other = rng.sample(SKILLS, 2)
    only_one, only_other, both, none = (rng.randint(6, 24) for _ in range(4))
    total = only_one + only_other + both + none
    prompt = (
        f"Among the {total} guests at {rng.choice(TOWNS)}, {only_one + both} can {one}, {only_other + both} can "
        f"{other}, {both} can do the two things. For how many is it neither?"
    )
    return number(rng, prompt, none, [total - only_one - only_other - 2 * both, total - both, none + both], "guests")


def belongs(rng: Random) -> Twin | None:
    a, b, c = rng.sample(("glims", "torvas", "peekins", "zalders", "morrits", "hupes", "drennets"), 3)
    name = rng.choice(NAMES)
    positive = rng.random() < 0.5
    second = f"every one of the {b} is counted among the {c}" if positive else f"not one of the {b} is among the {c}"
    prompt = (
        f"On {name}'s planet every one of the {a} is counted among the {b}, and {second}. "
        f"Can one of the {a} be found among the {c}?"
    )
    return word(rng, prompt, "Yes, always" if positive else "No, never", ("Yes, always", "No, never"))


# ---- probability ----------------------------------------------------------------------------------------------------


def blind(rng: Random) -> Twin | None:
    one, other = rng.sample(COLOURS, 2)
    a, b = rng.randint(3, 11), rng.randint(3, 11)
    if a == b:
        return None
    thing = rng.choice(THINGS)
    prompt = f"Blindfolded, {rng.choice(NAMES)} picks one of {a} {one} and {b} {other} {thing}. How likely is {one}?"
    return word(rng, prompt, f"{a} in {a + b}", (f"{b} in {a + b}", f"{a} in {b}", f"1 in {a}"))


def to_be_sure(rng: Random) -> Twin | None:
    colours, need = rng.sample(COLOURS, rng.choice((3, 4, 5))), rng.choice((2, 3, 4))
    thing = rng.choice(THINGS)
    prompt = (
        f"A chest is full of {thing} in {len(colours)} colours ({', '.join(colours)}), at least ten of each. With eyes "
        f"shut, how many must one take so that {need} are certainly of the same colour?"
    )
    return number(rng, prompt, len(colours) * (need - 1) + 1, [need, len(colours) * need, len(colours) + 1])


DRAWS: dict[str, Sequence[Draw]] = {
    "arithmetic-word": (lent, crates, shared, twice),
    "money": (handed_back, per_cent, saved),
    "direction": (turned, paces),
    "sequence": (steps, factors),
    "clock": (ends_at, lasts),
    "calendar": (weekday_later, weeks_in_days),
    "unit-conversion": (in_smaller, invented),
    "ordering": (chain, shelf),
    "if-then": (follows, two_rules),
    "table-reading": (grid,),
    "set-category": (neither, belongs),
    "probability": (blind, to_be_sure),
}
