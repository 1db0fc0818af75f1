"""Answers to a few prompts, greedy or sampled, as one left-padded batch."""

from collections.abc import Sequence
from typing import Any

import torch


@torch.inference_mode()
def answers(model: Any, tokenizer: Any, prompts: Sequence[Sequence[dict[str, str]]], max_tokens: int) -> list[str]:
    """One greedy answer per prompt, without special tokens."""
    ids, out = _generate(model, tokenizer, prompts, max_tokens, do_sample=False)
    width = max(map(len, ids))
    return [tokenizer.decode(row[width:], skip_special_tokens=True).strip() for row in out]


@torch.inference_mode()
def sample(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[dict[str, str]]], max_tokens: int
) -> list[tuple[list[int], list[int]]]:
    """(prompt, answer) as token ids, one answer a prompt, sampled from the model as it is (temperature 1, no cuts).

    An answer ends with its end-of-turn token, or at ``max_tokens``. Random numbers are torch's global ones.
    """
    ids, out = _generate(model, tokenizer, prompts, max_tokens, do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
    width = max(map(len, ids))
    ends = _ends(model)
    return [(prompt, _until(row[width:].tolist(), ends)) for prompt, row in zip(ids, out, strict=True)]


def _until(tokens: list[int], ends: set[int]) -> list[int]:
    """The tokens up to the first that ends an answer, that one included."""
    for place, token in enumerate(tokens):
        if token in ends:
            return tokens[: place + 1]
    return tokens


def _ends(model: Any) -> set[int]:
    end = model.generation_config.eos_token_id
    return set(end) if isinstance(end, list) else {end}


def _generate(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[dict[str, str]]], max_tokens: int, **how: Any
) -> tuple[list[list[int]], torch.Tensor]:
    """Token ids of the prompts, and of prompts and answers, left-padded to one width."""
    texts = [
        tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True) for prompt in prompts
    ]
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    width = max(map(len, ids))
    device = next(model.parameters()).device
    batch = torch.tensor([[pad] * (width - len(one)) + one for one in ids], device=device)
    mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in ids], device=device)
    out = model.generate(input_ids=batch, attention_mask=mask, max_new_tokens=max_tokens, pad_token_id=pad, **how)
    return ids, out
