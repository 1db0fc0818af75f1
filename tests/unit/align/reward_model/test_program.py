"""The training program with method "reward": learned, measured on what is held out, saved, resumed, and ended early."""

import json
import math
import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file, save_file

from infra.events import parse
from infra.jsonl import dump_lines, load_lines
from tasks.align.methods import lora_config
from tasks.align.program import Run, main
from tasks.align.reward_model.build import load_classifier, measured, save
from tasks.align.reward_model.calibration import mean_loss
from tasks.align.reward_model.report import RewardReport, is_held_out, read_report, refuse_weak, split
from tasks.align.trainer import Interrupted
from tasks.align.watch import Unhealthy
from tasks.errors import ModelError
from tasks.lm.loading import load_tokenizer
from tasks.lm.reward import load_reward_model
from tasks.phases import Phase
from tests.conftest import AskAfter, Never, training_spec, write_pairs

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS, BATCH, COUNT = 20, 8, 260


def told(text: str, event: str) -> list[dict[str, Any]]:
    return [found for line in text.splitlines() if (found := parse(line)) and found["event"] == event]


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Each with a truth, of several types, that is of no use here."""
    write_pairs(tmp_path / "source.jsonl", COUNT)
    rows = load_lines((tmp_path / "source.jsonl").read_bytes())
    names = ("id", "prompt", "chosen", "rejected")
    kept = [{name: row[name] for name in names} for row in rows]
    (tmp_path / "pairs.jsonl").write_bytes(dump_lines(row | {"truth": [1, "a"][n % 2]} for n, row in enumerate(kept)))
    return tmp_path / "pairs.jsonl"


@pytest.fixture
def spec(tmp_path: Path, tiny_model: Path, pairs: Path) -> Any:
    def make(name: str = "run", phase: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        small = {"method": "reward", "batch_size": BATCH, "learning_rate": 1e-2, "checkpoint_every": 50} | (phase or {})
        return training_spec(tmp_path / name, tiny_model, pairs, changes.pop("steps", STEPS), small, **changes)

    return make


def trained(made: dict[str, Any]) -> tuple[list[dict[str, float]], RewardReport, Path]:
    run = Run(made, Never())
    history = run.train()
    folder = Path(made["out"]) / "reward_model"
    return history, RewardReport.model_validate(run.told["reward"]), folder


@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_a_planted_preference_is_learned_and_the_folder_gives_the_rewards_that_were_measured(
    adapter: str, spec: Any, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = spec(phase={"adapter": adapter})
    history, report, folder = trained(made)
    assert len(history) == STEPS
    assert report.accuracy.accuracy >= 0.9
    assert report.accuracy.lower >= 0.85
    refuse_weak(report)
    # no prompt is on both sides, and all pairs are on one
    rows = load_lines(pairs.read_bytes())
    train, held = split(rows, Phase.model_validate(made["phase"]))
    assert report.accuracy.n == len(held)
    assert report.trained == len(train) == COUNT - len(held)
    assert not {json.dumps(row["prompt"]) for row in train} & {json.dumps(row["prompt"]) for row in held}
    # the folder is one that our reader takes, and what it gives is what was measured
    model = load_reward_model(folder, "cpu", torch.float32)
    prompts = [row["prompt"] for row in held]
    chosen, rejected = (
        model.rewards(prompts, [row[side][0]["content"] for row in held]) for side in ("chosen", "rejected")
    )
    gaps = [one - other for one, other in zip(chosen, rejected, strict=True)]
    assert sum(gap > 0 for gap in gaps) == report.accuracy.right
    assert mean_loss(gaps) == pytest.approx(report.calibration.loss, rel=1e-3)
    assert sum([*chosen, *rejected]) / (2 * len(held)) == pytest.approx(report.mean, abs=1e-3)
    assert read_report((folder / "reward.json").read_bytes(), "reward.json") == report
    # it is told
    out = capsys.readouterr().out
    (shown,) = [one["values"] for one in told(out, "metrics") if "held_out_accuracy" in one["values"]]
    assert shown["held_out_lower"] == report.accuracy.lower
    assert any("held-out pairs" in one["text"] for one in told(out, "log"))


def test_the_first_loss_is_that_of_bradley_and_terry_on_the_rewards_before(spec: Any) -> None:
    made = spec(phase={"center_rewards": 0.25, "learning_rate": 1e-9}, steps=1)
    run = Run(made, Never())
    rows = run.pairs[:BATCH]
    model, tokenizer = run.trainer.model, run.trainer.processing_class
    rewards = []
    for side in ("chosen", "rejected"):
        texts = [tokenizer.apply_chat_template([*row["prompt"], *row[side]], tokenize=False) for row in rows]
        ids = [torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]]) for text in texts]
        with torch.no_grad():
            rewards.append([float(model.eval()(input_ids=one).logits[0, 0]) for one in ids])
    chosen, rejected = rewards
    plain = sum(math.log(1 + math.exp(r - c)) for c, r in zip(chosen, rejected, strict=True)) / BATCH
    centred = sum((c + r) ** 2 for c, r in zip(chosen, rejected, strict=True)) / BATCH
    (first,) = run.train()
    assert first["loss"] == pytest.approx(plain + 0.25 * centred, abs=1e-5)
    assert first["accuracy"] == pytest.approx(sum(c > r for c, r in zip(chosen, rejected, strict=True)) / BATCH)


def test_centring_keeps_the_rewards_near_zero(spec: Any) -> None:
    _, free, _ = trained(spec("free", {"center_rewards": 0.0}))
    _, held, _ = trained(spec("held", {"center_rewards": 1.0}))
    assert abs(held.mean) < 0.5 * abs(free.mean)


def test_a_reward_model_of_random_labels_is_below_the_floor(spec: Any, pairs: Path) -> None:
    deal = random.Random(0)
    rows = load_lines(pairs.read_bytes())
    for row in rows:
        if deal.random() < 0.5:
            row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    pairs.write_bytes(dump_lines(rows))
    _, report, _ = trained(spec())
    assert report.accuracy.lower < 0.55
    with pytest.raises(ModelError, match=r"ranks \d+ of \d+ held-out pairs right.*below 55\.0% \(phase\.re"):
        refuse_weak(report)


@pytest.mark.parametrize(("adapter", "step"), [("lora", 7), pytest.param("full", 7, marks=pytest.mark.slow)])
def test_a_training_ended_between_two_steps_goes_on_to_the_same_bytes(adapter: str, step: int, spec: Any) -> None:
    whole, cut = spec("whole", {"adapter": adapter}), spec("cut", {"adapter": adapter})
    true = trained(whole)
    with pytest.raises(Interrupted):
        Run(cut, AskAfter(step - 1)).train()
    again = Run(cut, Never())
    assert again.found is not None
    assert again.found.step == step
    assert again.train() == true[0]
    one, other = ((Path(made["out"]) / "reward_model") for made in (whole, cut))
    assert {file.name: file.read_bytes() for file in one.iterdir()} == {
        file.name: file.read_bytes() for file in other.iterdir()
    }


def test_what_is_left_is_the_whole_model_and_names_no_machine(spec: Any, tmp_path: Path) -> None:
    made = spec(steps=2)
    _, _, folder = trained(made)
    names = {file.name for file in folder.iterdir()}
    assert {"config.json", "model.safetensors", "reward.json", "tokenizer.json", "tokenizer_config.json"} <= names
    assert not [file for file in Path(made["out"]).iterdir() if file.name != "reward_model"]
    assert not [name for name in load_file(folder / "model.safetensors") if "lora" in name]
    for file in folder.glob("*.json"):
        assert str(tmp_path) not in file.read_text()


def test_a_body_in_bf16_under_a_head_in_fp32_is_measured_and_saved(tiny_model: Path, tmp_path: Path) -> None:
    """As on an accelerator: what an adapter trains is kept in fp32 there."""
    phase = Phase(method="reward", max_steps=1)
    torch.manual_seed(0)
    model: Any = get_peft_model(load_classifier(tiny_model, torch.bfloat16), lora_config(phase))
    model.base_model.model.score.modules_to_save["default"].float()
    tokenizer = load_tokenizer(tiny_model)
    trainer = SimpleNamespace(
        accelerator=SimpleNamespace(unwrap_model=lambda one: one), model=model, processing_class=tokenizer,
        train_dataset=range(10),
    )  # fmt: skip
    write_pairs(tmp_path / "held.jsonl", 20)
    whole, report = measured(trainer, load_lines((tmp_path / "held.jsonl").read_bytes()), phase)
    assert (report.accuracy.n, report.trained) == (20, 10)
    save(whole, tokenizer, report, tmp_path / "saved")
    assert {one.dtype for one in load_file(tmp_path / "saved" / "model.safetensors").values()} == {torch.bfloat16}


def test_a_model_without_a_classifier_of_its_own_or_without_all_weights_is_refused(
    tiny_model: Path, tmp_path: Path
) -> None:
    from transformers import MambaConfig

    MambaConfig(vocab_size=9, hidden_size=4, num_hidden_layers=1).save_pretrained(tmp_path / "mamba")
    with pytest.raises(ModelError, match="'mamba' has no sequence classifier"):
        load_classifier(tmp_path / "mamba", torch.float32)
    weights = load_file(tiny_model / "model.safetensors")
    shutil.copytree(tiny_model, tmp_path / "torn")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "torn" / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks model\.norm\.weight"):
        load_classifier(tmp_path / "torn", torch.float32)


# ---- what ends it early ----------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_ends_the_training_and_says_so(
    spec: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from trl import RewardTrainer  # pyright: ignore[reportPrivateImportUsage]

    true, calls = RewardTrainer.compute_loss, []

    def poisoned(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        loss: Any = true(self, *args, **kwargs)
        return loss * float("nan") if len(calls) == 4 else loss

    monkeypatch.setattr(RewardTrainer, "compute_loss", poisoned)
    monkeypatch.setattr("tasks.align.program.die_with_parent", lambda: None)
    monkeypatch.setattr("tasks.align.program.EndRequests", Never)
    made = spec(phase={"checkpoint_every": 3})
    (tmp_path / "spec.json").write_text(json.dumps(made))
    with pytest.raises(SystemExit):
        main(str(tmp_path / "spec.json"), str(tmp_path / "result.json"))
    (stopped,) = told(capsys.readouterr().out, "stopped")
    assert (stopped["kind"], stopped["name"], stopped["step"]) == ("unhealthy", "not_finite", 3)
    assert "loss is nan" in stopped["what"]
    assert not (Path(made["out"]) / "reward_model").exists()


def test_weights_that_are_no_numbers_are_measured_by_nobody(spec: Any) -> None:
    run = Run(spec(steps=2), Never())
    run.train()
    with torch.no_grad():
        run.trainer.model.get_input_embeddings().weight.fill_(math.nan)
    with pytest.raises(ModelError, match=r"the reward of answer \d+ is nan"):
        run._save()


@pytest.mark.parametrize("share", [0.0001, 0.89])
def test_too_few_pairs_on_a_side_are_refused_with_their_numbers(share: float, spec: Any, pairs: Path) -> None:
    rows = load_lines(pairs.read_bytes())[:10]
    pairs.write_bytes(dump_lines(rows))
    out = sum(is_held_out(row["prompt"], share) for row in rows)
    with pytest.raises(ModelError, match=rf"{10 - out} of 10 pairs are left .* and {out} are held out"):
        Run(spec(phase={"reward_holdout": share}, steps=1), Never())


def test_fewer_steps_than_planned_are_taken_where_more_is_held_out_by_chance(
    spec: Any, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, held = split(load_lines(pairs.read_bytes()), Phase.model_validate(spec()["phase"]))
    run = Run(spec(steps=1000), Never())
    assert run.steps == run.last == len(train) // BATCH
    assert f"{run.steps} of 1000 steps are taken: {len(held)} pairs are held out" in capsys.readouterr().out


def test_a_pair_longer_than_the_context_is_refused_though_it_is_held_out(spec: Any, pairs: Path) -> None:
    rows = load_lines(pairs.read_bytes())
    out = next(row for row in rows if is_held_out(row["prompt"], 0.2))
    out["chosen"][0]["content"] = "please " * 300
    pairs.write_bytes(dump_lines(rows))
    with pytest.raises(ModelError, match=rf"the pair {out['id']} has 3\d\d tokens"):
        Run(spec(), Never())


def test_weights_shared_among_processes_are_refused(spec: Any) -> None:
    with pytest.raises(ModelError, match="all of its weights in each process") as refused:
        Run(spec(shard=True), Never())
    assert "share_weights = false" in refused.value.do


def test_a_prompt_keeps_its_side_whatever_lies_beside_it_and_the_share_is_kept() -> None:
    prompts = [[{"role": "user", "content": f"question {number}"}] for number in range(4000)]
    out = [is_held_out(prompt, 0.2) for prompt in prompts]
    assert sum(out) == pytest.approx(800, abs=80)
    # a larger share holds out all that a smaller one does
    assert all(is_held_out(prompt, 0.3) for prompt, one in zip(prompts, out, strict=True) if one)


def test_an_unhealthy_end_is_that_of_the_other_methods(spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = spec(phase={"health": {"spike_min_steps": 2, "spike_factor_alone": 1.0001, "spike_factor": 1.00001}})
    with pytest.raises(Unhealthy) as stopped:
        Run(made, Never()).train()
    assert stopped.value.stop.name == "gradient_spike"


@pytest.mark.parametrize(
    ("phase", "why"),
    [
        ({"method": "reward", "adapter": "qlora"}, "weights of four bits are none of"),
        ({"method": "reward", "reward": ["safety"]}, "'reward' ignores reward, which is for ppo, grpo, rloo, reject"),
        ({"method": "reward", "beta": 0.2}, "ignores beta"),
        ({"method": "reward", "loss": "sigmoid"}, "one loss of its own"),
        ({"method": "dpo", "reward_floor": 0.6}, "'dpo' ignores reward_floor, which is for reward"),
        ({"method": "reward", "reward_floor": 0.4}, "reward_floor"),
        ({"method": "reward", "reward_holdout": 0.0}, "reward_holdout"),
    ],
    ids=str,
)
def test_what_the_method_would_ignore_or_cant_do_is_refused(phase: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Phase.model_validate({"max_steps": 3, **phase})


def test_steps_and_pairs_count_what_is_held_out() -> None:
    phase = Phase(method="reward", max_steps=1000, batch_size=8, reward_holdout=0.2)
    assert (phase.steps_of(100), phase.pairs_of(10), phase.rows_of(10)) == (10, 100, 80)
    assert all(phase.pairs_of(phase.steps_of(pairs)) <= pairs for pairs in range(2000))
