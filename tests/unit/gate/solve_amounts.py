"""Solves problems of rates, money and chance from their text alone, by other means than the generators."""

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import product

from tests.unit.gate.solve_words import Answer, find, ints, only


def journey(text: str) -> Answer:
    way, hours, speed = Fraction(0), Fraction(0), Fraction(0)
    for t, v, d, u, e, s in re.findall(
        r"(\d+) hours at (\d+) km/h|(\d+) km at (\d+) km/h|(\d+) km in (\d+) hours", text
    ):
        time = Fraction(t) if t else Fraction(d) / int(u) if d else Fraction(s)
        length = Fraction(t) * int(v) if t else Fraction(d or e)
        way, hours, speed = way + length, hours + time, length / time
    if rest := re.search(r"rest of (\d+)", text):
        hours += int(rest[1])
    if left := re.search(r"Of (\d+) km to", text):
        return int(int(left[1]) - way)
    if "last stretch" in text:
        return int(speed)
    return int(hours if "hours does it all" in text else way / hours if "average speed" in text else way)


def meeting(text: str) -> Answer:
    x = re.search(r"([A-Z]\w+) (?:and|follows|go until|gone)|ahead of (\w+)", text)
    speeds, gap, head = (
        re.findall(r"(\d+)(?: km/h| and (\d+) km/h)", text),
        re.search(r"(\d+) km (?:apart and|ahead)", text),
        0,
    )
    pair = [int(speed) for found in speeds for speed in found if speed]
    follow = re.search(r"at (\d+) km/h\. (\d+) hours? later \w+ follows at (\d+)", text)
    start = int(gap[1]) if gap else 0
    if follow:
        slow, head, fast = (int(group) for group in follow.groups())
        pair, start = [fast, slow], slow * head
    together = "opposite" in text or "towards" in text
    if hours := re.search(r"after (\d+) hours they (?:are (\d+) km apart|meet)", text):
        return int(Fraction(int(hours[2] or start), int(hours[1])) - pair[0])
    closing = sum(pair) if together else pair[0] - pair[1]
    if "opposite" in text:
        target = re.search(r"(?:are they|they are) (\d+) km apart", text)
        if "How far apart" in text:
            return closing * ints(text)[-1]
        time = Fraction(int(target[1]), closing) if target else Fraction(0)
    elif part := re.search(r"has gone for (\d+) hour", text):
        return start - closing * int(part[1])
    else:
        time = Fraction(start, closing)
    assert x
    return int(time * pair[0] if "How many km has" in text else time)


def work(text: str) -> Answer:
    known, question = text.split(". ")
    numbers, asked = ints(known), ints(question)
    if known.startswith("Each"):
        numbers = [1, *numbers]
    rate = Fraction(numbers[1], numbers[0] * numbers[2])
    if "How many hours" in question:
        return only([h for h in range(1, 99) if rate * asked[0] * h == asked[1]])
    if re.match(r"How many such", question):
        return only([m for m in range(1, 99) if rate * m * asked[1] == asked[0]])
    return int(rate * asked[0] * asked[1])


def tank(text: str) -> Answer:
    fills = [int(litres) for litres in re.findall(r"brings (\d+) litres", text)]
    drains = [
        (int(later or 0), int(litres))
        for later, litres in re.findall(r"drain (?:opened (\d+) minutes later )?takes (\d+)", text)
    ]
    begin = re.search(r"holds (\d+) litres", text)

    def level(start: int, minutes: int) -> int:
        for minute in range(minutes):
            start += sum(fills) - sum(litres for later, litres in drains if minute >= later)
        return start

    if after := re.search(r"After (\d+) minutes there are (\d+)", text):
        return only([start for start in range(400) if level(start, int(after[1])) == int(after[2])])
    start = int(begin[1]) if begin else 0
    if reach := re.search(r"take to reach (\d+)", text):
        return only([minutes for minutes in range(99) if level(start, minutes) == int(reach[1])])
    return level(start, ints(text)[-1])


def purchase(text: str) -> Answer:
    total = 0
    order, _, rest = text.partition(".")
    for line in order.split("; "):
        numbers = ints(line)
        if "each" in line:
            total += sum(numbers[1] for k in range(numbers[0]) if "third" not in line or k % 3 < 2)
        else:
            total += numbers[0]
    if found := re.search(r"takes (\d+) dollars off|adds (\d+)", rest):
        total += -int(found[1]) if found[1] else int(found[2])
    total = total // 2 if "half price" in rest else total
    if found := re.search(r"pays with (\d+)|(\d+) people|has (\d+) dollars", rest):
        note, friends, owned = (int(group or 0) for group in found.groups())
        return note - total if note else total // friends if friends else total - owned
    return total


def price_changes(text: str) -> Answer:
    steps = re.findall(
        r"rises by (\d+) percent|falls by (\d+) percent|cut by (\d+) dollars|raised by (\d+) dollars|(halved)", text
    )

    def after(price: Fraction) -> Fraction:
        for up, down, off, on, half in steps:
            price += price * Fraction(int(up or 0) - int(down or 0), 100) - int(off or 0) + int(on or 0)
            price = price / 2 if half else price
        return price

    if now := re.search(r"now (\d+) dollars", text):
        return only([price for price in range(5, 3000) if after(Fraction(price)) == int(now[1])])
    return int(after(Fraction(find(r"is (\d+) dollars", text)[1])))


def points(text: str) -> Answer:
    names = re.search(r"A (\w+) token scores (\d+), a (\w+) one (\d+), and a (\w+) one (scores|loses) (\d+)", text)
    assert names
    a, win, b, mid, c, sign, lose = names.groups()
    drawn = text.split(". ")[1]
    total = re.search(r"draws (\d+) tokens", drawn)
    first = int(find(rf"(\d+) {a}", drawn)[1])
    second = re.search(rf"(\d+) (more |fewer )?{b}", drawn)
    n_b = 2 * first
    if second:
        n_b = {None: int(second[1]), "more ": first + int(second[1]), "fewer ": first - int(second[1])}[second[2]]
    third = re.search(rf"(\d+) {c}", drawn)
    n_c = int(third[1]) if third else int(total[1]) - first - n_b if total else first
    score = first * int(win) + n_b * int(mid) + (1 if sign == "scores" else -1) * n_c * int(lose)
    target = re.search(r"to reach (\d+)", text)
    return int(target[1]) - score if target else score


def drawing(text: str) -> Answer:
    counts = {colour: int(count) for count, colour in re.findall(r"(\d+) (red|blue|green|white|black|yellow)", text)}
    words = {"two": 2, "three": 3, "four": 4}
    goal = re.search(r"(?:sure|certain) of (.*)\?", text)
    assert goal
    aim, names = goal[1], list(counts)

    def reached(drawn: tuple[int, ...]) -> bool:
        has = dict(zip(names, drawn, strict=True))
        if found := re.fullmatch(r"(\w+) of one colour", aim):
            return max(drawn) >= words[found[1]]
        if found := re.fullmatch(r"at least (\w+) (\w+) ones?", aim):
            return has[found[2]] >= words.get(found[1], 1)
        if found := re.fullmatch(r"both a (\w+) and a (\w+) one", aim):
            return has[found[1]] > 0 and has[found[2]] > 0
        if found := re.fullmatch(r"at least one that isn't (\w+)", aim):
            return sum(drawn) > has[found[1]]
        return sum(count > 0 for count in drawn) >= (len(names) if "every colour" in aim else 2)

    return 1 + max(
        sum(drawn) for drawn in product(*(range(count + 1) for count in counts.values())) if not reached(drawn)
    )


SOLVERS: dict[str, Callable[[str], Answer]] = {
    "journey": journey, "meeting": meeting, "work": work, "tank": tank, "purchase": purchase,
    "price-changes": price_changes, "points": points, "drawing": drawing,
}  # fmt: skip
