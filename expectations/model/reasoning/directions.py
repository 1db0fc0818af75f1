"""Directions: walks on a grid, turns, how places lie to each other.

The structure is the chain of moves (which way, in which order, turned so that the first goes "ahead") and the question.
"""

from itertools import pairwise
from random import Random

from expectations.model.reasoning.surface import PLACES, Draft, named, numeric, people

COMPASS = ("north", "east", "south", "west")
EIGHT = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def bearing(x: int, y: int) -> str:
    """The direction of a point, where the middle eighths count as between."""
    vertical = "north" if y > 0 else "south" if y < 0 else ""
    horizontal = "east" if x > 0 else "west" if x < 0 else ""
    return "-".join(part for part in (vertical, horizontal) if part)


def walk(rng: Random) -> Draft | None:
    """Two to four stretches along the compass; where it ends, how far from the start, how to get back."""
    (name,), unit = people(rng, 1), rng.choice(("km", "metres", "steps", "blocks"))
    ways = [rng.randrange(4)]
    for _ in range(rng.choice((1, 2, 2, 3))):
        ways.append((ways[-1] + rng.choice((1, 1, 2, 3, 3))) % 4)
    lengths = [rng.randint(2, 12) for _ in ways]
    x = sum(STEPS[way][0] * length for way, length in zip(ways, lengths, strict=True))
    y = sum(STEPS[way][1] * length for way, length in zip(ways, lengths, strict=True))
    legs = [f"{length} {unit} {COMPASS[way]}" for way, length in zip(ways, lengths, strict=True)]
    verb = rng.choice(("walks", "goes", "rides", "drives")) if unit != "steps" else "walks"
    start = f"From {rng.choice(PLACES)}, {name} {verb} {', then '.join(legs)}."
    turned = "".join("ABCD"[(way - ways[0]) % 4] for way in ways)
    mirrored = turned.translate(str.maketrans("BD", "DB"))
    form = min(turned, mirrored)
    ask = rng.choice(("where", "distance", "back", "total", "north", "straight"))
    match ask:
        case "where":
            if not (x or y):
                return None
            question = "In which direction from the start does that end?"
            wrong = [bearing(-x, -y), bearing(-x, y), bearing(x, -y), bearing(y, x), "north-west", "south-east", "east"]
            return named(rng, f"{form} where", f"{start} {question}", bearing(x, y), [one for one in wrong if one])
        case "back":
            if bool(x) == bool(y):
                return None
            home = f"{abs(x + y)} {unit} {bearing(-x, -y)}"
            others = [f"{abs(x + y)} {unit} {bearing(x, y)}", f"{sum(lengths)} {unit} {bearing(-x, -y)}"]
            others += [f"{lengths[-1]} {unit} {COMPASS[(ways[-1] + 2) % 4]}", f"{lengths[0]} {unit} {COMPASS[ways[0]]}"]
            return named(rng, f"{form} back", f"{start} Which single stretch leads straight back?", home, others)
        case "distance":
            if bool(x) == bool(y):
                return None
            question, answer = "How far from the start does that end?", abs(x + y)
            wrong = [sum(lengths), lengths[0], lengths[-1], abs(lengths[0] - lengths[1]), answer + 2]
        case "straight":
            hypotenuse = round((x * x + y * y) ** 0.5)
            if not (x and y) or hypotenuse**2 != x * x + y * y:
                return None
            question, answer = "How far is the end from the start as the crow flies?", hypotenuse
            wrong = [abs(x) + abs(y), sum(lengths), abs(abs(x) - abs(y)), max(abs(x), abs(y))]
        case "total":
            question, answer = (
                f"By how many {unit} is that longer than the shortest way along streets?",
                sum(lengths) - abs(x) - abs(y),
            )
            wrong = [sum(lengths), abs(x) + abs(y), answer // 2, answer + 2]
        case _:
            axis, far, near = rng.choice((("north or south", abs(y), x), ("east or west", abs(x), y)))
            question, answer = f"How far {axis} of the start does that end?", far
            wrong = [sum(lengths), abs(near), *lengths, far + 2]
    return numeric(rng, f"{form} {ask}", f"{start} {question}", answer, wrong, unit)


TURNS = {"L": ("left", -1), "R": ("right", 1), "U": ("right round", 2)}


def turning(rng: Random) -> Draft | None:
    """Turns on the spot; the last direction, the first, or a missing turn."""
    (name,), place, facing = people(rng, 1), rng.choice(PLACES), rng.randrange(4)
    moves = [rng.choice("LLRRU") for _ in range(rng.choice((2, 3, 3, 4)))]
    chain = [f"turns {TURNS[move][0]}" for move in moves]
    end = (facing + sum(TURNS[move][1] for move in moves)) % 4
    ask = rng.choice(("end", "start", "missing", "behind", "degrees"))
    form = min("".join(moves), "".join(moves).translate(str.maketrans("LR", "RL")))
    others = list(COMPASS)
    where = rng.choice((f"In {place}, {name}", f"{name}, on the square of {place},"))
    told = f"{', '.join(chain[:-1])} and {chain[-1]}"
    match ask:
        case "end":
            prompt = f"{where} faces {COMPASS[facing]}, {told}. Which direction does {name} face now?"
            return named(rng, f"{form} end", prompt, COMPASS[end], others)
        case "behind":
            prompt = f"{where} faces {COMPASS[facing]}, {told}. Which direction lies behind {name} now?"
            return named(rng, f"{form} behind", prompt, COMPASS[(end + 2) % 4], others)
        case "start":
            prompt = f"{where} {told}, and then faces {COMPASS[end]}. Which direction did {name} face at first?"
            return named(rng, f"{form} start", prompt, COMPASS[facing], others)
        case "missing":
            turn = rng.choice("LRU")
            last = (end + TURNS[turn][1]) % 4
            choices = {"L": "a left turn", "R": "a right turn", "U": "a half turn"}
            prompt = f"{where} faces {COMPASS[facing]} and {told}. Which turn then makes {name} face {COMPASS[last]}?"
            return named(rng, f"{form} missing {turn}", prompt, choices[turn], [*choices.values(), "no turn at all"])
        case _:
            steps = [rng.choice((45, 90, 135, 180, 225, 270)) for _ in range(rng.choice((1, 2)))]
            ways = [rng.choice((1, -1)) for _ in steps]
            spot = (2 * facing + sum(way * step // 45 for way, step in zip(ways, steps, strict=True))) % 8
            turns = [
                f"{step} degrees {'clockwise' if way > 0 else 'anticlockwise'}"
                for way, step in zip(ways, steps, strict=True)
            ]
            begin = f"{name}'s vane in {place} points {COMPASS[facing]}."
            prompt = f"{begin} It turns {' and then '.join(turns)}. Where does it point?"
            flipped = (2 * facing - sum(way * step // 45 for way, step in zip(ways, steps, strict=True))) % 8
            wrong = [
                EIGHT[flipped],
                EIGHT[(spot + 4) % 8],
                EIGHT[(spot + 1) % 8],
                EIGHT[(spot - 1) % 8],
                EIGHT[(spot + 2) % 8],
            ]
            sizes = ["quarters" if step % 90 == 0 else "eighths" for step in steps]
            pattern = " ".join(sizes) + (" turned back" if len(set(ways)) > 1 else "")
            return named(rng, f"degrees {pattern}", prompt, EIGHT[spot], list(dict.fromkeys(wrong))[:3])


def map_walk(rng: Random) -> Draft | None:
    """Stretches with turns to the left and right; the last direction, or where the end lies from the start."""
    (name,), facing, unit = people(rng, 1), rng.randrange(4), rng.choice(("km", "metres", "blocks"))
    lengths = [rng.randint(2, 9) for _ in range(rng.choice((2, 3, 3, 4)))]
    moves = [rng.choice("LR") for _ in lengths[1:]]
    x, y, way = 0, 0, facing
    told = [f"goes {lengths[0]} {unit} {COMPASS[facing]}"]
    for place, length in enumerate(lengths):
        if place:
            way = (way + TURNS[moves[place - 1]][1]) % 4
            told.append(f"turns {TURNS[moves[place - 1]][0]} and goes {length} {unit}")
        x, y = x + STEPS[way][0] * length, y + STEPS[way][1] * length
    form = "".join(moves)
    form = min(form, form.translate(str.maketrans("LR", "RL")))
    start = f"{name} leaves {rng.choice(PLACES)}, {', '.join(told)}."
    ask = rng.choice(("facing", "bearing", "distance"))
    if ask == "facing":
        prompt = f"{start} In which direction is {name} going at the end?"
        return named(rng, f"{form} facing", prompt, COMPASS[way], list(COMPASS))
    if ask == "bearing":
        if not (x or y):
            return None
        diagonal = " slanted" if x and y else ""
        wrong = [bearing(-x, -y), bearing(y, x), bearing(-x, y), COMPASS[way], "north-east", "south-west"]
        prompt = f"{start} In which direction from the start is that?"
        return named(
            rng, f"{form} bearing{diagonal}", prompt, bearing(x, y), [one for one in dict.fromkeys(wrong) if one]
        )
    if bool(x) == bool(y):
        return None
    wrong_way = [sum(lengths), lengths[0], lengths[-1], abs(lengths[0] - lengths[-1]), abs(x + y) + 2]
    return numeric(rng, f"{form} distance", f"{start} How far from the start is that?", abs(x + y), wrong_way, unit)


def places(rng: Random) -> Draft | None:
    """How three or four places lie to each other in a chain; how two of them that weren't compared lie."""
    count = rng.choice((3, 3, 4))
    towns, offsets, told, form = rng.sample(PLACES, count), [(0, 0)], [], []
    unit = rng.randint(2, 30)
    even = rng.randrange(2) == 1
    ways = []
    for place in range(1, count):
        way, turned = rng.randrange(4), rng.randrange(2) == 1
        length = unit if even else rng.randint(2, 40)
        ways.append(way)
        x, y = offsets[-1]
        offsets.append((x + STEPS[way][0] * length, y + STEPS[way][1] * length))
        first, second, said = (
            (towns[place], towns[place - 1], way) if not turned else (towns[place - 1], towns[place], (way + 2) % 4)
        )
        told.append(f"{first} lies {length} km {COMPASS[said]} of {second}")
        form.append(f"{'ABCD'[(way - ways[0]) % 4]}{'<' if turned else '>'}")
    x, y = offsets[-1]
    if not (x or y) or len({*offsets}) < count:
        return None
    rng.shuffle(told)
    ask = rng.choice(("bearing", "back", "distance"))
    from_town, to_town = (towns[0], towns[-1]) if ask != "back" else (towns[-1], towns[0])
    if ask == "back":
        x, y = -x, -y
    slanted = " slanted" if x and y else ""
    if ask == "distance":
        if bool(x) == bool(y):
            return None
        wrong = [
            sum(abs(a - c) + abs(b - d) for (a, b), (c, d) in pairwise(offsets)),
            abs(x + y) + 2,
            unit,
            abs(offsets[1][0] + offsets[1][1]),
        ]
        return numeric(
            rng,
            f"{' '.join(form)} distance",
            f"{'. '.join(told)}. How far is it from {from_town} to {to_town}?",
            abs(x + y),
            wrong,
            "km",
        )
    wrong_ways = [bearing(-x, -y), bearing(-x, y), bearing(x, -y), bearing(y, x), "north-west", "south-east", "east"]
    prompt = f"{'. '.join(told)}. In which direction does {to_town} lie from {from_town}?"
    return named(
        rng,
        f"{' '.join(form)} {ask}{slanted}",
        prompt,
        bearing(x, y),
        [one for one in dict.fromkeys(wrong_ways) if one],
    )
