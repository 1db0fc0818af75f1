"""Solves logic problems from their text alone, by trying every world."""

import re
from collections.abc import Callable
from itertools import combinations_with_replacement, product

from tests.unit.gate.solve_words import Answer, find, only

NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}


def must(choices: list[str], certain: Callable[[str], bool]) -> Answer:
    """The one choice that is certain, or that nothing is."""
    sure = [choice for choice in choices if not choice.startswith("None of these") and certain(choice)]
    nothing = [choice for choice in choices if choice.startswith("None of these")]
    return sure[0] if len(sure) == 1 else nothing[0] if not sure and nothing else None


def quantified(sentence: str) -> tuple[str, str, str]:
    form, x, negated, y = find(r"\b(all|no|some) (\w+) are (not )?(\w+)", sentence, re.IGNORECASE).groups()
    return form.lower() + ("-not" if negated else ""), x, y


def true_of(statement: tuple[str, str, str], crowd: tuple[frozenset[str], ...]) -> bool:
    form, x, y = statement
    inside = [y in person for person in crowd if x in person]
    return {"all": all(inside), "no": not any(inside), "some": any(inside), "some-not": not all(inside)}[form]


def syllogism(text: str, choices: list[str]) -> Answer:
    premises = [quantified(sentence) for sentence in re.findall(r"(?:all|no|some) \w+ are [\w ]+", text, re.IGNORECASE)]
    groups = sorted({group for _, *pair in premises for group in pair})
    kinds = [
        frozenset(g for g, has in zip(groups, bits, strict=True) if has) for bits in product((True, False), repeat=3)
    ]
    crowds = [crowd for size in (1, 2, 3, 4) for crowd in combinations_with_replacement(kinds, size)]
    possible = [crowd for crowd in crowds if all(true_of(premise, crowd) for premise in premises)]
    return must(choices, lambda choice: all(true_of(quantified(choice), crowd) for crowd in possible))


def member(text: str, choices: list[str]) -> Answer:
    rules = [quantified(sentence) for sentence in re.findall(r"(?:all|no) \w+ are \w+", text, re.IGNORECASE)]
    groups = sorted({group for _, *pair in rules for group in pair})

    def literal(sentence: str, person: frozenset[str]) -> bool:
        negated, group = find(r"is (not )?one of the (\w+)", sentence).groups()
        return (group in person) != bool(negated)

    people = [
        frozenset(g for g, has in zip(groups, bits, strict=True) if has)
        for bits in product((True, False), repeat=len(groups))
    ]
    possible = [one for one in people if all(true_of(rule, (one,)) for rule in rules) and literal(text, one)]
    return must(choices, lambda choice: all(literal(choice, one) for one in possible))


OPPOSITES = [
    ("lamp is on", "lamp is off"), ("door is locked", "door is open"), ("fan runs", "fan stands still"),
    ("valve is shut", "valve is open"), ("alarm rings", "alarm is silent"), ("belt moves", "belt rests"),
    ("tank is not full", "tank is full"), ("pump works", "pump is idle"), ("screen is dark", "screen is lit"),
    ("gate is up", "gate is down"),
]  # fmt: skip


def conditions(text: str, choices: list[str]) -> Answer:
    parts = [pair for pair in OPPOSITES if any(state in text for state in pair)]

    def state(phrase: str) -> tuple[int, bool]:
        return next((k, side == 0) for k, pair in enumerate(parts) for side in (0, 1) if pair[side] in phrase.lower())

    rules = []
    for sentence in re.split(r"[.:] ", text):
        if found := re.fullmatch(r"If (.*), (.*)", sentence):
            rules.append((state(found[1]), state(found[2])))
        elif found := re.fullmatch(r"(.*) whenever (.*)", sentence):
            rules.append((state(found[2]), state(found[1])))
        elif found := re.fullmatch(r"(.*) only if (.*)", sentence):
            rules.append((state(found[1]), state(found[2])))
    now = state(find(r"Right now (.*?)\.", text)[1])
    worlds = [
        w
        for w in product((True, False), repeat=len(parts))
        if w[now[0]] == now[1] and all(w[p[0]] != p[1] or w[q[0]] == q[1] for p, q in rules)
    ]
    return must(choices, lambda choice: all(w[state(choice)[0]] == state(choice)[1] for w in worlds))


def amounts(text: str, choices: list[str]) -> Answer:
    found = re.search(r"Of the (\w+) \w+ in \w+, every one is (\w+) or (\w+)\. \w+ knows that (.*?)\. (.*)", text)
    assert found
    size, yes, _, claim, question = NUMBERS[found[1]], found[2], found[3], found[4], found[5]

    def holds(sentence: str, count_yes: int) -> bool:
        k = count_yes if sentence.endswith(f" {yes}") else size - count_yes
        low = sentence.lower()
        amount = next((NUMBERS[word] for word in low.split() if word in NUMBERS), 0)
        if "half" in low:
            return k >= size / 2
        if "odd" in low:
            return k % 2 == 1
        if low.startswith(("not all", "none", "all")):
            return {"not": k < size, "non": k == 0, "all": k == size}[low[:3]]
        return {"at least": k >= amount, "at most": k <= amount, "exactly": k == amount}[
            find(r"^at \w+|^exactly", low)[0]
        ]

    denied = claim.startswith("it is not true that ")
    claim = claim.removeprefix("it is not true that ")
    possible = {k for k in range(size + 1) if holds(claim, k) != denied}
    fits = []
    for choice in choices:
        true = {k for k in range(size + 1) if holds(choice, k)}
        fits += [choice] * (
            true == possible
            if "exactly the same" in question
            else possible <= true
            if "must" in question
            else not true & possible
        )
    return fits[0] if len(fits) == 1 else None


def liars(text: str, choices: list[str]) -> Answer:
    said = re.findall(r'(\w+) says: "(.*?)\."', text)
    names = [name for name, _ in said]

    def true(speaker: str, claim: str, honest: dict[str, bool]) -> bool:
        who = [name for name in names if re.search(rf"\b{name}\b", claim)]
        involved = [honest[name] for name in who] + ([honest[speaker]] if re.search(r"\b(I|me)\b", claim) else [])
        if "of us" in claim:
            involved = list(honest.values())
        if "is a liar" in claim:
            return not all(involved) if "at least" in claim.lower() else not involved[0]
        if "both liars" in claim:
            return not any(involved)
        if "same kind" in claim or "different kinds" in claim:
            return (involved[0] == involved[1]) == ("same" in claim)
        if "Exactly one" in claim:
            return sum(involved) == 1
        return any(involved) if "or both do" in claim else involved[0]

    worlds = [dict(zip(names, bits, strict=True)) for bits in product((True, False), repeat=len(names))]
    fits = [w for w in worlds if all(true(name, claim, w) == w[name] for name, claim in said)]
    if len(fits) != 1:
        return None
    honest = [name for name in names if fits[0][name]]
    if "How many" in text:
        return ("Zero", "One", "Two", "Three")[len(honest)]
    found = [
        choice
        for choice in choices
        if set(re.findall(r"[A-Z]\w+", choice)) - {"Only"} == set(honest) and choice.startswith("Only")
    ]
    return found[0] if found else "Nobody" if not honest else "Both" if len(names) == 2 else "All three"


def labels(text: str, choices: list[str]) -> Answer:
    said = re.findall(r"(\w+) says '(not )?(here|in \w+)'", text)
    wanted = {"Exactly one label is true": 1, "Exactly one label is false": 2, "All labels are false": 0}
    count = next(number for words, number in wanted.items() if words in text)
    boxes = [box for box, *_ in said]

    def true(prize: str) -> int:
        return sum(((box if where == "here" else where[3:]) == prize) != bool(negated) for box, negated, where in said)

    fits = [box for box in boxes if true(box) == count]
    return next(
        choice for choice in choices if (f" {fits[0]} " in choice if len(fits) == 1 else "can't be known" in choice)
    )


def overlap(text: str) -> Answer:
    a, b = find(r"is about (\w+) and (\w+)", text).groups()
    tests: dict[str, Callable[[int, int, int, int], int]] = {
        "people were asked": lambda x, y, z, n: x + y + z + n, "like both": lambda x, y, z, n: z,
        "like neither": lambda x, y, z, n: n, f"like {a} but not": lambda x, y, z, n: x,
        f"like {b} but not": lambda x, y, z, n: y, f"like {a}": lambda x, y, z, n: x + z,
        f"like {b}": lambda x, y, z, n: y + z, "at least one": lambda x, y, z, n: x + y + z,
        "exactly one": lambda x, y, z, n: x + y,
    }  # fmt: skip

    def count(sentence: str) -> Callable[[int, int, int, int], int]:
        return next(test for words, test in tests.items() if words in sentence)

    *facts, question = text.split(". ")[1:]
    given = [(count(fact), int(re.findall(r"\d+", fact)[0])) for fact in facts]
    answers = {
        count(question)(*world) for world in product(range(17), repeat=4) if all(test(*world) == n for test, n in given)
    }
    return only(sorted(answers))


def rule(text: str, choices: list[str]) -> Answer:
    condition, question = find(r" if it is (.*?)\. (.*)", text).groups()
    told = condition
    for pattern, becomes in (
        (r"both ((?:not )?\w+) and ((?:not )?\w+)", r"(\1 and \2)"),
        (r"either ((?:not )?\w+) or ((?:not )?\w+) but not both", r"((\1) != (\2))"),
        (r"((?:not )?\w+) or ((?:not )?\w+) or both", r"(\1 or \2)"),
        (r",? and also ", " and "), (r", or else ", " or "), (r", unless it is ", " and not "),
    ):  # fmt: skip
        told = re.sub(pattern, becomes, told)
    words = set(re.findall(r"[a-z]+", told)) - {"and", "or", "not"}
    fits = []
    for choice in choices:
        has = re.findall(r"\w+", choice.lower())
        fits += [choice] if eval(told, {word: word in has for word in words}) else []
    if "not covered" in question:
        fits = [choice for choice in choices if choice not in fits]
    return fits[0] if len(fits) == 1 else None


SOLVERS: dict[str, Callable[[str], Answer]] = {"overlap": overlap}
CHOOSERS: dict[str, Callable[[str, list[str]], Answer]] = {
    "syllogism": syllogism, "member": member, "conditions": conditions, "amounts": amounts, "liars": liars,
    "labels": labels, "rule": rule,
}  # fmt: skip
