"""Who lies, which label is true, how many are both, how many to draw, which one a rule is for.

The structure is the form of the statements with their roles, or what is known and what is asked.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from random import Random

from expectations.model.reasoning.surface import COUNTS, PLACES, THINGS, Draft, capital, listed, named, numeric, people

World = tuple[bool, ...]  # who tells the truth

# form -> words, and whether it is true in a world, said by s about y and z
CLAIMS: dict[str, tuple[str, Callable[[World, int, int, int], bool]]] = {
    "liar": ("{y} is a liar", lambda w, s, y, z: not w[y]),
    "truthful": ("{y} tells the truth", lambda w, s, y, z: w[y]),
    "same": ("{y} and I are of the same kind", lambda w, s, y, z: w[s] == w[y]),
    "unlike": ("{y} and I are of different kinds", lambda w, s, y, z: w[s] != w[y]),
    "both-lie": ("{y} and I are both liars", lambda w, s, y, z: not w[s] and not w[y]),
    "one-lies": ("at least one of {y} and me is a liar", lambda w, s, y, z: not w[s] or not w[y]),
    "others-differ": ("{y} and {z} are of different kinds", lambda w, s, y, z: w[y] != w[z]),
    "others-lie": ("{y} and {z} are both liars", lambda w, s, y, z: not w[y] and not w[z]),
    "one-of-others": ("{y} or {z} tells the truth, or both do", lambda w, s, y, z: w[y] or w[z]),
    "only-one": ("exactly one of us tells the truth", lambda w, s, y, z: sum(w) == 1),
    "some-lie": ("at least one of us is a liar", lambda w, s, y, z: not all(w)),
}


def liars(rng: Random) -> Draft | None:
    """Two or three people who always lie or never do; exactly one world fits what they say."""
    count = rng.choice((2, 3, 3))
    names, place = people(rng, count), rng.choice(PLACES)
    said = []
    for speaker in range(count):
        others = [person for person in range(count) if person != speaker]
        rng.shuffle(others)
        pairwise = ("others-differ", "others-lie", "one-of-others")
        form = rng.choice([form for form in CLAIMS if count == 3 or form not in pairwise])
        said.append((form, others[0], others[-1]))
    fitting = [
        world
        for world in product((True, False), repeat=count)
        if all(CLAIMS[form][1](world, speaker, y, z) == world[speaker] for speaker, (form, y, z) in enumerate(said))
    ]
    if len(fitting) != 1:
        return None
    told = [
        f'{names[speaker]} says: "{capital(CLAIMS[form][0].format(y=names[y], z=names[z]))}."'
        for speaker, (form, y, z) in enumerate(said)
    ]
    begin = rng.choice(
        (
            f"In {place} everyone either always lies or never does.",
            f"People in {place} always lie or always tell the truth.",
        )
    )

    def who(world: World) -> str:
        true = [name for name, truthful in zip(names, world, strict=True) if truthful]
        return (
            "Nobody"
            if not true
            else f"Only {listed(true)}"
            if len(true) < count
            else "Both"
            if count == 2
            else "All three"
        )

    forms = [form + ("" if form in ("only-one", "some-lie") else f":{'abc'[y]}") for form, y, _ in said]
    if rng.randrange(2) and count == 3:
        answer, others = capital(COUNTS[sum(fitting[0])]), [capital(COUNTS[k]) for k in range(4)]
        return named(
            rng,
            f"{' '.join(forms)} how many",
            f"{begin} {' '.join(told)} How many of them tell the truth?",
            answer,
            others,
        )
    worlds = list(product((True, False), repeat=count))
    prompt = f"{begin} {' '.join(told)} Who tells the truth?"
    return named(rng, f"{' '.join(forms)} who", prompt, who(fitting[0]), [who(world) for world in worlds])


def labels(rng: Random) -> Draft | None:
    """Three boxes with labels of which exactly one is true, or false, or all are false; where is the prize?"""
    colours = rng.sample(("red", "blue", "green", "white", "black", "brown"), 3)
    prize, container = rng.choice(THINGS), rng.choice(("box", "drawer", "bag", "tin"))
    forms: list[tuple[str, int]] = []
    for box in range(3):
        forms.append((rng.choice(("in", "not in")), rng.choice([box, box, *range(3)])))
    rule = rng.choice(("one true", "one false", "all false"))
    wanted = {"one true": 1, "one false": 2, "all false": 0}[rule]
    fitting = [
        place for place in range(3) if sum((form == "in") == (place == about) for form, about in forms) == wanted
    ]
    if not fitting or (len(fitting) > 1 and rng.randrange(4)):
        return None
    told = []
    for box, (form, about) in enumerate(forms):
        where = "here" if about == box else f"in {colours[about]}"
        told.append(f"{colours[box]} says '{where if form == 'in' else f'not {where}'}'")
    claim = {
        "one true": "Exactly one label is true",
        "one false": "Exactly one label is false",
        "all false": "All labels are false",
    }[rule]
    plural = {"box": "boxes"}.get(container, f"{container}s")
    begin = f"The {prize} are in one of three {plural} with labels"
    prompt = f"{begin}: {', '.join(told)}. {claim}. Where are the {prize}?"
    structures = []
    for roles in ("abc", "acb", "bac", "bca", "cab", "cba"):
        structures.append(
            " ".join(sorted(f"{roles[box]}:{form} {roles[about]}" for box, (form, about) in enumerate(forms)))
        )
    choices = [f"In the {colour} {container}" for colour in colours]
    answer = choices[fitting[0]] if len(fitting) == 1 else "It can't be known"
    return named(rng, f"{min(structures)} {rule}", prompt, answer, [*choices, "It can't be known"])


CLUBS = (
    "chess",
    "tennis",
    "piano",
    "cards",
    "golf",
    "chemistry",
    "history",
    "judo",
    "drama",
    "French",
    "rowing",
    "sewing",
)
# how many people of each kind (only a, only b, both, neither) a size counts, and how it is said
SIZES: dict[str, tuple[tuple[int, int, int, int], str]] = {
    "all": ((1, 1, 1, 1), "{n} people were asked"),
    "a": ((1, 0, 1, 0), "{n} like {a}"),
    "b": ((0, 1, 1, 0), "{n} like {b}"),
    "both": ((0, 0, 1, 0), "{n} like both"),
    "neither": ((0, 0, 0, 1), "{n} like neither"),
    "a only": ((1, 0, 0, 0), "{n} like {a} but not {b}"),
    "b only": ((0, 1, 0, 0), "{n} like {b} but not {a}"),
    "either": ((1, 1, 1, 0), "{n} like at least one of them"),
    "one": ((1, 1, 0, 0), "{n} like exactly one of them"),
}


def count_of(size: str, people_of: Sequence[int]) -> int:
    return sum(times * number for times, number in zip(SIZES[size][0], people_of, strict=True))


@cache
def settles(known: tuple[str, ...], asked: str) -> bool:
    """Whether sizes fix another: no shift of people between the kinds leaves them and changes it."""
    shifts = product(range(-2, 3), repeat=4)
    return not any(all(count_of(size, shift) == 0 for size in known) and count_of(asked, shift) for shift in shifts)


def overlap(rng: Random) -> Draft | None:
    """Two groups that overlap: from two or three known sizes, all needed, to another."""
    a, b = rng.sample(CLUBS, 2)
    numbers = [rng.randint(2, 15) for _ in range(4)]
    *known, asked = rng.sample(tuple(SIZES), rng.choice((3, 4, 4)))
    smaller = [tuple(one for one in known if one != left) for left in known]
    if not settles(tuple(known), asked) or any(settles(part, asked) for part in smaller):
        return None
    told = [capital(SIZES[size][1].format(n=count_of(size, numbers), a=a, b=b)) for size in known]
    question = SIZES[asked][1].format(n="How many", a=a, b=b)
    prompt = f"A poll in {rng.choice(PLACES)} is about {a} and {b}. {'. '.join(told)}. {question}?"
    values = [count_of(size, numbers) for size in known]
    wrong = [abs(values[0] - values[1]), values[0] + values[1], sum(values), abs(values[0] - sum(values[1:]))]
    forms = []
    for turn in ({"a": "b", "b": "a"}, {"a": "a", "b": "b"}):
        roles = [f"{turn.get(size[0], '')}{size[1:]}" if size[:2].strip() in turn else size for size in (*known, asked)]
        forms.append(f"{'+'.join(sorted(roles[:-1]))}>{roles[-1]}")
    wrong += [abs(values[-1] - values[0]), abs(values[1] - values[-1]), values[0], values[-1]]
    return numeric(rng, min(forms), prompt, count_of(asked, numbers), wrong, "people")


def drawing(rng: Random) -> Draft | None:
    """How many must be drawn unseen to be sure of something."""
    colours = rng.sample(("red", "blue", "green", "white", "black", "yellow"), 3)
    thing, container = rng.choice(THINGS), rng.choice(("box", "bag", "drawer", "sack", "jar"))
    kinds = rng.choice((2, 3, 3))
    counts = [rng.randint(4, 14) for _ in range(kinds)]
    need = rng.choice((2, 3, 4))
    goal = rng.choice(("alike", "colour", "of-colour", "all", "two-colours", "not-colour", "each-of-two"))
    total = sum(counts)
    first = counts[0]
    texts = {
        "alike": (f"{COUNTS[need]} of one colour", sum(min(count, need - 1) for count in counts) + 1),
        "colour": (f"at least one {colours[0]} one", total - first + 1),
        "of-colour": (f"at least {COUNTS[need]} {colours[0]} ones", total - first + need),
        "all": ("at least one of every colour", total - min(counts) + 1),
        "two-colours": ("at least two different colours", max(counts) + 1),
        "not-colour": (f"at least one that isn't {colours[0]}", first + 1),
        "each-of-two": (f"both a {colours[0]} and a {colours[1]} one", total - min(counts[:2]) + 1),
    }
    words, answer = texts[goal]
    if answer > total or (goal in ("each-of-two",) and kinds == 2):
        return None
    holds = listed([f"{count} {colour}" for count, colour in zip(counts, colours, strict=False)])
    ask = rng.choice(
        (
            f"How many must be drawn unseen to be sure of {words}?",
            f"What is the smallest number to take in the dark to be certain of {words}?",
        )
    )
    wrong = [answer - 1, need, kinds + 1, kinds, first + 1, total - first, total, max(counts) + 1, answer + 1]
    amount = f" {need}" if goal in ("alike", "of-colour") else ""
    return numeric(rng, f"{kinds} {goal}{amount}", f"A {container} holds {holds} {thing}. {ask}", answer, wrong)


KINDS = (
    ("parcel", ("paid", "unpaid"), ("small", "large"), ("urgent", "ordinary")),
    ("file", ("signed", "unsigned"), ("short", "long"), ("new", "old")),
    ("room", ("heated", "unheated"), ("empty", "occupied"), ("quiet", "noisy")),
    ("bicycle", ("red", "grey"), ("light", "heavy"), ("locked", "unlocked")),
    ("ticket", ("printed", "digital"), ("local", "foreign"), ("valid", "expired")),
    ("plant", ("tall", "short"), ("healthy", "sick"), ("potted", "unpotted")),
)
RESULTS = ("goes to desk {n}", "gets label {n}", "is put on shelf {n}", "is sent to hall {n}", "goes into list {n}")


def rule(rng: Random) -> Draft | None:
    """A rule of three properties joined by and, or, not; which of four cases falls under it."""
    thing, *pairs = rng.choice(KINDS)
    result = rng.choice(RESULTS).format(n=rng.randint(2, 60))
    order = rng.sample(range(3), 3)
    nots = [rng.random() < 0.3 for _ in range(3)]
    outer, inner = rng.choice(("and", "or", "but")), rng.choice(("and", "or", "one"))
    first_inner = rng.randrange(2) == 1
    words = [f"{'not ' if negated else ''}{pairs[place][0]}" for place, negated in zip(order, nots, strict=True)]
    joined = {
        "and": f"both {words[1]} and {words[2]}",
        "or": f"{words[1]} or {words[2]} or both",
        "one": f"either {words[1]} or {words[2]} but not both",
    }[inner]
    told = {
        "and": (f"{words[0]} and also {joined}", f"{joined}, and also {words[0]}"),
        "or": (f"{words[0]}, or else {joined}", f"{joined}, or else {words[0]}"),
        "but": (f"{words[0]}, unless it is {joined}", f"{joined}, unless it is {words[0]}"),
    }[outer][first_inner]

    def falls(case: tuple[bool, ...]) -> bool:
        x, y, z = (case[place] != negated for place, negated in zip(order, nots, strict=True))
        right = {"and": y and z, "or": y or z, "one": y != z}[inner]
        if outer == "but":
            return (right and not x) if first_inner else (x and not right)
        return (x and right) if outer == "and" else (x or right)

    cases = list(product((True, False), repeat=3))
    wants = rng.randrange(2) == 1
    right = [case for case in cases if falls(case) == wants]
    wrong = [case for case in cases if falls(case) != wants]
    if len(wrong) < 3:
        return None

    def say(case: tuple[bool, ...]) -> str:
        return f"A {', '.join(pair[not value] for pair, value in zip(pairs, case, strict=True))} {thing}".replace(
            "A u", "An u"
        )

    place = rng.choice(PLACES)
    ask = (
        rng.choice((f"Which {thing} {result}?", f"Which of these {result}?"))
        if wants
        else f"Which {thing} is not covered?"
    )
    text = (
        f"{'The office' if rng.randrange(2) else 'A rule'} in {place} says: a {thing} {result} if it is {told}. {ask}"
    )
    first, *inner_signs = ("-" if negated else "+" for negated in nots)
    turned = " turned" if first_inner and outer == "but" else ""  # for the others that's only a matter of words
    structure = f"{outer}{turned} {first} {inner} {''.join(sorted(inner_signs))} {'in' if wants else 'out'}"
    return named(rng, structure, text, say(rng.choice(right)), [say(case) for case in wrong])
