"""Greedy answers for a few prompts, as one left-padded batch."""

from collections.abc import Sequence
from typing import Any

import torch


@torch.inference_mode()
def answers(model: Any, tokenizer: Any, prompts: Sequence[Sequence[dict[str, str]]], max_tokens: int) -> list[str]:
    """One greedy answer per prompt, without special tokens."""
    texts = [
        tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True) for prompt in prompts
    ]
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    width = max(map(len, ids))
    device = next(model.parameters()).device
    batch = torch.tensor([[pad] * (width - len(one)) + one for one in ids], device=device)
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in ids], device=device)
    out = model.generate(
        input_ids=batch, attention_mask=mask, do_sample=False, max_new_tokens=max_tokens, pad_token_id=pad
    )
    return [tokenizer.decode(row[width:], skip_special_tokens=True).strip() for row in out]
