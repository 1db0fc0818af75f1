"""The gate's own suites of a recipe, read once a night and put into the store."""

import json
from pathlib import Path

from infra.store import Store
from tasks.contracts import Suites
from tasks.errors import SuiteError
from tasks.gate.suites import Suite, cut, house_suite, load_suite
from tasks.recipe import Recipe


def read_suites(recipe: Recipe, root: Path, store: Store) -> Suites:
    """All suites of the recipe but ``house``. One that can't be read is a problem the gate blocks on, not an exception:
    the night's data is still worth collecting, and the report names the file.
    """
    suites: dict[str, Suite] = {}
    prompts: list[str] = []
    problems = []
    for spec in recipe.gate.suites:
        if spec.name == "house" and spec.path is None:
            continue
        folder = root / (spec.path or f"expectations/model/{spec.name}")
        try:
            whole = load_suite(spec.name, folder)
            suites[spec.name] = cut(whole, recipe.gate.max_items)
            # items that tonight's cut leaves out must not be trained on either
            prompts += [item.messages[-1].content for item in whole.items]
        except SuiteError as error:
            problems.append(error.what)
    return Suites(
        suites=store.put_json({name: suite.model_dump() for name, suite in suites.items()}),
        prompts=store.put_json(prompts),
        problems=tuple(problems),
    )


def tonight(suites: Suites, house: bytes, recipe: Recipe, store: Store) -> dict[str, Suite]:
    """Every readable suite of the night by name, the house suite included."""
    found = {name: Suite.model_validate(raw) for name, raw in json.loads(store.read_bytes(suites.suites)).items()}
    if any(spec.name == "house" and spec.path is None for spec in recipe.gate.suites):
        found["house"] = cut(house_suite(house), recipe.gate.max_items)
    return found
