"""decide: is there enough to learn tonight, and do memory, time and money suffice? Pure."""

from infra.price_book import PriceBook
from tasks.contracts import Plan
from tasks.errors import PlanError, PoolDown
from tasks.phases import Phase
from tasks.plan.effort import money
from tasks.plan.forecast import (
    Facts,
    Held,
    amount_in_words,
    cannot_draw,
    cannot_run,
    gigabytes,
    memory_misfit,
    on_devices,
    over_budget,
    steps_of,
)
from tasks.recipe import Recipe


def decide_plan(recipe: Recipe, facts: Facts, prices: PriceBook) -> Plan:
    """The night's plan; ``train`` is False, with the reason, when there is too little to learn.

    Raises:
        PlanError: the pool can't run, or the plan does not fit its memory or the recipe's budget.
    """
    phase, steps, devices = recipe.phase[0], steps_of(recipe, facts), facts.device.count
    held = on_devices(recipe, facts, devices)
    cost = money(prices, facts.device, held.seconds / 3600, devices, facts.hardware)
    plan = Plan(
        train=True,
        reason=f"{facts.new_pairs} new pairs; {steps} steps of {phase.batch_size} pairs{_again(phase)}",
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
    return plan


def _again(phase: Phase) -> str:
    """What a step's pairs are, where they aren't each trained on once."""
    if phase.method == "reward":
        return f", {phase.reward_holdout:.0%} of the prompts beside them held out"
    if phase.method == "reject":
        return f", {phase.group_size} answers drawn to {phase.draw_factor:g} prompts for each"
    return f", {phase.epochs} steps on the same" if phase.epochs > 1 else ""


def nothing_to_learn(recipe: Recipe, facts: Facts, steps: int) -> str | None:
    """Why tonight isn't worth a training, or None."""
    phase = recipe.phase[0]
    labels = f"; method {phase.method} learns nothing from {facts.unfit_labels} labels" if facts.unfit_labels else ""
    if facts.without_truth:
        labels += f"; {facts.without_truth} rows have no `truth`, which {', '.join(phase.reward)} compares with"
    if facts.new_pairs < recipe.data.min_new_pairs:
        return (
            f"{facts.new_pairs} new training pairs since the champion; "
            f"the recipe asks for {recipe.data.min_new_pairs} (data.min_new_pairs){labels}"
        )
    if steps < 1:
        return f"{facts.train_pairs} training pairs don't fill one batch of {phase.batch_size}{labels}"
    has_house = any(suite.name == "house" and suite.path is None for suite in recipe.gate.suites)
    if has_house and facts.house_items < recipe.gate.min_items:
        return (
            f"the house suite would hold {facts.house_items} items, "
            f"the gate asks for {recipe.gate.min_items} (gate.min_items): "
            "nothing trained tonight could pass"
        )
    return None


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
