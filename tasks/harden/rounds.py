"""Which tries there are to harden a candidate that didn't pass, and how each is judged and limited. Pure.

Every judgement is a decision of its own and spends the anchor's α (docs/design/gate.md). Against the champion the first
judgement of a night has the gate's α, and each further one half of that before it: whatever their number, a night lets
a candidate pass that is worse by more than the margin with probability below 2·α.
"""

from typing import Literal, NamedTuple

from infra.attempts import kind_of
from tasks.contracts import Bill, Plan, Preferences, Round, RoundSuite, TwinRows, Verdict
from tasks.recipe import Recipe


class Try(NamedTuple):
    """One try, counted from 1; ``share`` of a soup is the candidate's."""

    number: int
    kind: Literal["soup", "twins"]
    share: float | None = None


class Held(NamedTuple):
    """What a night has used when its hardening begins."""

    hours: float
    amount: float


def tries_of(recipe: Recipe, verdict: Verdict) -> tuple[Try, ...]:
    """The tries a night may make, soups first: they cost a scoring and no training.

    None where the recipe has it off, where the candidate passed, and where the gate blocked: nothing was judged then.
    """
    if not recipe.harden.on or verdict.verdict not in ("FAIL", "INCONCLUSIVE"):
        return ()
    soups = [Try(number, "soup", share) for number, share in enumerate(recipe.harden.soup, 1)]
    rounds = [Try(len(soups) + number, "twins") for number in range(1, recipe.harden.max_rounds + 1)]
    return (*soups, *rounds)


def recipe_of(recipe: Recipe, number: int, held: Held) -> Recipe:
    """The recipe that a try is trained and judged by: its own phase, α, and what hardening may still take."""
    spec, budget = recipe.harden, recipe.budget
    amount = budget.max_amount
    if spec.max_amount is not None:
        amount = min(amount, held.amount + spec.max_amount)
    limits = {"max_hours": min(budget.max_hours, held.hours + spec.max_hours), "max_amount": amount}
    return recipe.model_copy(
        update={
            "phase": (spec.phase,),
            "gate": recipe.gate.model_copy(update={"alpha": recipe.gate.alpha / 2**number}),
            "budget": budget.model_copy(update=limits),
            "data": recipe.data.model_copy(update={"replay": None}),  # a round's pairs are its twins
        }
    )


def held_so_far(bill: Bill, steps: frozenset[str]) -> Held:
    """Of the night's bill: hours that the pool was held by these steps, and money."""
    return Held(sum(line.seconds for line in bill.lines if kind_of(line.step) in steps) / 3600, bill.amount)


def plan_of(recipe: Recipe, plan: Plan, twins: TwinRows) -> Plan | None:
    """What a round trains; None where its twins fill no step."""
    rows = twins.n + twins.mixed
    steps = recipe.phase[0].steps_of(rows) if twins.n else 0
    if steps < 1:
        return None
    return plan.model_copy(update={"pairs": rows, "new_pairs": rows, "steps": steps, "earlier": None})


def pairs_of(preferences: Preferences, twins: TwinRows) -> Preferences:
    """The night's preferences with a round's rows to train on; what is held out stays what it was."""
    return preferences.model_copy(update={"train": twins.rows, "n_train": twins.n + twins.mixed})


def told(one: Try, recipe: Recipe, twins: TwinRows | None, why: str) -> Round:
    """A try that came to no verdict, and why."""
    return Round(
        number=one.number,
        kind=one.kind,
        share=one.share,
        method=recipe.phase[0].method if one.kind == "twins" else None,
        topics=twins.topics if twins else (),
        rows=twins.n if twins else 0,
        alpha=recipe.gate.alpha,
        reason=why,
    )


def judged(begun: Round, verdict: Verdict, fresh: dict[str, tuple[int, int]]) -> Round:
    """The try with its verdict.

    Args:
        fresh: suite → (items that no earlier judgement of the night has seen, all).
    """
    suites = tuple(
        RoundSuite(
            name=one.name,
            candidate=one.candidate,
            delta=one.delta,
            verdict=one.verdict,
            fresh=fresh.get(one.name, (0, 0))[0],
            items=fresh.get(one.name, (0, one.items))[1],
        )
        for one in verdict.suites
    )
    return begun.model_copy(
        update={
            "verdict": verdict.verdict,
            "reason": verdict.paragraph,
            "suites": suites,
            "candidate": verdict.candidate,
        }
    )


def failing(verdict: Verdict) -> frozenset[str]:
    """Suites that didn't pass: what a round is trained for, and judged on items that no one has seen."""
    return frozenset(one.name for one in verdict.suites if one.verdict in ("FAIL", "INCONCLUSIVE"))
