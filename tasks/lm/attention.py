"""Attention over a packed layout, as an attention function of transformers.

On accelerators one FlexAttention call with a block mask; on CPUs, where that has no backward pass, SDPA document by
document: the prefix with the first branch causally, every further branch against (prefix, itself). Measured on two
cores, that takes 0.75 of the time of a dense mask over the whole document (docs/design/packed-forward.md).

The model is switched to this function for good; called without a layout it is transformers' SDPA.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from tasks.lm.flex import attend, block_mask
from tasks.lm.layout import Document, Layout, may_see

NAME = "nightshift_packed"


class Attending:
    """A layout on its way through the layers, with the masks it needs, each made once."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._masks: dict[Any, Any] = {}

    def branch_mask(self, start: int, one: Document, branch: int, window: int | None) -> torch.Tensor | None:
        """(queries, keys) additive mask of a branch against (prefix, branch); None where plainly causal will do.

        The first branch's queries are the prefix and the branch, every other branch's are its own tokens.
        """
        if window is not None and window >= one.longest:
            window = None
        if branch == 0 and window is None:
            return None
        key = (start, branch, window)
        if key not in self._masks:
            device = self.layout.positions.device
            begin = start + one.prefix + sum(one.branches[:branch])
            own = torch.arange(begin, begin + one.branches[branch], device=device)
            keys = torch.cat((torch.arange(start, start + one.prefix, device=device), own))
            queries = keys if branch == 0 else own
            seen = may_see(self.layout, queries[:, None], keys[None, :], window)
            self._masks[key] = torch.zeros(seen.shape, device=device).masked_fill_(~seen, float("-inf"))
        return self._masks[key]

    def block_mask(self, window: int | None) -> Any:
        """FlexAttention's block mask over the whole packed sequence."""
        if window not in self._masks:
            layout = self.layout
            self._masks[window] = block_mask(
                lambda query, key: may_see(layout, query, key, window), layout.length, layout.positions.device
            )
        return self._masks[window]


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    attending: Attending | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in transformers' convention: (1, heads, tokens, width) in, (1, tokens, heads, width) out."""
    if attending is None and softcap is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if attending is None:
        return _capped(query, key, value, attention_mask, scaling, softcap), None
    if query.device.type != "cpu":
        return attend(module, query, key, value, attending.block_mask(sliding_window), scaling, softcap), None
    out = _by_document(attending, query, key, value, scaling, dropout, sliding_window, softcap)
    return out.transpose(1, 2), None


def _by_document(
    attending: Attending,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    dropout: float,
    window: int | None,
    softcap: float | None,
) -> torch.Tensor:
    groups = query.shape[1] // key.shape[1]
    parts = []
    for start, one in zip(attending.layout.starts, attending.layout.documents, strict=True):
        begin, prefix_end = start + one.prefix, start + one.prefix
        prefix_keys, prefix_values = (repeat_kv(side[:, :, start:prefix_end], groups) for side in (key, value))
        for branch, length in enumerate(one.branches):
            end = begin + length
            first = start if branch == 0 else begin  # the prefix's own queries go with the first branch
            if end > first:
                keys = torch.cat((prefix_keys, repeat_kv(key[:, :, begin:end], groups)), 2)
                values = torch.cat((prefix_values, repeat_kv(value[:, :, begin:end], groups)), 2)
                mask = attending.branch_mask(start, one, branch, window)
                parts.append(_attend(query[:, :, first:end], keys, values, mask, scaling, dropout, softcap))
            begin = end
    return torch.cat(parts, 2)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    dropout: float,
    softcap: float | None,
) -> torch.Tensor:
    if softcap is None:
        if mask is not None:
            mask = mask.to(query.dtype)
        return scaled_dot_product_attention(query, key, value, mask, dropout, is_causal=mask is None, scale=scaling)
    # SDPA knows no cap on its scores (Gemma 2)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = softcap * torch.tanh(query @ key.transpose(2, 3) * (scale / softcap))
    if mask is None:
        queries, keys = scores.shape[-2:]
        # the queries are the last of the keys: with a cache there are more keys than queries
        mask = torch.full((queries, keys), float("-inf"), device=query.device).triu(1 + keys - queries)
    return (scores + mask).softmax(-1, dtype=torch.float32).to(value.dtype) @ value


def _capped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    seen: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    """Plain attention of a model with a score cap, under SDPA's boolean mask."""
    groups = query.shape[1] // key.shape[1]
    mask = None if seen is None else query.new_zeros(seen.shape).masked_fill_(~seen, torch.finfo(query.dtype).min)
    out = _attend(query, repeat_kv(key, groups), repeat_kv(value, groups), mask, scaling, 0.0, softcap)
    return out.transpose(1, 2)


def register() -> None:
    """Make the function known to transformers, under ``NAME``; without a layout it masks as SDPA does."""
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
