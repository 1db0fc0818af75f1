"""Kept bills for the tests of budgets, months and pages."""

from typing import Any

from infra.digest import digest_of
from tasks.contracts import Bill, BillLine
from tasks.cost.kept import KeptBill


def line(step: str = "align", amount: float = 10.0, **changes: Any) -> BillLine:
    values: dict[str, Any] = {
        "step": step, "attempts": 1, "failed": 0, "device": "h200", "pool": "cloud", "seconds": 3600.0,
        "device_hours": 4.0, "gpu_hours": 4.0, "quantity": 4.0, "rate": 2.5, "kwh": 2.8, "amount": amount,
        "estimated": False, "meter": "zeus", "price_kind": "list", "source": "a price list", "dated": "2026-11-01",
        "started": 1_793_671_200.0, "ended": 1_793_674_800.0, "allocations": 1, "queue_seconds": 90.0, "busy": 0.75,
    }  # fmt: skip
    return BillLine.model_validate({**values, **changes})


def bill(*lines: BillLine, **changes: Any) -> Bill:
    values: dict[str, Any] = {
        "lines": lines,
        "device_hours": sum(one.device_hours for one in lines),
        "gpu_hours": sum(one.gpu_hours for one in lines),
        "kwh": sum(one.kwh for one in lines),
        "amount": round(sum(one.amount for one in lines), 4),
        "currency": "EUR",
        "estimated": any(one.estimated for one in lines),
        "price_book": "book.toml of 2026-11-01",
        "source": "figures of these tests",
        "digits": 2,
        "example": any(one.example for one in lines),
        "queue_seconds": sum(one.queue_seconds for one in lines),
    }
    return Bill.model_validate({**values, **changes})


def kept(night: str, *lines: BillLine, **changes: Any) -> KeptBill:
    values: dict[str, Any] = {
        "night": night,
        "id": digest_of(night),
        "recipe": "support",
        "tenant": "shop",
        "pool": "cloud",
        "state": "Completed",
        "verdict": "PASS",
        "version": 1,
        "started": "2026-11-03T02:00:00+01:00",
        "ended": "2026-11-03T04:00:00+01:00",
        "bill": changes.pop("bill", None) or bill(*lines),
    }
    return KeptBill.model_validate({**values, **changes})
