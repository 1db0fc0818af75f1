"""The methods of a comparison at 8B and 70B, as the planner counts them."""

import pytest

from tasks.compare.phases import phase_for
from tasks.compared import Larger
from tasks.plan.larger import FULL, SIZES, larger
from tests.unit.compare.test_phases import REWARDED, recipe
from tests.unit.plan.plan_facts import LLAMA_8B, PRICES, facts


def rows(**changes: object) -> dict[tuple[str, str, str], Larger]:
    given = recipe(compare=REWARDED)
    recipes = {name: given.model_copy(update={"phase": (phase_for(name, given),)}) for name in ("dpo", "sft", "ppo")}
    known = {"max_prompt_tokens": 300, **changes}
    return {(one.size, one.method, one.how): one for one in larger(recipes, facts(**known), PRICES)}


def test_the_sizes_are_llamas() -> None:
    assert SIZES["8B"] == LLAMA_8B
    for name, shape in SIZES.items():
        embedding = 2 * shape.vocabulary * shape.hidden
        norms = (2 * shape.layers + 1) * shape.hidden
        assert shape.parameters == shape.layers * shape.layer_parameters + embedding + norms, name


def test_ppo_in_full_is_counted_with_four_models_and_two_optimizers_which_is_below_what_is_published() -> None:
    found = rows()
    for size in SIZES:
        sft, ppo = found[size, "sft", FULL], found[size, "ppo", f"{FULL}, four models"]
        assert sft.times_sft == 1
        # weights, gradients and moments alone: (4·2 + 2·2 + 2·4) bytes a parameter over (2 + 2 + 4)
        assert 2.2 < ppo.times_sft < 2.55
        assert ppo.times_sft == pytest.approx(ppo.memory_bytes / sft.memory_bytes)
        assert ppo.device_hours > 2 * sft.device_hours


def test_our_ppo_has_one_model_and_an_adapter_where_the_published_one_has_four() -> None:
    found = rows()
    for size in SIZES:
        four = found[size, "ppo", f"{FULL}, four models"]
        assert found[size, "ppo", "lora, r 16"].memory_bytes < 0.65 * four.memory_bytes
        assert found[size, "ppo", "lora, r 16"].device_hours > found[size, "dpo", "lora, r 16"].device_hours


def test_a_larger_model_takes_more_of_everything_and_no_figure_is_of_the_pool_it_was_compared_on() -> None:
    found, elsewhere = rows(), rows(memory_bytes=1, shares_weights=True)
    assert found == elsewhere
    for (size, method, how), one in found.items():
        assert (one.device, one.rate.startswith("formula")) == ("h100", True)
        if size == "8B":
            assert found["70B", method, how].memory_bytes > 5 * one.memory_bytes
            assert found["70B", method, how].amount > 5 * one.amount
