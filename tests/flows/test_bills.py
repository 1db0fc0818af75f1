"""Nights that make no model cost money too: their bills are kept, shown and counted."""

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from flows.bills import bill
from flows.calls import call_flow
from flows.initial import init_recipe
from flows.nightly import nightly
from tasks.align import train
from tasks.cost.kept import KeptBill, read_bills
from tasks.cost.meter_live import Limit, LiveMeter, Watch
from tasks.errors import OverBudget
from tasks.nights import read_summary
from tasks.place import tracking

pytestmark = [pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def started(home: Path, tiny_recipe: Path) -> Path:
    init_recipe(str(tiny_recipe), once=False)
    return tiny_recipe


def run(recipe: Path, *overrides: str) -> dict[str, Any]:
    return call_flow(nightly, recipe=str(recipe), overrides=list(overrides), fresh=False)


def only_bill(home: Path) -> KeptBill:
    (kept,) = read_bills(home)
    return kept


def test_a_skipped_night_s_bill_is_kept_shown_and_exported(started: Path, home: Path) -> None:
    summary = run(started, "data.min_new_pairs=100000", "tenant=shop")
    kept = only_bill(home)
    assert (kept.state, kept.tenant, kept.night) == ("Skipped", "shop", summary["night"])
    assert kept.bill.amount == summary["bill"]["amount"]
    assert kept.bill.device_hours > 0
    assert {line.step for line in kept.bill.lines} == {"collect", "validate", "decide"}
    # the shipped book's prices are examples, and every place that shows an amount says so
    assert summary["bill"]["example"]
    assert "example prices" in Path(summary["links"]["bill"]).read_text()
    assert "(example prices)" in bill(kept.month, None, None, None)
    run_ = tracking().client.search_runs([tracking().experiment()], f"tags.`nightshift.night` = '{kept.id}'")[0]
    assert run_.data.tags["nightshift.cost"].endswith("EUR (estimated, example prices)")
    assert run_.data.metrics["cost/amount"] == kept.bill.amount
    assert "cost/collect/kwh" in run_.data.metrics
    assert {"bill.html", "bill.json"} <= {one.path for one in tracking().client.list_artifacts(run_.info.run_id)}
    assert "No night was billed" in bill(None, "desk", None, None)


def test_a_night_over_its_budget_ends_by_name_with_its_bill(
    started: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = Limit("budget.max_amount", Decimal(1), Decimal("1.01"), Decimal(0), "EUR")
    monkeypatch.setattr(train, "watch", lambda *_: Watch(LiveMeter((spent,)), time.monotonic))
    with pytest.raises(OverBudget, match=r"1\.01 EUR of 1\.00 EUR \(budget\.max_amount\) are used up"):
        run(started)
    summary = read_summary(home, "last")
    assert summary["state"] == "OverBudget"
    kept = only_bill(home)
    assert kept.state == "OverBudget"
    assert [line.failed for line in kept.bill.lines if line.step == "align"] == [1]
    (found,) = json.loads(bill(None, None, None, None, json_wanted=True))["currencies"]
    assert [row["name"] for row in found["by_outcome"] if row["nights"]] == ["failed"]
    with get_client(sync_client=True) as client:
        (flow,) = [one for one in client.read_flow_runs() if one.state is not None and one.state.name == "OverBudget"]
    assert flow.state is not None
    assert "the budget is spent" in (flow.state.message or "")
