"""What tonight would be, without training: collect, validate, decide. A night started after it reuses all three."""

from typing import Annotated, Any

from prefect import State, flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.frame import close_planned, open_beside
from flows.nightly import Fresh, Overrides, RecipePath
from tasks import place
from tasks.data.steps import collect, validate
from tasks.plan.steps import compare_pools, decide
from tasks.plan.words import comparison_in_words

Pools = Annotated[
    list[Annotated[str, Field(pattern=r"^[\w./-]+$")]],
    Field(min_length=1, description="Pools to compare, by the names a recipe calls them; `all` for every one."),
]


@flow(name="plan", description=__doc__)
def plan_night(recipe: RecipePath = "recipes/demo.toml", overrides: Overrides = [], fresh: Fresh = False) -> State[Any]:  # noqa: B006
    """Run the first three steps and return the summary with the plan."""
    with open_beside(recipe, overrides, fresh) as tonight:
        snapshot = collect(tonight.night, tonight.recipe)
        preferences = validate(tonight.night, snapshot, tonight.recipe, tonight.base, tonight.suites)
        plan = decide(tonight.night, tonight.recipe, preferences, tonight.base, tonight.baselines, tonight.suites)
        return close_planned(tonight, plan, preferences)


@flow(name="plan-pools", description="What tonight would be on several pools, and what other methods would cost.")
def plan_pools(
    recipe: RecipePath = "recipes/demo.toml",
    overrides: Overrides = [],  # noqa: B006
    pools: Pools = ["all"],  # noqa: B006
    fresh: Fresh = False,
) -> dict[str, Any]:
    """Run the first two steps and return the comparison as one object. Nothing is held and nothing is spent."""
    asked = place.pools(tuple(pools))  # a wrong name is found before a night is opened
    with open_beside(recipe, overrides, fresh) as tonight:
        snapshot = collect(tonight.night, tonight.recipe)
        preferences = validate(tonight.night, snapshot, tonight.recipe, tonight.base, tonight.suites)
        found = compare_pools(tonight.recipe, preferences, tonight.base, tonight.baselines, tonight.suites, asked)
        create_markdown_artifact(
            f"```\n{comparison_in_words(found)}```", key="pools", description=f"{found.recipe} tonight, pool by pool"
        )
        return found.model_dump(mode="json")
