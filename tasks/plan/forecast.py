"""What the night would be on one pool: does it fit, on how many devices, by when, for how much? Pure."""

from collections.abc import Iterable

from infra.digest import Record
from infra.errors import PriceError
from infra.price_book import PriceBook
from tasks.lm.speed import Rate
from tasks.phases import METHODS
from tasks.plan.changes import changes_that_fit
from tasks.plan.effort import (
    money,
)
from tasks.plan.held import Facts, Held, Way, on_devices, parts_of, place_of, whole_step
from tasks.plan.memory import Memory
from tasks.recipe import Recipe


class Forecast(Record):
    """One line of the comparison.

    Attributes:
        runs: whether it fits, in time and money, on a pool that says nothing is wrong.
        why: why not; empty where it runs.
        do: what would make it run.
        devices: the fewest of the pool that fit and meet the deadline; where it doesn't run, those that come nearest.
        of: the pool's devices.
        seconds, kwh, amount: on ``devices``; None where they can't be said. Energy is always an estimate.
        whole_amount: on all of the pool's devices, as its block asks for now.
        example: the amount is of a price that is nobody's.
    """

    name: str
    device: str = ""
    runs: bool
    why: str = ""
    do: str = ""
    devices: int = 0
    of: int = 0
    memory: Memory | None = None
    capacity_bytes: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    kwh: float | None = None
    amount: float | None = None
    whole_amount: float | None = None
    currency: str = ""
    example: bool = False
    rate: Rate | None = None


def _largest_misfit(recipe: Recipe, facts: Facts, devices: int) -> tuple[str, str]:
    """What of the phase that needs the most memory is too big."""
    phases = [(on_devices(one, own, devices), one, own) for one, own in parts_of(recipe, facts)]
    number = max(range(len(phases)), key=lambda place: phases[place][0].memory.total)
    held, one, own = phases[number]
    what, do = memory_misfit(one, own, held)
    return f"phase {number + 1} ({one.phase[0].method}): {what}", do


def counts(recipe: Recipe, facts: Facts) -> list[int]:
    """How many devices can be taken: what divides the batch. A pool without accelerators is taken whole."""
    if not facts.device.accelerator:
        return [facts.device.count]
    batches = [phase.batch_size for phase in recipe.phase]
    return [devices for devices in range(1, facts.device.count + 1) if all(batch % devices == 0 for batch in batches)]


def fewest(held: Iterable[Held], capacity: int, deadline: float) -> Held | None:
    """The first, which are in order of devices, that fits the memory and meets the deadline (seconds)."""
    return next((one for one in held if one.memory.total <= capacity and one.seconds <= deadline), None)


def forecast(name: str, recipe: Recipe, facts: Facts, prices: PriceBook, way: Way | None = None) -> Forecast:
    """The night on one pool, on the fewest of its devices that do."""
    all_ = [on_devices(recipe, facts, devices, way) for devices in counts(recipe, facts)]
    deadline = recipe.budget.max_hours * 3600
    chosen = fewest(all_, facts.memory_bytes, deadline)
    fitting = [one for one in all_ if one.memory.total <= facts.memory_bytes]
    # of what doesn't run, the nearest: what fits and is fastest, else what needs least
    shown = chosen or (fitting[-1] if fitting else min(all_, key=lambda one: one.memory.total))
    why, do = _misfit(recipe, facts, shown, way) if not chosen else ("", "")
    why, do = cannot_run(facts) or (cannot_draw(recipe, facts) if way is None else None) or (why, do)
    values = {
        "name": name,
        "device": facts.device.kind,
        "devices": shown.devices,
        "of": facts.device.count,
        "memory": shown.memory,
        "capacity_bytes": facts.memory_bytes,
        "tokens": round(shown.effort.tokens),
        "seconds": shown.seconds,
        "rate": facts.rate,
        "currency": prices.currency,
    }
    try:
        values |= _priced(prices, facts, shown, all_[-1])
    except PriceError as error:
        return Forecast.model_validate({**values, "runs": False, "why": why or error.what, "do": do or error.do})
    if not why:
        shown_amount = amount_in_words(values["amount"], prices.currency, example=values["example"])
        why, do = over_budget(values["amount"], shown_amount, recipe, facts.month_left)
    return Forecast.model_validate({**values, "runs": not why, "why": why, "do": do})


def cannot_run(facts: Facts) -> tuple[str, str] | None:
    """What no number of devices changes."""
    if facts.pool_problems:
        return "; ".join(facts.pool_problems), "mend the pool's block (Prefect UI, Blocks) or choose another pool"
    if not facts.max_sequence_tokens <= facts.context:
        return (
            f"the longest pair has {facts.max_sequence_tokens} tokens of prompt and answer, "
            f"the model was made for {facts.context}",
            "lower data.max_prompt_tokens or data.max_answer_tokens, or take a model with a longer context",
        )
    return None


def cannot_draw(recipe: Recipe, facts: Facts) -> tuple[str, str] | None:
    """What keeps a method of the recipe from learning from its own answers on this pool."""
    if facts.later:
        return next(filter(None, (cannot_draw(one, own) for one, own in parts_of(recipe, facts))), None)
    phase, longest = recipe.phase[0], facts.max_prompt_tokens + recipe.phase[0].max_new_tokens
    if not METHODS[phase.method].draws:
        return None
    if facts.device.accelerator and facts.device.count > 1:
        return (
            f"method {phase.method} trains in one process, the pool has {facts.device.count}",
            "take one process in the pool's block, or a method that trains on pairs",
        )
    if not longest <= facts.context:
        return (
            f"the longest prompt and an answer of phase.max_new_tokens = {phase.max_new_tokens} have {longest} tokens, "
            f"the model was made for {facts.context}",
            "lower phase.max_new_tokens or data.max_prompt_tokens, or take a model with a longer context",
        )
    return None


def _priced(prices: PriceBook, facts: Facts, shown: Held, whole: Held) -> dict[str, float | bool]:
    def cost(held: Held, devices: int):
        return money(prices, facts.device, held.seconds / 3600, devices, facts.hardware)

    one = cost(shown, shown.devices)
    # as many as its block asks for hold the whole time, also those that the batch leaves idle
    return {
        "kwh": one.kwh,
        "amount": one.amount,
        "example": one.example,
        "whole_amount": cost(whole, facts.device.count).amount,
    }


def _misfit(recipe: Recipe, facts: Facts, shown: Held, way: Way | None) -> tuple[str, str]:
    """Why the night doesn't run so, and what would make it run."""
    if not shown.memory.total <= facts.memory_bytes:
        return memory_misfit(recipe, facts, shown, way)
    hours, limit = shown.seconds / 3600, recipe.budget.max_hours
    return (
        f"takes {hours:.2f} h on {shown.devices} of {facts.device.count}, the deadline is {limit:g} h",
        "lower phase.max_steps, raise budget.max_hours, or choose a faster pool",
    )


def memory_misfit(recipe: Recipe, facts: Facts, shown: Held, way: Way | None = None) -> tuple[str, str]:
    """Which part is too big, and the changes that each make it fit."""
    if way is None and facts.later:
        return _largest_misfit(recipe, facts, shown.devices)
    part = shown.memory.largest
    what = (
        f"training needs about {gigabytes(shown.memory.total)} GB, "
        f"of which {part} {gigabytes(shown.memory.parts()[part])} GB"
    )
    if way is not None:  # of another method than the recipe's no change is looked for
        shared = _shared_weights(recipe, facts, way)
        return what, f"set {shared}" if shared else "take more or larger devices, or a method that needs less"
    phase, place = recipe.phase[0], place_of(facts, shown.devices)
    if METHODS[phase.method].draws:
        return what, (
            "lower phase.max_tokens, phase.max_new_tokens or data.max_prompt_tokens, set "
            "phase.gradient_checkpointing = true, or choose another pool"
        )
    ways = changes_that_fit(
        facts.shape,
        phase,
        whole_step(phase, facts, shown.devices),
        facts.max_pair_tokens,
        facts.memory_bytes,
        place,
    )
    if shared := _shared_weights(recipe, facts):
        ways.append(shared)
    do = f"each of these makes it fit, the cheapest first: {'; '.join(ways)}"
    return what, do if ways else "choose another pool or a smaller model: no single change of the recipe makes it fit"


def _shared_weights(recipe: Recipe, facts: Facts, way: Way | None = None) -> str | None:
    """Sharing the weights among the pool's devices, where that makes it fit."""
    if facts.shares_weights or not facts.device.accelerator or facts.device.count < 2:
        return None
    sharing = facts.model_copy(update={"shares_weights": True})
    for devices in counts(recipe, sharing)[1:]:
        if on_devices(recipe, sharing, devices, way).memory.total <= facts.memory_bytes:
            return f"share_weights = true in the pool's block, on {devices} devices"
    return None


def over_budget(amount: float, in_words: str, recipe: Recipe, month_left: float | None) -> tuple[str, str]:
    """Why the night costs too much, and what to do; empty where it doesn't."""
    if not amount <= recipe.budget.max_amount:
        return (
            f"the night would cost about {in_words}, the budget is {recipe.budget.max_amount} (budget.max_amount)",
            "lower phase.max_steps or raise the budget",
        )
    if month_left is not None and not amount <= month_left:
        return (
            f"the night would cost about {in_words}, {month_left:.2f} are left of this month "
            f"(budget.max_month_amount = {recipe.budget.max_month_amount})",
            "wait for the next month, lower phase.max_steps, or raise budget.max_month_amount",
        )
    return "", ""


def amount_in_words(amount: float, currency: str, *, example: bool) -> str:
    return f"{amount:.2f} {currency}{' (by an example price)' if example else ''}"


def cheapest(forecasts: Iterable[Forecast]) -> str | None:
    """The pool that runs the night for least; of equal ones the faster, then the first. None where none runs it."""
    running = [one for one in forecasts if one.runs]
    return min(running, key=_cost).name if running else None


def _cost(one: Forecast) -> tuple[float, float]:
    assert one.amount is not None  # what runs has a price and a time
    assert one.seconds is not None
    return one.amount, one.seconds


def cannot(name: str, why: str, do: str) -> Forecast:
    """The line of a pool that can't even be asked."""
    return Forecast(name=name, runs=False, why=why, do=do)


def gigabytes(bytes_: float) -> str:
    """For people: 10^9 bytes, one decimal."""
    return f"{bytes_ / 1e9:.1f}"
