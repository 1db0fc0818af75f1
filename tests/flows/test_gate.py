"""The gate in whole nights on a tiny model: drift, early stop, decisions, rotation, waivers, models that are gone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.calls import call_flow
from flows.initial import init_recipe
from flows.nightly import nightly
from flows.promotion import approve, reanchor, rotate
from infra.ledger import Entry, ledger_path, read_ledger
from infra.store import Store
from tasks.errors import EngineError, NotPromotable
from tasks.registry.steps import registry_of
from tests.conftest import write_pairs
from tests.flows.test_nightly import steps

pytestmark = [pytest.mark.usefixtures("prefect_server")]


def run(recipe: Path, *overrides: str, fresh: bool = False) -> dict[str, Any]:
    return call_flow(nightly, recipe=str(recipe), overrides=list(overrides), fresh=fresh)


def entries(home: Path) -> tuple[Entry, ...]:
    return read_ledger(ledger_path(home, "tiny"))


def kinds(home: Path) -> list[str]:
    return [one.kind for one in entries(home)]


@pytest.fixture
def started(home: Path, tiny_recipe: Path) -> Path:
    init_recipe(str(tiny_recipe), once=False)
    return tiny_recipe


def test_a_night_of_flipped_pairs_is_stopped_for_harm_before_all_items_are_scored(
    started: Path, home: Path, tmp_path: Path
) -> None:
    write_pairs(tmp_path / "pairs.jsonl", 420, flipped=True)
    summary = run(started)
    assert summary["verdict"] == "FAIL", summary["reason"]
    assert "Scoring stopped there" in summary["reason"]
    scored = {one["name"]: one["n"] for one in summary["suites"]}
    assert scored["safety"] < 150
    # stopped or not, it was a decision, and a replay is not a second one
    assert kinds(home) == ["decision", "verdict"]
    run(started)
    assert kinds(home) == ["decision", "verdict"]


@pytest.mark.slow
def test_each_new_try_spends_a_decision_until_there_are_none_and_re_anchoring_begins_anew(
    started: Path, home: Path
) -> None:
    text = started.read_text().replace("planned_decisions = 30", "planned_decisions = 2")
    started.write_text(text)
    for seed in (1, 2):
        summary = run(started, f"seed={seed}")
        assert summary["verdict"] != "BLOCK", summary["reason"]
    used = run(started, "seed=3")
    assert used["verdict"] == "BLOCK"
    assert "2 planned decisions are used up" in used["reason"]
    assert kinds(home).count("decision") == 2
    assert "is the anchor now" in call_flow(reanchor, name="tiny", reason="two were few")
    assert run(started, "seed=3")["verdict"] != "BLOCK"
    assert kinds(home).count("decision") == 3


@pytest.mark.slow
def test_an_open_night_is_promoted_by_a_waiver_only_and_the_ledger_keeps_why(started: Path, home: Path) -> None:
    summary = run(started, "phase.0.learning_rate=1e-30", "phase.0.max_steps=1")
    assert summary["verdict"] == "INCONCLUSIVE"
    assert "a recorded waiver may promote it" in summary["reason"]
    with pytest.raises(NotPromotable, match="only PASS can be approved"):
        call_flow(approve, version=summary["version"], name="tiny")
    call_flow(approve, version=summary["version"], name="tiny", waive="we want to see the machinery move")
    assert registry_of("tiny").alias("champion") == summary["version"]
    assert kinds(home) == ["decision", "verdict", "waiver", "promotion"]


@pytest.mark.slow
def test_a_champion_whose_files_are_gone_blocks_and_passes_once_they_are_back(started: Path, home: Path) -> None:
    store = Store(home / "store")
    blob = json.loads(registry_of("tiny").version(1).tags["nightshift.model_ref"])
    model = json.loads(store.path(blob["digest_"]).read_text())
    weights = next(file for file in model["base"]["files"] if file["path"].endswith(".safetensors"))
    path, kept = store.path(weights["digest_"]), home / "kept"
    assert run(started)["verdict"] == "PASS"
    call_flow(approve, version=2, name="tiny")
    adapter = json.loads(
        store.path(json.loads(registry_of("tiny").version(2).tags["nightshift.model_ref"])["digest_"]).read_text()
    )["adapter"]["files"]
    lost = store.path(next(file["digest_"] for file in adapter if file["path"].endswith(".safetensors")))
    shutil.move(lost, kept)
    for folder in ("results", "scorecards", "work"):
        shutil.rmtree(home / folder, ignore_errors=True)
    write_pairs(started.parent / "pairs.jsonl", 420, seed=5)
    blocked = run(started)
    assert blocked["verdict"] == "BLOCK", blocked["reason"]
    assert "champion: the model can't be loaded: the store has no object" in blocked["reason"]
    assert registry_of("tiny").alias("champion") == 2
    shutil.move(kept, lost)
    assert run(started)["verdict"] != "BLOCK"
    assert path.is_file()


@pytest.mark.slow
def test_a_gate_that_asks_for_vllm_ends_the_night_where_it_isnt_installed_and_nothing_of_it_stays(
    started: Path,
) -> None:
    for _ in range(2):  # the second time nothing is replayed that was missing the first time
        with pytest.raises(
            EngineError, match=r"vLLM isn't installed where this runs(.|\n)*install it beside Nightshift"
        ):
            run(started, 'gate.engine="vllm"')
    judged = run(started)
    assert judged["verdict"] != "BLOCK", judged["reason"]
    assert steps(judged)["align"]  # what was trained before was kept


@pytest.mark.slow
def test_rotated_items_are_judged_from_the_next_night_on_and_a_finished_night_replays_as_it_was(
    started: Path, home: Path, tiny_suites: Path, tmp_path: Path
) -> None:
    suites = tmp_path / "suites"
    shutil.copytree(tiny_suites, suites)
    folder = suites / "safety"
    (folder / "suite.toml").write_text((folder / "suite.toml").read_text() + "[rotation]\nevery = 100\nshare = 0.1\n")
    lines = (folder / "items.jsonl").read_text().splitlines()
    sealed = [
        json.dumps(json.loads(line) | {"id": f"sealed-{number}", "split": "sealed"})
        for number, line in enumerate(lines[:30])
    ]
    (folder / "items.jsonl").write_text("\n".join([*lines, *sealed]) + "\n")
    started.write_text(started.read_text().replace(str(tiny_suites), str(suites)))

    first = run(started)
    assert all(step["cached"] for step in run(started)["steps"])
    told = call_flow(rotate, recipe=str(started), suites=[], reason="they are getting old")
    assert told == "from the next night on, safety are judged on other items"
    second = run(started)
    assert second["id"] != first["id"]
    store = Store(home / "store")

    def judged(number: int) -> set[str]:
        bodies = [one.body for one in entries(home) if one.kind == "decision"]
        return set(json.loads(store.path(bodies[number]["items"]["safety"]["digest_"]).read_text()))

    assert len(judged(0)) == len(judged(1)) == 150
    assert len(judged(1) - judged(0)) == 15
    assert {name.split("-")[0] for name in judged(1) - judged(0)} == {"sealed"}


DRIFT = """
[gate.drift]
path = "{suites}/drift"
max_items = 100
refusal = {{ margin = 0.2, budget = 0.4 }}
repetition = {{ margin = 0.4, budget = 0.8 }}
max_kl = {kl}
"""


@pytest.fixture
def drifting(started: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "suites" / "drift"
    folder.mkdir(parents=True)
    # three words can't repeat a run of four: what a random model repeats depends on the machine's rounding
    (folder / "suite.toml").write_text('[scorer]\nkind = "drift"\nmax_tokens = 3\n')
    words = "what where when how why please thanks red green blue".split()
    with (folder / "items.jsonl").open("w") as file:
        for number in range(110):
            prompt = f"{words[number % 10]} {words[number // 11]} {words[number % 7]}"
            file.write(json.dumps({"id": f"drift-{number}", "topic": "en", "prompt": prompt}) + "\n")
    return started


@pytest.mark.slow
def test_drift_is_measured_from_the_anchors_answers_and_a_breached_limit_fails(drifting: Path, tmp_path: Path) -> None:
    plain = drifting.read_text()
    drifting.write_text(plain + DRIFT.format(suites=tmp_path / "suites", kl=50.0))
    summary = run(drifting)
    names = [one["name"] for one in summary["suites"]]
    assert names[-2:] == ["drift-refusal", "drift-repetition"]
    assert summary["verdict"] == "PASS", summary["reason"]
    drifting.write_text(plain + DRIFT.format(suites=tmp_path / "suites", kl=1e-6))
    far = run(drifting)
    assert far["verdict"] == "FAIL"
    assert "KL to the anchor" in far["reason"]


@pytest.mark.slow
def test_quantised_weights_are_judged_where_the_recipe_serves_them(started: Path, home: Path) -> None:
    started.write_text(started.read_text() + '\n[serve]\nquantise = "Q4_0"\n')
    run(started)
    engines = {one.body["engine"]["quantise"] for one in entries(home) if one.kind == "decision"}
    assert engines == {"Q4_0"}
    # another form is another engine: baselines are scored anew, and A/A is asked again
    assert json.loads((home / "aa" / "tiny.json").read_text())["engine"]["quantise"] == "Q4_0"
    started.write_text(started.read_text().replace('quantise = "Q4_0"', 'form = "adapter"'))
    run(started)
    assert json.loads((home / "aa" / "tiny.json").read_text())["noise"][0]["cause"] == (
        "served form merged → adapter, quantise Q4_0 → None"
    )
