"""The night's summary: the promised JSON keys, and a screen that says what happened and what to do next."""

import json
from typing import Any

import pytest

from infra.attempts import Device
from infra.digest import digest_of
from infra.store import Blob
from tasks.contracts import (
    Bill,
    BillLine,
    Night,
    PhasePlan,
    PhaseVerdict,
    Plan,
    Release,
    StepReport,
    SuiteResult,
    Verdict,
)
from tasks.summary import in_words, step_reports, summarise

D = digest_of("x")
NIGHT = Night(id=D, name="demo-1", folder="/n", flow_run="run-2", mlflow_run="m", promotable=True)
LINE = BillLine(
    step="align",
    attempts=2,
    failed=1,
    device="cpu",
    seconds=3600,
    device_hours=1,
    kwh=0.065,
    amount=0.12,
    estimated=True,
)
BILL = Bill(
    lines=(LINE,),
    device_hours=1,
    gpu_hours=0,
    kwh=0.065,
    amount=0.12,
    currency="EUR",
    estimated=True,
    price_book="b of 2026-11-01",
    source="s",
)
CPU = Device(pool="local", kind="cpu", count=1, accelerator=False).model_dump()


def suite(**changes: Any) -> SuiteResult:
    values = {
        "name": "safety", "measure": "right", "n": 160, "champion": 0.5, "candidate": 0.6, "delta": 0.1,
        "lower": 0.05, "upper": 0.15, "margin": 0.08, "p_harm": 1.0, "anchor_delta": 0.1, "anchor_lower": 0.0,
        "anchor_upper": 0.2, "budget": 0.15, "mde": 0.05, "items_to_settle": None, "target": False,
        "verdict": "PASS", "reason": "",
    }  # fmt: skip
    return SuiteResult.model_validate({**values, **changes})


def verdict(name: str, *suites: SuiteResult) -> Verdict:
    return Verdict.model_validate(
        {
            "verdict": name,
            "paragraph": "It is so, because.",
            "suites": suites,
            "problems": (),
            "alpha": 0.05,
            "anchor_z": 2.9,
            "candidate": D,
            "champion": D,
            "anchor": D,
            "cards": (),
        }
    )


def release(state: str) -> Release:
    blob = Blob(digest_=D, size=1)
    return Release.model_validate(
        {
            "name": "demo",
            "version": 4,
            "verdict": "PASS",
            "state": state,
            "evidence": blob,
            "url": "http://127.0.0.1:5000",
        }
    )


def summary(**found: Any) -> dict[str, Any]:
    steps = [StepReport(name="collect", state="Completed", cached=True, seconds=0.0)]
    return summarise(NIGHT, "demo", "Completed", steps, BILL, {"mlflow": "http://127.0.0.1:5000/x"}, **found)


def test_it_has_the_promised_keys() -> None:
    made = summary(verdict=verdict("PASS", suite()), release=release("awaits approval"))
    assert {"night", "recipe", "verdict", "version", "steps", "suites", "bill", "links"} <= set(made)
    assert set(made["steps"][0]) == {"name", "state", "cached", "seconds"}
    assert set(made["suites"][0]) == {"name", "n", "delta", "lower", "margin", "verdict"}
    assert {"gpu_hours", "kwh", "amount", "currency", "estimated"} <= set(made["bill"])
    assert (made["verdict"], made["version"]) == ("PASS", 4)


def test_a_pass_says_how_to_approve_it() -> None:
    text = in_words(summary(verdict=verdict("PASS", suite()), release=release("awaits approval")))
    assert "nightshift approve 4 --name demo" in text
    assert "It is so, because." in text
    assert "reused: same inputs" in text
    assert "0.1200 EUR, 0.0650 kWh (estimated)" in text


def test_a_pass_under_an_overridden_gate_says_that_it_can_not_be_approved() -> None:
    text = in_words(summary(verdict=verdict("PASS", suite()), release=release("recorded")))
    assert "awaits no approval" in text
    assert "approve 4" not in text


@pytest.mark.parametrize("name", ["FAIL", "INCONCLUSIVE", "BLOCK"])
def test_no_other_verdict_offers_approval(name: str) -> None:
    text = in_words(summary(verdict=verdict(name, suite(verdict=name)), release=release("recorded")))
    assert "approve" not in text
    assert f"  {name}\n" in text


def test_a_suite_without_numbers_is_said_to_be_not_judged() -> None:
    blocked = suite(verdict="BLOCK", delta=None, lower=None, n=0)
    assert "not judged" in in_words(summary(verdict=verdict("BLOCK", blocked)))


def test_a_failed_night_shows_its_reason() -> None:
    made = summarise(NIGHT, "demo", "Failed", [], BILL, {}, reason="the disk is full")
    assert made["verdict"] is None
    assert "the disk is full" in in_words(made)


def test_steps_are_those_of_this_run_in_the_nights_order_and_a_retry_counts_once() -> None:
    entries: list[dict[str, Any]] = [
        {"event": "start", "id": "old", "step": "align", "run": "run-1", "at": 1.0, "device": CPU},
        {"event": "beat", "id": "old", "seconds": 9.0},
        {"event": "start", "id": "a", "step": "align", "run": "run-2", "at": 3.0, "device": CPU},
        {"event": "end", "id": "a", "seconds": 2.0, "state": "Failed", "kwh": None, "error": "x"},
        {"event": "start", "id": "b", "step": "align", "run": "run-2", "at": 3.0, "device": CPU},
        {"event": "end", "id": "b", "seconds": 5.0, "state": "Completed", "kwh": None, "error": None},
        {"event": "reused", "step": "collect", "run": "run-2", "at": 2.0},
        {"event": "reused", "step": "validate", "run": "run-1", "at": 2.0},
    ]
    assert [(one.name, one.state, one.cached, one.seconds) for one in step_reports(entries, "run-2")] == [
        ("collect", "Completed", True, 0.0),
        ("align", "Completed", False, 5.0),
    ]


def test_each_of_several_phases_has_a_line_with_its_verdict_or_why_it_has_none() -> None:
    phases = (
        PhaseVerdict(number=1, method="dpo", verdict="PASS", delta=0.02, lower=0.01, decision=1, chosen=True, told="t"),
        PhaseVerdict(number=2, method="ppo", told="its budget is spent -> raise it"),
    )
    found = verdict("PASS", suite()).model_copy(update={"phases": phases})
    summary = summarise(NIGHT, "demo", "Completed", [], BILL, {}, verdict=found)
    assert [(one["number"], one["verdict"], one["chosen"]) for one in summary["phases"]] == [
        (1, "PASS", True), (2, None, False),
    ]  # fmt: skip
    text = in_words(summary)
    assert "   1 dpo        +0.0200       +0.0100   PASS, chosen" in text
    assert "   2 ppo                                no candidate" in text
    assert "phase" not in in_words(
        summarise(NIGHT, "demo", "Completed", [], BILL, {}, verdict=verdict("PASS", suite()))
    )


def test_a_plan_of_several_phases_shows_each_ones_share() -> None:
    one = {"number": 1, "method": "dpo", "reason": "", "pairs": 96, "steps": 24, "memory_bytes": 1}
    idle = {"number": 2, "method": "ppo", "reason": "3 training pairs don't fill one batch of 4", "memory_bytes": 0}
    plan = Plan(
        train=True, reason="r", new_pairs=9, pairs=96, steps=24, memory_bytes=1, seconds=1800.0, amount=0.5,
        currency="EUR",
        phases=(
            PhasePlan(**one, seconds=1800.0, amount=0.5), PhasePlan(**idle, pairs=0, steps=0, seconds=0, amount=0)
        ),
    )  # fmt: skip
    text = in_words(summarise(NIGHT, "demo", "Planned", [], BILL, {}, reason="r", plan=plan))
    assert "  phase         steps    pairs    hours       EUR" in text
    assert "   1 dpo           24       96    0.500    0.5000" in text
    assert "   2 ppo       left out: 3 training pairs don't fill one batch of 4" in text


def test_steps_of_several_phases_come_in_the_night_s_order() -> None:
    entries = []
    for number, name in enumerate(["validate", "align", "align-2", "score", "score-2", "judge"]):
        entries.append({"event": "start", "id": str(number), "step": name, "run": "run-2", "device": CPU, "at": 0.0})
        entries.append({"event": "end", "id": str(number), "seconds": 1.0, "state": "Completed"})
    assert [one.name for one in step_reports(entries, "run-2")] == [
        "validate", "align", "align-2", "score", "score-2", "judge",
    ]  # fmt: skip


def test_the_summary_is_what_is_read_of_its_json() -> None:
    plan = Plan(
        train=True, reason="r", new_pairs=9, pairs=96, steps=24, memory_bytes=1, seconds=1.0, amount=0.5, currency="EUR"
    )
    summary = summarise(NIGHT, "demo", "Planned", [], BILL, {}, reason="r", plan=plan, verdict=verdict("PASS", suite()))
    assert json.loads(json.dumps(summary)) == summary
