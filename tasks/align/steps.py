"""The align step, and the first steps of one on two pools for a portability receipt."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.step import step
from infra.store import Tree
from tasks import place
from tasks.align import receipt
from tasks.align.chain import Stage, train_chain
from tasks.align.made import keep_candidates
from tasks.align.train import align_key, train
from tasks.contracts import Candidate, Device, Model, Night, Plan, Preferences, RewardModel, Trained
from tasks.portability import keep_receipt
from tasks.receipts import Receipt, Side
from tasks.recipe import Recipe


def _device(night: Night, recipe: Recipe, *_: Any) -> Device:
    return place.pool(recipe.pool).device()


def _number(
    night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model, number: int, *_: Any
) -> int:
    return number


@step(area="align", key=align_key, device=_device, number=_number)
def align(
    night: Night,
    recipe: Recipe,
    plan: Plan,
    preferences: Preferences,
    base: Model,
    number: int,
    reward: Tree | None,
) -> Candidate | RewardModel:
    """Train one phase on the pool, from where the one before ended."""
    return train(night, recipe, plan, preferences, base, number, reward)


def align_phases(night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model) -> Trained:
    """Train tonight's candidates: a step a phase, so that a killed night trains no finished phase again."""

    def one(stage: Stage) -> Candidate | RewardModel:
        return align(night, stage.recipe, stage.plan, preferences, stage.start, stage.number, stage.reward)

    trained = train_chain(recipe, plan, base, place.store(), one)
    keep_candidates(trained, len(recipe.phase), place.tracking(), place.store())
    return trained


def _candidate(made: Candidate | RewardModel) -> Candidate:
    assert isinstance(made, Candidate)  # a phase that makes a reward model is refused where it stands alone
    return made


def _key_apart(night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model) -> list[Any]:
    return [night.id, recipe.pool, *align_key(night, recipe, plan, preferences, base)]


@step(area="align", key=_key_apart, device=_device)
def train_apart(night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model) -> Candidate:
    """As ``align``, for a comparison: nothing another night trained is taken for it: its cost is a figure."""
    return _candidate(train(night, recipe, plan, preferences, base))


@step(area="align", key=align_key, device=_device)
def align_again(night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model) -> Candidate:
    """One more phase from tonight's candidate on the pool: ``base`` is a model with an adapter, or a whole one."""
    return _candidate(train(night, recipe, plan, preferences, base, called="align_again"))


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
