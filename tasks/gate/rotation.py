"""Which items of a bank are judged tonight: a window over its families that moves on as they wear. Pure.

The families lie in a random, lasting order: those of the gate split, then the sealed ones, then, where the suite has a
generator, fresh ones without end. A rotation moves the window on by a share of its width: as many retire as enter, and
all models of a night are scored on the same window.
"""

import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tasks.errors import SuiteError
from tasks.gate.suites import Bank, Item, Suite, build_suite, hashed, parse_raw

# seeds from here on are for items that no one has seen; the shipped ones are below
FRESH_SEED = 1_000_000
# of a generator's items at a time
BLOCK = 200


class Window(NamedTuple):
    """Tonight's items; ``exhausted``: the bank had too few families to rotate as far as it should."""

    suite: Suite
    exhausted: bool


def window(bank: Bank, epoch: int, max_items: int) -> Window:
    """The items of a night.

    Args:
        epoch: rotations so far; 0: none.
        max_items: families, as n counts them everywhere: one with several items is taken whole and counts once.

    Raises:
        SuiteError: the bank has no gate items, or its generator is none.
    """
    gate = _families(bank.suite.items, "gate")
    if not gate:
        raise SuiteError(f"the suite {bank.suite.name} has no items of the split `gate`", do="give it some")
    width = min(len(gate), max_items)
    step = math.ceil(bank.rotation.share * width) if bank.rotation else width
    wanted = epoch * step
    pool = gate + _families(bank.suite.items, "sealed")
    if bank.generator is not None and len(pool) < wanted + width:
        pool += _fresh(bank, wanted + width - len(pool))
    start = min(wanted, len(pool) - width)
    items = [item for family in pool[start : start + width] for item in family]
    suite = build_suite(bank.suite.name, bank.suite.scorer, items)
    if suite.scorer.kind == "judge":
        pairs = tuple(one for one in bank.suite.items if one.split == "twin" and len(one.choices) == 2)
        suite = suite.model_copy(update={"calibration": pairs})
    return Window(suite, start < wanted)


def epoch_of(bank: Bank, decisions: int, by_hand: int) -> int:
    """Rotations so far: those of the plan, one every so many decisions, and those that a person asked for."""
    planned = decisions // bank.rotation.every if bank.rotation else 0
    return planned + by_hand


def guarded(bank: Bank) -> list[Item]:
    """Items that must never be trained on: judged ones and those that wait to be."""
    return [item for item in bank.suite.items if item.split != "twin"]


def generator_at(name: str, suite: str, key: str) -> Callable[..., list[dict[str, Any]]]:
    """A function that a ``suite.toml`` names under ``key`` (``generator`` or ``twins``).

    Raises:
        SuiteError: it lies outside expectations, or isn't there.
    """
    module, _, function = name.partition(":")
    if not module.startswith("expectations."):
        raise SuiteError(
            f"the {key} {name!r} of the suite {suite} lies outside expectations",
            do="name it as expectations.model.SUITE:FUNCTION",
        )
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise SuiteError(
            f"the {key} {name!r} of the suite {suite} can't be loaded: {error}", do=f"mend `{key}` in its suite.toml"
        ) from error


def _families(items: tuple[Item, ...], split: str) -> list[list[Item]]:
    members: dict[str, list[Item]] = {}
    for item in items:
        if item.split == split:
            members.setdefault(item.cluster, []).append(item)
    return [members[family] for family in sorted(members, key=hashed)]


def _fresh(bank: Bank, count: int) -> list[list[Item]]:
    """As many families of generated items that the bank doesn't hold, always the same ones first."""
    seen = {item.cluster for item in bank.suite.items}
    found: list[list[Item]] = []
    for block in _blocks(bank):
        families = [family for family in _families(tuple(block), "sealed") if family[0].cluster not in seen]
        seen |= {family[0].cluster for family in families}
        if not families:
            raise SuiteError(
                f"the generator of the suite {bank.suite.name} gives no family that the bank doesn't have",
                do="give it more structures, or add sealed items",
            )
        found += families
        if len(found) >= count:
            break
    return found[:count]


def _blocks(bank: Bank) -> Iterator[list[Item]]:
    generate = generator_at(bank.generator or "", bank.suite.name, "generator")
    number = 0
    while True:
        seed = FRESH_SEED + number
        yield [parse_raw(raw, f"{bank.generator} seed {seed}") for raw in generate(seed, BLOCK, "sealed")]
        number += 1
