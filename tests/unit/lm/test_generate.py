"""Answers as callers get them: conversations in, text or token ids out, whatever the model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, MambaConfig, Phi3Config

from tasks.errors import ModelError
from tasks.lm import generate as module
from tasks.lm.generate import answers, generate, prompt_ids, sample, why_not_batched
from tasks.lm.loading import load_model, load_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ("red", "what is the old red cup", "tea bread milk")
CONVERSATIONS = [[{"role": "user", "content": text}] for text in TEXTS]
SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "eos_token_id": [50, 51, 52, 53, 54, 55],
    "pad_token_id": 0,
}
MAMBA = MambaConfig(vocab_size=60, hidden_size=32, num_hidden_layers=2, state_size=4, eos_token_id=7, pad_token_id=0)


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> tuple[Any, Any]:
    return load_model(tiny_model, None, torch.float32, "cpu"), load_tokenizer(tiny_model)


def build(config: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def alone(model: Any, prompt: list[int], most: int, **how: Any) -> list[int]:
    ids = torch.tensor([prompt])
    how = {"do_sample": False, "pad_token_id": 0} | how
    return model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=most, **how)[
        0, len(prompt) :
    ].tolist()


# ---- what callers get


def test_answers_are_the_text_of_greedy_answers_without_special_tokens(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    found = answers(model, tokenizer, CONVERSATIONS, 6)
    right = [alone(model, prompt_ids(tokenizer, prompt), 6, pad_token_id=2) for prompt in CONVERSATIONS]
    assert found == [tokenizer.decode(one, skip_special_tokens=True).strip() for one in right]
    assert all("</s>" not in text for text in found)


def test_samples_follow_torchs_seed_and_carry_their_prompts(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    found = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        found.append(sample(model, tokenizer, CONVERSATIONS, 12))
    assert found[0] == found[1] != found[2]
    assert [tokenizer.decode(prompt) for prompt, _ in found[0]] == [
        f"<s> user {text} </s> <s> assistant" for text in TEXTS
    ]
    assert all(0 < len(answer) <= 12 and 2 not in answer[:-1] for _, answer in found[0])


def test_prompts_may_be_conversations_or_token_ids(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    ids = [prompt_ids(tokenizer, one) for one in CONVERSATIONS]
    assert generate(model, tokenizer, CONVERSATIONS, 6) == generate(model, None, ids, 6)


def test_answers_come_in_the_prompts_order_whatever_their_lengths(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    forth, back = (generate(model, tokenizer, CONVERSATIONS[::step], 6, tokens=30) for step in (1, -1))
    assert forth == back[::-1]


def test_no_prompts_no_answers(tiny: tuple[Any, Any]) -> None:
    assert generate(*tiny, [], 6) == []


def test_an_empty_prompt_is_refused_by_its_place(tiny: tuple[Any, Any]) -> None:
    with pytest.raises(ModelError, match="prompt 1 is empty"):
        generate(*tiny, [[1, 2], []], 6)


@pytest.mark.parametrize(("most", "samples"), [(0, 1), (4, 0)])
def test_no_tokens_or_no_answers_are_refused(tiny: tuple[Any, Any], most: int, samples: int) -> None:
    with pytest.raises(ModelError, match=f"{samples} answers of at most {most} tokens"):
        generate(*tiny, [[1, 2]], most, samples=samples)


def test_greedy_samples_are_equal(tiny: tuple[Any, Any]) -> None:
    ((one, other),) = generate(*tiny, [[1, 2]], 6, samples=2)
    assert one == other


# ---- adapters


def test_an_adapter_takes_part_and_its_merge_answers_alike() -> None:
    base = build(LlamaConfig(**SIZES))
    plain = generate(base, None, [[5, 6, 7], [9]], 8)
    torch.manual_seed(1)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=32, init_lora_weights=False)).eval()
    found = generate(model, None, [[5, 6, 7], [9]], 8)
    assert found == [[alone(model, prompt, 8)] for prompt in ([5, 6, 7], [9])]
    assert found != plain
    with model.disable_adapter():
        assert generate(model, None, [[5, 6, 7], [9]], 8) == plain
    assert generate(model.merge_and_unload(), None, [[5, 6, 7], [9]], 8) == found


# ---- models that answer one by one


def odd_models() -> dict[str, tuple[Any, str]]:
    learned = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    forced = build(LlamaConfig(**SIZES))
    forced.generation_config.no_repeat_ngram_size = 2
    factors = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "rope_theta": 1e4}
    rope = Phi3Config(**SIZES, rope_parameters=factors, original_max_position_embeddings=16, max_position_embeddings=64)
    return {
        "mamba": (build(MAMBA), "keeps more than keys and values"),
        "prompt tuning": (get_peft_model(build(LlamaConfig(**SIZES)), learned).eval(), "a learned prompt"),
        "no repeated pairs": (forced, "sets no_repeat_ngram_size"),
        "longrope": (build(rope), "rotary embedding"),
    }


ODD = odd_models()


@pytest.mark.parametrize("name", ODD)
def test_models_we_do_not_batch_answer_by_their_own_generate(name: str) -> None:
    model, reason = ODD[name]
    assert reason in str(why_not_batched(model))
    told: dict[int, list[list[int]]] = {}
    found = generate(model, None, [[5, 6, 7], [9]], 8, done=told.__setitem__)
    assert found == [[alone(model, prompt, 8)] for prompt in ([5, 6, 7], [9])]
    assert told == dict(enumerate(found))


def test_their_samples_are_repeated_by_seed_and_leave_torchs_random_numbers_alone() -> None:
    model, _ = ODD["mamba"]
    before = torch.get_rng_state()
    how: dict[str, Any] = {"temperature": 1.0, "samples": 3}
    one, again, other = (generate(model, None, [[5, 6], [9]], 8, seed=seed, **how) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert one == again != other
    assert len({tuple(answer) for answer in one[0]}) > 1
    assert generate(model, None, [[9]], 8, seed=1, **how) == one[1:]


def test_a_model_like_most_is_batched() -> None:
    model = build(LlamaConfig(**SIZES))
    assert why_not_batched(model) is None
    model.generation_config.num_beams = 1
    model.generation_config.min_length = 0
    assert why_not_batched(model) is None


def test_every_neutral_value_is_one_that_transformers_knows() -> None:
    from transformers import GenerationConfig

    known = GenerationConfig().to_dict()
    assert [name for name in module.NEUTRAL if name not in known] == []
