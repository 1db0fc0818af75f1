"""Exact money: decimal numbers, and a rounding under which the parts' sum is the rounded whole. Pure."""

from collections.abc import Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

from infra.price_book import exact


def rounded(amount: Decimal, digits: int) -> Decimal:
    """To so many decimals, halves away from zero, as invoices have it."""
    return amount.quantize(unit(digits), ROUND_HALF_UP)


def unit(digits: int) -> Decimal:
    return Decimal(1).scaleb(-digits)


def apportion(amounts: Sequence[Decimal], digits: int) -> list[Decimal]:
    """The amounts rounded so that they add up to their rounded sum (largest remainder; Hamilton's method).

    Each is rounded down, and what then is missing in the sum goes, a unit each, to those that lost most; of equal ones
    to the first. So none is off by a unit or more, and one without a fraction stays as it is.

    Args:
        amounts: none of them negative.
    """
    step = unit(digits)
    floors = [amount.quantize(step, ROUND_FLOOR) for amount in amounts]
    missing = int((rounded(sum(amounts, Decimal(0)), digits) - sum(floors, Decimal(0))) / step)
    lost = sorted(range(len(amounts)), key=lambda i: (floors[i] - amounts[i], i))
    for index in lost[:missing]:
        floors[index] += step
    return floors


def total(amounts: Sequence[float]) -> Decimal:
    """The exact sum of amounts that were rounded to some decimals before."""
    return sum((exact(amount) for amount in amounts), Decimal(0))


def said(amount: Decimal | float, digits: int, currency: str, *, example: bool = False) -> str:
    """An amount for people; one that an example price went into says so."""
    value = amount if isinstance(amount, Decimal) else exact(amount)
    return f"{rounded(value, digits):,} {currency}{' (example prices)' if example else ''}"
