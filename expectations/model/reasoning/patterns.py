"""Rules read from examples: figures that grow, and pairs of numbers.

The structure is the kind of rule and the question.
"""

from collections.abc import Callable
from random import Random

from expectations.model.reasoning.surface import PLACES, Draft, numeric, people

FIGURES: dict[str, Callable[[int, int, int], int]] = {
    "linear": lambda n, a, b: a * n + b,
    "square": lambda n, a, b: n * n + b,
    "triangle": lambda n, a, b: n * (n + 1) // 2 + b,
    "oblong": lambda n, a, b: n * (n + 1) + b,
    "doubling": lambda n, a, b: (a + 1) * 2 ** (n - 1),
    "double square": lambda n, a, b: 2 * n * n + b,
}


def figures(rng: Random) -> Draft | None:
    """Figures that grow by a rule: how much the n-th takes, which figure takes so much, or all up to one."""
    rule, a, b, n = rng.choice(tuple(FIGURES)), rng.randint(2, 6), rng.randint(0, 5), rng.randint(6, 12)
    if rule == "doubling":
        n = rng.randint(5, 7)
    first = [FIGURES[rule](k, a, b) for k in range(1, 5)]
    value, place, (name,) = FIGURES[rule](n, a, b), rng.choice(PLACES), people(rng, 1)
    thing = rng.choice(("matches", "pebbles", "sticks", "bricks", "tiles", "dots", "cubes"))
    counts = f"{', '.join(map(str, first[:-1]))} and {first[-1]}"
    start = f"In {place}, {name}'s figures of {thing} grow by a rule. Figures 1 to 4 take {counts}."
    ask = rng.choice(("nth", "which", "sum", "step"))
    step = first[-1] - first[-2]
    if ask == "nth":
        wrong = [first[-1] + step * (n - 4), first[0] * n, value + step, value - step, value + 1]
        return numeric(rng, f"{rule} nth", f"{start} How many {thing} does figure {n} take?", value, wrong)
    if ask == "which":
        wrong = [n + 1, n - 1, value // first[0], n + 2]
        return numeric(rng, f"{rule} which", f"{start} Which figure takes {value} {thing}?", n, wrong)
    if ask == "sum":
        last = rng.choice((5, 6))
        total = sum(FIGURES[rule](k, a, b) for k in range(1, last + 1))
        wrong = [sum(first), total - first[0], FIGURES[rule](last, a, b), total + step]
        return numeric(
            rng, f"{rule} sum", f"{start} How many {thing} do figures 1 to {last} take together?", total, wrong
        )
    more = value - FIGURES[rule](n - 1, a, b)
    prompt = f"{start} How many more {thing} does figure {n} take than figure {n - 1}?"
    return numeric(rng, f"{rule} step", prompt, more, [step, more + 1, more - 1, more + 2, first[0]])


# several of these are straight lines, found in the same way: one kind of rule
LINES = ("times plus", "times minus", "plus times", "minus times")
MAPS: dict[str, Callable[[int, int, int], int]] = {
    "times": lambda n, a, b: a * n,
    "plus": lambda n, a, b: n + a + b,
    "times plus": lambda n, a, b: a * n + b,
    "times minus": lambda n, a, b: a * n - b,
    "plus times": lambda n, a, b: (n + b) * a,
    "minus times": lambda n, a, b: (n - 1) * a,
    "square plus": lambda n, a, b: n * n + b,
    "square minus": lambda n, a, b: n * n - b,
    "square and itself": lambda n, a, b: n * n + n,
    "from hundred": lambda n, a, b: 100 - a * n,
}


def machine(rng: Random) -> Draft | None:
    """A rule shown by three pairs: what a fourth number becomes, or which number becomes it."""
    rule, a, b, (name,) = rng.choice(tuple(MAPS)), rng.randint(2, 5), rng.randint(1, 6), people(rng, 1)
    w, x, y, z = sorted(rng.sample(range(3, 13), 4))
    work = MAPS[rule]
    pairs = [(n, work(n, a, b)) for n in (w, x, y)]
    if min(value for _, value in pairs) < 1 or work(z, a, b) < 2:
        return None
    shown = ", ".join(f"{n} to {value}" for n, value in pairs)
    kind = "line" if rule in LINES else rule
    start = rng.choice((f"{name}'s machine turns {shown}.", f"By a secret rule {name} turns {shown}."))
    value = work(z, a, b)
    if rng.randrange(3):
        wrong = [pairs[-1][1] + z - y, value + 1, value - 1, value + a, z + pairs[0][1] - w, 2 * z]
        return numeric(rng, f"{kind} forwards", f"{start} What does {z} become?", value, wrong)
    prompt = f"{start} Which number becomes {value}?"
    return numeric(rng, f"{kind} backwards", prompt, z, [z + 1, z - 1, y + 2, value // a])
