"""Log-probabilities of answer choices, the prompt computed once for all choices of an item.

An item is laid out in one row as (prompt, choice, choice, …). Positions restart at the end of the prompt for every
choice, and a mask lets a token see the prompt and its own choice only, so each choice is scored exactly as if it stood
alone behind the prompt. The LM head runs at the positions that predict a choice's token, and nowhere else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tasks.errors import ModelError


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
    """Indices of items in batches of similar length, each at most ``tokens`` padded tokens (or one item)."""
    order = sorted(range(len(items)), key=lambda i: -items[i].length)
    batch: list[int] = []
    for index in order:
        # the first item of a batch is its longest
        if batch and items[batch[0]].length * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


@torch.inference_mode()
def choice_logprobs(model: Any, items: Sequence[ChoiceItem]) -> list[list[torch.Tensor]]:
    """Per-token log-probabilities of every choice, as one batch.

    Args:
        model: a causal LM of transformers; its attention must accept a 4D boolean mask (SDPA or eager).

    Returns:
        for each item, for each choice, a float32 tensor of shape (tokens of the choice,).
    """
    device = next(model.parameters()).device
    layout = _layout(items, device)
    _refuse_short_window(model.config, layout.ids.shape[1])
    hidden = backbone(model)(
        input_ids=layout.ids, attention_mask=layout.mask, position_ids=layout.positions, use_cache=False
    ).last_hidden_state
    logits = model.get_output_embeddings()(hidden[layout.rows, layout.sources]).float()
    cap = getattr(model.config, "final_logit_softcapping", None)
    if cap:
        logits = torch.tanh(logits / cap) * cap
    chosen = logits.gather(1, layout.targets[:, None])[:, 0] - logits.logsumexp(dim=1)
    parts = iter(chosen.cpu().split([len(choice) for item in items for choice in item.choices]))
    return [[next(parts) for _ in item.choices] for item in items]


def backbone(model: Any) -> Any:
    """The transformer without its LM head, also inside a PEFT model."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inner.get_decoder()


@dataclass(frozen=True)
class _Layout:
    ids: torch.Tensor  # (items, length)
    positions: torch.Tensor  # (items, length)
    mask: torch.Tensor  # (items, 1, length, length), True where a query may look
    rows: torch.Tensor  # (choice tokens,): item of each choice token
    sources: torch.Tensor  # (choice tokens,): where the hidden state that predicts it stands
    targets: torch.Tensor  # (choice tokens,): the token itself


def _layout(items: Sequence[ChoiceItem], device: torch.device) -> _Layout:
    width = max(item.length for item in items)
    ids = torch.zeros(len(items), width, dtype=torch.long)
    positions = torch.zeros(len(items), width, dtype=torch.long)
    branch = torch.full((len(items), width), -1, dtype=torch.long)  # -1 padding, 0 prompt, 1.. choices
    rows, sources, targets = [], [], []
    for row, item in enumerate(items):
        end = len(item.prompt)
        ids[row, :end] = torch.tensor(item.prompt)
        positions[row, :end] = torch.arange(end)
        branch[row, :end] = 0
        for number, choice in enumerate(item.choices, 1):
            start, end = end, end + len(choice)
            ids[row, start:end] = torch.tensor(choice)
            positions[row, start:end] = torch.arange(len(item.prompt), len(item.prompt) + len(choice))
            branch[row, start:end] = number
            rows += [row] * len(choice)
            sources += [len(item.prompt) - 1, *range(start, end - 1)]
            targets += choice
    causal = torch.ones(width, width, dtype=torch.bool).tril()
    query, key = branch[:, :, None], branch[:, None, :]
    mask = causal & ((key == 0) | (key == query))
    mask |= torch.eye(width, dtype=torch.bool)  # a padded query sees itself: a row without any key is NaN in SDPA
    return _Layout(
        ids.to(device),
        positions.to(device),
        mask[:, None].to(device),
        torch.tensor(rows, device=device),
        torch.tensor(sources, device=device),
        torch.tensor(targets, device=device),
    )


def _refuse_short_window(config: Any, width: int) -> None:
    """Our mask replaces the model's own: refuse where that would lift a sliding window."""
    window = getattr(config, "sliding_window", None)
    if window is not None and width > window:
        raise ModelError(
            f"an item of {width} tokens is longer than the model's sliding window of {window}",
            do="shorten the suite's items",
        )
