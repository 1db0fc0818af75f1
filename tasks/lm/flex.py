"""FlexAttention over a packed sequence, on accelerators: its block mask, and the call of the compiled kernel."""

from collections.abc import Callable
from typing import Any

import torch

# PyTorch compiles the kernel again for another dtype, for training and for evaluation, for a mask one block wide. Past
# its limit, 8, it would compute without compiling, length × length values in memory, and say so in a log line only
RECOMPILED = 64

Seen = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def block_mask(seen: Seen, length: int, device: torch.device) -> Any:
    """The block mask of ``length`` tokens; ``seen``: whether the tokens at (queries) see those at (keys)."""
    from torch._dynamo import config
    from torch.nn.attention.flex_attention import create_block_mask

    config.recompile_limit = max(config.recompile_limit, RECOMPILED)

    def mask(_batch: Any, _head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return seen(query, key)

    # compiled, it doesn't hold length × length values
    return create_block_mask(mask, None, None, length, length, device=device, _compile=device.type != "cpu")


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: Any,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    """(1, heads, tokens, width) in, (1, tokens, heads, width) out; heads at least 16 wide.

    In a training's autocast rotary positions leave queries and keys of an fp32 model in fp32, and values are in bf16.
    All three are made one format here: nothing else does so under compilation in every PyTorch.
    """
    from transformers.integrations.flex_attention import flex_attention_forward

    kind = query.device.type
    computed = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else value.dtype
    query, key, value = (one.to(computed) for one in (query, key, value))
    return flex_attention_forward(module, query, key, value, mask, scaling=scaling, softcap=softcap)[0]
