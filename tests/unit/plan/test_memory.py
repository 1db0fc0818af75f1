"""The memory forecast: its parts, what makes them grow, and that its changes really make a phase fit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.phases import Phase
from tasks.plan.changes import changes_that_fit
from tasks.plan.memory import (
    TEMPLATE_TOKENS,
    Models,
    Place,
    Shape,
    adapter_parameters,
    models_of,
    peak,
    peak_bytes,
    training_bytes,
    training_memory,
)

CPU, GPU = Place(accelerator=False), Place(accelerator=True)
SHAPES = {
    "30m": Shape(
        parameters=24_872_832, hidden=384, intermediate=1024, layers=8, query_width=384, key_width=128, vocabulary=32000
    ),
    "135m": Shape(
        parameters=134_515_008, hidden=576, intermediate=1536, layers=30, query_width=576, key_width=192,
        vocabulary=49152,
    ),
    "360m": Shape(
        parameters=361_821_120, hidden=960, intermediate=2560, layers=32, query_width=960, key_width=320,
        vocabulary=49152,
    ),
}  # fmt: skip


def phase(**fields: Any) -> Phase:
    return Phase.model_validate({"max_steps": 1, **fields})


def gigabytes(shape: str, tokens: int, **fields: Any) -> float:
    return training_bytes(SHAPES[shape], phase(**fields), tokens, CPU) / 1e9


def test_the_parameters_of_an_adapter_are_those_that_peft_counts() -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        config = LlamaConfig(
            hidden_size=96, intermediate_size=256, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
            vocab_size=100,
        )  # fmt: skip
        model = get_peft_model(
            LlamaForCausalLM(config), LoraConfig(r=5, target_modules="all-linear", task_type="CAUSAL_LM")
        )
    shape = Shape(parameters=0, hidden=96, intermediate=256, layers=3, query_width=96, key_width=32, vocabulary=100)
    assert adapter_parameters(shape, 5) == model.get_nb_trainable_parameters()[0]


@given(st.sampled_from(sorted(SHAPES)), st.integers(64, 8192), st.sampled_from(["lora", "full"]))
def test_more_tokens_never_need_less_and_recomputing_never_more(shape: str, tokens: int, adapter: str) -> None:
    assert gigabytes(shape, tokens + 64, adapter=adapter) > gigabytes(shape, tokens, adapter=adapter)
    assert gigabytes(shape, tokens, adapter=adapter, gradient_checkpointing=True) < gigabytes(
        shape, tokens, adapter=adapter
    )


@given(st.integers(2, 32), st.floats(0.9, 20), st.sampled_from(["lora", "full"]))
def test_every_change_that_is_named_makes_the_phase_fit(pairs: int, room: float, adapter: str) -> None:
    shape, memory, longest, step = SHAPES["135m"], int(room * 1e9), 500, pairs * 500
    whole = {"adapter": adapter, "max_tokens": 8192, "batch_size": 4}
    for way in changes_that_fit(shape, phase(**whole), step, longest, memory, CPU):
        changed: dict[str, Any] = dict(whole)
        pair, tokens, number = longest, step, int(way.rpartition(" ")[2]) if way[-1].isdigit() else 0
        if "max_tokens = " in way:
            changed["max_tokens"] = number
        elif "≤" in way:
            pair, tokens = number + TEMPLATE_TOKENS, pairs * (number + TEMPLATE_TOKENS)
        elif "gradient" in way:
            changed["gradient_checkpointing"] = True
        else:
            changed["adapter"] = "lora"
        assert peak_bytes(shape, phase(**changed), tokens, pair, CPU) <= memory, way


def test_the_cheapest_change_comes_first() -> None:
    ways = changes_that_fit(SHAPES["135m"], phase(max_tokens=8192), 4096, 500, int(4e9), CPU)
    assert ways[0].startswith("phase.max_tokens = ")
    assert ways[1] == "phase.gradient_checkpointing = true"


def test_a_pair_longer_than_a_part_is_recomputed_and_a_step_that_is_not_cut_counts_whole() -> None:
    shape = SHAPES["135m"]
    parts = peak_bytes(shape, phase(max_tokens=512), 4000, 500, CPU)
    assert parts == training_bytes(shape, phase(), 512, CPU)
    assert peak_bytes(shape, phase(max_tokens=512), 300, 300, CPU) < parts
    longer = peak_bytes(shape, phase(max_tokens=512), 40000, 10000, CPU)
    assert parts < longer < training_bytes(shape, phase(), 10000, CPU)
    whole = peak_bytes(shape, phase(method="orpo"), 4000, 500, CPU)
    assert whole > training_bytes(shape, phase(), 4000, CPU)


def test_processes_that_share_the_weights_hold_a_share_and_the_layers_they_gather() -> None:
    shape, four = SHAPES["360m"], CPU._replace(sharing=4)
    alone, shared = (training_memory(shape, phase(adapter="full"), 500, place) for place in (CPU, four))
    gathered = 4 * (2 * shape.layer_parameters + 2 * shape.vocabulary * shape.hidden)
    assert shared.weights == pytest.approx(shape.parameters + gathered)  # a quarter of four bytes a parameter
    assert shared.optimizer == pytest.approx(alone.optimizer / 4)
    assert shared.gradients == pytest.approx(alone.gradients / 4)
    assert shared.activations == alone.activations


def test_ddp_sends_gradients_from_a_copy_and_shares_nothing() -> None:
    shape, full = SHAPES["360m"], phase(adapter="full")
    alone, several = (training_memory(shape, full, 500, GPU._replace(ddp=ddp)) for ddp in (False, True))
    assert several.gradients - alone.gradients == 4 * shape.parameters
    assert several.total - alone.total == 4 * shape.parameters


def test_a_step_in_one_part_lets_gradients_take_the_room_of_activations() -> None:
    shape, full = SHAPES["135m"], phase(adapter="full")
    at_once = training_memory(shape, full, 4000, CPU, cut=False)
    in_parts = training_memory(shape, full, 4000, CPU, cut=True)
    # more activations than gradients: beside them stands the head's gradient only
    assert at_once.gradients == 2 * 4 * shape.vocabulary * shape.hidden
    assert in_parts.gradients - at_once.gradients == 4 * shape.parameters
    few = training_memory(shape, full, 10, CPU, cut=False)
    assert few.gradients + few.activations == pytest.approx(
        training_memory(shape, full, 0, CPU).gradients
    )  # fewer: what both take together is the gradients


def test_ktos_full_training_holds_a_reference_and_an_adapters_does_not() -> None:
    assert models_of(phase(method="kto", adapter="full")).reference
    assert not models_of(phase(method="kto")).reference
    assert not models_of(phase(adapter="full")).reference  # DPO's is cached
    held = peak(SHAPES["135m"], phase(method="kto", adapter="full"), 1000, 500, CPU)
    assert held.reference == 4 * SHAPES["135m"].parameters


def test_ppo_holds_policy_and_value_trained_and_reference_and_reward_frozen() -> None:
    shape, full = SHAPES["360m"], phase(adapter="full", gradient_checkpointing=True)
    one = training_memory(shape, full, 1000, GPU, Models())
    four = training_memory(shape, full, 1000, GPU, Models(reference=True, reward=True, value=True, sampled=100))
    for part in ("weights", "gradients", "optimizer", "activations"):
        assert four.parts()[part] == pytest.approx(2 * one.parts()[part], abs=2)
    assert four.reference == 2 * 4 * shape.parameters
    assert four.kv == 100 * 2 * 32 * 320 * 2


METHODS_TRIED = st.sampled_from([("dpo", "lora"), ("dpo", "full"), ("dpo", "qlora"), ("kto", "full"), ("orpo", "lora")])
MODELS_TRIED = st.builds(Models, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 9000), st.booleans())
PLACES_TRIED = st.builds(Place, st.booleans(), st.sampled_from([1, 2, 3, 8]))


@given(
    st.sampled_from(sorted(SHAPES)), METHODS_TRIED, st.booleans(), st.integers(1, 40_000), st.integers(1, 9000),
    MODELS_TRIED, PLACES_TRIED,
)  # fmt: skip
def test_the_parts_are_all_there_is_and_none_is_negative(
    name: str, method: tuple[str, str], again: bool, step: int, longest: int, models: Models, place: Place
) -> None:
    tried = phase(method=method[0], adapter=method[1], gradient_checkpointing=again)
    found = peak(SHAPES[name], tried, max(step, longest), longest, place, models)
    assert found.total == sum(found.parts().values())
    assert all(part >= 0 for part in found.parts().values())
    assert found.parts()[found.largest] == max(found.parts().values())


@given(
    st.sampled_from(sorted(SHAPES)), METHODS_TRIED, st.booleans(), st.integers(1, 40_000), st.booleans(), MODELS_TRIED,
    PLACES_TRIED,
)  # fmt: skip
def test_sharing_never_raises_a_part(
    name: str, method: tuple[str, str], again: bool, tokens: int, cut: bool, models: Models, place: Place
) -> None:
    tried = phase(method=method[0], adapter=method[1], gradient_checkpointing=again)
    alone, shared = (
        training_memory(SHAPES[name], tried, tokens, place._replace(sharing=count), models, cut=cut).parts()
        for count in (place.sharing, 2 * place.sharing)
    )
    assert all(shared[part] <= alone[part] for part in alone)


@given(
    st.sampled_from(sorted(SHAPES)), METHODS_TRIED, st.booleans(), st.integers(1, 40_000), st.integers(1, 5000),
    MODELS_TRIED, PLACES_TRIED, st.sampled_from(["hidden", "intermediate", "layers", "vocabulary", "parameters"]),
)  # fmt: skip
def test_more_tokens_and_larger_models_never_need_less(
    name: str,
    method: tuple[str, str],
    again: bool,
    tokens: int,
    more: int,
    models: Models,
    place: Place,
    size: str,
) -> None:
    tried = phase(method=method[0], adapter=method[1], gradient_checkpointing=again)
    shape = SHAPES[name]
    now = training_memory(shape, tried, tokens, place, models).total
    assert training_memory(shape, tried, tokens + more, place, models).total >= now
    larger = shape.model_copy(update={size: getattr(shape, size) + more})
    assert training_memory(larger, tried, tokens, place, models).total >= now


@given(st.sampled_from(sorted(SHAPES)), METHODS_TRIED, st.integers(1, 64), st.integers(1, 64), st.integers(20, 2000))
def test_a_larger_batch_never_needs_less(name: str, method: tuple[str, str], few: int, many: int, longest: int) -> None:
    tried = phase(method=method[0], adapter=method[1])
    low, high = sorted((few, many))
    shape = SHAPES[name]
    assert peak_bytes(shape, tried, low * longest, longest, GPU) <= peak_bytes(
        shape, tried, high * longest, longest, GPU
    )
