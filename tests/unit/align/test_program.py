"""The training program: killed anywhere it goes on to the same bytes; every method trains; an early end says why."""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers.modeling_layers import GradientCheckpointingLayer

from infra.digest import digest_of
from infra.events import parse
from infra.jsonl import dump_lines, load_lines
from infra.settings import ROOT
from tasks.align import checkpoints, trainer
from tasks.align.program import Run
from tasks.align.trainer import Interrupted, NotFinite
from tasks.align.watch import Unhealthy
from tasks.errors import ModelError
from tasks.lm.flops import forward_flops, model_sizes, step_flops, work_of
from tasks.lm.layout import Document
from tests.conftest import AskAfter, Never, training_spec, write_pairs

STEPS = 12


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "source.jsonl", 8 * STEPS)
    rows = load_lines((tmp_path / "source.jsonl").read_bytes())
    names = ("id", "prompt", "chosen", "rejected")
    (tmp_path / "pairs.jsonl").write_bytes(dump_lines({name: row[name] for name in names} for row in rows))
    return tmp_path / "pairs.jsonl"


@pytest.fixture
def spec(tmp_path: Path, tiny_model: Path, pairs: Path) -> Any:
    """Makes the spec of a small training; keyword arguments change it, ``phase`` its phase."""

    def make(name: str = "run", phase: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        small = {"batch_size": 8, "learning_rate": 5e-3, "checkpoint_every": 5} | (phase or {})
        # four parts a step, so that AskAfter counts five questions a step
        return training_spec(tmp_path / name, tiny_model, pairs, STEPS, small, **{"max_tokens": 60, **changes})

    return make


def slow(value: Any) -> Any:
    """A case that only `make test-slow` runs: as long as its likes, which `make test` has."""
    return pytest.param(value, marks=pytest.mark.slow)


class Bomb:
    """Unpickled, it makes a folder: the code that must not run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def adapter(made: dict[str, Any]) -> bytes:
    return (Path(made["out"]) / "adapter_model.safetensors").read_bytes()


# ---- resume --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("questions", [slow(1), 14, slow(33), slow(47), slow(59)])
def test_a_training_ended_between_any_two_parts_of_a_step_goes_on_to_the_same_bytes(questions: int, spec: Any) -> None:
    whole = spec("whole")
    true = Run(whole, Never()).train()
    cut = spec("cut")
    with pytest.raises(Interrupted):
        Run(cut, AskAfter(questions)).train()
    again = Run(cut, Never())
    assert (again.found is not None) == any(Path(cut["checkpoints"]).glob("checkpoint-*"))
    assert again.train() == true
    assert adapter(cut) == adapter(whole)


@pytest.mark.slow
def test_dropout_draws_the_same_numbers_after_a_resume(spec: Any) -> None:
    phase = {"lora": {"dropout": 0.3}}
    whole, cut = spec("whole", phase), spec("cut", phase)
    true = Run(whole, Never()).train()
    with pytest.raises(Interrupted):
        Run(cut, AskAfter(38)).train()
    assert Run(cut, Never()).train() == true
    assert adapter(cut) == adapter(whole)
    plain = spec("plain")
    assert Run(plain, Never()).train() != true  # the recipe's dropout does something


@pytest.mark.slow
def test_full_training_goes_on_to_the_same_bytes(spec: Any) -> None:
    whole, cut = spec("whole", {"adapter": "full"}), spec("cut", {"adapter": "full"})
    true = Run(whole, Never()).train()
    with pytest.raises(Interrupted):
        Run(cut, AskAfter(38)).train()
    assert Run(cut, Never()).train() == true
    one, other = (load_file(Path(made["out"]) / "model.safetensors") for made in (whole, cut))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", ["kto", slow("sft"), slow("simpo")])
def test_other_methods_end_after_the_step_and_go_on_to_the_same_bytes(method: str, spec: Any) -> None:
    whole, cut = spec("whole", {"method": method}), spec("cut", {"method": method})
    true = Run(whole, Never()).train()
    with pytest.raises(Interrupted):
        Run(cut, AskAfter(6)).train()
    again = Run(cut, Never())
    assert again.found is not None
    assert again.found.step == 7
    assert again.train() == true
    assert adapter(cut) == adapter(whole)


@pytest.mark.slow
def test_a_truncated_newest_checkpoint_is_passed_over_and_said(spec: Any, capsys: pytest.CaptureFixture[str]) -> None:
    whole, cut = spec("whole"), spec("cut")
    true = Run(whole, Never()).train()
    with pytest.raises(Interrupted):
        Run(cut, AskAfter(57)).train()
    newest = max(Path(cut["checkpoints"]).glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    with (newest / "optimizer.pt").open("r+b") as file:
        file.truncate(100)
    run = Run(cut, Never())
    assert run.train() == true
    assert adapter(cut) == adapter(whole)
    assert f"passed over {newest.name}" in capsys.readouterr().out.replace(str(newest.parent) + "/", "")


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_checkpoint_that_was_poisoned_and_sealed_anew_runs_no_code(name: str, spec: Any, tmp_path: Path) -> None:
    made = spec()
    with pytest.raises(Interrupted):
        Run(made, AskAfter(57)).train()
    found = checkpoints.newest(Path(made["checkpoints"]), made["context"])
    assert found is not None
    mark = tmp_path / "it ran"
    torch.save(Bomb(mark), Path(found.path) / name)
    checkpoints.seal(Path(found.path), made["context"], list(found.history))
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        Run(made, Never()).train()
    assert not mark.exists()
    # the file is one that would have run it
    torch.load(Path(found.path) / name, weights_only=False)
    assert mark.exists()


def test_a_checkpoint_of_another_course_is_refused_not_started_over(spec: Any) -> None:
    cut = spec("cut")
    Run(cut, Never())  # the cache is filled
    with pytest.raises(Interrupted):
        Run(cut, AskAfter(40)).train()
    with pytest.raises(ModelError, match="checkpoint-") as refused:
        Run(cut | {"context": digest_of("another course")}, Never())
    assert "--fresh" in refused.value.do


@pytest.mark.slow
def test_a_full_disk_at_checkpoint_time_keeps_the_checkpoint_before(spec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = spec("cut")
    run = Run(cut, Never())
    real = torch.save

    def full(value: Any, where: Any, *args: Any, **kwargs: Any) -> None:
        if "checkpoint-10" in str(where):
            raise OSError(28, "No space left on device")
        real(value, where, *args, **kwargs)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(ModelError, match=r"checkpoint-10: No space left on device") as stopped:
        run.train()
    assert "NIGHTSHIFT_HOME" in stopped.value.do
    monkeypatch.undo()
    found = checkpoints.newest(Path(cut["checkpoints"]), cut["context"])
    assert found is not None
    assert found.step == 5
    whole = spec("whole")
    assert Run(cut, Never()).train() == Run(whole, Never()).train()
    assert adapter(cut) == adapter(whole)


def start(made: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
    (folder / "spec.json").write_text(json.dumps(made))
    command = [sys.executable, "-m", "tasks.align.program", str(folder / "spec.json"), str(folder / "result.json")]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def events_until(process: subprocess.Popen[str], kind: str, step: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        event = parse(line)
        if event and event["event"] == kind and event["step"] >= step:
            return
    raise AssertionError(f"ended before {kind} of step {step}")


@pytest.mark.parametrize("number", [signal.SIGTERM, slow(signal.SIGUSR1), slow(signal.SIGKILL)])
def test_a_process_that_is_signalled_keeps_a_checkpoint_and_goes_on_to_the_same_bytes(
    number: signal.Signals, spec: Any, tmp_path: Path
) -> None:
    # many short steps: it is far from its end when the signal comes
    phase, steps = {"batch_size": 1, "max_steps": 8 * STEPS}, 8 * STEPS
    whole, cut = spec("whole", phase, steps=steps), spec("cut", phase, steps=steps)
    Run(whole, Never()).train()
    process = start(cut, tmp_path / "cut")
    events_until(process, "metrics", 6)
    began = time.monotonic()
    os.kill(process.pid, number)
    assert process.stdout is not None
    rest = [event for line in process.stdout if (event := parse(line))]
    code = process.wait()
    assert code != 0, "it was faster than the signal"
    if number != signal.SIGKILL:
        assert time.monotonic() - began < 30
        stop = next(event for event in rest if event["event"] == "stopped")
        assert stop["kind"] == "interrupted"
        assert stop["what"].startswith(number.name)
        assert stop["step"] >= 6
    assert not (tmp_path / "cut" / "result.json").exists()
    again = start(cut, tmp_path / "cut")
    assert again.stdout is not None
    again.stdout.read()  # its stdin stays open meanwhile: closed, it would end
    assert again.wait() == 0
    assert adapter(cut) == adapter(whole)


# ---- methods -------------------------------------------------------------------------------------------------------

LOSSES = [
    "sigmoid", "hinge", "ipo", "nca_pair", "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down",
    "discopop", "sigmoid_norm",
]  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
def test_every_dpo_loss_trains(loss: str, spec: Any) -> None:
    made = spec(phase={"loss": loss, "max_steps": 3}, steps=3, max_tokens=4000)
    history = Run(made, Never()).train()
    assert len(history) == 3
    assert history[0]["loss"] != history[-1]["loss"]


@pytest.mark.parametrize(
    "phase",
    [
        {"loss": "robust", "label_smoothing": 0.1},
        {"loss": "exo_pair", "label_smoothing": 0.001},
        {"loss": ["sigmoid", "sft"], "loss_weights": [1.0, 0.2]},
        {"adapter": "dora"},
        {"adapter": "rslora"},
        {"adapter": "full", "gradient_checkpointing": True},
        {"packing": False},
        {"method": "kto", "desirable_weight": 1.2},
        {"method": "kto", "loss": "apo_zero_unpaired"},
        {"method": "sft"},
        {"method": "orpo"},
        {"method": "cpo", "loss": "hinge"},
        {"method": "simpo", "simpo_gamma": 1.0},
        {"method": "ppo", "reward": "not_refused", "group_size": 2, "max_new_tokens": 6, "epochs": 2},
        {"method": "grpo", "reward": ["not_refused", "length_penalty"], "group_size": 2, "max_new_tokens": 6},
        {"method": "rloo", "reward": "not_refused", "group_size": 2, "max_new_tokens": 6, "adapter": "full"},
    ],
    ids=str,
)
def test_every_method_and_adapter_trains_and_leaves_its_weights(phase: dict[str, Any], spec: Any) -> None:
    made = spec(phase=phase | {"max_steps": 3}, steps=3)
    history = Run(made, Never()).train()
    assert len(history) == 3
    name = "model.safetensors" if phase.get("adapter") == "full" else "adapter_model.safetensors"
    assert (Path(made["out"]) / name).is_file()
    # no file that would run code where it is opened
    assert not [one.name for one in Path(made["out"]).rglob("*") if one.suffix in (".bin", ".pkl", ".pt")]


def test_qlora_says_what_it_needs_where_there_is_no_accelerator(spec: Any) -> None:
    with pytest.raises(ModelError, match=r"qlora.*needs an accelerator"):
        Run(spec(phase={"adapter": "qlora"}), Never())


def test_a_loss_that_compares_all_pairs_is_not_cut_silently(spec: Any) -> None:
    with pytest.raises(ModelError, match=r"compares all pairs.*max_tokens is 50"):
        Run(spec(phase={"loss": "aot"}, max_tokens=50), Never())


# ---- parts ---------------------------------------------------------------------------------------------------------


def test_a_pair_longer_than_a_part_is_computed_again_and_trains_the_same(
    spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.align import trainer

    real, counted = trainer.checkpoint, []
    monkeypatch.setattr(trainer, "checkpoint", lambda *a, **k: counted.append(1) or real(*a, **k))
    whole, short = spec("whole", max_tokens=100_000), spec("short", max_tokens=20)
    true = Run(whole, Never()).train()
    assert not counted
    found = Run(short, Never()).train()
    assert counted
    assert [step["loss"] for step in found] == pytest.approx([step["loss"] for step in true], rel=2e-5)


@pytest.mark.parametrize(
    "phase",
    [{}, {"loss": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}, {"loss": "ipo"}, {"packing": False}],
    ids=str,
)
def test_a_step_in_parts_is_the_step(phase: dict[str, Any], spec: Any) -> None:
    whole = Run(spec("whole", phase, max_tokens=100_000), Never()).train()
    parts = Run(spec("parts", phase, max_tokens=60), Never()).train()
    for one, other in zip(whole, parts, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=2e-5)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=2e-4)
        assert other["rewards_margins"] == pytest.approx(one["rewards_margins"], rel=1e-3, abs=1e-5)


def test_the_reference_is_computed_once_and_only_for_new_pairs(spec: Any, pairs: Path) -> None:
    first = Run(spec("first"), Never())
    assert first.trainer.filled == 8 * STEPS
    assert Run(spec("second"), Never()).trainer.filled == 0
    rows = load_lines(pairs.read_bytes())
    changed = [
        row | {"prompt": [{"role": "user", "content": "red tea"}]} if i < 9 else row for i, row in enumerate(rows)
    ]
    pairs.write_bytes(dump_lines(changed))
    assert Run(spec("third"), Never()).trainer.filled == 9


def test_another_base_reads_nothing_of_the_cache(spec: Any) -> None:
    Run(spec("first"), Never())
    other = Run(spec("second", cache_context=digest_of("another base")), Never())
    assert other.trainer.filled == 8 * STEPS


# ---- health --------------------------------------------------------------------------------------------------------


def test_a_pair_that_makes_the_gradient_not_finite_is_named(
    spec: Any, tmp_path: Path, tiny_model: Path, pairs: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    word = tokenizer.convert_tokens_to_ids("salt")
    with torch.no_grad():
        embeddings: Any = model.get_input_embeddings()
        embeddings.weight[word] = 3e38  # overflows where it is read, and nowhere else
    model.save_pretrained(tmp_path / "broken")
    tokenizer.save_pretrained(tmp_path / "broken")
    rows = load_lines(pairs.read_bytes())
    for number, row in enumerate(rows):
        text = row["prompt"][0]["content"].replace("salt", "tea")
        row["prompt"] = [{"role": "user", "content": f"{text} salt" if number == 27 else text}]
    pairs.write_bytes(dump_lines(rows))
    made = spec(base=str(tmp_path / "broken"), phase={"probe_every": 0}, cache_context=digest_of("broken"))
    run = Run(made, Never())
    with pytest.raises(NotFinite) as found:
        run.train()
    assert [rows[row]["id"] for row in found.value.rows] == ["pair-27"]


@pytest.mark.slow
def test_an_unhealthy_training_stops_with_its_last_good_checkpoint_kept(spec: Any) -> None:
    made = spec(phase={"learning_rate": 5e-3, "probe_every": 6, "probe_prompts": 8, "probe_tokens": 8,
                       "health": {"max_kl": 1e-6}})  # fmt: skip
    with pytest.raises(Unhealthy) as stop:
        Run(made, Never()).train()
    assert stop.value.stop.name == "kl_too_large"
    assert stop.value.stop.step == 6
    found = checkpoints.newest(Path(made["checkpoints"]), made["context"])
    assert found is not None
    assert found.step == 5
    # with another limit it goes on from there, and ends as if nothing had been
    calm = made | {"phase": made["phase"] | {"health": {}}}
    whole = spec("whole")
    Run(calm, Never()).train()
    Run(whole, Never()).train()
    assert adapter(calm) == adapter(whole)


@pytest.mark.parametrize("phase", [{"method": "kto"}, {"packing": False}], ids=str)
@pytest.mark.slow
def test_a_look_at_a_model_that_is_not_packed_sees_the_same_divergence(phase: dict[str, Any], spec: Any) -> None:
    look = {"probe_every": 12, "probe_prompts": 8, "probe_tokens": 6}
    history = Run(spec("plain", phase | look), Never()).train()
    assert 0 <= history[-1]["probe_kl"] < 0.5
    if "packing" in phase:
        packed = Run(spec("packed", look), Never()).train()
        assert history[-1]["probe_kl"] == pytest.approx(packed[-1]["probe_kl"], rel=1e-2, abs=1e-4)


def test_kto_compares_with_answers_to_other_prompts(spec: Any) -> None:
    run = Run(spec(phase={"method": "kto"}), Never())
    batch = [run.trainer.train_dataset[row] for row in range(16)]
    labels = [row["label"] for row in batch]
    assert labels == [True] * 8 + [False] * 8
    with pytest.raises(ModelError, match="one pair"):
        Run(spec(phase={"method": "kto", "batch_size": 1}), Never())


@pytest.mark.slow
def test_a_look_at_the_answers_changes_no_training(spec: Any) -> None:
    plain, looked = spec("plain"), spec("looked", {"probe_every": 4, "probe_prompts": 4, "probe_tokens": 6})
    Run(plain, Never()).train()
    history = Run(looked, Never()).train()
    assert adapter(plain) == adapter(looked)
    assert ["probe_kl" in step for step in history] == [step % 4 == 0 for step in range(1, STEPS + 1)]


# ---- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_tokens", "phase", "saves"),
    [(10, {}, True), (1000, {}, False), (1000, {"gradient_checkpointing": True}, True)],
    ids=["pairs longer than a part", "pairs within it", "as the recipe asks"],
)
@pytest.mark.slow
def test_parts_that_must_save_memory_are_recomputed_and_give_it_back(
    max_tokens: int, phase: dict[str, Any], saves: bool, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"max_steps": 2}
    plain = Run(spec("plain", short, steps=2, max_tokens=1000), Never()).train()
    recomputed: list[bool] = []
    run = Run(spec("run", {**short, **phase}, steps=2, max_tokens=max_tokens), Never())

    def layers() -> list[bool]:
        every = run.trainer.model.modules()
        return [one.gradient_checkpointing for one in every if isinstance(one, GradientCheckpointingLayer)]

    @contextlib.contextmanager
    def watched() -> Iterator[None]:
        recomputed.append(all(layers()))
        yield

    monkeypatch.setattr(trainer, "giving_back", watched)
    history = run.train()
    assert all(recomputed)
    assert bool(recomputed) == saves
    assert all(layers()) == bool(phase), "afterwards it is as the recipe says"
    assert [step["loss"] for step in history] == pytest.approx([step["loss"] for step in plain], rel=1e-5)


@pytest.mark.slow
def test_the_effort_that_the_plan_learns_from_is_the_operations_of_all_pairs_with_what_is_recomputed(spec: Any) -> None:
    def effort(phase: dict[str, Any]) -> tuple[float, Run]:
        made = spec(str(phase), {"max_steps": 3, **phase}, steps=3)
        run = Run(made, Never())
        run.train()
        found = run.effort()
        assert found["seconds"] > 0
        return found["flops"], run

    flops, run = effort({})
    rows: Any = run.trainer.train_dataset
    documents = [Document(len(row["prompt_ids"]), (len(row["chosen_ids"]), len(row["rejected_ids"]))) for row in rows][
        :24
    ]
    sizes = model_sizes(run.trainer.accelerator.unwrap_model(run.trainer.model))
    work = work_of(documents)
    assert flops == pytest.approx(step_flops(work, **sizes, full=False))
    again, _ = effort({"gradient_checkpointing": True})
    assert again == pytest.approx(flops + forward_flops(work, **sizes))
    # a method of TRL's own: by its count of tokens
    assert effort({"method": "sft"})[0] > 0
