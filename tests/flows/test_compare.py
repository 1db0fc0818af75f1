"""`nightshift compare`: whole comparisons of tiny models, with trainings that fail and comparisons that are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import infra.pools
from flows.bills import bill
from flows.calls import call_flow
from flows.cli import main
from flows.compare import compare
from infra.pools.local import LocalPool
from infra.settings import ROOT
from tasks import place
from tasks.compare.figures import Figures
from tasks.errors import RecipeError
from tasks.registry.steps import registry_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

SMALL = ("phase.0.max_steps=6", "phase.0.probe_every=6", "phase.0.probe_prompts=4", "phase.0.probe_tokens=4")


@pytest.fixture
def recipe(home: Path, tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Never initialised: a comparison needs no champion."""
    monkeypatch.setenv("NIGHTSHIFT_THREADS", "1")
    return tiny_recipe


def run(recipe: Path, methods: str, seeds: int, *overrides: str, **more: Any) -> dict[str, Any]:
    return call_flow(
        compare,
        recipe=str(recipe),
        overrides=[*SMALL, *overrides],
        methods=methods.split(","),
        seeds=seeds,
        **{"pools": [], "fresh": False} | more,
    )


def attempts(home: Path) -> dict[str, list[str]]:
    """By training, the steps that were begun, in their order."""
    found = {}
    for path in sorted(home.glob("comparisons/trainings/*/attempts.jsonl")):
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        found[path.parent.name] = [entry["step"] for entry in entries if entry["event"] == "start"]
    return found


def test_two_methods_with_two_seeds_give_a_table_a_page_and_sentences_and_leave_the_registry_alone(
    recipe: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", str(recipe), "--methods", "dpo,kto", "--seeds", "2", "--json"]
    assert main([*command, *(part for one in SMALL for part in ("--set", one))]) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    figures = Figures.model_validate(made["figures"])
    assert [one.method for one in figures.methods] == ["dpo", "kto"]
    assert (figures.budget, figures.seeds, figures.unequal) == (48, (0, 1), "")
    for one in figures.methods:
        assert (one.finished, one.trainings, one.shown) == (2, 2, 48)
        assert {suite.suite for suite in one.quality} == {"safety", "accuracy", "reasoning", "house"}
        metered = (one.device_hours, one.seconds, one.kwh, one.peak_memory_bytes)
        for value in (*metered, one.amount, one.kl, one.length_ratio):
            assert value.seeds == (0, 1)
        assert all(len(set(value.values)) == 2 for value in metered)
        assert one.peak_memory_bytes.mean is not None
        assert one.peak_memory_bytes.mean > 1e8
    # both learned what the pairs say
    house = [next(suite for suite in one.quality if suite.suite == "house") for one in figures.methods]
    assert all(suite.to_start.lower > 0 for suite in house)
    assert made["sentences"][0].startswith("DPO used ")
    assert "device-hours" in made["sentences"][0]
    page = Path(made["page"]).read_text()
    assert "What can be said" in page
    assert json.loads(Path(made["file"]).read_text()) == made["figures"]
    # 8B and 70B are there, as forecasts
    assert {(one.size, one.method) for one in figures.larger} >= {("8B", "dpo"), ("70B", "kto"), ("70B", "ppo")}
    # nothing was registered, judged or noted as the last night; what it cost is on the month's bill
    assert not registry_of("tiny").versions()
    assert not list(home.glob("ledger/*"))
    assert not (home / "last-night").exists()
    (currency,) = json.loads(bill(None, None, None, None, json_wanted=True))["currencies"]
    assert {row["name"]: row["nights"] for row in currency["by_outcome"] if row["nights"]} == {"comparison": 5}
    # asked again, nothing is trained, and nothing has changed
    before = attempts(home)
    again = run(recipe, "dpo,kto", 2)
    assert attempts(home) == before
    assert again["figures"] == made["figures"]


def test_trainings_that_fail_are_rows_and_tried_again_and_an_unhealthy_one_is_a_result(
    recipe: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = (
        'compare.online.reward=["not_refused"]', "compare.online.group_size=2", "compare.ppo.max_new_tokens=4",
        "compare.ppo.health.no_signal_window=2",  # whatever a model of random weights says, it refuses nothing
        "compare.grpo.max_new_tokens=400",  # longer than its context
    )  # fmt: skip
    sound = LocalPool.run

    def run_but_ipo(self: Any, program: Any, on_event: Any) -> None:
        if program.module == "tasks.align.program" and '"loss": ["ipo"]' in Path(program.spec).read_text():
            raise OSError("the disk is gone")
        sound(self, program, on_event)

    monkeypatch.setattr(LocalPool, "run", run_but_ipo)
    made = run(recipe, "dpo,ipo,ppo,grpo", 1, *odd)
    dpo, ipo, ppo, grpo = Figures.model_validate(made["figures"]).methods
    assert (dpo.finished, ipo.finished, ppo.finished, grpo.finished) == (1, 0, 0, 0)
    assert ipo.failures == ("seed 0: failed: the disk is gone",)
    assert ppo.failures[0].startswith("seed 0: unhealthy: no signal: in the last 2 rollouts")
    assert "the longest prompt and an answer of phase.max_new_tokens = 400" in grpo.failures[0]
    unfinished = ", ".join(f"1 of 1 trainings of {name}" for name in ("IPO", "PPO", "GRPO"))
    assert f"Not finished: {unfinished}." in made["sentences"]
    assert "no training of PPO finished" in made["sentences"][1]
    before = attempts(home)

    monkeypatch.setattr(LocalPool, "run", sound)
    mended = Figures.model_validate(run(recipe, "dpo,ipo,ppo,grpo", 1, *odd)["figures"])
    assert [one.finished for one in mended.methods] == [1, 1, 0, 0]
    after = attempts(home)
    again = {name: after[name][len(before[name]) :] for name in after if after[name] != before[name]}
    # IPO is trained and scored, GRPO is planned; DPO's and PPO's rows are taken as they are
    assert sorted(again.values()) == [["decide"], ["train_apart", "score"]]


KILLED = """
import sys
from flows.calls import call_flow
from flows.compare import compare
call_flow(compare, recipe=sys.argv[1], overrides=sys.argv[3:], methods=["dpo", "kto"], seeds=1, pools=[], fresh=False)
"""


def test_a_killed_comparison_goes_on_without_the_trainings_that_finished(recipe: Path, home: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(recipe), "-", *SMALL]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True
    ) as going:
        end = time.monotonic() + 240
        while not list(home.glob("comparisons/trainings/*/trained.json")) and time.monotonic() < end:
            assert going.poll() is None
            time.sleep(0.2)
        os.killpg(going.pid, signal.SIGKILL)
    (kept,) = home.glob("comparisons/trainings/*/trained.json")
    written, before = kept.read_bytes(), attempts(home)[kept.parent.name]
    figures = Figures.model_validate(run(recipe, "dpo,kto", 1)["figures"])
    assert [one.finished for one in figures.methods] == [1, 1]
    assert kept.read_bytes() == written
    assert attempts(home)[kept.parent.name] == before


class OtherPool(LocalPool):
    """This machine once more, as if it were another place."""

    _block_type_name = "Nightshift other pool of a test"
    _block_type_slug = "nightshift-test-other-pool"


def test_two_pools_take_whole_seeds_at_the_same_time_each_training_in_a_flow_run_of_its_own(
    recipe: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(infra.pools.POOLS, "other", OtherPool)
    made = run(recipe, "dpo,sft", 2, pools=["local", "other"])
    figures = Figures.model_validate(made["figures"])
    assert [one.finished for one in figures.methods] == [2, 2]
    assert figures.pools == ("local", "other")
    times = {}
    for path in home.glob("comparisons/trainings/*/attempts.jsonl"):
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        pool = json.loads((path.parent / "bill.json").read_text())["pool"]
        (begun,) = [entry for entry in entries if entry["event"] == "start" and entry["step"] == "train_apart"] or [
            None
        ]
        if begun is not None:
            seconds = next(
                entry["seconds"] for entry in entries if entry["event"] == "end" and entry["id"] == begun["id"]
            )
            times.setdefault(pool, []).append((begun["at"], begun["at"] + seconds))
    assert sorted(map(len, times.values())) == [2, 2]
    assert any(one[0] < other[1] and other[0] < one[1] for one in times["local"] for other in times["other"])


def test_what_is_wrong_with_the_question_is_said_before_anything_is_trained(recipe: Path, home: Path) -> None:
    for methods, seeds, more, why in (
        ("dpo,magic", 1, (), "there is no method 'magic'"),
        ("dpo,kto", 0, (), "a seed or more, not 0"),
        ("dpo,ppo", 1, (), "method 'ppo' learns from rewards"),
        # the pairs have no truth that PPO's reward could compare with
        ("dpo,ppo", 1, ('compare.online.reward=["exact_number"]',), "0 training pairs that all methods can learn from"),
    ):
        with pytest.raises(RecipeError, match=why):
            run(recipe, methods, seeds, *more)
    assert not list(home.glob("comparisons/trainings/*/attempts.jsonl"))
    assert place.tracking().client.search_registered_models() == []
