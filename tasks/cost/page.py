"""The bill as one self-contained HTML page: nothing in it is loaded from elsewhere, and nothing runs. Pure."""

from functools import cache, partial
from pathlib import Path
from typing import Any

from infra.pages import page_template
from tasks.contracts import Bill, BillLine
from tasks.cost import words
from tasks.cost.kept import KeptBill


def bill_html(kept: KeptBill) -> str:
    """The page of one night's bill; all text is escaped."""
    bill = kept.bill
    page = _template().render(
        kept=kept,
        bill=bill,
        tiles=_tiles(bill),
        lines=[_row(line, bill) for line in bill.lines],
        prices=_prices(bill),
        marks=words.marks(bill),
        money=partial(words.money, bill=bill),
        total_seconds=words.duration(sum(line.seconds for line in bill.lines)),
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def _tiles(bill: Bill) -> list[tuple[str, str, str]]:
    known = "estimated" if bill.estimated else "measured"
    return [
        ("amount", words.money(bill.amount, bill), "example prices" if bill.example else ""),
        ("GPU-hours", words.number(bill.gpu_hours, 3), f"of {words.number(bill.device_hours, 3)} device-hours"),
        ("energy", f"{words.number(bill.kwh, 3)} kWh", known if bill.lines else ""),
        (
            "CO₂",
            words.NONE if bill.co2_kg is None else f"{words.number(bill.co2_kg, 3)} kg",
            "the price book has no figure" if bill.co2_kg is None else f"from {known} energy",
        ),
        ("in the queue", words.duration(bill.queue_seconds), "not billed"),
    ]


def _row(line: BillLine, bill: Bill) -> dict[str, Any]:
    held = line.unit == "device-hours"
    idle = None if line.busy is None else 1 - line.busy
    return {
        "step": line.step,
        "device": line.device,
        "pool": line.pool,
        "attempts": f"{line.attempts}" + (f", {line.failed} failed" if line.failed else ""),
        "allocations": line.allocations or words.NONE,
        "held": words.duration(line.seconds) if held else words.NONE,
        "queue": words.duration(line.queue_seconds) if line.allocations or line.queue_seconds else words.NONE,
        "quantity": f"{words.number(line.quantity, 3)} {line.unit}",
        "kwh": words.number(line.kwh, 3) if held else words.NONE,
        "energy": words.energy_mark(line),
        "co2": words.number(line.co2_kg, 3),
        "busy": words.share(line.busy),
        "idle": words.share(idle),
        "peak": words.gigabytes(line.peak_memory_bytes),
        "planned": words.gigabytes(line.planned_memory_bytes),
        "amount": words.money(line.amount, bill),
        "example": line.example,
    }


def _prices(bill: Bill) -> list[dict[str, str]]:
    """Every price that was used, once."""
    used = {(one.pool, one.device, one.rate, one.unit, one.price_kind, one.source, one.dated) for one in bill.lines}
    return [
        {
            "what": f"{device} on {pool}",
            "rate": f"{rate:,.4f} {bill.currency} a {words.LIKELY_UNIT.get(unit, unit)}",
            "kind": kind,
            "source": source,
            "dated": dated,
        }
        for pool, device, rate, unit, kind, source, dated in sorted(used)
    ]


@cache
def _template() -> Any:
    return page_template(Path(__file__).parent, "bill_page.html", {"moment": words.moment})
