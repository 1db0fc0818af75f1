"""On an accelerator: the packed forward is the model's own, kernels are compiled once, every method trains and resumes.

``make test-gpu``, on a machine with one. What a CPU can't show: FlexAttention forward and backward, TRL's Triton head
at packed positions, bf16, and that a resumed training still ends with the same weights.
"""

import itertools
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedTokenizerFast

from infra.jsonl import dump_lines, load_lines
from tasks.align.program import Run
from tasks.align.trainer import Interrupted
from tasks.lm import packed, plain, shared_prefix
from tasks.lm.generate import generate
from tasks.lm.plain import Branched
from tasks.phases import METHODS
from tests.conftest import CHAT_TEMPLATE, WORDS, AskAfter, Never, training_spec, write_pairs

pytestmark = pytest.mark.gpu

KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3": {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1},
    "gemma2": {"sliding_window": 9, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 4.0},
}
DEVICE = "cuda"
STEPS = 8


@pytest.fixture(scope="session", autouse=True)
def _accelerator() -> None:
    assert torch.cuda.is_available(), "make test-gpu needs an accelerator that PyTorch sees"
    torch.backends.cuda.matmul.allow_tf32 = False


def build(kind: str, words: int = 512, **changes: Any) -> Any:
    """A small model whose heads are as wide as Triton's attention kernels ask for."""
    common = {
        "vocab_size": words, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 2048,
        "initializer_range": 0.1, "pad_token_id": 2, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**common | KINDS[kind] | changes)).eval()


def items(count: int, seed: int, longest: int = 60) -> list[Branched]:
    rng = random.Random(seed)

    def some() -> list[int]:
        return [rng.randrange(3, 512) for _ in range(rng.randint(2, longest))]

    return [(some(), (some(), some())) for _ in range(count)]


def gap(one: Sequence[Sequence[torch.Tensor]], other: Sequence[Sequence[torch.Tensor]]) -> float:
    pairs = zip(itertools.chain(*one), itertools.chain(*other), strict=True)
    return max(float((left - right).abs().max()) for left, right in pairs)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the tests' words, with heads 32 wide, saved with its tokenizer."""
    folder = tmp_path_factory.mktemp("small")
    names = ["<unk>", "<s>", "</s>", "user", "assistant", "system", *dict.fromkeys([*WORDS, *"0123456789"])]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>",
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)  # fmt: skip
    build("llama", len(names)).save_pretrained(folder)
    return folder


# ---- the packed forward --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
def test_packed_log_probabilities_are_the_models_own(kind: str, record_property: Any) -> None:
    model = build(kind).to(DEVICE)
    given = items(7, seed=1)
    true = plain.branch_logprobs(model, given)
    assert packed.switch(model) is None
    found = gap(packed.branch_logprobs(model, given), true)
    shared = gap(shared_prefix.branch_logprobs(model, [([5, 6, 7, *prefix], rest) for prefix, rest in given]),
                 plain.branch_logprobs(model, [([5, 6, 7, *prefix], rest) for prefix, rest in given]))  # fmt: skip
    print(f"{kind}: packed {found:.2e}, shared beginning {shared:.2e} nats")
    record_property("gap", [found, shared])
    assert found < 2e-3
    assert shared < 2e-3


@pytest.mark.parametrize("kind", list(KINDS))
def test_under_a_trainings_autocast_too(kind: str) -> None:
    """fp32 weights, computed in bf16: rotary positions leave queries and keys in another format than values."""
    model, given = build(kind).to(DEVICE), items(7, seed=1)
    with torch.autocast(DEVICE, torch.bfloat16):
        true = plain.branch_logprobs(model, given)
        assert packed.switch(model) is None
        found = packed.branch_logprobs(model, given)
    ours, own = (torch.cat([*itertools.chain(*one)]) for one in (found, true))
    assert float((ours - own).abs().mean()) < packed.PROBE_TOLERANCE[torch.bfloat16]


@pytest.mark.parametrize("kind", list(KINDS))
def test_gradients_through_the_packed_forward_are_the_models_own(kind: str) -> None:
    given = items(5, seed=2)
    adapter = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    ours, true = (get_peft_model(build(kind), adapter).to(DEVICE) for _ in range(2))
    assert packed.switch(ours) is None
    packed_sum(ours, given).backward()
    plain_sum(true, given).backward()
    found, expected = ({n: p.grad for n, p in one.named_parameters() if p.grad is not None} for one in (ours, true))
    assert set(found) == set(expected) != set()
    worst = max(float((found[n] - expected[n]).norm() / expected[n].norm().clamp(min=1e-6)) for n in expected)
    print(f"{kind}: gradients differ by {worst:.2e}, relatively")
    assert worst < 1e-3


def packed_sum(model: Any, given: Sequence[Branched]) -> torch.Tensor:
    """Log-probabilities of all answers' tokens, added up, by one packed forward that keeps its graph."""
    layout = packed.lay_out([packed.Document(len(prefix), tuple(map(len, rest))) for prefix, rest in given])
    ids = torch.tensor([token for prefix, rest in given for part in (prefix, *rest) for token in part])
    sources, targets, _ = packed._predictions(layout)
    hidden = packed.hidden_states(model, ids.to(DEVICE), layout.to(torch.device(DEVICE)))
    return packed.score_positions(model, hidden[sources.to(DEVICE)], ids[targets].to(DEVICE)).log_probs.sum()


def plain_sum(model: Any, given: Sequence[Branched]) -> torch.Tensor:
    """The same a row at a time, by the model's own forward."""
    total = torch.zeros((), device=DEVICE)
    for prefix, rest in given:
        for answer in rest:
            row = torch.tensor([[*prefix, *answer]], device=DEVICE)
            logits = model(input_ids=row).logits[0, len(prefix) - 1 : -1].log_softmax(-1)
            total = total + logits.gather(1, row[0, len(prefix) :, None]).sum()
    return total


def test_kernels_are_compiled_a_few_times_whatever_the_lengths() -> None:
    from torch._dynamo.utils import counters

    model = build("llama").to(DEVICE).bfloat16()
    assert packed.switch(model) is None
    graphs, seconds = [], []
    for number in range(24):
        began = time.perf_counter()
        packed.branch_logprobs(model, items(3 + number % 5, seed=number, longest=40 + 3 * number))
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        graphs.append(counters["stats"]["unique_graphs"])
    print("graphs", graphs, "seconds", [round(one, 3) for one in seconds])
    assert graphs[-1] == graphs[5], "another length compiles again"


# ---- the training program ------------------------------------------------------------------------------------------


@pytest.fixture
def spec(tmp_path: Path, small: Path) -> Any:
    write_pairs(tmp_path / "source.jsonl", 8 * STEPS)
    rows = load_lines((tmp_path / "source.jsonl").read_bytes())
    kept = [{name: row[name] for name in ("id", "prompt", "chosen", "rejected")} | {"truth": 7} for row in rows]

    def make(name: str, phase: dict[str, Any], **changes: Any) -> dict[str, Any]:
        (tmp_path / "pairs.jsonl").write_bytes(dump_lines(kept))
        settings = {"batch_size": 8, "learning_rate": 5e-3, "checkpoint_every": 3} | phase
        return training_spec(tmp_path / name, small, tmp_path / "pairs.jsonl", STEPS, settings, **changes)

    return make


def phase_of(method: str) -> dict[str, Any]:
    if METHODS[method].online:
        return {"method": method, "reward": ["exact_number"], "group_size": 16, "max_new_tokens": 1, "epochs": 2}
    return {"method": method}


def weights(made: dict[str, Any]) -> dict[str, torch.Tensor]:
    (file,) = Path(made["out"]).glob("*.safetensors")
    return load_file(file)


CASES = [
    *((name, phase_of(name)) for name in METHODS),
    ("dora", {"adapter": "dora"}),
    ("rslora", {"adapter": "rslora"}),
    ("full", {"adapter": "full"}),
    ("recomputed", {"gradient_checkpointing": True}),
    ("probed", {"probe_every": 4, "probe_prompts": 4, "probe_tokens": 8, "learning_rate": 5e-4}),
]


@pytest.mark.parametrize(("name", "phase"), CASES, ids=[name for name, _ in CASES])
def test_a_training_ended_in_the_middle_goes_on_to_the_same_bytes(name: str, phase: dict[str, Any], spec: Any) -> None:
    whole, again, cut = (spec(one, phase) for one in ("whole", "again", "cut"))
    began = time.perf_counter()
    true = Run(whole, Never()).train()
    took = time.perf_counter() - began
    Run(again, Never()).train()
    with pytest.raises(Interrupted):
        Run(cut, AskAfter(5)).train()
    resumed = Run(cut, Never())
    assert resumed.found is not None
    resumed.train()
    one, twice, other = weights(whole), weights(again), weights(cut)
    off = [max(float((one[key].float() - found[key].float()).abs().max()) for key in one) for found in (twice, other)]
    losses = [round(step["loss"], 4) for step in true if "loss" in step]
    print(json.dumps({"case": name, "seconds": round(took, 2), "again": off[0], "resumed": off[1], "loss": losses}))
    assert off == [0.0, 0.0]
    assert getattr(resumed.trainer, "packed", True)


def test_packed_and_trls_own_forward_train_alike(spec: Any) -> None:
    losses = {}
    for packing in (True, False):
        made = spec(f"packing-{packing}", {"packing": packing})
        losses[packing] = [step["loss"] for step in Run(made, Never()).train()]
    print(losses)
    assert losses[True] == pytest.approx(losses[False], abs=2e-2)


def test_greedy_answers_are_those_of_the_cpu(small: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(small, dtype=torch.float32).eval()
    rng = random.Random(3)
    prompts = [[rng.randrange(3, 60) for _ in range(rng.randint(2, 40))] for _ in range(12)]
    true = generate(model, None, prompts, 24)
    found = generate(model.to(DEVICE), None, prompts, 24)
    same = sum(a == b for a, b in zip(true, found, strict=True))
    print(f"{same} of {len(prompts)} greedy answers are equal")
    assert same >= len(prompts) - 1  # a tie within rounding may turn one
