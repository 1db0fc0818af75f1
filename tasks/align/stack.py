"""Two LoRA adapters, one trained on top of the other, as one adapter on the model below both.

The later one was trained on the base with the earlier one merged into it: W + s₁B₁A₁ + s₂B₂A₂. That is W + [s₁B₁ s₂B₂]·
[A₁; A₂], so one adapter of rank r₁ + r₂ with scale 1 is their sum, exactly but for rounding. Only programs import this.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tasks.errors import ModelError

_A, _B = ".lora_A.weight", ".lora_B.weight"
# what would make an adapter more than a sum's term
_MORE = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "layer_replication", "trainable_token_indices")


def stack(earlier: Path, later: Path) -> None:
    """Replace the adapter in ``later`` by the sum of both.

    Raises:
        ModelError: one of them is no plain LoRA, or they are of different layers.
    """
    configs = [_config(folder) for folder in (earlier, later)]
    below, above = (_scaled(folder, config) for folder, config in zip((earlier, later), configs, strict=True))
    if below.keys() != above.keys():
        odd = sorted(below.keys() ^ above.keys())[0]
        raise ModelError(
            f"the phases' adapters can't be added up: {odd} is in one of them only",
            do='train all phases of the recipe with the same code, or take adapter = "full"',
        )
    # rows of A and columns of B
    found = {name: torch.cat([below[name], above[name]], 0 if name.endswith(_A) else 1) for name in sorted(below)}
    rank = sum(config["r"] for config in configs)
    config = configs[1] | {"r": rank, "lora_alpha": rank, "use_rslora": False, "lora_dropout": 0.0}
    save_file({name: one.contiguous() for name, one in found.items()}, later / "adapter_model.safetensors")
    (later / "adapter_config.json").write_text(json.dumps(config, sort_keys=True))


def scale(config: dict[str, Any]) -> float:
    """What PEFT multiplies B·A with."""
    return config["lora_alpha"] / (math.sqrt(config["r"]) if config.get("use_rslora") else config["r"])


def _config(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "adapter_config.json").read_text())
    more = [name for name in _MORE if config.get(name)]
    if config.get("peft_type") != "LORA" or more or config.get("bias", "none") != "none":
        what = ", ".join(more) or f"{config.get('peft_type')} with bias {config.get('bias')!r}"
        raise ModelError(
            f"the adapter in {folder} adds up with no other: it has {what}",
            do='take adapter = "lora", "rslora" or "qlora" in phases that follow each other, or "full"',
        )
    return config


def _scaled(folder: Path, config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """An adapter's matrices in fp32, its scale in B."""
    found: dict[str, torch.Tensor] = {}
    for name, one in load_file(folder / "adapter_model.safetensors").items():
        if not name.endswith((_A, _B)):
            raise ModelError(
                f"the adapter in {folder} adds up with no other: {name} is no LoRA matrix of a linear layer",
                do="take an adapter of linear layers only",
            )
        found[name] = one.float() * (scale(config) if name.endswith(_B) else 1.0)
    return found
