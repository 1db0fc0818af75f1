"""Gate items as token ids, and the log-probabilities of their answer choices.

An item is one document of the packed layout (prompt, choice, choice, …): the prompt is computed once, what all prompts
of a batch begin with once a batch, and each choice scored exactly as if it stood alone behind its prompt. Models that
can't be packed are scored by their own forward.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tasks.errors import ModelError
from tasks.lm import packed, plain, shared_prefix


@dataclass(frozen=True)
class ChoiceItem:
    """Token ids of one prompt and of its choices; none may be empty."""

    prompt: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]

    @property
    def length(self) -> int:
        return len(self.prompt) + sum(map(len, self.choices))


def tokenize_item(tokenizer: Any, messages: Sequence[dict[str, str]], choices: Sequence[str]) -> ChoiceItem:
    """Render prompt and choices with the model's chat template, the end-of-turn token included in each choice.

    Raises:
        ModelError: the template changes earlier text when an answer is added, so prompt and answer can't be told apart.
    """
    prompt = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    texts = []
    for choice in choices:
        full = tokenizer.apply_chat_template([*messages, {"role": "assistant", "content": choice}], tokenize=False)
        if not full.startswith(prompt):
            raise ModelError(
                "the chat template doesn't keep the prompt when an answer is added",
                do="use a template without look-ahead (for thinking models: its non-thinking form)",
            )
        texts.append(full[len(prompt) :].rstrip("\n"))
    return ChoiceItem(_ids(tokenizer, prompt), tuple(_ids(tokenizer, text) for text in texts))


def _ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def batches(items: Sequence[ChoiceItem], tokens: int) -> Iterator[list[int]]:
    """Indices of items in batches, in their order, each of at most ``tokens`` packed tokens (or one item)."""
    batch: list[int] = []
    total = 0
    for index, item in enumerate(items):
        if batch and total + item.length > tokens:
            yield batch
            batch, total = [], 0
        batch.append(index)
        total += item.length
    if batch:
        yield batch


def choice_logprobs(model: Any, items: Sequence[ChoiceItem]) -> list[list[torch.Tensor]]:
    """Per-token log-probabilities of every choice, in nats.

    Packed as one sequence where the model was switched (``packed.switch``), else by the model's own forward.

    Args:
        model: a causal LM of transformers, or a PEFT model of one.

    Returns:
        for each item, for each choice, a float32 tensor of shape (tokens of the choice,), on the CPU.
    """
    forward = shared_prefix.branch_logprobs if packed.is_enabled(model) else plain.branch_logprobs
    return forward(model, [(item.prompt, item.choices) for item in items])
