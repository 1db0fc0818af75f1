"""The align step."""

from infra.step import step
from tasks import place
from tasks.align.train import align_key, train
from tasks.contracts import Candidate, Device, Model, Night, Plan, Preferences
from tasks.recipe import Recipe


def _device(night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model) -> Device:
    return place.pool(recipe.pool).device()


@step(area="align", key=align_key, device=_device)
def align(night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model) -> Candidate:
    """Train tonight's candidate on the pool."""
    return train(night, recipe, plan, preferences, base)
