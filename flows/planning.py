"""What tonight would be, without training: collect, validate, decide. A night started after it reuses all three."""

from typing import Any

from prefect import State, flow

from flows.frame import close_planned, open_night
from flows.nightly import Fresh, Overrides, RecipePath
from tasks.data.steps import collect, validate
from tasks.plan.steps import decide


@flow(name="plan", description=__doc__)
def plan_night(recipe: RecipePath = "recipes/demo.toml", overrides: Overrides = [], fresh: Fresh = False) -> State[Any]:  # noqa: B006
    """Run the first three steps and return the summary with the plan."""
    with open_night(recipe, overrides, fresh) as tonight:
        snapshot = collect(tonight.night, tonight.recipe)
        preferences = validate(tonight.night, snapshot, tonight.recipe, tonight.base, tonight.suites)
        plan = decide(tonight.night, tonight.recipe, preferences, tonight.base, tonight.baselines, tonight.suites)
        return close_planned(tonight, plan, preferences)
