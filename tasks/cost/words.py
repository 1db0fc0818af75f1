"""How bills write numbers. Pure."""

from tasks.contracts import Bill, BillLine
from tasks.cost.money import said

NONE = "–"
LIKELY_UNIT = {"device-hours": "device-hour", "GB": "GB", "GB-months": "GB and month"}


def money(amount: float, bill: Bill, *, example: bool = False) -> str:
    return said(amount, bill.digits, bill.currency, example=example)


def number(value: float | None, digits: int = 2) -> str:
    """One too small for its column is said to be small, never shown as nothing."""
    if value is None:
        return NONE
    least = 10.0**-digits
    return f"< {least:.{digits}f}" if 0 < value < least / 2 else f"{value:,.{digits}f}"


def share(value: float | None) -> str:
    return NONE if value is None else f"{value:.0%}".replace("%", " %")


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 72 else f"{hours // 24} d {hours % 24} h"


def moment(text: str) -> str:
    """An ISO time to the minute, with its offset."""
    return f"{text[:10]} {text[11:16]} ({text[19:] or 'no zone'})"


def gigabytes(bytes_: int | None) -> str:
    return NONE if bytes_ is None else f"{bytes_ / 1e9:,.1f} GB"


def energy_mark(line: BillLine) -> str:
    """What stands behind a line's energy."""
    if not line.kwh and not line.seconds:
        return NONE
    if not line.estimated:
        return f"measured ({line.meter})" if line.meter else "measured"
    return f"in part estimated ({line.meter})" if line.meter else "estimated"


def marks(bill: Bill) -> str:
    """What a bill's figures are marked with, in brackets; empty where they are measured and of real prices."""
    said_ = [*(["estimated"] if bill.estimated else []), *(["example prices"] if bill.example else [])]
    return f" ({', '.join(said_)})" if said_ else ""
