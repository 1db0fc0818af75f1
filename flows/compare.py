"""compare: several methods on the same data, from the same start, shown as many preferences; one table, one page.

Every method is trained with every seed, in a flow run of its own, with ``align``'s training and ``score``'s scoring.
Nothing is registered and no decision is spent: comparing is not judging. One training that fails is a row of the table;
a comparison that is killed goes on without those that finished.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.frame import ends_by_name, open_beside
from flows.nightly import Fresh, Overrides, RecipePath
from tasks import place
from tasks.align.steps import train_apart
from tasks.compare import steps
from tasks.compare.trials import asked, baselines_at, design, refuse_idle, refuse_unread, trial_id, untrained
from tasks.compared import START, Marks, Training, Trial
from tasks.contracts import Model, Night, Preferences, Suites
from tasks.cost.steps import billed_training, price_attempts
from tasks.data.steps import collect, validate
from tasks.gate.methods import differences
from tasks.gate.steps import marks, score
from tasks.plan.steps import decide, larger_sizes
from tasks.recipe import load_recipe

Methods = Annotated[
    list[str], Field(min_length=1, description="Methods to compare; the first is what others are held against.")
]
Seeds = Annotated[int, Field(description="Trainings of each method: the recipe's seed, and those after it.")]
Pools = Annotated[list[str], Field(description="Pools, each taking whole seeds at the same time; none: the recipe's.")]


@flow(name="compare-training", flow_run_name="{trial.method}-{trial.recipe.seed}", description="One training, scored.")
@ends_by_name
def compare_training(trial: Trial, night: Night, preferences: Preferences, base: Model, suites: Suites) -> Training:
    """Plan, train and score one method with one seed."""
    start = baselines_at(base)
    plan = refuse_idle(decide(night, trial.recipe, preferences, base, start, suites))
    candidate = train_apart(night, trial.recipe, plan, preferences, base)
    scores = score(night, trial.recipe, preferences, suites, candidate, start, 1)
    found = marks(trial.recipe, suites, preferences, scores)
    return steps.came_out(trial, candidate, found, price_attempts(night, plan))


@flow(name="compare", description=__doc__)
def compare(
    recipe: RecipePath = "recipes/demo.toml",
    overrides: Overrides = [],  # noqa: B006  the form's default; nothing changes it
    methods: Methods = ["dpo", "ppo"],  # noqa: B006
    seeds: Seeds = 3,
    pools: Pools = [],  # noqa: B006
    fresh: Fresh = False,
) -> dict[str, Any]:
    """Compare methods, keep the page and its figures, and return them as one object."""
    # what is wrong with the question is found before a night is opened
    found = asked(load_recipe(place.ROOT / recipe, tuple(overrides)), methods, seeds)
    place.pools(tuple(pools))
    with open_beside(recipe, overrides, fresh) as tonight:
        refuse_unread(tonight.suites)
        snapshot = collect(tonight.night, tonight.recipe)
        preferences = validate(tonight.night, snapshot, tonight.recipe, tonight.base, tonight.suites)
        shared = steps.shared_preferences(preferences, found)
        planned = design(tonight.recipe, found, shared.n_train, pools or [tonight.recipe.pool])

        code, anew = steps.code(), tonight.night.flow_run if fresh else ""
        of = (shared, tonight.base, tonight.suites)
        start = _score_start(tonight.night, planned.trials[0], *of, code)

        def train(trial: Trial) -> Training:
            id_ = trial_id(trial, *of, code, anew)
            return steps.once(id_, partial(_trained, tonight.night, trial, id_, *of))

        trained = _in_blocks(planned.blocks, train)
        forecast = larger_sizes(
            steps.by_method(planned), shared, tonight.base, baselines_at(tonight.base), tonight.suites
        )
        alpha = steps.alpha_of(found, start)
        made = steps.conclude(
            tonight.night, tonight.recipe, found, planned, start, trained,
            differences(trained, start, START, alpha), differences(trained, start, found.first, alpha), forecast,
        )  # fmt: skip
        create_markdown_artifact(f"```\n{steps.told(made)}```", key="compare", description="A comparison of methods")
        return made


def _score_start(
    night: Night, trial: Trial, preferences: Preferences, base: Model, suites: Suites, code: Sequence[str]
) -> tuple[Marks, ...]:
    """The start's results, scored before any training's: all are measured from them."""
    start = trial.model_copy(update={"method": START})
    id_ = trial_id(start, preferences, base, suites, code)
    with billed_training(night, trial.recipe, START, id_) as apart:
        candidate = untrained(base, preferences, trial.recipe, steps.no_history())
        scores = score(apart, trial.recipe, preferences, suites, candidate, baselines_at(base), 1)
        return marks(trial.recipe, suites, preferences, scores)[0]


def _trained(night: Night, trial: Trial, id_: str, preferences: Preferences, base: Model, suites: Suites) -> Training:
    """One training in a flow run, a bill and an MLflow run of its own; what ends it early is its row."""
    with billed_training(night, trial.recipe, trial.method, id_) as apart:
        state: Any = compare_training(trial, apart, preferences, base, suites, return_state=True)
        return steps.row_of(trial, state, price_attempts(apart))


def _in_blocks(blocks: Sequence[Sequence[Trial]], train: Callable[[Trial], Training]) -> list[Training]:
    """Every block's trainings in turn; several blocks, each on a pool of its own, at the same time."""

    def block(trials: Sequence[Trial]) -> list[Training]:
        return [train(trial) for trial in trials]

    first, *others = blocks
    with ThreadPoolExecutor(max_workers=max(len(others), 1)) as threads:
        # a flow run finds its parent in the context; the first block stays in this thread, where Ctrl-C arrives
        beside = [threads.submit(copy_context().run, block, trials) for trials in others]
        return [*block(first), *(one for each in beside for one in each.result())]
