"""Packing, averages, ratios, ages and areas. The structure says what is known, what is asked, and what lies between."""

from fractions import Fraction
from random import Random

from expectations.model.reasoning.surface import THINGS, Draft, numeric, people, picked


def packing(rng: Random) -> Draft | None:
    """A total that is put together first, then packed: full boxes, what is left, boxes needed, or what is missing."""
    (name,), thing = people(rng, 1), rng.choice(THINGS)
    a, b, c = rng.randint(12, 60), rng.randint(8, 40), rng.randint(2, 9)
    rows, each = rng.randint(4, 9), rng.randint(5, 12)
    form = rng.choice(("known", "sum", "rows", "rows-less", "sum-less", "shared"))
    total, told = {
        "known": (a + b, f"{name} has {a + b} {thing}"),
        "sum": (a + b, f"{name} has {a} {thing} and gets {b} more"),
        "rows": (rows * each, f"{name} has {rows} rows of {each} {thing}"),
        "rows-less": (rows * each - c, f"{name} has {rows} rows of {each} {thing}, but {c} are broken and thrown away"),
        "sum-less": (a + b - c, f"{name} has {a} {thing}, gets {b} more and loses {c}"),
        "shared": (a, f"{name} and a friend have {2 * a} {thing} and each takes half"),
    }[form]
    size = rng.randint(5, 12)
    full, left = divmod(total, size)
    if left == 0 or full < 2:
        return None
    ask = rng.choice(("full", "left", "needed", "missing"))
    packed = f"The {thing} are packed into boxes of {size}"
    if form == "shared":
        packed = f"{name} packs them into boxes of {size}"
    question, answer, unit = {
        "full": ("How many boxes are full?", full, "boxes"),
        "left": (f"How many {thing} are left over when only full boxes count?", left, thing),
        "needed": (f"How many boxes are needed for all the {thing}?", full + 1, "boxes"),
        "missing": (f"How many {thing} are missing to fill the last box?", size - left, thing),
    }[ask]
    uncut = {"rows-less": rows * each, "sum-less": a + b, "sum": a, "shared": 2 * a}.get(form, total + size)
    wrong = {
        "full": [full + 1, full - 1, uncut // size, left],
        "left": [size - left, full, uncut % size, left + 1],
        "needed": [full, full + 2, uncut // size + 1, left],
        "missing": [left, size - uncut % size, full, size - left + 1],
    }[ask]
    return numeric(rng, f"{form} {ask}", f"{told}. {packed}. {question}", answer, wrong, unit)


SCENES = (("scores", "points"), ("bakes", "rolls"), ("walks", "metres"), ("collects", "coins"), ("reads", "pages"))


def averages(rng: Random) -> Draft | None:
    """Means (and a median) found, undone, or changed by a number that joins, leaves or was wrong."""
    (name,), (verb, unit) = people(rng, 1), rng.choice(SCENES)
    count = rng.choice((3, 4, 5))
    values = [rng.randint(10, 60) for _ in range(count)]
    total, told = sum(values), ", ".join(str(value) for value in values)
    other = rng.randint(10, 60)
    mean, joined = Fraction(total, count), Fraction(total + other, count + 1)
    kind = rng.choice(
        ("mean", "missing", "joins", "leaves", "wrong", "groups", "total", "raise", "median", "doubled", "spread")
    )
    begin = f"On {count} days {name} {verb} {told} {unit}"
    known = f"On {count} days {name} {verb} {mean} {unit} a day on average"
    a, b = rng.sample((2, 3, 4, 6), 2)
    mean_b = rng.randint(10, 60)
    both = Fraction(a * values[0] + b * mean_b, a + b)
    prompt, answer, wrong = {
        "mean": (f"{begin}. What is the average a day?", mean, [total, sorted(values)[1], Fraction(total, count - 1)]),
        "missing": (
            f"{begin}. How many {unit} on the next day would make the average {joined}?",
            Fraction(other),
            [joined, joined * (count + 1) - total - 5, 2 * joined - values[-1], total - joined],
        ),
        "joins": (
            f"{known}, and on the next day {other} {unit}. What is the average of all {count + 1} days?",
            joined,
            [(mean + other) / 2, mean, (total + other) / Fraction(count)],
        ),
        "leaves": (
            f"{known}. Leaving out one day with {values[0]} {unit}, what is the average of the others?",
            Fraction(total - values[0], count - 1),
            [mean, mean - values[0], Fraction(total - values[0], count), Fraction(total, count - 1)],
        ),
        "wrong": (
            f"{known}. But a {values[0]} was noted where it should have been {values[0] + count * a}. "
            "What is the right average?",
            mean + a,
            [mean, mean + count * a, mean - a, mean + 1],
        ),
        "groups": (
            f"{name} {verb} {values[0]} {unit} a day for {a} days, then {mean_b} a day for {b} days. "
            "What is the average a day?",
            both,
            [Fraction(values[0] + mean_b, 2), values[0] + mean_b, Fraction(values[0] + mean_b, a + b)],
        ),
        "total": (
            f"{known}. How many {unit} is that in all after a further day with {other}?",
            Fraction(total + other),
            [total, mean + other, total - other, joined],
        ),
        "raise": (
            f"{known}. How many {unit} on one more day would raise the average to {mean + 2}?",
            mean + 2 * (count + 1),
            [mean + 2, mean + 2 * count, 2 * (count + 1), mean + count + 1],
        ),
        "median": (
            f"{begin}. Which number is the median?",
            Fraction(sorted(values)[count // 2]),
            [mean, values[count // 2], *sorted(values)],
        ),
        "doubled": (
            f"{known}. Next time each day's number doubles and then falls by {a}. What is the new average?",
            2 * mean - a,
            [2 * mean, 2 * (mean - a), mean - a, 2 * mean - count * a],
        ),
        "spread": (
            f"{begin}. By how much does the largest number exceed the average?",
            max(values) - mean,
            [max(values) - min(values), mean - min(values), max(values), mean],
        ),
    }[kind]
    if answer.denominator != 1 or "/" in prompt or (kind == "median" and (count < 5 or len(set(values)) < count)):
        return None
    if kind == "median":
        return picked(rng, kind, prompt, int(answer), values, unit)
    return numeric(rng, kind, prompt, int(answer), [float(value) for value in wrong], unit)


def ratio(rng: Random) -> Draft | None:
    """Parts in a ratio: from one known amount to another."""
    colours = rng.sample(("red", "blue", "green", "white", "black", "yellow", "brown", "grey"), 3)
    thing, count = rng.choice(THINGS), rng.choice((2, 2, 3))
    shares = rng.sample(range(1, 8), count)
    unit = rng.randint(3, 9)
    amounts = [share * unit for share in shares]
    order = "abc"[:count]
    values = {"total": sum(amounts), **dict(zip(order, amounts, strict=True))}
    names = {"total": "", **dict(zip(order, colours, strict=False))}
    values["gap"] = abs(amounts[0] - amounts[1])
    known, asked = rng.sample(sorted(values), 2)
    given = {
        "total": f"There are {values['total']} in all.",
        "gap": f"The numbers of {colours[0]} and {colours[1]} ones differ by {values['gap']}.",
    }.get(known, f"{values[known]} of them are {names.get(known)}.")
    question = {
        "total": "How many are there in all?",
        "gap": f"By how many do the {colours[0]} and {colours[1]} ones differ?",
    }.get(asked, f"How many are {names.get(asked)}?")
    box = rng.choice(("A box", "A bag", "A drawer", "A crate", "A jar"))
    holds = f"{', '.join(colours[: count - 1])} and {colours[count - 1]} {thing}"
    prompt = f"{box} holds {holds} in the ratio {' to '.join(map(str, shares))}. {given} {question}"
    wrong = [value for name, value in values.items() if name not in (known, asked)]
    wrong += [values[known] * share for share in shares] + [Fraction(values[known], share) for share in shares]
    return numeric(rng, f"{count} {known}>{asked}", prompt, values[asked], wrong, thing)


def ages(rng: Random) -> Draft | None:
    """Two ages in a relation that holds now, later or earlier; one more fact; another age or the sum is asked."""
    x, y = people(rng, 2)
    young, old, years = rng.randint(4, 20), rng.randint(8, 60), rng.randint(2, 9)
    when = rng.choice(("now", "later", "earlier"))
    shift = {"now": 0, "later": years, "earlier": -years}[when]
    base, other = young + shift, old + shift
    if base < 2 or other <= base:
        return None
    kind = "times" if other % base == 0 and other // base < 7 else "older"
    k = other // base if kind == "times" else other - base
    moment = {"now": "", "later": f"In {years} years, ", "earlier": f"{years} years ago, "}[when]
    be = {"now": "is", "later": "will be", "earlier": "was"}[when]
    relation = f"{moment}{x} {be} {k} {'times as old as' if kind == 'times' else 'years older than'} {y}"
    given = rng.choice(("young", "old", "sum"))
    span = rng.randint(3, 12)
    asked = rng.choice([one for one in ("young", "old", "sum", "young-then", "old-then") if one != given])
    fact = {
        "young": f"{y} is {young} now",
        "old": f"{x} is {old} now",
        "sum": f"Together they are {young + old} now",
    }[given]
    question, answer = {
        "young": (f"How old is {y} now?", young),
        "old": (f"How old is {x} now?", old),
        "sum": ("How old are they together now?", young + old),
        "young-then": (f"How old will {y} be in {span} years?", young + span),
        "old-then": (f"How old will {x} be in {span} years?", old + span),
    }[asked]
    if when != "now" and kind == "older":
        return None  # a difference is the same at any time
    wrong = [answer + shift, answer - shift, young, old, young + old, young * k, answer + k, answer - span]
    prompt = f"{relation}. {fact}. {question}"
    return numeric(rng, f"{kind} {when} {given}>{asked}", prompt, answer, wrong, "years")


PLOTS = ("garden", "yard", "field", "hall", "deck", "lawn", "car park", "stage", "courtyard", "playground")


def areas(rng: Random) -> Draft | None:
    """A rectangle from two known measures, perhaps changed, to a third measure or a price."""
    (name,), plot = people(rng, 1), rng.choice(PLOTS)
    wide = rng.randint(3, 12)
    long = wide + rng.randint(2, 10)
    known = rng.choice(("sides", "area", "perimeter", "longer", "times"))
    factor = rng.randint(2, 4)
    if known == "times":
        long = wide * factor
    told = {
        "sides": f"is {long} metres long and {wide} metres wide",
        "area": f"has an area of {long * wide} square metres and a length of {long} metres",
        "perimeter": f"has a perimeter of {2 * (long + wide)} metres and a length of {long} metres",
        "longer": f"is {wide} metres wide and {long - wide} metres longer than it is wide",
        "times": f"is {wide} metres wide and {factor} times as long",
    }[known]
    change = rng.choice(("none", "none", "longer", "double", "path"))
    extra = rng.randint(1, 3)
    add, new_long, new_wide = {
        "none": ("", long, wide),
        "longer": (f" Its length then grows by {extra + 1} metres.", long + extra + 1, wide),
        "double": (" Then both sides are doubled.", 2 * long, 2 * wide),
        "path": (
            f" A path {extra} metre{'s' if extra > 1 else ''} wide is then laid all around it.",
            long + 2 * extra,
            wide + 2 * extra,
        ),
    }[change]
    ask = rng.choice(("perimeter", "area", "fence", "tiles", "width"))
    price = rng.randint(2, 6)
    whole = f"the {plot} with its path" if change == "path" else f"the {plot}"
    question, answer, unit = {
        "perimeter": (f"What is the perimeter of {whole}?", 2 * (new_long + new_wide), "metres"),
        "area": (f"What is the area of {whole}?", new_long * new_wide, "square metres"),
        "fence": (
            f"At {price} dollars a metre, what does a fence around {whole} cost?",
            2 * price * (new_long + new_wide),
            "dollars",
        ),
        "tiles": (
            f"At {price} dollars a square metre, what does paving all of {whole} cost?",
            price * new_long * new_wide,
            "dollars",
        ),
        "width": (f"How wide is {whole} now?", new_wide, "metres"),
    }[ask]
    if (
        answer > 2500
        or (ask == "width" and (known in ("sides", "longer", "times") or change == "longer"))
        or (ask == known and change == "none")
    ):
        return None
    scale = price if ask in ("fence", "tiles") else 1
    wrong = {
        "width": [new_wide + extra, long, new_long, wide],
    }.get(
        ask,
        [
            2 * scale * (new_long + new_wide),
            scale * new_long * new_wide,
            scale * (new_long + new_wide),
            scale * long * wide,
        ],
    )
    wrong += [2 * scale * (long + wide), scale * (long + extra) * (wide + extra)]
    return numeric(rng, f"{known} {change} {ask}", f"{name}'s {plot} {told}.{add} {question}", answer, wrong, unit)
