"""What may still be spent: the recipe's budget against the attempt log and the month's kept bills."""

import time
from decimal import Decimal
from pathlib import Path

import pytest

from infra.attempts import Device
from infra.digest import digest_of
from infra.settings import ROOT
from infra.step import attempt_log
from tasks.contracts import Night, Plan
from tasks.cost.kept import keep
from tasks.errors import OverBudget, PastDeadline, PhaseSpent
from tasks.recipe import Recipe, load_recipe
from tasks.spending import month_left, watch
from tests.unit.cost.bills import bill, kept, line

GPU = Device(pool="cloud", kind="h200", count=8, accelerator=True)


@pytest.fixture
def night(home: Path) -> Night:
    return Night(
        id=digest_of("tonight"), name="tonight", folder=str(home / "night"), flow_run="run", mlflow_run="m",
        promotable=True,
    )  # fmt: skip


def recipe(**budget: float) -> Recipe:
    demo = load_recipe(ROOT / "recipes" / "demo.toml")
    return demo.model_copy(update={"name": "support", "budget": demo.budget.model_copy(update=budget)})


def plan(amount: float) -> Plan:
    return Plan(train=True, reason="", new_pairs=1, pairs=1, steps=1, memory_bytes=1, seconds=1.0, amount=amount,
                currency="EUR")  # fmt: skip


def spent(home: Path, amount: float) -> None:
    """A night of this month that failed."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    keep(home, kept("before", bill=bill(line(amount=amount)), started=now, state="Failed", verdict=None, version=None))


def test_what_the_month_has_left_is_its_limit_less_its_kept_bills(home: Path, night: Night) -> None:
    spent(home, 90.0)
    assert month_left(night, recipe(max_month_amount=100.0)) == Decimal(10)


def test_without_a_month_s_limit_nothing_is_read(home: Path, night: Night) -> None:
    (home / "bills" / "2026-11").mkdir(parents=True)
    (home / "bills" / "2026-11" / "broken.json").write_text("{")
    assert month_left(night, recipe()) is None


def test_a_step_is_ended_by_what_this_night_and_this_month_have_spent_before(home: Path, night: Night) -> None:
    with attempt_log(night).attempt("align", "an earlier run", GPU):
        time.sleep(0.2)
    watch(night, recipe(), GPU).look()  # within it
    # 0.2 s of eight GPUs at the shipped book's 3.40 an hour are more than a thousandth
    with pytest.raises(OverBudget, match=r"budget\.max_amount"):
        watch(night, recipe(max_amount=0.001), GPU).look()
    with pytest.raises(OverBudget, match=r"budget\.max_hours"):
        watch(night, recipe(max_hours=0.1 / 3600), GPU).look()
    spent(home, 100.0)
    with pytest.raises(OverBudget, match=r"100\.00 EUR \(budget\.max_month_amount\)"):
        watch(night, recipe(max_month_amount=100.0), GPU).look()


def test_no_step_begins_to_hold_a_pool_after_the_night_s_deadline(home: Path, night: Night) -> None:
    watch(night.model_copy(update={"ends_by": "2999-01-01T06:00:00+01:00"}), recipe(), GPU).look()
    with pytest.raises(PastDeadline, match="2026-01-01 06:00"):
        watch(night.model_copy(update={"ends_by": "2026-01-01T06:00:00+01:00"}), recipe(), GPU)


def test_a_phase_s_own_budget_is_of_all_attempts_at_it_and_of_no_other_phase(home: Path, night: Night) -> None:
    def one(**limits: float) -> Recipe:
        phase = recipe().phase[0].model_copy(update=limits)
        return recipe().model_copy(update={"phase": (phase,)})

    for step in ("align", "align-2", "align-2"):
        with attempt_log(night).attempt(step, "an earlier run", GPU):
            time.sleep(0.2)
    watch(night, one(), GPU, 2).look()
    with pytest.raises(PhaseSpent, match=r"the phase's budget is spent: .*\(phase\.1\.max_hours\)"):
        watch(night, one(max_hours=0.3 / 3600), GPU, 2).look()
    watch(night, one(max_hours=0.3 / 3600), GPU, 1).look()  # one attempt at the first phase
    with pytest.raises(PhaseSpent, match=r"EUR \(phase\.1\.max_amount\)"):
        watch(night, one(max_amount=0.001), GPU, 2).look()
    # what scores or samples is no phase's, and the night's own limit is not one of them
    watch(night, one(max_hours=1e-9), GPU).look()
    with pytest.raises(OverBudget) as caught:
        watch(
            night, one(max_hours=1e-9).model_copy(update={"budget": recipe(max_hours=0.5 / 3600).budget}), GPU, 2
        ).look()
    assert type(caught.value) is OverBudget  # the hours of all phases together
