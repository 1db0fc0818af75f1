"""Orders, tables and assignments that clues settle.

Clues are drawn until one answer is left in all orders that fit, then those that aren't needed are taken away. The
structure is the set of clues with their roles and the question, the same whoever stands in which role.
"""

from collections.abc import Callable, Sequence
from itertools import permutations
from random import Random
from typing import NamedTuple

from expectations.model.reasoning.surface import ORDINALS, PLACES, Draft, capital, named, people

Order = tuple[int, ...]  # for each person their place, from 0


class Clue(NamedTuple):
    """A clue's form, whom it is about, and whether it holds in an order."""

    form: str
    about: tuple[int, ...]
    place: int
    holds: Callable[[Order], bool]


def needed(
    rng: Random, pool: Sequence[Clue], orders: Sequence[Order], ask: Callable[[Order], int]
) -> list[Clue] | None:
    """Two to four clues that leave one answer and no smaller set of them does; no clue alone may give it away."""
    chosen: list[Clue] = []
    left = list(orders)
    for clue in pool:
        if len({ask(order) for order in left}) == 1:
            break
        kept = [order for order in left if clue.holds(order)]
        if len(kept) < len(left):
            chosen, left = [*chosen, clue], kept
    for clue in list(chosen):
        rest = [other for other in chosen if other is not clue]
        if len({ask(order) for order in orders if all(other.holds(order) for other in rest)}) == 1:
            chosen = rest
    settled = {ask(order) for order in orders if all(clue.holds(order) for clue in chosen)}
    return chosen if len(settled) == 1 and 2 <= len(chosen) <= 4 else None


def structure_of(clues: Sequence[Clue], question: str, asked: Sequence[int], size: int) -> str:
    """The smallest way to write clues and question over all ways to name the roles."""
    found = []
    for names in permutations("abcdef"[:size]):
        parts = []
        for clue in clues:
            roles = [names[person] for person in clue.about]
            if clue.form in ("next", "gap", "opposite", "apart"):
                roles.sort()  # these say the same of both
            parts.append(f"{clue.form}{clue.place if clue.place >= 0 else ''}({','.join(roles)})")
        found.append(f"{' '.join(sorted(parts))} ? {question}{''.join(names[person] for person in asked)}")
    return f"{size} " + min(found)


# theme: how a person is written, the clues, the questions
THEMES: dict[str, dict[str, str]] = {
    "race": {
        "before": "{x} finished ahead of {y}", "right": "{x} finished directly ahead of {y}",
        "at": "{x} finished {nth}", "inner": "{x} finished neither first nor last",
        "next": "{x} and {y} finished one directly after the other", "gap": "Exactly one finished between {x} and {y}",
        "who": "Who finished {nth}?", "after": "Who finished directly behind {x}?",
        "place": "Which place did {x} take?", "begin": "{n} ran a race in {place}.",
    },
    "queue": {
        "before": "{x} stands somewhere in front of {y}", "right": "{x} stands directly in front of {y}",
        "at": "{x} is {nth} in the queue", "inner": "{x} is at neither end",
        "next": "{x} and {y} stand directly one behind the other", "gap": "Exactly one stands between {x} and {y}",
        "who": "Who is {nth} from the front?", "after": "Who stands directly behind {x}?",
        "place": "Which place from the front has {x}?", "begin": "In {place}, {n} queue at a till.",
    },
    "floors": {
        "before": "{x} lives somewhere below {y}", "right": "{x} lives directly below {y}",
        "at": "{x} lives on the {nth} floor", "inner": "{x} lives neither lowest nor highest",
        "next": "{x} and {y} live on neighbouring floors", "gap": "Exactly one floor lies between {x} and {y}",
        "who": "Who lives on the {nth} floor?", "after": "Who lives directly above {x}?",
        "place": "On which floor is {x}?",
        "begin": "{n} live one a floor in {place}, the first being lowest.",
    },
    "talks": {
        "before": "{x} speaks earlier than {y}", "right": "{x} speaks directly before {y}",
        "at": "{x} is the {nth} to speak", "inner": "{x} speaks neither first nor last",
        "next": "{x} and {y} speak one right after the other", "gap": "Exactly one talk lies between {x} and {y}",
        "who": "Who is the {nth} to speak?", "after": "Who speaks directly after {x}?", "place": "Which turn has {x}?",
        "begin": "{n} each give a talk in {place}.",
    },
    "row": {
        "before": "{x} sits somewhere to the left of {y}", "right": "{x} sits directly to the left of {y}",
        "at": "{x} has the {nth} seat from the left", "inner": "{x} sits at neither end",
        "next": "{x} and {y} sit next to each other", "gap": "Exactly one person sits between {x} and {y}",
        "who": "Who has the {nth} seat from the left?", "after": "Who sits directly to the right of {x}?",
        "place": "Which seat from the left has {x}?", "begin": "In {place}, {n} sit in a row.",
    },
}  # fmt: skip


def order_clues(order: Order) -> list[Clue]:
    """All clues that hold in an order."""
    size = len(order)
    found: list[Clue] = []
    for x in range(size):
        found.append(Clue("at", (x,), order[x], lambda o, x=x, k=order[x]: o[x] == k))
        if 0 < order[x] < size - 1:
            found.append(Clue("inner", (x,), -1, lambda o, x=x: 0 < o[x] < len(o) - 1))
        for y in range(size):
            gap = order[y] - order[x]
            if gap > 0:
                found.append(Clue("before", (x, y), -1, lambda o, x=x, y=y: o[x] < o[y]))
            if gap == 1:
                found.append(Clue("right", (x, y), -1, lambda o, x=x, y=y: o[y] - o[x] == 1))
            if x < y and abs(gap) == 1:
                found.append(Clue("next", (x, y), -1, lambda o, x=x, y=y: abs(o[x] - o[y]) == 1))
            if x < y and abs(gap) == 2:
                found.append(Clue("gap", (x, y), -1, lambda o, x=x, y=y: abs(o[x] - o[y]) == 2))
    return found


def ordering(rng: Random) -> Draft | None:
    """Four or five in an order that clues describe; a place, a person or a neighbour is asked."""
    size = rng.choice((4, 4, 5))
    names, theme = people(rng, size), rng.choice(tuple(THEMES))
    order = tuple(rng.sample(range(size), size))
    orders = list(permutations(range(size)))
    question = rng.choice(("who", "who", "after", "place"))
    person, place = rng.randrange(size), rng.randrange(size)
    if question == "after" and order[person] == size - 1:
        return None
    asks: dict[str, Callable[[Order], int]] = {
        "who": lambda o: o.index(place),
        "after": lambda o: o.index(o[person] + 1) if o[person] < size - 1 else -1,
        "place": lambda o: o[person],
    }
    pool = order_clues(order)
    rng.shuffle(pool)
    pool.sort(key=lambda clue: clue.form == "at")  # where somebody is stands last: relations make the puzzle
    if rng.randrange(2):
        pool = pool[::-1][: rng.randint(1, 2)] + pool
    clues = needed(rng, pool, orders, asks[question])
    if clues is None:
        return None
    words = THEMES[theme]
    told = [
        words[clue.form].format(x=names[clue.about[0]], y=names[clue.about[-1]], nth=ORDINALS[max(clue.place, 0)])
        for clue in clues
    ]
    group = f"{', '.join(sorted(names)[:-1])} and {sorted(names)[-1]}"
    begin = words["begin"].format(n=group, place=rng.choice(PLACES))
    ask = words[question].format(x=names[person], nth=ORDINALS[place])
    answer = asks[question](order)
    prompt = f"{begin} {'. '.join(told)}. {ask}"
    fixed = f"{question}{place if question == 'who' else ''} "
    structure = structure_of(clues, fixed, () if question == "who" else (person,), size)
    if question == "place":
        return named(rng, structure, prompt, f"The {ORDINALS[answer]}", [f"The {ORDINALS[k]}" for k in range(size)])
    others = [*names, "Nobody"]
    if question == "after":
        others.remove(names[person])
    return named(rng, structure, prompt, names[answer], others if question == "after" else names)


def round_table(rng: Random) -> Draft | None:
    """Four or five around a table, all facing its middle; a neighbour or the one opposite is asked."""
    size = rng.choice((4, 5))
    names = people(rng, size)
    order = (0, *(1 + place for place in rng.sample(range(size - 1), size - 1)))
    orders = [(0, *rest) for rest in permutations(range(1, size))]  # a turn of the table changes nothing
    pool: list[Clue] = []
    for x in range(size):
        for y in range(size):
            step = (order[y] - order[x]) % size
            if step == 1:  # seats count clockwise, which is to the left of those who face the middle
                pool.append(Clue("left", (y, x), -1, lambda o, x=x, y=y: (o[y] - o[x]) % size == 1))
            if x < y and step in (1, size - 1):
                pool.append(Clue("next", (x, y), -1, lambda o, x=x, y=y: (o[y] - o[x]) % size in (1, size - 1)))
            if x < y and step not in (1, size - 1):
                form = "opposite" if size == 4 else "apart"
                pool.append(Clue(form, (x, y), -1, lambda o, x=x, y=y: (o[y] - o[x]) % size not in (1, size - 1)))
    rng.shuffle(pool)
    person = rng.randrange(size)
    question = rng.choice(("left", "right", "opposite" if size == 4 else "left"))
    steps = {"left": 1, "right": -1, "opposite": 2}
    clues = needed(rng, pool, orders, lambda o: o.index((o[person] + steps[question]) % size))
    if clues is None:
        return None
    words = {
        "left": "{x} sits directly to the left of {y}",
        "next": "{x} and {y} are neighbours",
        "opposite": "{x} sits opposite {y}",
        "apart": "{x} and {y} are not neighbours",
    }
    told = [words[clue.form].format(x=names[clue.about[0]], y=names[clue.about[1]]) for clue in clues]
    ask = {
        "left": "Who sits directly to the left of {x}?",
        "right": "Who sits directly to the right of {x}?",
        "opposite": "Who sits opposite {x}?",
    }[question].format(x=names[person])
    group = f"{', '.join(sorted(names)[:-1])} and {sorted(names)[-1]}"
    begin = rng.choice(
        (
            f"{group} sit at a round table in {rng.choice(PLACES)}, facing its middle.",
            f"Facing the middle of a round table are {group}.",
        )
    )
    answer = order.index((order[person] + steps[question]) % size)
    structure = structure_of(clues, f"{question} ", (person,), size)
    others = [*names, "Nobody"] if size == 4 else names
    return named(
        rng,
        structure,
        f"{begin} {'. '.join(told)}. {ask}",
        names[answer],
        [one for one in others if one != names[person]],
    )


OBJECTS = (
    ("keeps the", ("cat", "dog", "parrot", "rabbit", "pony", "goat")),
    ("drinks the", ("tea", "coffee", "milk", "juice", "cocoa", "water")),
    ("wears the", ("scarf", "hat", "gloves", "shawl", "belt", "cap")),
    ("drives the", ("van", "bus", "truck", "tram", "taxi", "tractor")),
    ("plays the", ("flute", "violin", "drum", "harp", "cello", "trumpet")),
    ("grows the", ("roses", "beans", "tulips", "leeks", "lilies", "peas")),
)


def assignment(rng: Random) -> Draft | None:
    """Four people and four things, one each; who has what follows from what they do and don't have."""
    size = 4
    names, (verb, things) = people(rng, size), rng.choice(OBJECTS)
    objects = rng.sample(things, size)
    order = tuple(rng.sample(range(size), size))
    pool: list[Clue] = []
    for x in range(size):
        others = [thing for thing in range(size) if thing != order[x]]
        rng.shuffle(others)
        a, b, c = others
        pool.append(Clue("has", (x, order[x]), -1, lambda o, x=x, k=order[x]: o[x] == k))
        pool.append(Clue("not", (x, a), -1, lambda o, x=x, k=a: o[x] != k))
        pool.append(Clue("neither", (x, *sorted((a, b))), -1, lambda o, x=x, k=(a, b): o[x] not in k))
        pool.append(Clue("either", (x, *sorted((order[x], c))), -1, lambda o, x=x, k=(order[x], c): o[x] in k))
    rng.shuffle(pool)
    pool.sort(key=lambda clue: clue.form == "has" and rng.random() < 0.8)
    target, by_person = rng.randrange(size), rng.randrange(2) == 1
    clues = needed(rng, pool, list(permutations(range(size))), lambda o: o[target] if by_person else o.index(target))
    if clues is None:
        return None
    words = {
        "has": "{x} {v} {a}",
        "not": "{x} doesn't have the {a}",
        "neither": "{x} has neither the {a} nor the {b}",
        "either": "{x} has the {a} or the {b}",
    }
    told = [
        words[clue.form].format(x=names[clue.about[0]], v=verb, a=objects[clue.about[1]], b=objects[clue.about[-1]])
        for clue in clues
    ]
    found = []
    for roles in permutations("pqrs"):
        for kinds in permutations("wxyz"):
            parts = [
                f"{clue.form}({roles[clue.about[0]]}{''.join(sorted(kinds[k] for k in clue.about[1:]))})"
                for clue in clues
            ]
            found.append(f"{' '.join(sorted(parts))} ? {roles[target] if by_person else kinds[target]}")
    group = f"{', '.join(sorted(names)[:-1])} and {sorted(names)[-1]}"
    listed = f"{', '.join(sorted(objects)[:-1])} and {sorted(objects)[-1]}"
    begin = f"{group} have one each of {listed}."
    if by_person:
        answer, choices = f"The {objects[order[target]]}", [f"The {thing}" for thing in objects]
        ask = rng.choice((f"What does {names[target]} have?", f"Which of them is {names[target]}'s?"))
    else:
        answer, choices = names[order.index(target)], names
        ask = rng.choice((f"Who {verb} {objects[target]}?", f"Who has the {objects[target]}?"))
    return named(rng, min(found), f"{capital(begin)} {'. '.join(told)}. {ask}", answer, choices)
