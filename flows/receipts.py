"""receipt: the first steps of tonight's training on two pools, compared. Nothing is registered, no model is kept."""

from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.frame import open_beside
from flows.nightly import Fresh, Overrides, RecipePath
from tasks import place
from tasks.align.steps import compare_sides, refuse_down, train_first
from tasks.cost.steps import billed_apart
from tasks.data.steps import collect, validate
from tasks.portability import in_words

TwoPools = Annotated[
    list[Annotated[str, Field(pattern=r"^[\w./-]+$")]],
    Field(min_length=2, max_length=2, description="The two pools to compare, by the names a recipe calls them."),
]
PhaseNumber = Annotated[
    int, Field(ge=1, description="Which of the recipe's phases, from 1. Both pools begin it at the base model.")
]
Steps = Annotated[int, Field(ge=2, description="How many of the training's first steps both take.")]


@flow(name="receipt", description=__doc__)
def receipt(
    recipe: RecipePath = "recipes/demo.toml",
    overrides: Overrides = [],  # noqa: B006  the form's default; nothing changes it
    pools: TwoPools = ["amd-slurm", "nvidia-kubernetes"],  # noqa: B006
    steps: Steps = 20,
    phase: PhaseNumber = 1,
    fresh: Fresh = False,
) -> dict[str, Any]:
    """Make a portability receipt, keep it, and return it as one object."""
    refuse_down(tuple(pools))
    with open_beside(recipe, overrides, fresh) as tonight:
        spec = tonight.recipe.alone(phase)
        snapshot = collect(tonight.night, tonight.recipe)
        preferences = validate(tonight.night, snapshot, tonight.recipe, tonight.base, tonight.suites)
        with billed_apart(tonight.night, tonight.recipe, tuple(pools)) as night:
            sides = [
                train_first(night, spec.model_copy(update={"pool": pool}), preferences, tonight.base, steps)
                for pool in pools
            ]
        found, path = compare_sides(tonight.recipe, sides, place.home())
        create_markdown_artifact(f"```\n{in_words(found)}```", key="receipt", description=found.finding.in_words())
        return {"receipt": found.model_dump(mode="json"), "file": str(path)}
