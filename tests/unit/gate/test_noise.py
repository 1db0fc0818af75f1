"""A/A: what is called noise, what is new, and what blocks."""

import pytest

from tasks.contracts import Engine
from tasks.gate.noise import compare_twice, floor_for, noise_problems, what_is_new
from tasks.gate.scorecard import ItemResult

ENGINE = Engine(name="packed", device="cpu", dtype="float32", tokens=2048, form="merged", quantise=None)


def result(name: str, score: float, right: bool = True, answer: str | None = None) -> ItemResult:
    return ItemResult(id=name, right=right, score=score, answers=() if answer is None else (answer,))


FIRST = {name: result(name, 0.5) for name in "abcd"}


def test_the_gap_of_choices_is_the_largest_of_an_item() -> None:
    noise = compare_twice("s", FIRST, [result("a", 0.5), result("b", 0.5004), result("c", 0.49)], 0.02, "why")
    assert (noise.items, noise.flips) == (3, 0)
    assert noise.gap == pytest.approx(0.01)
    assert noise_problems([noise], ["s"]) == []


def test_a_flip_counts_even_where_the_gap_is_nothing() -> None:
    noise = compare_twice("s", FIRST, [result("a", 0.5, right=False)], 0.02, "why")
    assert (noise.flips, noise.gap) == (1, 0.0)
    assert "1 of 1 items flipped" in noise_problems([noise], ["s"])[0]


def test_an_item_without_a_first_result_is_a_whole_flip() -> None:
    noise = compare_twice("s", FIRST, [result("new", 0.5)], 0.02, "why")
    assert (noise.flips, noise.gap) == (1, 1.0)


def test_generated_answers_may_part_at_a_near_tie_now_and_then() -> None:
    first = {f"i{n}": result(f"i{n}", 1.0, answer="yes") for n in range(100)}
    second = [result(f"i{n}", float(n > 1), right=n > 1, answer="no") for n in range(100)]
    noise = compare_twice("s", first, second, 1e-3, "why")
    assert (noise.flips, noise.gap, noise.floor) == (2, 0.02, 0.02)
    assert noise_problems([noise], ["s"]) == []
    assert noise_problems([noise.model_copy(update={"flips": 3})], ["s"]) != []


def test_the_floor_is_the_recipes_else_by_precision() -> None:
    assert floor_for(ENGINE, None) == 1e-3
    assert floor_for(ENGINE.model_copy(update={"dtype": "bfloat16"}), None) == 2e-2
    assert floor_for(ENGINE, 0.005) == 0.005


def test_a_new_champion_engine_precision_batch_size_or_form_is_named() -> None:
    before = {"champion": "m", "engine": ENGINE.model_dump()}
    assert what_is_new(before, "m", ENGINE) is None
    assert what_is_new(None, "m", ENGINE) == "the first check on this machine"
    assert what_is_new(before, "other", ENGINE) == "another champion"
    changed = ENGINE.model_copy(update={"dtype": "bfloat16", "tokens": 512})
    assert what_is_new(before, "m", changed) == "precision float32 → bfloat16, batch size 2048 → 512"
    assert what_is_new(before, "m", ENGINE.model_copy(update={"quantise": "Q8_0"})) == "quantise None → Q8_0"
    # a field that a later version adds is new as well
    assert what_is_new({"champion": "m", "engine": {}}, "m", ENGINE) is not None
