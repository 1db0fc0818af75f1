"""What may still be spent tonight: the recipe's budget against what was billed. For the steps that hold a pool."""

import time
from datetime import datetime
from decimal import Decimal

from infra.attempts import Device, kind_of, step_of
from infra.price_book import exact, load_price_book
from tasks import place
from tasks.contracts import Bill, Night
from tasks.cost.budget import money_left
from tasks.cost.kept import KeptBill, read_bills
from tasks.cost.meter_live import Limit, LiveMeter, Watch
from tasks.cost.steps import began, price_attempts
from tasks.phases import Phase
from tasks.recipe import Recipe

# the steps that hold the pool, whose hours the budget limits
POOL_STEPS = frozenset({"sample", "align", "align_again", "soup", "score", "train_first", "train_apart"})


def month_left(night: Night, recipe: Recipe) -> Decimal | None:
    """What the month's budget has left for this night; None: it has no limit. A decision to begin depends on it."""
    if recipe.budget.max_month_amount is None:
        return None
    currency = load_price_book(place.settings().price_book).currency
    return money_left(_month(night), recipe, currency, night=night.id)


def watch(night: Night, recipe: Recipe, device: Device, number: int | None = None) -> Watch:
    """A watch over a step that is about to hold ``device``.

    Args:
        number: of the phase that is trained, where the recipe is that phase's alone: its own budget counts, too.

    Raises:
        PastDeadline: it is too late to begin it.
    """
    bill = price_attempts(night)
    book = load_price_book(place.settings().price_book)
    a_second = book.all_in(device.kind, device.pool).per_hour * device.count / 3600
    limits = [Limit("budget.max_amount", exact(recipe.budget.max_amount), exact(bill.amount), a_second, bill.currency)]
    month = _month(night) if recipe.budget.max_month_amount is not None else []
    left = money_left(month, recipe, bill.currency, night=night.id)
    if left is not None and recipe.budget.max_month_amount is not None:
        most = exact(recipe.budget.max_month_amount)
        before = most - left + exact(bill.amount)
        limits.append(Limit("budget.max_month_amount", most, before, a_second, bill.currency))
    seconds = exact(recipe.budget.max_hours) * 3600
    limits.append(Limit("budget.max_hours", seconds, _held(bill), Decimal(1), "s"))
    own = LiveMeter(_own(recipe.phase[0], number, bill, a_second)) if number is not None else None
    found = Watch(
        LiveMeter(tuple(limits)), time.monotonic, datetime.fromisoformat(night.ends_by) if night.ends_by else None,
        own=own,
    )  # fmt: skip
    found.look_at_deadline()
    return found


def _own(phase: Phase, number: int, bill: Bill, a_second: Decimal) -> tuple[Limit, ...]:
    """The limits of a phase, on what all attempts at it took."""
    lines = [line for line in bill.lines if line.step == step_of("align", number)]
    found: list[Limit] = []
    if phase.max_hours is not None:
        held = sum((exact(line.seconds) for line in lines), Decimal(0))
        found.append(Limit("max_hours", exact(phase.max_hours) * 3600, held, Decimal(1), "s"))
    if phase.max_amount is not None:
        paid = sum((exact(line.amount) for line in lines), Decimal(0))
        found.append(Limit("max_amount", exact(phase.max_amount), paid, a_second, bill.currency))
    return tuple(one._replace(name=f"phase.{number - 1}.{one.name}") for one in found)


def _held(bill: Bill) -> Decimal:
    return sum((exact(line.seconds) for line in bill.lines if kind_of(line.step) in POOL_STEPS), Decimal(0))


def _month(night: Night) -> list[KeptBill]:
    """The kept bills of the month in which this night began."""
    return read_bills(place.home(), f"{began(night):%Y-%m}")
