"""Stories about a number of things: chains of events forwards, backwards and with a gap; hand-overs; comparisons.

The structure is the chain of operations in its order, with who stands in which role.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from expectations.model.reasoning.surface import THINGS, Draft, numeric, people


class Event(NamedTuple):
    """Something that happens to a number: its kind, its two amounts, what was said."""

    kind: str
    a: int
    b: int
    words: str


PHRASES: dict[str, tuple[str, ...]] = {
    "gain": ("buys {a} more", "finds {a} more", "is given {a} more"),
    "lose": ("gives {a} away", "loses {a}", "sells {a}"),
    "packs": ("buys {a} packs of {b}", "adds {a} boxes of {b}"),
    "each": ("gives {b} to each of {a} friends", "sells {b} on each of {a} days"),
    "double": ("doubles the number", "gets as many again"),
    "half": ("gives half of them away", "loses half of them"),
    "third": ("gives a third of them away", "sells a third of them"),
}
EFFECTS: dict[str, Callable[[int, int, int], int | None]] = {
    "gain": lambda n, a, b: n + a,
    "lose": lambda n, a, b: n - a if n > a else None,
    "packs": lambda n, a, b: n + a * b,
    "each": lambda n, a, b: n - a * b if n > a * b else None,
    "double": lambda n, a, b: 2 * n,
    "half": lambda n, a, b: n // 2 if n % 2 == 0 else None,
    "third": lambda n, a, b: n - n // 3 if n % 3 == 0 else None,
}
OPPOSITE = {"gain": "lose", "lose": "gain", "packs": "each", "each": "packs", "double": "half", "half": "double"}
KINDS = tuple(PHRASES)


def draw_events(rng: Random, count: int) -> list[Event]:
    events = []
    for _ in range(count):
        kind = rng.choice(KINDS)
        a, b = (rng.randint(2, 5), rng.randint(3, 9)) if kind in ("packs", "each") else (rng.randint(3, 25), 0)
        events.append(Event(kind, a, b, rng.choice(PHRASES[kind]).format(a=a, b=b)))
    return events


def run(start: int, events: Sequence[Event]) -> int | None:
    """What a number becomes; None where a step isn't possible with whole things."""
    value: int | None = start
    for event in events:
        value = EFFECTS[event.kind](value, event.a, event.b)
        if value is None or value > 400:
            return None
    return value


def mistaken(start: int, events: Sequence[Event]) -> list[int]:
    """One event forgotten, or done the wrong way round."""
    found = []
    for place, event in enumerate(events):
        rest = (events[:place], events[place + 1 :])
        found.append(run(start, [*rest[0], *rest[1]]))
        if event.kind in OPPOSITE:
            found.append(run(start, [*rest[0], event._replace(kind=OPPOSITE[event.kind]), *rest[1]]))
    return [value for value in found if value is not None]


def kinds(events: Sequence[Event]) -> str:
    return "-".join(event.kind for event in events)


def tell(rng: Random, name: str, begin: str, events: Sequence[Event], ask: str) -> str:
    """Events in their order, after a beginning: a sentence, or "With 5 things"."""
    told = [event.words for event in events]
    style = rng.randrange(3)
    if style == 0:
        return f"{begin}. First {name} {', then '.join(told)}. {ask}"
    if style == 1:
        return f"{begin}. {name} {', '.join(told[:-1])} and finally {told[-1]}. {ask}"
    return f"{begin}. Then, in this order, {name} {'; '.join(told)}. {ask}"


def stock(rng: Random) -> Draft | None:
    """Start and events are known, the end is asked."""
    (name,), thing, start = people(rng, 1), rng.choice(THINGS), rng.randint(6, 60)
    events = draw_events(rng, rng.choice((2, 3, 3, 3)))
    end = run(start, events)
    if end is None or end == start:
        return None
    begin = rng.choice(
        (f"{name} has {start} {thing}", f"{name} starts with {start} {thing}", f"{name} owns {start} {thing}")
    )
    ask = rng.choice((f"How many {thing} does {name} have now?", f"How many {thing} is that in the end?"))
    return numeric(rng, kinds(events), tell(rng, name, begin, events, ask), end, mistaken(start, events), thing)


def stock_start(rng: Random) -> Draft | None:
    """Events and end are known, the start is asked: the chain is undone from its end."""
    (name,), thing, start = people(rng, 1), rng.choice(THINGS), rng.randint(6, 60)
    events = draw_events(rng, rng.choice((2, 2, 3)))
    end = run(start, events)
    if end is None or end == start:
        return None
    begin = rng.choice((f"{name} has some {thing}", f"{name} owns a number of {thing}"))
    ask = rng.choice(
        (
            f"Now there are {end} {thing}. How many were there at first?",
            f"That makes {end} {thing}. With how many did {name} start?",
        )
    )
    wrong = [end, *mistaken(start, events), *mistaken(end, events)]
    return numeric(rng, kinds(events), tell(rng, name, begin, events, ask), start, wrong, thing)


def stock_gap(rng: Random) -> Draft | None:
    """Start and end are known, and all events but the amount of one."""
    (name,), thing, start = people(rng, 1), rng.choice(THINGS), rng.randint(6, 60)
    events = draw_events(rng, rng.choice((2, 3)))
    places = [place for place, event in enumerate(events) if event.kind in ("gain", "lose")]
    end = run(start, events)
    if not places or end is None:
        return None
    place = rng.choice(places)
    amount, hidden = events[place].a, events[place].words
    told = hidden.replace(f"{amount} more", "some more").replace(str(amount), "some")
    shown = [*events[:place], events[place]._replace(words=told), *events[place + 1 :]]
    begin = rng.choice((f"{name} has {start} {thing}", f"{name} starts with {start} {thing}"))
    verb = "is 'some'" if rng.randrange(2) else "does 'some' stand for"
    ask = f"In the end there are {end} {thing}. " + (
        f"How many {thing} {verb}?" if verb.startswith("is") else f"For how many {thing} {verb[:-4]}?"
    )
    rest = run(start, [*events[:place], *events[place + 1 :]])
    wrong = [abs(end - start), end, start, amount + 2, abs(end - rest) if rest is not None else 0]
    structure = f"{kinds(events)} gap {place}"
    return numeric(rng, structure, tell(rng, name, begin, shown, ask), amount, wrong, thing)


def hand_over(rng: Random) -> Draft | None:
    """Three people hand things to each other; what one holds in the end is asked."""
    names, thing = people(rng, 3), rng.choice(THINGS)
    start = [rng.randint(8, 30) for _ in names]
    held, moves, told = list(start), [], []
    for _ in range(rng.choice((2, 3))):
        giver, taker = rng.sample(range(3), 2)
        kind = rng.choice(("some", "half", "same"))
        amount = {"some": rng.randint(2, 9), "half": held[giver] // 2, "same": held[taker]}[kind]
        if held[giver] <= amount or (kind == "half" and held[giver] % 2):
            return None
        what = {"some": f"{amount} {thing}", "half": f"half of the {thing} {names[giver]} holds"}
        told.append(f"{names[giver]} gives {names[taker]} {what.get(kind, f'as many as {names[taker]} already holds')}")
        held[giver], held[taker] = held[giver] - amount, held[taker] + amount
        moves.append((giver, taker, kind))
    asked = rng.choice(sorted({person for giver, taker, _ in moves for person in (giver, taker)}))
    roles: dict[int, str] = {}
    for person in [asked, *(person for giver, taker, _ in moves for person in (giver, taker))]:
        if person not in roles:
            roles[person] = "abc"[len(roles)]
    structure = " ".join(f"{roles[giver]}>{roles[taker]}:{kind}" for giver, taker, kind in moves)
    has = ", ".join(f"{name} {count}" for name, count in zip(names, start, strict=True))
    begin = rng.choice((f"Three friends share out {thing}: {has}", f"This is how many {thing} each has: {has}"))
    ask = rng.choice((f"How many does {names[asked]} have in the end?", f"What is {names[asked]} left with?"))
    wrong = [start[asked], *(count for count in held), held[asked] + 2, 2 * start[asked] - held[asked]]
    return numeric(rng, structure, f"{begin}. {'. Then '.join(told)}. {ask}", held[asked], wrong, thing)


RELATIONS: dict[str, tuple[str, Callable[[int, int], int | None]]] = {
    # how a sentence relates the first to the second, and the first from the second
    "more": ("{x} has {k} more {t} than {y}", lambda y, k: y + k),
    "fewer": ("{x} has {k} fewer {t} than {y}", lambda y, k: y - k if y > k else None),
    "times": ("{x} has {k} times as many {t} as {y}", lambda y, k: y * k),
    "half": ("{x} has half as many {t} as {y}", lambda y, k: y // 2 if y % 2 == 0 else None),
}
UNDONE = {"more": "fewer", "fewer": "more", "half": "times"}


def relations(rng: Random) -> Draft | None:
    """A chain of comparisons from one known number; a sentence may relate the known to the unknown or the reverse."""
    names, thing, known = people(rng, 3), rng.choice(THINGS), rng.randint(6, 40)
    has, told, structure = [known], [f"{names[0]} has {known} {thing}"], []
    for x, y in ((1, 0), (2, 1)):
        kind = rng.choice(tuple(RELATIONS))
        k = rng.randint(2, 4) if kind == "times" else 2 if kind == "half" else rng.randint(3, 12)
        turned = rng.randrange(2) == 1  # "A has 3 more than B" where B is unknown
        words, _ = RELATIONS[kind]
        if turned and kind == "times":
            value = has[y] // k if has[y] % k == 0 else None
        else:
            value = RELATIONS[UNDONE[kind] if turned else kind][1](has[y], k)
        if value is None or not 1 < value < 300:
            return None
        first, second = (names[y], names[x]) if turned else (names[x], names[y])
        told.append(words.format(x=first, y=second, k=k, t=thing))
        structure.append(kind + ("'" if turned else ""))
        has.append(value)
    ask = rng.choice(("last", "all", "difference"))
    if rng.randrange(2):
        told = [told[1], told[0], told[2]]
    question, answer = {
        "last": (f"How many {thing} does {names[2]} have?", has[2]),
        "all": (f"How many {thing} do the three have together?", sum(has)),
        "difference": (f"By how many do the {thing} of {names[0]} and {names[2]} differ?", abs(has[0] - has[2])),
    }[ask]
    wrong = [has[1], has[0], has[2], sum(has), has[0] + has[2], has[1] + has[2], abs(has[1] - has[2])]
    prompt = f"{'. '.join(told)}. {question}"
    return numeric(rng, f"{' '.join(structure)} {ask}", prompt, answer, wrong, thing)
