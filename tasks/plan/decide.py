"""decide: is there enough to learn tonight, and do memory, time and money suffice? Pure."""

from infra.attempts import Device
from infra.digest import Record
from infra.price_book import PriceBook
from tasks.contracts import Plan
from tasks.errors import PlanError
from tasks.phases import Phase
from tasks.plan.memory import Place, Shape, changes_that_fit, peak_bytes
from tasks.recipe import Recipe

FORWARD = 1 / 3  # of a training step's time: the reference's pass over a new pair, a scored item


class Facts(Record):
    """What decide looks at."""

    new_pairs: int
    train_pairs: int
    house_items: int
    gate_items: int
    shape: Shape
    context: int  # positions the model was made for
    mean_item_tokens: float  # of a gate item, about
    mean_pair_tokens: float  # prompt, chosen and rejected, as they go through the model
    max_pair_tokens: int
    max_sequence_tokens: int  # prompt and the longer answer
    memory_bytes: int
    device: Device
    speed: float  # tokens × parameters per second of training
    sharing: int = 1  # processes that share the weights
    prompts_a_pair: int = 1  # how often a pair's prompt goes through the model
    pool_problems: tuple[str, ...] = ()  # what the pool says is wrong with it


def decide_plan(recipe: Recipe, facts: Facts, prices: PriceBook) -> Plan:
    """The night's plan; ``train`` is False, with the reason, when there is too little to learn.

    Raises:
        PlanError: the pool can't run, or the plan does not fit its memory or the recipe's budget.
    """
    phase = recipe.phase[0]
    steps = min(phase.max_steps, facts.train_pairs // phase.batch_size)
    pairs = steps * phase.batch_size
    memory = peak_bytes(facts.shape, phase, whole_step(phase, facts), facts.max_pair_tokens, place_of(facts))
    seconds = forecast_seconds(facts, pairs)
    price = prices.price(facts.device.kind)
    hours = seconds / 3600 * facts.device.count
    power = hours * price.watts / 1000 * prices.tariff_per_kwh if price.pays_power else 0.0
    plan = Plan(
        train=True,
        reason=f"{facts.new_pairs} new pairs; {steps} steps of {phase.batch_size} pairs",
        new_pairs=facts.new_pairs,
        pairs=pairs,
        steps=steps,
        memory_bytes=memory,
        seconds=seconds,
        amount=hours * price.per_hour + power,
        currency=prices.currency,
    )
    too_little = nothing_to_learn(recipe, facts, steps)
    if too_little:
        return plan.model_copy(update={"train": False, "reason": too_little, "pairs": 0, "steps": 0})
    refuse_misfit(recipe, plan, facts)
    return plan


def nothing_to_learn(recipe: Recipe, facts: Facts, steps: int) -> str | None:
    """Why tonight isn't worth a training, or None."""
    if facts.new_pairs < recipe.data.min_new_pairs:
        return (
            f"{facts.new_pairs} new training pairs since the champion; "
            f"the recipe asks for {recipe.data.min_new_pairs} (data.min_new_pairs)"
        )
    if steps < 1:
        return f"{facts.train_pairs} training pairs don't fill one batch of {recipe.phase[0].batch_size}"
    has_house = any(suite.name == "house" and suite.path is None for suite in recipe.gate.suites)
    if has_house and facts.house_items < recipe.gate.min_items:
        return (
            f"the house suite would hold {facts.house_items} items, "
            f"the gate asks for {recipe.gate.min_items} (gate.min_items): "
            "nothing trained tonight could pass"
        )
    return None


def refuse_misfit(recipe: Recipe, plan: Plan, facts: Facts) -> None:
    if facts.pool_problems:
        raise PlanError(
            f"the pool {recipe.pool} can't run: {'; '.join(facts.pool_problems)}",
            do="mend the pool's block (Prefect UI, Blocks) or choose another pool",
        )
    if not facts.max_sequence_tokens <= facts.context:
        raise PlanError(
            f"the longest pair has {facts.max_sequence_tokens} tokens of prompt and answer, "
            f"the model was made for {facts.context}",
            do="lower data.max_prompt_tokens or data.max_answer_tokens, or take a model with a longer context",
        )
    if not plan.memory_bytes <= facts.memory_bytes:
        phase = recipe.phase[0]
        ways = changes_that_fit(
            facts.shape,
            phase,
            whole_step(phase, facts),
            facts.max_pair_tokens,
            facts.memory_bytes,
            place_of(facts),
        )
        raise PlanError(
            f"training needs about {plan.memory_bytes / 1e9:.1f} GB, "
            f"the pool {recipe.pool} has {facts.memory_bytes / 1e9:.1f} GB free",
            do=f"each of these makes it fit, the cheapest first: {'; '.join(ways)}"
            if ways
            else "choose another pool or a smaller model: no single change of the recipe makes it fit",
        )
    if not plan.seconds <= recipe.budget.max_hours * 3600:
        raise PlanError(
            f"the night needs about {plan.seconds / 3600:.2f} h on the pool {recipe.pool}, "
            f"the budget is {recipe.budget.max_hours} h (budget.max_hours)",
            do="lower phase.max_steps, raise the budget, or choose a faster pool",
        )
    if not plan.amount <= recipe.budget.max_amount:
        raise PlanError(
            f"the night would cost about {plan.amount:.2f} {plan.currency}, "
            f"the budget is {recipe.budget.max_amount} (budget.max_amount)",
            do="lower phase.max_steps or raise the budget",
        )


def place_of(facts: Facts) -> Place:
    return Place(accelerator=facts.device.accelerator, sharing=facts.sharing, prompts=facts.prompts_a_pair)


def whole_step(phase: Phase, facts: Facts) -> int:
    """Tokens of a step, at most."""
    return phase.batch_size * facts.max_pair_tokens


def forecast_seconds(facts: Facts, pairs: int) -> float:
    """Training and its reference, at the device's speed, and scoring the candidate: one forward pass a token."""
    token_passes = pairs * facts.mean_pair_tokens * (1 + FORWARD) + facts.gate_items * facts.mean_item_tokens * FORWARD
    return token_passes * facts.shape.parameters / (facts.speed * facts.device.count)
