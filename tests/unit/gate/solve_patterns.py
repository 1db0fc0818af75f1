"""Solves sequences and units from their text alone, by other means than the generators."""

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

from tests.unit.gate.solve_words import Answer, find, ints, only

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def next_numbers(row: list[int]) -> set[Fraction]:
    """What would follow a row under each of the usual rules that it keeps throughout."""
    a = [Fraction(number) for number in row]
    n = len(a)
    d = [a[k + 1] - a[k] for k in range(n - 1)]
    found: set[Fraction] = set()
    second = [d[k + 1] - d[k] for k in range(n - 2)]
    if len(set(second)) == 1:
        found.add(a[-1] + d[-1] + second[0])
    if all(d) and len({d[k + 1] / d[k] for k in range(n - 2)}) == 1:
        found.add(a[-1] + d[-1] * d[1] / d[0])  # this holds for every a' = p a + q
    parts = [d[0::2], d[1::2]]
    ratios = [a[k + 1] / a[k] if a[k] else None for k in range(n - 1)]
    halves = [ratios[0::2], ratios[1::2]]
    turn = (n - 1) % 2
    if all(len(set(parts[side])) == 1 or len(set(halves[side])) == 1 for side in (0, 1)):
        steady, ratio = parts[turn][0], halves[turn][0]
        found.add(a[-1] + steady if len(set(parts[turn])) == 1 else a[-1] * (ratio or 0))
    if (
        len(set(a[k + 2] - a[k] for k in range(0, n - 2, 2))) == 1
        and len(set(a[k + 2] - a[k] for k in range(1, n - 2, 2))) == 1
    ):
        found.add(a[-2] + a[n % 2 + 2] - a[n % 2])
    for reach, extra in ((2, True), (3, False)):
        rests = {a[k] - sum(a[k - reach : k]) for k in range(reach, n)}
        if len(rests) == 1 and (extra or rests == {0}):
            found.add(sum(a[-reach:]) + rests.pop())
    if all(a[k] == abs(a[k - 1] - a[k - 2]) for k in range(2, n)):
        found.add(abs(a[-1] - a[-2]))
    if all(a[k] == a[k - 1] * (k + 1) for k in range(1, n)):
        found.add(a[-1] * (n + 1))
    return found


def number_sequence(text: str, choices: list[str]) -> Answer:
    shown = re.search(r"(?:shows|read|runs) ([\d, ?]+)\.", text)
    assert shown
    row = shown[1].split(", ")
    options = [int(choice) for choice in choices]
    if "?" in row:
        return only([option for option in options if next_numbers([option if one == "?" else int(one) for one in row])])
    numbers = [int(one) for one in row]
    if "breaks the rule" in text:
        fits = []
        for k in range(len(numbers)):
            for value in range(numbers[k] - 3, numbers[k] + 4):
                if value != numbers[k] and next_numbers([*numbers[:k], value, *numbers[k + 1 :]]):
                    fits.append(numbers[k])
        return only([number for number in fits if number in options])
    follows = {int(value) for value in next_numbers(numbers)}
    if "after the next one" in text:
        follows = {int(value) for first in follows for value in next_numbers([*numbers, first])}
    return only([*follows])


def cycle(text: str) -> Answer:
    row = find(r"always (.*?)\.", text)[1].split(", ") * 60
    question = text.split(". ", 1)[1]
    nth = {"third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10}
    if found := re.search(r"the (\d+)(?:st|nd|rd|th) one", question):
        return row[int(found[1]) - 1]
    if found := re.search(r"first (\d+) are (\w+)\?", question):
        return row[: int(found[1])].count(found[2])
    if found := re.search(r"first (\d+), how many more are (\w+) than (\w+)", question):
        first = row[: int(found[1])]
        return first.count(found[2]) - first.count(found[3])
    if found := re.search(r"There are (\d+) .*last (\w+) one", question):
        return max(k for k in range(1, int(found[1]) + 1) if row[k - 1] == found[2])
    found = re.search(r"the (\w+) (\w+) one", question)
    assert found
    return [k + 1 for k, colour in enumerate(row) if colour == found[2]][nth[found[1]] - 1]


def letters(text: str, choices: list[str]) -> Answer:
    if "add up" in text:
        word = find(r"letters of (\w+)", text)[1]
        return sum(LETTERS.index(letter) + 1 for letter in word)
    if "A becomes Z" in text:
        word = find(r"How is (\w+)", text)[1]
        return word.translate(str.maketrans(LETTERS, LETTERS[::-1]))
    if found := re.search(r"writes (\w+) as (\w+)\.", text):
        table = {}
        by = LETTERS.index(found[2][0]) - LETTERS.index(found[1][0])
        for k, letter in enumerate(LETTERS):
            table[letter] = LETTERS[(k + by) % 26]
        word = find(r"(?:how is|what does) (\w+)", text)[1]
        if "how is" in text:
            return "".join(table[letter] for letter in word)
        return next(choice for choice in choices if "".join(table[letter] for letter in choice) == word)
    if found := re.search(r"named (\w+), (\w+), (\w+)", text):
        spots = [[LETTERS.index(letter) for letter in name] for name in found.groups()]
        return "".join(LETTERS[2 * spots[2][k] - spots[1][k]] for k in (0, 1))
    spots = [LETTERS.index(letter) for letter in re.findall(r"\b[A-Z]\b", text)]
    return only_letter({int(value) for value in next_numbers(spots)})


def only_letter(spots: set[int]) -> Answer:
    return LETTERS[spots.pop()] if len(spots) == 1 else None


def figures(text: str) -> Answer:
    row, question = find(r"take ([\d, and]+)\. (.*)", text).groups()
    counts = ints(row)
    steps = [b - a for a, b in pairwise(counts)]
    even = len({b - a for a, b in pairwise(steps)}) == 1  # steps that grow evenly; otherwise it must double
    while len(counts) < 14:
        follows = 3 * (counts[-1] - counts[-2]) + counts[-3] if even else 2 * counts[-1]
        counts.append(follows)
    numbers = ints(question)
    if "Which figure takes" in question:
        return counts.index(numbers[0]) + 1
    if "together" in question:
        return sum(counts[: numbers[1]])
    return counts[numbers[0] - 1] - (counts[numbers[1] - 1] if "more" in question else 0)


def machine(text: str) -> Answer:
    pairs = [(int(x), int(y)) for x, y in re.findall(r"(\d+) to (\d+)", text)]
    (x0, y0), (x1, y1), (x2, y2) = pairs

    def at(x: int) -> Fraction:  # the parabola (or line) through three points (Lagrange)
        return (
            Fraction(y0 * (x - x1) * (x - x2), (x0 - x1) * (x0 - x2))
            + Fraction(y1 * (x - x0) * (x - x2), (x1 - x0) * (x1 - x2))
            + Fraction(y2 * (x - x0) * (x - x1), (x2 - x0) * (x2 - x1))
        )

    asked = ints(re.findall(r"[^.]+$", text)[0])[0]
    if "Which number becomes" in text:
        return only([x for x in range(1, 40) if at(x) == asked])
    return int(at(asked))


WORTH = {
    "millimetre": 1, "centimetre": 10, "metre": 1000, "kilometre": 10**6, "gram": 1, "kilogram": 1000, "tonne": 10**6,
    "millilitre": 1, "centilitre": 10, "litre": 1000, "second": 1, "minute": 60, "hour": 3600, "day": 86400,
}  # fmt: skip
UNIT = "|".join(sorted(WORTH, key=len, reverse=True))


def quantities(text: str) -> list[int]:
    return [int(number) * WORTH[unit] for number, unit in re.findall(rf"(\d+) ({UNIT})s?\b", text)]


def asked_in(text: str) -> int:
    return WORTH[find(rf"how many ({UNIT})s?\b", text, re.IGNORECASE)[1]]


def pieces(text: str) -> Answer:
    found, numbers = quantities(text), ints(text)
    if "How many parts" in text:
        return found[0] // found[1]
    if "how many days" in text:
        return found[1] // found[0]
    if "evenly" in text:
        return found[0] // numbers[0] // asked_in(text)
    if "portions" in text:
        return numbers[0] * found[0] // asked_in(text)
    if "times" in text:
        return (found[0] - numbers[1] * found[1]) // asked_in(text)
    total = found[0] + found[1] if " and " in text and "needs" not in text else found[0] - found[1]
    return total // asked_in(text)


def flow(text: str) -> Answer:
    rates = re.findall(rf"(\d+) ({UNIT})s every (\w+?)\.", text)
    speeds = [Fraction(int(n) * WORTH[unit], WORTH[tick]) for n, unit, tick in rates]
    question = re.findall(r"[^.]+$", text)[0]
    if "times as fast" in question:
        return int(speeds[0] / speeds[1])
    amount = quantities(question)[-1]
    return int(
        amount / speeds[0] / asked_in(question) if "After" in question else amount * speeds[0] / asked_in(question)
    )


def larger(text: str, choices: list[str]) -> Answer:
    ordered = sorted(choices, key=lambda choice: quantities(choice)[0])
    if "second" in text.split("Which measure")[1]:
        return ordered[-2]
    return ordered[-1 if re.search(r"longest|heaviest|largest", text) else 0]


def map_scale(text: str) -> Answer:
    numbers = ints(text)
    if text.count("1 cm stands for") == 0:
        return numbers[2] * numbers[0] // numbers[1]
    km, rest = numbers[1], numbers[2:]
    if "How many cm" in text:
        return rest[0] // km
    if "km/h" in text:
        return rest[1] * km // rest[0]
    if "area" in text:
        return (rest[0] * km) * (rest[1] * km)
    if "further" in text:
        return rest[0] * km - rest[1] * km
    return sum(rest) * km * (2 if "there and back" in text else 1)


def coined(text: str) -> Answer:
    worth: dict[str, Fraction] = {}
    rules = [(big, int(n), small.rstrip("s")) for big, n, small in re.findall(r"1 (\w+) is (\d+) (\w+)", text)]
    lowest = next(small for _, _, small in rules if small not in [big for big, *_ in rules])
    worth[lowest] = Fraction(1)
    for _ in rules:
        for big, n, small in rules:
            if small in worth:
                worth[big] = n * worth[small]
    question = re.split(r"\. ", text, maxsplit=1)[1]
    found = [int(n) * worth[name] for n, name in re.findall(r"(\d+) (\w+?)s\b", question) if name in worth]
    if half := re.search(r"(\d+) and a half (\w+)s", question):
        found = [(int(half[1]) + Fraction(1, 2)) * worth[half[2]]]
    if "costs" in question:
        small, big = find(r"A (\w+) of tea.* a (\w+) of it", question).groups()
        return int(ints(question)[0] * worth[big] / worth[small])
    if "How many pieces" in question:
        return int(found[0] / found[1])
    if "as many" in question:
        top = next(big for big in worth if big not in [small for _, _, small in rules])
        name = find(r"How many (\w+?)s are left", question)[1]
        return int(found[0] % worth[top] / worth[name])
    name = find(r"how many (\w+?)s\b", question, re.IGNORECASE)[1]
    return int((found[0] - found[1] if "exceed" in question else sum(found)) / worth[name])


def recipe(text: str) -> Answer:
    first, question = re.split(r"(?<=[a-z])\. ", text, maxsplit=1)
    people, grams, *eggs = ints(first)
    asked = ints(question)
    if "How many eggs" in question:
        return int(Fraction(asked[0] * eggs[0], grams))
    if "how many people" in question.lower():
        stock = [Fraction(asked[0] * (1000 if " kg " in question else 1), grams)]
        stock += [Fraction(count, eggs[0]) for count in asked[1:2]]
        return int(min(stock) * people)
    if "lacking" in question:
        return int(Fraction(asked[1] * grams, people)) - asked[0]
    return int(Fraction(asked[0] * grams, people))


SOLVERS: dict[str, Callable[[str], Answer]] = {
    "cycle": cycle, "figures": figures, "machine": machine, "pieces": pieces, "flow": flow, "map-scale": map_scale,
    "coined": coined, "recipe": recipe,
}  # fmt: skip
CHOOSERS: dict[str, Callable[[str, list[str]], Answer]] = {
    "number-sequence": number_sequence, "letters": letters, "larger": larger,
}  # fmt: skip
