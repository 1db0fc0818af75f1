"""Solves problems of tables and lists from their text alone, by other means than the generators."""

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import permutations

from tests.unit.gate.solve_words import Answer, ints


def read_table(text: str) -> tuple[list[str], dict[str, list[str]]]:
    """Column names, and the cells of each row, from any of the three ways a table is written."""
    body = re.search(r"(?:'s table|A list from \w+): (.*?)\. (?=[A-Z])", text)
    assert body
    if " | " in body[1]:
        head, *lines = [line.split(" | ") for line in body[1].split("; ")]
    elif body[1].startswith("("):
        names, _, rest = body[1][1:].partition(") ")
        head, *lines = names.split(", "), *[line.split(", ") for line in rest.split("; ")]
    else:
        lines = []
        head = []
        for line in body[1].split("; "):
            title, _, cells = line.partition(": ")
            found = re.findall(r"([a-z ]+?) (\d+)", cells)
            group, _, name = title.rpartition(" ")
            lines.append([name, *([group] if group else []), *(value for _, value in found)])
            head = ["name", *(["group"] if group else []), *(column.strip() for column, _ in found)]
    return head[1:], {line[0]: line[1:] for line in lines}


def table(text: str) -> Answer:
    columns, rows = read_table(text)
    question = text[text.index(re.findall(r"[^.]+$", text)[0]) :].strip()
    numeric = columns[-2:]

    def cell(row: str, column: str) -> Fraction:
        parts = [Fraction(rows[row][columns.index(part)]) for part in column.split(" times ")]
        return parts[0] * parts[1] if len(parts) > 1 else parts[0]

    kept = list(rows)
    if found := re.search(r"among the (\w+) ones|when the (\w+) ones are left out", question):
        kept = [row for row in rows if (rows[row][0] == (found[1] or found[2])) == bool(found[1])]
    if found := re.search(r"where the ([\w ]+) is (above|below) (\d+)", question):
        above = found[2] == "above"
        kept = [
            row
            for row in rows
            if (cell(row, found[1]) > int(found[3]) if above else cell(row, found[1]) < int(found[3]))
        ]
        question = question[: found.start()]
    if question.startswith("How many are there"):
        return len(kept)
    if found := re.fullmatch(r"What is the ([\w ]+) of (\w+) times the ([\w ]+) of (\w+)\?", question):
        return int(cell(found[2], found[1]) * cell(found[4], found[3]))
    joined = next((f"{a} times {b}" for a, b in permutations(numeric, 2) if f"{a} times {b}" in question), "")
    column = joined or next(name for name in numeric if name in question)
    values = {row: cell(row, column) for row in kept}
    ordered = sorted(values, key=lambda row: values[row])
    total = sum(values.values())
    named = [row for row in re.findall(r"\w+", question) if row in rows]
    if question.startswith("Which has"):
        return ordered[-2 if "second largest" in question else -1 if "largest" in question else 0]
    if "above that of" in question:
        return int(values[named[0]] - values[named[1]])
    if "together" in question:
        return int(values[named[0]] + values[named[1]])
    if "How many times" in question:
        return int(values[named[1]] / values[named[0]])
    if found := re.search(r"to reach (\d+)", question):
        return int(int(found[1]) - total)
    if "without" in question:
        return int(total - values[named[0]])
    if "differ" in question:
        return int(max(values.values()) - min(values.values()))
    if "average" in question:
        return int(total / len(values))
    if "total" in question:
        return int(total)
    return int(max(values.values()) if "largest" in question else min(values.values()))


def price_list(text: str) -> Answer:
    menu, rest = text.split(". ", 1)
    prices = {dish: int(price) for dish, price in re.findall(r"(\w+) (\d+) dollars", menu)}
    bills = []
    for order in re.split(r"; ", rest.split(". ")[0]):
        ordered = re.split(r" and (?:pays|has) ", order)[0]
        bills.append(sum(int(count) * prices[dish] for count, dish in re.findall(r"(\d+) (\w+)", ordered)))
    if found := re.search(r"pays with (\d+)", rest):
        return int(found[1]) - bills[0]
    if found := re.search(r"has (\d+) dollars\. For how many more (\w+)", rest):
        left, count = int(found[1]) - bills[0], 0
        while left >= prices[found[2]]:
            left, count = left - prices[found[2]], count + 1
        return count
    if "split the bill" in rest:
        return bills[0] - sum(bills) // 2
    return sum(bills) if "together" in rest else bills[0] - bills[1] if "How much more" in rest else bills[0]


def series(text: str) -> Answer:
    days = re.findall(r"([A-Z]\w+day) (\d+)", text)
    names, values = [day for day, _ in days], [int(value) for _, value in days]
    question = re.findall(r"[^.]+$", text)[0].strip()
    rises = {names[k]: values[k] - values[k - 1] for k in range(1, 5)}
    if found := re.search(r"the (rise|fall) from", question):
        return max(rises, key=lambda day: rises[day] * (1 if found[1] == "rise" else -1))
    if found := re.search(r"first above (\d+)", question):
        return next(day for day, value in zip(names, values, strict=True) if value > int(found[1]))
    if found := re.search(r"last at or below (\d+)", question):
        return [day for day, value in zip(names, values, strict=True) if value <= int(found[1])][-1]
    if found := re.search(r"first reach (\d+)", question):
        return next(names[k] for k in range(5) if sum(values[: k + 1]) >= int(found[1]))
    if "above the average" in question:
        return sum(value > Fraction(sum(values), 5) for value in values)
    if found := re.search(r"at least (\d+)|(higher) than the day before", question):
        return sum(rise >= int(found[1] or 1) for rise in rises.values())
    if "two days in a row" in question:
        return max(values[k] + values[k + 1] for k in range(4))
    if "middle one" in question:
        return next(value for value in values if sum(other < value for other in values) == 2)
    if "second highest" in question:
        return max(values) - max(value for value in values if value < max(values))
    if "first two" in question:
        return abs(values[0] + values[1] - values[3] - values[4])
    return abs(values[0] - values[4])


def bands(text: str) -> Answer:
    tariff, question = re.split(r"\. ", text, maxsplit=1)
    steps = [(int(limit), int(price)) for limit, price in re.findall(r"up to (\d+)[ a-z]*: (\d+)", tariff)]
    last = ints(tariff)[-1]

    def cost(amount: int) -> int:
        return min([price for limit, price in steps if amount <= limit], default=last)

    numbers = ints(question)
    if "can spend" in question:
        return max(amount for amount in range(1, 40) if cost(amount) <= numbers[0])
    if "is saved" in question:
        return cost(numbers[1]) + cost(numbers[2]) - cost(numbers[0])
    if "together" in question:
        return sum(cost(number) for number in numbers)
    return cost(numbers[0]) - cost(numbers[1]) if "How much more" in question else cost(numbers[0])


def distances(text: str) -> Answer:
    roads = {frozenset(road): int(km) for *road, km in re.findall(r"\b([A-Z])-([A-Z]) (\d+)", text)}
    question = re.split(r"\d\. ", text)[1]

    def way(*stops: str) -> int:
        return sum(roads[frozenset(stops[k : k + 2])] for k in range(len(stops) - 1))

    stops = re.findall(r"\b([A-Z])\b", question)
    if "round trip" in question or "tour" in question:
        return way(*stops)
    if "shortest" in question:
        a, b = stops
        return min(
            way(*path)
            for path in [(a, b), *((a, via, b) for via in "ABCDEFGHJKLMNPQRSTUVWXYZ")]
            if all(frozenset(path[k : k + 2]) in roads for k in range(len(path) - 1))
        )
    if "same way back" in question:
        return 2 * way(*stops)
    if "the way back" in question:
        a, b, d = stops
        return way(a, b) + way(b, d, a)
    if "save against" in question:
        a, b, near, far = stops
        return way(a, far, b) - way(a, near, b)
    a, b, via = stops[:3]
    return way(a, via, b) - (way(a, b) if "longer" in question else 0)


SOLVERS: dict[str, Callable[[str], Answer]] = {
    "table-query": table, "table-pair": table, "price-list": price_list, "series": series, "bands": bands,
    "distances": distances,
}  # fmt: skip
