"""The packed forward against each architecture's own, one unpadded sequence at a time."""

import copy
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from tasks.lm import attention, flex, packed
from tasks.lm.attention import Attending, packed_attention
from tasks.lm.layout import Document, Layout, lay_out, may_see
from tasks.lm.packed import UNDERSTOOD, enable, hidden_states, score_positions, why_it_differs, why_not_packed

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = 97
WINDOW = 4
LAYERS = ["sliding_attention", "full_attention"]
# an option that isn't in its configuration is taken all the same, and does nothing
WINDOWED: dict[str, dict[str, Any]] = {
    "mistral": {},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 1},
    "qwen3": {"use_sliding_window": True, "max_window_layers": 1},
    # caps low enough to bend the scores of so small a model
    "gemma2": {"layer_types": LAYERS, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 4.0},
    "gemma3_text": {"layer_types": LAYERS},
    "smollm3": {"use_sliding_window": True, "no_rope_layer_interval": 2, "layer_types": LAYERS},
    "phi3": {},
}
PLAIN: dict[str, Any] = {"rtol": 1e-4, "atol": 3e-5}

# (prompt, answers): ragged, without a prompt, the same answer twice, one the other's beginning, one token, four choices
ITEMS = [(9, (7, 5)), (0, (4, 6)), (6, (0, 0)), (8, (0, 3)), (1, (1, 1)), (5, (2, 9, 1, 4))]
DOCUMENTS = [Document(prefix, branches) for prefix, branches in ITEMS]


def build(kind: str, **changes: Any) -> Any:
    """A tiny model with random weights, wide enough apart that attention decides about its output."""
    common = {
        "vocab_size": WORDS,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "head_dim": 8,
        "initializer_range": 0.2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if kind in WINDOWED:
        common |= {"sliding_window": WINDOW} | WINDOWED[kind]
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**common | changes)).eval()


def own(model: Any) -> Any:
    """The same weights, with transformers' eager attention."""
    other = copy.deepcopy(model)
    other.set_attn_implementation("eager")
    return other


def switched(kind: str, **changes: Any) -> Any:
    model = build(kind, **changes)
    enable(model)
    return model


def some_ids(layout: Layout, seed: int = 0) -> torch.Tensor:
    return torch.randint(3, WORDS, (layout.length,), generator=torch.Generator().manual_seed(seed))


def sequences(layout: Layout) -> list[torch.Tensor]:
    """Where the tokens of every branch's own sequence stand in the packed one."""
    found = []
    for number, one in enumerate(layout.documents):
        mine = layout.document == number
        for branch in range(1, len(one.branches) + 1):
            at = (mine & ((layout.branch == 0) | (layout.branch == branch))).nonzero()[:, 0]
            found.append(at)
    return found


def packed_scores(model: Any, ids: torch.Tensor, layout: Layout) -> list[torch.Tensor]:
    """Every sequence's next-token log-probabilities out of one packed forward."""
    hidden = hidden_states(model, ids, layout)
    return [score_positions(model, hidden[at[:-1]], ids[at[1:]]).log_probs for at in sequences(layout)]


def own_scores(model: Any, ids: torch.Tensor, layout: Layout) -> list[torch.Tensor]:
    """The same, each sequence alone through the model's own forward."""
    found = []
    for at in sequences(layout):
        row = ids[at]
        logits = model(input_ids=row[None], use_cache=False).logits[0, :-1].float()
        found.append(logits.log_softmax(-1).gather(1, row[1:, None])[:, 0])
    return found


def weighed(scores: list[torch.Tensor]) -> torch.Tensor:
    """A loss in which every token counts differently."""
    every = torch.cat(scores)
    return (every * torch.linspace(-1, 2, len(every))).sum() / len(every)


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


# ---- the same numbers as the model's own forward


@pytest.mark.parametrize("kind", UNDERSTOOD)
def test_log_probabilities_and_gradients_are_those_of_every_sequence_alone(kind: str) -> None:
    model = build(kind)
    plain = own(model)
    assert why_not_packed(model) is None
    enable(model)
    assert why_it_differs(model) is None
    layout = lay_out(DOCUMENTS)
    ids = some_ids(layout)
    ours, theirs = packed_scores(model, ids, layout), own_scores(plain, ids, layout)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, **PLAIN)
    found, expected = gradients(model, weighed(ours)), gradients(plain, weighed(theirs))
    assert found.keys() == expected.keys()
    largest = max(float(one.abs().max()) for one in expected.values())
    for name, one in expected.items():
        torch.testing.assert_close(
            found[name], one, rtol=1e-3, atol=1e-5 * largest, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("kind", WINDOWED)
def test_a_sliding_window_shorter_than_the_sequence_is_counted(kind: str) -> None:
    layout = lay_out(DOCUMENTS)
    ids = some_ids(layout)
    short, lifted = (
        torch.cat(packed_scores(switched(kind, sliding_window=window), ids, layout)) for window in (WINDOW, 1000)
    )
    assert (short - lifted).abs().max() > 0.01
    torch.testing.assert_close(
        lifted, torch.cat(own_scores(own(build(kind, sliding_window=1000)), ids, layout)), **PLAIN
    )


@pytest.mark.parametrize("window", [1, 2, 5, 6, 14, 15, 16, 17])
def test_a_window_of_any_length_is_the_models_own(window: int) -> None:
    model = build("mistral", sliding_window=window)
    plain, layout = own(model), lay_out([Document(9, (7, 5))])
    enable(model)
    ids = some_ids(layout)
    torch.testing.assert_close(
        torch.cat(packed_scores(model, ids, layout)), torch.cat(own_scores(plain, ids, layout)), **PLAIN
    )


@pytest.mark.parametrize("kind", UNDERSTOOD)
def test_called_without_a_layout_a_switched_model_computes_and_generates_as_before(kind: str) -> None:
    model = build(kind)
    plain = own(model)
    enable(model)
    ids = torch.randint(3, WORDS, (2, 14), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, :6] = 0  # padding on the left
    with torch.no_grad():
        for attention_mask in (None, mask):
            ours, theirs = (one(input_ids=ids, attention_mask=attention_mask).logits for one in (model, plain))
            seen = slice(None) if attention_mask is None else mask.bool()
            torch.testing.assert_close(ours[seen], theirs[seen], **PLAIN)
            # token by token, from the cache
            written = [
                one.generate(
                    input_ids=ids,
                    attention_mask=attention_mask,
                    max_new_tokens=9,
                    min_new_tokens=9,
                    do_sample=False,
                    output_logits=True,
                    return_dict_in_generate=True,
                ).logits
                for one in (model, plain)
            ]
            torch.testing.assert_close(*written, **PLAIN)


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gemma3_text"])
def test_bfloat16_is_as_near_to_float32_as_the_models_own_forward(kind: str) -> None:
    layout = lay_out(DOCUMENTS)
    ids = some_ids(layout)
    exact = torch.cat(own_scores(own(build(kind)), ids, layout))
    half = build(kind).bfloat16()
    theirs = torch.cat(own_scores(own(half), ids, layout))
    enable(half)
    assert why_it_differs(half) is None
    with torch.no_grad():
        ours = torch.cat(packed_scores(half, ids, layout))
    assert ours.dtype == torch.float32
    assert (ours - exact).abs().mean() < 1.5 * (theirs - exact).abs().mean() + 0.01


@pytest.mark.parametrize("kind", ["llama", "gemma2", "mistral"])
def test_gradient_checkpointing_changes_no_gradient(kind: str) -> None:
    layout = lay_out(DOCUMENTS)
    ids = some_ids(layout)
    model = switched(kind).train()
    without = gradients(model, weighed(packed_scores(model, ids, layout)))
    for reentrant in (False, True):
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        model.enable_input_require_grads()
        found = gradients(model, weighed(packed_scores(model, ids, layout)))
        assert found.keys() == without.keys()
        for name, one in without.items():
            torch.testing.assert_close(found[name], one, rtol=1e-5, atol=1e-7)


def test_log_probabilities_of_answers_are_those_behind_their_prompt_alone() -> None:
    model = build("llama")
    plain = own(model)
    enable(model)
    pairs = [([5, 6, 7], [8, 9], [10]), ([], [11, 12, 13], [14, 15]), ([5], [6, 7], [6, 7]), ([4, 5], [6], [])]
    items = [(prompt, answers) for prompt, *answers in pairs]
    for found, (prompt, *answers) in zip(packed.branch_logprobs(model, items), pairs, strict=True):
        for ours, answer in zip(found, answers, strict=True):
            row = torch.tensor([*prompt, *answer])
            with torch.no_grad():
                every = plain(input_ids=row[None]).logits[0, :-1].float().log_softmax(-1)
            # behind no prompt, an answer's first token is predicted by nothing
            theirs = every.gather(1, row[1:, None])[max(len(prompt) - 1, 0) :].sum()
            assert float(ours.sum()) == pytest.approx(float(theirs), rel=1e-4, abs=1e-5)


# ---- what a branch may know


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2", "gemma3_text", "smollm3"])
def test_a_changed_token_changes_its_own_branch_behind_it_and_not_one_bit_elsewhere(kind: str) -> None:
    layout = lay_out([Document(4, (5, 3)), Document(0, (3, 4)), Document(3, (2, 1, 3))])
    model, ids = switched(kind), some_ids(layout)
    places = list(zip(layout.document.tolist(), layout.branch.tolist(), layout.positions.tolist(), strict=True))
    with torch.no_grad():
        before = hidden_states(model, ids, layout)
        for changed, (document, branch, position) in enumerate(places):
            other = ids.clone()
            other[changed] = 3 + (ids[changed] - 2) % (WORDS - 3)
            differs = (hidden_states(model, other, layout) != before).any(1)
            reachable = torch.tensor([d == document and branch in (0, b) and p >= position for d, b, p in places])
            assert not differs[~reachable].any(), (changed, differs.nonzero())
            # two layers reach twice as far as a window does
            near = torch.tensor([p - position < WINDOW for _, _, p in places])
            assert differs[reachable & near].all(), changed


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2"])
def test_a_branchs_gradient_stays_in_its_own_sequence(kind: str) -> None:
    layout = lay_out([Document(4, (5, 3)), Document(3, (2, 4))])
    model, ids = switched(kind), some_ids(layout)
    embedded: list[torch.Tensor] = []
    model.get_input_embeddings().register_forward_hook(lambda _, __, out: embedded.append(out))
    scores = packed_scores(model, ids, layout)
    inside = sequences(layout)
    for mine, at in zip(scores, inside, strict=True):
        (gradient,) = torch.autograd.grad(mine[-1], embedded[0], retain_graph=True)
        reached = (gradient[0] != 0).any(1)
        others = torch.ones(layout.length, dtype=torch.bool)
        others[at] = False
        assert not reached[others].any()
        assert not reached[at[-1]], "a token's own embedding predicts only what comes behind it"
        assert reached[at[-WINDOW:-1]].all()


# ---- attention alone


def heads(layout: Layout, width: int = 8, seed: int = 0) -> Any:
    """Queries of four heads, keys and values of two."""
    numbers = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(1, count, layout.length, width, generator=numbers) for count in (4, 2, 2))


def attended(sides: Any, **options: Any) -> torch.Tensor:
    query, key, value = sides
    return packed_attention(torch.nn.Module(), query, key, value, None, **options)[0]


def slowly(layout: Layout, sides: Any, window: int | None, cap: float | None) -> torch.Tensor:
    """Attention under the dense mask, in float64."""
    query, key, value = (one.double().repeat_interleave(4 // one.shape[1], 1) for one in sides)
    index = torch.arange(layout.length)
    scores = query @ key.transpose(2, 3) * 0.3
    if cap is not None:
        scores = cap * torch.tanh(scores / cap)
    seen = may_see(layout, index[:, None], index[None, :], window)
    return (scores.masked_fill(~seen, float("-inf")).softmax(-1) @ value).transpose(1, 2)


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("window", [None, 1, 3, 50])
def test_attention_document_by_document_is_attention_under_the_whole_mask(
    window: int | None, cap: float | None
) -> None:
    layout = lay_out(DOCUMENTS)
    sides: Any = tuple(one.requires_grad_() for one in heads(layout))
    out = attended(sides, scaling=0.3, sliding_window=window, softcap=cap, attending=Attending(layout))
    slow = slowly(layout, sides, window, cap)
    torch.testing.assert_close(out.double(), slow, rtol=1e-5, atol=1e-5)
    counts = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad((out * counts).sum(), sides)
    expected = torch.autograd.grad((slow * counts).sum(), sides)
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("window", [None, 3])
def test_flex_attention_is_what_the_document_by_document_way_computes(
    window: int | None, cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FlexAttention has no backward pass on a CPU, so the accelerators' way is checked forward, and uncompiled."""
    import transformers.integrations.flex_attention as integration
    from torch.nn.attention.flex_attention import flex_attention

    def uncompiled(*args: Any, training: bool = False, **kwargs: Any) -> Any:
        return flex_attention(*args, **kwargs)

    monkeypatch.setattr(integration, "compile_friendly_flex_attention", uncompiled)
    layout = lay_out(DOCUMENTS)
    sides: Any = heads(layout)
    options: dict[str, Any] = {"scaling": 0.3, "sliding_window": window, "softcap": cap, "attending": Attending(layout)}
    query, key, value = sides
    mask = Attending(layout).block_mask(window)
    flexed = flex.attend(torch.nn.Module(), query, key, value, mask, options["scaling"], options["softcap"])
    torch.testing.assert_close(flexed, attended(sides, **options), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("autocast", [True, False])
def test_the_attention_kernel_gets_queries_keys_and_values_in_one_format(
    autocast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotary positions leave an fp32 model's queries and keys in fp32 where autocast makes its values bf16."""
    import transformers.integrations.flex_attention as integration

    formats = []

    def kernel(_module: Any, *sides: torch.Tensor, **_: Any) -> tuple[torch.Tensor, None]:
        formats.append([one.dtype for one in sides[:3]])
        return sides[2].transpose(1, 2), None

    monkeypatch.setattr(integration, "flex_attention_forward", kernel)
    query, key, value = heads(lay_out(DOCUMENTS))
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        flex.attend(torch.nn.Module(), query, key, value.bfloat16(), None, None, None)
        flex.attend(torch.nn.Module(), query, key, value, None, None, None)
    mixed, same = formats
    assert mixed == [torch.bfloat16] * 3
    assert same == [torch.bfloat16 if autocast else torch.float32] * 3


@pytest.mark.parametrize("window", [None, 5, 200])
def test_the_block_mask_of_flex_attention_is_who_may_see_whom(window: int | None) -> None:
    layout = lay_out([Document(150, (40, 130)), Document(0, (3, 60)), Document(90, (0, 20))])
    mask = Attending(layout).block_mask(window)
    index = torch.arange(layout.length)
    seen = may_see(layout, index[:, None], index[None, :], window)
    assert mask.mask_mod(None, None, index[:, None], index[None, :]).equal(seen)
    # blocks that are left out hold nothing to see, blocks without a mask nothing hidden
    size, _ = mask.BLOCK_SIZE
    blocks = -(-layout.length // size)
    partial, full = (
        {(row, int(column)) for row in range(blocks) for column in indices[0, 0, row, : int(counts[0, 0, row])]}
        for indices, counts in ((mask.kv_indices, mask.kv_num_blocks), (mask.full_kv_indices, mask.full_kv_num_blocks))
    )
    assert not partial & full
    for row in range(blocks):
        for column in range(blocks):
            block = seen[row * size : (row + 1) * size, column * size : (column + 1) * size]
            assert block.any() == ((row, column) in partial | full)
            assert (row, column) not in full or block.all()


def test_masks_are_made_once_and_only_where_causal_attention_will_not_do() -> None:
    layout = lay_out([Document(4, (3, 2))])
    attending = Attending(layout)
    (one,) = layout.documents
    assert attending.branch_mask(0, one, 0, None) is None
    assert attending.branch_mask(0, one, 0, 7) is None, "the window is as long as the longest sequence"
    assert attending.branch_mask(0, one, 0, 6) is not None
    assert attending.branch_mask(0, one, 1, None) is attending.branch_mask(0, one, 1, 99)
    assert attending.block_mask(3) is attending.block_mask(3)


# ---- what isn't understood


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gpt2", {}),
        ("gpt_oss", {"num_local_experts": 2, "num_experts_per_tok": 1}),
        ("mamba", {"state_size": 4}),
        ("granite", {"logits_scaling": 8.0}),
        ("gpt_neox", {}),
    ],
)
def test_an_architecture_that_was_not_checked_is_refused_by_name(kind: str, changes: dict[str, Any]) -> None:
    reason = why_not_packed(build(kind, **changes))
    assert reason is not None
    assert repr(kind) in reason


def test_a_factor_of_the_head_attention_dropout_and_learned_prompts_are_refused() -> None:
    from peft import PromptTuningConfig, get_peft_model

    assert "scales logits" in str(why_not_packed(build("llama", logits_scaling=8.0)))
    model = build("llama", attention_dropout=0.1)
    for training in (True, False):  # packed before it is trained, and in evaluation mode by then
        assert "dropout" in str(why_not_packed(model.train(training)))
    prompted: Any = get_peft_model(build("llama"), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    assert "learned prompt" in str(why_not_packed(prompted))


def test_attention_that_is_not_what_the_model_means_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = switched("llama").train()
    assert why_it_differs(model) is None
    assert model.training, "the model's mode is left as it was"
    right = attention._by_document
    for wrong in (
        lambda *args: right(*args) * 1.1,
        # branches see each other: one long document
        lambda attending, *args: right(Attending(lay_out([Document(attending.layout.length, (0,))])), *args),
        # the prefix is forgotten
        lambda attending, *args: right(
            Attending(lay_out([Document(0, (one.prefix, *one.branches)) for one in attending.layout.documents])), *args
        ),
        lambda *args: right(*args) * float("nan"),
    ):
        monkeypatch.setattr(attention, "_by_document", wrong)
        assert "nats a token" in str(why_it_differs(model))
    assert model.training


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_under_autocast_it_is_compared_by_autocasts_own_tolerance(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = switched(kind)
    monkeypatch.setattr(packed, "PROBE_TOLERANCE", {torch.float32: 1e-5, torch.bfloat16: 0.15})
    assert why_it_differs(model) is None
    with torch.autocast("cpu", torch.bfloat16):
        assert why_it_differs(model) is None
    monkeypatch.setattr(packed, "PROBE_TOLERANCE", {torch.float32: 0.15, torch.bfloat16: -1.0})
    with torch.autocast("cpu", torch.bfloat16):
        assert "nats a token" in str(why_it_differs(model))


def test_positions_that_do_not_start_again_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = switched("llama")

    def consecutive(some: Any) -> Layout:
        one = lay_out(some)
        return Layout(one.documents, torch.arange(one.length), one.document, one.branch)

    monkeypatch.setattr(packed, "lay_out", consecutive)
    assert "nats a token" in str(why_it_differs(model))
