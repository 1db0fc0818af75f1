"""Units: pieces and rates across units, sizes compared, maps.

The structure is the chain of conversions and operations.
"""

from random import Random

from expectations.model.reasoning.surface import PLACES, Draft, capital, named, numeric, people

# small units in one of the larger
SCALES: dict[str, tuple[tuple[str, int], ...]] = {
    "length": (("millimetres", 1), ("centimetres", 10), ("metres", 1000), ("kilometres", 1_000_000)),
    "mass": (("grams", 1), ("kilograms", 1000), ("tonnes", 1_000_000)),
    "volume": (("millilitres", 1), ("centilitres", 10), ("litres", 1000)),
    "time": (("seconds", 1), ("minutes", 60), ("hours", 3600), ("days", 86_400)),
}
STUFF = {
    "length": ("wire", "rope", "ribbon", "pipe", "cable", "thread"),
    "mass": ("flour", "sand", "rice", "salt", "coal", "seed"),
    "volume": ("oil", "milk", "paint", "water", "juice", "vinegar"),
}


def two_units(rng: Random, kind: str) -> tuple[str, str, int]:
    """A smaller unit, a larger, and how many of the smaller make the larger; at most a factor of 3,600."""
    scale = SCALES[kind]
    low = rng.randrange(len(scale) - 1)
    high = rng.choice([place for place in range(low + 1, len(scale)) if scale[place][1] // scale[low][1] <= 3600])
    return scale[low][0], scale[high][0], scale[high][1] // scale[low][1]


def pieces(rng: Random) -> Draft | None:
    """Stuff cut, used up daily, shared or mixed, with units that differ: how many, how much, how long, what is left."""
    (name,), kind = people(rng, 1), rng.choice(tuple(STUFF))
    small, large, factor = two_units(rng, kind)
    stuff, place = rng.choice(STUFF[kind]), rng.choice(PLACES)
    whole = rng.randint(2, 9)
    size = factor // rng.choice((2, 4, 5, 10)) if factor >= 10 else 1
    if size < 2 or factor > 1000:
        return None
    count = whole * factor // size
    ask = rng.choice(("pieces", "left", "total", "days", "mixed", "missing", "share"))
    used, extra = rng.randint(2, count - 1), rng.randint(2, 9)
    units = f"{small}/{large}"
    match ask:
        case "pieces":
            prompt = (
                f"{name} divides {whole} {large} of {stuff} into parts of {size} {small}. How many parts are there?"
            )
            answer, unit, wrong = (
                count,
                "parts",
                [whole * size, count * 10, count // 10, whole * factor, count // whole],
            )
        case "left":
            prompt = (
                f"From {whole} {large} of {stuff}, {name} takes {used} times {size} {small}. How many {small} are left?"
            )
            answer, unit = whole * factor - used * size, small
            wrong = [whole * factor, used * size, whole * factor * 10 - used * size, answer + size, answer - size]
        case "total":
            answer, unit = used * size // factor, large
            if used * size % factor:
                return None
            prompt = f"A shop in {place} sells {used} portions of {size} {small} of {stuff}. How many {large} is that?"
            wrong = [used * size, answer * 10, answer + 1, used * size // 10]
        case "days":
            prompt = f"{name} uses {size} {small} of {stuff} a day. For how many days do {whole} {large} last?"
            answer, unit, wrong = count, "days", [whole * size, count * 10, count // 10, count + whole, count - 1]
        case "mixed":
            prompt = f"{name} has {whole} {large} and {extra * size} {small} of {stuff}. How many {small} is that?"
            answer, unit = whole * factor + extra * size, small
            wrong = [whole + extra * size, whole * factor, whole * factor * 10 + extra * size, answer - size]
        case "missing":
            prompt = (
                f"{name} needs {whole} {large} of {stuff} and has {used * size} {small}. How many {small} are missing?"
            )
            answer, unit = whole * factor - used * size, small
            wrong = [abs(whole * factor // 10 - used * size), whole * factor, answer + size, answer - size, answer * 10]
        case _:
            prompt = (
                f"{extra} people in {place} share {whole} {large} of {stuff} evenly. How many {small} does each get?"
            )
            if whole * factor % extra:
                return None
            answer, unit = whole * factor // extra, small
            wrong = [answer * 10, answer // 10, whole * factor, answer + extra]
    return numeric(rng, f"{ask} {units}", prompt, answer, wrong, unit)


def flow(rng: Random) -> Draft | None:
    """So much a small unit of time: how much in a larger one, in a larger unit, or how long until."""
    kind, (name,) = rng.choice(("length", "mass", "volume")), people(rng, 1)
    small, large, factor = two_units(rng, kind)
    tick, period, ticks = two_units(rng, "time")
    if factor > 1000 or ticks > 1440:
        return None
    amount, count = rng.choice((2, 4, 5, 10, 20, 25, 50, 100)), rng.randint(2, 6)
    verb = {"length": "winds up", "mass": "sheds", "volume": "drips"}[kind]
    thing = {"length": "drum", "mass": "hopper", "volume": "tap"}[kind]
    start = f"{name}'s {thing} in {rng.choice(PLACES)} {verb} {amount} {small} every {tick[:-1]}."
    total = amount * ticks * count
    ask = rng.choice(("same", "larger", "until", "compare"))
    structure = f"{ask} {tick}/{period}" + (f" {small}/{large}" if ask in ("larger", "until") else "")
    match ask:
        case "same":
            prompt = f"{start} How many {small} is that in {count} {period}?"
            return (
                numeric(rng, structure, prompt, total, [amount * count, total * 10, amount * ticks, total // 60], small)
                if total < 10_000
                else None
            )
        case "larger":
            if total % factor or total // factor > 5000:
                return None
            prompt = f"{start} How many {large} is that in {count} {period}?"
            answer = total // factor
            return numeric(
                rng,
                structure,
                prompt,
                answer,
                [total, answer * 10, amount * count, answer * 60, answer // count],
                large,
            )
        case "until":
            if factor * count % amount:
                return None
            answer = factor * count // amount
            prompt = f"{start} After how many {tick} is it {count} {large}?"
            return numeric(
                rng,
                structure,
                prompt,
                answer,
                [answer * 10, amount * count, factor * count, answer // 10, answer + count],
                tick,
            )
        case _:
            other = rng.choice((2, 3, 5))
            slow = amount * ticks // other
            if amount * ticks % other or total > 50_000:
                return None
            other_flow = f"Another does {slow} {small} every {period[:-1]}."
            prompt = f"{start} {other_flow} How many times as fast is the first?"
            return numeric(rng, structure, prompt, other, [other + 1, ticks, ticks // 10, other + 2, amount], "times")


def larger(rng: Random) -> Draft | None:
    """Four sizes in different units: the largest, the smallest, or how two of them differ."""
    kind, place = rng.choice(tuple(SCALES)), rng.choice(PLACES)
    scale = SCALES[kind]
    base = 20 * scale[-2][1] * rng.randint(1, 9)
    sizes: list[tuple[int, str]] = []
    for percent in rng.sample((25, 50, 80, 90, 110, 120, 150, 200), 4):
        value = base * percent // 100
        unit, worth = rng.choice(scale[:-1])
        if value % worth or not 1 < value // worth < 100_000:
            return None
        sizes.append((value, f"{value // worth} {unit}"))
    names, things = {
        "length": (("longest", "shortest"), "planks"),
        "mass": (("heaviest", "lightest"), "stones"),
        "volume": (("largest", "smallest"), "jugs"),
        "time": (("longest", "shortest"), "films"),
    }[kind]
    ask = rng.randrange(3)
    ordered = sorted(sizes)
    listed = ", ".join(text for _, text in sizes)
    which = (*names, f"second {names[0]}")[ask]
    answer = ordered[(-1, 0, -2)[ask]][1]
    units = "+".join(sorted({text.split()[1] for _, text in sizes}))
    if "+" not in units:
        return None
    prompt = f"Four {things} from {place} measure {listed}. Which measure is the {which}?"
    return named(
        rng, f"{('most', 'least', 'second')[ask]} {units}", prompt, capital(answer), [text for _, text in sizes]
    )


def map_scale(rng: Random) -> Draft | None:
    """Lengths on a map and in the land, both ways, with trips and areas."""
    (name,), (a, b, c) = people(rng, 1), rng.sample(PLACES, 3)
    km, first, second = rng.choice((2, 3, 4, 5, 8, 10)), rng.randint(2, 12), rng.randint(2, 12)
    speed = rng.choice((2, 4, 5, 10))
    start = f"On {name}'s map 1 cm stands for {km} km."
    ask = rng.choice(("land", "map", "round", "two", "time", "area", "difference", "scale"))
    unit = "km"
    match ask:
        case "land":
            prompt = f"{start} {a} and {b} are {first} cm apart on it. How far apart are they really?"
            answer, wrong = first * km, [first + km, first, first * km * 10, first * km + km]
        case "map":
            prompt = f"{start} {a} and {b} are {first * km} km apart. How many cm is that on the map?"
            answer, wrong, unit = first, [first * km * km, first * km, first + km, first + 1], "cm"
        case "round":
            prompt = f"{start} From {a} to {b} it is {first} cm. How many km is a trip there and back?"
            answer, wrong = 2 * first * km, [first * km, 2 * first + km, 4 * first * km, 2 * first]
        case "two":
            prompt = f"{start} It is {first} cm from {a} to {b} and {second} cm on to {c}. How many km is that way?"
            answer, wrong = (
                (first + second) * km,
                [first + second, first * km + second, (first + second) * km + km, first * second],
            )
        case "time":
            if first * km % speed:
                return None
            prompt = f"{start} At {speed} km/h, how many hours is it over {first} cm from {a} to {b}?"
            answer, wrong, unit = (
                first * km // speed,
                [first * km * speed, first * km, first * speed, first * km // speed + 1],
                "hours",
            )
        case "area":
            prompt = f"{start} A wood near {a} is a rectangle of {first} by {second} cm on it. What is its real area?"
            answer, wrong, unit = (
                first * second * km * km,
                [first * second * km, first * second, (first + second) * km, 2 * (first + second) * km],
                "square km",
            )
        case "difference":
            prompt = f"{start} {a} is {first + second} cm from {b} and {first} cm from {c}. How many km further is {b}?"
            answer, wrong = second * km, [second, (2 * first + second) * km, first * km, (first + second) * km]
        case _:
            known = f"On {name}'s map {first * km} km from {a} to {b} measure {first} cm."
            prompt = f"{known} How many km are {second} cm from {a} to {c}?"
            answer, wrong = second * km, [second * first, first * km + second, second * km + km, second * km - km]
    return numeric(rng, ask, prompt, answer, wrong, unit)
