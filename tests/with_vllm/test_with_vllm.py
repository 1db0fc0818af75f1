"""A real vLLM, on this machine's CPU: it answers as ours does, with the weights in hand, and trainings stay repeatable.

``make test-vllm``. What a CPU can't show: its kernels on accelerators, and several devices.
"""

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy.stats import chisquare
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from benchmarks.ppo_toy import make_model
from infra.events import parse
from infra.jsonl import dump_lines
from tasks.errors import ModelError
from tasks.lm.generate import generate
from tasks.lm.vllm_decoder import VllmDecoder
from tests.conftest import training_spec

pytestmark = [pytest.mark.vllm, pytest.mark.usefixtures("one_thread")]

WORDS, END = 64, 2
PROMPTS = [[random.Random(n).randrange(3, WORDS) for _ in range(3 + n)] for n in range(12)]


def made(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """A small model with heads as wide as vLLM's attention asks for."""
    torch.manual_seed(seed)
    given: dict[str, Any] = {
        "vocab_size": WORDS, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 128,
        "initializer_range": 0.3, "bos_token_id": 1, "eos_token_id": END, "pad_token_id": END,
    }  # fmt: skip
    LlamaForCausalLM(LlamaConfig(**given | changes)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("small"))


def loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return loaded(folder)


@pytest.fixture(scope="module")
def vllm(folder: Path, model: Any) -> VllmDecoder:
    return VllmDecoder(folder, model, 64)


def test_greedy_answers_are_ours(vllm: VllmDecoder, model: Any) -> None:
    vllm.take(model)
    ours = generate(model, None, PROMPTS, 24)
    assert vllm.generate(PROMPTS, 24) == ours


def test_they_end_where_the_models_generation_config_says(vllm: VllmDecoder, folder: Path, model: Any) -> None:
    ending = loaded(folder)
    often = Counter(token for (answer,) in generate(model, None, PROMPTS, 24) for token in answer).most_common(1)[0][0]
    ending.generation_config.eos_token_id = [END, often]
    vllm.take(ending)
    ours = generate(ending, None, PROMPTS, 24)
    assert vllm.generate(PROMPTS, 24) == ours
    short = [answer for (answer,) in ours if len(answer) < 24]
    assert short
    assert all(answer[-1] in (END, often) for answer in short)


def test_a_repetition_penalty_is_heard(vllm: VllmDecoder, folder: Path) -> None:
    careful = loaded(folder)
    careful.generation_config.repetition_penalty = 1.6
    vllm.take(careful)
    ours = generate(careful, None, PROMPTS, 24)
    assert vllm.generate(PROMPTS, 24) == ours != generate(loaded(folder), None, PROMPTS, 24)


def test_what_answers_are_the_weights_it_was_given_last(vllm: VllmDecoder, folder: Path, model: Any) -> None:
    adapter = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
    torch.manual_seed(1)
    adapted = get_peft_model(loaded(folder), adapter).eval()
    vllm.take(adapted)
    with_it = generate(adapted, None, PROMPTS, 24)
    assert vllm.generate(PROMPTS, 24) == with_it
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.mul_(-1)
    assert vllm.generate(PROMPTS, 24) == with_it, "nothing changes behind its back"
    vllm.take(adapted)
    other = generate(adapted, None, PROMPTS, 24)
    assert vllm.generate(PROMPTS, 24) == other != with_it
    vllm.take(model)
    assert vllm.generate(PROMPTS, 24) == generate(model, None, PROMPTS, 24)


def test_drawn_answers_depend_on_their_seed_prompt_and_number_alone(vllm: VllmDecoder, model: Any) -> None:
    vllm.take(model)
    drawn = vllm.generate(PROMPTS, 8, temperature=1.0, seed=3, samples=4)
    assert drawn == vllm.generate(PROMPTS, 8, temperature=1.0, seed=3, samples=4)
    assert drawn[5] == vllm.generate([PROMPTS[5]], 8, temperature=1.0, seed=3, samples=4)[0]
    assert [answers[:2] for answers in drawn] == vllm.generate(PROMPTS, 8, temperature=1.0, seed=3, samples=2)
    assert drawn != vllm.generate(PROMPTS, 8, temperature=1.0, seed=4, samples=4)
    assert all(len({tuple(answer) for answer in answers}) > 1 for answers in drawn), "a group's answers differ"


def test_they_are_drawn_with_the_models_probabilities(vllm: VllmDecoder, model: Any) -> None:
    vllm.take(model)
    prompt, temperature, count = PROMPTS[3], 1.5, 4000
    drawn = vllm.generate([prompt], 1, temperature=temperature, seed=0, samples=count)[0]
    seen = Counter(answer[0] for answer in drawn)
    with torch.no_grad():
        expected = (model(torch.tensor([prompt])).logits[0, -1] / temperature).softmax(-1).double() * count
    frequent = [word for word in range(WORDS) if expected[word] >= 5]
    rest = count - sum(float(expected[word]) for word in frequent)
    observed = [seen[word] for word in frequent] + [count - sum(seen[word] for word in frequent)]
    expectations = [float(expected[word]) for word in frequent] + [rest]
    assert len(frequent) > 5
    assert chisquare(observed, expectations, sum_check=False).pvalue > 1e-4


def test_the_processs_random_numbers_go_on_as_they_were(vllm: VllmDecoder, model: Any) -> None:
    random.seed(5)
    torch.manual_seed(5)
    expected = random.random(), torch.rand(3).tolist()
    random.seed(5)
    torch.manual_seed(5)
    vllm.take(model)
    vllm.generate(PROMPTS, 4, temperature=1.0, seed=0, samples=2)
    assert (random.random(), torch.rand(3).tolist()) == expected


def test_a_prompt_that_leaves_no_room_is_refused(vllm: VllmDecoder) -> None:
    with pytest.raises(ModelError, match="2 tokens longer than the 64"):
        vllm.generate([[5] * 60], 6)


def test_a_model_it_cant_run_is_refused_with_what_to_do(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from pathlib import Path; from transformers import AutoModelForCausalLM as A\n"
        "from tasks.lm.vllm_decoder import VllmDecoder; from tasks.errors import EngineError\n"
        "model = A.from_pretrained(sys.argv[1])\n"
        "try: VllmDecoder(Path(sys.argv[1]), model, 4096)\n"
        "except EngineError as error: print('REFUSED', error)\n"
    )
    made(tmp_path)  # it takes 128 tokens
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "REFUSED vLLM doesn't start with 'llama' and 4096 tokens" in told.stdout
    assert 'rollouts = "vllm" out' in told.stdout


# ---- trainings -----------------------------------------------------------------------------------------------------

METHODS = ("grpo", "rloo", "online_dpo", "ppo", "reject")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose words are digits, with heads as wide as vLLM's attention asks for."""
    folder = make_model(tmp_path_factory.mktemp("digits"), "12345678")
    words = LlamaConfig.from_pretrained(folder).vocab_size
    return made(folder, vocab_size=words)


def spec_of(folder: Path, digits: Path, method: str, **changes: Any) -> dict[str, Any]:
    folder.mkdir()
    rng = random.Random(0)
    rows = []
    for number in range(72):
        truth = rng.randint(1, 8)
        sides = {"chosen": str(truth), "rejected": str(truth % 8 + 1)}
        asked = [{"role": "user", "content": " ".join(rng.choices("12345678", k=3))}]
        said = {name: [{"role": "assistant", "content": text}] for name, text in sides.items()}
        rows.append({"id": f"pair-{number}", "prompt": asked, **said, "truth": truth})
    (folder / "pairs.jsonl").write_bytes(dump_lines(rows))
    drawn: dict[str, Any] = {"reward": ["exact_number"], "group_size": 8, "max_new_tokens": 2, "rollouts": "vllm"}
    if method == "reject":
        drawn |= {"group_size": 128, "draw_factor": 3.0, "temperature": 2.0}
    phase = {"method": method, "batch_size": 4, "learning_rate": 1e-2, "checkpoint_every": 2} | drawn | changes
    return training_spec(folder, digits, folder / "pairs.jsonl", 6, phase)


def train(spec: dict[str, Any], *, killed_after: int | None = None) -> list[dict[str, Any]]:
    """Run the program as a night does, in a process of its own; its events."""
    folder = Path(spec["out"]).parent
    (folder / "spec.json").write_text(json.dumps(spec))
    program = [sys.executable, "-m", "tasks.align.program", str(folder / "spec.json"), str(folder / "result.json")]
    events, steps = [], 0
    with (folder / "errors").open("w") as errors:  # an open stdin is what tells it that somebody waits
        child = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert child.stdout is not None
        for line in child.stdout:
            if (found := parse(line)) is None:
                continue
            events.append(found)
            steps += found["event"] == "metrics"
            if killed_after is not None and steps >= killed_after:
                child.kill()
                break
        child.stdout.close()
        code = child.wait()
    assert killed_after is not None or code == 0, (events[-1:], (folder / "errors").read_text()[-3000:])
    return events


def files(spec: dict[str, Any]) -> dict[str, bytes]:
    out = Path(spec["out"])
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_on_its_answers_and_killed_goes_on_to_the_same_bytes(
    method: str, digits: Path, tmp_path: Path
) -> None:
    whole = spec_of(tmp_path / "whole", digits, method)
    events = train(whole)
    assert {event["step"] for event in events if event["event"] == "metrics"} - {0} == set(range(1, 7))
    cut = spec_of(tmp_path / "cut", digits, method)
    train(cut, killed_after=4)
    assert not (tmp_path / "cut" / "result.json").exists()
    resumed = train(cut)
    assert [event for event in resumed if event["event"] == "log" and "resumed at step" in event["text"]]
    assert files(cut) == files(whole)
