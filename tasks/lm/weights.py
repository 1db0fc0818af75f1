"""A model's weights by name, as they would be with its adapter merged."""

from collections.abc import Iterator
from typing import Any

import torch

from tasks.lm.packed import causal_lm

NOT_OF_IT = ("value_head.",)  # what a training hangs on a model that it trains whole


@torch.no_grad()
def merged_weights(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Name and tensor of each of the base architecture's weights; tied ones once.

    Layers with an adapter are merged one at a time, copied and put back: PEFT's own unmerge subtracts what it added,
    which rounds, and a training must go on to the same bytes whether it was looked at or not. What is merged is a copy;
    what no adapter touches is the model's own tensor.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    inner = causal_lm(model)
    adapted = [(name, module) for name, module in inner.named_modules() if isinstance(module, BaseTunerLayer)]
    for name, module in adapted:
        yield from _merged(name, module)
    inside = tuple(f"{name}." for name, _ in adapted)
    for name, parameter in inner.named_parameters():
        if not name.startswith((*inside, *NOT_OF_IT)):
            yield name, parameter.detach()


def _merged(name: str, module: Any) -> list[tuple[str, torch.Tensor]]:
    own = dict(module.get_base_layer().named_parameters(recurse=False))
    before = {part: parameter.detach().clone() for part, parameter in own.items()}
    module.merge()
    found = [(f"{name}.{part}", parameter.detach().clone()) for part, parameter in own.items()]
    module.unmerge()
    for part, parameter in own.items():
        parameter.copy_(before[part])
    return found
