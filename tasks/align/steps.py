"""The align step, and the first steps of one on two pools for a portability receipt."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from infra.step import step
from tasks import place
from tasks.align import receipt
from tasks.align.train import align_key, train
from tasks.contracts import Candidate, Device, Model, Night, Plan, Preferences
from tasks.portability import keep_receipt
from tasks.receipts import Receipt, Side
from tasks.recipe import Recipe


def _device(night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model) -> Device:
    return place.pool(recipe.pool).device()


@step(area="align", key=align_key, device=_device)
def align(night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model) -> Candidate:
    """Train tonight's candidate on the pool."""
    return train(night, recipe, plan, preferences, base)


@step(area="align", key=align_key, device=_device)
def align_again(night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model) -> Candidate:
    """One more phase from tonight's candidate on the pool: ``base`` is a model with an adapter, or a whole one."""
    return train(night, recipe, plan, preferences, base, run="align-again")


def _device_of_first(night: Night, recipe: Recipe, preferences: Preferences, base: Model, steps: int) -> Device:
    return place.pool(recipe.pool).device()


@step(area="align", key=None, device=_device_of_first)
def train_first(night: Night, recipe: Recipe, preferences: Preferences, base: Model, steps: int) -> Side:
    """One half of a portability receipt. Never reused: it says what the pool does now."""
    return receipt.train_first(night, recipe, preferences, base, steps)


def refuse_down(names: tuple[str, ...]) -> None:
    """Two pools, and both can run: found before either is held."""
    receipt.refuse_down(place.pools(names), names)


def compare_sides(recipe: Recipe, sides: Sequence[Side], home: Path) -> tuple[Receipt, Path]:
    """The receipt of two halves, kept. Not a step: it takes no time, and its time is in it."""
    one, other = sides
    found = receipt.receipt_of(recipe.name, one, other, datetime.now(UTC))
    path, _ = keep_receipt(home, place.store(), found)
    return found, path
