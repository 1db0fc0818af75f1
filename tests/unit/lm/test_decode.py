"""Rows decoded together give each prompt's own answer: what the model's own generate gives for it alone."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
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

from tasks.lm import decode, packed
from tasks.lm.cache import Rows, layers_of, shortest_window
from tasks.lm.decode import Decoder, How, draw, numbers_of
from tasks.lm.generate import generate

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = 60
ENDS = [50, 51, 52, 53, 54, 55, 56, 57, 58, 59]  # so many that answers end soon, and at different places
SIZES: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,  # large enough that what a token sees decides what comes next
    "eos_token_id": ENDS,
    "pad_token_id": 0,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=8),
    "mistral, window of 4": MistralConfig(**SIZES, sliding_window=4),
    "gemma2, window of 4": Gemma2Config(
        **SIZES, head_dim=8, sliding_window=4, attn_logit_softcapping=1.5, final_logit_softcapping=2.0
    ),
    "gpt2": GPT2Config(
        vocab_size=WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3, eos_token_id=ENDS
    ),
    "gpt_oss, sinks": GptOssConfig(**SIZES, head_dim=8, sliding_window=4, num_local_experts=2, num_experts_per_tok=1),
}


def build(name: str, *, switched: bool = False) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]).eval()
    if switched:
        assert packed.switch(model) is None
    return model


MODELS = {name: build(name) for name in CONFIGS}
MODELS |= {
    f"{name}, packed": build(name, switched=True) for name in CONFIGS if packed.why_not_packed(MODELS[name]) is None
}

prompts_of_any_length = st.builds(
    lambda beginning, rest: [beginning + own for own in rest],
    st.one_of(st.just([]), st.lists(st.integers(1, 49), min_size=8, max_size=12)),
    st.lists(
        st.one_of(
            st.lists(st.integers(1, 49), min_size=1, max_size=1),
            st.lists(st.integers(1, 49), min_size=1, max_size=14),
        ),
        min_size=1,
        max_size=6,
    ),
)


def alone(model: Any, prompt: list[int], most: int) -> list[int]:
    """The reference: this prompt by itself, through the model's own generate."""
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=most, pad_token_id=0)
    return out[0, len(prompt) :].tolist()


def assert_answers(model: Any, prompt: list[int], found: list[int], most: int) -> None:
    """Token for token the reference's, up to a place where the two words are as likely as rounding can tell."""
    right = alone(model, prompt, most)
    if found == right:
        return
    place = next(i for i in range(most) if found[i : i + 1] != right[i : i + 1])
    with torch.no_grad():
        logits = model(torch.tensor([prompt + right[:place]])).logits[0, -1]
    assert abs(float(logits[found[place]] - logits[right[place]])) < 1e-4, (prompt, found, right)


def decoder(model: Any, ids: list[list[int]], most: int, tokens: int, **changes: Any) -> Decoder:
    how: dict[str, Any] = {"temperature": 0.0, "seed": 0, "samples": 1, "done": lambda place, answers: None} | changes
    return Decoder(model, ids, How(most, **how), tokens)


# ---- greedy


@pytest.mark.parametrize("name", MODELS)
@given(ids=prompts_of_any_length, most=st.sampled_from([1, 2, 9]), tokens=st.sampled_from([1, 40, 8192]))
@settings(max_examples=12, deadline=None)
def test_greedy_answers_are_those_of_each_prompt_alone(name: str, ids: list[list[int]], most: int, tokens: int) -> None:
    model = MODELS[name]
    with torch.inference_mode():
        found = decoder(model, ids, most, tokens).run()
    for prompt, (answer,) in zip(ids, found, strict=True):
        assert_answers(model, prompt, answer, most)


def test_an_answer_that_ends_at_once_is_its_end() -> None:
    model = build("llama")
    first = alone(model, [5, 6, 7], 1)
    model.generation_config.eos_token_id = first[0]  # one number, as most models have it
    assert generate(model, None, [[5, 6, 7]], 9) == [[first]]


def test_a_model_without_an_end_answers_to_the_limit() -> None:
    model = build("llama")
    model.generation_config.eos_token_id = None
    ((answer,),) = generate(model, None, [[5, 6, 7]], 20)
    assert len(answer) == 20
    assert answer == alone(model, [5, 6, 7], 20)


def test_a_repetition_penalty_of_the_model_holds_for_each_row() -> None:
    model = build("llama")
    model.generation_config.eos_token_id = None
    before = generate(model, None, [[5, 6, 7], [9]], 12)
    model.generation_config.repetition_penalty = 1.8
    found = generate(model, None, [[5, 6, 7], [9]], 12)
    assert found != before
    assert found == [[alone(model, prompt, 12)] for prompt in ([5, 6, 7], [9])]


# ---- how it is computed


def shapes_of(model: Any, module: Any, run: Any) -> list[tuple[int, ...]]:
    seen = []
    hook = module.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    with torch.inference_mode():
        run()
    hook.remove()
    return seen


def test_rows_that_ended_leave_and_waiting_prompts_take_their_place() -> None:
    model = build("llama")
    model.generation_config.eos_token_id = [*range(30, 60)]
    ids = [[n, n + 1, n + 2] for n in range(1, 28)]
    room = 8
    shapes = shapes_of(model, model.get_input_embeddings(), lambda: decoder(model, ids, 12, room * 15).run())
    joined = [rows for rows, width in shapes if width == 3]
    together = [rows for rows, width in shapes if width == 1]
    assert sum(joined) == len(ids), "each prompt is read once"
    assert joined[0] == room
    assert all(rows < room for rows in joined[1:]), "later ones take the place of rows that ended"
    assert max(together) <= room
    assert any(later < earlier for earlier, later in pairwise(together)), "rows that ended aren't computed any more"
    assert sum(together) + len(ids) == sum(len(answer) for (answer,) in generate(model, None, ids, 12, tokens=1))


def test_the_head_runs_at_the_last_position_only() -> None:
    model = build("llama")
    shapes = shapes_of(model, model.get_output_embeddings(), lambda: generate(model, None, [[1, 2, 3, 4], [5]], 4))
    assert {shape[1] for shape in shapes} == {1}


def test_what_all_prompts_begin_with_is_read_once() -> None:
    model = build("llama")
    beginning = [*range(1, 10)]
    ids = [[*beginning, 20, 21, 22], [*beginning, 30], [*beginning, 40, 41]]
    shapes = shapes_of(model, model.get_input_embeddings(), lambda: generate(model, None, ids, 4))
    assert shapes[:2] == [(1, 9), (3, 3)]
    assert all(width == 1 for _, width in shapes[2:])


def test_a_window_that_would_count_padding_has_the_beginning_read_with_each_prompt() -> None:
    model = MODELS["mistral, window of 4"]
    ids = [[*range(1, 12), 20, 21, 22], [*range(1, 12), 30]]
    shapes = shapes_of(model, model.get_input_embeddings(), lambda: generate(model, None, ids, 4))
    assert shapes[0] == (2, 14)
    assert shortest_window(model.config) == 4
    assert shortest_window(CONFIGS["llama"]) == float("inf")


@pytest.mark.parametrize("name", ["llama, packed", "gpt2", "qwen3"])
def test_rows_that_join_later_stand_behind_the_beginning_too(name: str) -> None:
    model = MODELS[name]
    ids = [[*range(1, 12), n, *range(1, 1 + n % 6)] for n in range(20, 44)]
    how: dict[str, Any] = {"temperature": 1.0, "seed": 3}
    found = generate(model, None, ids, 9, tokens=100, **how)
    assert found == [generate(model, None, [prompt], 9, **how)[0] for prompt in ids]


def test_samples_of_a_prompt_share_its_reading() -> None:
    model = build("llama")
    run = lambda: generate(model, None, [[1, 2, 3, 4], [5, 6]], 4, samples=3, temperature=1.0)  # noqa: E731
    shapes = shapes_of(model, model.get_input_embeddings(), run)
    assert shapes[0] == (2, 4)
    assert all(width == 1 for _, width in shapes[1:])
    assert shapes[1][0] <= 6


def test_keys_and_values_lie_where_they_were_allocated() -> None:
    model = build("llama")
    model.generation_config.eos_token_id = None
    one = decoder(model, [[1, 2], [3]], 12, 8192)
    places = []
    take = one._take

    def watch(logits: torch.Tensor, start: int) -> None:
        places.append([side.data_ptr() for layer in one.cache.layers for side in layer.sides])  # pyright: ignore
        take(logits, start)

    one._take = watch
    with torch.inference_mode():
        one.run()
    assert len(places) == 12
    assert all(there == places[0] for there in places)


def test_columns_move_to_the_left_when_room_runs_out_and_answers_stay_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "SLACK", 3)
    moves = []
    step = Rows.step

    def watch(self: Rows, begin: int) -> int:
        moves.append(step(self, begin))
        return moves[-1]

    monkeypatch.setattr(Rows, "step", watch)
    model = build("gemma2, window of 4", switched=True)
    model.generation_config.eos_token_id = [50, 51, 52]
    ids = [[n, *range(1, 1 + n % 5)] for n in range(1, 31)]
    found = generate(model, None, ids, 9, temperature=1.0, tokens=80)  # drawn ones end at different places
    assert any(moves)
    assert found == [generate(model, None, [prompt], 9, temperature=1.0)[0] for prompt in ids]


def test_a_finished_prompt_is_told_at_once_with_all_its_samples() -> None:
    model = build("llama")
    told: dict[int, list[list[int]]] = {}
    found = generate(model, None, [[1, 2], [3], [4, 5, 6]], 5, samples=2, temperature=1.0, done=told.__setitem__)
    assert told == dict(enumerate(found))


def test_layers_that_keep_a_state_or_anothers_keys_are_not_decoded_by_us() -> None:
    assert layers_of(CONFIGS["gemma2, window of 4"]) == 2
    from transformers import Gemma3nTextConfig, MambaConfig

    assert layers_of(MambaConfig(num_hidden_layers=2)) is None
    assert layers_of(Gemma3nTextConfig(num_hidden_layers=4, num_kv_shared_layers=2)) is None


# ---- sampled


def test_sampled_answers_are_repeated_by_their_seed_and_differ_by_seed_and_sample() -> None:
    model = MODELS["llama"]
    how: dict[str, Any] = {"temperature": 1.0, "samples": 4}
    one, again, other = (generate(model, None, [[1, 2, 3], [4]], 8, seed=seed, **how) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert len({tuple(answer) for answer in one[0]}) > 1


@pytest.mark.parametrize("name", ["llama, packed", "gpt2", "gemma2, window of 4, packed"])
def test_a_sampled_answer_does_not_depend_on_what_is_generated_beside_it(name: str) -> None:
    model = MODELS[name]
    ids = [[n, *range(1, 1 + n % 7)] for n in range(1, 25)]
    how: dict[str, Any] = {"temperature": 1.3, "seed": 5, "samples": 2}
    together = generate(model, None, ids, 9, **how)
    assert together == [generate(model, None, [prompt], 9, **how)[0] for prompt in ids]
    assert together == generate(model, None, ids[::-1], 9, tokens=60, **how)[::-1]
    how["samples"] = 5
    more = generate(model, None, ids[:3], 9, **how)
    assert [answers[:2] for answers in more] == together[:3]


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_answers_are_drawn_from_the_models_distribution(temperature: float) -> None:
    """Both tokens of 6,000 answers, the second given the first, against the model's probabilities."""
    model = build("llama")
    model.generation_config.eos_token_id = None
    prompt, count = [3, 1, 4], 6000
    (answers,) = generate(model, None, [prompt], 2, temperature=temperature, samples=count, seed=11)
    seen = Counter(map(tuple, answers))

    def p_value(temperature: float) -> float:
        with torch.no_grad():
            first = (model(torch.tensor([prompt])).logits[0, -1] / temperature).double().softmax(-1)
            rows = torch.tensor([[*prompt, word] for word in range(WORDS)])
            second = (model(rows).logits[:, -1] / temperature).double().softmax(-1)
        expected = count * first[:, None] * second
        cells = [(seen[a, b], float(expected[a, b])) for a in range(WORDS) for b in range(WORDS)]
        common = [cell for cell in cells if cell[1] >= 5]
        rest = (count - sum(have for have, _ in common), count - sum(want for _, want in common))
        have, want = zip(*common, rest, strict=True)
        assert len(common) > 20
        return float(chisquare(have, want).pvalue)

    assert p_value(temperature) > 1e-3
    assert p_value(temperature * 1.15) < 1e-6, "another temperature's distribution is told apart"


def test_a_draw_takes_the_word_where_the_sum_of_probabilities_passes_the_number() -> None:
    logits = torch.tensor([[0.25, 0.0, 0.5, 0.25]]).log().repeat(5, 1)
    assert draw(logits, [0.0, 0.2499, 0.25, 0.7499, 0.9999999999999999]) == [0, 0, 2, 2, 3]


def test_random_numbers_are_of_seed_sample_and_prompt() -> None:
    keys = [(0, 0, [1, 2]), (1, 0, [1, 2]), (0, 1, [1, 2]), (0, 0, [1, 2, 3]), (0, 0, [12])]
    assert len({numbers_of(*key).random() for key in keys}) == len(keys)
    assert numbers_of(0, 0, [1, 2]).random() == numbers_of(0, 0, (1, 2)).random()
