"""The decide step, and the comparison of pools."""

import datetime
from typing import Any

from infra.digest import digest_file
from infra.errors import NightshiftError
from infra.pools.base import Pool
from infra.price_book import load_price_book
from infra.step import step
from tasks import place
from tasks.compared import Larger
from tasks.contracts import Baselines, Model, Night, Plan, Preferences, Suites
from tasks.plan.comparison import Comparison, compare
from tasks.plan.decide import decide_plan
from tasks.plan.facts import gather
from tasks.plan.forecast import Forecast, cannot
from tasks.plan.held import Facts
from tasks.plan.larger import larger
from tasks.recipe import Recipe
from tasks.spending import month_left


def _key(
    night: Night, recipe: Recipe, preferences: Preferences, base: Model, baselines: Baselines, suites: Suites
) -> list[Any]:
    pool = place.pool(recipe.pool)
    how = [phase.model_dump(mode="json") for phase in recipe.phase]  # identity leaves out how the work is cut
    where = [recipe.pool, pool.device().model_dump(), pool.shares_weights(), digest_file(place.settings().price_book)]
    money = str(month_left(night, recipe))
    return [recipe, recipe.budget, how, where, money, preferences, base, baselines.champion, suites]


@step(area="plan", key=_key)
def decide(
    night: Night, recipe: Recipe, preferences: Preferences, base: Model, baselines: Baselines, suites: Suites
) -> Plan:
    """Train tonight? With how many pairs, in what time, for how much?"""
    pool = place.pool(recipe.pool)
    left = month_left(night, recipe)
    facts = gather(
        recipe,
        preferences,
        base,
        baselines,
        suites,
        pool,
        place.store(),
        place.home(),
        month_left=None if left is None else float(left),
    )
    return decide_plan(recipe, facts, load_price_book(place.settings().price_book))


def larger_sizes(
    recipes: dict[str, Recipe], preferences: Preferences, base: Model, baselines: Baselines, suites: Suites
) -> tuple[tuple[Larger, ...], str]:
    """The methods of a comparison at larger sizes, and why they can't be forecast. Not a step: prices change."""
    some = next(iter(recipes.values()))
    try:
        facts = gather(some, preferences, base, baselines, suites, place.pool(some.pool), place.store(), place.home())
        return larger(recipes, facts, load_price_book(place.settings().price_book)), ""
    except NightshiftError as error:  # a forecast that can't be made hides no measurement
        return (), error.what


def compare_pools(
    recipe: Recipe, preferences: Preferences, base: Model, baselines: Baselines, suites: Suites, pools: dict[str, Pool]
) -> Comparison:
    """Tonight on each of these pools. Not a step: pools and prices change, so it is never reused.

    Raises:
        PriceError: the price book can't be read.
    """
    facts: dict[str, Facts] = {}
    unknown: list[Forecast] = []
    for name, pool in pools.items():
        try:
            facts[name] = gather(recipe, preferences, base, baselines, suites, pool, place.store(), place.home())
        except NightshiftError as error:  # one pool that can't answer hides no other
            unknown.append(cannot(name, error.what, error.do))
    book = place.settings().price_book
    today = datetime.datetime.now().astimezone().date()
    return compare(recipe, facts, tuple(unknown), load_price_book(book), book.name, today)
