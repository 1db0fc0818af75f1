"""The gate's own suites of a recipe, read once a night and put into the store."""

import json
from collections.abc import Callable
from pathlib import Path

from infra.store import Store
from tasks.contracts import Suites
from tasks.errors import SuiteError
from tasks.gate.foreign import is_foreign, load_foreign
from tasks.gate.judge_model import alone_problem
from tasks.gate.rotation import epoch_of, guarded, window
from tasks.gate.suites import Bank, Item, Suite, build_suite, cut, house_suite, load_bank
from tasks.recipe import GateSpec, Recipe

Epochs = Callable[[str, Bank], int]


def folders(gate: GateSpec) -> dict[str, tuple[str, int]]:
    """Suite → its folder from the checkout's root, and how many items it may have; ``house`` is held out instead."""
    found = {
        spec.name: (spec.path or f"expectations/model/{spec.name}", gate.max_items)
        for spec in gate.suites
        if spec.name != "house" or spec.path is not None
    }
    if gate.drift is not None:
        found["drift"] = (gate.drift.path or "expectations/model/drift", gate.drift.max_items)
    return found


def read_suites(recipe: Recipe, root: Path, store: Store, epochs: Epochs) -> Suites:
    """All suites of the recipe but ``house``. One that can't be read is a problem the gate blocks on, not an exception:
    the night's data is still worth collecting, and the report names the file.

    Args:
        epochs: rotations of a suite's items so far.
    """
    suites: dict[str, Suite] = {}
    held: list[dict[str, object]] = []
    problems, exhausted = [], []
    for name, (path, max_items) in folders(recipe.gate).items():
        try:
            bank = bank_at(name, path, root)
            shown = window(bank, epochs(name, bank), max_items)
        except SuiteError as error:
            problems.append(error.what)
            continue
        if (alone := alone_problem(name, shown.suite.scorer, shown.suite.items)) is not None:
            problems.append(alone)
            continue
        suites[name] = shown.suite
        if shown.exhausted:
            exhausted.append(name)
        # items that tonight's window leaves out must not be trained on either
        held += [text for item in {one.id: one for one in (*guarded(bank), *shown.suite.items)}.values()
                 for text in _texts(name, item)]  # fmt: skip
    return Suites(
        suites=store.put_json({name: suite.model_dump() for name, suite in suites.items()}),
        guarded=store.put_json(held),
        problems=tuple(problems),
        exhausted=tuple(exhausted),
    )


def _texts(suite: str, item: Item) -> list[dict[str, object]]:
    """What an item says and what it asks to choose from: whoever was trained on it answers by heart."""
    said = [*(message.content for message in item.messages), *item.choices]
    last = len(item.messages) - 1
    return [
        {"suite": suite, "item": item.id, "text": text, "is_prompt": number == last} for number, text in enumerate(said)
    ]


def bank_at(name: str, path: str, root: Path) -> Bank:
    """A suite of ours, a folder from the checkout's root, or one of others' forms, a file (tasks/gate/foreign).

    Raises:
        SuiteError: it can't be read.
    """
    if not is_foreign(path):
        return load_bank(name, root / path)
    scorer, items = load_foreign(path, root)
    return Bank(build_suite(name, scorer, items))


def by_ledger(decisions: int, by_hand: Callable[[str], int]) -> Epochs:
    """Rotations as the ledger has them."""
    return lambda name, bank: epoch_of(bank, decisions, by_hand(name))


def tonight(suites: Suites, house: bytes, recipe: Recipe, store: Store) -> dict[str, Suite]:
    """Every readable suite of the night by name, the house suite included."""
    found = {name: Suite.model_validate(raw) for name, raw in json.loads(store.read_bytes(suites.suites)).items()}
    if any(spec.name == "house" and spec.path is None for spec in recipe.gate.suites):
        try:
            found["house"] = cut(house_suite(house), recipe.gate.max_items)
        except SuiteError:
            return found  # judge says that it isn't there, and blocks
    return found
