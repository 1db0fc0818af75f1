"""The bill: all attempts, failed and killed ones too, at a dated book's prices. Pure (docs/design/cost.md)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from infra.attempts import Attempt, Use
from infra.price_book import HOURS_PER_YEAR, PriceBook, Quoted, exact
from tasks.contracts import Bill, BillLine
from tasks.cost.held import Held, Holding, holdings
from tasks.cost.money import apportion

_HOUR, _MONTH_HOURS = Decimal(3600), exact(HOURS_PER_YEAR) / 12


class Priced(NamedTuple):
    """A line before its amount is rounded."""

    line: BillLine
    amount: Decimal


def make_bill(
    attempts: Sequence[Attempt],
    prices: PriceBook,
    book: str,
    *,
    now: float | None = None,
    night: date | None = None,
    planned: Mapping[str, int] | None = None,
) -> Bill:
    """Price what every attempt held.

    Amount = devices × hours × rate, plus kWh × PUE × tariff where the device pays its own power, plus what was moved or
    kept. Energy without a meter is estimated from the book's watts, and the line, and so the bill, says so.

    Args:
        book: the file's name.
        now: see ``holdings``.
        night: its date, against which the book's age counts; None: it doesn't.
        planned: memory in bytes that the plan forecast, by step.

    Raises:
        PriceError: the book has no price for what was used.
        BillError: a clock was set back.
    """
    groups: dict[tuple[str, str, str], list[Holding]] = {}
    found = holdings(attempts, now)
    for one in sorted(found, key=lambda holding: holding.attempt.started):
        groups.setdefault((one.attempt.step, one.attempt.device.pool, one.attempt.device.kind), []).append(one)
    priced = [line for group in groups.values() for line in _lines(group, prices, planned or {})]
    amounts = apportion([one.amount for one in priced], prices.digits)
    lines = [one.line.model_copy(update={"amount": float(amount)}) for one, amount in zip(priced, amounts, strict=True)]
    return Bill(
        lines=tuple(lines),
        device_hours=sum(line.device_hours for line in lines),
        gpu_hours=sum(line.gpu_hours for line in lines),
        kwh=sum(line.kwh for line in lines),
        amount=float(sum(amounts, Decimal(0))),
        currency=prices.currency,
        estimated=any(line.estimated for line in lines),
        price_book=f"{book} of {prices.date.isoformat()}",
        source=prices.source,
        digits=prices.digits,
        example=any(line.example for line in lines),
        co2_kg=_all(line.co2_kg for line in lines if line.kwh),
        queue_seconds=sum(line.queue_seconds for line in lines),
        warnings=(*(prices.warnings(night) if night else ()), *(said for one in found for said in one.warnings)),
    )


def _all(values: Iterable[float | None]) -> float | None:
    """The sum; None where there is none, or where one of them is unknown."""
    known = list(values)
    return None if not known or None in known else sum(value for value in known if value is not None)


def _lines(group: list[Holding], prices: PriceBook, planned: Mapping[str, int]) -> list[Priced]:
    """Of one step on one kind of device of one pool: its device-hours, then what it moved or kept."""
    lines = [_devices(group, prices, planned)]
    uses = [use for one in group for use in one.attempt.uses]
    for what in ("egress", "storage"):
        if some := [use for use in uses if use.what == what]:
            lines.append(_used(group, some, prices))
    return lines


def _devices(group: list[Holding], prices: PriceBook, planned: Mapping[str, int]) -> Priced:
    first = group[0].attempt
    price, power = prices.price(first.device.kind, first.device.pool), prices.power(first.device.pool)
    held = [piece for one in group for piece in one.held]
    hours = sum((piece.device_seconds for piece in held), Decimal(0)) / _HOUR
    kwh = sum((_kwh(piece, price.watts) for piece in held), Decimal(0))
    amount = hours * price.exact_per_hour
    if price.pays_power:
        amount += kwh * exact(power.pue) * exact(power.tariff_per_kwh)
    line = BillLine(
        **_common(group, price),
        device=first.device.kind,
        failed=sum(one.attempt.state in ("Failed", "Killed") for one in group),
        allocations=sum(len(one.held) for one in group if one.attempt.allocations),
        seconds=float(sum((piece.seconds for piece in held), Decimal(0))),
        device_hours=float(hours),
        gpu_hours=float(hours) if first.device.accelerator else 0.0,
        quantity=float(hours),
        rate=price.per_hour,
        kwh=float(kwh),
        estimated=any(piece.kwh is None for piece in held),
        meter=", ".join(sorted({piece.meter for piece in held if piece.meter})) or None,
        co2_kg=float(kwh * exact(power.pue) * exact(power.co2.kg_per_kwh)) if power.co2 else None,
        example=prices.marks(price),
        queue_seconds=float(sum((one.queue_seconds for one in group), Decimal(0))),
        busy=_busy(held),
        peak_memory_bytes=max((piece.peak_memory_bytes for piece in held if piece.peak_memory_bytes), default=None),
        planned_memory_bytes=planned.get(first.step),
        started=float(min(piece.started for piece in held)) if held else None,
        ended=float(max(piece.started + piece.seconds for piece in held)) if held else None,
        amount=0.0,
    )
    return Priced(line, amount)


def _used(group: list[Holding], uses: list[Use], prices: PriceBook) -> Priced:
    pool, what = group[0].attempt.device.pool, uses[0].what
    if what == "egress":
        price, unit = prices.unit("egress_gb", pool), "GB"
        quantity = sum((exact(use.gb) for use in uses), Decimal(0))
    else:
        price, unit = prices.unit("storage_gb_month", pool), "GB-months"
        quantity = sum((exact(use.gb) * exact(use.hours) for use in uses), Decimal(0)) / _MONTH_HOURS
    begun = [one.attempt.started for one in group if one.attempt.uses]
    line = BillLine(
        **_common(group, price),
        device=what,
        failed=0,
        seconds=0.0,
        device_hours=0.0,
        kwh=0.0,
        estimated=False,
        unit=unit,
        quantity=float(quantity),
        rate=price.rate,
        example=price.kind == "example",
        started=min(begun),
        ended=max(one.attempt.started + one.attempt.seconds for one in group if one.attempt.uses),
        amount=0.0,
    )
    return Priced(line, quantity * exact(price.rate))


def _common(group: list[Holding], price: Quoted) -> dict[str, Any]:
    assert price.kind is not None  # a price that a book hands out is quoted whole
    assert price.source is not None
    assert price.date is not None
    first = group[0].attempt
    return {
        "step": first.step,
        "pool": first.device.pool,
        "attempts": len(group),
        "price_kind": price.kind,
        "source": price.source,
        "dated": price.date.isoformat(),
    }


def _kwh(piece: Held, watts: float) -> Decimal:
    if piece.kwh is not None:
        return exact(piece.kwh)
    return exact(watts) / 1000 * piece.device_seconds / _HOUR


def _busy(held: list[Held]) -> float | None:
    """Mean over device time, of what was measured."""
    return _mean([(piece.busy, float(piece.device_seconds)) for piece in held])


def _mean(values: list[tuple[float | None, float]]) -> float | None:
    """Weighted mean of the values that are known."""
    known = [(value, weight) for value, weight in values if value is not None]
    whole = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / whole if whole else None


def bill_metrics(bill: Bill) -> dict[str, float]:
    """The bill as MLflow metrics under ``cost/``, of the night and ``cost/STEP/`` of each step."""
    totals = {"amount": bill.amount, "kwh": bill.kwh, "gpu_hours": bill.gpu_hours, "device_hours": bill.device_hours}
    totals |= {"queue_seconds": bill.queue_seconds} | ({} if bill.co2_kg is None else {"co2_kg": bill.co2_kg})
    metrics = {f"cost/{name}": value for name, value in totals.items()}
    for step in dict.fromkeys(line.step for line in bill.lines):
        lines = [line for line in bill.lines if line.step == step]
        values = {
            "amount": float(sum((exact(line.amount) for line in lines), Decimal(0))),
            "seconds": sum(line.seconds for line in lines),
            "kwh": sum(line.kwh for line in lines),
            "gpu_hours": sum(line.gpu_hours for line in lines),
            "co2_kg": _all(line.co2_kg for line in lines if line.kwh),
            "queue_seconds": sum(line.queue_seconds for line in lines),
            "busy": _mean([(line.busy, line.device_hours) for line in lines]),
            "peak_memory_bytes": max(
                (line.peak_memory_bytes for line in lines if line.peak_memory_bytes), default=None
            ),
        }
        metrics |= {f"cost/{step}/{name}": value for name, value in values.items() if value is not None}
    return metrics
