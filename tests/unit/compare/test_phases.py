"""Each method's phase, and the budget that all of them share."""

import json
from typing import Any

import pytest

from tasks.compare import phases
from tasks.compare.phases import (
    check_methods,
    default_methods,
    phase_for,
    preference_budget,
    shared_lines,
    within_budget,
)
from tasks.compare.steps import by_method
from tasks.compare.trials import asked, design
from tasks.errors import RecipeError
from tasks.phases import METHODS, Method, Phase
from tasks.recipe import Recipe

OWN = {"method": "dpo", "beta": 0.3, "max_steps": 10, "batch_size": 8, "learning_rate": 2e-3}
REWARDED = {"online": {"reward": ["exact_number"], "group_size": 4, "max_new_tokens": 8}}


def recipe(phase: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    raw = {
        "name": "tiny",
        "seed": 5,
        "sources": ["pairs.jsonl"],
        "model": {"name": "tiny", "source": "model"},
        "phase": [OWN | (phase or {})],
        "gate": {"target": "house", "suites": [{"name": "house", "measure": "right", "margin": 0.1, "budget": 0.2}]},
        "budget": {"max_amount": 1, "max_hours": 1},
    }
    return Recipe.model_validate(raw | changes)


def test_every_method_of_the_table_becomes_a_phase_with_what_is_not_special_to_the_recipes_own() -> None:
    found = {name: phase_for(name, recipe(compare=REWARDED)) for name in phases.known_methods() if name != "rejection"}
    assert set(found) == {*METHODS, "ipo"} - {"reject"}
    for name, phase in found.items():
        assert phase.method == phases.method_of(name)
        assert (phase.learning_rate, phase.batch_size) == (2e-3, 8)
        # the recipe's beta is DPO's: to PPO it would be the price of divergence
        assert ("beta" in phase.model_fields_set) == (name == "dpo")
    assert found["dpo"].beta == 0.3
    assert found["dpo"].losses == ("sigmoid",)
    assert found["ipo"].losses == ("ipo",)
    assert found["ppo"].reward == ("exact_number",)


def test_the_recipes_own_method_keeps_its_whole_phase() -> None:
    given = recipe({"loss": ["sigmoid", "bco_pair"], "loss_weights": [1.0, 0.5], "packing": False})
    assert phase_for("dpo", given) == given.phase[0]
    assert "loss_weights" not in phase_for("ipo", given).model_fields_set
    own = recipe({"loss": "ipo"})
    assert (phase_for("ipo", own), phase_for("dpo", own).losses) == (own.phase[0], ("sigmoid",))


def test_rewards_of_an_online_recipe_are_those_of_all_online_methods_and_tables_win() -> None:
    phase = {"method": "ppo", "reward": ["not_refused"], "group_size": 8, "kl_target": 0.7, "beta": 0.02}
    tables = {"grpo": {"group_size": 16, "beta": 0.01}}
    given = recipe(phase, compare=tables)
    grpo = phase_for("grpo", given)
    assert (grpo.reward, grpo.group_size, grpo.beta) == (("not_refused",), 16, 0.01)
    assert "kl_target" not in grpo.model_fields_set
    assert phase_for("ppo", given) == given.phase[0]
    assert phase_for("dpo", given).reward == ()


def test_a_method_that_compares_the_policy_with_itself_gets_no_dropout() -> None:
    given = recipe({"lora": {"r": 4, "dropout": 0.1}}, compare=REWARDED)
    assert (phase_for("ppo", given).lora.dropout, phase_for("ppo", given).lora.r) == (0.0, 4)
    assert phase_for("kto", given).lora.dropout == 0.1


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["dpo", "magic"], "no method 'magic'"),
        (["dpo", "dpo"], "named twice"),
        (["dpo"], "two methods or more, not 1"),
        ([], "two methods or more, not 0"),
    ],
)
def test_methods_that_make_no_comparison_are_refused(names: list[str], why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        check_methods(names)


def test_rejection_is_refused_by_its_name_until_the_phase_exists_and_taken_once_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without = {name: one for name, one in METHODS.items() if name != "reject"}
    monkeypatch.setattr(phases, "METHODS", without)
    with pytest.raises(RecipeError, match="'rejection' is a phase 'reject', which this release has not") as refused:
        check_methods(["dpo", "reject", "ppo"])
    assert refused.value.do == "leave it out: --methods dpo,ppo"
    assert "rejection" not in default_methods()
    there = Method("best of n", (), frozenset({"reward", "group_size"}), reference=False)
    monkeypatch.setattr(phases, "METHODS", without | {"reject": there})
    assert check_methods(["dpo", "reject"]) == ("dpo", "rejection")
    assert default_methods() == ("dpo", "ipo", "kto", "rejection", "grpo", "ppo")


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({"dpoo": {"beta": 0.1}}, r"\[compare.dpoo\] is of no method"),
        ({"dpo": {"max_steps": 4}}, "sets max_steps, which the comparison decides"),
        ({"ipo": {"loss": ["sigmoid"]}}, "sets loss, which the comparison decides"),
        ({"ppo": {"betaa": 0.1}}, "has the key 'betaa', which no phase has"),
        ({"kto": {"kl_target": 0.1}}, "method 'kto' ignores kl_target"),
        ({"kto": {"beta": -1}}, "beta: Input should be greater than 0"),
    ],
)
def test_a_table_that_means_nothing_is_refused_by_its_name(tables: dict[str, Any], why: str) -> None:
    with pytest.raises(RecipeError, match=why):
        asked(recipe(compare=tables), ["dpo", "kto"], 1)


def test_a_method_with_rewards_says_how_to_give_it_some() -> None:
    with pytest.raises(RecipeError, match="method 'ppo' learns from rewards") as refused:
        asked(recipe(), ["dpo", "ppo"], 1)
    assert "compare.online.reward" in refused.value.do


@pytest.mark.parametrize("seeds", [0, -1])
def test_no_seed_is_no_comparison(seeds: int) -> None:
    with pytest.raises(RecipeError, match=f"a seed or more, not {seeds}"):
        asked(recipe(), ["dpo", "kto"], seeds)


def test_the_tables_change_no_nights_digest() -> None:
    assert recipe().digest == recipe(compare=REWARDED).digest


def lines(*rows: dict[str, Any]) -> list[bytes]:
    return [json.dumps({"id": str(number), "prompt": [], **row}).encode() for number, row in enumerate(rows)]


PAIR, GOOD = {"chosen": [], "rejected": []}, {"completion": [], "label": True}


def test_all_methods_learn_from_the_same_rows_pairs_and_where_one_needs_them_truths() -> None:
    rows = lines(PAIR, GOOD, PAIR | {"truth": 3}, PAIR | {"weight": 0.5})
    kto, sft = Phase(method="kto", max_steps=1), Phase(method="sft", max_steps=1)
    ppo = Phase(method="ppo", reward=("exact_number",), max_steps=1)
    assert list(shared_lines([*rows, b"  "], [kto, sft])) == [rows[0], rows[2], rows[3]]
    assert list(shared_lines(rows, [kto, ppo])) == [rows[2]]


def test_the_budget_is_whole_batches_of_all_and_each_method_takes_it_once() -> None:
    dpo = Phase(max_steps=10, batch_size=4)
    ppo = Phase(method="ppo", reward=("not_refused",), max_steps=1, batch_size=6, epochs=3)
    assert preference_budget([dpo, ppo], 100, 71) == 60
    assert preference_budget([dpo, ppo], 50, 71) == 48
    # 1.5 prompts are drawn for each row that rejection sampling trains on: prompts are what it is shown
    reject = Phase(method="reject", reward=("not_refused",), max_steps=1, batch_size=4)
    for phase, steps in ((within_budget(dpo, 48), 12), (within_budget(ppo, 48), 24), (within_budget(reject, 48), 8)):
        assert phase.max_steps == steps
        assert phase.pairs_of(steps) == 48
        assert phase.steps_of(48) == steps
    with pytest.raises(RecipeError, match=r"11 training pairs .* don't fill a batch that all methods share"):
        preference_budget([dpo, ppo], 100, 11)


def test_every_pool_takes_whole_seeds_and_every_training_is_scored_to_the_end() -> None:
    found = asked(recipe(compare=REWARDED), ["dpo", "ppo"], 3)
    planned = design(recipe(), found, 1000, ["a", "b"])
    assert planned.budget == 80
    assert [[(one.method, one.seed, one.recipe.pool) for one in block] for block in planned.blocks] == [
        [("dpo", 5, "a"), ("ppo", 5, "a"), ("dpo", 7, "a"), ("ppo", 7, "a")],
        [("dpo", 6, "b"), ("ppo", 6, "b")],
    ]
    assert not any(one.recipe.gate.early_stop or one.recipe.gate.aa_items for one in planned.trials)
    assert list(by_method(planned)) == ["dpo", "ppo"]
    assert {one.seed for one in by_method(planned).values()} == {5}
    assert len(design(recipe(), asked(recipe(), ["dpo", "kto"], 1), 1000, ["a", "b"]).blocks) == 1
