"""The night on every pool, and what other methods would cost on the chosen one: one record. Pure."""

import datetime
from collections.abc import Mapping

from infra.digest import Record
from infra.price_book import PriceBook
from tasks.phases import Phase
from tasks.plan.decide import nothing_to_learn
from tasks.plan.forecast import Forecast, cheapest, forecast
from tasks.plan.held import Facts, Way, taken
from tasks.plan.memory import Models
from tasks.recipe import Recipe


class Comparison(Record):
    """What ``nightshift plan --pools`` prints.

    Attributes:
        idle: why tonight isn't worth a training; empty where it is.
        cheapest: the pool that runs the night for least by the deadline; None where none does.
        methods_on: the pool that the methods are compared on: the cheapest, else the recipe's, else the first.
    """

    recipe: str
    pairs: int
    steps: int
    deadline_hours: float
    idle: str
    pools: tuple[Forecast, ...]
    cheapest: str | None
    methods: tuple[Forecast, ...]
    methods_on: str | None
    warnings: tuple[str, ...]
    price_book: str


def compare(
    recipe: Recipe,
    facts: Mapping[str, Facts],
    unknown: tuple[Forecast, ...],
    prices: PriceBook,
    book: str,
    today: datetime.date,
) -> Comparison:
    """The forecasts of all pools.

    Args:
        facts: of each pool that could be asked; at least one.
        unknown: the lines of those that could not.
        book: the price book's file name.
    """
    lines = {name: forecast(name, recipe, one, prices) for name, one in facts.items()}
    best = cheapest(lines.values())
    on = best or (recipe.pool if recipe.pool in facts else next(iter(facts), None))
    some = next(iter(facts.values()), None)
    steps, pairs = taken(recipe, some) if some else (0, 0)
    return Comparison(
        recipe=recipe.name,
        pairs=pairs,
        steps=steps,
        deadline_hours=recipe.budget.max_hours,
        idle=(nothing_to_learn(recipe, some, steps) or "") if some else "",
        pools=(*lines.values(), *unknown),
        cheapest=best,
        methods=methods(recipe, facts[on], prices) if on else (),
        methods_on=on,
        warnings=prices.warnings(today),
        price_book=f"{book} of {prices.date.isoformat()}",
    )


def ways(recipe: Recipe) -> dict[str, Way]:
    """The methods that are compared: DPO by what it trains and where its reference is, and PPO's four models."""
    given = recipe.phase[0]
    same = {name: getattr(given, name) for name in ("batch_size", "max_steps", "gradient_checkpointing", "max_tokens")}
    lora = Phase.model_validate({**same, "lora": given.lora})
    full = Phase.model_validate({**same, "adapter": "full"})
    return {
        "DPO, LoRA, reference cached": Way(lora, Models()),
        "DPO, full, reference cached": Way(full, Models()),
        "DPO, full, reference held": Way(full, Models(reference=True)),
        "PPO, full, four models": Way(full, Models(reference=True, reward=True, value=True), online=True),
    }


def methods(recipe: Recipe, facts: Facts, prices: PriceBook) -> tuple[Forecast, ...]:
    """The same night by each of ``ways``, on one pool."""
    return tuple(forecast(name, recipe, facts, prices, way) for name, way in ways(recipe).items())
