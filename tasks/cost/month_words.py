"""A month's bills for a terminal of 100 columns. Pure."""

import textwrap
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tasks.cost.money import apportion, rounded, said
from tasks.cost.words import duration, number

WIDTH = 100


def in_words(figures: dict[str, Any]) -> str:
    """What ``nightshift bill`` prints."""
    chosen = [f"{name} {figures[name]}" for name in ("month", "tenant", "pool") if figures[name]]
    lines = [f"Bill of {', '.join(chosen) or 'all months'}: {figures['nights']} nights", ""]
    if not figures["nights"]:
        lines += ["  No night was billed. Bills are kept in HOME/bills when a night ends, however it ends.", ""]
    for one in figures["currencies"]:
        lines += _currency(one, by_day=figures["month"] is not None)
    if figures["champions"]:
        lines += ["From the newest preference to serving", *(_champion(one) for one in figures["champions"]), ""]
    if figures["serving"]:
        lines += [
            "Serving 1,000 answers, by the length of those the gate was given",
            *map(_serving, figures["serving"]),
        ]
        lines.append("")
    lines += [f"warning: {one}" for one in figures["warnings"]] + [f"note: {one}" for one in figures.get("notes", [])]
    return "\n".join(row for line in lines for row in _wrapped(line)).rstrip() + "\n"


def _wrapped(line: str) -> list[str]:
    """Sentences that are too long go on below; tables are narrower than that."""
    return textwrap.wrap(line, WIDTH, subsequent_indent="      ") or [""] if len(line) > WIDTH else [line]


def _currency(one: dict[str, Any], *, by_day: bool) -> list[str]:
    whole, digits, currency = one["total"], one["digits"], one["currency"]
    lines = [f"Total {said(Decimal(whole['amount']), digits, currency, example=whole['example'])}, {_energy(whole)}"]
    if one["per_promoted_model"] is not None:
        each = said(Decimal(one["per_promoted_model"]), digits, currency, example=whole["example"])
        lines.append(f"A promoted model {each}: all of it over {one['promoted']} promoted")
    else:
        lines.append("No model of these nights was promoted: there is no cost of one")
    lines.append("")
    tables = [("outcome", one["by_outcome"]), ("day", one["by_day"]) if by_day else ("month", one["by_month"])]
    tables += [("tenant", one["by_tenant"]), ("pool", one["by_pool"])]
    for name, rows in tables:
        lines += [*_table(name, [row for row in rows if row["nights"]], currency, digits), ""]
    if whole["example"]:
        lines += ["* example prices went into it: nobody's prices, and no money that was spent", ""]
    return lines


def _energy(row: dict[str, Any]) -> str:
    carbon = "" if row["co2_kg"] is None else f", {number(row['co2_kg'])} kg CO2"
    queue = f", {duration(row['queue_seconds'])} in queues (not billed)" if row["queue_seconds"] else ""
    known = " (in part estimated)" if row["estimated"] else ""
    return f"{number(row['gpu_hours'])} GPU-hours, {number(row['kwh'])} kWh{known}{carbon}{queue}"


def _table(name: str, rows: Sequence[dict[str, Any]], currency: str, digits: int) -> list[str]:
    """Amounts are rounded so that the rows shown add up to the total shown."""
    amounts = apportion([Decimal(row["amount"]) for row in rows], digits)
    head = f"{name:<24} {'nights':>6} {'amount ' + currency:>18}   {'GPU-hours':>11} {'device-hours':>13} {'kWh':>11}"
    return [
        head,
        *(
            f"{row['name'][:24]:<24} {row['nights']:>6} {amount:>18,}{' *' if row['example'] else '  '} "
            f"{number(row['gpu_hours']):>11} {number(row['device_hours']):>13} {number(row['kwh']):>11}"
            for row, amount in zip(rows, amounts, strict=True)
        ),
    ]


def _champion(one: dict[str, Any]) -> str:
    took = duration(one["seconds"]) if one["seconds"] is not None else f"not known: {one['missing']}"
    return f"  {one['recipe']} version {one['version']}, serving since {one['promoted'][:16]}: {took}"


def _serving(one: dict[str, Any]) -> str:
    cost = "no [serving] price in the book"
    if one["a_thousand_answers"] is not None:
        cost = f"{rounded(Decimal(one['a_thousand_answers']), 4)} {one['currency']}"
        cost += " (example prices)" if one["example"] else ""
    return (
        f"  {one['recipe']}, night of version {one['version']}: {one['role']:<9} "
        f"{number(one['tokens'], 1):>8} tokens an answer ({one['answers']} answers), {cost}"
    )
