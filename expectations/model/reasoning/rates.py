"""Speed, work and flow. The structure says which legs or pipes there are, in which order, and what is asked."""

from collections.abc import Sequence
from fractions import Fraction
from random import Random

from expectations.model.reasoning.surface import PLACES, Draft, numeric, people

MAKES = (
    ("printer", "pages"),
    ("oven", "loaves"),
    ("press", "caps"),
    ("loom", "towels"),
    ("robot", "parts"),
    ("mill", "sacks"),
)


def journey(rng: Random) -> Draft | None:
    """One to three legs, each known by two of speed, time and distance; a rest perhaps; one of the totals is asked."""
    (name,), place = people(rng, 1), rng.choice(PLACES)
    legs, told, kinds = [], [], []
    for _ in range(rng.choice((1, 2, 2, 3))):
        hours, speed = rng.randint(2, 5), rng.randint(2, 9) * rng.choice((1, 5, 10))
        kind = rng.choice(("time", "way", "both"))
        legs.append((hours, speed))
        kinds.append(kind)
        told.append(
            {
                "time": f"{hours} hours at {speed} km/h",
                "way": f"{hours * speed} km at {speed} km/h",
                "both": f"{hours * speed} km in {hours} hours",
            }[kind]
        )
    way, time = sum(hours * speed for hours, speed in legs), sum(hours for hours, _ in legs)
    rest = rng.choice((0, 0, 1, 2))
    ask = rng.choice(("way", "time", "average", "left", "speed"))
    far = way + rng.randint(5, 60)
    if (
        (
            len(legs) == 1
            and (ask == "average" or (rest == 0 and ask == kinds[0]) or (kinds[0] == "both" and ask == "way"))
        )
        or (ask == "speed" and (kinds[-1] != "both" or len(legs) == 1))
        or (ask == "average" and way % (time + rest))
        or (ask == "way" and "time" not in kinds and len(legs) == 1)
        or (rest and ask in ("way", "speed", "left"))
        or way > 900
    ):
        return None
    question, answer, unit = {
        "way": ("How many kilometres is that?", way, "km"),
        "time": ("How many hours does it all take?", time + rest, "hours"),
        "average": ("What is the average speed from start to end?", way // (time + rest), "km/h"),
        "left": (f"Of {far} km to {place}, how many are left?", far - way, "km"),
        "speed": ("How fast is the last stretch?", legs[-1][1], "km/h"),
    }[ask]
    begin = rng.choice(
        (f"{name} travels", f"Towards {place}, {name} rides", f"A bus to {place} goes", f"{name} drives")
    )
    pause = f" There is a rest of {rest} hour{'s' if rest > 1 else ''}." if rest else ""
    speeds = [speed for _, speed in legs]
    wrong: dict[str, list[float]] = {
        "way": [time * sum(speeds), way - legs[0][0] * speeds[0], sum(speeds), way + speeds[0]],
        "time": [time, time + 2 * rest, time - 1, time + rest + 1],
        "average": [sum(speeds) / len(speeds), way / time, max(speeds), min(speeds), way / (time + rest + 1)],
        "left": [way, far + way, far - legs[0][0] * speeds[0], far - sum(speeds)],
        "speed": [*speeds, way / time, legs[-1][0] * speeds[-1], speeds[-1] + 10],
    }
    prompt = f"{begin} {', then '.join(told)}.{pause} {question}"
    return numeric(rng, f"{'-'.join(kinds)} {'rest ' if rest else ''}{ask}", prompt, answer, wrong[ask], unit)


def meeting(rng: Random) -> Draft | None:
    """Two who move towards, away from or after each other; time, gap, place or a speed is asked."""
    (x, y), start = people(rng, 2), rng.choice(PLACES)
    fast, slow, hours = rng.randint(6, 20), rng.randint(2, 12), rng.randint(2, 6)
    kind = rng.choice(("towards", "apart", "behind", "late"))
    ask = rng.choice(("time", "gap", "way", "speed"))
    if fast <= slow:
        return None
    closing = fast + slow if kind in ("towards", "apart") else fast - slow
    gap = closing * hours
    if kind == "late":
        head = rng.choice((1, 2, 3))
        if slow * head % closing:
            return None
        hours, gap = slow * head // closing, slow * head
        begin = (
            f"{y} leaves {start} at {slow} km/h. {head} hour{'s' if head > 1 else ''} later {x} follows at {fast} km/h"
        )
    else:
        begin = {
            "towards": f"{x} and {y} start {gap} km apart and go towards each other at {fast} and {slow} km/h",
            "apart": f"From {start}, {x} and {y} go in opposite directions at {fast} and {slow} km/h",
            "behind": f"{y} is {gap} km ahead of {x} on a road. Both go on, {x} at {fast} km/h and {y} at {slow} km/h",
        }[kind]
    if hours < 2:
        return None
    part = rng.randint(1, hours - 1)
    apart = kind == "apart"
    done = f"{'are ' + str(gap) + ' km apart' if apart else 'meet'}"
    questions: dict[str, tuple[str, int, str, list[float]]] = {
        "time": (
            f"After how many hours are they {gap} km apart?"
            if apart
            else f"How many hours does {x} go until they meet?",
            hours,
            "hours",
            [gap / fast, gap / slow, hours + 1, gap / (fast + slow), gap / (fast - slow)],
        ),
        "gap": (
            f"How far apart are they after {hours} hours?"
            if apart
            else f"How many km part them when {x} has gone for {part} hour{'s' if part > 1 else ''}?",
            gap if apart else gap - closing * part,
            "km",
            [abs(fast - slow) * hours, gap - fast * part, closing * part, gap - slow * part, gap + closing * part],
        ),
        "way": (
            f"How many km has {x} gone when they {done}?",
            fast * hours,
            "km",
            [slow * hours, gap / 2, gap, fast * (hours + 1), fast * (hours - 1)],
        ),
        "speed": (
            f"Only {x}'s speed is known, and after {hours} hours they {done}. How fast is {y}?",
            slow,
            "km/h",
            [gap / hours, gap / hours + fast, fast, slow + 2],
        ),
    }
    question, answer, unit, wrong = questions[ask]
    if ask == "speed":
        if kind not in ("towards", "apart"):
            return None
        begin = begin.replace(f"at {fast} and {slow} km/h", f"at two speeds, {x} at {fast} km/h")
    return numeric(rng, f"{kind} {ask}", f"{begin}. {question}", answer, wrong, unit)


def work(rng: Random) -> Draft | None:
    """Machines of one kind: from one known run to another with more or fewer machines, hours or pieces."""
    (machine, piece), (name,) = rng.choice(MAKES), people(rng, 1)
    machines, hours, rate = rng.randint(2, 6), rng.randint(2, 6), rng.randint(2, 9)
    machines_b, hours_b = rng.randint(2, 9), rng.randint(2, 9)
    made, made_b = machines * hours * rate, machines_b * hours_b * rate
    fixed = rng.choice(("none", "machines", "hours", "made"))
    ask = rng.choice(("made", "hours", "machines"))
    if fixed == "machines":
        machines_b = machines
    elif fixed == "hours":
        hours_b = hours
    elif fixed == "made":
        if made % (machines_b * rate):
            return None
        hours_b = made // (machines_b * rate)
    made_b = machines_b * hours_b * rate
    if ask == fixed or (machines_b, hours_b) == (machines, hours) or hours_b > 30:
        return None
    plural = {"press": "presses"}.get(machine, f"{machine}s")
    kind = rng.choice(("all", "each"))
    known = f"In {name}'s works, {machines} {plural} make {made} {piece} in {hours} hours"
    if kind == "each":
        known = f"Each {machine} in {name}'s works makes {hours * rate} {piece} in {hours} hours"
    question, answer, unit = {
        "made": (f"How many {piece} do {machines_b} such {plural} make in {hours_b} hours?", made_b, piece),
        "hours": (f"How many hours do {machines_b} such {plural} need for {made_b} {piece}?", hours_b, "hours"),
        "machines": (f"How many such {plural} make {made_b} {piece} in {hours_b} hours?", machines_b, plural),
    }[ask]
    if made_b > 900 or (kind == "each" and fixed in ("machines", "made")):
        return None
    wrong: dict[str, list[float]] = {
        "made": [made * machines_b / machines, made * hours_b / hours, made + made_b, rate * hours_b, made],
        "hours": [hours * made_b / made, hours * machines_b / machines, hours_b * machines_b, hours],
        "machines": [machines * made_b / made, machines * hours_b / hours, machines_b * hours_b, machines],
    }
    return numeric(rng, f"{kind} {fixed} {ask}", f"{known}. {question}", answer, wrong[ask], unit)


def tank(rng: Random) -> Draft | None:
    """Pipes that fill and drains that empty a tank which may hold something at the start."""
    (name,) = people(rng, 1)
    fills = [rng.randint(4, 15) for _ in range(rng.choice((1, 2)))]
    drains = [rng.randint(2, 9) for _ in range(rng.choice((0, 1, 2)))]
    start, minutes = rng.choice((0, rng.randint(10, 60))), rng.randint(3, 12)
    flow = sum(fills) - sum(drains)
    later = rng.choice((0, 0, rng.randint(2, 5)))  # minutes before the last drain opens
    if flow < 2 or (later and not drains):
        return None
    end = start + flow * minutes + later * (drains[-1] if later else 0)
    minutes_all = minutes
    ask = rng.choice(("end", "time", "start"))
    if later:
        if later >= minutes:
            return None
        ask = "end"
    vessel = rng.choice(("tank", "pool", "pond", "barrel", "basin", "cistern"))
    pipes = " and ".join(f"a pipe brings {fill} litres a minute" for fill in fills)
    holes = "".join(f", {'while' if place == 0 else 'and'} a drain takes {drain}" for place, drain in enumerate(drains))
    if later:
        holes = holes.replace(f"a drain takes {drains[-1]}", f"a drain opened {later} minutes later takes {drains[-1]}")
        if holes.count("opened") != 1:
            return None
    begin = f"{name}'s {vessel} is empty" if start == 0 else f"{name}'s {vessel} holds {start} litres"
    question, answer, unit = {
        "end": (f"How many litres are in it {minutes_all} minutes after the start?", end, "litres"),
        "time": (f"How many minutes does it take to reach {end} litres?", minutes_all, "minutes"),
        "start": (
            f"After {minutes_all} minutes there are {end} litres. How many were there at the start?",
            start,
            "litres",
        ),
    }[ask]
    if ask == "start":
        if start == 0:
            return None
        begin = f"{name}'s {vessel} holds some water"
    ins, outs = sum(fills), sum(drains)
    wrong: dict[str, Sequence[float | Fraction]] = {
        "end": [
            start + ins * minutes,
            flow * minutes,
            start + (ins + outs) * minutes,
            start + flow * minutes,
            end + flow,
        ],
        "time": [Fraction(end, flow), Fraction(end - start, ins), Fraction(end, ins), minutes + 1, minutes + 2],
        "start": [end, end - ins * minutes, end + flow * minutes, flow * minutes],
    }
    structure = f"{len(fills)} in {len(drains)} out {'some' if start else 'empty'} {'late ' if later else ''}{ask}"
    return numeric(
        rng, structure, f"{begin}. {pipes[0].upper()}{pipes[1:]}{holes}. {question}", answer, wrong[ask], unit
    )
