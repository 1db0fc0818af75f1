"""Which trainings a comparison takes, each known by the digest of what decides its figures. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from infra.digest import Digest, Record, digest_of
from tasks.compare.phases import check_methods, check_tables, phase_for, preference_budget, within_budget
from tasks.compared import Trial
from tasks.contracts import Baseline, Baselines, Candidate, Model, Plan, Preferences, Suites
from tasks.errors import PlanError, RecipeError, SuiteError
from tasks.phases import Phase
from tasks.recipe import Recipe


class Asked(Record):
    """What a comparison was asked for, checked: phases by method, in their order, and the number of seeds."""

    phases: dict[str, Phase]
    seeds: int

    @property
    def first(self) -> str:
        """What the other methods are held against."""
        return next(iter(self.phases))


class Design(NamedTuple):
    """All trainings of a comparison, in blocks: each block runs on a pool of its own."""

    budget: int
    blocks: tuple[tuple[Trial, ...], ...]

    @property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(trial for block in self.blocks for trial in block)


def asked(recipe: Recipe, methods: Sequence[str], seeds: int) -> Asked:
    """Methods, seeds and tables, found wrong before anything is read or held.

    Raises:
        RecipeError: no seed; a method that nothing here trains, or that lacks what it needs.
    """
    if seeds < 1:
        raise RecipeError(f"a comparison takes a seed or more, not {seeds}", do="say how many, as in --seeds 3")
    check_tables(recipe)
    return Asked(phases={name: phase_for(name, recipe) for name in check_methods(methods)}, seeds=seeds)


def design(recipe: Recipe, found: Asked, available: int, pools: Sequence[str]) -> Design:
    """Every method with every seed. A pool takes whole seeds: what is peculiar to it is in all methods alike.

    Args:
        available: training pairs that all methods learn from.
    """
    budget = preference_budget(
        list(found.phases.values()), recipe.phase[0].pairs_of(recipe.phase[0].max_steps), available
    )
    seeds = [recipe.seed + number for number in range(found.seeds)]
    blocks = tuple(
        tuple(
            Trial(method=method, recipe=of_trial(recipe, within_budget(phase, budget), seed, pool))
            for seed in seeds[number :: len(pools)]
            for method, phase in found.phases.items()
        )
        for number, pool in enumerate(pools[: len(seeds)])
    )
    return Design(budget, blocks)


def of_trial(recipe: Recipe, phase: Phase, seed: int, pool: str) -> Recipe:
    """The recipe as one training of the comparison takes it: scored to the end, whatever harm there is."""
    gate = recipe.gate.model_copy(update={"early_stop": False, "aa_items": 0})
    data = recipe.data.model_copy(update={"replay": None})
    changes = {"phase": (phase,), "seed": seed, "pool": pool, "fallback_pools": (), "gate": gate, "data": data}
    return recipe.model_copy(update=changes)


def trial_id(
    trial: Trial, preferences: Preferences, base: Model, suites: Suites, code: Sequence[str], anew: str = ""
) -> Digest:
    """What a training's figures depend on; a comparison that asks for the same again finds them.

    Args:
        code: revisions of what trains and scores, and versions of libraries.
        anew: tells a training that is to be done again from the one before.
    """
    phase = trial.recipe.phase[0].model_dump(mode="json")  # also how the work is cut: it is a part of what it costs
    return digest_of(
        ["trial", trial.method, trial.recipe, phase, trial.recipe.pool, preferences, base, suites, list(code), anew]
    )


def baselines_at(start: Model) -> Baselines:
    """The start in the places of champion and anchor: what a training of a comparison is measured from."""
    baseline = Baseline(version=0, model=start, trained_on=None)
    return Baselines(champion=baseline, anchor=baseline)


def untrained(start: Model, preferences: Preferences, recipe: Recipe, history: object) -> Candidate:
    """The start as a candidate, to be scored once before all others."""
    return Candidate.model_validate(
        {
            "model": start,
            "preferences": preferences.digest,
            "recipe": recipe.digest,
            "history": history,
            "mlflow_run": "",
        }
    )


def refuse_unread(suites: Suites) -> None:
    """Found before anything is trained.

    Raises:
        SuiteError: a suite can't be read.
    """
    if suites.problems:
        raise SuiteError(suites.problems[0], do="mend the suite, or take it out of the recipe")


def refuse_idle(plan: Plan) -> Plan:
    """The plan, where there is something to train.

    Raises:
        PlanError: there is too little to learn; the reason says of what.
    """
    if not plan.train:
        raise PlanError(
            f"nothing to train: {plan.reason}", do="bring more preferences, or lower what the recipe asks for"
        )
    return plan
