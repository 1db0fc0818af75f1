"""init: the base model becomes the first champion and the anchor, by an explicit, recorded act."""

from infra.pools import default_pool
from infra.settings import ROOT
from tasks import place
from tasks.lm.base import base_model
from tasks.recipe import load_recipe
from tasks.registry.steps import first_champion, initialised, set_policy


def record_release_policy(path: str) -> str:
    """Record a recipe's approval policy and targets on its registered model."""
    place.tracking().check()
    return set_policy(load_recipe(ROOT / path))


def init_recipe(path: str, *, once: bool) -> str:
    """Import the recipe's base model and register it.

    Args:
        once: say so and do nothing where it was done before; else that is an error.
    """
    recipe = load_recipe(ROOT / path)
    place.tracking().check()
    if once and initialised(recipe.name):
        return f"{recipe.name} is initialised already"
    model = base_model(
        recipe.model.source, ROOT, place.home(), place.store(), default_pool(recipe.pool), lambda event: None
    )
    version = first_champion(recipe, model)
    return f"{recipe.name}: version {version} ({recipe.model.name}) is the first champion and the anchor"
