"""A pool's forecast: the fewest devices that do, the reason where none do, and the cheapest pool by the deadline."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.hardware import hardware_book
from infra.settings import ROOT
from tasks.plan.effort import Lengths, pair_work, sampling_seconds
from tasks.plan.forecast import Forecast, cheapest, counts, forecast
from tasks.plan.held import Way, on_devices, steps_of
from tasks.plan.memory import Models
from tasks.recipe import Recipe, load_recipe
from tests.unit.plan.plan_facts import LLAMA_8B, PRICES, facts, on_gpus, speed

DEMO = load_recipe(ROOT / "recipes" / "demo.toml")


def recipe(*overrides: str) -> Recipe:
    plain = ("phase.0.batch_size=8", "budget.max_amount=1000.0")
    return load_recipe(ROOT / "recipes" / "demo.toml", plain + overrides)


def line(name: str, **changes: Any) -> Forecast:
    values = {"name": name, "runs": True, "amount": 2.0, "seconds": 60.0, "currency": "EUR"}
    return Forecast.model_validate({**values, **changes})


def test_one_gpu_is_enough_for_an_8b_adapter_and_the_price_is_of_one() -> None:
    found = forecast("cloud", recipe(), on_gpus("h100", 4), PRICES)
    assert (found.runs, found.devices, found.of) == (True, 1, 4)
    assert found.seconds is not None
    assert found.amount == pytest.approx(found.seconds / 3600 * 3.0)  # rented: power is in the rate
    assert found.kwh == pytest.approx(found.seconds / 3600 * 0.7)
    held = on_devices(recipe(), on_gpus("h100", 4), 4)
    assert found.whole_amount == pytest.approx(held.seconds / 3600 * 4 * 3.0)


def test_a_pool_that_pays_its_power_pays_it_by_the_boards_watts() -> None:
    found = forecast("lab", recipe(), on_gpus("mi300x", 1), PRICES)
    assert found.seconds is not None
    hours = found.seconds / 3600
    assert found.kwh == pytest.approx(hours * 0.75)
    assert found.amount == pytest.approx(hours * 2.0 + hours * 0.75 * 0.5)


def test_as_many_devices_are_taken_as_the_deadline_needs() -> None:
    pool = on_gpus("h100", 8, gate_items=0)  # scoring is one process's, on however many devices
    alone = on_devices(recipe(), pool, 1).seconds / 3600
    assert forecast("cloud", recipe(f"budget.max_hours={alone * 1.01}"), pool, PRICES).devices == 1
    assert forecast("cloud", recipe(f"budget.max_hours={alone * 0.51}"), pool, PRICES).devices == 2
    assert forecast("cloud", recipe(f"budget.max_hours={alone * 0.49}"), pool, PRICES).devices == 4
    late = forecast("cloud", recipe(f"budget.max_hours={alone * 0.01}"), pool, PRICES)
    assert (late.runs, late.devices) == (False, 8)
    assert "h on 8 of 8, the deadline is" in late.why


def test_only_so_many_devices_are_taken_as_share_a_batch_evenly() -> None:
    assert counts(recipe("phase.0.batch_size=6"), on_gpus("h100", 8)) == [1, 2, 3, 6]
    assert counts(recipe(), facts()) == [1]


def test_a_model_too_large_for_one_gpu_is_refused_with_its_largest_part_and_what_makes_it_fit() -> None:
    full = _full()
    found = forecast("cloud", full, on_gpus("h100", 8), PRICES)
    assert not found.runs
    assert "of which optimizer 64.2 GB" in found.why
    assert 'phase.adapter = "lora"' in found.do
    assert "share_weights = true in the pool's block, on " in found.do
    shared = forecast("cloud", full, on_gpus("h100", 8, shares_weights=True), PRICES)
    assert shared.runs
    assert 1 < shared.devices <= 8
    assert f"on {shared.devices} devices" in found.do


def _full() -> Recipe:
    phase = recipe().phase[0].model_dump(exclude_unset=True, exclude={"lora"}) | {"adapter": "full", "batch_size": 8}
    return Recipe.model_validate(recipe().model_dump(exclude={"phase", "harden"}) | {"phase": (phase,)})


@pytest.mark.parametrize(
    ("changes", "overrides", "why"),
    [
        ({"pool_problems": ("it is on fire",)}, (), "it is on fire"),
        ({"max_sequence_tokens": 9000}, (), "the longest pair has 9000 tokens of prompt and answer, the model was"),
        ({"memory_bytes": 10**9}, (), "training needs about"),
        ({"rate": speed(1e9)}, (), "the deadline is 1 h"),
        ({}, ("budget.max_amount=0.0001",), "the budget is 0.0001 (budget.max_amount)"),
        ({"month_left": 0.0}, (), "0.00 are left of this month"),
    ],
)
def test_each_thing_that_stands_in_the_way_is_named_with_what_to_do(
    changes: dict[str, Any], overrides: tuple[str, ...], why: str
) -> None:
    found = forecast("pool", recipe(*overrides), facts(**changes), PRICES)
    assert not found.runs
    assert why in found.why
    assert found.do
    assert forecast("pool", recipe(), facts(), PRICES).runs


def test_a_pool_without_a_price_runs_nothing_and_shows_all_but_money() -> None:
    found = forecast("new", recipe(), on_gpus("b200", 1), PRICES)
    assert (found.runs, found.amount) == (False, None)
    assert "no device 'b200'" in found.why
    assert found.memory is not None
    assert found.seconds is not None


def test_an_amount_of_a_price_that_does_not_say_whose_it_is_counts_as_an_example() -> None:
    assert forecast("pool", recipe(), facts(), PRICES).example


def test_the_cheapest_that_runs_is_chosen() -> None:
    assert cheapest([line("dear", amount=3.0), line("cheap", amount=1.0), line("middle")]) == "cheap"


def test_a_cheaper_pool_that_misses_the_deadline_is_not_chosen() -> None:
    assert cheapest([line("late", amount=0.1, runs=False, why="takes 9.00 h"), line("dear")]) == "dear"


def test_of_two_that_cost_the_same_the_faster_is_chosen_and_then_the_first() -> None:
    assert cheapest([line("slow", seconds=90.0), line("fast"), line("as fast")]) == "fast"


def test_where_nothing_runs_nothing_is_chosen() -> None:
    assert cheapest([line("a", runs=False), line("b", runs=False, amount=None, seconds=None)]) is None
    assert cheapest([]) is None


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e6), st.floats(0, 1e6)), max_size=6))
def test_the_chosen_pool_runs_and_none_that_runs_costs_less(pools: list[tuple[bool, float, float]]) -> None:
    lines = [line(str(n), runs=runs, amount=amount, seconds=seconds) for n, (runs, amount, seconds) in enumerate(pools)]
    chosen = cheapest(lines)
    running = {one.name: one.amount for one in lines if one.runs}
    assert (chosen is None) == (not running)
    assert chosen is None or running[chosen] == min(amount for amount in running.values() if amount is not None)


def test_the_forecast_gets_faster_with_each_device_and_its_device_needs_no_more_memory() -> None:
    one, two, four = (on_devices(recipe(), on_gpus("h100", 4, shares_weights=True), count) for count in (1, 2, 4))
    assert one.seconds > two.seconds > four.seconds
    assert one.memory.total >= two.memory.total >= four.memory.total


def test_sampled_answers_wait_for_memory_where_the_batch_is_small() -> None:
    hardware, rate = hardware_book().of("h100"), on_gpus().rate
    phase = recipe().phase[0]
    small = sampling_seconds(LLAMA_8B, phase, 800, Lengths(200, 100), rate, hardware)
    # 100 batches of 8, 100 tokens each, and each reads 16 GB of weights and 0.3 GB of keys and values
    read = 2 * 8_030_261_248 + 8 * 250 * 4 * 32 * 1024
    assert small == pytest.approx(100 * 100 * read / (3.35e12 * 0.78))
    larger = phase.model_copy(update={"batch_size": 80})
    assert sampling_seconds(LLAMA_8B, larger, 800, Lengths(200, 100), rate, hardware) < small / 8


def test_a_pairs_work_is_what_its_documents_are() -> None:
    from tasks.lm.flops import work_of
    from tasks.lm.layout import Document

    found, true = pair_work(Lengths(200, 120), 1), work_of([Document(200, (120, 120))])
    assert (found.tokens, found.scored) == (true.tokens, true.scored)
    assert found.seen == pytest.approx(true.seen, rel=0.01)  # a token's look at itself
    twice, both = pair_work(Lengths(200, 120), 2), work_of([Document(0, (320,)), Document(0, (320,))])
    assert twice.tokens == both.tokens
    assert twice.seen == pytest.approx(both.seen, rel=0.01)


def test_ppo_with_four_models_needs_more_of_everything_than_dpo() -> None:
    way = Way(_full().phase[0], Models(reference=True, reward=True, value=True), online=True)
    dpo, ppo = (forecast("pool", recipe(), on_gpus("mi300x", 8), PRICES, one) for one in (None, way))
    assert dpo.memory is not None
    assert ppo.memory is not None
    for part in ("weights", "gradients", "optimizer", "reference", "kv"):
        assert ppo.memory.parts()[part] > dpo.memory.parts()[part]
    assert ppo.seconds is not None
    assert dpo.seconds is not None
    assert ppo.seconds * ppo.devices > dpo.seconds * dpo.devices


def test_steps_are_whole_batches_and_no_more_than_the_recipe_wants() -> None:
    assert steps_of(recipe(), facts(train_pairs=47)) == 5
    assert steps_of(recipe(), facts(train_pairs=10**6)) == 24
