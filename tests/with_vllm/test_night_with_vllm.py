"""A whole night in which a real vLLM draws the rollouts and answers for the gate, beside the same night by ours."""

from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from flows.initial import init_recipe
from tests.conftest import RECIPE, write_pairs
from tests.flows.test_nightly import run, steps

pytestmark = [pytest.mark.vllm, pytest.mark.usefixtures("prefect_server")]

DRAWN = 'method="rloo", reward=["not_refused", "length_penalty"], group_size=4, max_new_tokens=12, max_steps=8'
LIMITS = "{ margin = 0.4, budget = 0.8 }"
DRIFT = f"gate.drift={{ max_length_ratio = 20.0, length = {LIMITS}, repetition = {LIMITS}, kl = {LIMITS} }}"


@pytest.fixture
def started(home: Path, tiny_model: Path, tiny_suites: Path) -> Path:
    """The tests' small recipe, with a model whose heads are as wide as vLLM's attention asks for."""
    model = home / "wide"
    model.mkdir()
    for file in tiny_model.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    config = LlamaConfig.from_pretrained(tiny_model, head_dim=32)
    LlamaForCausalLM(config).save_pretrained(model)
    write_pairs(home / "pairs.jsonl", 420)
    recipe = home / "tiny.toml"
    recipe.write_text(RECIPE.format(pairs=home / "pairs.jsonl", model=model, suites=tiny_suites))
    init_recipe(str(recipe), once=False)
    return recipe


def phase(rollouts: str) -> str:
    return f'phase=[{{{DRAWN}, batch_size=8, learning_rate=5e-3, probe_every=0, rollouts="{rollouts}"}}]'


def test_vllm_draws_the_rollouts_and_answers_for_the_gate(started: Path) -> None:
    ours = run(started, phase("vllm"), DRIFT)
    assert ours["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE"), ours["reason"]
    theirs = run(started, phase("vllm"), DRIFT, 'gate.engine="vllm"')
    assert theirs["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE"), theirs["reason"]
    assert steps(theirs)["align"]  # the same candidate
    assert not steps(theirs)["score"]  # scored anew: numbers of another engine are other numbers
    assert deltas(theirs) == pytest.approx(deltas(ours), abs=1e-4)  # greedy answers are the same ones
    assert any(name.startswith("drift") for name in deltas(ours))
    assert not steps(run(started, phase("own"), DRIFT))["align"]  # other answers are drawn: another candidate


def deltas(summary: dict[str, Any]) -> dict[str, float]:
    return {suite["name"]: suite["delta"] for suite in summary["suites"]}
