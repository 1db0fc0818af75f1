"""Solves word problems of the reasoning suite from their text alone, by other means than the generators."""

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import product

Answer = int | str | None


def ints(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def find(pattern: str, text: str, flags: int = 0) -> re.Match[str]:
    found = re.search(pattern, text, flags)
    assert found, f"{pattern!r} isn't in {text!r}"
    return found


EVENT = re.compile(
    r"buys (?P<packs>\d+) packs of (\d+)|adds (?P<boxes>\d+) boxes of (\d+)|gives (?P<to>\d+) to each of (\d+)"
    r"|sells (?P<on>\d+) on each of (\d+)|(?:buys|finds|is given) (?P<more>\d+|some) more"
    r"|gives (?P<away>\d+|some) away|(?:loses|sells) (?P<less>\d+|some)\b"
    r"|(?P<double>doubles the number|gets as many again)|(?P<half>half of them)|(?P<third>a third of them)"
)


def tell(text: str, value: Fraction, some: int = 0) -> Fraction | None:
    """Go through a story; None where things would be cut or run out."""
    for event in EVENT.finditer(text):
        groups = event.groupdict()
        amounts = [
            Fraction(part if part != "some" else some) for part in event.groups() if part and re.match(r"\d|some", part)
        ]
        if groups["packs"] or groups["boxes"]:
            value += amounts[0] * amounts[1]
        elif groups["to"] or groups["on"]:
            value -= amounts[0] * amounts[1]
        elif groups["more"]:
            value += amounts[0]
        elif groups["away"] or groups["less"]:
            value -= amounts[0]
        else:
            value *= 2 if groups["double"] else Fraction(1, 2) if groups["half"] else Fraction(2, 3)
        if value < 0 or value.denominator != 1:
            return None
    return value


def only(values: list[int]) -> int | None:
    """The one value that fits."""
    return values[0] if len(set(values)) == 1 else None


def stock(text: str) -> Answer:
    return int(tell(text, Fraction(ints(text)[0])) or -1)


def stock_start(text: str) -> Answer:
    story, end = re.split(r"Now there are|That makes", text)
    return only([start for start in range(500) if tell(story, Fraction(start)) == ints(end)[0]])


def stock_gap(text: str) -> Answer:
    story, end = text.split("In the end there are")
    start, target = Fraction(ints(story)[0]), ints(end)[0]
    return only([some for some in range(1, 200) if tell(story, start, some) == target])


def hand_over(text: str) -> Answer:
    begin, rest = re.split(r"(?<=\d)\. ", text, maxsplit=1)
    held = {name: int(count) for name, count in re.findall(r"([A-Z]\w+) (\d+)", begin)}
    for giver, taker, what in re.findall(r"(\w+) gives (\w+) (\d+|half|as many)", rest):
        amount = held[giver] // 2 if what == "half" else held[taker] if what == "as many" else int(what)
        held[giver], held[taker] = held[giver] - amount, held[taker] + amount
    name = re.search(r"(?:does|is) (\w+) (?:have in|left with)", rest)
    return held[name[1]] if name else None


def relations(text: str) -> Answer:
    *facts, question = re.split(r"\. ", text)
    known: dict[str, Fraction] = {}
    for _ in range(4):
        for fact in facts:
            if found := re.fullmatch(r"(\w+) has (\d+) [a-z]+", fact):
                known[found[1]] = Fraction(found[2])
            elif found := re.fullmatch(r"(\w+) has (?:(\d+) (more|fewer|times)|(half)) .*(?:than|as) (\w+)", fact):
                x, y = found[1], found[5]
                k, kind = Fraction(found[2] or 0), found[3] or found[4]
                factor, add = {"more": (1, k), "fewer": (1, -k), "times": (k, 0), "half": (Fraction(1, 2), 0)}[kind]
                if y in known:
                    known[x] = known[y] * factor + add
                elif x in known:
                    known[y] = (known[x] - add) / factor
    if "together" in question:
        return int(sum(known.values()))
    names = [name for name in re.findall(r"[A-Z]\w+", question) if name in known]
    return int(abs(known[names[0]] - known[names[1]]) if len(names) > 1 else known[names[0]])


def number_puzzle(text: str) -> Answer:
    steps = re.findall(r"(add|subtract|multipl|divide)\w* (?:by )?(\d+)", text)

    def end(start: int) -> Fraction:
        value = Fraction(start)
        for kind, k in steps:
            value = {
                "add": value + int(k),
                "subtract": value - int(k),
                "multipl": value * int(k),
                "divide": value / int(k),
            }[kind]
        return value

    found = re.search(r"(?:The result is|gets) (\d+)", text)
    if found:
        return only([start for start in range(-50, 3100) if end(start) == int(found[1])])
    return int(end(ints(text)[0]))


def expression(text: str) -> Answer:
    term = re.search(r"[\d(][\d ()×÷+−]*", text)
    whole = re.sub(r"(\d+)", r"Fraction(\1)", term[0]) if term else ""
    return int(eval(whole.replace("×", "*").replace("÷", "/").replace("−", "-")))


def in_words(text: str) -> Answer:
    a = r"(\([^()]*\)|\d+)"
    for pattern, becomes in (
        (r"the sum of (\d+) and (\d+)", r"(\1+\2)"), (r"the difference between (\d+) and (\d+)", r"(\1-\2)"),
        (r"the product of (\d+) and (\d+)", r"(\1*\2)"), (r"the quotient of (\d+) and (\d+)", r"(\1//\2)"),
        (r"twice (\d+)", r"(2*\1)"), (r"three times (\d+)", r"(3*\1)"),
        (rf"Add {a} to {a}", r"\2+\1"), (rf"Subtract {a} from {a}", r"\2-\1"), (rf"Multiply {a} by {a}", r"\1*\2"),
        (rf"Divide {a} by {a}", r"\1/\2"),
    ):  # fmt: skip
        text = re.sub(pattern, becomes, text)
    return int(eval(text.split(". ")[0]))


def packing(text: str) -> Answer:
    first, packed, question = re.split(r"\. ", text)
    numbers = ints(first)
    if "rows" in first:
        total = numbers[0] * numbers[1] - (numbers[2] if "broken" in first else 0)
    elif "friend" in first:
        total = numbers[0] // 2
    else:
        total = sum(numbers[:2]) - sum(numbers[2:])
    size, boxes = ints(packed)[0], [0]
    for _ in range(total):
        if boxes[-1] == size:
            boxes.append(0)
        boxes[-1] += 1
    if "boxes are full" in question:
        return sum(box == size for box in boxes)
    if "needed" in question:
        return len(boxes)
    return boxes[-1] if "left over" in question else size - boxes[-1]


def averages(text: str) -> Answer:
    numbers = ints(text)
    days, rest = numbers[0], numbers[1:]
    listed = numbers[1 : 1 + days]
    trials = range(1, 1500)
    if "median" in text:
        return sorted(listed)[days // 2]
    if "exceed the average" in text:
        return int(max(listed) - Fraction(sum(listed), days))
    if "would make the average" in text:
        return only([k for k in trials if Fraction(sum(listed) + k, days + 1) == rest[days]])
    if "would raise the average" in text:
        return only([k for k in trials if rest[0] * days + k == rest[1] * (days + 1)])
    if "of the others" in text:
        return (rest[0] * days - rest[1]) // (days - 1)
    if "was noted" in text:
        return (rest[0] * days - rest[1] + rest[2]) // days
    if "number doubles" in text:
        return 2 * rest[0] - rest[1]
    if "average of all" in text:
        return (rest[0] * days + rest[1]) // (days + 1)
    if "in all after" in text:
        return rest[0] * days + rest[1]
    if ", then" in text:
        a, n, b, m = numbers
        return (a * n + b * m) // (n + m)
    return sum(listed) // days


def ratio(text: str) -> Answer:
    colours = re.findall(r"[a-z]+", find(r"holds (.*?) \w+ in the ratio", text)[1].replace(" and ", ", "))
    shares = ints(find(r"ratio ([\d to]+)\.", text)[1])
    given, question = re.split(r"\. ", text)[1:]
    fits = []
    for unit in range(1, 500):
        amounts = dict(zip(colours, (share * unit for share in shares), strict=True))

        def measure(sentence: str, amounts: dict[str, int] = amounts) -> int:
            named = [amounts[colour] for colour in colours if re.search(rf"\b{colour}\b", sentence)]
            return (
                sum(amounts.values())
                if "in all" in sentence
                else abs(named[0] - named[1])
                if "differ" in sentence
                else named[0]
            )

        if measure(given) == ints(given)[0]:
            fits.append(measure(question))
    return only(fits)


def ages(text: str) -> Answer:
    relation, fact, question = re.split(r"\. ", text)
    x, k, kind, y = find(r"(\w+) (?:is|was|will be) (\d+) (times|years older).* (\w+)$", relation).groups()
    years = ints(relation)[0] if len(ints(relation)) > 1 else 0
    shift = -years if "ago" in relation else years
    answers = []
    for old, young in product(range(1, 120), repeat=2):
        then = (old + shift, young + shift)
        related = then[0] == int(k) * then[1] if kind == "times" else then[0] == then[1] + int(k)
        known = {x: old, y: young}
        total = old + young if "Together" in fact else known[fact.split()[0]]
        if related and then[1] > 0 and total == ints(fact)[0]:
            later = ints(question)[0] if ints(question) else 0
            asked = next((known[name] for name in (x, y) if f" {name} " in question), old + young)
            answers.append(asked + later)
    return only(answers)


def areas(text: str) -> Answer:
    first, question = text.split(". ", maxsplit=1)[0], re.split(r"\. ", text)[-1]
    a, b = ints(first)[:2]
    fits = []
    for wide, extra in product(range(1, 60), range(60)):
        long = wide + extra
        fit = {
            "has an area": (a, b) == (long * wide, long), "has a perimeter": (a, b) == (2 * (long + wide), long),
            "metres long and": (a, b) == (long, wide), "longer than": (a, b) == (wide, extra),
            "times as long": a == wide and long == b * wide,
        }  # fmt: skip
        if next(fitting for words, fitting in fit.items() if words in first):
            fits.append((long, wide))
    long, wide = fits[0] if len(set(fits)) == 1 else (0, 0)
    if grows := re.search(r"grows by (\d+)", text):
        long += int(grows[1])
    if "doubled" in text:
        long, wide = 2 * long, 2 * wide
    if path := re.search(r"path (\d+) metre", text):
        long, wide = long + 2 * int(path[1]), wide + 2 * int(path[1])
    price = ints(question)[0] if "dollars" in question else 1
    if "How wide" in question:
        return wide
    return price * (long + wide + long + wide if "perimeter" in question or "fence" in question else long * wide)


SOLVERS: dict[str, Callable[[str], Answer]] = {
    "stock": stock, "stock-start": stock_start, "stock-gap": stock_gap, "hand-over": hand_over, "relations": relations,
    "number-puzzle": number_puzzle, "expression": expression, "in-words": in_words, "packing": packing,
    "averages": averages, "ratio": ratio, "ages": ages, "areas": areas,
}  # fmt: skip
