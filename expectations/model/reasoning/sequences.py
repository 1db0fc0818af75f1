"""Sequences of numbers, of repeating things, of letters.

The structure is the rule and the question (next, second next, missing, wrong, position).
"""

from collections.abc import Callable
from random import Random

from expectations.model.reasoning.surface import COUNTS, ORDINALS, PLACES, Draft, named, numeric, people, picked

RULES: dict[str, Callable[[list[int], int, int, int], int]] = {
    # the next number from those so far and three parameters; k counts from 1 for the second number
    "add": lambda s, a, b, k: s[-1] + a,
    "take": lambda s, a, b, k: s[-1] - a,
    "double": lambda s, a, b, k: s[-1] * 2,
    "triple": lambda s, a, b, k: s[-1] * 3,
    "halve": lambda s, a, b, k: s[-1] // 2 if s[-1] % 2 == 0 else -1,
    "double add": lambda s, a, b, k: s[-1] * 2 + b,
    "double take": lambda s, a, b, k: s[-1] * 2 - b,
    "triple take": lambda s, a, b, k: s[-1] * 3 - b,
    "growing steps": lambda s, a, b, k: s[-1] + b + k,
    "steps grow faster": lambda s, a, b, k: s[-1] + b + a * k,
    "doubling steps": lambda s, a, b, k: s[-1] + b * 2 ** (k - 1),
    "shrinking steps": lambda s, a, b, k: s[-1] + 20 - 2 * k,
    "add take": lambda s, a, b, k: s[-1] + a + b if k % 2 else s[-1] - b,
    "add add": lambda s, a, b, k: s[-1] + a if k % 2 else s[-1] + b,
    "double then add": lambda s, a, b, k: s[-1] * 2 if k % 2 else s[-1] + a,
    "double then take": lambda s, a, b, k: s[-1] * 2 if k % 2 else s[-1] - b,
    "two woven up": lambda s, a, b, k: s[-2] + a if k > 1 else s[-1] + b + 9,
    "two woven apart": lambda s, a, b, k: (s[-2] + a if k % 2 == 0 else s[-2] - b) if k > 1 else s[-1] + 30,
    "sum of two": lambda s, a, b, k: s[-1] + s[-2] if k > 1 else s[-1] + a,
    "sum of two and one": lambda s, a, b, k: s[-1] + s[-2] + b if k > 1 else s[-1] + a,
    "sum of three": lambda s, a, b, k: s[-1] + s[-2] + s[-3] if k > 2 else s[-1] + a * k,
    "difference of two": lambda s, a, b, k: abs(s[-1] - s[-2]) if k > 1 else s[-1] + a + 20,
    "times position": lambda s, a, b, k: s[-1] * (k + 1),
}  # fmt: skip


def grow(rule: str, first: int, a: int, b: int, length: int) -> list[int]:
    numbers = [first]
    for k in range(1, length):
        numbers.append(RULES[rule](numbers, a, b, k))
    return numbers


def number_sequence(rng: Random) -> Draft | None:
    """A row of numbers under a rule: the next, the second next, one missing, one wrong."""
    rule, first, a, b = rng.choice(tuple(RULES)), rng.randint(2, 20), rng.randint(2, 9), rng.randint(1, 5)
    if rule in ("take", "halve", "two woven apart"):
        first = rng.randint(8, 20) * (8 if rule == "halve" else 5)
    numbers = grow(rule, first, a, b, 8)
    if min(numbers) < 0 or numbers[6] > 900 or len(set(numbers[:7])) < 6 or a == b:
        return None
    place, (name,) = rng.choice(PLACES), people(rng, 1)
    begin = rng.choice((f"{name}'s panel in {place} shows", f"{name}'s code from {place} runs"))
    ask = rng.choice(("next", "next", "second", "gap", "wrong"))
    step = numbers[5] - numbers[4]
    shown = [str(number) for number in numbers[:6]]
    if ask in ("next", "second"):
        answer = numbers[6] if ask == "next" else numbers[7]
        words = "comes next" if ask == "next" else "comes after the next one"
        wrong = [numbers[5] + step, answer + 1, answer - 1, numbers[5] * 2, answer + a, answer - a, numbers[6]]
        return numeric(rng, f"{rule} {ask}", f"{begin} {', '.join(shown)}. Which number {words}?", answer, wrong)
    hole = rng.randint(2, 4)
    if ask == "gap":
        shown[hole] = "?"
        answer = numbers[hole]
        wrong = [
            (numbers[hole - 1] + numbers[hole + 1]) // 2,
            2 * numbers[hole - 1] - numbers[hole - 2],
            answer + 1,
            answer - 1,
            answer + a,
        ]
        return numeric(
            rng, f"{rule} gap", f"{begin} {', '.join(shown)}. Which number belongs in the gap?", answer, wrong
        )
    slip = rng.choice((-3, -2, -1, 1, 2, 3))
    spoilt = [
        *numbers[:hole],
        numbers[hole] + slip,
        *numbers[hole + 1 :],
    ]  # eight: with fewer, others could be to blame
    if (
        len(set(spoilt)) < 8
        or numbers[-1] > 999
        or rule in ("two woven up", "two woven apart", "difference of two", "sum of three")
    ):
        return None
    prompt = f"{begin} {', '.join(map(str, spoilt))}. One number breaks the rule. Which one?"
    return picked(rng, f"{rule} wrong", prompt, spoilt[hole], spoilt[1:6])


COLOURS = ("red", "blue", "green", "white", "black", "yellow", "pink", "brown")
BEADS = ("beads", "flags", "lamps", "tiles", "chairs", "stripes", "pegs", "lanterns")


def cycle(rng: Random) -> Draft | None:
    """Colours that repeat: which one at a place, how many of one so far, where one comes the n-th time."""
    shape = rng.choice(
        (
            "ab",
            "abc",
            "aab",
            "abb",
            "abcd",
            "aabc",
            "abac",
            "aabb",
            "abbc",
            "abcc",
            "aaab",
            "abcb",
            "aabbc",
            "abcab",
            "abaac",
        )
    )
    colours, thing, place = rng.sample(COLOURS, 4), rng.choice(BEADS), rng.choice(PLACES)
    row = [colours["abcd".index(letter)] for letter in shape]
    size, count = len(row), rng.randint(11, 60)
    start = f"{thing.capitalize()} in {place} come in groups of {COUNTS[size]}, always {', '.join(row)}."
    ask = rng.choice(("at", "count", "where", "last", "between"))
    colour = rng.choice(sorted(set(row)))
    found = [row[k % size] for k in range(count)]
    if ask == "at":
        others = [*dict.fromkeys(row), *[one for one in colours if one not in row]]
        suffix = {1: "st", 2: "nd", 3: "rd"}.get(count % 10 if count not in (11, 12, 13) else 0, "th")
        return named(rng, f"{shape} at", f"{start} Which colour has the {count}{suffix} one?", found[-1], others)
    amount = found.count(colour)
    share = row.count(colour)
    role = shape[row.index(colour)]
    if ask == "count":
        wrong = [count // size * share, -(-count // size) * share, count // size, amount + 1, amount - 1]
        return numeric(
            rng, f"{shape} count {role}", f"{start} How many of the first {count} are {colour}?", amount, wrong
        )
    nth = rng.randint(3, 10)
    places = [k + 1 for k in range(80) if row[k % size] == colour]
    if ask == "where":
        wrong = [nth * size, (nth - 1) * size + 1, places[nth - 1] + 1, places[nth - 1] - 1, places[nth], nth * share]
        prompt = f"{start} At which place is the {ORDINALS[nth - 1]} {colour} one?"
        return numeric(rng, f"{shape} where {role}", prompt, places[nth - 1], wrong)
    if ask == "last":
        last = max(place_of for place_of in places if place_of <= count)
        wrong = [last + size, last - size, count, last + 1, last - 1]
        prompt = f"{start} There are {count} in all. At which place is the last {colour} one?"
        return numeric(rng, f"{shape} last {role}", prompt, last, wrong)
    other = rng.choice([one for one in dict.fromkeys(row) if one != colour])
    gap = amount - found.count(other)
    prompt = f"{start} Of the first {count}, how many more are {colour} than {other}?"
    wrong = [amount, found.count(other), gap + 1, abs(share - row.count(other)), gap + 2]
    return numeric(rng, f"{shape} more {role}{shape[row.index(other)]}", prompt, gap, wrong)


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SECRETS = (
    "LAMP", "BIRD", "TREE", "COIN", "SHIP", "GOLD", "MOON", "RAIN", "FISH", "DESK", "HAND", "WOLF", "SALT", "KITE",
    "RING", "FROG", "NEST", "BELL", "SAND", "LEAF", "DRUM", "CAVE", "ROSE", "BOAT", "CORN", "DUST", "FERN", "GATE",
    "HILL", "IRON", "JADE", "LAKE", "MINT", "OATS", "PEAR", "ROPE", "SEED", "TENT", "VASE", "WIND", "YARN", "CLAY",
)  # fmt: skip


def letters(rng: Random) -> Draft | None:
    """Letters that step through the alphabet, or a word shifted along it."""
    kind = rng.choice(("steady", "back", "alternate", "growing", "pairs", "cipher", "decipher", "mirror", "positions"))
    (name,), place, k, m = people(rng, 1), rng.choice(PLACES), rng.randint(2, 4), rng.randint(1, 3)
    start = rng.randrange(26)
    steps = {
        "steady": [k] * 5,
        "back": [-k] * 5,
        "alternate": [k + 2, -m, k + 2, -m, k + 2],
        "growing": [m + step for step in range(5)],
    }

    def shifted(word: str, by: int) -> str:
        return "".join(ALPHABET[(ALPHABET.index(letter) + by) % 26] for letter in word)

    if kind in steps:
        spots = [start]
        for step in steps[kind]:
            spots.append(spots[-1] + step)
        if min(spots) < 1 or max(spots) > 24:
            return None
        row = [ALPHABET[spot] for spot in spots]
        prompt = rng.choice(
            (
                f"{name}'s gates in {place} are lettered {', '.join(row[:5])}.",
                f"In {place} {name} writes the letters {', '.join(row[:5])}.",
            )
        )
        near = [ALPHABET[spots[-1] + slip] for slip in (1, -1)] + [
            ALPHABET[(spots[-1] + slip) % 26] for slip in (2, -2)
        ]
        return named(rng, kind, f"{prompt} Which letter comes next by the same rule?", row[5], near)
    if kind == "pairs":
        first, second = rng.randrange(4), rng.randrange(12, 18)
        pairs = [ALPHABET[first + k * step] + ALPHABET[second - m * step] for step in range(4)]
        wrong = [
            pairs[3][0] + shifted(pairs[3][1], 1),
            shifted(pairs[3][0], 1) + pairs[3][1],
            shifted(pairs[3], 1),
            shifted(pairs[3], -1),
        ]
        return named(
            rng,
            kind,
            f"{name}'s rooms in {place} are named {', '.join(pairs[:3])}. Which name follows?",
            pairs[3],
            wrong,
        )
    word, hint = rng.sample(SECRETS, 2)
    by = rng.choice((1, 2, 3, -1, -2))
    if kind == "positions":
        value = sum(ALPHABET.index(letter) + 1 for letter in word[:3])
        other = sum(ALPHABET.index(letter) + 1 for letter in word)
        known = f"In {name}'s code from {place} A is 1, B is 2, and so on to Z."
        prompt = f"{known} What do the letters of {word[:3]} add up to?"
        return numeric(rng, kind, prompt, value, [value + 3, value - 3, value + 1, other])
    if kind == "mirror":

        def turn(text: str) -> str:
            return "".join(ALPHABET[25 - ALPHABET.index(letter)] for letter in text)

        prompt = (
            f"In {name}'s code from {place} A becomes Z, B becomes Y, C becomes X, and so on. How is {word} written?"
        )
        wrong = [turn(word)[::-1], shifted(turn(word), 1), shifted(turn(word), -1), word[::-1]]
        return named(rng, kind, prompt, turn(word), wrong)
    told = f"In {place} {name} writes {hint} as {shifted(hint, by)}."
    way = "on" if by > 0 else "back"
    if kind == "cipher":
        wrong = [shifted(word, slip) for slip in (by + 1, by - 1, -by, by + 2)]
        return named(
            rng, f"{kind} {way}", f"{told} By the same shift, how is {word} written?", shifted(word, by), wrong
        )
    wrong = [shifted(word, slip) for slip in (1, -1, 2 * by, 3 * by)]
    return named(
        rng, f"{kind} {way}", f"{told} By the same shift, what does {shifted(word, by)} stand for?", word, wrong
    )
