"""decide: is there enough to learn tonight, and do memory, time and money suffice? Pure."""

from infra.attempts import Device
from infra.digest import Record
from infra.price_book import PriceBook
from tasks.contracts import Plan
from tasks.errors import PlanError
from tasks.recipe import Recipe

BYTES = 4  # fp32; on accelerators bf16 halves this, so the forecast errs on the safe side
BACKWARD = 3.0  # forward and backward of a LoRA step, in forward passes
REFERENCE = 1.0  # the reference's forward
# activations kept for the backward pass, in units of tokens × hidden × layers: attention and MLP inputs, and SDPA's
ACTIVATIONS = 34.0
LOGITS = 4.0  # logits, their log-softmax, its gradient and a copy for the metrics
OVERHEAD = 1.2e9  # interpreter, libraries, allocator


class Facts(Record):
    """What decide looks at."""

    new_pairs: int
    train_pairs: int
    house_items: int
    gate_items: int
    parameters: int
    hidden: int
    layers: int
    vocabulary: int
    mean_pair_tokens: float  # prompt twice, chosen and rejected
    max_pair_tokens: float
    memory_bytes: int
    device: Device
    speed: float  # tokens × parameters per second of training
    pool_problems: tuple[str, ...] = ()  # what the pool says is wrong with it


def decide_plan(recipe: Recipe, facts: Facts, prices: PriceBook) -> Plan:
    """The night's plan; ``train`` is False, with the reason, when there is too little to learn.

    Raises:
        PlanError: the pool can't run, or the plan does not fit its memory or the recipe's budget.
    """
    phase = recipe.phase[0]
    steps = min(phase.max_steps, facts.train_pairs // phase.batch_size)
    pairs = steps * phase.batch_size
    memory = forecast_memory(facts, phase.batch_size)
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
    if not plan.memory_bytes <= facts.memory_bytes:
        raise PlanError(
            f"training needs about {plan.memory_bytes / 1e9:.1f} GB, "
            f"the pool {recipe.pool} has {facts.memory_bytes / 1e9:.1f} GB free",
            do="lower phase.batch_size or data.max_*_tokens, or choose another pool",
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


def forecast_memory(facts: Facts, batch_size: int) -> int:
    """Bytes: weights, the activations of the longest batch (every pair padded to it), its logits, and overhead."""
    tokens = batch_size * facts.max_pair_tokens
    activations = tokens * facts.hidden * facts.layers * ACTIVATIONS
    logits = tokens * facts.vocabulary * LOGITS
    return int((facts.parameters + activations + logits) * BYTES + OVERHEAD)


def forecast_seconds(facts: Facts, pairs: int) -> float:
    """Training (at the device's speed) and scoring the candidate (one forward pass a token)."""
    token_passes = pairs * facts.mean_pair_tokens + facts.gate_items * facts.mean_pair_tokens / (BACKWARD + REFERENCE)
    return token_passes * facts.parameters / (facts.speed * facts.device.count)
