"""What is handed to another engine: the weights with the adapter merged, and the model left as it was."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from tasks.align.online.ppo import ValueHead
from tasks.lm.weights import merged_weights


def model(*, bias: bool = False, tied: bool = True, dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, attention_bias=bias, tie_word_embeddings=tied,
    )  # fmt: skip
    made: Any = LlamaForCausalLM(config)
    return made.to(dtype)


KINDS = {"lora": {}, "dora": {"use_dora": True}, "rslora": {"use_rslora": True}}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", list(KINDS))
def test_they_are_those_of_the_merged_model_and_the_trained_one_is_untouched(kind: str, dtype: torch.dtype) -> None:
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, **KINDS[kind])
    trained = get_peft_model(model(bias=True, dtype=dtype), config)
    before = {name: one.clone() for name, one in trained.state_dict().items()}
    found = dict(merged_weights(trained))
    after = trained.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    merged = {name: one.detach() for name, one in trained.merge_and_unload().named_parameters()}
    assert set(found) == set(merged)
    assert all(torch.equal(found[name], merged[name]) for name in merged)
    layer = "model.layers.0.mlp.up_proj"
    assert not torch.equal(found[f"{layer}.weight"], before[f"base_model.model.{layer}.base_layer.weight"])


@pytest.mark.parametrize("tied", [True, False])
def test_of_a_model_without_an_adapter_they_are_its_own_and_tied_ones_come_once(tied: bool) -> None:
    whole = model(tied=tied)
    found = dict(merged_weights(whole))
    assert ("lm_head.weight" in found) == (not tied)
    assert all(torch.equal(found[name], one) for name, one in whole.named_parameters())


def test_the_value_head_of_a_training_is_none_of_them() -> None:
    whole = model()
    whole.value_head = ValueHead(16, "cpu")
    assert not [name for name, _ in merged_weights(whole) if "value_head" in name]
