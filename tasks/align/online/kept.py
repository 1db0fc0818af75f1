"""What a PPO training keeps beside TRL's checkpoint: value head, the price of divergence, and the rollout in hand.

A rollout serves several steps, and one drawn anew from a policy that has moved since would be another training.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from tasks.errors import ModelError

TENSORS, NUMBERS = "ppo.safetensors", "ppo.json"
_HEAD, _ROLLOUT = "value_head.", "rollout."

Part = dict[str, torch.Tensor]


class Kept(NamedTuple):
    head: dict[str, torch.Tensor]
    rollout: list[Part]  # by part, as they are taken
    done: int  # parts of steps taken since the training began
    coefficient: float


def write(folder: Path, kept: Kept) -> None:
    """Put it into a checkpoint's folder."""
    tensors = {_HEAD + name: tensor for name, tensor in kept.head.items()}
    for number, part in enumerate(kept.rollout):
        tensors |= {f"{_ROLLOUT}{number}.{name}": tensor for name, tensor in part.items()}
    # parts are slices of one tensor, which safetensors doesn't write
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, folder / TENSORS)
    numbers = {"done": kept.done, "coefficient": kept.coefficient, "parts": len(kept.rollout)}
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
            f"the checkpoint {folder} has no {Path(str(error.filename or TENSORS)).name}: it is of no PPO training",
            do="run again with --fresh, which starts the training over",
        ) from error
    rollout: list[Part] = [{} for _ in range(numbers["parts"])]
    head = {}
    for key, tensor in tensors.items():
        if key.startswith(_HEAD):
            head[key.removeprefix(_HEAD)] = tensor
        else:
            number, name = key.removeprefix(_ROLLOUT).split(".", 1)
            rollout[int(number)][name] = tensor
    return Kept(head, rollout, numbers["done"], numbers["coefficient"])
