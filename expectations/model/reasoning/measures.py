"""Made-up units in chains, and recipes for other numbers of people.

The structure is the way through the chain, or what is scaled by what.
"""

from random import Random

from expectations.model.reasoning.surface import PLACES, Draft, numeric, people

COINED = ("zibs", "taps", "nolls", "freks", "mirds", "gombs", "lurs", "pents", "sarks", "vims", "dops", "kells")


def coined(rng: Random) -> Draft | None:
    """Made-up units in a chain: down, up, mixed amounts, prices."""
    top, mid, low = rng.sample(COINED, 3)
    f, g, place = rng.randint(2, 6), rng.randint(2, 6), rng.choice(PLACES)
    n, m, r = rng.randint(2, 6), rng.randint(2, 5), rng.randint(1, 4)
    rules = [f"1 {top[:-1]} is {f} {mid}", f"1 {mid[:-1]} is {g} {low}"]
    if rng.randrange(2):
        rules = rules[::-1]
    start = f"In {place}, {' and '.join(rules)}."
    ask = rng.choice(("down", "up", "mixed", "rest", "middle", "price", "difference", "halfway", "pieces"))
    match ask:
        case "down":
            prompt, answer, unit = f"{start} How many {low} are {n} {top}?", n * f * g, low
            wrong = [n * f, n * g, n + f + g, n * f + g, n * (f + g)]
        case "up":
            prompt, answer, unit = f"{start} How many {top} are {n * f * g} {low}?", n, top
            wrong = [n * f, n * g, n * f * g, n + 1, n * f * g // (f + g)]
        case "mixed":
            prompt, answer, unit = f"{start} How many {low} are {n} {top} and {m} {mid}?", n * f * g + m * g, low
            wrong = [n * f * g + m, (n + m) * g, n * f + m * g, (n + m) * f * g]
        case "rest":
            whole, left = divmod(n * f * g + r * g, f * g)
            prompt, answer, unit = (
                f"{start} Of {n * f * g + r * g} {low}, as many {top} as possible are made. How many {mid} are left?",
                left // g,
                mid,
            )
            wrong = [left, whole, r * g, r + 1, r * f]
        case "middle":
            prompt, answer, unit = f"{start} How many {mid} are {n} {top} and {m * g} {low}?", n * f + m, mid
            wrong = [n * f + m * g, n * f * g + m, n + m, n * g + m]
        case "price":
            prompt, answer, unit = (
                f"{start} A {low[:-1]} of tea costs {r + 1} dollars. What does a {top[:-1]} of it cost?",
                (r + 1) * f * g,
                "dollars",
            )
            wrong = [(r + 1) * f, (r + 1) * g, f * g, (r + 1) * (f + g)]
        case "difference":
            prompt, answer, unit = f"{start} By how many {low} do {n} {top} exceed {m} {mid}?", n * f * g - m * g, low
            wrong = [n * f - m, n * f * g - m, (n - m) * f * g, n * f * g + m * g]
        case "halfway":
            if f % 2:
                return None
            prompt, answer, unit = f"{start} How many {low} are {n} and a half {top}?", n * f * g + f // 2 * g, low
            wrong = [n * f * g, n * f * g + g, n * f + f // 2, (n + 1) * f * g]
        case _:
            prompt, answer, unit = (
                f"{start} A rod of {n} {top} is cut into pieces of {g} {low} each. How many pieces?",
                n * f,
                "pieces",
            )
            wrong = [n * f * g, n * g, n, n * f + g]
    return numeric(rng, ask, prompt, answer, wrong, unit)


def recipe(rng: Random) -> Draft | None:
    """A recipe for other numbers of people: one amount, two, what is lacking, how many it is enough for."""
    (name,), n, other = people(rng, 1), rng.choice((2, 3, 4, 5, 6)), rng.randint(2, 15)
    each, eggs = 10 * rng.randint(2, 15), rng.randint(1, 3)
    food, dish = (
        rng.choice(("flour", "rice", "beans", "oats", "lentils")),
        rng.choice(("soup", "pie", "stew", "bake", "salad")),
    )
    ask = rng.choice(("more", "people", "kilograms", "limit", "lacking", "two"))
    if other == n:
        return None
    start = f"{name}'s {dish} for {n} people takes {n * each} grams of {food}"
    direction = "up" if other > n else "down"
    match ask:
        case "more":
            prompt, answer, unit = f"{start}. How many grams for {other} people?", other * each, "grams"
            wrong = [n * each + (other - n), other * n * each, n * each + other, each * abs(other - n)]
        case "people":
            prompt, answer, unit = f"{start}. For how many people are {other * each} grams enough?", other, "people"
            wrong = [other + n, other * n, other - 1, other + 1]
        case "kilograms":
            kilograms = rng.randint(1, 3)
            if kilograms * 1000 % each:
                return None
            prompt = f"{start}. For how many people is a stock of {kilograms} kg enough?"
            answer, unit, direction = kilograms * 1000 // each, "people", ""
            wrong = [answer * n, kilograms * n, answer // 10, answer * 10, answer + n]
        case "limit":
            has = f"With {other * each} grams and {(n + 1) * eggs} eggs"
            prompt = f"{start} and {n * eggs} eggs. {has}, for how many people is there enough?"
            answer, unit, direction = min(other, n + 1), "people", "by eggs" if n + 1 < other else "by food"
            wrong = [max(other, n + 1), other + n, answer + 1, answer - 1]
        case "lacking":
            have = 10 * rng.randint(1, other * each // 10 - 1)
            prompt, answer, unit = (
                f"{start}. There are {have} grams. How many are lacking for {other} people?",
                other * each - have,
                "grams",
            )
            wrong = [abs(n * each - have), other * each, other * each + have, answer + each, answer - each]
        case _:
            prompt = f"{start} and {n * eggs} eggs. How many eggs go with {other * each} grams?"
            answer, unit = other * eggs, "eggs"
            wrong = [n * eggs, other, other * eggs + 1, (other + n) * eggs, other * eggs - 1]
    return numeric(rng, f"{ask} {direction}".strip(), prompt, answer, wrong, unit)
