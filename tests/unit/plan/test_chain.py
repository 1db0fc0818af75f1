"""The plan of several phases: time and money are sums, memory is the most, and each has a budget of its own."""

from typing import Any

import pytest

from infra.settings import ROOT
from tasks.contracts import Plan
from tasks.errors import PlanError
from tasks.phases import METHODS
from tasks.plan.comparison import compare
from tasks.plan.decide import decide_plan
from tasks.plan.forecast import counts, forecast
from tasks.plan.held import Facts, on_devices, taken
from tasks.recipe import Recipe, load_recipe
from tests.unit.plan.plan_facts import PRICES, facts, on_gpus

DEMO = load_recipe(ROOT / "recipes" / "demo.toml").model_dump(exclude_unset=True)
DPO = {"max_steps": 24, "batch_size": 4}
PPO = {"method": "ppo", "reward": "not_refused", "max_steps": 12, "batch_size": 8, "epochs": 2, "on": "reasoning"}


def recipe(*phases: dict[str, Any], **changes: Any) -> Recipe:
    sources = ["recipes/demo", {"path": "hard", "topic": "reasoning"}]
    budget = {"max_amount": 1000.0, "max_hours": 100.0}
    return Recipe.model_validate(DEMO | {"phase": list(phases), "sources": sources, "budget": budget} | changes)


def chain(*later: dict[str, Any], **first: Any) -> Facts:
    return facts(**first, later=tuple(facts(**one) for one in later))


def alone(spec: Recipe, number: int, own: Facts) -> Plan:
    return decide_plan(spec.alone(number), own, PRICES)


def test_time_and_money_are_the_phases_sums_and_memory_the_most() -> None:
    spec = recipe(DPO, PPO)
    plan = decide_plan(spec, chain({"train_pairs": 60, "new_pairs": 60}), PRICES)
    one = alone(spec, 1, facts())
    two = decide_plan(
        spec.alone(2).model_copy(update={"data": spec.data.model_copy(update={"min_new_pairs": 1})}),
        facts(train_pairs=60, new_pairs=60),
        PRICES,
    )
    assert (plan.steps, plan.pairs) == (one.steps + two.steps, one.pairs + two.pairs) == (24 + 12, 96 + 48)
    assert plan.seconds == pytest.approx(one.seconds + two.seconds)
    assert plan.amount == pytest.approx(one.amount + two.amount)
    assert plan.memory_bytes == max(one.memory_bytes, two.memory_bytes)
    assert one.memory_bytes != two.memory_bytes
    assert plan.new_pairs == 470
    assert [plan.alone(number).steps for number in (1, 2)] == [24, 12]
    assert plan.alone(1) == one.model_copy(update={"reason": plan.phases[0].reason})
    assert plan.reason == (
        "470 new pairs; phase 1 (dpo): 24 steps of 4 pairs; "
        "phase 2 (ppo): 12 steps of 8 pairs on reasoning, 2 steps on the same"
    )


def test_a_plan_of_one_phase_is_that_phase_s() -> None:
    plan = decide_plan(recipe(DPO), facts(), PRICES)
    assert plan.phases == ()
    assert plan.alone(1) is plan


def test_a_phase_with_too_few_rows_is_left_out_and_costs_nothing() -> None:
    spec = recipe(DPO, PPO)
    plan = decide_plan(spec, chain({"train_pairs": 7, "new_pairs": 7}), PRICES)
    assert plan.train
    assert plan.seconds == pytest.approx(alone(spec, 1, facts()).seconds)
    assert (plan.phases[1].steps, plan.phases[1].amount) == (0, 0.0)
    assert plan.phases[1].reason == "7 training pairs on reasoning don't fill one batch of 8"


def test_a_night_whose_phases_have_nothing_to_learn_is_skipped() -> None:
    plan = decide_plan(recipe(DPO, PPO), chain({"train_pairs": 3, "new_pairs": 3}, train_pairs=2), PRICES)
    assert not plan.train
    assert plan.reason.startswith("no phase has enough to make a candidate of: phase 1 (dpo): 2 training pairs don't")
    assert [one.steps for one in plan.phases] == [0, 0]
    few = decide_plan(recipe(DPO, PPO), chain({"new_pairs": 9}, new_pairs=20), PRICES)
    assert not few.train
    assert "20 new training pairs since the champion" in few.reason


def test_a_phase_that_needs_a_reward_model_is_left_out_where_none_is_trained_tonight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(METHODS, "sft", METHODS["sft"]._replace(makes="reward"))
    spec = recipe(DPO, {"method": "sft", "max_steps": 4}, PPO)
    needing = spec.phase[2].model_copy(update={"reward": ("model",)})
    spec = spec.model_copy(update={"phase": (*spec.phase[:2], needing)})
    whole = decide_plan(spec, chain({"gate_items": 0}, {}), PRICES)
    assert [one.steps for one in whole.phases] == [24, 4, 12]
    without = decide_plan(spec, chain({"train_pairs": 1}, {}), PRICES)
    assert [one.steps for one in without.phases] == [24, 0, 0]
    assert "there is no reward model tonight" in without.phases[2].reason


def test_a_phase_that_would_not_come_to_its_end_within_its_own_budget_is_refused_by_name() -> None:
    seconds = decide_plan(recipe(DPO, PPO), chain({}), PRICES).phases[1].seconds
    fits = recipe(DPO, PPO | {"max_hours": seconds / 3600 * 1.01})
    assert decide_plan(fits, chain({}), PRICES).train
    short = recipe(DPO, PPO | {"max_hours": seconds / 3600 * 0.99})
    with pytest.raises(PlanError, match=r"phase 2 \(ppo\) needs about .* \(phase\.1\.max_hours\)"):
        decide_plan(short, chain({}), PRICES)
    with pytest.raises(PlanError, match=r"phase 1 \(dpo\) needs about .* EUR, .* \(phase\.0\.max_amount\)"):
        decide_plan(recipe(DPO | {"max_amount": 1e-6}, PPO), chain({}), PRICES)
    with pytest.raises(PlanError, match=r"\(phase\.0\.max_amount\)"):
        decide_plan(recipe(DPO | {"max_amount": 1e-6}), facts(), PRICES)


def test_the_night_s_budget_is_for_all_phases_together() -> None:
    one = decide_plan(recipe(DPO), facts(), PRICES)
    both = decide_plan(recipe(DPO, DPO), chain({}), PRICES)
    assert both.amount == pytest.approx(2 * one.amount)
    tight = {"max_amount": 1.5 * one.amount, "max_hours": 1.0}
    assert decide_plan(recipe(DPO, budget=tight), facts(), PRICES).train
    with pytest.raises(PlanError, match=r"budget\.max_amount"):
        decide_plan(recipe(DPO, DPO, budget=tight), chain({}), PRICES)


def test_memory_that_does_not_fit_is_named_for_the_phase_that_needs_it() -> None:
    big = DPO | {"adapter": "full"}
    spec = recipe(DPO, big)
    held = [on_devices(spec.alone(number), facts(), 1).memory.total for number in (1, 2)]
    assert held[0] < held[1]
    with pytest.raises(PlanError, match=rf"phase 2 \(dpo\): training needs about {held[1] / 1e9:.1f} GB"):
        decide_plan(spec, chain({"memory_bytes": sum(held) // 2}, memory_bytes=sum(held) // 2), PRICES)


def test_a_pool_is_compared_by_all_phases_and_takes_as_many_devices_as_share_every_batch() -> None:
    spec = recipe(DPO | {"batch_size": 8}, DPO | {"batch_size": 12}, budget={"max_amount": 1e6, "max_hours": 10.0})
    pool = on_gpus("h100", 8)
    both = pool.model_copy(update={"later": (pool,)})
    assert counts(spec, both) == [1, 2, 4]
    found, first = forecast("cloud", spec, both, PRICES), forecast("cloud", spec.alone(1), pool, PRICES)
    assert found.runs
    assert found.seconds == pytest.approx((first.seconds or 0) + on_devices(spec.alone(2), pool, 1).seconds)
    told = compare(spec, {"cloud": both}, (), PRICES, "prices", PRICES.date)
    assert (told.steps, told.pairs) == taken(spec, both) == (48, 24 * 8 + 24 * 12)
