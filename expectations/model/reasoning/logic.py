"""What follows from statements: about groups, about one member, about conditions, about how many.

Answers come from all worlds in which the premises hold. The structure is the form of the premises and of the answer,
whatever stands for the terms.
"""

from collections.abc import Callable, Iterable
from functools import cache
from itertools import product
from random import Random

from expectations.model.reasoning.surface import COUNTS, PLACES, Draft, capital, named, people

NOTHING = "None of these must be true"
GROUPS = (
    "bakers", "cyclists", "dancers", "painters", "gardeners", "swimmers", "poets", "nurses", "singers", "climbers",
    "drivers", "farmers", "tailors", "runners", "pilots", "potters", "sailors", "cooks", "weavers", "jugglers",
)  # fmt: skip

Statement = tuple[str, int, int]  # form, and the two groups it is about
World = frozenset[int]  # the kinds of people that exist: bit g set for a member of group g


def holds(statement: Statement, world: Iterable[int]) -> bool:
    form, x, y = statement
    members = [kind for kind in world if kind >> x & 1]
    inside = [kind for kind in members if kind >> y & 1]
    return {
        "all": len(inside) == len(members),
        "no": not inside,
        "some": bool(inside),
        "some-not": len(inside) < len(members),
    }[form]


WORLDS = [frozenset(kind for kind in range(8) if bits >> kind & 1) for bits in range(1, 256)]
PEOPLED = [world for world in WORLDS if all(any(kind >> group & 1 for kind in world) for group in range(3))]
FORMS = {
    "all": "All {x} are {y}",
    "no": "No {x} are {y}",
    "some": "Some {x} are {y}",
    "some-not": "Some {x} are not {y}",
}


@cache
def certain(premises: tuple[Statement, ...], conclusion: Statement) -> bool | None:
    """Whether a conclusion must hold; None where that depends on whether empty groups are allowed."""
    found = []
    for worlds in (WORLDS, PEOPLED):
        possible = [world for world in worlds if all(holds(premise, world) for premise in premises)]
        found.append(bool(possible) and all(holds(conclusion, world) for world in possible))
    return found[0] if found[0] == found[1] else None


def canonical(statement: Statement, roles: str) -> str:
    """A statement's form with its roles; "some" and "no" say the same of both groups, so their order doesn't count."""
    form, x, y = statement
    pair = roles[x] + roles[y]
    return f"{form}:{''.join(sorted(pair)) if form in ('no', 'some') else pair}"


def syllogism(rng: Random) -> Draft | None:
    """Two statements that share a group; what must hold between the other two."""
    premises: list[Statement] = []
    for outer in (0, 2):
        x, y = rng.choice(((outer, 1), (1, outer)))
        premises.append((rng.choice(tuple(FORMS)), x, y))
    conclusions: list[Statement] = [(form, x, y) for form in ("all", "some-not") for x, y in ((0, 2), (2, 0))]
    conclusions += [(form, *rng.choice(((0, 2), (2, 0)))) for form in ("no", "some")]
    judged = {conclusion: certain(tuple(premises), conclusion) for conclusion in conclusions}
    if not any(all(holds(premise, world) for premise in premises) for world in PEOPLED):
        return None
    true = [conclusion for conclusion, must in judged.items() if must]
    false = [conclusion for conclusion, must in judged.items() if must is False]
    if len(false) < 3 or (not true and rng.randrange(3)):
        return None
    terms, place = rng.sample(GROUPS, 3), rng.choice(PLACES)

    def say(statement: Statement) -> str:
        return FORMS[statement[0]].format(x=terms[statement[1]], y=terms[statement[2]])

    answer = rng.choice(true) if true else None
    forms = [
        " ".join(
            [*sorted(canonical(one, roles) for one in premises), ">", canonical(answer, roles) if answer else "nothing"]
        )
        for roles in ("amc", "cma")
    ]
    told = [say(premise) for premise in rng.sample(premises, 2)]
    told[0] = rng.choice((f"In {place}, {told[0][0].lower()}{told[0][1:]}", f"This is known of {place}. {told[0]}"))
    ask = rng.choice(("Which conclusion must be true?", "What follows for certain?", "Which sentence is certain?"))
    shown = rng.sample(false, 2 if answer else 3)
    wrong = [say(statement) for statement in shown] + ([NOTHING] if answer else [])
    return named(rng, min(forms), f"{told[0]}. {told[1]}. {ask}", say(answer) if answer else NOTHING, wrong)


def member(rng: Random) -> Draft | None:
    """Two or three statements about groups, and one person of whom something is known."""
    count = rng.choice((3, 3, 4))
    terms, (name,), place = rng.sample(GROUPS, count), people(rng, 1), rng.choice(PLACES)
    rules: list[Statement] = []
    for group in range(count - 1):
        x, y = rng.choice(((group, group + 1), (group + 1, group)))
        rules.append((rng.choice(("all", "all", "no")), x, y))
    about, positive = rng.randrange(count), rng.randrange(2) == 1
    kinds = [
        kind
        for kind in range(1 << count)
        if bool(kind >> about & 1) == positive and all(holds(rule, [kind]) for rule in rules)
    ]
    literals = [(group, sign) for group in range(count) if group != about for sign in (True, False)]
    sure = [(group, sign) for group, sign in literals if all(bool(kind >> group & 1) == sign for kind in kinds)]
    far = [literal for literal in sure if abs(literal[0] - about) == max(abs(g - about) for g, _ in sure)]
    unsure = [literal for literal in literals if literal not in sure]
    if not kinds or (not sure and rng.randrange(3)) or len(unsure) < 3 - bool(sure):
        return None

    def say(literal: tuple[int, bool]) -> str:
        return f"{name} is {'one' if literal[1] else 'not one'} of the {terms[literal[0]]}"

    told = [FORMS[form].format(x=terms[x], y=terms[y]) for form, x, y in rules]
    rng.shuffle(told)
    told[0] = f"In {place}, {told[0][0].lower()}{told[0][1:]}"
    ask = rng.choice(("What must be true?", "What follows for certain?", "Which sentence is certain?"))
    prompt = f"{'. '.join(told)}. {say((about, positive))}. {ask}"
    answer = rng.choice(far) if far else None
    forms = []
    for roles in (range(count), range(count)[::-1]):
        names = "".join("abcd"[role] for role in roles)
        end = f"{names[answer[0]]}{'+' if answer[1] else '-'}" if answer else "nothing"
        rule_forms = " ".join(sorted(canonical(rule, names) for rule in rules))
        forms.append(f"{rule_forms} {names[about]}{'+' if positive else '-'} > {end}")
    wrong = [say(one) for one in rng.sample(unsure, 2 if answer else 3)] + ([NOTHING] if answer else [])
    return named(rng, min(forms), prompt, say(answer) if answer else NOTHING, wrong)


PARTS = (
    ("the lamp is on", "the lamp is off"), ("the door is locked", "the door is open"),
    ("the fan runs", "the fan stands still"), ("the valve is shut", "the valve is open"),
    ("the alarm rings", "the alarm is silent"), ("the belt moves", "the belt rests"),
    ("the tank is full", "the tank is not full"), ("the pump works", "the pump is idle"),
    ("the screen is dark", "the screen is lit"), ("the gate is up", "the gate is down"),
)  # fmt: skip


def conditions(rng: Random) -> Draft | None:
    """Two or three conditions on parts of a machine, and the state of one part."""
    count = rng.choice((3, 3, 4))
    parts, place = rng.sample(PARTS, count), rng.choice(PLACES)
    rules = []
    for part in range(count - 1):
        one, other = rng.sample((part, part + 1), 2)
        rules.append((one, rng.random() < 0.7, other, rng.random() < 0.7, rng.choice(("if", "whenever", "only"))))
    about, state = rng.randrange(count), rng.random() < 0.5
    worlds = [
        world
        for world in product((True, False), repeat=count)
        if world[about] == state and all(world[q] == wanted for p, given, q, wanted, _ in rules if world[p] == given)
    ]
    literals = [(part, sign) for part in range(count) if part != about for sign in (True, False)]
    sure = [(part, sign) for part, sign in literals if all(world[part] == sign for world in worlds)]
    unsure = [literal for literal in literals if literal not in sure]
    if not worlds or (not sure and rng.randrange(3)) or len(unsure) < 3 - bool(sure):
        return None

    def say(literal: tuple[int, bool]) -> str:
        return parts[literal[0]][0 if literal[1] else 1]

    told = []
    for p, given, q, wanted, word in rules:
        first, then = say((p, given)), say((q, wanted))
        told.append(
            {
                "if": f"If {first}, {then}",
                "whenever": f"{capital(then)} whenever {first}",
                "only": f"{capital(first)} only if {then}",
            }[word]
        )
    answer = rng.choice(sure) if sure else None
    # which of two opposite states counts as positive is a matter of words: the first one named does
    sign: dict[int, bool] = {}

    def form(literal: tuple[int, bool]) -> str:
        return f"{'abcd'[literal[0]]}{'+' if sign.setdefault(*literal) == literal[1] else '-'}"

    forms = [
        f"{form((p, given))}{'<' if word == 'only' else '>'}{form((q, wanted))}" for p, given, q, wanted, word in rules
    ]
    structure = f"{' '.join(forms)} {form((about, state))} : {form(answer) if answer else 'nothing'}"
    ask = rng.choice(("What must be true?", "What follows for certain?", "What is certain then?"))
    begin = rng.choice((f"A machine in {place}.", f"At the {place} works:", f"Rules of a plant in {place}."))
    prompt = f"{begin} {'. '.join(told)}. Right now {say((about, state))}. {ask}"
    wrong = [capital(say(one)) for one in rng.sample(unsure, 2 if answer else 3)] + ([NOTHING] if answer else [])
    return named(rng, structure, prompt, capital(say(answer)) if answer else NOTHING, wrong)


STATES = (
    ("shops", "open", "closed"), ("doors", "locked", "unlocked"), ("cups", "full", "empty"), ("lamps", "on", "off"),
    ("seats", "taken", "free"), ("boats", "new", "old"), ("rooms", "warm", "cold"), ("roads", "wet", "dry"),
)  # fmt: skip
AMOUNTS: dict[str, tuple[str, Callable[[int, int], bool]]] = {
    "all": ("all of them are {s}", lambda k, n: k == n),
    "none": ("none of them are {s}", lambda k, n: k == 0),
    "least-1": ("at least one of them is {s}", lambda k, n: k >= 1),
    "least-2": ("at least two of them are {s}", lambda k, n: k >= 2),
    "most-1": ("at most one of them is {s}", lambda k, n: k <= 1),
    "exactly-1": ("exactly one of them is {s}", lambda k, n: k == 1),
    "exactly-2": ("exactly two of them are {s}", lambda k, n: k == 2),
    "not-all": ("not all of them are {s}", lambda k, n: k < n),
    "half": ("at least half of them are {s}", lambda k, n: 2 * k >= n),
    "odd": ("an odd number of them are {s}", lambda k, n: k % 2 == 1),
}


def amounts(rng: Random) -> Draft | None:
    """A statement about how many, perhaps denied; what says the same, must hold, or can't hold."""
    (things, yes, no), size, place = rng.choice(STATES), rng.choice((4, 5, 6)), rng.choice(PLACES)
    (name,) = people(rng, 1)
    kinds = [(form, state) for form in AMOUNTS for state in (True, False)]

    def truths(form: str, state: bool) -> frozenset[int]:
        return frozenset(k for k in range(size + 1) if AMOUNTS[form][1](k if state else size - k, size))

    given = rng.choice(kinds)
    denied = rng.randrange(2) == 1
    possible = truths(*given)
    if denied:
        possible = frozenset(range(size + 1)) - possible
    relation = rng.choice(("same", "follows", "excluded"))
    fits = {
        "same": lambda other: other == possible,
        "follows": lambda other: possible < other,
        "excluded": lambda other: not possible & other,
    }[relation]
    right = [kind for kind in kinds if kind[0] != given[0] and fits(truths(*kind))]
    also = {"same": fits, "follows": lambda other: possible <= other, "excluded": fits}[relation]
    wrong = [kind for kind in kinds if kind[0] != given[0] and not also(truths(*kind))]
    if not right or len(wrong) < 3:
        return None
    answer = rng.choice(right)

    def say(kind: tuple[str, bool]) -> str:
        return AMOUNTS[kind[0]][0].format(s=yes if kind[1] else no)

    ask = {
        "same": "Which sentence says exactly the same?",
        "follows": "Which sentence must then be true as well?",
        "excluded": "Which sentence can't be true then?",
    }[relation]
    claim = f"it is not true that {say(given)}" if denied else say(given)
    prompt = f"Of the {COUNTS[size]} {things} in {place}, every one is {yes} or {no}. {name} knows that {claim}. {ask}"
    flip = "" if answer[1] == given[1] else " other"
    structure = f"{'not ' if denied else ''}{given[0]} {relation} {answer[0]}{flip}"
    return named(rng, structure, prompt, capital(say(answer)), [capital(say(kind)) for kind in wrong])
