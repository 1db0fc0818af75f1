"""Small tables in the prompt: filtered, added up, compared.

The structure is the query: which filter, which column or product of columns, which operation, what comes out.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from expectations.model.reasoning.surface import PLACES, Draft, named, numeric

Row = tuple[int, int, str]  # two numbers and a group


class Theme(NamedTuple):
    """What a table is about: its rows, two columns of numbers, two groups, and what the columns make together."""

    rows: tuple[str, ...]
    columns: tuple[str, str]
    groups: tuple[str, str]
    product: str
    units: tuple[str, str, str]


THEMES = (
    Theme(
        ("pens", "mugs", "caps", "maps", "bags", "toys"), ("price", "number sold"), ("indoor", "outdoor"),
        "price times number sold", ("dollars", "pieces", "dollars"),
    ),
    Theme(
        ("hall", "attic", "studio", "cellar", "office", "lobby"), ("length", "width"), ("heated", "cold"),
        "length times width", ("metres", "metres", "square metres"),
    ),
    Theme(
        ("crates", "sacks", "boxes", "barrels", "drums", "cases"), ("count", "weight"), ("north", "south"),
        "count times weight", ("pieces", "kilograms", "kilograms"),
    ),
    Theme(
        ("guards", "cooks", "clerks", "cleaners", "drivers", "porters"), ("working time", "wage"), ("day", "night"),
        "working time times wage", ("hours", "dollars", "dollars"),
    ),
    Theme(
        ("buses", "vans", "boats", "trams", "ferries", "coaches"), ("trip count", "seat count"), ("city", "lake"),
        "trip count times seat count", ("trips", "seats", "places"),
    ),
    Theme(
        ("alder", "birch", "cedar", "elm", "larch", "maple"), ("row count", "row size"), ("young", "old"),
        "row count times row size", ("rows", "trees", "trees"),
    ),
)  # fmt: skip
COLUMNS = ("first", "second", "product")


def draw_rows(rng: Random, theme: Theme, count: int) -> tuple[list[str], list[Row]]:
    return rng.sample(theme.rows, count), [
        (rng.randint(2, 30), rng.randint(2, 20), rng.choice(theme.groups)) for _ in range(count)
    ]


def as_text(rng: Random, theme: Theme, rows: list[str], values: list[Row], groups: bool) -> str:
    """The table in one of three ways of writing it; the groups only where they matter."""
    first, second = theme.columns
    lines = [
        [row, group, str(a), str(b)] if groups else [row, str(a), str(b)]
        for row, (a, b, group) in zip(rows, values, strict=True)
    ]
    style = rng.randrange(3)
    if style == 0:
        told = [f"{' '.join(line[:-2][::-1])}: {first} {line[-2]}, {second} {line[-1]}" for line in lines]
        return "; ".join(told)
    head = ["name", "group", first, second] if groups else ["name", first, second]
    if style == 1:
        return "; ".join(" | ".join(line) for line in [head, *lines])
    return f"({', '.join(head)}) {'; '.join(', '.join(line) for line in lines)}"


def measured(row: Row, column: int) -> int:
    return row[0] * row[1] if column == 2 else (row[0], row[1])[column]


def draw_filter(rng: Random, theme: Theme, values: list[Row]) -> tuple[str, str, Callable[[Row], bool]]:
    """The filter's form, its words, and which rows pass."""
    column, group = rng.randrange(2), rng.choice(theme.groups)
    limit = sorted(measured(row, column) for row in values)[len(values) // 2]
    name = theme.columns[column]
    return rng.choice(
        (
            ("all", "", lambda row: True),
            ("group", f" among the {group} ones", lambda row: row[2] == group),
            ("not group", f" when the {group} ones are left out", lambda row: row[2] != group),
            (f"above {column}", f" where the {name} is above {limit - 1}", lambda row: measured(row, column) >= limit),
            (f"below {column}", f" where the {name} is below {limit + 1}", lambda row: measured(row, column) <= limit),
        )
    )


def table_query(rng: Random) -> Draft | None:
    """A filter, then a column or a product of columns, then an operation over the rows that are left."""
    theme = rng.choice(THEMES)
    rows, values = draw_rows(rng, theme, rng.choice((3, 3, 4)))
    form, where, passes = draw_filter(rng, theme, values)
    column = rng.choice((0, 1, 2, 2))
    of, unit = (*theme.columns, theme.product)[column], theme.units[column]
    kept = sorted((measured(row, column), name) for row, name in zip(values, rows, strict=True) if passes(row))
    every = [measured(row, column) for row in values]
    operation = rng.choice(("sum", "count", "most", "least", "range", "argmax", "argmin", "mean", "second"))
    numbers = [value for value, _ in kept]
    if len(kept) < 2 or len(set(numbers)) < len(kept):
        return None
    text = as_text(rng, theme, rows, values, "group" in form)
    start = rng.choice((f"{rng.choice(PLACES)}'s table: {text}.", f"A list from {rng.choice(PLACES)}: {text}."))
    structure = f"{form} {COLUMNS[column]} {operation}"
    match operation:
        case "argmax" | "argmin" | "second":
            which, rank = {"argmax": ("largest", -1), "argmin": ("smallest", 0), "second": ("second largest", -2)}[
                operation
            ]
            others = [*rows, "none of them"] if len(rows) == 3 else rows
            return named(rng, structure, f"{start} Which has the {which} {of}{where}?", kept[rank][1], others)
        case "count":
            if form == "all":
                return None
            wrong = [len(rows), len(rows) - len(kept), 1, 2, 3, 4]
            return numeric(rng, f"{form} count", f"{start} How many are there{where}?", len(kept), wrong, least=0)
        case "sum":
            question, answer = f"What is the total {of}{where}?", sum(numbers)
            wrong = [sum(every), answer - numbers[0], answer - numbers[-1]]
        case "most" | "least":
            place, beside = (-1, -2) if operation == "most" else (0, 1)
            question, answer = f"What is the {'largest' if place else 'smallest'} {of}{where}?", numbers[place]
            wrong = [*every, numbers[beside]]
        case "range":
            question = f"By how much do the largest and the smallest {of} differ{where}?"
            answer, wrong = numbers[-1] - numbers[0], [max(every) - min(every), numbers[-1], numbers[-1] + numbers[0]]
        case _:
            if sum(numbers) % len(kept):
                return None
            question, answer = f"What is the average {of}{where}?", sum(numbers) // len(kept)
            wrong = [sum(numbers), sum(every) / len(every), numbers[-1], numbers[0]]
    return numeric(rng, structure, f"{start} {question}", answer, wrong, unit)


def table_pair(rng: Random) -> Draft | None:
    """Two rows compared or put together in one measure, or crossed; or what the whole lacks."""
    theme = rng.choice(THEMES)
    rows, values = draw_rows(rng, theme, rng.choice((3, 4)))
    one, other = rng.sample(range(len(rows)), 2)
    column, kind = rng.choice((0, 1, 2)), rng.choice(("difference", "sum", "factor", "reach", "swap", "without"))
    of, unit = (*theme.columns, theme.product)[column], theme.units[column]
    x, y = measured(values[one], column), measured(values[other], column)
    every = [measured(row, column) for row in values]
    total, structure = sum(every), f"{kind} {COLUMNS[column]}"
    match kind:
        case "difference":
            question = f"By how much is the {of} of {rows[one]} above that of {rows[other]}?"
            answer, wrong = x - y, [x + y, x, y, *(abs(x - value) for value in every)]
        case "sum":
            question = f"What do {rows[one]} and {rows[other]} together have as {of}?"
            answer, wrong = x + y, [abs(x - y), x + 2 * y, total, total - x]
        case "factor":
            if x % y or x == y:
                return None
            question, unit = f"How many times the {of} of {rows[other]} is that of {rows[one]}?", "times"
            answer, wrong = x // y, [x - y, x // y + 1, x + y, x // y - 1]
        case "reach":
            target = total + rng.randint(5, 40)
            question = f"How much must the total {of} grow to reach {target}?"
            answer, wrong = target - total, [target, total, target - total + x, target - total - y]
        case "without":
            question = f"What is the total {of} without {rows[one]}?"
            answer, wrong = total - x, [total, x, total - y, total - x - y]
        case _:
            if column != 2:
                return None
            answer, crossed = values[one][0] * values[other][1], values[other][0] * values[one][1]
            first, second = theme.columns
            question = f"What is the {first} of {rows[one]} times the {second} of {rows[other]}?"
            wrong = [x, y, crossed, values[one][0] + values[other][1]]
    text = as_text(rng, theme, rows, values, False)
    start = rng.choice((f"{rng.choice(PLACES)}'s table: {text}.", f"A list from {rng.choice(PLACES)}: {text}."))
    return numeric(rng, structure, f"{start} {question}", answer, wrong, unit)
