"""The training program with method "reject": the model's own best answers, drawn, chosen, trained on, and killed."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.rewards_toy import best_of_n, in_full, make_model, mean_reward, prompts
from infra.events import parse
from infra.jsonl import dump_lines
from tasks.align.program import Run, main
from tasks.align.reject.kept import FILE
from tasks.align.trainer import Interrupted
from tasks.align.watch import Unhealthy
from tasks.errors import ModelError, RewardError
from tasks.phases import Phase
from tests.conftest import AskAfter, Never, training_spec
from tests.unit.align.online.test_program import adapter, start, told

pytestmark = pytest.mark.usefixtures("one_thread")

BATCH = 8


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose words are digits."""
    return make_model(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    (tmp_path / "pairs.jsonl").write_bytes(dump_lines(prompts(160)))
    return tmp_path / "pairs.jsonl"


@pytest.fixture
def spec(tmp_path: Path, digits: Path, pairs: Path) -> Any:
    def make(name: str = "run", phase: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        small = {
            "method": "reject", "reward": "exact_number", "batch_size": BATCH, "group_size": 16, "max_new_tokens": 4,
            "learning_rate": 1e-2, "checkpoint_every": 50,
        } | (phase or {})  # fmt: skip
        return training_spec(tmp_path / name, digits, pairs, changes.pop("steps", 6), small, **changes)

    return make


@pytest.mark.parametrize("train_as", ["sft", "dpo"])
def test_training_on_the_best_of_its_answers_raises_the_mean_reward(
    train_as: str, spec: Any, digits: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs.write_bytes(dump_lines(prompts(320)))
    made = spec(phase=best_of_n(train_as), steps=20)
    run = Run(made, Never())
    history = run.train()
    before, after = mean_reward(digits), mean_reward(in_full(digits, run, tmp_path / "trained"))
    assert len(history) == run.steps > 10
    assert before < 0.15
    assert after > 0.45
    # what was drawn is beside it, and told
    lines = [json.loads(line) for line in (Path(made["out"]) / "drawn.jsonl").read_text().splitlines()]
    counts = run.told["drawn"]
    assert len(lines) == counts["drawn_prompts"] <= 320
    assert counts["drawn_answers"] == 16 * len(lines)
    assert counts["drawn_tokens"] <= counts["drawn_answers"] * 4
    assert sum(line["why"] == "no signal" for line in lines) == counts["drawn_no_signal"]
    marked = [answer for line in lines for answer in line["answers"] if answer["kept"] == "chosen"]
    assert {(answer["reward"], answer["ended"]) for answer in marked} == {(1.0, True)}
    out = capsys.readouterr().out
    (first,) = [event["values"] for event in told(out, "metrics") if "drawn_rows" in event["values"]]
    assert first == counts
    assert any("rows found" in event["what"] for event in told(out, "progress"))


def test_it_trains_as_the_phase_it_stands_for(spec: Any) -> None:
    for train_as, method in (("sft", "sft"), ("dpo", "dpo")):
        run = Run(spec(train_as, {"train_as": train_as, "lora": {"r": 4}, "health": {"max_kl": 0.25}}), Never())
        assert (run.phase.method, run.phase.reward) == (method, ())
        assert (run.phase.lora.r, run.phase.health.max_kl, run.phase.batch_size) == (4, 0.25, BATCH)
        assert ("rejected" in run.pairs[0]) == (train_as == "dpo")
    packed = Run(spec("packed", {"train_as": "dpo", "beta": 0.7, "max_tokens": 50}), Never())
    assert (packed.phase.beta, packed.phase.max_tokens, packed.trainer.packed) == (0.7, 50, True)


@pytest.mark.parametrize("train_as", ["sft", pytest.param("dpo", marks=pytest.mark.slow)])
def test_ended_while_it_draws_or_trains_it_goes_on_to_the_same_bytes(train_as: str, spec: Any) -> None:
    phase = {"train_as": train_as}
    whole, early, late = (spec(name, phase) for name in ("whole", "early", "late"))
    history = Run(whole, Never()).train()
    with pytest.raises(Interrupted, match=r"the answers to \d+ of 160 prompts are kept"):
        Run(early, AskAfter(2))
    kept = (Path(early["checkpoints"]) / FILE).read_bytes()
    again = Run(early, Never())
    assert (Path(early["checkpoints"]) / FILE).read_bytes().startswith(kept)
    assert again.train() == history
    rounds = len((Path(late["checkpoints"]).parent.parent / "whole" / "checkpoints" / FILE).read_bytes().splitlines())
    with pytest.raises(Interrupted):
        Run(late, AskAfter(rounds + 3)).train()
    third = Run(late, Never())
    assert third.found is not None
    assert 0 < third.found.step < third.steps
    assert third.train() == history
    for made in (early, late):
        assert adapter(made) == adapter(whole)
        assert (Path(made["out"]) / "drawn.jsonl").read_bytes() == (Path(whole["out"]) / "drawn.jsonl").read_bytes()


@pytest.mark.slow
def test_a_process_killed_while_it_draws_goes_on_to_the_same_bytes(spec: Any, tmp_path: Path) -> None:
    whole, cut = spec("whole"), spec("cut")
    Run(whole, Never()).train()
    process = start(cut, tmp_path / "cut")
    assert process.stdout is not None
    for line in process.stdout:
        if (event := parse(line)) and event["event"] == "progress" and event["done"] >= 16:
            os.kill(process.pid, signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    again = start(cut, tmp_path / "cut")
    assert again.stdout is not None
    again.stdout.read()
    assert again.wait() == 0
    assert adapter(cut) == adapter(whole)
    result = json.loads((tmp_path / "cut" / "result.json").read_text())
    assert result["drawn"]["drawn_rows"] >= result["steps"] * BATCH


def test_equal_prompts_of_different_rounds_get_different_answers(spec: Any, pairs: Path) -> None:
    row = json.loads(pairs.read_text().splitlines()[0])
    pairs.write_bytes(dump_lines(row | {"id": f"pair-{number}"} for number in range(40)))
    made = spec(steps=1000)
    made["phase"]["max_steps"] = 1000
    Run(made, Never())
    drawn = [json.loads(line) for line in (Path(made["out"]) / "drawn.jsonl").read_text().splitlines()]
    texts = [tuple(answer["text"] for answer in line["answers"]) for line in drawn]
    assert len(set(texts)) == 40


# ---- what ends it early ----------------------------------------------------------------------------------------------


def test_no_signal_ends_the_program_and_says_so(
    spec: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.align.program.die_with_parent", lambda: None)
    monkeypatch.setattr("tasks.align.program.EndRequests", Never)
    made = spec(phase={"reward": "length_penalty"})  # of answers of four tokens, all 0
    (tmp_path / "spec.json").write_text(json.dumps(made))
    with pytest.raises(SystemExit):
        main(str(tmp_path / "spec.json"), str(tmp_path / "result.json"))
    (stopped,) = told(capsys.readouterr().out, "stopped")
    assert (stopped["kind"], stopped["name"]) == ("unhealthy", "no_signal")
    assert "160 without signal" in stopped["what"]
    assert not (tmp_path / "result.json").exists()


def test_answers_that_never_end_are_never_imitated(spec: Any) -> None:
    with pytest.raises(Unhealthy) as stopped:
        Run(spec(phase={"max_new_tokens": 1, "reward": "exact_number"}), Never())
    assert "raise phase.max_new_tokens (1)" in stopped.value.stop.do


def test_a_row_without_the_truth_a_reward_needs_is_refused_before_a_model_is_loaded(spec: Any, pairs: Path) -> None:
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    del rows[3]["truth"]
    pairs.write_bytes(dump_lines(rows))
    with pytest.raises(RewardError, match=r"'exact_number'.*1 of 160 rows have none, pair-3 the first"):
        Run(spec(), Never())


def test_a_prompt_that_leaves_no_room_for_its_answer_is_refused(spec: Any) -> None:
    with pytest.raises(ModelError, match=r"the prompt of pair-0 has 4 tokens.*answer of 15.*context.*16"):
        Run(spec(phase={"max_new_tokens": 15}), Never())


def test_several_processes_are_refused(spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.align.reject.program.launched_processes", lambda: 2)
    with pytest.raises(ModelError, match="answers are drawn in one process, and here are 2"):
        Run(spec(), Never())


@pytest.mark.parametrize(
    ("phase", "why"),
    [
        ({"method": "reject"}, "learns from rewards: set reward"),
        ({"reward": "safety", "epochs": 2}, "'reject' ignores epochs, which is for ppo, grpo, rloo"),
        ({"reward": "safety", "clip": 0.1}, "ignores clip"),
        ({"reward": "safety", "beta": 0.5}, 'train_as "sft" ignores beta'),
        ({"reward": "safety", "packing": False, "max_tokens": 9}, 'train_as "sft" ignores max_tokens, packing'),
        ({"reward": "safety", "loss": "ipo"}, "one loss of its own"),
        ({"reward": "safety", "train_as": "kto"}, "train_as"),
        ({"reward": "safety", "draw_factor": 0.5}, "draw_factor"),
        ({"reward": "safety", "min_gap": 0.0}, "min_gap"),
        ({"reward": "safety", "max_kept": 0}, "max_kept"),
        ({"reward": "safety", "group_size": 1}, "group_size"),
        ({"method": "dpo", "train_as": "sft"}, "'dpo' ignores train_as, which is for reject"),
    ],
    ids=str,
)
def test_what_the_method_would_ignore_or_lacks_is_refused(phase: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Phase.model_validate({"method": "reject", "max_steps": 3, **phase})


def test_steps_and_pairs_count_the_prompts_that_may_yield_nothing() -> None:
    phase = Phase(method="reject", reward=("safety",), max_steps=1000, batch_size=4, draw_factor=2.5)
    assert (phase.steps_of(100), phase.pairs_of(10), phase.rows_of(10)) == (10, 100, 40)
    assert all(phase.pairs_of(phase.steps_of(pairs)) <= pairs for pairs in range(2000))
    assert phase.trained == Phase(method="sft", max_steps=1000, batch_size=4)
    as_dpo = Phase(method="reject", reward=("safety",), max_steps=7, train_as="dpo", beta=0.3, packing=False)
    assert as_dpo.trained == Phase(method="dpo", max_steps=7, beta=0.3, packing=False)
    assert as_dpo.trained.trained == as_dpo.trained
