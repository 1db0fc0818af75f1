"""A month's bills: what its nights cost by outcome, day, tenant and pool, and what a promoted model cost. Pure."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from infra.price_book import TokenPrice, exact
from tasks.contracts import AnswerLength, BillLine, Fate
from tasks.cost.kept import COMPARISON, RECEIPT, KeptBill
from tasks.cost.money import total

Outcome = Literal["promoted", "waiting", "rejected", "skipped", "failed", "receipt", "comparison"]
OUTCOMES: tuple[Outcome, ...] = ("promoted", "waiting", "rejected", "skipped", "failed", "receipt", "comparison")


def outcome(kept: KeptBill, fates: Sequence[Fate]) -> Outcome:
    """What became of a night: its version served, waits for a decision, or was rejected by the gate or a person.

    What two pools were held for to be compared (``receipt``) is no night's, and has no version to wait for; nor has a
    training of a ``comparison`` of methods.
    """
    if kept.state == RECEIPT:
        return "receipt"
    if kept.state == COMPARISON:
        return "comparison"
    if kept.state == "Skipped":
        return "skipped"
    if kept.verdict is None or kept.version is None:
        return "failed"
    fate = next((one for one in fates if (one.recipe, one.version) == (kept.recipe, kept.version)), None)
    if fate is not None and fate.promoted is not None:
        return "promoted"
    rejected = kept.verdict != "PASS" or (fate is not None and (fate.approval or "").startswith("rejected"))
    return "rejected" if rejected else "waiting"


def report(
    bills: Sequence[KeptBill],
    fates: Sequence[Fate],
    *,
    month: str | None = None,
    tenant: str | None = None,
    pool: str | None = None,
    lengths: Sequence[AnswerLength] = (),
    serving: tuple[TokenPrice, str] | None = None,
) -> dict[str, Any]:
    """The figures that ``nightshift bill`` prints, as one JSON object.

    Args:
        pool: only lines of this pool; a night without any is left out.
        serving: what a million generated tokens cost, and the currency.
    """
    nights = [
        one for one in bills if (month is None or one.month == month) and (tenant is None or one.tenant == tenant)
    ]
    if pool is not None:
        nights = [one for one in nights if one.lines_on(pool)]
    currencies = sorted({one.bill.currency for one in nights})
    return {
        "month": month,
        "tenant": tenant,
        "pool": pool,
        "nights": len(nights),
        "currencies": [
            _currency([one for one in nights if one.bill.currency == it], fates, it, pool) for it in currencies
        ],
        "champions": [_champion(one) for one in fates if one.promoted and month in (None, _local_month(one.promoted))],
        "serving": _serving(lengths, serving),
        "warnings": sorted({warning for one in nights for warning in one.bill.warnings}),
    }


def _local_month(moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m}"


def _currency(nights: list[KeptBill], fates: Sequence[Fate], currency: str, pool: str | None) -> dict[str, Any]:
    """Amounts of several currencies are never added."""
    rows = [(one, line) for one in nights for line in one.lines_on(pool)]
    became = {one.night: outcome(one, fates) for one in nights}
    whole = _sum(rows)
    models = {(one.recipe, one.version) for one in nights if became[one.night] == "promoted"}
    return {
        "currency": currency,
        "digits": max(one.bill.digits for one in nights),
        "total": whole,
        "promoted": len(models),
        # everything that was spent, for the models that came out of it
        "per_promoted_model": str(Decimal(whole["amount"]) / len(models)) if models else None,
        "by_outcome": [
            {"name": name, "nights": sum(value == name for value in became.values())}
            | _sum([(one, line) for one, line in rows if became[one.night] == name])
            for name in OUTCOMES
        ],
        "by_day": _by(nights, rows, lambda one, _: one.started[:10]),
        "by_month": _by(nights, rows, lambda one, _: one.month),
        "by_tenant": _by(nights, rows, lambda one, _: one.tenant),
        "by_pool": _by(nights, rows, lambda _, line: line.pool),
    }


Row = tuple[KeptBill, BillLine]


def _by(nights: list[KeptBill], rows: list[Row], key: Callable[[KeptBill, BillLine], str]) -> list[dict[str, Any]]:
    groups: dict[str, list[Row]] = {}
    for one, line in rows:
        groups.setdefault(key(one, line), []).append((one, line))
    return [
        {"name": name, "nights": len({one.night for one, _ in groups[name]})} | _sum(groups[name])
        for name in sorted(groups)
    ]


def _sum(rows: list[Row]) -> dict[str, Any]:
    lines = [line for _, line in rows]
    carbon = [line.co2_kg for line in lines if line.kwh]
    return {
        "amount": str(total([line.amount for line in lines])),
        "gpu_hours": sum(line.gpu_hours for line in lines),
        "device_hours": sum(line.device_hours for line in lines),
        "kwh": sum(line.kwh for line in lines),
        # of a part nobody knows, the whole is not known
        "co2_kg": None if not carbon or None in carbon else sum(one for one in carbon if one is not None),
        "queue_seconds": sum(line.queue_seconds for line in lines),
        "estimated": any(line.estimated for line in lines),
        "example": any(line.example for line in lines),
    }


def _champion(fate: Fate) -> dict[str, Any]:
    """From the newest preference a model was trained on to its serving."""
    assert fate.promoted is not None
    took = None
    if fate.newest is not None:
        took = (datetime.fromisoformat(fate.promoted) - datetime.fromisoformat(fate.newest)).total_seconds()
    return {
        "recipe": fate.recipe,
        "version": fate.version,
        "promoted": fate.promoted,
        "newest_preference": fate.newest,
        "seconds": took,
        "missing": fate.missing if took is None else "",
    }


def _serving(lengths: Sequence[AnswerLength], price: tuple[TokenPrice, str] | None) -> list[dict[str, Any]]:
    """What 1,000 answers of a model cost, by the mean length of those it gave the gate."""
    found = []
    for one in lengths:
        row: dict[str, Any] = {**one.model_dump(), "a_thousand_answers": None, "currency": None, "example": False}
        if price is not None:
            rate, currency = price
            amount = exact(one.tokens) * 1000 * exact(rate.rate) / 1_000_000
            row |= {"a_thousand_answers": str(amount), "currency": currency, "example": rate.kind == "example"}
        found.append(row)
    return found
