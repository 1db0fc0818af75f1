"""decide: too little to learn is no failure, a plan that does not fit is, and each says by how much."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.attempts import Device
from infra.price_book import DevicePrice, PoolPrices
from infra.settings import ROOT
from infra.store import Store
from tasks.errors import PlanError
from tasks.phases import Phase
from tasks.plan.decide import decide_plan
from tasks.plan.facts import count_new
from tasks.plan.held import on_devices
from tasks.recipe import load_recipe
from tests.unit.plan.plan_facts import PRICES, facts, on_gpus, speed

RECIPE = load_recipe(ROOT / "recipes" / "demo.toml")


def test_the_demo_trains_all_its_steps() -> None:
    plan = decide_plan(RECIPE, facts(), PRICES)
    assert plan.train
    assert (plan.steps, plan.pairs) == (24, 96)
    hours = plan.seconds / 3600
    assert plan.amount == pytest.approx(hours * 2.0 + hours * 0.1 * 0.5)


def test_a_pool_s_own_prices_and_its_site_s_power_are_planned_as_they_are_billed() -> None:
    own = PoolPrices(tariff_per_kwh=0.3, pue=1.5, device={"mi300x": DevicePrice(rate=1.0, watts=700, pays_power=True)})
    prices = PRICES.model_copy(update={"kind": "list", "pool": {"slurm/night": own}})
    device = Device(pool="slurm/night", kind="mi300x", count=4, accelerator=True)
    elsewhere = device.model_copy(update={"pool": "slurm"})
    cheap, plain = (decide_plan(RECIPE, on_gpus("mi300x", device=one), prices) for one in (device, elsewhere))
    hours = 4 * cheap.seconds / 3600
    assert cheap.amount == pytest.approx(hours * 1.0 + hours * 0.75 * 1.5 * 0.3)
    assert plain.amount == pytest.approx(hours * 2.0 + hours * 0.75 * 0.5)
    assert not cheap.example
    # real device prices in a book of example prices: the power they pay has an example's tariff
    listed = own.model_copy(update={"device": {"mi300x": own.device["mi300x"].model_copy(update={"kind": "list"})}})
    mixed = prices.model_copy(update={"kind": "example", "pool": {"slurm/night": listed}})
    assert decide_plan(RECIPE, on_gpus("mi300x", device=device), mixed).example


def test_fewer_pairs_make_fewer_steps_and_a_last_batch_is_never_half_full() -> None:
    plan = decide_plan(RECIPE, facts(train_pairs=47, new_pairs=470), PRICES)
    assert (plan.steps, plan.pairs) == (11, 44)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"new_pairs": 99}, r"99 new training pairs since the champion; the recipe asks for 100"),
        ({"train_pairs": 3}, r"3 training pairs don't fill one batch of 4"),
        ({"house_items": 149}, r"house suite would hold 149 items, the gate asks for 150"),
    ],
)
def test_too_little_to_learn_skips_and_says_what_is_missing(changes: dict[str, Any], reason: str) -> None:
    import re

    plan = decide_plan(RECIPE, facts(**changes), PRICES)
    assert not plan.train
    assert re.search(reason, plan.reason)
    assert (plan.pairs, plan.steps) == (0, 0)


def test_a_night_with_nothing_to_learn_is_skipped_even_where_it_would_not_fit() -> None:
    assert not decide_plan(RECIPE, facts(new_pairs=0, memory_bytes=1), PRICES).train


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"memory_bytes": 1_200_000_000},
            r"needs about \d+\.\d GB, of which \w+ \d\.\d GB; the pool local has 1\.2 GB",
        ),
        ({"max_sequence_tokens": 9000}, r"longest pair has 9000 tokens of prompt and answer, .* made for 8192"),
        ({"rate": speed(4e8)}, r"needs about \d+\.\d+ h on the pool local, the budget is 1\.0 h"),
        ({"pool_problems": ("it is on fire",)}, r"the pool local can't run: it is on fire"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_with_both_figures(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        decide_plan(RECIPE, facts(**changes), PRICES)


def test_a_night_over_the_budget_is_refused() -> None:
    poor = load_recipe(ROOT / "recipes" / "demo.toml", ("budget.max_amount=0.01",))
    with pytest.raises(PlanError, match=r"would cost about \d\.\d\d EUR \(by an example price\), the budget is 0\.01"):
        decide_plan(poor, facts(), PRICES)


def test_a_recipe_that_cannot_fit_is_refused_with_changes_that_make_it_fit() -> None:
    large = facts(memory_bytes=2_600_000_000, max_pair_tokens=900)
    with pytest.raises(PlanError) as refused:
        decide_plan(RECIPE, large, PRICES)
    ways = refused.value.do.partition(": ")[2].split("; ")
    assert 1 <= len(ways) <= 3
    assert "phase.gradient_checkpointing = true" in ways
    lighter = load_recipe(ROOT / "recipes" / "demo.toml", ("phase.0.gradient_checkpointing=true",))
    assert decide_plan(lighter, large, PRICES).train


def test_a_recipe_that_no_change_makes_fit_says_so() -> None:
    with pytest.raises(PlanError) as refused:
        decide_plan(RECIPE, facts(memory_bytes=600_000_000), PRICES)
    assert "no single change" in refused.value.do


def test_a_night_over_what_is_left_of_the_month_is_refused_with_both_figures() -> None:
    with pytest.raises(PlanError, match=r"about \d\.\d\d EUR \(by an example price\), 0\.01 are left of this month"):
        decide_plan(RECIPE, facts(month_left=0.01), PRICES)
    assert decide_plan(RECIPE, facts(month_left=0.9), PRICES).train
    assert decide_plan(RECIPE, facts(month_left=None), PRICES).train


def test_what_is_left_of_a_month_is_never_not_a_number() -> None:
    with pytest.raises(ValueError, match="finite"):
        facts(month_left=float("nan"))


@given(st.integers(24, 4000), st.integers(24, 4000))
def test_more_pairs_never_take_less_time(fewer: int, more: int) -> None:
    low, high = sorted((fewer, more))
    assert decide_plan(RECIPE, facts(train_pairs=low), PRICES).seconds <= (
        decide_plan(RECIPE, facts(train_pairs=high), PRICES).seconds
    )


def test_training_is_shared_by_all_devices_and_scoring_is_one_processs() -> None:
    def seconds(count: int, items: int) -> float:
        device = Device(pool="local", kind="cpu", count=count, accelerator=False)
        return on_devices(RECIPE, facts(device=device, gate_items=items), count).seconds

    assert seconds(2, 0) == pytest.approx(seconds(1, 0) / 2)
    assert seconds(2, 640) - seconds(2, 0) == pytest.approx(seconds(1, 640) - seconds(1, 0))


def test_labels_that_the_method_learns_nothing_from_are_named_where_too_little_is_left() -> None:
    for changes in ({"new_pairs": 3}, {"train_pairs": 3}):
        plan = decide_plan(RECIPE, facts(unfit_labels=900, **changes), PRICES)
        assert not plan.train
        assert plan.reason.endswith("; method dpo learns nothing from 900 labels")


def phase(method: str = "dpo", **fields: Any) -> Phase:
    return Phase.model_validate({"method": method, "max_steps": 5, **fields})


def test_rows_without_the_truth_that_a_reward_compares_with_are_no_training_rows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    truths: list[dict[str, Any]] = [{"truth": 7}, {"truth": {"properties": {"label": {}, "weight": {}}}}, {}, {}, {}]
    lines = [json.dumps({"id": f"{n}", "prompt": '"truth": '} | one) + "\n" for n, one in enumerate(truths)]
    train = store.put_bytes("".join(lines).encode())
    assert count_new(train, None, store, phase("grpo", reward=["exact_number"])) == 2
    assert count_new(train, None, store, phase("grpo", reward=["not_refused"])) == 5
    assert count_new(train, None, store, phase()) == 5
    recipe = RECIPE.model_copy(update={"phase": (phase("grpo", reward=["exact_number", "length_penalty"]),)})
    plan = decide_plan(recipe, facts(new_pairs=3, without_truth=900), PRICES)
    assert not plan.train
    assert plan.reason.endswith("; 900 rows have no `truth`, which exact_number, length_penalty compares with")


def test_new_labels_count_for_a_method_that_takes_them(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lines = [json.dumps({"id": f"{n}", "label": n % 2 > 0}) + "\n" for n in range(8)] + [json.dumps({"id": "p"}) + "\n"]
    train = store.put_bytes("".join(lines).encode())
    assert [count_new(train, None, store, phase(method)) for method in ("dpo", "sft", "kto")] == [1, 5, 5]


def test_new_pairs_are_those_the_champion_was_not_trained_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    lines = [json.dumps({"id": n}) + "\n" for n in range(10)]
    before, tonight = store.put_bytes("".join(lines[:7]).encode()), store.put_bytes("".join(lines[2:]).encode())
    assert count_new(tonight, before, store, phase()) == 3
    assert count_new(tonight, None, store, phase()) == 8
    assert count_new(before, before, store, phase()) == 0
