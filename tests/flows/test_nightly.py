"""Whole nights on a tiny model: real Prefect server, real MLflow, real training and scoring processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from flows import lineage
from flows.bills import bill
from flows.calls import call_flow
from flows.data_commands import shown
from flows.initial import init_recipe
from flows.nightly import nightly
from flows.planning import plan_night
from flows.promotion import approve, reject, rollback
from infra.errors import NightshiftError
from infra.orphans import SERVER
from infra.registry_guard.embedded import Refused
from infra.settings import child_environment, load_settings
from infra.store import Store
from tasks import place
from tasks.align import made as align_made
from tasks.errors import DataBreach, NotPromotable, PlanError, RegistryError, SourceError
from tasks.gate import score as gate_score
from tasks.nights import read_summary
from tasks.parts import lines_of
from tasks.registry.steps import inputs_of, registry_of
from tests.conftest import write_pairs

pytestmark = [pytest.mark.usefixtures("prefect_server")]


def run(recipe: Path, *overrides: str, fresh: bool = False) -> dict[str, Any]:
    return call_flow(nightly, recipe=str(recipe), overrides=list(overrides), fresh=fresh)


def steps(summary: dict[str, Any]) -> dict[str, bool]:
    """Step -> was it reused."""
    return {step["name"]: step["cached"] for step in summary["steps"]}


@pytest.fixture
def started(home: Path, tiny_recipe: Path) -> Path:
    init_recipe(str(tiny_recipe), once=False)
    return tiny_recipe


def test_a_good_night_passes_is_replayed_approved_promoted_and_rolled_back(started: Path, home: Path) -> None:
    summary = run(started)
    assert summary["verdict"] == "PASS", summary["reason"]
    assert summary["awaits"] == "awaits approval"
    assert list(steps(summary)) == ["collect", "validate", "decide", "align", "score", "judge", "register"]
    assert not any(steps(summary).values())
    assert {suite["name"]: suite["n"] >= 150 for suite in summary["suites"]} == dict.fromkeys(
        ("safety", "accuracy", "reasoning", "house"), True
    )
    assert summary["bill"]["amount"] > 0
    assert summary["bill"]["estimated"] is True

    # the same inputs again: every step is reused, nothing is registered twice
    again = run(started)
    assert all(steps(again).values())
    assert len(steps(again)) == 7
    assert again["version"] == summary["version"] == 2
    assert len(registry_of("tiny").versions()) == 2

    # a look at tonight's plan leaves the finished night as it is
    planned = call_flow(plan_night, recipe=str(started), overrides=[], fresh=False)
    assert planned["state"] == "Planned"
    assert planned["plan"]["train"]
    assert read_summary(home, "last") == again
    # nor does one that finds it too dear
    with pytest.raises(PlanError, match="budget"):
        call_flow(plan_night, recipe=str(started), overrides=["budget.max_amount=1e-9"], fresh=True)
    assert read_summary(home, "last") == again

    # everything a person needs lies in MLflow
    version = registry_of("tiny").version(2)
    assert version.tags["approval"] == "requested"
    files = {path.name for path in Path(home / "mlartifacts").rglob("*") if path.is_file()}
    assert {
        "report.html",
        "evidence.json",
        "bill.json",
        "bill.html",
        "adapter_model.safetensors",
        "candidate-safety.json",
        "index.html",
    } <= files

    # a pair leads to its line, and to the version that was trained on it; forgetting it names that version
    assert (Path(home / "nights") / (home / "last-night").read_text() / "data.html").is_file()
    inputs = inputs_of("tiny", 2)[1]
    assert inputs.candidate.pairs is not None
    taken = json.loads(next(lines_of(inputs.candidate.pairs, Store(home / "store"))))["id"]
    found = lineage.show(taken)
    assert [(one["version"], one["trained on"]) for one in found["versions"]] == [("tiny v2", [taken])]
    assert found["rows"][0]["source"] == "pairs.jsonl"
    assert f"tiny v2: trained on {taken}" in shown(found)
    with pytest.raises(SourceError, match="no row 'nobody'"):
        lineage.show("nobody")

    # approval moves the aliases, twice changes nothing, rollback moves back
    assert "version 2 of tiny is champion; version 1 is previous" in call_flow(approve, version=2, name="tiny")
    assert "nothing changed" in call_flow(approve, version=2, name="tiny")
    assert (registry_of("tiny").alias("champion"), registry_of("tiny").alias("previous")) == (2, 1)
    assert json.loads((home / "serving" / "tiny.json").read_text())["version"] == 2

    # nothing new since the champion: the night is skipped before any training
    skipped = run(started)
    assert skipped["state"] == "Skipped"
    assert list(steps(skipped)) == ["collect", "validate", "decide"]
    assert "0 new training pairs" in skipped["reason"]

    # both nights are on the month's bill, each once, with what became of it
    told = json.loads(bill(None, None, None, home / "focus.csv", json_wanted=True))
    (found,) = told["currencies"]
    nights = {row["name"]: row["nights"] for row in found["by_outcome"] if row["nights"]}
    assert nights == {"promoted": 1, "skipped": 1}
    assert float(found["per_promoted_model"]) >= summary["bill"]["amount"]  # the skipped night took moments
    assert told["champions"][0]["newest_preference"] == "2026-11-20T10:00:00+00:00"
    assert told["champions"][0]["seconds"] > 0
    # all its suites are choices: no answer has a length, and none is invented
    assert told["serving"] == []
    assert told["notes"] == ["how long answers of tiny version 2 are is not known: its gate asked for none"]
    assert len((home / "focus.csv").read_text().splitlines()) > 7

    assert "version 1 of tiny is champion again" in call_flow(rollback, name="tiny")
    assert "nothing changed" in call_flow(rollback, name="tiny")
    with pytest.raises(NotPromotable, match="rolled back"):
        call_flow(approve, version=2, name="tiny")
    # the first champion serves again, so the first night is replayed: its version was decided on
    replayed = run(started)
    assert (replayed["version"], replayed["awaits"]) == (2, "recorded")


@pytest.mark.slow
def test_a_night_of_flipped_pairs_fails_and_can_not_be_approved(started: Path, tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl", 420, flipped=True)
    summary = run(started)
    assert summary["verdict"] == "FAIL", summary["reason"]
    assert next(suite["verdict"] for suite in summary["suites"] if suite["name"] == "safety") == "FAIL"
    with pytest.raises(NotPromotable, match="verdict FAIL"):
        call_flow(approve, version=summary["version"], name="tiny")
    assert registry_of("tiny").alias("champion") == 1


@pytest.mark.slow
def test_a_candidate_whose_weights_were_damaged_before_scoring_fails(
    started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a champion that can lose something: the first night's candidate
    assert run(started)["verdict"] == "PASS"
    call_flow(approve, version=2, name="tiny")
    write_pairs(tmp_path / "pairs.jsonl", 420, seed=1)
    whole = align_made.store_adapter

    def damaged(folder: Path, name: str, store: Store) -> Any:
        weights = load_file(folder / "adapter_model.safetensors")
        torch.manual_seed(0)
        noise = {key: value + 3 * value.std() * torch.randn_like(value) for key, value in weights.items()}
        save_file(noise, folder / "adapter_model.safetensors")
        return whole(folder, name, store)

    monkeypatch.setattr(align_made, "store_adapter", damaged)
    summary = run(started)
    assert summary["verdict"] == "FAIL", summary["suites"]
    assert registry_of("tiny").alias("champion") == 2


@pytest.mark.slow
def test_a_candidate_equal_to_the_champion_is_never_fail(started: Path) -> None:
    summary = run(started, "phase.0.learning_rate=1e-30", "phase.0.max_steps=1")
    assert summary["verdict"] == "INCONCLUSIVE"
    assert all(abs(suite["delta"]) < 1e-6 for suite in summary["suites"])


@pytest.mark.slow
def test_an_edited_scorecard_blocks_also_when_the_night_is_replayed(started: Path, home: Path) -> None:
    assert run(started)["verdict"] == "PASS"
    store = Store(home / "store")
    index = next(path for path in (home / "scorecards").glob("*.json"))
    card = store.path(json.loads(index.read_text())["digest_"])
    card.chmod(0o644)
    content = json.loads(card.read_text())
    content["results"][0]["right"] = not content["results"][0]["right"]
    card.write_text(json.dumps(content))
    summary = run(started)
    assert summary["verdict"] == "BLOCK"
    assert "has been changed" in summary["reason"]
    assert steps(summary)["align"]
    assert steps(summary)["score"]
    assert not steps(summary)["judge"]
    # and the version that passed before can't be promoted on it any more
    with pytest.raises(NotPromotable, match="changed"):
        call_flow(approve, version=2, name="tiny")


@pytest.mark.slow
def test_a_missing_champion_blocks(started: Path) -> None:
    registry = registry_of("tiny")
    registry._client.delete_registered_model_alias("tiny", "champion")
    summary = run(started, "phase.0.max_steps=1")
    assert summary["verdict"] == "BLOCK"
    assert "no champion" in summary["reason"]
    with pytest.raises(RegistryError, match="initialised already"):
        init_recipe(str(started), once=False)
    assert "already" in init_recipe(str(started), once=True)
    assert registry.alias("champion") is None


@pytest.mark.slow
def test_an_unreadable_suite_blocks_and_an_overridden_gate_is_not_promotable(started: Path, tmp_path: Path) -> None:
    text = started.read_text()
    broken = tmp_path / "broken"
    broken.mkdir()
    recipe = tmp_path / "other.toml"
    recipe.write_text(text.replace('path = "' + text.split('path = "')[1].split('"')[0], f'path = "{broken}'))
    summary = run(recipe, "phase.0.max_steps=1")
    assert summary["verdict"] == "BLOCK"
    assert str(broken) in summary["reason"]
    waived = run(started, "gate.alpha=0.2")
    assert waived["verdict"] == "PASS"
    assert waived["awaits"] == "recorded"
    with pytest.raises(NotPromotable, match="overridden"):
        call_flow(approve, version=waived["version"], name="tiny")
    with pytest.raises(Refused, match="does not await a decision"):
        call_flow(reject, version=waived["version"], reason="a try", name="tiny")
    # validate's result is the other night's; this one has its pages all the same
    third = run(started, "gate.alpha=0.3")
    assert steps(third)["validate"]
    assert all(Path(third["links"][name]).is_file() for name in ("quarantine", "data docs", "report"))


def test_a_critical_breach_stops_the_night_before_training_and_leaves_the_quarantine(
    started: Path, home: Path, tmp_path: Path
) -> None:
    lines = (tmp_path / "pairs.jsonl").read_text().splitlines()
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines[:200] + ["no json"] * 300))
    with pytest.raises(DataBreach, match=r"share_unreadable is 0\.6"):
        run(started)
    folder = Path((home / "last-night").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["state"] == "Failed"
    assert steps(summary) == {"collect": False, "validate": False}
    assert len((folder / "quarantine.jsonl").read_text().splitlines()) == 300
    assert (folder / "data_docs" / "index.html").is_file()
    assert len(registry_of("tiny").versions()) == 1

    # a look at it afterwards says the same, and leaves the failed night failed
    def status() -> str:
        client = place.tracking().client
        (found,) = client.search_runs([place.tracking().experiment()], "tags.`nightshift.state` = 'Failed'")
        return found.info.status

    assert status() == "FAILED"
    with pytest.raises(DataBreach):
        call_flow(plan_night, recipe=str(started), overrides=[], fresh=False)
    assert status() == "FAILED"
    assert read_summary(home, "last") == summary


BadInput = Callable[[Path, Path], tuple[str, ...]]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("sources=/no/such/folder",), "/no/such/folder doesn't exist"),
        (("surprise=1",), "surprise"),
        (("phase.0.max_steps=-1",), "max_steps"),
        (("model.source=/no/model",), "there is no model at /no/model"),
        (("pool=moon",), "no pool 'moon'"),
        (("budget.max_amount=1e-9",), "budget.max_amount"),
    ],
)
def test_bad_input_gives_one_clear_error_and_registers_nothing(
    started: Path, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(NightshiftError) as caught:
        run(started, *overrides)
    assert message in str(caught.value)
    assert "->" in str(caught.value)
    assert len(registry_of("tiny").versions()) == 1


@pytest.mark.slow
def test_a_full_disk_during_scoring_fails_the_night_and_registers_nothing(
    started: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device", "/store")

    monkeypatch.setattr(gate_score, "keep", full)
    with pytest.raises(NightshiftError, match="No space left"):
        run(started, "phase.0.max_steps=1")
    assert len(registry_of("tiny").versions()) == 1
    monkeypatch.undo()


def test_a_stopped_mlflow_server_is_named_at_once(
    tiny_recipe: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSHIFT_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(NightshiftError, match=r"MLflow at http://127\.0\.0\.1:9 doesn't answer"):
        run(tiny_recipe)
    assert time.monotonic() - begun < 60


def of(process: psutil.Process, home: Path) -> bool:
    return process.environ().get("NIGHTSHIFT_HOME") == str(home)


@pytest.mark.slow
def test_a_night_killed_during_align_goes_on_where_it_was(started: Path, home: Path) -> None:
    command = [sys.executable, "-m", "flows.cli", "run", str(started)]
    for override in ("max_steps=200", "batch_size=1", "checkpoint_every=20", "learning_rate=5e-4", "probe_every=0"):
        command += ["--set", f"phase.0.{override}"]
    process = subprocess.Popen(
        command,
        env=child_environment(load_settings()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if re.search(r"align 6\d/200  loss", line):
            break
    else:
        raise AssertionError("".join(seen)[-3000:])
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while (
        subprocess.run(["pgrep", "-f", "tasks.align.program"], check=False, capture_output=True).stdout
        and time.monotonic() < deadline
    ):
        time.sleep(0.5)
    assert not subprocess.run(["pgrep", "-f", "tasks.align.program"], check=False, capture_output=True).stdout, (
        "an orphan still trains"
    )

    left = [one for one in psutil.process_iter(["cmdline"]) if SERVER in (one.info["cmdline"] or []) and of(one, home)]
    assert left, "this test no longer sees the server that the killed night leaves"
    finished = subprocess.run(
        command, check=False, env=child_environment(load_settings()), capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "was killed; it is marked Crashed now" in finished.stdout + finished.stderr
    assert re.search(r"resumed at step (60|80|100|120) of 200", finished.stdout + finished.stderr)
    assert psutil.wait_procs(left, 20)[1] == [], "the killed night's temporary server still runs"
    folder = Path((home / "last-night").read_text())
    summary = json.loads((folder / "summary.json").read_text())
    assert steps(summary) == {
        "collect": True,
        "validate": True,
        "decide": True,
        "align": False,
        "score": False,
        "judge": False,
        "register": False,
    }
    assert len(registry_of("tiny").versions()) == 2
    entries = [json.loads(line) for line in (folder / "attempts.jsonl").read_text().splitlines()]
    assert sum(entry["event"] == "start" and entry["step"] == "align" for entry in entries) == 2
    bill = json.loads(next((home / "mlartifacts").rglob("bill.json")).read_text())
    align = next(line for line in bill["bill"]["lines"] if line["step"] == "align")
    assert align["attempts"] == 2
    assert align["seconds"] > summary["steps"][3]["seconds"]
