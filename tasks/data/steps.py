"""The collect and validate steps."""

import json
from pathlib import Path
from typing import Any

from infra.step import step
from tasks import place
from tasks.contracts import Model, Night, Preferences, Snapshot, Suites
from tasks.data.collect import make_snapshot
from tasks.data.readers import fingerprint
from tasks.data.validate import make_preferences
from tasks.lm.base import file_path
from tasks.recipe import Recipe


def _collect_key(night: Night, recipe: Recipe) -> list[Any]:
    return [fingerprint(tuple(one.path for one in recipe.sources), place.ROOT)]


@step(area="data", key=_collect_key)
def collect(night: Night, recipe: Recipe) -> Snapshot:
    """Read the recipe's sources into an immutable snapshot."""
    return make_snapshot(tuple(one.path for one in recipe.sources), place.ROOT, place.store())


def _validate_key(night: Night, snapshot: Snapshot, recipe: Recipe, base: Model, suites: Suites) -> list[Any]:
    return [snapshot, recipe.data, recipe.gate.max_items, base.base.digest_, suites.prompts.digest_]


@step(area="data", key=_validate_key)
def validate(night: Night, snapshot: Snapshot, recipe: Recipe, base: Model, suites: Suites) -> Preferences:
    """Quarantine bad rows, judge the whole, split pairs and house items; a critical breach stops the night."""
    store = place.store()
    prompts = json.loads(store.read_bytes(suites.prompts))
    tokenizer = file_path(base.base, "tokenizer.json", store)
    return make_preferences(snapshot, recipe.data, tokenizer, prompts, recipe.gate.max_items, store, Path(night.folder))
