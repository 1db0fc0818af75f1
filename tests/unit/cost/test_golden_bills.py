"""Twelve nights whose bills were computed by hand, the arithmetic beside each (tests/golden/bills)."""

import tomllib
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from infra.attempts import Attempt
from infra.price_book import PriceBook
from infra.settings import ROOT
from tasks.contracts import Bill, BillLine
from tasks.cost.bill import make_bill

SCENARIOS = sorted((ROOT / "tests" / "golden" / "bills").glob("*.toml"))


def moments(value: Any) -> Any:
    """With seconds since the epoch for every date and time with an offset."""
    if isinstance(value, dict):
        return {key: moments(part) for key, part in value.items()}
    if isinstance(value, list):
        return tuple(moments(part) for part in value)
    return value.timestamp() if isinstance(value, datetime) else value


def scenario_of(path: Path) -> tuple[list[Attempt], PriceBook, dict[str, Any]]:
    raw = tomllib.loads(path.read_text())
    attempts = [
        Attempt.model_validate({"id": f"a{i}", "run": "r", "state": "Completed", "kwh": None, **moments(one)})
        for i, one in enumerate(raw["attempt"])
    ]
    return attempts, PriceBook.model_validate(raw["book"]), raw["expected"]


def name_of(line: BillLine) -> str:
    return line.step if line.unit == "device-hours" else f"{line.step}/{line.device}"


def found_in(bill: Bill) -> dict[str, Any]:
    """Everything that a scenario may expect."""
    return {
        "amount": str(Decimal(str(bill.amount)).quantize(Decimal("0.01"))),
        "lines": {name_of(line): str(Decimal(str(line.amount)).quantize(Decimal("0.01"))) for line in bill.lines},
        "gpu_hours": bill.gpu_hours,
        "kwh": bill.kwh,
        "co2_kg": bill.co2_kg,
        "queue_seconds": bill.queue_seconds,
        "failed": sum(line.failed for line in bill.lines),
        "busy": bill.lines[0].busy,
        "meters": [line.meter for line in bill.lines],
        "price_kinds": sorted({line.price_kind for line in bill.lines}),
        "estimated": bill.estimated,
        "example": bill.example,
    }


def test_there_are_twelve_scenarios() -> None:
    assert len(SCENARIOS) == 12


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_bill_equals_the_one_computed_by_hand_to_the_cent(path: Path) -> None:
    attempts, prices, expected = scenario_of(path)
    found = found_in(make_bill(attempts, prices, path.stem))
    assert expected.keys() >= {"amount", "lines", "gpu_hours", "kwh", "estimated", "example"}
    for key, value in expected.items():
        assert found[key] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), key
    assert sum(map(Decimal, found["lines"].values())) == Decimal(found["amount"])
