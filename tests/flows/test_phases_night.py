"""Whole nights of two phases: DPO on everything, then PPO on the hard cases alone, from where DPO ended."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.calls import call_flow
from flows.initial import init_recipe
from flows.planning import plan_night
from infra.ledger import ledger_path, read_ledger
from infra.settings import child_environment, load_settings
from infra.store import Store
from tasks import place
from tasks.contracts import Evidence
from tasks.lm.base import checkout
from tasks.parts import lines_of
from tasks.registry.steps import evidence_of, inputs_of, registry_of
from tests.conftest import write_pairs
from tests.flows.test_nightly import run, steps

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.slow]

SECOND = """
[[phase]]
method = "ppo"
on = "reasoning"
reward = ["not_refused", "length_penalty"]
group_size = 4
max_new_tokens = 12
max_steps = 8
batch_size = 4
learning_rate = 1e-4
checkpoint_every = 2
probe_every = 4
"""


@pytest.fixture
def two_phases(home: Path, tiny_recipe: Path, tmp_path: Path) -> Path:
    write_pairs(tmp_path / "hard.jsonl", 80, seed=5)
    hard = (tmp_path / "hard.jsonl").read_text().replace('"id": "pair-', '"id": "hard-')
    (tmp_path / "hard.jsonl").write_text(hard)
    text = tiny_recipe.read_text()
    sources = f'"{tmp_path}/pairs.jsonl", {{ path = "{tmp_path}/hard.jsonl", topic = "reasoning" }}'
    text = re.sub(r"sources = \[.*\]", f"sources = [{sources}]", text)
    recipe = tmp_path / "two.toml"
    recipe.write_text(text + SECOND)
    init_recipe(str(recipe), once=False)
    return recipe


def entries(home: Path, kind: str) -> list[Any]:
    return [one for one in read_ledger(ledger_path(home, "tiny")) if one.kind == kind]


def runs_of(home: Path) -> dict[str, Any]:
    """The night's nested MLflow runs by name."""
    client = place.tracking().client
    found = client.search_runs([place.tracking().experiment()], "tags.`mlflow.parentRunId` != ''")
    return {str(one.info.run_name): one for one in found}


def logits(model: Any, home: Path) -> Any:
    """What base and adapter answer, without being merged."""
    import torch
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    base, adapter = checkout(model, home, Store(home / "store"))
    found: Any = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter is not None:
        found = PeftModel.from_pretrained(found, str(adapter))
    with torch.no_grad():
        return found.eval()(torch.tensor([[3, 7, 11, 9, 14, 8, 6, 20]])).logits


def test_two_phases_are_planned_trained_judged_and_the_best_one_awaits_approval(two_phases: Path, home: Path) -> None:
    planned = call_flow(plan_night, recipe=str(two_phases), overrides=[], fresh=False)["plan"]
    assert [one["method"] for one in planned["phases"]] == ["dpo", "ppo"]
    assert planned["seconds"] == pytest.approx(sum(one["seconds"] for one in planned["phases"]))
    assert "phase 2 (ppo): 8 steps of 4 pairs on reasoning" in planned["reason"]

    summary = run(two_phases)
    assert summary["verdict"] == "PASS", summary["reason"]
    names = ["collect", "validate", "decide", "align", "align-2", "score", "score-2", "judge", "register"]
    assert list(steps(summary)) == names
    assert [(one["number"], one["method"]) for one in summary["phases"]] == [(1, "dpo"), (2, "ppo")]
    (chosen,) = (one for one in summary["phases"] if one["chosen"])
    assert chosen["lower"] == max(one["lower"] for one in summary["phases"] if one["verdict"] == "PASS")
    assert f"This is phase {chosen['number']} of 2" in summary["reason"]

    # a decision each, both before a verdict; one version, which says which it is
    assert [one.kind for one in read_ledger(ledger_path(home, "tiny")) if one.kind in ("decision", "verdict")] == [
        "decision", "decision", "verdict", "verdict",
    ]  # fmt: skip
    assert [one.body["chosen"] for one in entries(home, "verdict")].count(True) == 1
    tags = registry_of("tiny").version(summary["version"]).tags
    assert tags["nightshift.phase"] == f"{chosen['number']} {chosen['method']}"
    assert len(registry_of("tiny").versions()) == 2

    # each phase is a candidate in a run of its own, with its parameters and its metrics
    found = runs_of(home)
    assert [found[name].data.params["phase.method"] for name in ("align", "align-2")] == ["dpo", "ppo"]
    assert found["align-2"].data.params["phase.on"] == "reasoning"
    assert "loss" in found["align-2"].data.metrics
    assert {found[name].data.tags["nightshift.chosen"] for name in ("align", "align-2")} == {"true", "false"}
    for name in ("align", "align-2"):
        files = {one.path for one in place.tracking().client.list_artifacts(found[name].info.run_id, "candidate")}
        assert "candidate/adapter_model.safetensors" in files

    # the second is the base and one adapter of both ranks, and was held to the first
    decided = {one.body["candidate"] for one in entries(home, "decision")}
    assert len(decided) == 2
    evidence: Evidence = evidence_of("tiny", summary["version"])
    inputs = inputs_of("tiny", summary["version"])[1]
    assert inputs.candidate.of == 2
    assert evidence.model.digest in decided
    report = next(home.glob("nights/*/report.html")).read_text()
    assert 'id="phases"' in report

    # the same inputs again: every step is reused, no decision is spent, nothing is registered twice
    again = run(two_phases)
    assert all(steps(again).values())
    assert list(steps(again)) == names
    assert again["version"] == summary["version"]
    assert len(entries(home, "decision")) == 2


def test_a_later_phase_s_candidate_is_base_and_one_adapter_trained_on_the_topic_alone(
    two_phases: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from safetensors.torch import load_file

    from tasks.align import steps as align_steps

    kept: list[Any] = []
    whole = align_steps.train_chain

    def noted(*given: Any) -> Any:
        kept.append(whole(*given))
        return kept[-1]

    monkeypatch.setattr(align_steps, "train_chain", noted)
    run(two_phases)
    first, second = kept[0].candidates
    assert first.model.base == second.model.base
    store = Store(home / "store")
    _, below = checkout(first.model, home, store)
    _, summed = checkout(second.model, home, store)
    assert below is not None
    assert summed is not None
    config = json.loads((summed / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (32, 32)
    one, two = (load_file(folder / "adapter_model.safetensors") for folder in (below, summed))
    for name, matrix in one.items():
        part = two[name][:16] if "lora_A" in name else two[name][:, :16] / 2  # alpha 32 over rank 16
        assert torch.equal(part, matrix)
    change = (logits(second.model, home) - logits(first.model, home)).abs().max()
    assert (
        1e-5
        < change
        < (logits(first.model, home) - logits(first.model.model_copy(update={"adapter": None}), home)).abs().max()
    )

    own = [json.loads(line)["id"] for line in lines_of(second.pairs, store)]
    before = [json.loads(line)["id"] for line in lines_of(first.pairs, store)]
    assert own[: len(before)] == before
    assert own[len(before) :]
    assert all(id_.startswith("hard-") for id_ in own[len(before) :])
    # and the first look at divergence is of the new adapter alone: its reference is the phase before
    history = store.read_json(second.history)
    assert isinstance(history, list)
    looked = [step["probe_kl"] for step in history if "probe_kl" in step]
    assert looked
    assert all(abs(value) < 0.05 for value in looked)


def test_a_phase_whose_budget_is_spent_leaves_the_one_before_it_to_the_gate(two_phases: Path, home: Path) -> None:
    slow = ("phase.1.max_steps=1000", "phase.1.epochs=100", "phase.1.max_hours=0.001", "budget.max_hours=1000")
    summary = run(two_phases, *slow)
    assert summary["verdict"] == "PASS", summary["reason"]
    assert list(steps(summary)) == ["collect", "validate", "decide", "align", "align-2", "score", "judge", "register"]
    assert [(one["verdict"], one["chosen"]) for one in summary["phases"]] == [("PASS", True), (None, False)]
    assert "phase.1.max_hours) are used up" in summary["phases"][1]["told"]
    assert "no candidate, the phase's budget is spent" in summary["reason"]
    assert len(entries(home, "decision")) == 1


@pytest.mark.timeout(1800)  # two nights in processes of their own
def test_a_night_killed_in_its_second_phase_does_not_train_the_first_again(two_phases: Path, home: Path) -> None:
    command = [sys.executable, "-m", "flows.cli", "run", str(two_phases)]
    for override in ("phase.0.max_steps=8", "phase.1.max_steps=16", "phase.1.epochs=2"):
        command += ["--set", override]
    process = subprocess.Popen(
        command, env=child_environment(load_settings()), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if re.search(r"align-2 (5|6|7|8|9)/\d+  loss", line):
            break
    else:
        raise AssertionError("".join(seen)[-3000:])
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while training_in(home) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not training_in(home), "an orphan still trains"

    done = subprocess.run(command, check=False, env=child_environment(load_settings()), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"resumed at step \d+ of \d+", done.stdout + done.stderr)
    folder = Path((home / "last-night").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    assert steps(summary)["align"]
    assert not steps(summary)["align-2"]
    log = [json.loads(line) for line in (folder / "attempts.jsonl").read_text().splitlines()]
    begun = [entry["step"] for entry in log if entry["event"] == "start"]
    assert (begun.count("align"), begun.count("align-2")) == (1, 2)
    assert len(entries(home, "decision")) == 2


def training_in(home: Path) -> list[psutil.Process]:
    return [
        one
        for one in psutil.process_iter(["cmdline"])
        if "tasks.align.program" in (one.info["cmdline"] or [])
        and any(str(home) in part for part in one.info["cmdline"])
    ]
