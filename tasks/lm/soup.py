"""Weight soups: the average of models trained from one base (Wortsman et al. 2022, arXiv 2203.05482). Pure, on tensors.

A LoRA adapter adds scale · B·A to a weight. A weighted sum of several is an adapter again, exactly: their A below each
other, their B, each times its share and scale, beside each other; the rank is the sum of the ranks. (The mean of the As
times the mean of the Bs, which is what averaging the files would give, is another matrix.)
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from tasks.errors import ModelError

Weights = Mapping[str, torch.Tensor]

_PART = re.compile(r"(.*)\.lora_([AB])\.weight")
# what changes the sum beyond scale · B·A, and what it is where it changes nothing
_PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "use_dora": (None, False),
    "bias": (None, "none"),
    "modules_to_save": (None, []),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "fan_in_fan_out": (None, False),
    "lora_bias": (None, False),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
}
_DO = "take models trained with plain LoRA or rsLoRA, or leave this out"


class Adapter(NamedTuple):
    """What PEFT saves of one: ``adapter_config.json`` and the tensors beside it."""

    config: Mapping[str, Any]
    weights: Weights


def joined(adapters: Sequence[Adapter], shares: Sequence[float]) -> Adapter:
    """The adapter that adds the sum of ``share · scale · B·A``; shares needn't add up to 1.

    An adapter trained on top of another one merged, joined to it with shares 1 and 1, is both of them. With shares that
    add up to less than 1 the rest is the base's. A weight that only some adapt gets what these add.

    Returns:
        rank r = Σ rank, scale 1, in the widest of the adapters' number formats.

    Raises:
        ModelError: one is no plain LoRA, or they don't fit the same base.
    """
    if not adapters or len(adapters) != len(shares):
        raise ValueError(f"{len(shares)} shares for {len(adapters)} adapters")
    for one in adapters:
        _refuse_special(one.config)
    parts = [_by_module(one) for one in adapters]
    ranks = [int(one.config["r"]) for one in adapters]
    dtype = _widest([tensor for one in adapters for tensor in one.weights.values()])
    weights: dict[str, torch.Tensor] = {}
    for module in sorted(set().union(*parts)):
        width, height = _shape(module, parts)
        downs, ups = [], []
        for one, part, rank, share in zip(adapters, parts, ranks, shares, strict=True):
            down, up = part.get(module, (torch.zeros(rank, width), torch.zeros(height, rank)))
            downs.append(down.to(dtype))
            ups.append((up.double() * (share * scale_of(one.config))).to(dtype))
        weights[f"{module}.lora_A.weight"] = torch.cat(downs)
        weights[f"{module}.lora_B.weight"] = torch.cat(ups, 1)
    rank = sum(ranks)
    config = dict(adapters[0].config) | {"r": rank, "lora_alpha": rank, "use_rslora": False, "lora_dropout": 0.0}
    # each weight by its own name: the adapters may have been put on by other patterns
    named = {"target_modules": _targets(weights), "exclude_modules": None, "layers_to_transform": None}
    return Adapter(config | named | {"layers_pattern": None}, weights)


def averaged(models: Sequence[Weights], shares: Sequence[float]) -> dict[str, torch.Tensor]:
    """The weighted mean of whole models, name by name, each in its own number format.

    Args:
        shares: one a model; they must add up to 1.

    Raises:
        ModelError: they have other weights, or of other shapes.
    """
    if not models or len(models) != len(shares):
        raise ValueError(f"{len(shares)} shares for {len(models)} models")
    if not math.isclose(sum(shares), 1.0, rel_tol=0, abs_tol=1e-9):
        raise ValueError(f"the shares {list(shares)} of whole models add up to {sum(shares):g}, not to 1")
    first = models[0]
    for other in models[1:]:
        if (odd := next((name for name in sorted(first.keys() ^ other.keys())), None)) is not None:
            raise ModelError(f"only one of the models has a weight {odd}", do="average models of one architecture")
        for name, tensor in first.items():
            if tensor.shape != other[name].shape:
                raise ModelError(
                    f"the weight {name} has the shapes {list(tensor.shape)} and {list(other[name].shape)}",
                    do="average models of one architecture",
                )
    mixed: dict[str, torch.Tensor] = {}
    for name, tensor in first.items():
        total = sum(one[name].double() * share for one, share in zip(models, shares, strict=True))
        assert isinstance(total, torch.Tensor)
        mixed[name] = total.to(tensor.dtype)
    return mixed


def scale_of(config: Mapping[str, Any]) -> float:
    """What PEFT multiplies B·A by: alpha / r, or alpha / √r of rsLoRA (arXiv 2312.03732)."""
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _refuse_special(config: Mapping[str, Any]) -> None:
    for key, plain in _PLAIN.items():
        if config.get(key, plain[0]) not in plain:
            raise ModelError(f"an adapter with {key} = {config[key]!r} has no exact sum with another", do=_DO)


def _by_module(adapter: Adapter) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Module → (A: rank × inputs, B: outputs × rank)."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in adapter.weights.items():
        part = _PART.fullmatch(name)
        if part is None:
            raise ModelError(f"the adapter's weight {name} is no part of a plain LoRA", do=_DO)
        found.setdefault(part[1], {})[part[2]] = tensor
    for module, sides in found.items():
        if len(sides) < 2:
            raise ModelError(f"the adapter has only one half of {module}", do="train it anew: a file is damaged")
    return {module: (sides["A"], sides["B"]) for module, sides in found.items()}


def _shape(module: str, parts: Sequence[Mapping[str, tuple[torch.Tensor, torch.Tensor]]]) -> tuple[int, int]:
    """Inputs and outputs of the weight under all adapters that change it."""
    shapes = {(part[module][0].shape[1], part[module][1].shape[0]) for part in parts if module in part}
    if len(shapes) > 1:
        raise ModelError(
            f"the adapters change {module} as a weight of {sorted(shapes)}", do="join adapters of one base"
        )
    return shapes.pop()


def _targets(weights: Weights) -> list[str]:
    """PEFT's ``target_modules``: the modules' own names, without what it puts before them."""
    modules = {found[1] for name in weights if (found := _PART.fullmatch(name))}
    return sorted(module.removeprefix("base_model.model.") for module in modules)


def _widest(tensors: Sequence[torch.Tensor]) -> torch.dtype:
    found = tensors[0].dtype
    for tensor in tensors[1:]:
        found = torch.promote_types(found, tensor.dtype)
    return found
