"""The training program with methods that learn from their own answers: trained, resumed, and ended early."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from benchmarks.ppo_toy import make_model
from infra.events import parse
from infra.jsonl import dump_lines
from infra.settings import ROOT
from tasks.align import checkpoints
from tasks.align.online.build import part_size, rows_of
from tasks.align.program import Run, main
from tasks.align.rewards.verifiers import VERIFIERS
from tasks.align.trainer import Interrupted
from tasks.align.watch import Unhealthy
from tasks.errors import EngineError, ModelError, RewardError
from tasks.phases import METHODS, MODEL, NEED_TRUTH, Phase, RewardName
from tests.conftest import AskAfter, Never, training_spec

pytestmark = pytest.mark.usefixtures("one_thread")

ONLINE = [name for name, method in METHODS.items() if method.online]
# of both losses that are ours one in `make test`, with TRL's in `make test-slow`
SOME = [name if name in ("ppo", "online_dpo") else pytest.param(name, marks=pytest.mark.slow) for name in ONLINE]
STEPS, BATCH = 7, 4


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose words are digits."""
    return make_model(tmp_path_factory.mktemp("digits"), "12345678")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rng = random.Random(0)
    rows = [
        {
            "id": f"pair-{number}",
            "prompt": [{"role": "user", "content": " ".join(rng.choices("12345678", k=3))}],
            "chosen": [{"role": "assistant", "content": "1"}],
            "rejected": [{"role": "assistant", "content": "2"}],
            "truth": rng.randint(1, 8),
        }
        for number in range(STEPS * BATCH)
    ]
    (tmp_path / "pairs.jsonl").write_bytes(dump_lines(rows))
    return tmp_path / "pairs.jsonl"


@pytest.fixture
def spec(tmp_path: Path, digits: Path, pairs: Path) -> Any:
    """Makes the spec of a small training; ``phase`` changes its phase."""

    def make(name: str = "run", phase: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        small = {
            "method": "ppo", "reward": ["exact_number", "length_penalty"], "batch_size": BATCH, "group_size": 4,
            "max_new_tokens": 4, "epochs": 2, "learning_rate": 1e-2, "checkpoint_every": 50,
        } | (phase or {})  # fmt: skip
        return training_spec(tmp_path / name, digits, pairs, changes.pop("steps", STEPS), small, **changes)

    return make


def adapter(made: dict[str, Any]) -> bytes:
    return (Path(made["out"]) / "adapter_model.safetensors").read_bytes()


def told(text: str, event: str) -> list[dict[str, Any]]:
    return [found for line in text.splitlines() if (found := parse(line)) and found["event"] == event]


@pytest.mark.parametrize("method", ONLINE)
def test_every_method_trains_leaves_its_adapter_and_tells_what_its_seconds_went_into(
    method: str, spec: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    made = spec(phase={"method": method, "probe_every": 4, "probe_prompts": 4, "probe_tokens": 4})
    run = Run(made, Never())
    history = run.train()
    assert len(history) == STEPS
    weights = load_file(Path(made["out"]) / "adapter_model.safetensors")
    assert any(float(tensor.abs().sum()) > 0 for name, tensor in weights.items() if "lora_B" in name)
    assert not [name for name in weights if "value" in name]
    steps = told(capsys.readouterr().out, "metrics")
    for number, (step, kept) in enumerate(zip(steps, history, strict=True)):
        seconds = {part: step["values"][f"seconds_{part}"] for part in ("rollout", "reward", "values", "update")}
        assert seconds["update"] > 0
        assert (seconds["rollout"] > 0) == (number % 2 == 0)  # two epochs
        assert not [key for key in kept if "seconds" in key or "time" in key]
    assert history[0]["rewards_exact_number_mean"] > 0
    assert "probe_kl" in history[3]
    assert run.effort()["flops"] > 0


@pytest.mark.parametrize(
    ("method", "step"),
    [("ppo", 3), ("online_dpo", 3)]
    + [pytest.param(method, 3, marks=pytest.mark.slow) for method in ("grpo", "rloo")]
    + [pytest.param(method, 4, marks=pytest.mark.slow) for method in ONLINE],
)
def test_a_training_ended_between_two_steps_goes_on_to_the_same_bytes(method: str, step: int, spec: Any) -> None:
    whole, cut = spec("whole", {"method": method}), spec("cut", {"method": method})
    true = Run(whole, Never()).train()
    with pytest.raises(Interrupted):
        Run(cut, AskAfter(step - 1)).train()
    again = Run(cut, Never())
    assert again.found is not None
    assert again.found.step == step
    assert again.train() == true
    assert adapter(cut) == adapter(whole)


@pytest.mark.parametrize("method", [name for name, one in METHODS.items() if one.draws])
def test_where_vllm_is_asked_for_nothing_else_draws(method: str, spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)  # what makes an import fail, installed or not
    made = spec(phase={"method": method, "rollouts": "vllm"})
    if method == "reject":
        del made["phase"]["epochs"]
    with pytest.raises(EngineError, match="vLLM isn't installed"):
        Run(made, Never()).train()
    assert not Path(made["out"]).exists()


def test_full_training_goes_on_to_the_same_bytes_too(spec: Any) -> None:
    whole, cut = spec("whole", {"adapter": "full"}), spec("cut", {"adapter": "full"})
    true = Run(whole, Never()).train()
    with pytest.raises(Interrupted):
        Run(cut, AskAfter(2)).train()
    assert Run(cut, Never()).train() == true
    one, other = ((Path(made["out"]) / "model.safetensors").read_bytes() for made in (whole, cut))
    assert one == other


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bytes(spec: Any, tmp_path: Path) -> None:
    whole, cut = spec("whole", {"checkpoint_every": 3}), spec("cut", {"checkpoint_every": 3})
    Run(whole, Never()).train()
    process = start(cut, tmp_path / "cut")
    assert process.stdout is not None
    for line in process.stdout:
        if (event := parse(line)) and event["event"] == "metrics" and event["step"] >= 4:
            os.kill(process.pid, signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    again = start(cut, tmp_path / "cut")
    assert again.stdout is not None
    again.stdout.read()
    assert again.wait() == 0
    assert adapter(cut) == adapter(whole)
    config, other = ((Path(made["out"]) / "adapter_config.json").read_bytes() for made in (cut, whole))
    assert config == other  # written by another process, whose sets have another order


def start(made: dict[str, Any], folder: Path) -> "subprocess.Popen[str]":
    (folder / "spec.json").write_text(json.dumps(made))
    command = [sys.executable, "-m", "tasks.align.program", str(folder / "spec.json"), str(folder / "result.json")]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


@pytest.mark.parametrize("method", SOME)
def test_a_step_in_parts_is_the_step(method: str, spec: Any) -> None:
    phase = {"method": method, "reward": ["exact_number"]}
    whole = Run(spec("whole", phase, max_tokens=10_000), Never())
    parts = Run(spec("parts", phase, max_tokens=36), Never())
    parts_of = [one.trainer.args.gradient_accumulation_steps for one in (whole, parts)]
    assert parts_of == [1, 2 if METHODS[method].ranks else 4]  # a ranked prompt has two answers to train on, not four
    first, second = whole.train()[0], parts.train()[0]
    assert second["reward"] == first["reward"]
    assert second["loss"] == pytest.approx(first["loss"], abs=1e-5)
    assert second["grad_norm"] == pytest.approx(first["grad_norm"], rel=1e-3)


def test_parts_divide_the_step_and_hold_an_answer_at_least() -> None:
    assert [part_size(12, 10, tokens) for tokens in (1, 10, 29, 45, 60, 1000)] == [1, 1, 2, 4, 6, 12]


# ---- what ends it early ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ONLINE)
def test_a_row_without_the_truth_a_reward_needs_is_refused_by_its_id(method: str, spec: Any, pairs: Path) -> None:
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    del rows[5]["truth"]
    rows[7]["truth"] = None
    pairs.write_bytes(dump_lines(rows))
    with pytest.raises(RewardError, match=r"'exact_number'.*2 of 28 rows have none, pair-5 the first") as refused:
        Run(spec(phase={"method": method}), Never())
    assert "not_refused, length_penalty" in refused.value.do
    Run(spec("other", {"method": method, "reward": "length_penalty"}), Never())  # needs none


@pytest.mark.parametrize("method", ONLINE)
def test_a_prompt_longer_than_the_context_is_refused_by_its_id(method: str, spec: Any) -> None:
    with pytest.raises(ModelError, match=r"the prompt of pair-0 has 4 tokens.*answer of 13.*context.*16.*28 of 28"):
        Run(spec(phase={"method": method, "max_new_tokens": 13}), Never())
    Run(spec("other", {"method": method, "max_new_tokens": 12}), Never())


@pytest.mark.parametrize("method", SOME)
def test_a_reward_that_cant_be_given_ends_the_training_at_its_last_whole_step(
    method: str, spec: Any, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr("tasks.align.program.die_with_parent", lambda: None)
    monkeypatch.setattr("tasks.align.program.EndRequests", Never)
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    good = dump_lines(rows)
    rows[2 * BATCH + 1]["truth"] = "many"  # of the third rollout
    pairs.write_bytes(dump_lines(rows))
    made = spec(phase={"method": method})
    (tmp_path / "spec.json").write_text(json.dumps(made))
    with pytest.raises(SystemExit):
        main(str(tmp_path / "spec.json"), str(tmp_path / "result.json"))
    (stopped,) = told(capsys.readouterr().out, "stopped")
    assert stopped["kind"] == "refused"
    assert "'exact_number'" in stopped["what"]
    assert "the truth 'many' is no number" in stopped["what"]
    found = checkpoints.newest(Path(made["checkpoints"]), made["context"])
    assert found is not None
    assert found.step == 4
    # mended, it goes on as if nothing had been
    pairs.write_bytes(good)
    whole = spec("whole", {"method": method})
    assert Run(made, Never()).train() == Run(whole, Never()).train()
    assert adapter(made) == adapter(whole)


@pytest.mark.parametrize("method", ONLINE)
def test_answers_that_all_earn_the_same_for_long_end_the_training_and_say_so(method: str, spec: Any) -> None:
    limits = {"no_signal_window": 2}
    made = spec(phase={"method": method, "reward": ["length_penalty"], "health": limits, "checkpoint_every": 1})
    with pytest.raises(Unhealthy) as stopped:
        Run(made, Never()).train()
    assert stopped.value.stop.name == "no_signal"
    assert stopped.value.stop.step == 3  # the second rollout
    assert "all answers to a prompt earned the same, 0 on average" in stopped.value.stop.what
    found = checkpoints.newest(Path(made["checkpoints"]), made["context"])
    assert found is not None
    assert found.step == 2


# ---- the recipe ------------------------------------------------------------------------------------------------------


def test_the_recipes_rewards_are_those_of_the_table() -> None:
    names = set(RewardName.__args__)  # pyright: ignore[reportAttributeAccessIssue]
    assert names == {*VERIFIERS, MODEL}
    assert {name for name in VERIFIERS if VERIFIERS[name].truth} == NEED_TRUTH


@pytest.mark.parametrize(
    ("phase", "why"),
    [
        ({"method": "ppo"}, "learns from rewards: set reward"),
        ({"method": "dpo", "reward": ["not_refused"]}, "'dpo' ignores reward, which is for ppo, grpo, rloo"),
        ({"method": "grpo", "reward": ["not_refused"], "kl_target": 0.2}, "ignores kl_target, which is for ppo"),
        ({"method": "ppo", "reward": ["kindness"]}, "kindness"),
        ({"method": "ppo", "reward": ["safety", "safety"]}, "names one twice"),
        ({"method": "ppo", "reward": ["safety"], "reward_weights": [1, 2]}, "2 reward_weights for 1 rewards"),
        ({"method": "ppo", "reward": ["safety"], "lora": {"dropout": 0.1}}, "lora.dropout = 0.1 would blur"),
        ({"method": "ppo", "reward": ["safety"], "group_size": 1}, "group_size"),
        ({"method": "ppo", "reward": ["safety"], "packing": False}, "ignores packing"),
        ({"method": "rloo", "reward": ["safety"], "loss": "sigmoid"}, "one loss of its own"),
    ],
    ids=str,
)
def test_what_a_method_would_ignore_or_lacks_is_refused(phase: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Phase.model_validate({"max_steps": 3, **phase})


def test_truths_of_any_type_share_a_column() -> None:
    rows = rows_of([{"id": str(n), "prompt": [], "truth": t} for n, t in enumerate([1, "a", {"type": "object"}, None])])
    assert [row["truth"] for row in rows] == ["1", '"a"', '{"type": "object"}', None]
