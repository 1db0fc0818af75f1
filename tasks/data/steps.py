"""The collect and validate steps."""

import json
from pathlib import Path
from typing import Any

from infra.digest import Digest, digest_of
from infra.step import step
from tasks import place
from tasks.contracts import Model, Night, Preferences, Snapshot, Suites
from tasks.data.collect import Place, fingerprint, make_snapshot
from tasks.data.forget import read_forgotten
from tasks.data.outputs import topics_of
from tasks.data.served import count_served, served_fingerprint
from tasks.data.validate import Where, make_preferences
from tasks.lm.base import tokenizer_files
from tasks.recipe import Recipe


def _kept() -> Path:
    return place.home() / "data"


def _place(recipe: Recipe) -> Place:
    return Place(place.ROOT, _kept(), place.store(), place.settings(), recipe.tenant)


def sources_fingerprint(recipe: Recipe) -> Digest:
    """What decides tonight's snapshot."""
    found = fingerprint(recipe.sources, _place(recipe), read_forgotten(_kept()))
    served = recipe.data.served
    return found if served is None else digest_of([found, served_fingerprint(served, _place(recipe))])


def _collect_key(night: Night, recipe: Recipe) -> list[Any]:
    return [sources_fingerprint(recipe), recipe.tenant, recipe.data.caps]


@step(area="data", key=_collect_key)
def collect(night: Night, recipe: Recipe) -> Snapshot:
    """Read the recipe's sources into an immutable snapshot."""
    found = make_snapshot(recipe.sources, _place(recipe), recipe.data.caps, read_forgotten(_kept()))
    served = recipe.data.served
    if served is None:
        return found
    return found.model_copy(update={"served": count_served(served, _place(recipe), recipe.data.caps)})


def _validate_key(night: Night, snapshot: Snapshot, recipe: Recipe, base: Model, suites: Suites) -> list[Any]:
    topics = [[*file, topic] for file, topic in sorted(topics_of(snapshot, recipe.sources).items())]
    about = [topics] if topics else []
    return [snapshot, recipe.data, recipe.gate.max_items, base.base.digest_, suites.guarded.digest_, *about]


@step(area="data", key=_validate_key)
def validate(night: Night, snapshot: Snapshot, recipe: Recipe, base: Model, suites: Suites) -> Preferences:
    """Quarantine bad rows, judge the whole, split pairs and house items; a critical breach stops the night."""
    store = place.store()
    guarded = json.loads(store.read_bytes(suites.guarded))
    master, topics = place.settings().spark_master, topics_of(snapshot, recipe.sources)
    where = Where(store, _kept(), Path(night.folder), night.name, recipe.name, master, topics)
    with tokenizer_files(base.base, store) as tokenizer:
        return make_preferences(snapshot, recipe.data, tokenizer, guarded, recipe.gate.max_items, where)
