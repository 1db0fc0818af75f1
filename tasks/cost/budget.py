"""Budgets of a night and of a month: what is left, and what is over. Pure.

A recipe's month is what all its nights of a calendar month cost, those that failed or were skipped too.
"""

from collections.abc import Sequence
from decimal import Decimal

from infra.digest import Digest
from infra.price_book import exact
from tasks.contracts import Bill
from tasks.cost.kept import KeptBill
from tasks.cost.money import total
from tasks.errors import BillError
from tasks.recipe import Recipe


def month_spent(month_bills: Sequence[KeptBill], recipe: Recipe, currency: str, night: Digest | None = None) -> Decimal:
    """What the recipe's nights of a month have cost.

    Args:
        night: tonight's id, whose kept bill (of an earlier run of it) is left out: it is counted as it is now.

    Raises:
        BillError: a bill is in another currency, which nobody can add.
    """
    mine = [kept for kept in month_bills if kept.recipe == recipe.name and kept.id != night]
    for kept in mine:
        if kept.bill.currency != currency:
            raise BillError(
                f"the night {kept.night} was billed in {kept.bill.currency}, the price book is in {currency} now",
                do="unset budget.max_month_amount for this month, or keep to one currency",
            )
    return total([kept.bill.amount for kept in mine])


def money_left(
    month_bills: Sequence[KeptBill],
    recipe: Recipe,
    currency: str,
    *,
    night: Digest | None = None,
    so_far: Bill | None = None,
) -> Decimal | None:
    """What is left of the recipe's month; negative where it is overspent, None where it has no limit.

    Args:
        so_far: what tonight has cost by now.
    """
    if recipe.budget.max_month_amount is None:
        return None
    spent = month_spent(month_bills, recipe, currency, night) + (exact(so_far.amount) if so_far else Decimal(0))
    return exact(recipe.budget.max_month_amount) - spent
