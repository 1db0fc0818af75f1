"""Log-probabilities from a model's own forward, one row a branch: for models that aren't understood, and to check ours.

Nothing of the model is replaced: its masks, windows, attention sinks and logit factors are its own.
"""

from collections.abc import Sequence
from typing import Any

import torch

# token ids of a prefix and of the branches that continue it: a prompt with its answers, an item with its choices
Branched = tuple[Sequence[int], Sequence[Sequence[int]]]


def branch_logprobs(model: Any, items: Sequence[Branched]) -> list[list[torch.Tensor]]:
    """Per-token log-probabilities in nats of every branch behind its prefix, without gradient.

    Returns:
        for each item, for each branch, float32 of shape (tokens of the branch,) on the CPU; behind an empty prefix
        the branch's first token is predicted by nothing and left out.
    """
    # item by item: an item's branches are of similar length, and only their logits are held at once
    return [_item_logprobs(model, prefix, branches) for prefix, branches in items]


@torch.no_grad()
def _item_logprobs(model: Any, prefix: Sequence[int], branches: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    rows = [[*prefix, *branch] for branch in branches]
    width = max(map(len, rows))
    device = next(model.parameters()).device
    # padding on the right, where no token sees it and positions stay as they are
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    # a row's last token predicts nothing that is asked for, and may lie behind the last position there is
    last = max(width - 1, 1)
    logits = model(input_ids=ids[:, :last], attention_mask=mask[:, :last], use_cache=False).logits
    first = max(len(prefix), 1)
    found = []
    for number, row in enumerate(rows):
        words = logits[number, first - 1 : max(len(row), 1) - 1].float()
        targets = ids[number, first : max(len(row), 1)]
        found.append((words.gather(1, targets[:, None])[:, 0] - words.logsumexp(1)).cpu())
    return found
