"""What a scoring program has to do: models with the suites they have no scorecard for. Pure, but for checking out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from infra.digest import Digest
from infra.errors import StoreError
from infra.store import Store, TreeFile
from tasks.contracts import Model, Role
from tasks.gate.card_index import CardIndex
from tasks.gate.suites import Suite
from tasks.lm.base import checkout
from tasks.recipe import Recipe


class Work(NamedTuple):
    """One model's part. ``role`` is its first in the order anchor, champion, candidate."""

    role: Role
    model: Model
    suites: tuple[str, ...]
    samples: bool


class AA(NamedTuple):
    """The A/A check that is due: ``items`` of each suite, scored a second time by the champion."""

    model: Digest
    items: int
    floor: float
    cause: str


def missing_work(
    models: dict[Role, Model], items: dict[str, Suite], index: CardIndex, samples: str, aa: AA | None
) -> list[Work]:
    """Models with the suites they have no scorecard for, and whether sample answers are missing; equal models once.

    The anchor is loaded too where its answers, which drift is measured against, are missing.
    """
    work: dict[Digest, Work] = {}
    for role, model in models.items():
        before = work.get(model.digest)
        found = Work(
            role=before.role if before else role,
            model=model,
            suites=tuple(name for name, suite in items.items() if index.card(role, model.digest, suite) is None),
            samples=(before.samples if before else False)
            or (role != "anchor" and index.samples(model.digest, items[samples]) is None),
        )
        work[model.digest] = found
    needed = {one.model.digest for one in work.values() if one.suites or one.samples}
    if aa is not None:
        needed.add(aa.model)
    drifting = any("drift" in work[digest].suites or (aa and digest == aa.model) for digest in needed)
    if "drift" in items and "anchor" in models and drifting and not index.reference(items["drift"]).is_file():
        needed.add(models["anchor"].digest)
    return [one for one in work.values() if one.model.digest in needed]


def checked_out(
    work: list[Work], store: Store, home: Path
) -> tuple[list[Work], list[tuple[Path, Path | None]], list[str]]:
    """The work whose models' files are there and sound, their folders, and what is wrong with the others."""
    able: list[Work] = []
    folders: list[tuple[Path, Path | None]] = []
    problems: list[str] = []
    for one in work:
        try:
            folders.append(checkout(one.model, home, store))
            able.append(one)
        except StoreError as error:
            problems.append(f"{one.role}: the model can't be loaded: {error.what}")
    return able, folders, problems


def intact(models: Mapping[Role, Model], store: Store) -> list[bool]:
    """Whether each model's files are there with their sizes: a night that blocked on them is scored again if mended."""
    trees = [[one.base, *([one.adapter] if one.adapter else [])] for one in models.values()]

    def there(file: TreeFile) -> bool:
        return store.has(file.digest_) and store.path(file.digest_).stat().st_size == file.size

    return [all(there(file) for tree in each for file in tree.files) for each in trees]


def scoring_spec(
    work: list[Work],
    folders: list[tuple[Path, Path | None]],
    items: dict[str, Suite],
    index: CardIndex,
    recipe: Recipe,
    store: Store,
) -> dict[str, Any]:
    """The program's spec: verified folders, suites in full, and the champion's cards, which looks for harm need."""
    models = []
    for (role, model, suites, samples), (base, adapter) in zip(work, folders, strict=True):
        models.append(
            {
                "digest": model.digest,
                "role": role,
                "base": str(base),
                "adapter": str(adapter) if adapter else None,
                "suites": suites,
                "samples": samples,
                "results": {name: str(index.results(model.digest, suite)) for name, suite in items.items()},
            }
        )
    return {
        "engine": index.engine.model_dump(),
        "gate": recipe.gate.model_dump(),
        "models": models,
        "suites": {name: suite.model_dump() for name, suite in items.items()},
        "champion_cards": index_paths(items, index, store),
        "reference": str(index.reference(items["drift"])) if "drift" in items else None,
        "anchor": index.anchor,
        "champion": index.champion,
    }


def index_paths(items: dict[str, Suite], index: CardIndex, store: Store) -> dict[str, str]:
    """Suite → the champion's scorecard in the store, verified, where there is one."""
    if index.champion is None:
        return {}
    cards = {name: index.card("champion", index.champion, suite) for name, suite in items.items()}
    return {name: str(store.open_path(card.digest_)) for name, card in cards.items() if card is not None}
