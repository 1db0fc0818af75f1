"""The plan of a night that trains a reward model, uses one, or draws answers before it trains."""

import tomllib
from pathlib import Path

import pytest

from infra.settings import ROOT
from tasks.errors import PlanError
from tasks.lm.flops import Work, forward_flops
from tasks.phases import Phase
from tasks.plan.decide import decide_plan
from tasks.plan.effort import Lengths, drawing_effort, offline_effort, rejection_effort, sampling_seconds
from tasks.plan.forecast import cannot_draw, forecast
from tasks.plan.held import Facts, on_devices
from tasks.plan.memory import Models, models_of
from tasks.recipe import Recipe, load_recipe
from tasks.recipe import _apply as apply_override
from tests.unit.plan.plan_facts import PRICES, SMOLLM2_135M, facts, on_gpus, speed

REWARD = 'phase.0={method="reward", max_steps=100, batch_size=8}'
REJECT = (
    'phase.0={method="reject", reward=["not_refused"], max_steps=100, batch_size=8, group_size=4, max_new_tokens=60}'
)
SIZES = {
    "layers": 30, "layer_parameters": 30 * SMOLLM2_135M.layer_parameters, "head_parameters": 49152 * 576,
    "heads_width": 576,
}  # fmt: skip


def recipe(*overrides: str) -> Recipe:
    """The demo's, with this phase alone: as the plan takes it out of its chain (``Recipe.alone``)."""
    demo = Path(ROOT / "recipes" / "demo.toml")
    raw = tomllib.loads(demo.read_text())
    for override in overrides:
        apply_override(raw, override)
    phases = tuple(Phase.model_validate(one) for one in raw["phase"])
    whole = load_recipe(demo, ("budget.max_amount=1000.0", "budget.max_hours=100.0"))
    return whole.model_copy(update={"phase": phases})


def given(**changes: object) -> Facts:
    return facts(max_prompt_tokens=200, **changes)


# ---- a reward model --------------------------------------------------------------------------------------------------


def test_a_plan_of_a_reward_model_counts_on_the_pairs_that_arent_held_out() -> None:
    plan = decide_plan(recipe(REWARD), given(), PRICES)
    assert (plan.steps, plan.pairs) == (47, 470)  # 376 of 470 pairs are trained on
    assert "47 steps of 8 pairs, 20% of the prompts beside them held out" in plan.reason
    assert decide_plan(recipe(REWARD, "phase.0.reward_holdout=0.5"), given(), PRICES).steps == 29


def test_a_reward_model_scores_no_words_makes_no_candidate_and_keeps_no_logits() -> None:
    phase, lengths = recipe(REWARD).phase[0], Lengths(100, 50)
    found = offline_effort(SMOLLM2_135M, phase, 100, lengths, 2, scored=12345.0)
    work = Work(tokens=100 * 300, seen=100 * (100 * 100 + 2 * 100 * 50 + 50 * 50), scored=0)
    assert found.alone == pytest.approx(0.2 * forward_flops(work, **SIZES))
    dpo = offline_effort(SMOLLM2_135M, phase.model_copy(update={"method": "dpo"}), 100, lengths, 2, scored=0.0)
    assert found.spread < 0.8 * dpo.spread
    assert on_devices(recipe(REWARD), given(), 1).memory.logits == 0


# ---- one that drives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ppo", "grpo", "rloo"])
def test_a_reward_model_takes_the_room_and_the_time_of_a_model(method: str) -> None:
    plain = f'phase.0={{method="{method}", reward=["not_refused"], max_steps=9, batch_size=8, max_new_tokens=60}}'
    without, beside = (recipe(plain, *more) for more in ((), ('phase.0.reward=["not_refused", "model"]',)))
    assert (models_of(without.phase[0]), models_of(beside.phase[0])) == (Models(), Models(reward=True))
    one, other = (on_devices(made, given(), 1) for made in (without, beside))
    assert other.memory.reference - one.memory.reference == 4 * SMOLLM2_135M.parameters
    lengths = Lengths(100, 60)
    judged = [
        drawing_effort(SMOLLM2_135M, made.phase[0], 10, lengths, 0, speed(4e10), None).spread
        for made in (without, beside)
    ]
    work = Work(10 * 4 * 160, 10 * 4 * 160 * 160 / 2, 0)
    assert judged[1] - judged[0] == pytest.approx(forward_flops(work, **SIZES))


# ---- rejection sampling ----------------------------------------------------------------------------------------------


def test_a_plan_of_rejection_sampling_counts_the_prompts_it_may_draw_for() -> None:
    plan = decide_plan(recipe(REJECT), given(), PRICES)
    assert (plan.steps, plan.pairs) == (39, 468)  # of 470 pairs 313 rows, in the plan's view
    assert "39 steps of 8 pairs, 4 answers drawn to 1.5 prompts for each" in plan.reason
    assert decide_plan(recipe(REJECT, "phase.0.draw_factor=1.0"), given(), PRICES).steps == 58


def test_time_is_that_of_all_draws_and_of_training_on_what_is_kept() -> None:
    phase, lengths = recipe(REJECT).phase[0], Lengths(100, 60)

    def effort(prompts: int, rows: int, **changes: object):
        made = recipe(REJECT, *(f"phase.0.{name}={value}" for name, value in changes.items())).phase[0]
        return rejection_effort(SMOLLM2_135M, made, prompts, rows, lengths, 1, 0.0, speed(4e10), None)

    one = effort(30, 20)
    assert one.sampling == sampling_seconds(SMOLLM2_135M, phase, 30 * 4, lengths, speed(4e10), None)
    assert (one.tokens, one.alone) == (20 * 160, 0.0)
    # twice the prompts: twice the draws, the same training; and the other way about
    assert effort(60, 20).sampling == pytest.approx(2 * one.sampling)
    assert effort(60, 20).spread == one.spread
    assert effort(30, 40).spread == pytest.approx(2 * one.spread)
    # as pairs, the prompt once and two answers, and a reference besides
    pairs = effort(30, 20, train_as='"dpo"')
    assert pairs.tokens == 20 * (100 + 2 * 60)
    assert pairs.spread > 1.3 * one.spread
    # judged by a reward model
    judged = effort(30, 20, reward='["model"]')
    work = Work(30 * 4 * 160, 30 * 4 * 160 * 160 / 2, 0)
    assert judged.alone == pytest.approx(forward_flops(work, **SIZES))


def test_memory_is_the_larger_of_drawing_and_training() -> None:
    training = on_devices(recipe(REJECT), given(), 1).memory
    assert training.activations > 0
    small = recipe(REJECT, "phase.0.batch_size=1", "phase.0.group_size=64", 'phase.0.reward=["model"]')
    drawing = on_devices(small, given(), 1).memory
    assert (drawing.activations, drawing.optimizer) == (0, 0)
    assert drawing.reference == drawing.weights == 4 * SMOLLM2_135M.parameters
    assert drawing.kv > 0


def test_several_processes_or_a_context_too_short_are_refused_before_anything_runs() -> None:
    found = forecast("cloud", recipe(REJECT), on_gpus("h100", 4, max_prompt_tokens=200), PRICES)
    assert found.why == "method reject trains in one process, the pool has 4"
    assert cannot_draw(recipe(REJECT), given(context=260, max_sequence_tokens=250)) is None
    with pytest.raises(PlanError, match=r"phase\.max_new_tokens = 60 have 260 tokens, the model was made for 259"):
        decide_plan(recipe(REJECT), given(context=259, max_sequence_tokens=250), PRICES)
