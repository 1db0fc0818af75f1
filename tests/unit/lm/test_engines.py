"""Both engines give a gate the same kinds of numbers. vLLM can't run here: a simulated module of its interface does."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tasks.errors import ModelError
from tasks.lm.engines import Engine, LocalEngine, VllmEngine
from tasks.lm.generate import prompt_ids
from tasks.lm.loading import load_model, load_tokenizer
from tasks.lm.packed import switch

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPTS = [[{"role": "user", "content": text}] for text in ("red", "what is the old red cup", "tea milk")]
ITEMS = [(PROMPTS[0], ["tea", "old milk"]), (PROMPTS[1], ["red", "blue cup", "red"]), (PROMPTS[2], ["no", "go away"])]


@pytest.fixture(scope="module")
def local(tiny_model: Path) -> LocalEngine:
    model = load_model(tiny_model, None, torch.float32, "cpu")
    assert switch(model) is None
    return LocalEngine(model, load_tokenizer(tiny_model), tokens=40, room=60)


def reference(folder: Path, conversation: Any, choice: str) -> tuple[float, int]:
    """A choice's summed log-probability, by a model that nothing was done to."""
    tokenizer, model = load_tokenizer(folder), AutoModelForCausalLM.from_pretrained(folder)
    prompt = prompt_ids(tokenizer, conversation)
    tokens = tokenizer(f"{choice} </s>", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logprobs = model(torch.tensor([prompt + tokens])).logits[0].log_softmax(-1)
    return float(sum(logprobs[len(prompt) - 1 + i, token] for i, token in enumerate(tokens))), len(tokens)


def assert_choices(found: list[list[tuple[float, int]]], folder: Path) -> None:
    for (conversation, choices), scored in zip(ITEMS, found, strict=True):
        for choice, (logprob, tokens) in zip(choices, scored, strict=True):
            right, count = reference(folder, conversation, choice)
            assert logprob == pytest.approx(right, abs=1e-4)
            assert tokens == count


# ---- ours


def test_ours_scores_choices_as_an_untouched_model_does(local: LocalEngine, tiny_model: Path) -> None:
    assert_choices(local.choice_logprobs(ITEMS), tiny_model)


def test_ours_answers_and_tells_the_words_along_an_answer(local: LocalEngine) -> None:
    answers = [one for (one,) in local.generate(PROMPTS, 6)]
    likeliest = local.likeliest(PROMPTS, answers, 4)
    for answer, (ids, logprobs) in zip(answers, likeliest, strict=True):
        assert ids.shape == logprobs.shape == (len(answer), 4)
        assert ids[:, 0].tolist() == answer, "a greedy answer is made of the likeliest words"
    again = local.logprobs_at(PROMPTS, answers, [ids for ids, _ in likeliest])
    for (_, logprobs), other in zip(likeliest, again, strict=True):
        np.testing.assert_allclose(logprobs, other, atol=1e-5)
    assert local.decode([*local.tokenizer("red cup")["input_ids"], 2]) == "red cup"


def test_settings_name_what_numbers_depend_on(local: LocalEngine, tiny_model: Path) -> None:
    settings = local.settings
    assert (settings.engine, settings.forward, settings.device, settings.dtype) == ("local", "packed", "cpu", "float32")
    assert dict(settings.versions)["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    other = LocalEngine(load_model(tiny_model, None, torch.float32, "cpu"), local.tokenizer, tokens=40, room=60)
    assert other.settings.forward == "own"
    assert other.settings.digest != settings.digest


# ---- vLLM, simulated


@dataclass
class SimulatedParams:
    """vLLM's SamplingParams, the fields that are used."""

    max_tokens: int
    temperature: float
    prompt_logprobs: int | None = None
    stop_token_ids: list[int] = field(default_factory=list)
    repetition_penalty: float = 1.0
    seed: int | None = None
    detokenize: bool = True


class SimulatedLLM:
    """vLLM's offline interface over a model of transformers."""

    def __init__(self, model: str, dtype: str, **options: Any) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(model)
        self.options = dtype, options

    def generate(self, prompts: list[dict[str, list[int]]], how: list[SimulatedParams], use_tqdm: bool) -> list[Any]:
        assert not use_tqdm
        return [self._one(prompt["prompt_token_ids"], one) for prompt, one in zip(prompts, how, strict=True)]

    @torch.no_grad()
    def _one(self, ids: list[int], how: SimulatedParams) -> Any:
        logprobs = self.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        known = None
        if how.prompt_logprobs is not None:
            # as vLLM gives them: nothing for the first token, and the likeliest words beside each token itself
            known = [None] + [
                {token: SimpleNamespace(logprob=float(logprobs[place, token]))} for place, token in enumerate(ids[1:])
            ]
        torch.manual_seed(how.seed or 0)
        out = self.model.generate(
            torch.tensor([ids]),
            do_sample=how.temperature > 0,
            max_new_tokens=how.max_tokens,
            repetition_penalty=how.repetition_penalty,
            eos_token_id=how.stop_token_ids,
            pad_token_id=0,
        )
        answer = SimpleNamespace(token_ids=tuple(out[0, len(ids) :].tolist()))
        return SimpleNamespace(prompt_logprobs=known, outputs=[answer])


@pytest.fixture
def simulated(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> VllmEngine:
    module = SimpleNamespace(LLM=SimulatedLLM, SamplingParams=SimulatedParams)
    monkeypatch.setitem(sys.modules, "vllm", module)  # pyright: ignore[reportArgumentType]
    return VllmEngine(tiny_model, seed=0)


def test_the_simulated_vllm_scores_choices_as_an_untouched_model_does(simulated: VllmEngine, tiny_model: Path) -> None:
    assert_choices(simulated.choice_logprobs(ITEMS), tiny_model)


def test_the_simulated_vllm_answers_greedily_as_ours_does(simulated: VllmEngine, local: LocalEngine) -> None:
    assert simulated.generate(PROMPTS, 6) == local.generate(PROMPTS, 6)
    assert simulated.generate(PROMPTS, 6, samples=2) == local.generate(PROMPTS, 6, samples=2)


def test_the_simulated_vllm_gets_a_seed_an_answer_of_the_prompt_and_sample_alone(simulated: VllmEngine) -> None:
    how: dict[str, Any] = {"samples": 3, "temperature": 1.0, "seed": 7}
    found = simulated.generate(PROMPTS, 8, **how)
    assert [len(answers) for answers in found] == [3, 3, 3]
    assert found == [simulated.generate([prompt], 8, **how)[0] for prompt in PROMPTS]
    assert found != simulated.generate(PROMPTS, 8, **how | {"seed": 8})
    assert len({tuple(answer) for answer in found[1]}) > 1


def test_vllm_says_that_it_cannot_measure_drift(simulated: VllmEngine) -> None:
    with pytest.raises(ModelError, match="log-probabilities of given words"):
        simulated.likeliest(PROMPTS, [[1]] * 3, 2)
    with pytest.raises(ModelError, match="leave the suite drift out"):
        simulated.logprobs_at(PROMPTS, [[1]] * 3, [np.zeros((1, 1), int)] * 3)


def test_vllm_that_is_not_installed_is_refused_with_what_to_do(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)  # what makes an import fail, installed or not
    with pytest.raises(ModelError, match=r"vllm isn't installed.*\n.*install vllm on a machine with a GPU"):
        VllmEngine(tiny_model)


def test_both_are_engines(local: LocalEngine, simulated: VllmEngine) -> None:
    engines: list[Engine] = [local, simulated]  # what the type checker proves
    assert [one.settings.engine for one in engines] == ["local", "vllm"]
