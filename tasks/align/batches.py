"""Batches as TRL collates pairs: the first half of the rows chosen, the second rejected, padding on the right."""

from typing import Any

import torch

PER_PAIR = ("ref_chosen_logps", "ref_rejected_logps")  # columns of a value a pair, where the others have two rows


def take(inputs: Any, pairs: list[int]) -> dict[str, torch.Tensor]:
    """These pairs of a batch, without the columns that only others needed."""
    half = pairs_of(inputs)
    if len(pairs) == half:
        return inputs
    index = torch.tensor(pairs)
    rows = torch.cat((index, index + half))
    width = int(inputs["attention_mask"][rows].sum(1).max())
    taken = {}
    for key, value in inputs.items():
        taken[key] = value[index] if key in PER_PAIR else value[rows][:, :width]
    return taken


def pairs_of(inputs: Any) -> int:
    return len(inputs["input_ids"]) // 2


def chosen_tokens(inputs: Any) -> int:
    return int(inputs["completion_mask"][: pairs_of(inputs), 1:].sum())


def packed_lengths(inputs: Any) -> list[int]:
    """Tokens of each pair behind its common prefix, with the prefix counted once. TRL pads on the right."""
    ids, mask, half = inputs["input_ids"], inputs["attention_mask"].bool(), pairs_of(inputs)
    same = (ids[:half] == ids[half:]) & mask[:half] & mask[half:]
    prefix = same.long().cumprod(1).sum(1)
    return (mask[:half].sum(1) + mask[half:].sum(1) - prefix).tolist()


def padded_lengths(inputs: Any) -> list[int]:
    width = inputs["attention_mask"].sum(1)
    half = pairs_of(inputs)
    return (2 * torch.maximum(width[:half], width[half:])).tolist()
