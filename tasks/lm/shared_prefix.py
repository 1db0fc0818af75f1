"""Choices of many items in one forward that computes their common beginning once: a chat template's system message.

In a gate's items that is a third of the tokens. The packed sequence is (beginning, item, item, …); every item sees the
beginning and itself, and is laid out as ever (tasks/lm/layout.py). A choice's last token predicts nothing that is
scored, so it isn't computed either.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from tasks.lm import packed
from tasks.lm.attention import packed_attention
from tasks.lm.flex import attend, block_mask
from tasks.lm.layout import Document, Layout, lay_out, may_see
from tasks.lm.plain import Branched

NAME = "nightshift_shared_prefix"
QUERIES = 128  # at once on a CPU: keys behind the last of them aren't looked at (docs/design/scoring.md)


class Beginning:
    """A layout whose first document, all prefix, is seen by every other; with its masks, each made once."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.common = layout.documents[0].prefix
        self._masks: dict[Any, Any] = {}

    def may_see(self, query: torch.Tensor, key: torch.Tensor, window: int | None) -> torch.Tensor:
        """As ``layout.may_see``, and the beginning besides."""
        layout = self.layout
        common = (layout.document[key] == 0) & (layout.document[query] != 0)
        if window is not None:
            common = common & (layout.positions[query] - layout.positions[key] < window)
        return may_see(layout, query, key, window) | common

    def mask(self, common: int, start: int, first: int, last: int, window: int | None) -> torch.Tensor:
        """(queries, keys) additive mask of the queries from ``first`` to ``last`` in the document that begins at
        ``start``; keys are the first ``common`` tokens, and the document's up to the last query."""
        if (first, window) not in self._masks:
            keys = torch.cat((torch.arange(common), torch.arange(start, last)))
            seen = self.may_see(torch.arange(first, last)[:, None], keys[None, :], window)
            self._masks[first, window] = torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))
        return self._masks[first, window]

    def block_mask(self, window: int | None) -> Any:
        """FlexAttention's block mask over the whole packed sequence."""
        if window not in self._masks:
            self._masks[window] = block_mask(
                lambda query, key: self.may_see(query, key, window), self.layout.length, self.layout.positions.device
            )
        return self._masks[window]


def shared_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    beginning: Beginning | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in transformers' convention: (1, heads, tokens, width) in, (1, tokens, heads, width) out."""
    options: dict[str, Any] = {"scaling": scaling, "softcap": softcap}
    if beginning is None:
        return packed_attention(
            module, query, key, value, attention_mask, sliding_window=sliding_window, **options, **kwargs
        )
    if query.device.type != "cpu":
        return attend(module, query, key, value, beginning.block_mask(sliding_window), scaling, softcap), None
    return _by_document(beginning, query, key, value, sliding_window, scaling, softcap).transpose(1, 2), None


def _by_document(
    beginning: Beginning,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    window: int | None,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    parts = []
    for number, (start, one) in enumerate(zip(beginning.layout.starts, beginning.layout.documents, strict=True)):
        end = start + one.length
        common = beginning.common if number else 0
        keys, values = (
            torch.cat((side[:, :, :common], side[:, :, start:end]), 2) if common else side[:, :, start:end]
            for side in (key, value)
        )
        for first in range(start, end, QUERIES):
            last = min(first + QUERIES, end)
            seen = common + last - start  # no token sees one behind it
            mask = beginning.mask(common, start, first, last, window).to(query.dtype)
            parts.append(
                _attend(query[:, :, first:last], keys[:, :, :seen], values[:, :, :seen], mask, scaling, softcap)
            )
    return torch.cat(parts, 2)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    if softcap is None:
        grouped = query.shape[1] != key.shape[1]  # keys and values aren't repeated a group: faster than repeat_kv
        return scaled_dot_product_attention(query, key, value, mask, scale=scaling, enable_gqa=grouped)
    groups = query.shape[1] // key.shape[1]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = softcap * torch.tanh(query @ repeat_kv(key, groups).transpose(2, 3) * (scale / softcap))
    return (scores + mask).softmax(-1, dtype=torch.float32).to(value.dtype) @ repeat_kv(value, groups)


@torch.inference_mode()
def branch_logprobs(model: Any, items: Sequence[Branched]) -> list[list[torch.Tensor]]:
    """The same as ``packed.branch_logprobs``, for a model that was switched and items whose prefixes aren't empty.

    Returns:
        for each item, for each branch, float32 of shape (tokens of the branch,) on the CPU, in nats.
    """
    if not items:
        return []
    common = common_length([prefix for prefix, _ in items])
    layout = _lay_out(common, items)
    tokens = [*items[0][0][:common]]
    for prefix, branches in items:
        tokens += prefix[common:]
        for branch in branches:
            tokens += branch[:-1]
    sources, targets, lengths = _predictions(layout, items)
    device = next(model.parameters()).device
    layout = layout.to(device)
    with _attending(model):
        hidden = packed.backbone(model)(
            input_ids=torch.tensor([tokens], device=device),
            # of four dimensions: transformers takes it as a mask that is ready, and builds none
            attention_mask=torch.zeros((1, 1, 1, 1), dtype=torch.bool, device=device),
            position_ids=layout.positions[None],
            use_cache=False,
            beginning=Beginning(layout),
        ).last_hidden_state[0]
    at, to = (torch.tensor(one, dtype=torch.long, device=device) for one in (sources, targets))
    scored = packed.score_positions(model, hidden[at], to)
    parts = iter(scored.log_probs.float().cpu().split(lengths))
    return [[next(parts) for _ in branches] for _, branches in items]


def common_length(prefixes: Sequence[Sequence[int]]) -> int:
    """Tokens that all prefixes begin with, each keeping one of its own: the one that predicts its branches."""
    # the smallest and the largest differ first where any two do
    low, high = min(map(tuple, prefixes)), max(map(tuple, prefixes))
    shortest = min(map(len, prefixes)) - 1
    return next((place for place in range(shortest) if low[place] != high[place]), shortest)


def _lay_out(common: int, items: Sequence[Branched]) -> Layout:
    documents = [
        Document(len(prefix) - common, tuple(len(branch) - 1 for branch in branches)) for prefix, branches in items
    ]
    layout = lay_out([Document(common, ()), *documents])
    return replace(layout, positions=layout.positions + common * (layout.document > 0))


def _predictions(layout: Layout, items: Sequence[Branched]) -> tuple[list[int], list[int], list[int]]:
    """Where in the sequence each branch's tokens are predicted, these tokens, and how many there are a branch."""
    sources, targets, lengths = [], [], []
    for start, one, (_, branches) in zip(layout.starts[1:], layout.documents[1:], items, strict=True):
        begin = start + one.prefix
        for branch, length in zip(branches, one.branches, strict=True):
            sources += [start + one.prefix - 1, *range(begin, begin + length)]
            targets += branch
            lengths.append(len(branch))
            begin += length
    return sources, targets, lengths


@contextmanager
def _attending(model: Any) -> Iterator[None]:
    """A switched model attends by ``shared_attention``, which without a beginning is what it was."""
    AttentionInterface.register(NAME, shared_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    inner = packed.causal_lm(model)
    before = inner.config._attn_implementation
    inner.set_attn_implementation(NAME)
    try:
        yield
    finally:
        inner.set_attn_implementation(before)
