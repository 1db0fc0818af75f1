"""The decide step."""

from typing import Any

from infra.digest import digest_file
from infra.price_book import load_price_book
from infra.step import step
from tasks import place
from tasks.contracts import Baselines, Model, Night, Plan, Preferences, Suites
from tasks.plan.decide import decide_plan
from tasks.plan.facts import gather
from tasks.recipe import Recipe


def _key(
    night: Night, recipe: Recipe, preferences: Preferences, base: Model, baselines: Baselines, suites: Suites
) -> list[Any]:
    pool = place.pool(recipe.pool)
    how = [phase.model_dump(mode="json") for phase in recipe.phase]  # identity leaves out how the work is cut
    where = [recipe.pool, pool.device().model_dump(), pool.shares_weights(), digest_file(place.settings().price_book)]
    return [recipe, recipe.budget, how, where, preferences, base, baselines.champion, suites]


@step(area="plan", key=_key)
def decide(
    night: Night, recipe: Recipe, preferences: Preferences, base: Model, baselines: Baselines, suites: Suites
) -> Plan:
    """Train tonight? With how many pairs, in what time, for how much?"""
    pool = place.pool(recipe.pool)
    facts = gather(recipe, preferences, base, baselines, suites, pool, place.store(), place.home())
    return decide_plan(recipe, facts, load_price_book(place.settings().price_book))
