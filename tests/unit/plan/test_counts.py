"""The forecast's counts against what PyTorch really keeps: tensors saved for backward, weights' copies, a cache."""

import itertools
from typing import Any

import pytest

from tasks.phases import Phase
from tasks.plan.memory import KEPT, ROOM, Models, Place, Shape, how_held, training_memory

TOKENS = 64

pytestmark = pytest.mark.usefixtures("one_thread")


def tiny(layers: int, hidden: int = 96, heads: int = 4, keys: int = 2, width: int = 24, intermediate: int = 200) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=hidden, num_attention_heads=heads, num_key_value_heads=keys, head_dim=width,
            intermediate_size=intermediate, num_hidden_layers=layers, vocab_size=50,
            attn_implementation="sdpa",  # pyright: ignore[reportCallIssue]
        )
    )  # fmt: skip


def saved(held: str, layers: int, rank: int, **sizes: int) -> tuple[int, int]:
    """Bytes saved for backward: of tensors with a row a token, and of others (weights' copies)."""
    import torch
    from peft import LoraConfig, get_peft_model

    model = tiny(layers, **sizes)
    if held in ("adapter, autocast", "full, bf16"):
        model = model.to(torch.bfloat16)
    backbone: Any = model.model
    if held.startswith("adapter"):
        wrapped: Any = get_peft_model(model, LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"))
        backbone = wrapped.base_model.model.model
    own = {one.untyped_storage().data_ptr() for one in model.parameters()}
    found: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        if tensor.untyped_storage().data_ptr() not in own:
            found[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    model.train()
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled="autocast" in held),
    ):
        out = backbone(torch.randint(0, 50, (1, TOKENS)), use_cache=False).last_hidden_state
    assert out.requires_grad
    tokens = sum(one.untyped_storage().nbytes() for one in found.values() if TOKENS in one.shape)
    return tokens, sum(one.untyped_storage().nbytes() for one in found.values() if TOKENS not in one.shape)


def shape(layers: int, hidden: int, heads: int, keys: int, width: int, intermediate: int) -> Shape:
    return Shape(
        parameters=0, hidden=hidden, intermediate=intermediate, layers=layers, query_width=heads * width,
        key_width=keys * width, vocabulary=50,
    )  # fmt: skip


SIZES = (
    {"hidden": 96, "heads": 4, "keys": 2, "width": 24, "intermediate": 200},
    {"hidden": 144, "heads": 6, "keys": 3, "width": 20, "intermediate": 260},
    {"hidden": 112, "heads": 4, "keys": 1, "width": 40, "intermediate": 400},
)


@pytest.mark.parametrize(("held", "sizes"), itertools.product(KEPT, SIZES))
def test_a_layer_keeps_as_many_bytes_a_token_as_the_forecast_counts(held: str, sizes: dict[str, int]) -> None:
    rank = 5
    two, four = (saved(held, layers, rank, **sizes)[0] for layers in (2, 4))
    measured = (four - two) / 2 / TOKENS
    counted = KEPT[held].of(shape(1, **sizes), rank if held.startswith("adapter") else 0)
    # attention also keeps a number a head; masks and rotations of the whole model cancel out
    assert counted == pytest.approx(measured, rel=0.015)
    assert counted <= measured


@pytest.mark.parametrize("sizes", SIZES)
def test_autocast_keeps_a_copy_in_bf16_of_every_linear_map_that_is_trained(sizes: dict[str, int]) -> None:
    two, four = (saved("full, autocast", layers, 0, **sizes)[1] for layers in (2, 4))
    assert (four - two) / 2 == 2 * shape(1, **sizes).layer_parameters
    phase = Phase.model_validate({"max_steps": 1, "adapter": "full"})
    held = [
        training_memory(shape(4, **sizes), phase, 0, Place(accelerator=True), Models(bf16=bf16))
        for bf16 in (False, True)
    ]
    assert held[0].weights - held[1].weights == four  # no parameters, so the copies alone


def test_every_way_of_holding_a_model_has_a_count() -> None:
    phases = [Phase.model_validate({"max_steps": 1, "adapter": adapter}) for adapter in ("lora", "full")]
    keys = {
        how_held(phase, Models(bf16=bf16), accelerator=accelerator)
        for phase, bf16, accelerator in itertools.product(phases, (False, True), (False, True))
    }
    assert keys == set(KEPT)


def test_keys_and_values_of_sampled_answers_are_those_of_the_models_cache() -> None:
    import torch

    sizes = SIZES[1]
    with torch.inference_mode():
        cache = tiny(3, **sizes).to(torch.bfloat16)(torch.randint(0, 50, (2, TOKENS)), use_cache=True).past_key_values
    held = sum(one.keys.nbytes + one.values.nbytes for one in cache.layers)
    phase = Phase.model_validate({"max_steps": 1})
    found = training_memory(shape(3, **sizes), phase, 0, Place(accelerator=True), Models(sampled=2 * TOKENS))
    assert found.kv == held


def test_the_room_for_sampled_answers_is_the_samplers_own() -> None:
    from tasks.lm.generate import TOKENS as samplers

    assert samplers == ROOM


def test_a_head_that_is_fused_keeps_no_logits_and_the_methods_table_knows_which_are() -> None:
    import importlib
    import inspect

    from tasks.phases import METHODS

    homes = {"dpo": "trl.trainer.dpo_trainer", "kto": "trl.trainer.kto_trainer", "sft": "trl.trainer.sft_trainer",
             "orpo": "trl.experimental.orpo.orpo_trainer", "cpo": "trl.experimental.cpo.cpo_trainer",
             "simpo": "trl.experimental.cpo.cpo_trainer", "ppo": "trl.trainer.grpo_trainer",
             "grpo": "trl.trainer.grpo_trainer", "rloo": "trl.trainer.rloo_trainer",
             "online_dpo": "trl.trainer.grpo_trainer"}  # fmt: skip
    # a reward model's head is one number wide, and rejection sampling trains as SFT or DPO
    assert set(homes) == set(METHODS) - {"reward", "reject"}
    assert METHODS["reward"].fused
    for name, home in homes.items():
        fused = "fused_lm_head" in inspect.getsource(importlib.import_module(home))
        assert METHODS[name].fused == fused, name
