"""What all prompts begin with is computed once, and every choice scores as if it stood alone behind its prompt."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from tasks.lm import packed, shared_prefix
from tasks.lm.packed import UNDERSTOOD
from tasks.lm.shared_prefix import Beginning, branch_logprobs, common_length

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = 60
WINDOW = 5
SIZES: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
KINDS: dict[str, dict[str, Any]] = {kind: {} for kind in UNDERSTOOD} | {
    "mistral": {"sliding_window": WINDOW},
    "qwen3": {"sliding_window": WINDOW, "use_sliding_window": True, "max_window_layers": 1},
    "gemma2": {"sliding_window": WINDOW, "attn_logit_softcapping": 1.5, "final_logit_softcapping": 2.0},
}


def build(kind: str) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**SIZES | KINDS[kind])).eval()


def switched(kind: str) -> Any:
    model = build(kind)
    assert packed.switch(model) is None
    return model


MODELS = {kind: (build(kind), switched(kind)) for kind in KINDS}

token = st.integers(1, WORDS - 1)
own = st.lists(token, min_size=1, max_size=6).map(tuple)
choices = st.lists(own, min_size=1, max_size=4).map(tuple)
items = st.builds(
    lambda common, rest: [(tuple(common) + prompt, branches) for prompt, branches in rest],
    st.lists(token, max_size=9),
    st.lists(st.tuples(own, choices), min_size=1, max_size=4),
)


def alone(model: Any, prompt: tuple[int, ...], choice: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        logits = model(torch.tensor([prompt + choice])).logits[0].log_softmax(-1)
    return logits[len(prompt) - 1 : -1].gather(1, torch.tensor(choice)[:, None])[:, 0]


def assert_as_if_alone(found: list[list[torch.Tensor]], model: Any, items: list[Any]) -> None:
    for (prompt, branches), scored in zip(items, found, strict=True):
        for branch, logprobs in zip(branches, scored, strict=True):
            torch.testing.assert_close(logprobs, alone(model, prompt, branch), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@given(items=items)
@settings(max_examples=12, deadline=None)
def test_choices_score_as_if_each_stood_alone(kind: str, items: list[Any]) -> None:
    untouched, model = MODELS[kind]
    assert_as_if_alone(branch_logprobs(model, items), untouched, items)


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2"])
def test_items_longer_than_a_block_of_queries_score_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_prefix, "QUERIES", 7)
    untouched, model = MODELS[kind]
    begin = tuple(range(1, 17))
    items = [(begin + tuple(range(20, 20 + n)), ((3, 4, 5), tuple(range(30, 45)), (9,))) for n in (3, 23, 1)]
    assert_as_if_alone(branch_logprobs(model, items), untouched, items)


def test_the_beginning_is_computed_once_and_last_tokens_not_at_all() -> None:
    _, model = MODELS["llama"]
    items = [((1, 2, 3, 4, 5), ((6, 7, 8), (9,))), ((1, 2, 3, 8), ((5, 6),)), ((1, 2, 3, 4), ((7,),))]
    seen = []
    hook = model.get_input_embeddings().register_forward_pre_hook(lambda _, args: seen.append(args[0].tolist()))
    branch_logprobs(model, items)
    hook.remove()
    # beginning, then the rest of each prompt with its choices but their last tokens
    assert seen == [[[1, 2, 3, 4, 5, 6, 7, 8, 5, 4]]]


def test_an_items_numbers_do_not_change_when_another_items_text_does() -> None:
    _, model = MODELS["gemma2"]
    one = ((1, 2, 3, 4), ((5, 6), (7,)))
    pairs = [branch_logprobs(model, [other, one])[1] for other in (((1, 2, 9), ((8, 8),)), ((1, 2, 7), ((3, 3),)))]
    assert all(torch.equal(first, second) for first, second in zip(*pairs, strict=True))


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=5))
def test_the_common_length_is_what_all_begin_with_and_leaves_each_a_token(prefixes: list[list[int]]) -> None:
    length = common_length(prefixes)
    limit = min(map(len, prefixes)) - 1
    assert all(one[:length] == prefixes[0][:length] for one in prefixes)
    assert length == limit or len({one[length] for one in prefixes}) > 1


def test_nothing_is_scored_of_no_items() -> None:
    assert branch_logprobs(MODELS["llama"][1], []) == []


def test_the_model_attends_as_before_afterwards_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _, model = MODELS["llama"]
    branch_logprobs(model, [((1, 2), ((3,),))])
    assert packed.is_enabled(model)
    monkeypatch.setattr(packed, "backbone", lambda model: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        branch_logprobs(model, [((1, 2), ((3,),))])
    assert packed.is_enabled(model)


# ---- the accelerators' way, as far as a CPU can run it


def heads(layout: Any) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(1, count, layout.length, 8, generator=generator) for count in (4, 2, 2))


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("window", [None, 4])
def test_flex_attention_is_what_the_document_by_document_way_computes(
    window: int | None, cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers.integrations.flex_attention as integration
    from torch.nn.attention.flex_attention import flex_attention

    def uncompiled(*args: Any, training: bool = False, **kwargs: Any) -> Any:
        return flex_attention(*args, **kwargs)

    monkeypatch.setattr(integration, "compile_friendly_flex_attention", uncompiled)
    items = [((1, 2, 3, 4, 5), ((6, 7, 8), (9,))), ((1, 2, 3, 8), ((5, 6, 6, 6),)), ((1, 2, 3, 4), ((7,),))]
    beginning = Beginning(shared_prefix._lay_out(3, items))
    query, key, value = heads(beginning.layout)
    mask = beginning.block_mask(window)
    flexed = integration.flex_attention_forward(torch.nn.Module(), query, key, value, mask, scaling=0.3, softcap=cap)[0]
    ours, _ = shared_prefix.shared_attention(
        torch.nn.Module(), query, key, value, None, scaling=0.3, softcap=cap, sliding_window=window, beginning=beginning
    )
    torch.testing.assert_close(flexed, ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [None, 4])
def test_who_may_see_whom_is_the_beginning_and_ones_own(window: int | None) -> None:
    beginning = Beginning(shared_prefix._lay_out(2, [((1, 2, 3), ((5, 6), (7, 8))), ((1, 2, 4, 4), ((9, 9),))]))
    index = torch.arange(beginning.layout.length)
    seen = beginning.may_see(index[:, None], index[None, :], window)
    # tokens: 1 2 | 3, 5, 7 | 4 4, 9   at positions 0 1 | 2, 3, 3 | 2 3, 4
    rows = ["1", "11", "111", "1111", "11101", "11", "11", "11"]
    expected = torch.zeros(8, 8, dtype=torch.bool)
    for row, text in enumerate(rows):
        expected[row, : len(text)] = torch.tensor([letter == "1" for letter in text])
    expected[5, 5] = expected[6, 5:7] = expected[7, 5:8] = True
    if window is not None:
        positions = torch.tensor([0, 1, 2, 3, 3, 2, 3, 4])
        expected &= positions[:, None] - positions[None, :] < window
    assert seen.equal(expected)
