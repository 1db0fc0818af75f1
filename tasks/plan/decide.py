"""decide: is there enough to learn tonight, and do memory, time and money suffice? Pure."""

from collections.abc import Sequence

from infra.price_book import PriceBook
from tasks.contracts import PhasePlan, Plan
from tasks.errors import PlanError, PoolDown
from tasks.phases import METHODS, Phase
from tasks.plan.effort import money
from tasks.plan.forecast import amount_in_words, cannot_draw, cannot_run, gigabytes, memory_misfit, over_budget
from tasks.plan.held import Facts, Held, on_devices, parts_of, steps_of
from tasks.recipe import Recipe


def decide_plan(recipe: Recipe, facts: Facts, prices: PriceBook) -> Plan:
    """The night's plan; ``train`` is False, with the reason, when there is too little to learn.

    Raises:
        PlanError: the pool can't run, or the plan does not fit its memory or the recipe's budget.
    """
    if facts.later:
        return _decide_chain(recipe, facts, prices)
    phase, steps, devices = recipe.phase[0], steps_of(recipe, facts), facts.device.count
    held = on_devices(recipe, facts, devices)
    cost = money(prices, facts.device, held.seconds / 3600, devices, facts.hardware)
    plan = Plan(
        train=True,
        reason=f"{facts.new_pairs} new pairs; {steps_in_words(phase, steps)}",
        new_pairs=facts.new_pairs,
        earlier=facts.earlier,
        pairs=phase.pairs_of(steps),
        steps=steps,
        memory_bytes=held.memory.total,
        seconds=held.seconds,
        amount=cost.amount,
        currency=prices.currency,
        example=cost.example,
    )
    too_little = nothing_to_learn(recipe, facts, steps)
    if too_little:
        return plan.model_copy(update={"train": False, "reason": too_little, "pairs": 0, "steps": 0})
    refuse_misfit(recipe, plan, held, facts)
    refuse_phase(recipe, plan, 1)
    return plan


def _again(phase: Phase) -> str:
    """What a step's pairs are, where they aren't each trained on once."""
    if phase.method == "reward":
        return f", {phase.reward_holdout:.0%} of the prompts beside them held out"
    if phase.method == "reject":
        return f", {phase.group_size} answers drawn to {phase.draw_factor:g} prompts for each"
    return f", {phase.epochs} steps on the same" if phase.epochs > 1 else ""


def steps_in_words(phase: Phase, steps: int) -> str:
    on = f" on {phase.on}" if phase.on else ""
    return f"{steps} steps of {phase.batch_size} pairs{on}{_again(phase)}"


def _decide_chain(recipe: Recipe, facts: Facts, prices: PriceBook) -> Plan:
    """All phases that have something to learn, one after another on the same devices."""
    phases: list[PhasePlan] = []
    for one, own in parts_of(recipe, facts):
        phases.append(_plan_phase(one, own, prices, phases))
    new = max(own.new_pairs for _, own in parts_of(recipe, facts))
    said = "; ".join(f"phase {one.number} ({one.method}): {one.reason}" for one in phases)
    device = facts.device
    plan = Plan(
        train=True,
        reason=f"{new} new pairs; {said}",
        new_pairs=new,
        earlier=facts.earlier,
        pairs=sum(one.pairs for one in phases),
        steps=sum(one.steps for one in phases),
        memory_bytes=max(one.memory_bytes for one in phases),
        seconds=sum(one.seconds for one in phases),
        amount=sum(one.amount for one in phases),
        currency=prices.currency,
        example=money(prices, device, 1.0, device.count, facts.hardware).example,
        phases=tuple(phases),
    )
    if too_little := _idle_chain(recipe, facts, plan, said):
        idle = tuple(one.model_copy(update={"pairs": 0, "steps": 0}) for one in phases)
        return plan.model_copy(update={"train": False, "reason": too_little, "pairs": 0, "steps": 0, "phases": idle})
    refuse_misfit(recipe, plan, on_devices(recipe, facts, device.count), facts)
    for one in phases:
        refuse_phase(recipe.alone(one.number), plan.alone(one.number), one.number)
    return plan


def _plan_phase(recipe: Recipe, facts: Facts, prices: PriceBook, before: Sequence[PhasePlan]) -> PhasePlan:
    """What a phase takes; nothing where it has nothing to do.

    Args:
        recipe, facts: of the phase alone.
        before: the phases before it.
    """
    phase, steps, number = recipe.phase[0], steps_of(recipe, facts), len(before) + 1
    if why := _idle_phase(recipe, facts, steps, before):
        return PhasePlan(
            number=number, method=phase.method, reason=why, pairs=0, steps=0, memory_bytes=0, seconds=0.0, amount=0.0
        )
    held = on_devices(recipe, facts, facts.device.count)
    cost = money(prices, facts.device, held.seconds / 3600, facts.device.count, facts.hardware)
    return PhasePlan(
        number=number,
        method=phase.method,
        reason=steps_in_words(phase, steps),
        pairs=phase.pairs_of(steps),
        steps=steps,
        memory_bytes=held.memory.total,
        seconds=held.seconds,
        amount=cost.amount,
    )


def _idle_phase(recipe: Recipe, facts: Facts, steps: int, before: Sequence[PhasePlan]) -> str:
    """Why a phase of several has nothing to do tonight; empty where it has."""
    phase = recipe.phase[0]
    if steps < 1:
        return too_few(recipe, facts)
    models = [one for one in before if METHODS[one.method].makes == "reward" and one.steps]
    if phase.needs_model and not models:
        return "there is no reward model tonight: the phase that trains one has nothing to learn from"
    return ""


def _idle_chain(recipe: Recipe, facts: Facts, plan: Plan, said: str) -> str | None:
    """Why the whole night isn't worth a training, or None."""
    if plan.new_pairs < recipe.data.min_new_pairs:
        return not_enough_new(recipe, plan.new_pairs)
    if not any(one.steps and METHODS[one.method].makes == "candidate" for one in plan.phases):
        return f"no phase has enough to make a candidate of: {said}"
    return _house_too_small(recipe, facts)


def nothing_to_learn(recipe: Recipe, facts: Facts, steps: int) -> str | None:
    """Why tonight isn't worth a training, or None. Of several phases by the first's facts."""
    if facts.new_pairs < recipe.data.min_new_pairs:
        return f"{not_enough_new(recipe, facts.new_pairs)}{_left_out(recipe, facts)}"
    return too_few(recipe, facts) if steps < 1 else _house_too_small(recipe, facts)


def not_enough_new(recipe: Recipe, new: int) -> str:
    return (
        f"{new} new training pairs since the champion; "
        f"the recipe asks for {recipe.data.min_new_pairs} (data.min_new_pairs)"
    )


def too_few(recipe: Recipe, facts: Facts) -> str:
    phase = recipe.phase[0]
    on = f" on {phase.on}" if phase.on else ""
    return (
        f"{facts.train_pairs} training pairs{on} don't fill one batch of {phase.batch_size}{_left_out(recipe, facts)}"
    )


def _left_out(recipe: Recipe, facts: Facts) -> str:
    phase = recipe.phase[0]
    labels = f"; method {phase.method} learns nothing from {facts.unfit_labels} labels" if facts.unfit_labels else ""
    if facts.without_truth:
        labels += f"; {facts.without_truth} rows have no `truth`, which {', '.join(phase.reward)} compares with"
    return labels


def _house_too_small(recipe: Recipe, facts: Facts) -> str | None:
    has_house = any(suite.name == "house" and suite.path is None for suite in recipe.gate.suites)
    if not has_house or facts.house_items >= recipe.gate.min_items:
        return None
    return (
        f"the house suite would hold {facts.house_items} items, "
        f"the gate asks for {recipe.gate.min_items} (gate.min_items): "
        "nothing trained tonight could pass"
    )


def refuse_phase(recipe: Recipe, plan: Plan, number: int) -> None:
    """Refuse a phase that would not come to its end within its own budget.

    Args:
        recipe, plan: of the phase alone.
    """
    phase = recipe.phase[0]
    for name, most, needs, unit in (
        ("max_hours", phase.max_hours, plan.seconds / 3600, "h"),
        ("max_amount", phase.max_amount, plan.amount, plan.currency),
    ):
        if most is not None and not needs <= most:
            raise PlanError(
                f"phase {number} ({phase.method}) needs about {needs:.2f} {unit}, its own budget is {most:g} "
                f"(phase.{number - 1}.{name})",
                do=f"lower its max_steps, raise its {name}, or choose a cheaper pool",
            )


def refuse_misfit(recipe: Recipe, plan: Plan, held: Held, facts: Facts) -> None:
    if problem := cannot_run(facts):
        what, do = problem
        if facts.pool_problems:
            raise PoolDown(f"the pool {recipe.pool} can't run: {what}", do=do)
        raise PlanError(what, do=do)
    if problem := cannot_draw(recipe, facts):
        what, do = problem
        raise PlanError(what, do=do)
    if not plan.memory_bytes <= facts.memory_bytes:
        what, do = memory_misfit(recipe, facts, held)
        raise PlanError(f"{what}; the pool {recipe.pool} has {gigabytes(facts.memory_bytes)} GB", do=do)
    if not plan.seconds <= recipe.budget.max_hours * 3600:
        raise PlanError(
            f"the night needs about {plan.seconds / 3600:.2f} h on the pool {recipe.pool}, "
            f"the budget is {recipe.budget.max_hours} h (budget.max_hours)",
            do="lower phase.max_steps, raise the budget, or choose a faster pool",
        )
    amount = amount_in_words(plan.amount, plan.currency, example=plan.example)
    what, do = over_budget(plan.amount, amount, recipe, facts.month_left)
    if what:
        raise PlanError(what, do=do)


__all__ = ["Facts", "decide_plan", "nothing_to_learn"]
