"""The recipe's phases in their order: each starts from the one before, and each that trains the model is a candidate.

A reward model below its floor drives nothing: the phases that ask for one are left out.
A phase that its own budget or its health ends takes nothing away from those before it: the chain ends there, and what
they made goes to the gate. What ends a whole night (its budget, its deadline, a program's error) ends it here, too.
"""

from collections.abc import Callable
from typing import NamedTuple

from infra.store import Blob, Store, Tree
from tasks.align.reward_model.report import read_report, refuse_weak
from tasks.chained import makes_candidate
from tasks.contracts import Candidate, Ended, Model, Plan, RewardModel, Trained
from tasks.errors import ModelError, OverBudget, PhaseSpent, Unhealthy
from tasks.parts import joined
from tasks.recipe import Recipe


class Stage(NamedTuple):
    """One phase at its place in the chain.

    Attributes:
        number: in the recipe, from 1.
        recipe, plan: of this phase alone.
        start: the phase before: what is trained, and what it is held to.
        reward: the reward model that was trained last, where it learns from one.
    """

    number: int
    recipe: Recipe
    plan: Plan
    start: Model
    reward: Tree | None


def train_chain(
    recipe: Recipe, plan: Plan, base: Model, store: Store, train_one: Callable[[Stage], Candidate | RewardModel]
) -> Trained:
    """Train all phases that have something to learn tonight.

    Raises:
        OverBudget, Unhealthy: a phase was ended before there was a candidate.
        ModelError: no candidate could be made without a reward model, which is below its floor.
        Others: as ``train_one``.
    """
    candidates: list[Candidate] = []
    ended: list[Ended] = []
    learned: list[Blob] = []
    start, reward, weak = base, None, None
    judged = sum(makes_candidate(recipe.phase[number - 1]) for number in with_steps(recipe, plan))
    for number, phase in enumerate(recipe.phase, start=1):
        own = plan.alone(number)
        if number not in with_steps(recipe, plan):
            ended.append(Ended(number=number, method=phase.method, why=own.reason))
            continue
        if phase.needs_model and weak is not None:
            ended.append(Ended(number=number, method=phase.method, why=f"left out: {weak.what} -> {weak.do}"))
            continue
        try:
            found = train_one(Stage(number, recipe.alone(number), own, start, reward if phase.needs_model else None))
        except (PhaseSpent, Unhealthy) as error:
            if not candidates and isinstance(error, PhaseSpent):
                raise OverBudget(error.what, do=error.do) from error  # the night has nothing else
            if not candidates:
                raise
            ended.append(Ended(number=number, method=phase.method, why=f"{error.what} -> {error.do}"))
            ended += _not_begun(recipe, number)
            break
        if isinstance(found, RewardModel):
            learned.append(found.pairs)
            reward, weak = _fit_to_drive(found, store)
            continue
        learned += [found.pairs] if found.pairs else []
        start = found.model
        # all that the chain was trained on: who is to be forgotten is looked for there
        pairs = joined(learned, store) if learned else None
        update = {"recipe": recipe.digest, "phase": number, "of": judged, "pairs": pairs}
        candidates.append(found if len(recipe.phase) == 1 else found.model_copy(update=update))
    if not candidates and weak is not None:
        raise weak  # nothing else was to be trained
    return Trained(candidates=tuple(candidates), ended=tuple(ended))


def _fit_to_drive(found: RewardModel, store: Store) -> tuple[Tree | None, ModelError | None]:
    """The reward model that later phases learn from, or why they may not."""
    try:
        refuse_weak(read_report(store.read_bytes(found.found), "the night's reward model"))
    except ModelError as error:
        return None, error
    return found.model, None


def with_steps(recipe: Recipe, plan: Plan) -> list[int]:
    """Numbers of the phases that train tonight."""
    return [number for number in range(1, len(recipe.phase) + 1) if plan.alone(number).steps > 0]


def _not_begun(recipe: Recipe, last: int) -> list[Ended]:
    return [
        Ended(number=number, method=phase.method, why=f"not begun: phase {last} before it was ended")
        for number, phase in enumerate(recipe.phase, start=1)
        if number > last
    ]
