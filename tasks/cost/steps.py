"""meter: the night's bill so far; and what is kept of it at the end."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.attempts import Attempt, attempts_of, step_of
from infra.digest import Digest, digest_of, short
from infra.price_book import load_price_book
from infra.step import attempt_log
from tasks import place
from tasks.contracts import Bill, Night, Plan
from tasks.cost.bill import bill_metrics, make_bill
from tasks.cost.kept import COMPARISON, RECEIPT, KeptBill, keep
from tasks.cost.words import marks
from tasks.recipe import Recipe


def meter(night: Night, plan: Plan | None = None) -> Bill:
    """Price all attempts of this night, earlier runs of it included, and log them. Not a step: it is never reused."""
    bill = price_attempts(night, plan)
    place.tracking().metrics(night.mlflow_run, bill_metrics(bill))
    return bill


def price_attempts(night: Night, plan: Plan | None = None) -> Bill:
    """The night's bill up to this moment."""
    book = place.settings().price_book
    return make_bill(
        _attempts(night),
        load_price_book(book),
        book.name,
        now=time.time(),
        night=began(night).date(),
        planned=_planned(plan) | {"train_apart": plan.memory_bytes} if plan else None,
    )


def _planned(plan: Plan) -> dict[str, int]:
    """Memory that was forecast, by step."""
    if not plan.phases:
        return {"align": plan.memory_bytes}
    return {step_of("align", one.number): one.memory_bytes for one in plan.phases}


def began(night: Night) -> datetime:
    """Local time of the night's first step; of now where there was none."""
    first = min((one.started for one in _attempts(night)), default=time.time())
    return datetime.fromtimestamp(first).astimezone()


def _attempts(night: Night) -> list[Attempt]:
    """Of this night; what an earlier run of it left open was killed, and is held no more."""
    found = attempts_of(attempt_log(night).entries(), running=True)
    return [
        one.model_copy(update={"state": "Killed"}) if one.state == "Running" and one.run != night.flow_run else one
        for one in found
    ]


@contextmanager
def billed_apart(night: Night, recipe: Recipe, pools: tuple[str, ...]) -> Iterator[Night]:
    """A place for work that holds pools but is no night's: with a bill of its own, kept however the work ends."""
    id_ = digest_of([RECEIPT, night.id, list(pools), time.time_ns()])
    name = f"{recipe.name}-receipt-{datetime.now().astimezone():%Y-%m-%d-%H%M}-{short(id_, 4)}"
    folder = place.home() / "receipts" / "bills" / name
    folder.mkdir(parents=True)
    tracker = place.tracking()
    run = tracker.nested_run(night.mlflow_run, name)
    apart = night.model_copy(update={"id": id_, "name": name, "folder": str(folder), "mlflow_run": run})
    try:
        with tracker.ending(run):
            yield apart
    finally:
        on = recipe.model_copy(update={"pool": ",".join(pools)})
        keep_bill(apart, on, meter(apart), {"state": RECEIPT, "verdict": None, "version": None})


@contextmanager
def billed_training(night: Night, recipe: Recipe, what: str, id_: Digest) -> Iterator[Night]:
    """A place for one training of a comparison: its attempts are found again by what it is, its bill is kept.

    Args:
        what: it is, in a word. id_: decides its figures (``tasks.compare.trials.trial_id``).
    """
    name = f"{recipe.name}-compare-{what}-{recipe.seed}-{short(id_, 6)}"
    folder = place.home() / "comparisons" / "trainings" / short(id_, 16)
    folder.mkdir(parents=True, exist_ok=True)
    tracker = place.tracking()
    run = tracker.nested_run(night.mlflow_run, name)
    changes = {"id": id_, "core": "", "name": name, "folder": str(folder), "mlflow_run": run, "fresh": False}
    apart = night.model_copy(update=changes)
    try:
        with tracker.ending(run):
            yield apart
    finally:
        keep_bill(apart, recipe, meter(apart), {"state": COMPARISON, "verdict": None, "version": None})


def keep_bill(night: Night, recipe: Recipe, bill: Bill, summary: dict[str, Any]) -> Path:
    """Keep a night's last bill among the month's, as a page beside the night, and both in its MLflow run."""
    from tasks.cost.page import bill_html  # jinja: only when a page is drawn

    kept = KeptBill(
        night=night.name,
        id=night.id,
        recipe=recipe.name,
        tenant=recipe.tenant,
        pool=recipe.pool,
        state=summary["state"],
        verdict=summary["verdict"],
        version=summary["version"],
        started=began(night).isoformat(timespec="seconds"),
        ended=datetime.now().astimezone().isoformat(timespec="seconds"),
        bill=bill,
        month_budget=recipe.budget.max_month_amount,
    )
    keep(place.home(), kept)
    page, data = Path(night.folder) / "bill.html", Path(night.folder) / "bill.json"
    page.write_text(bill_html(kept))
    data.write_text(json.dumps(kept.model_dump(mode="json"), indent=1))
    tracker = place.tracking()
    for path in (page, data):
        tracker.artifact(night.mlflow_run, path)
    tracker.tags(
        night.mlflow_run,
        {
            "nightshift.cost": f"{bill.amount:.{bill.digits}f} {bill.currency}{marks(bill)}",
            "nightshift.tenant": recipe.tenant,
        },
    )
    return page
