"""The bill: all attempts, failed and killed ones too, at the rates of a dated price book. Pure."""

from itertools import groupby

from infra.attempts import Attempt
from infra.price_book import PriceBook
from tasks.contracts import Bill, BillLine


def make_bill(attempts: list[Attempt], prices: PriceBook, book: str) -> Bill:
    """Price every attempt.

    Amount = devices × hours × rate, plus kWh × tariff where the device pays its own power. Energy without a meter is
    estimated from the book's watts, and the line, and so the bill, says so.

    Raises:
        PriceError: the book has no price for a device that was held.
    """
    by_step = sorted(attempts, key=lambda attempt: (attempt.step, attempt.device.kind))
    lines = [
        _line(list(group), prices)
        for _, group in groupby(by_step, key=lambda attempt: (attempt.step, attempt.device.kind))
    ]
    first = {attempt.step: attempt.started for attempt in reversed(sorted(attempts, key=lambda one: one.started))}
    lines.sort(key=lambda line: first[line.step])
    accelerated = {attempt.device.kind for attempt in attempts if attempt.device.accelerator}
    return Bill(
        lines=tuple(lines),
        device_hours=sum(line.device_hours for line in lines),
        gpu_hours=sum(line.device_hours for line in lines if line.device in accelerated),
        kwh=sum(line.kwh for line in lines),
        amount=sum(line.amount for line in lines),
        currency=prices.currency,
        estimated=any(line.estimated for line in lines),
        price_book=f"{book} of {prices.date.isoformat()}",
        source=prices.source,
    )


def _line(attempts: list[Attempt], prices: PriceBook) -> BillLine:
    kind = attempts[0].device.kind
    price = prices.price(kind)
    hours = sum(attempt.seconds / 3600 * attempt.device.count for attempt in attempts)
    kwh = sum(_kwh(attempt, price.watts) for attempt in attempts)
    return BillLine(
        step=attempts[0].step,
        attempts=len(attempts),
        failed=sum(attempt.state in ("Failed", "Killed") for attempt in attempts),
        device=kind,
        seconds=sum(attempt.seconds for attempt in attempts),
        device_hours=hours,
        kwh=kwh,
        amount=hours * price.per_hour + (kwh * prices.tariff_per_kwh if price.pays_power else 0.0),
        estimated=any(attempt.kwh is None for attempt in attempts),
    )


def _kwh(attempt: Attempt, watts: float) -> float:
    if attempt.kwh is not None:
        return attempt.kwh
    return watts / 1000 * attempt.seconds / 3600 * attempt.device.count


def bill_metrics(bill: Bill) -> dict[str, float]:
    """The bill as MLflow metrics under ``cost/``."""
    totals = {"amount": bill.amount, "kwh": bill.kwh, "gpu_hours": bill.gpu_hours, "device_hours": bill.device_hours}
    metrics = {f"cost/{name}": value for name, value in totals.items()}
    for line in bill.lines:
        metrics |= {
            f"cost/{line.step}/amount": line.amount,
            f"cost/{line.step}/seconds": line.seconds,
            f"cost/{line.step}/kwh": line.kwh,
        }
    return metrics
