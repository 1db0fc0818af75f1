"""Metrics of nights, from kept bills and summaries. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from infra.attempts import kind_of
from infra.digest import Digest
from infra.exposition import Sample
from infra.price_book import exact
from tasks.contracts import Bill
from tasks.cost.kept import APART, KeptBill
from tasks.metric_families import STATES, STEPS, VERDICTS, one_of

DONE = ("Completed", "Skipped")


def night_samples(
    bills: Iterable[KeptBill], summaries: Mapping[Digest, Mapping[str, Any]], now: datetime
) -> Iterator[Sample]:
    """Everything about nights.

    Args:
        summaries: by a night's id; those of last nights are enough.
        now: with its zone; its month is this month.
    """
    by_recipe: dict[str, list[KeptBill]] = {}
    for one in sorted(bills, key=lambda kept: _at(kept.ended)):
        by_recipe.setdefault(one.recipe, []).append(one)
    for recipe, billed in sorted(by_recipe.items()):
        # what a receipt's comparison has cost is the month's, but it was no night
        if nights := [one for one in billed if one.state not in APART]:
            yield from _last(recipe, nights[-1])
            yield from _data(recipe, summaries.get(nights[-1].id, {}))
            yield from _all(recipe, nights)
        yield from _month(recipe, billed, now)


def last_ids(bills: Iterable[KeptBill]) -> list[Digest]:
    """The ids of every recipe's last night."""
    nights = [one for one in bills if one.state not in APART]
    return list({one.recipe: one.id for one in sorted(nights, key=lambda kept: _at(kept.ended))}.values())


def _last(recipe: str, night: KeptBill) -> Iterator[Sample]:
    end, bill = _at(night.ended), night.bill
    yield Sample("nightshift_night_end_timestamp_seconds", end, (recipe, night.tenant, night.pool))
    yield Sample("nightshift_night_duration_seconds", end - _at(night.started), (recipe,))
    for state in STATES:
        yield Sample("nightshift_night_state", float(state == one_of(night.state, STATES)), (recipe, state))
    for verdict in VERDICTS:
        yield Sample("nightshift_night_verdict", float(verdict == one_of(night.verdict, VERDICTS)), (recipe, verdict))
    seconds: Counter[str] = Counter()
    for line in bill.lines:
        seconds[one_of(kind_of(line.step), STEPS)] += line.seconds  # pyright: ignore[reportArgumentType]
    for step, value in sorted(seconds.items()):
        yield Sample("nightshift_night_step_seconds", float(value), (recipe, step))
    yield Sample("nightshift_night_amount", bill.amount, (recipe, bill.currency, _prices(bill)))
    energy = "estimated" if bill.estimated else "measured"
    yield Sample("nightshift_night_energy_kwh", bill.kwh, (recipe, energy))
    yield Sample("nightshift_night_gpu_hours", bill.gpu_hours, (recipe,))


def _data(recipe: str, summary: Mapping[str, Any]) -> Iterator[Sample]:
    data = summary.get("data")
    if data is None:
        return
    rows = data["train"] + data["held_out"] + data["quarantined"]
    if rows:
        yield Sample("nightshift_night_quarantined_ratio", data["quarantined"] / rows, (recipe,))


def _all(recipe: str, nights: Sequence[KeptBill]) -> Iterator[Sample]:
    counts = Counter(one_of(night.state, STATES) for night in nights)
    for state in STATES:
        yield Sample("nightshift_nights", counts[state], (recipe, state))
    if done := [_at(night.ended) for night in nights if night.state in DONE]:
        yield Sample("nightshift_done_timestamp_seconds", max(done), (recipe,))


def _month(recipe: str, nights: Sequence[KeptBill], now: datetime) -> Iterator[Sample]:
    """A month without a night has cost nothing, and says so: an alert must end when the month does."""
    last, this = nights[-1], f"{now:%Y-%m}"
    sums: dict[tuple[str, str, str], Decimal] = {(last.tenant, last.bill.currency, _prices(last.bill)): Decimal(0)}
    for night in nights:
        if night.month == this:
            key = (night.tenant, night.bill.currency, _prices(night.bill))
            sums[key] = sums.get(key, Decimal(0)) + exact(night.bill.amount)
    for labels, amount in sorted(sums.items()):
        yield Sample("nightshift_month_amount", float(amount), (recipe, *labels))
    if last.month_budget is not None:
        yield Sample("nightshift_month_budget_amount", last.month_budget, (recipe, last.bill.currency))


def _prices(bill: Bill) -> str:
    return "example" if bill.example else "quoted"


def check_times(kept: KeptBill) -> KeptBill:
    """The same bill.

    Raises:
        ValueError: its times are none.
    """
    for text in (kept.started, kept.ended):
        _at(text)
    return kept


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
