"""Fresh reasoning items from a seed. Pure: ``random.Random(seed)`` and the standard library, the same bytes anywhere.

A generator draws a structure (which operations, in which order, on which roles, and what is asked), dresses it in names
and numbers, and works out the answer and what typical mistakes give. A *family* is a generator with a structure: names,
numbers and wording never make a new one. Items of one family are template twins and count once.

Families are parted between the splits by their digest: one sixteenth is for twins (what may be trained on), five for
sealed items and all that enter later, the rest for the gate. So no item that is judged has the structure of one that
was trained on, whatever the seeds. Within one call no family comes twice before every generator has run out of new
ones; there are over 10,000.
"""

import hashlib
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from expectations.model.reasoning import (
    amounts,
    calculation,
    constraints,
    dates,
    directions,
    hours,
    lists,
    logic,
    measures,
    money,
    moves,
    patterns,
    puzzles,
    rates,
    sequences,
    stories,
    tables,
    times,
    units,
    weekdays,
)
from expectations.model.reasoning.surface import Draft


class Generator(NamedTuple):
    """A topic, what draws a draft (None: these draws don't fit, draw again), and how often its turn comes."""

    topic: str
    draw: Callable[[Random], Draft | None]
    share: int


GENERATORS: dict[str, Generator] = {
    "stock": Generator("arithmetic-word", stories.stock, 3),
    "stock-start": Generator("arithmetic-word", stories.stock_start, 2),
    "stock-gap": Generator("arithmetic-word", stories.stock_gap, 2),
    "hand-over": Generator("arithmetic-word", stories.hand_over, 2),
    "relations": Generator("arithmetic-word", stories.relations, 2),
    "number-puzzle": Generator("arithmetic-word", calculation.number_puzzle, 2),
    "expression": Generator("arithmetic-word", calculation.expression, 2),
    "in-words": Generator("arithmetic-word", calculation.in_words, 2),
    "packing": Generator("arithmetic-word", amounts.packing, 1),
    "averages": Generator("arithmetic-word", amounts.averages, 1),
    "ratio": Generator("arithmetic-word", amounts.ratio, 1),
    "ages": Generator("arithmetic-word", amounts.ages, 1),
    "areas": Generator("arithmetic-word", amounts.areas, 2),
    "journey": Generator("arithmetic-word", rates.journey, 2),
    "meeting": Generator("arithmetic-word", rates.meeting, 1),
    "work": Generator("arithmetic-word", rates.work, 1),
    "tank": Generator("arithmetic-word", rates.tank, 1),
    "purchase": Generator("money", money.purchase, 3),
    "price-changes": Generator("money", money.price_changes, 2),
    "points": Generator("arithmetic-word", money.points, 1),
    "syllogism": Generator("if-then", logic.syllogism, 1),
    "member": Generator("set-category", logic.member, 2),
    "conditions": Generator("if-then", logic.conditions, 3),
    "amounts": Generator("if-then", logic.amounts, 2),
    "liars": Generator("if-then", puzzles.liars, 3),
    "labels": Generator("if-then", puzzles.labels, 1),
    "overlap": Generator("set-category", puzzles.overlap, 1),
    "drawing": Generator("probability", puzzles.drawing, 1),
    "rule": Generator("if-then", puzzles.rule, 2),
    "ordering": Generator("ordering", constraints.ordering, 4),
    "round-table": Generator("ordering", constraints.round_table, 2),
    "assignment": Generator("ordering", constraints.assignment, 2),
    "days-between": Generator("calendar", dates.days_between, 1),
    "date-shift": Generator("calendar", dates.date_shift, 2),
    "leap-years": Generator("calendar", dates.leap_years, 1),
    "ages-on": Generator("calendar", dates.ages_on, 1),
    "recurring": Generator("calendar", dates.recurring, 1),
    "weekday-chain": Generator("calendar", weekdays.weekday_chain, 2),
    "weekday-of": Generator("calendar", weekdays.weekday_of, 1),
    "month-grid": Generator("calendar", weekdays.month_grid, 1),
    "working-days": Generator("calendar", weekdays.working_days, 1),
    "day-plan": Generator("clock", times.day_plan, 2),
    "time-zones": Generator("clock", times.time_zones, 1),
    "timetable": Generator("clock", times.timetable, 1),
    "wrong-clock": Generator("clock", hours.wrong_clock, 1),
    "shifts": Generator("clock", hours.shifts, 1),
    "free-time": Generator("clock", hours.free_time, 1),
    "table-query": Generator("table-reading", tables.table_query, 3),
    "table-pair": Generator("table-reading", tables.table_pair, 1),
    "price-list": Generator("table-reading", lists.price_list, 1),
    "series": Generator("table-reading", lists.series, 1),
    "bands": Generator("table-reading", lists.bands, 1),
    "distances": Generator("table-reading", lists.distances, 1),
    "number-sequence": Generator("sequence", sequences.number_sequence, 2),
    "cycle": Generator("sequence", sequences.cycle, 2),
    "letters": Generator("sequence", sequences.letters, 1),
    "figures": Generator("sequence", patterns.figures, 1),
    "machine": Generator("sequence", patterns.machine, 1),
    "pieces": Generator("unit-conversion", units.pieces, 2),
    "flow": Generator("unit-conversion", units.flow, 2),
    "larger": Generator("unit-conversion", units.larger, 1),
    "map-scale": Generator("unit-conversion", units.map_scale, 1),
    "coined": Generator("unit-conversion", measures.coined, 1),
    "recipe": Generator("unit-conversion", measures.recipe, 1),
    "walk": Generator("direction", directions.walk, 2),
    "turning": Generator("direction", directions.turning, 2),
    "map-walk": Generator("direction", directions.map_walk, 1),
    "places": Generator("direction", directions.places, 2),
    "floors": Generator("direction", moves.floors, 2),
    "board": Generator("direction", moves.board, 1),
}
SCHEDULE = [name for name, generator in GENERATORS.items() for _ in range(generator.share)]

SPLITS = {"twin": (0,), "sealed": tuple(range(1, 6)), "gate": tuple(range(6, 16))}  # sixteenths of the families
TRIES = 200  # draws for a family that is new, before a generator counts as run out
LONGEST = 62  # words, digits, marks, names once more: about as many tokens as a small tokenizer makes
ALIKE = 0.8  # Jaccard similarity of character 5-grams: more alike than this is a near-duplicate

# what items.jsonl holds beside the written items: split, seed, how many
SHIPPED = (("gate", 2026, 1000), ("sealed", 2029, 140), ("twin", 2028, 80))


def generate(seed: int, count: int, split: str = "gate") -> list[dict[str, Any]]:
    """``count`` items in the JSON form of a suite, each with four choices and a check for a generated answer.

    Args:
        seed: the same seed gives the same items, and fewer of them are the first of more.
        split: ``gate``, ``sealed`` or ``twin``; they share no family.

    Raises:
        ValueError: no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r}: it is one of {', '.join(SPLITS)}")
    rng = Random(f"reasoning {split} {seed}")
    items: list[dict[str, Any]] = []
    families: set[str] = set()
    shown: dict[str, list[set[str]]] = {name: [] for name in GENERATORS}
    spent: set[str] = set()
    turns: list[str] = []
    places: list[int] = []
    while len(items) < count:
        turns = turns or rng.sample(SCHEDULE, len(SCHEDULE))
        places = places or rng.sample(range(4), 4)
        name = turns.pop()
        if name in spent:
            continue
        draft = _new(rng, name, split, families, shown[name])
        if draft is None:
            spent.add(name)
            if len(spent) == len(GENERATORS):  # every structure was used: they come again
                families, spent = set(), set()
            continue
        families.add(_family(name, draft))
        shown[name].append(grams(draft.prompt))
        items.append(_item(rng, name, draft, seed, split, len(items) + 1, places.pop()))
    return items


def as_line(item: dict[str, Any]) -> str:
    """An item as a line of items.jsonl."""
    return json.dumps(item, ensure_ascii=False) + "\n"


def grams(text: str) -> set[str]:
    """Character 5-grams of a text, without case."""
    low = text.lower()
    return {low[start : start + 5] for start in range(max(1, len(low) - 4))}


def alike(one: set[str], other: set[str]) -> float:
    """Jaccard similarity of two sets of 5-grams."""
    return len(one & other) / len(one | other)


def _family(name: str, draft: Draft) -> str:
    return f"{name}: {draft.structure}"


def _split_of(family: str) -> str:
    """Which split a family is for."""
    part = hashlib.sha256(family.encode()).digest()[0] % 16
    return next(split for split, parts in SPLITS.items() if part in parts)


def _length(prompt: str) -> int:
    return len(re.findall(r"[A-Za-z]+|\d|[^\w\s]", prompt)) + len(re.findall(r"\b[A-Z][a-z]", prompt))


def _new(rng: Random, name: str, split: str, families: set[str], shown: list[set[str]]) -> Draft | None:
    """A short draft of a new family of this split that is no near-duplicate; None after so many tries."""
    for _ in range(TRIES):
        draft = GENERATORS[name].draw(rng)
        if draft is None or _length(draft.prompt) > LONGEST:
            continue
        family = _family(name, draft)
        if family in families or _split_of(family) != split:
            continue
        gram = grams(draft.prompt)
        if all(alike(gram, other) < ALIKE for other in shown):
            return draft
    return None


def _item(rng: Random, name: str, draft: Draft, seed: int, split: str, place: int, answer: int) -> dict[str, Any]:
    choices = rng.sample(draft.wrong, 3)
    choices.insert(answer, draft.answer)
    check = {"kind": "exact", "texts": [draft.answer]}
    if draft.number is not None:
        check = {"kind": "number", "number": draft.number}
    return {
        "id": f"reasoning-{split}-{seed}-{place:04d}",
        "family": _family(name, draft),
        "topic": GENERATORS[name].topic,
        "provenance": f"generator {name} seed {seed}",
        "split": split,
        "prompt": draft.prompt,
        "choices": choices,
        "answer": answer,
        "checks": [check],
    }
