"""What a training on its own answers keeps beside TRL's checkpoint: the rollout in hand, and what is its method's own.

A rollout serves several steps, and one drawn anew from a policy that has moved since would be another training.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from tasks.errors import ModelError

TENSORS, NUMBERS = "online.safetensors", "online.json"
_OWN, _ROLLOUT = "own.", "rollout."

Part = dict[str, torch.Tensor]


class Kept(NamedTuple):
    """``tensors`` and ``numbers`` are the method's own."""

    tensors: dict[str, torch.Tensor]
    numbers: dict[str, float]
    rollout: list[Part]  # by part, as they are taken
    done: int  # parts of steps taken since the training began


def write(folder: Path, kept: Kept) -> None:
    """Put it into a checkpoint's folder."""
    tensors = {_OWN + name: tensor for name, tensor in kept.tensors.items()}
    for number, part in enumerate(kept.rollout):
        tensors |= {f"{_ROLLOUT}{number}.{name}": tensor for name, tensor in part.items()}
    # parts are slices of one tensor, which safetensors doesn't write
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, folder / TENSORS)
    numbers = {"done": kept.done, "parts": len(kept.rollout), "own": kept.numbers}
    (folder / NUMBERS).write_text(json.dumps(numbers, allow_nan=False), encoding="utf-8")


def read(folder: Path, device: Any) -> Kept:
    """What was kept there.

    Raises:
        ModelError: it isn't there.
    """
    try:
        tensors = load_file(folder / TENSORS, device=str(device))
        numbers = json.loads((folder / NUMBERS).read_bytes())
    except FileNotFoundError as error:
        raise ModelError(
            f"the checkpoint {folder} has no {Path(str(error.filename or TENSORS)).name}: it is of no training on its "
            "own answers",
            do="run again with --fresh, which starts the training over",
        ) from error
    rollout: list[Part] = [{} for _ in range(numbers["parts"])]
    own = {}
    for key, tensor in tensors.items():
        if key.startswith(_OWN):
            own[key.removeprefix(_OWN)] = tensor
        else:
            number, name = key.removeprefix(_ROLLOUT).split(".", 1)
            rollout[int(number)][name] = tensor
    return Kept(own, numbers["own"], rollout, numbers["done"])
