"""The memory forecast: near what was measured, and its changes really make a phase fit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.phases import Phase
from tasks.plan.memory import (
    TEMPLATE_TOKENS,
    Place,
    Shape,
    adapter_parameters,
    changes_that_fit,
    peak_bytes,
    training_bytes,
)

CPU = Place(accelerator=False)
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


MEASURED: list[tuple[str, str, int, bool, float]] = [  # benchmarks/results/memory.md
    ("30m", "lora", 500, False, 0.90),
    ("30m", "lora", 2000, False, 1.57),
    ("30m", "full", 1000, False, 1.53),
    ("135m", "lora", 250, False, 1.75),
    ("135m", "lora", 500, False, 2.35),
    ("135m", "lora", 1000, False, 3.53),
    ("135m", "lora", 2000, False, 5.88),
    ("135m", "lora", 2000, True, 1.46),
    ("135m", "full", 500, False, 4.18),
    ("135m", "full", 1000, False, 5.42),
    ("360m", "lora", 500, False, 4.27),
    ("360m", "lora", 1000, False, 6.34),
    ("360m", "full", 500, False, 8.86),
]


@pytest.mark.parametrize(("shape", "adapter", "tokens", "recompute", "peak"), MEASURED)
def test_the_forecast_is_within_a_tenth_of_the_measured_peak(
    shape: str, adapter: str, tokens: int, recompute: bool, peak: float
) -> None:
    found = gigabytes(shape, tokens, adapter=adapter, gradient_checkpointing=recompute)
    assert found == pytest.approx(peak, rel=0.1)


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


@given(st.integers(600, 16384), st.floats(0.9, 20), st.sampled_from(["lora", "full"]))
def test_every_change_that_is_named_makes_the_phase_fit(step: int, room: float, adapter: str) -> None:
    shape, memory, longest = SHAPES["135m"], int(room * 1e9), 500
    whole = {"adapter": adapter, "max_tokens": 8192, "batch_size": 4}
    for way in changes_that_fit(shape, phase(**whole), step, longest, memory, CPU):
        changed: dict[str, Any] = dict(whole)
        pair, tokens, number = longest, step, int(way.rpartition(" ")[2]) if way[-1].isdigit() else 0
        if "max_tokens = " in way:
            changed["max_tokens"] = number
        elif "≤" in way:
            pair, tokens = number + TEMPLATE_TOKENS, 4 * (number + TEMPLATE_TOKENS)
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


def test_processes_that_share_the_weights_need_less_each() -> None:
    alone = training_bytes(SHAPES["360m"], phase(adapter="full"), 500, CPU)
    four = training_bytes(SHAPES["360m"], phase(adapter="full"), 500, Place(accelerator=False, sharing=4))
    shape = SHAPES["360m"]
    # weights, gradient, two moments, and the head's gradient in the making
    assert alone - four == pytest.approx(0.75 * 4 * (4 * shape.parameters + 2 * shape.vocabulary * shape.hidden))
