"""Two adapters as one: the sum answers as the second on top of the first, merged; and what can't be summed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.align.stack import stack
from tasks.errors import ModelError
from tasks.lm.soup import scale_of

IDS = torch.tensor([[3, 7, 11, 9, 14, 8, 6, 20]])


def adapter(folder: Path, start: Any, seed: int, **config: Any) -> Path:
    """A LoRA adapter with random matrices, as PEFT saves it."""
    from peft import LoraConfig, get_peft_model

    given = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **config}
    model: Any = get_peft_model(start, LoraConfig(**given))
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "lora_" in name:
                one.normal_(std=0.2)
    model.save_pretrained(folder)
    return folder


def load(model: Path, *adapters: Path, dtype: torch.dtype = torch.float32) -> Any:
    """The model with each adapter merged into what is there already."""
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    found: Any = LlamaForCausalLM.from_pretrained(model, dtype=dtype)
    for one in adapters:
        found = PeftModel.from_pretrained(found, str(one)).merge_and_unload()
    return found.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ({}, {}),
        ({"r": 8, "lora_alpha": 4}, {"r": 2, "lora_alpha": 6}),  # no power of two: the scale is rounded, once
        ({"use_rslora": True}, {"r": 3}),
        ({}, {"use_rslora": True, "lora_alpha": 5}),
        ({"lora_dropout": 0.1}, {}),
    ],
    ids=["alike", "other ranks", "rslora below", "rslora above", "dropout"],
)
def test_the_sum_answers_as_the_second_phase_did_on_the_first_merged(
    below: dict[str, Any], above: dict[str, Any], tiny_model: Path, tmp_path: Path
) -> None:
    first = adapter(tmp_path / "first", load(tiny_model), 1, **below)
    second = adapter(tmp_path / "second", load(tiny_model, first), 2, **above)
    trained = logits(load(tiny_model, first, second))
    stack(first, second)  # in place of the second
    summed = logits(load(tiny_model, second))
    assert (summed - trained).abs().max() < 1e-5
    # and it is neither of the two alone, nor the base
    assert min((summed - logits(load(tiny_model, *one))).abs().max() for one in ((), (first,))) > 0.05
    config = json.loads((second / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == below.get("r", 4) + above.get("r", 4)
    assert (config["use_rslora"], config["lora_dropout"], scale_of(config)) == (False, 0.0, 1.0)


def test_three_phases_add_up_as_two_do(tiny_model: Path, tmp_path: Path) -> None:
    folders: list[Path] = []
    for seed in range(3):
        folders.append(adapter(tmp_path / f"phase-{seed}", load(tiny_model, *folders), seed, r=2 + seed))
    trained = logits(load(tiny_model, *folders))
    stack(folders[0], folders[1])
    stack(folders[1], folders[2])
    assert (logits(load(tiny_model, folders[2])) - trained).abs().max() < 1e-5


def test_the_sum_is_the_same_bytes_each_time(tiny_model: Path, tmp_path: Path) -> None:
    first = adapter(tmp_path / "first", load(tiny_model), 1)
    second = adapter(tmp_path / "second", load(tiny_model), 2)
    shutil.copytree(second, tmp_path / "again")
    for folder in (second, tmp_path / "again"):
        stack(first, folder)
    names = ("adapter_model.safetensors", "adapter_config.json")
    assert [(second / name).read_bytes() for name in names] == [
        (tmp_path / "again" / name).read_bytes() for name in names
    ]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"bias": "lora_only"}, "bias = 'lora_only'"),
    ],
)
def test_an_adapter_that_is_more_than_a_sum_s_term_is_refused_by_name(
    config: dict[str, Any], says: str, tiny_model: Path, tmp_path: Path
) -> None:
    first = adapter(tmp_path / "first", load(tiny_model), 1, **config)
    second = adapter(tmp_path / "second", load(tiny_model), 2)
    before = (second / "adapter_model.safetensors").read_bytes()
    with pytest.raises(ModelError, match=says):
        stack(first, second)
    assert (second / "adapter_model.safetensors").read_bytes() == before


def test_adapters_of_different_layers_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    first = adapter(tmp_path / "first", load(tiny_model), 1, target_modules=["q_proj"])
    second = adapter(tmp_path / "second", load(tiny_model), 2)
    with pytest.raises(ModelError, match="is in one of them only"):
        stack(first, second)


def test_in_bf16_the_sum_merged_once_is_as_near_to_the_exact_model_as_two_merges_are(
    tiny_model: Path, tmp_path: Path
) -> None:
    """What serves on accelerators is the sum, rounded once; what the second phase trained on was rounded twice."""
    first = adapter(tmp_path / "first", load(tiny_model), 1)
    second = adapter(tmp_path / "second", load(tiny_model, first), 2)
    exact = logits(load(tiny_model, first, second))
    twice = logits(load(tiny_model, first, second, dtype=torch.bfloat16)).float()
    stack(first, second)
    once = logits(load(tiny_model, second, dtype=torch.bfloat16)).float()
    scale_ = exact.abs().mean()
    assert (once - exact).abs().mean() < 1.2 * (twice - exact).abs().mean()
    assert (once - twice).abs().mean() < 0.03 * scale_  # what bf16 itself costs here
    assert (once - twice).abs().max() > 0  # and they are not the same model to the bit
