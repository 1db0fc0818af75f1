"""Choices scored together equal choices scored alone, packed or by the model's own forward; none sees its neighbour."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from tasks.errors import ModelError
from tasks.lm import packed
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
    "initializer_range": 0.3,  # large enough that what a token sees, and every cap, changes its log-probabilities
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=8),
    "mistral, window of 4": MistralConfig(**SIZES, sliding_window=4),
    "gemma2, window of 4": Gemma2Config(
        **SIZES, head_dim=8, sliding_window=4, attn_logit_softcapping=1.5, final_logit_softcapping=2.0
    ),
}
NOT_UNDERSTOOD: dict[str, PreTrainedConfig] = {
    "gpt2": GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3),
    "gpt_oss, sinks": GptOssConfig(**SIZES, head_dim=8, sliding_window=4, num_local_experts=2, num_experts_per_tok=1),
}
ids = st.lists(st.integers(0, 59), min_size=1, max_size=9).map(tuple)
choice_items = st.builds(ChoiceItem, prompt=ids, choices=st.lists(ids, min_size=1, max_size=4).map(tuple))


def build(config: PreTrainedConfig) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def switched(config: PreTrainedConfig) -> Any:
    model = build(config)
    packed.switch(model)
    return model


MODELS = {name: (build(config), switched(config)) for name, config in (CONFIGS | NOT_UNDERSTOOD).items()}


def alone(model: Any, prompt: tuple[int, ...], choice: tuple[int, ...]) -> torch.Tensor:
    """The reference: one choice behind its prompt, through the whole model, no mask of ours."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + choice])).logits[0].log_softmax(-1)
    return logits[len(prompt) - 1 : -1].gather(1, torch.tensor(choice)[:, None])[:, 0]


def assert_as_if_alone(found: list[list[torch.Tensor]], model: Any, items: list[ChoiceItem]) -> None:
    for item, scored in zip(items, found, strict=True):
        for choice, logprobs in zip(item.choices, scored, strict=True):
            assert logprobs.dtype == torch.float32
            torch.testing.assert_close(logprobs, alone(model, item.prompt, choice), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
@given(items=st.lists(choice_items, min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_choices_together_score_as_if_each_stood_alone(name: str, items: list[ChoiceItem]) -> None:
    untouched, model = MODELS[name]
    assert_as_if_alone(choice_logprobs(model, items), untouched, items)


@pytest.mark.parametrize("name", MODELS)
def test_choices_of_one_token_and_identical_choices(name: str) -> None:
    untouched, model = MODELS[name]
    items = [ChoiceItem((1, 2, 3), ((4,), (5,))), ChoiceItem((9,), ((7, 8), (7, 8), (7,)))]
    found = choice_logprobs(model, items)
    assert_as_if_alone(found, untouched, items)
    torch.testing.assert_close(found[1][0], found[1][1])


def test_models_that_are_understood_run_once_over_a_batch_without_padding() -> None:
    items = [ChoiceItem((1, 2, 3), ((4, 5, 6), (7,))), ChoiceItem((9,), ((7, 8), (2,)))]
    assert {name: shapes(model, items) for name, (_, model) in MODELS.items()} == {
        **{name: [(1, 7)] for name in CONFIGS},  # the last token of a choice predicts nothing
        **{name: [(2, 5), (2, 2)] for name in NOT_UNDERSTOOD},
    }


def shapes(model: Any, items: list[ChoiceItem]) -> list[tuple[int, ...]]:
    """Of the ids that each run over the model's layers gets."""
    seen = []
    hook = model.get_input_embeddings().register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    choice_logprobs(model, items)
    hook.remove()
    return seen


@pytest.mark.parametrize("name", CONFIGS)
def test_a_choice_does_not_change_when_its_neighbour_does(name: str) -> None:
    one = ChoiceItem((1, 2, 3), ((4, 5, 6), (7, 8)))
    other = ChoiceItem((1, 2, 3), ((50, 51, 52), (7, 8)))
    first, second = (choice_logprobs(MODELS[name][1], [item])[0][1] for item in (one, other))
    assert torch.equal(first, second)


def test_an_adapter_takes_part_and_its_merge_stays_packed() -> None:
    model = get_peft_model(build(LlamaConfig(**SIZES)), LoraConfig(r=4, init_lora_weights=False)).eval()
    items = [ChoiceItem((1, 2, 3), ((4, 5, 6), (7, 8)))]
    expected = [alone(model, items[0].prompt, choice) for choice in items[0].choices]
    assert packed.switch(model) is None
    for one in (model, model.merge_and_unload()):
        assert packed.is_enabled(one)
        for logprobs, right in zip(choice_logprobs(one, items)[0], expected, strict=True):
            torch.testing.assert_close(logprobs, right, atol=1e-4, rtol=1e-4)


def test_a_model_that_only_looks_understood_keeps_its_own_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(LlamaConfig(**SIZES))
    hidden_states = packed.hidden_states
    monkeypatch.setattr(packed, "hidden_states", lambda *args: hidden_states(*args).flip(-1))
    assert "differ by" in str(packed.switch(model))
    assert model.config._attn_implementation == "sdpa"
    items = [ChoiceItem((1, 2, 3), ((4, 5, 6), (7, 8)))]
    assert_as_if_alone(choice_logprobs(model, items), MODELS["llama"][0], items)


def test_a_damaged_model_scores_nan() -> None:
    model = build(LlamaConfig(**SIZES))
    model.model.norm.weight.data.fill_(float("nan"))
    assert packed.switch(model) is not None
    assert all(torch.isnan(choice).all() for choice in choice_logprobs(model, [ChoiceItem((1,), ((2, 3), (4,)))])[0])


@given(st.lists(choice_items, max_size=30), st.integers(1, 120))
def test_batches_keep_the_items_order_and_the_budget_and_are_full(items: list[ChoiceItem], tokens: int) -> None:
    found = list(batches(items, tokens))
    assert [index for batch in found for index in batch] == list(range(len(items)))
    sums = [sum(items[i].length for i in batch) for batch in found]
    assert all(len(batch) == 1 or total <= tokens for batch, total in zip(found, sums, strict=True))
    assert all(
        total + items[following[0]].length > tokens for total, following in zip(sums[:-1], found[1:], strict=True)
    )


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


@pytest.mark.parametrize("name", CONFIGS)
def test_a_switched_model_answers_as_before(name: str) -> None:
    batch, mask = torch.tensor([[0, 0, 5, 6, 7], [1, 2, 3, 4, 5]]), torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    how: dict[str, Any] = {"attention_mask": mask, "do_sample": False, "max_new_tokens": 8, "pad_token_id": 0}
    before, after = (model.generate(input_ids=batch, **how) for model in MODELS[name])
    assert torch.equal(before, after)
