"""Weight soups: a joined adapter is the weighted sum of merged models, to rounding; what has no sum is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from tasks.errors import ModelError
from tasks.lm.loading import load_model
from tasks.lm.soup import Adapter, averaged, joined, scale_of
from tasks.lm.soup_program import make

pytestmark = pytest.mark.usefixtures("one_thread")


def adapter(base: Path, folder: Path, seed: int, **changes: Any) -> Path:
    """An adapter with random weights, both halves."""
    given: dict[str, Any] = {"r": 4, "lora_alpha": 6, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    worn: Any = get_peft_model(LlamaForCausalLM.from_pretrained(base), LoraConfig(**(given | changes)))
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in worn.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.2)
    worn.save_pretrained(folder)
    return folder


def merged(base: Path, folder: Path) -> dict[str, torch.Tensor]:
    model: Any = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), str(folder))
    return dict(model.merge_and_unload().state_dict())


def soup(folder: Path, models: list[Path], shares: list[float], *, adapters: bool = True) -> Path:
    folder.mkdir()
    make({"models": [str(one) for one in models], "shares": shares, "adapters": adapters, "folder": str(folder)})
    return folder


def wanted(base: Path, folders: list[Path], shares: list[float]) -> dict[str, torch.Tensor]:
    """base + Σ share · (merged − base), in doubles."""
    start = dict(LlamaForCausalLM.from_pretrained(base).state_dict())
    trained = [merged(base, folder) for folder in folders]
    return {
        name: tensor.double()
        + sum(share * (one[name].double() - tensor.double()) for one, share in zip(trained, shares, strict=True))
        for name, tensor in start.items()
    }


def test_the_mean_of_two_adapters_of_other_ranks_and_scales_is_the_mean_of_the_merged_models(
    tiny_model: Path, tmp_path: Path
) -> None:
    one = adapter(tiny_model, tmp_path / "one", 1)
    other = adapter(tiny_model, tmp_path / "other", 2, r=3, lora_alpha=5, use_rslora=True)
    for shares in ([0.5, 0.5], [0.8, 0.2], [1.0, 1.0], [0.3, 0.0]):
        made = soup(tmp_path / f"soup-{shares}", [one, other], shares)
        found = merged(tiny_model, made)
        for name, tensor in wanted(tiny_model, [one, other], shares).items():
            torch.testing.assert_close(found[name].double(), tensor, rtol=0, atol=2e-6)


def test_a_model_with_the_joined_adapter_answers_as_the_averaged_models_weights_do(
    tiny_model: Path, tmp_path: Path
) -> None:
    one, other = adapter(tiny_model, tmp_path / "one", 1), adapter(tiny_model, tmp_path / "other", 2)
    model = load_model(tiny_model, soup(tmp_path / "soup", [one, other], [0.5, 0.5]), torch.float32, "cpu")
    mean: Any = LlamaForCausalLM.from_pretrained(tiny_model)
    mean.load_state_dict(averaged([merged(tiny_model, one), merged(tiny_model, other)], [0.5, 0.5]))
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, mean.eval()(ids).logits, rtol=0, atol=1e-5)


def test_averaging_the_files_would_be_another_model(tiny_model: Path, tmp_path: Path) -> None:
    one, other = adapter(tiny_model, tmp_path / "one", 1), adapter(tiny_model, tmp_path / "other", 2)
    files = [load_file(folder / "adapter_model.safetensors") for folder in (one, other)]
    name = next(name for name in files[0] if "lora_A" in name)
    half = [files[0][one] / 2 + files[1][one] / 2 for one in (name, name.replace("lora_A", "lora_B"))]
    true = sum(f[name.replace("lora_A", "lora_B")] @ f[name] for f in files) / 2
    assert float((half[1] @ half[0] - true).abs().max()) > 0.05


def test_an_adapter_trained_on_another_one_merged_joins_to_both(tiny_model: Path, tmp_path: Path) -> None:
    first = adapter(tiny_model, tmp_path / "first", 1)
    middle: Any = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(tiny_model), str(first))
    middle.merge_and_unload().save_pretrained(tmp_path / "middle")
    second = adapter(tmp_path / "middle", tmp_path / "second", 2, r=2)
    both = merged(tiny_model, soup(tmp_path / "both", [first, second], [1.0, 1.0]))
    for name, tensor in merged(tmp_path / "middle", second).items():
        torch.testing.assert_close(both[name], tensor, rtol=0, atol=2e-6)


def test_a_weight_that_only_one_adapts_gets_its_share_of_what_that_one_adds(tiny_model: Path, tmp_path: Path) -> None:
    one = adapter(tiny_model, tmp_path / "one", 1, target_modules=["q_proj"])
    other = adapter(tiny_model, tmp_path / "other", 2, target_modules=["q_proj", "down_proj"])
    made = soup(tmp_path / "soup", [one, other], [0.5, 0.5])
    found = merged(tiny_model, made)
    for name, tensor in wanted(tiny_model, [one, other], [0.5, 0.5]).items():
        torch.testing.assert_close(found[name].double(), tensor, rtol=0, atol=2e-6)
    targets = json.loads((made / "adapter_config.json").read_text())["target_modules"]
    assert "model.layers.0.mlp.down_proj" in targets
    assert not any("up_proj" in target for target in targets)


@pytest.mark.parametrize(
    "changes", [{"use_dora": True}, {"bias": "all"}, {"rank_pattern": {"q_proj": 2}}, {"modules_to_save": ["lm_head"]}]
)
def test_an_adapter_whose_effect_is_more_than_b_times_a_is_refused_by_the_key(
    changes: dict[str, Any], tiny_model: Path, tmp_path: Path
) -> None:
    plain = adapter(tiny_model, tmp_path / "plain", 1)
    special = adapter(tiny_model, tmp_path / "special", 2, **changes)
    with pytest.raises(ModelError, match=next(iter(changes))):
        soup(tmp_path / "soup", [plain, special], [0.5, 0.5])


def test_adapters_of_bases_of_other_widths_are_refused() -> None:
    def of(width: int) -> Adapter:
        weights = {"m.lora_A.weight": torch.zeros(2, width), "m.lora_B.weight": torch.zeros(3, 2)}
        return Adapter({"r": 2, "lora_alpha": 2, "peft_type": "LORA"}, weights)

    with pytest.raises(ModelError, match=r"change m as a weight of \[\(4, 3\), \(5, 3\)\]"):
        joined([of(4), of(5)], [0.5, 0.5])


def test_half_an_adapter_is_refused() -> None:
    half = Adapter({"r": 2, "lora_alpha": 2, "peft_type": "LORA"}, {"m.lora_A.weight": torch.zeros(2, 4)})
    with pytest.raises(ModelError, match="only one half of m"):
        joined([half], [1.0])


def test_scales_are_pefts() -> None:
    assert scale_of({"r": 4, "lora_alpha": 6}) == 1.5
    assert scale_of({"r": 4, "lora_alpha": 6, "use_rslora": True}) == 3.0


def test_whole_models_are_averaged_weight_by_weight_in_their_own_format(tiny_model: Path, tmp_path: Path) -> None:
    model: Any = LlamaForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "other")
    start: Any = LlamaForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    start.save_pretrained(tmp_path / "start")
    found = load_file(
        soup(tmp_path / "soup", [tmp_path / "other", tmp_path / "start"], [0.25, 0.75], adapters=False)
        / "model.safetensors"
    )
    one, other = (
        load_file(tmp_path / "other" / "model.safetensors"),
        load_file(tmp_path / "start" / "model.safetensors"),
    )
    assert found.keys() == one.keys()
    for name, tensor in found.items():
        exact = one[name].double() / 4 + other[name].double() * 3 / 4
        assert torch.equal(tensor, exact.to(torch.bfloat16))


def test_models_of_other_weights_or_shapes_have_no_average() -> None:
    one = {"a": torch.zeros(2), "b": torch.zeros(2)}
    with pytest.raises(ModelError, match="a weight b"):
        averaged([one, {"a": torch.zeros(2)}], [0.5, 0.5])
    with pytest.raises(ModelError, match=r"b has the shapes \[2\] and \[3\]"):
        averaged([one, {"a": torch.zeros(2), "b": torch.zeros(3)}], [0.5, 0.5])
    with pytest.raises(ValueError, match=r"add up to 0\.9"):
        averaged([one, one], [0.5, 0.4])
