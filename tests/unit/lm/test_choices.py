"""Choices scored in one row equal choices scored alone, on three architectures, and can't see each other."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from tasks.errors import ModelError
from tasks.lm.choices import ChoiceItem, batches, choice_logprobs, tokenize_item
from tasks.lm.generate import answers
from tasks.lm.loading import load_model, load_tokenizer

SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
ids = st.lists(st.integers(0, 59), min_size=1, max_size=9).map(tuple)
choice_items = st.builds(ChoiceItem, prompt=ids, choices=st.lists(ids, min_size=2, max_size=4).map(tuple))


def build(config: PreTrainedConfig) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()


MODELS = {
    "llama": build(LlamaConfig(**SIZES)),
    "qwen3": build(Qwen3Config(**SIZES, head_dim=8)),
    "mistral": build(MistralConfig(**SIZES, sliding_window=None)),
}


def alone(model: Any, prompt: tuple[int, ...], choice: tuple[int, ...]) -> torch.Tensor:
    """The reference: one choice behind its prompt, through the whole model, no mask of ours."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + choice])).logits[0].log_softmax(-1)
    return logits[len(prompt) - 1 : -1].gather(1, torch.tensor(choice)[:, None])[:, 0]


@pytest.mark.parametrize("name", MODELS)
@given(items=st.lists(choice_items, min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_choices_in_one_row_score_as_if_each_stood_alone(name: str, items: list[ChoiceItem]) -> None:
    for item, scored in zip(items, choice_logprobs(MODELS[name], items), strict=True):
        for choice, logprobs in zip(item.choices, scored, strict=True):
            torch.testing.assert_close(logprobs, alone(MODELS[name], item.prompt, choice), atol=1e-4, rtol=1e-4)


def test_a_choice_does_not_change_when_its_neighbour_does() -> None:
    one = ChoiceItem((1, 2, 3), ((4, 5, 6), (7, 8)))
    other = ChoiceItem((1, 2, 3), ((50, 51, 52), (7, 8)))
    assert torch.equal(choice_logprobs(MODELS["llama"], [one])[0][1], choice_logprobs(MODELS["llama"], [other])[0][1])


@given(st.lists(choice_items, min_size=1, max_size=30), st.integers(1, 120))
def test_every_item_is_in_exactly_one_batch_and_batches_keep_to_the_budget(
    items: list[ChoiceItem], tokens: int
) -> None:
    found = list(batches(items, tokens))
    assert sorted(index for batch in found for index in batch) == list(range(len(items)))
    assert all(len(batch) == 1 or max(items[i].length for i in batch) * len(batch) <= tokens for batch in found)


def test_an_item_longer_than_the_sliding_window_is_refused() -> None:
    model = build(MistralConfig(**SIZES, sliding_window=4))
    with pytest.raises(ModelError, match="sliding window of 4"):
        choice_logprobs(model, [ChoiceItem((1, 2, 3), ((4, 5), (6,)))])


def test_the_end_of_turn_is_part_of_each_choice(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    item = tokenize_item(tokenizer, [{"role": "user", "content": "what is red"}], ["tea", "old milk"])
    assert tokenizer.decode(item.prompt) == "<s> user what is red </s> <s> assistant"
    assert [tokenizer.decode(choice) for choice in item.choices] == ["tea </s>", "old milk </s>"]


def test_a_template_that_rewrites_the_prompt_is_refused(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    tokenizer.chat_template = "{{ messages | length }}{% for m in messages %} {{ m['content'] }}{% endfor %}"
    with pytest.raises(ModelError, match="doesn't keep the prompt"):
        tokenize_item(tokenizer, [{"role": "user", "content": "red"}], ["tea", "milk"])


def test_answers_in_a_padded_batch_equal_answers_alone(tiny_model: Path) -> None:
    model, tokenizer = load_model(tiny_model, None, torch.float32, "cpu"), load_tokenizer(tiny_model)
    prompts = [[{"role": "user", "content": text}] for text in ("red", "what is the old red cup", "tea or milk")]
    together = answers(model, tokenizer, prompts, 6)
    assert together == [answers(model, tokenizer, [prompt], 6)[0] for prompt in prompts]
