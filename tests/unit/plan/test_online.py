"""The plan of a night that learns from its own answers: what it draws, holds, and where it can't run."""

import pytest

from infra.settings import ROOT
from tasks.errors import PlanError
from tasks.plan.decide import decide_plan
from tasks.plan.effort import Lengths, drawing_effort, sampling_seconds
from tasks.plan.forecast import cannot_draw, forecast
from tasks.plan.held import Facts, on_devices, tonight
from tasks.plan.memory import Models
from tasks.recipe import Recipe, load_recipe
from tests.unit.plan.plan_facts import PRICES, SMOLLM2_135M, facts, on_gpus, speed

METHOD = (
    'phase.0={method="ppo", reward=["not_refused"], max_steps=100, batch_size=8, group_size=4, max_new_tokens=60}',
)


def recipe(*overrides: str) -> Recipe:
    plain = ("budget.max_amount=1000.0", "budget.max_hours=100.0", *METHOD)
    return load_recipe(ROOT / "recipes" / "demo.toml", plain + overrides)


def given(**changes: object) -> Facts:
    return facts(max_prompt_tokens=200, **changes)


def test_answers_that_serve_several_steps_take_fewer_pairs() -> None:
    assert decide_plan(recipe(), given(), PRICES).pairs == 58 * 8
    plan = decide_plan(recipe("phase.0.epochs=4"), given(), PRICES)
    assert (plan.steps, plan.pairs) == (100, 25 * 8)
    assert "100 steps of 8 pairs, 4 steps on the same" in plan.reason
    # and where the pairs are few, they fill more steps
    assert decide_plan(recipe("phase.0.epochs=4"), given(train_pairs=80, new_pairs=470), PRICES).steps == 40


def test_time_is_that_of_all_answers_drawn_scored_twice_and_trained_on_each_epoch() -> None:
    phase, lengths = recipe().phase[0], Lengths(100, 60)
    one = drawing_effort(SMOLLM2_135M, phase, 10, lengths, 0, speed(4e10), None)
    more = phase.model_copy(update={"group_size": 8})
    assert drawing_effort(SMOLLM2_135M, more, 10, lengths, 0, speed(4e10), None) == pytest.approx([2 * x for x in one])
    again = phase.model_copy(update={"epochs": 3})
    three = drawing_effort(SMOLLM2_135M, again, 10, lengths, 0, speed(4e10), None)
    assert (three.tokens, three.sampling) == (one.tokens, one.sampling) == (
        10 * 4 * 160, sampling_seconds(SMOLLM2_135M, phase, 40, lengths, speed(4e10), None),
    )  # fmt: skip
    # a forward pass is a part of an epoch's training that doesn't grow with epochs
    assert one.spread < three.spread < 3 * one.spread


def test_memory_is_of_a_part_and_full_training_holds_a_reference() -> None:
    way = tonight(recipe())
    assert (way.online, way.models) == (True, Models())
    assert tonight(recipe('phase.0.adapter="full"')).models.reference
    small, large = (
        on_devices(recipe(f"phase.0.max_tokens={tokens}"), given(), 1).memory for tokens in (400, 8 * 4 * 292)
    )
    assert large.activations == pytest.approx(small.activations * 8 * 4 * 292 / 400, rel=1e-6)
    assert small.kv == large.kv > 0
    # one answer goes through whole, however few tokens are asked for
    assert on_devices(recipe("phase.0.max_tokens=10"), given(), 1).memory.activations == pytest.approx(
        small.activations * 292 / 400, rel=1e-6
    )


def test_a_pool_of_several_processes_and_a_context_too_short_are_refused_before_anything_runs() -> None:
    found = forecast("cloud", recipe(), on_gpus("h100", 4, max_prompt_tokens=200), PRICES)
    assert not found.runs
    assert found.why == "method ppo trains in one process, the pool has 4"
    parts = recipe("phase.0.max_tokens=2000")
    assert forecast("cloud", parts, on_gpus("h100", 1, max_prompt_tokens=200), PRICES).runs
    with pytest.raises(PlanError, match="one process, the pool has 4"):
        decide_plan(recipe(), on_gpus("h100", 4, max_prompt_tokens=200), PRICES)
    assert cannot_draw(recipe(), given(context=260, max_sequence_tokens=250)) is None
    with pytest.raises(PlanError, match=r"phase\.max_new_tokens = 60 have 260 tokens, the model was made for 259"):
        decide_plan(recipe(), given(context=259, max_sequence_tokens=250), PRICES)


def test_methods_that_train_on_pairs_are_planned_as_before() -> None:
    dpo = load_recipe(ROOT / "recipes" / "demo.toml")
    assert cannot_draw(dpo, given(context=10)) is None
    assert not tonight(dpo).online
    plan = decide_plan(load_recipe(ROOT / "recipes" / "demo.toml", ("budget.max_amount=1000.0",)), given(), PRICES)
    assert plan.pairs == plan.steps * dpo.phase[0].batch_size
    assert "on the same" not in plan.reason
