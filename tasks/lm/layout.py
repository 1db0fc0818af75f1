"""Packed layout: documents of one prefix and one or more branches, laid out behind each other in one sequence.

A document is (prefix, branch, branch, …): a preference pair's prompt with its chosen and rejected answer, or a gate
item's prompt with its choices. Positions restart at the end of the prefix for every branch, and a token sees its own
document's prefix and its own branch, causally: each branch is computed exactly as if it stood alone behind the prefix,
and the prefix is computed once. (Prefix sharing for preference optimisation: arXiv 2410.20305.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch


@dataclass(frozen=True)
class Document:
    """Lengths in tokens of a prefix and one or more branches.

    The prefix may be empty, and so may a branch (an answer that is the other's beginning).
    """

    prefix: int
    branches: tuple[int, ...]

    @property
    def length(self) -> int:
        return self.prefix + sum(self.branches)

    @property
    def longest(self) -> int:
        """The longest of its sequences: how far positions and causal attention reach."""
        return self.prefix + max(self.branches, default=0)


@dataclass(frozen=True)
class Layout:
    """Where every token of a packed sequence of ``length`` tokens belongs. Tensors are of shape (length,)."""

    documents: tuple[Document, ...]
    positions: torch.Tensor
    document: torch.Tensor
    branch: torch.Tensor  # 0: prefix, 1..: the document's branches

    @property
    def length(self) -> int:
        return len(self.positions)

    @property
    def starts(self) -> list[int]:
        """Where each document begins."""
        return [0, *accumulate(document.length for document in self.documents)][:-1]

    def to(self, device: torch.device) -> "Layout":
        return Layout(self.documents, self.positions.to(device), self.document.to(device), self.branch.to(device))


def lay_out(documents: Sequence[Document]) -> Layout:
    """The layout of these documents, in their order."""
    positions, document, branch = [], [], []
    for number, one in enumerate(documents):
        parts = [(0, one.prefix, 0), *((one.prefix, length, 1 + i) for i, length in enumerate(one.branches))]
        for begin, length, mark in parts:
            positions.append(torch.arange(begin, begin + length))
            branch.append(torch.full((length,), mark))
        document.append(torch.full((one.length,), number))
    nothing = [torch.zeros(0, dtype=torch.long)]
    return Layout(tuple(documents), *(torch.cat(part or nothing) for part in (positions, document, branch)))


def may_see(layout: Layout, query: torch.Tensor, key: torch.Tensor, window: int | None) -> torch.Tensor:
    """Whether the token at ``query`` sees the one at ``key`` (indices into the packed sequence, broadcast together).

    ``window``: tokens of a sliding window, counted in positions, as the model itself counts them.
    """
    same = layout.document[query] == layout.document[key]
    mine = (layout.branch[key] == 0) | (layout.branch[key] == layout.branch[query])
    seen = same & mine & (layout.positions[key] <= layout.positions[query])
    return seen if window is None else seen & (layout.positions[query] - layout.positions[key] < window)


@dataclass(frozen=True)
class PackedPairs:
    """A padded batch of preference pairs, packed.

    ``tokens``: (length,), where each packed token stands in the flattened padded batch.
    ``packed``: (rows, width), where each token of the padded batch stands in the packed sequence; padding points at 0.
    """

    layout: Layout
    tokens: torch.Tensor
    packed: torch.Tensor


def pack_pairs(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> PackedPairs:
    """Pack a batch whose first half is chosen and whose second half is rejected, as TRL collates pairs.

    The prefix is what both sequences begin with, so it ends behind the prompt where the answers begin alike. Padding
    may be on either side.

    Args:
        input_ids: (2 × pairs, width).
        attention_mask: (2 × pairs, width), 1 at tokens and 0 at padding.
    """
    rows, width = input_ids.shape
    real = attention_mask.bool()
    lengths = real.sum(1)
    # tokens moved to the left of their row, padding behind them
    order = torch.argsort(~real, dim=1, stable=True)
    ids = input_ids.gather(1, order)
    inside = torch.arange(width, device=ids.device) < lengths[:, None]
    same = (ids[: rows // 2] == ids[rows // 2 :]) & inside[: rows // 2] & inside[rows // 2 :]
    prefixes = same.long().cumprod(1).sum(1).tolist()
    chosen, rejected = lengths.tolist()[: rows // 2], lengths.tolist()[rows // 2 :]
    layout = lay_out([Document(p, (c - p, r - p)) for p, c, r in zip(prefixes, chosen, rejected, strict=True)])

    order = order.cpu()
    packed = torch.zeros(rows, width, dtype=torch.long)
    tokens = torch.empty(layout.length, dtype=torch.long)
    for pair, (start, one) in enumerate(zip(layout.starts, layout.documents, strict=True)):
        begin = start + one.prefix
        for row, length in zip((pair, pair + rows // 2), one.branches, strict=True):
            where = torch.cat((torch.arange(start, start + one.prefix), torch.arange(begin, begin + length)))
            places = order[row, : one.prefix + length]
            packed[row, places] = where
            tokens[where] = row * width + places
            begin += length
    return PackedPairs(layout.to(ids.device), tokens.to(ids.device), packed.to(ids.device))
