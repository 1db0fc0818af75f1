"""Solves orders, round tables and assignments from their text alone, by trying every one."""

import re
from collections.abc import Callable
from itertools import permutations

from tests.unit.gate.solve_words import Answer, find

ORDINAL = {word: k for k, word in enumerate(("first", "second", "third", "fourth", "fifth"))}


def orders(text: str) -> tuple[list[str], list[dict[str, int]]]:
    """The names, and every order in which all clues hold."""
    begin, *clues, _ = re.split(r"(?<=[a-z])\. ", text)
    place = re.search(r"\bin ([A-Z]\w+)", begin, re.IGNORECASE)
    names = [
        name
        for name in re.findall(r"[A-Z]\w+", begin)
        if name not in ("In", "Facing") and (not place or name != place[1])
    ]

    def holds(clue: str, at: dict[str, int]) -> bool:
        who = [name for name in re.findall(r"[A-Z]\w+", clue) if name in names]
        x, y = at[who[0]], at[who[-1]]
        if "Exactly one" in clue:
            return abs(x - y) == 2
        if re.search(r"neither|at neither end", clue):
            return 0 < x < len(names) - 1
        if re.search(
            r"one (?:directly|right) after the other|directly one behind|next to each other|neighbouring", clue
        ):
            return abs(x - y) == 1
        if len(who) == 1:
            return x == next(k for word, k in ORDINAL.items() if re.search(rf"\b{word}\b", clue))
        return y - x == 1 if "directly" in clue else y > x

    found = [dict(zip(people, range(len(names)), strict=True)) for people in permutations(names)]
    return names, [at for at in found if all(holds(clue, at) for clue in clues)]


def ordering(text: str) -> Answer:
    names, fits = orders(text)
    question = re.findall(r"[^.]+$", text)[0]
    who = [name for name in names if re.search(rf"\b{name}\b", question)]
    answers = set()
    for at in fits:
        people = sorted(names, key=lambda name: at[name])
        if who and re.search(r"behind|above|after|right of", question):
            answers.add([*people, "Nobody"][at[who[0]] + 1])
        elif who:
            answers.add("The " + next(word for word, k in ORDINAL.items() if k == at[who[0]]))
        else:
            answers.add(people[next(k for word, k in ORDINAL.items() if word in question)])
    return answers.pop() if len(answers) == 1 else None


def round_table(text: str) -> Answer:
    begin, *clues, question = re.split(r"(?<=[a-z])\. ", text)
    group = re.search(r"((?:\w+, )+\w+ and \w+)(?: sit|$)", begin)
    names = re.findall(r"[A-Z]\w+", group[1]) if group else []
    size, answers = len(names), set()

    def holds(clue: str, at: dict[str, int]) -> bool:
        x, y = (at[name] for name in re.findall(r"[A-Z]\w+", clue))
        away = (x - y) % size
        if "left of" in clue:
            return away == 1
        return {"not": away not in (1, size - 1), "are": away in (1, size - 1), "sits": away == size // 2}[
            find(r"\b(?:not|are|sits)\b", clue.replace("are not", "not"))[0]
        ]

    for people in permutations(names):
        at = dict(zip(people, range(size), strict=True))
        if all(holds(clue, at) for clue in clues):
            who = next(name for name in names if f" {name}?" in question)
            step = 1 if "left of" in question else -1 if "right of" in question else size // 2
            answers.add(people[(at[who] + step) % size])
    return answers.pop() if len(answers) == 1 else None


def assignment(text: str) -> Answer:
    begin, *clues, question = re.split(r"(?<=[a-z])\. ", text)
    group, things = find(r"(.*) have one each of (.*)", begin).groups()
    names, goods = re.findall(r"\w+", group.replace(" and ", " ")), re.findall(r"\w+", things.replace(" and ", " "))

    def holds(clue: str, has: dict[str, str]) -> bool:
        who = clue.split(maxsplit=1)[0]
        named = [thing for thing in goods if re.search(rf"\b{thing}\b", clue)]
        return (has[who] in named) != bool(re.search(r"neither|doesn't", clue))

    answers = set()
    for deal in permutations(goods):
        has = dict(zip(names, deal, strict=True))
        if all(holds(clue, has) for clue in clues):
            thing = [thing for thing in goods if re.search(rf"\b{thing}\b", question)]
            who = [name for name in names if re.search(rf"\b{name}\b", question)]
            answers.add(next(name for name in names if has[name] == thing[0]) if thing else f"The {has[who[0]]}")
    return answers.pop() if len(answers) == 1 else None


SOLVERS: dict[str, Callable[[str], Answer]] = {
    "ordering": ordering, "round-table": round_table, "assignment": assignment,
}  # fmt: skip
